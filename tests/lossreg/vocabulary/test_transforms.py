"""Every transform of the table, as a config writes it, against the same thing written in torch.

A new transform adds a case to `CASES` (or to `LABEL_CASES`, if it takes integers only); a new kind
of argument adds its values to `RIGHT` and `WRONG`.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from lossreg.config import examine, load_config
from lossreg.errors import InputError
from lossreg.runtime.routing import Router
from lossreg.vocabulary.arguments import (
    COUNT,
    DIM,
    DIMS,
    DIVISOR,
    DTYPE,
    DTYPES,
    INDICES,
    MASK,
    NUMBER,
    OVER,
    PAIR,
    POSITIVE,
    REQUIRED,
    SWITCH,
    WHOLE,
    Argument,
    Kind,
)
from lossreg.vocabulary.transforms import TRANSFORMS

X = torch.tensor([[[0.5, -1.0, 2.0, 0.0]] * 3, [[1.5, 3.0, -2.0, 0.25]] * 3])  # 2 3 4
LABELS = torch.tensor([[0, 2, 1], [1, 0, 2]])
POSITIVES = X.abs() + 0.5
OTHER = torch.linspace(-1.0, 1.5, 24).reshape(2, 3, 4)
# What a path in an argument may lead to.
VALUES = {
    "y": OTHER,
    "row": OTHER[:, :1, :1],
    "one": torch.tensor(0.75),
    "mask": OTHER > 0,
    "column": OTHER[:1, :, :1] > 0,
    "index": LABELS[:, :, None],
    "t": torch.tensor([1, 0, 1]),
}
Y, ROW, ONE, MASKED, COLUMN, INDEX, T = VALUES.values()


def with_transforms(written: Any) -> dict[str, Any]:
    """A document whose one input is `x` with these transforms."""
    inputs = [{"from": "x", "apply": written}]
    return {"terms": {"fit": {"type": "value", "inputs": inputs}}}


def transformed(tensor: Tensor, written: Any) -> Tensor:
    """What a config's `apply` makes of a tensor, with `VALUES` on its device."""
    (term,) = load_config(with_transforms(written)).terms
    router = Router()
    place = router.add(term.inputs["input"], "fit", "input", optional=False)
    values = {name: value.to(tensor.device) for name, value in VALUES.items()}
    result: Tensor = router.run({"x": tensor, **values})[place]
    return result


def refused(tensor: Tensor, written: Any) -> InputError:
    """The error that a transform gives of a tensor."""
    with pytest.raises(InputError) as raised:
        transformed(tensor, written)
    return raised.value


def refusals(written: Any) -> list[tuple[str, str, str]]:
    """Code, place below `apply` and message of each fault."""
    start = "terms.fit.inputs[0].apply"
    return [
        (fault.code, fault.path.removeprefix(start), fault.message)
        for fault in examine(with_transforms(written)).diagnostics
    ]


CASES: list[tuple[Any, Any]] = [
    ("detach", lambda x: x.detach()),
    ({"div": 4}, lambda x: x / 4),
    ({"div": {"by": 0.3}}, lambda x: x / 0.3),
    ({"mul": -2.5}, lambda x: x * -2.5),
    ({"mul": 0}, lambda x: x * 0),
    ({"add": 1.5}, lambda x: x + 1.5),
    ({"add": "y"}, lambda x: x + Y.to(x.device)),
    ({"sub": "row"}, lambda x: x - ROW.to(x.device)),
    ({"sub": 0.5}, lambda x: x - 0.5),
    ({"mul": {"from": "y", "apply": ["exp", "detach"]}}, lambda x: x * Y.to(x.device).exp()),
    ({"mul": {"by": {"from": "one"}}}, lambda x: x * ONE.to(x.device)),
    ({"div": "one"}, lambda x: x / ONE.to(x.device)),
    ({"pow": 2}, lambda x: x**2),
    ([{"abs": None}, {"add": 1}, {"pow": "y"}], lambda x: (x.abs() + 1) ** Y.to(x.device)),
    ({"minimum": 0.25}, lambda x: x.clamp(max=0.25)),
    ({"minimum": "y"}, lambda x: torch.minimum(x, Y.to(x.device))),
    ({"maximum": -0.25}, lambda x: x.clamp(min=-0.25)),
    ({"maximum": "row"}, lambda x: torch.maximum(x, ROW.to(x.device))),
    ({"clamp": {"min": -0.5, "max": 1}}, lambda x: x.clamp(-0.5, 1)),
    ({"clamp": {"max": "one"}}, lambda x: x.clamp(max=ONE.to(x.device))),
    ({"clamp": {"min": -0.5, "max": "one"}}, lambda x: x.clamp(-0.5).clamp(max=0.75)),
    (
        {"where": {"condition": "mask", "other": 0}},
        lambda x: torch.where(MASKED.to(x.device), x, 0.0),
    ),
    (
        {"where": {"condition": "column", "other": "y"}},
        lambda x: torch.where(COLUMN.to(x.device), x, Y.to(x.device)),
    ),
    ({"eq": 2}, lambda x: x == 2),
    ({"ne": 2}, lambda x: x != 2),
    ({"lt": "y"}, lambda x: x < Y.to(x.device)),
    ({"le": 0.5}, lambda x: x <= 0.5),
    ({"gt": "one"}, lambda x: x > ONE.to(x.device)),
    ({"ge": 0.5}, lambda x: x >= 0.5),
    ([{"gt": 0}, {"logical_and": "mask"}], lambda x: (x > 0) & MASKED.to(x.device)),
    (
        [{"gt": 0}, {"logical_or": {"from": "y", "apply": [{"lt": 1}]}}],
        lambda x: (x > 0) | (Y.to(x.device) < 1),
    ),
    ([{"gt": 0}, "logical_not"], lambda x: ~(x > 0)),
    ("exp", torch.exp),
    (["abs", {"add": 1}, "log"], lambda x: (x.abs() + 1).log()),
    (["abs", {"add": 1}, "sqrt"], lambda x: (x.abs() + 1).sqrt()),
    ("square", torch.square),
    ("abs", torch.abs),
    ("relu", torch.relu),
    ("softplus", functional.softplus),
    ("normalize", lambda x: functional.normalize(x, dim=1)),
    ({"normalize": {"dim": -1, "p": 1}}, lambda x: functional.normalize(x, p=1, dim=-1)),
    ("sum", torch.sum),
    ({"sum": [1, 2]}, lambda x: x.sum((1, 2))),
    ({"mean": {"dim": -1, "keepdim": True}}, lambda x: x.mean(-1, keepdim=True)),
    ("mean", torch.mean),
    ({"amax": 1}, lambda x: x.amax(1)),
    ("amin", torch.amin),
    ("logsumexp", lambda x: x.logsumexp((0, 1, 2))),
    ({"logsumexp": -1}, lambda x: x.logsumexp(-1)),
    (["unbind", {"cat": 1}], lambda x: torch.cat([x[0], x[1]], 1)),
    ([{"unbind": -1}, "stack"], lambda x: x.permute(2, 0, 1)),
    ({"gather": {"index": "index", "dim": 2}}, lambda x: x.gather(2, INDEX.to(x.device))),
    (
        [{"slice": {"dim": 1, "end": 1}}, "flatten", {"gather": {"index": "t", "dim": 0}}],
        lambda x: x[:, 0].flatten()[T.to(x.device)],
    ),
    ("arange_like", lambda x: torch.arange(2, device=x.device)),
    ({"arange_like": -1}, lambda x: torch.arange(4, device=x.device)),
    ("softmax", lambda x: functional.softmax(x, dim=-1)),
    ({"softmax": None}, lambda x: functional.softmax(x, dim=-1)),
    ({"softmax": 1}, lambda x: functional.softmax(x, dim=1)),
    ("log_softmax", lambda x: functional.log_softmax(x, dim=-1)),
    ({"log_softmax": {"dim": 0}}, lambda x: functional.log_softmax(x, dim=0)),
    ("sigmoid", torch.sigmoid),
    ({"transpose": [0, -1]}, lambda x: x.transpose(0, 2)),
    ({"permute": [2, 0, 1]}, lambda x: x.permute(2, 0, 1)),
    ("flatten", lambda x: x.reshape(24)),
    ({"flatten": [0, 1]}, lambda x: x.reshape(6, 4)),
    ({"flatten": 1}, lambda x: x.reshape(2, 12)),
    ({"flatten": {"end": 1}}, lambda x: x.reshape(6, 4)),
    ({"unsqueeze": -1}, lambda x: x[..., None]),
    ([{"unsqueeze": 1}, {"squeeze": 1}], lambda x: x),
    ({"squeeze": 1}, lambda x: x),
    ({"select": {"index": -1, "dim": 1}}, lambda x: x[:, -1]),
    ({"slice": {"dim": -1, "start": 1}}, lambda x: x[..., 1:]),
    ({"slice": {"dim": 1, "end": -1}}, lambda x: x[:, :-1]),
    ({"slice": {"dim": 2, "start": -3, "end": 4, "step": 2}}, lambda x: x[..., -3:4:2]),
    ({"slice": {"dim": 0, "start": 7}}, lambda x: x[7:]),
    ({"slice": {"dim": 0}}, lambda x: x),
    ({"cast": "float64"}, lambda x: x.double()),
    (
        {"shift": {"by": 1, "dim": 0, "fill": -0.5}},
        lambda x: torch.stack([torch.full((3, 4), -0.5, device=x.device), x[0]]),
    ),
    ("ones_like", torch.ones_like),
    ("zeros_like", torch.zeros_like),
    ({"full_like": 0.9}, lambda x: torch.full_like(x, 0.9)),
    (
        [{"div": 2}, {"softmax": 1}, {"select": {"index": 0, "dim": 0}}],
        lambda x: (x / 2).softmax(1)[0],
    ),
]


LABEL_CASES: list[tuple[Any, Any]] = [
    ({"one_hot": 3}, lambda x: functional.one_hot(x, 3).float()),
    ({"add": -1}, lambda x: x - 1),
    ({"mul": 2}, lambda x: x * 2),
    ({"mul": 2.0}, lambda x: x.float() * 2),
    ({"div": 2}, lambda x: x.float() / 2),
    (
        {"shift": {"by": -1, "dim": 1, "fill": -100}},
        lambda x: functional.pad(x, (0, 1), value=-100)[:, 1:],
    ),
    ({"full_like": 2}, lambda x: torch.full_like(x, 2)),
    *[({"cast": name}, lambda x, name=name: x.to(getattr(torch, name))) for name in DTYPES],
]
EVERY_CASE = [(X, *case) for case in CASES] + [(LABELS, *case) for case in LABEL_CASES]


def test_every_transform_has_a_case() -> None:
    tested = str([written for written, _ in CASES + LABEL_CASES])
    assert [name for name in TRANSFORMS if f"'{name}'" not in tested] == []


@pytest.mark.parametrize(
    ("tensor", "written", "oracle"), EVERY_CASE, ids=[str(written) for _, written, _ in EVERY_CASE]
)
def test_a_transform_is_torchs_with_its_gradient(tensor: Tensor, written: Any, oracle: Any) -> None:
    leaves = [tensor.clone().requires_grad_(tensor.is_floating_point()) for _ in range(2)]
    found, expected = transformed(leaves[0], written), oracle(leaves[1])
    assert (found.dtype, found.requires_grad) == (expected.dtype, expected.requires_grad)
    assert torch.equal(found, expected)
    if not expected.requires_grad:
        return
    weights = torch.linspace(-1, 2, max(expected.numel(), 1))[: expected.numel()]
    for leaf, value in zip(leaves, (found, expected), strict=True):
        (value * weights.reshape(value.shape)).sum().backward()
        assert leaf.grad is not None
    assert torch.equal(leaves[0].grad, leaves[1].grad)


def test_all_are_traced_in_one_graph() -> None:
    """Those that import torch inside, too."""
    document = {
        "terms": {
            f"{index}": {
                "type": "value",
                "inputs": [{"from": "x" if tensor is X else "labels", "apply": written}],
                "enabled": not isinstance(written, list),
            }
            for index, (tensor, written, _) in enumerate(EVERY_CASE)
        }
    }
    routes = [term.inputs["input"] for term in load_config(document).terms]
    router = Router()
    for route in routes:
        router.add(route, "term", "input", optional=False)
    compiled = torch.compile(router.run, backend="aot_eager", fullgraph=True)
    values = {"x": X.clone().requires_grad_(), "labels": LABELS, **VALUES}
    for found, expected in zip(compiled(values), router.run(values), strict=True):
        if isinstance(expected, Tensor):  # not a list between two transforms
            assert torch.equal(found, expected)


def test_detached_is_the_same_tensor_without_its_graph() -> None:
    leaf = X.clone().requires_grad_()
    found = transformed(leaf, "detach")
    assert not found.requires_grad
    assert found.data_ptr() == leaf.data_ptr()


@pytest.mark.parametrize("dim", [0, 1, 2, -1, -2, -3])
def test_one_hot_is_torchs_along_any_dimension(dim: int) -> None:
    expected = functional.one_hot(LABELS, 4).movedim(-1, dim).float()
    found = transformed(LABELS, {"one_hot": {"classes": 4, "dim": dim}})
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_one_hot_of_an_ignored_index_is_zero(dtype: torch.dtype) -> None:
    labels = LABELS.clone().to(dtype)
    labels[0, 1] = 255 if dtype == torch.uint8 else -100
    ignored = int(labels[0, 1])
    found = transformed(labels, {"one_hot": {"classes": 3, "dim": 1, "ignore": ignored}})
    expected = functional.one_hot(LABELS, 3).movedim(-1, 1).float()
    expected[0, :, 1] = 0
    assert torch.equal(found, expected)


def test_one_hot_ignores_a_class_as_well() -> None:
    found = transformed(LABELS, {"one_hot": {"classes": 3, "ignore": 0}})
    assert torch.equal(found, functional.one_hot(LABELS, 3) * torch.tensor([0.0, 1.0, 1.0]))


@pytest.mark.parametrize("wrong", [3, -1, 255])
def test_one_hot_of_what_is_no_class_is_an_error(wrong: int) -> None:
    error = refused(torch.tensor([0, wrong]), {"one_hot": 3})
    assert f"expected class indices from 0 to 2, found {wrong}" in str(error)


def test_one_hot_of_floats_is_an_error() -> None:
    error = refused(LABELS.float(), {"one_hot": 3})
    assert "expected class indices, an integer tensor" in str(error)


def test_one_hot_of_one_label_and_of_none() -> None:
    assert transformed(torch.tensor(1), {"one_hot": 3}).tolist() == [0.0, 1.0, 0.0]
    assert transformed(LABELS[:0], {"one_hot": 3}).shape == (0, 3, 3)


@pytest.mark.parametrize("dim", [1, -1])
@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (-1, [2, 3, 4, 9]),
        (-3, [4, 9, 9, 9]),
        (-4, [9, 9, 9, 9]),
        (-7, [9, 9, 9, 9]),
        (0, [1, 2, 3, 4]),
        (1, [9, 1, 2, 3]),
        (2, [9, 9, 1, 2]),
        (4, [9, 9, 9, 9]),
        (50, [9, 9, 9, 9]),
    ],
)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32, torch.bfloat16])
def test_shift(dtype: torch.dtype, by: int, expected: list[int], dim: int) -> None:
    tensor = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 4]], dtype=dtype)
    found = transformed(tensor, {"shift": {"by": by, "dim": dim, "fill": 9}})
    assert found.dtype == dtype
    assert found.tolist() == [expected, expected]


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (torch.uint8, -100),
        (torch.uint8, 256),
        (torch.int32, 2**40),
        (torch.int64, 1e30),
        (torch.int64, 0.5),
        (torch.bool, 2),
    ],
)
def test_a_value_that_does_not_fit_the_dtype_is_an_error(dtype: torch.dtype, value: float) -> None:
    tensor = torch.zeros(2, dtype=dtype)
    for written in ({"full_like": value}, {"shift": {"by": 1, "dim": 0, "fill": value}}):
        assert f"does not fit {dtype}" in str(refused(tensor, written))


@pytest.mark.parametrize(
    ("written", "value"),
    [("ones_like", 1), ("zeros_like", 0), ({"full_like": 3}, 3), ({"full_like": 1.0}, 1)],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64, torch.uint8])
def test_constants_have_the_tensors_shape_and_dtype(
    dtype: torch.dtype, written: Any, value: int
) -> None:
    tensor = torch.full((2, 3), 7, dtype=dtype)
    if dtype.is_floating_point:
        tensor.requires_grad_()
    found = transformed(tensor, written)
    assert (found.dtype, found.requires_grad) == (dtype, False)
    assert found.tolist() == [[value] * 3] * 2


@pytest.mark.parametrize(
    ("tensor", "written"),
    [case[:2] for case in EVERY_CASE],
    ids=[str(written) for _, written, _ in EVERY_CASE],
)
def test_no_value_is_read_and_the_device_is_kept(tensor: Tensor, written: Any) -> None:
    # A meta tensor has no values: reading one raises.
    assert transformed(tensor.to("meta"), written).device.type == "meta"


@pytest.mark.parametrize(
    "written",
    [
        {"softmax": 3},
        {"transpose": [0, 3]},
        {"permute": [0, 1]},
        {"flatten": 3},
        {"flatten": {"start": -1, "end": 1}},
        {"squeeze": 3},
        {"unsqueeze": -5},
        {"select": {"index": 2, "dim": 0}},
        {"select": {"index": 0, "dim": 3}},
        {"slice": {"dim": 3}},
        {"slice": {"dim": -4}},
        {"shift": {"by": 1, "dim": 3, "fill": 0}},
    ],
    ids=str,
)
def test_a_dimension_or_index_that_there_is_not_is_torchs_error(written: Any) -> None:
    with pytest.raises(InputError, match=r"failed: .*[Dd]im"):
        transformed(X, written)


@pytest.mark.parametrize("dim", [3, -4])
def test_one_hot_along_a_dimension_that_there_is_not(dim: int) -> None:
    with pytest.raises(InputError, match="Dimension out of range"):
        transformed(LABELS, {"one_hot": {"classes": 3, "dim": dim}})


RIGHT: dict[Kind, list[Any]] = {
    INDICES: [],
    MASK: [],
    NUMBER: [0, -1, 2.5, 3.4e38, -1e-45],
    OVER: [0, -1, [1], [0, -1]],
    POSITIVE: [1, 0.5],
    SWITCH: [True, False],
    DIVISOR: [1, -0.5],
    WHOLE: [1, 0, -7, 2**31 - 1],
    COUNT: [1, 5],
    DIM: [0, -1, 3],
    DIMS: [[0], [1, 0, -1]],
    PAIR: [[0, 1], [-1, 1]],
    DTYPE: list(DTYPES),
}
WRONG: dict[Kind, list[Any]] = {
    INDICES: [1, [0], True, "1", None, {"a": 1}],
    MASK: [True, 1, [0], "-1", None, {"a": 1}],
    OVER: [1.0, True, "1", [], [1, 1], [0.0], [[0]]],
    POSITIVE: [0, -1, True, "1", None, float("inf"), 1e39],
    SWITCH: [0, 1, "true", None, [True]],
    NUMBER: [
        True,
        "1",
        "-.5",
        "inf",
        None,
        float("nan"),
        float("inf"),
        [1],
        {"a": 1},
        10**400,
        1e39,
        1e-46,
    ],
    DIVISOR: [0, 0.0, -0.0, True, "2", None],
    WHOLE: [1.0, True, "1", 2**31, -(2**31), [1]],
    COUNT: [0, -1, 1.0, True, None],
    DIM: [1.0, "1", True, 2**40],
    DIMS: [1, [1, 1], [0.0], ["a"], [True], [[0]]],
    PAIR: [[0], [1, 1], [0, 1, 2], [], 1, [0, "1"]],
    DTYPE: ["float", "torch.float32", "complex64", 32, None],
}
ARGUMENTS = [(name, argument) for name, entry in TRANSFORMS.items() for argument in entry.arguments]


@pytest.mark.parametrize("kind", RIGHT, ids=lambda kind: kind.wanted)
def test_a_kind_takes_its_values(kind: Kind) -> None:
    for value in RIGHT[kind]:
        assert kind.accepts(tuple(value) if isinstance(value, list) else value), value


@pytest.mark.parametrize(
    ("name", "argument"), ARGUMENTS, ids=[f"{name} {argument.name}" for name, argument in ARGUMENTS]
)
def test_an_argument_takes_nothing_but_its_kind(name: str, argument: Argument) -> None:
    needed = {
        other.name: (RIGHT[other.kind] or ["path"])[0]
        for other in TRANSFORMS[name].arguments
        if other.default is REQUIRED
    }
    for value in WRONG[argument.kind]:
        if value is None and argument.default is None:
            continue
        ((code, place, message),) = refusals({name: {**needed, argument.name: value}})
        assert (code, place) == ("LR211", f".{name}.{argument.name}"), (value, message)
        assert "expected" in message


@pytest.mark.parametrize("name", [name for name, entry in TRANSFORMS.items() if entry.arguments])
def test_an_argument_without_default_must_be_there(name: str) -> None:
    required = [
        argument.name for argument in TRANSFORMS[name].arguments if argument.default is REQUIRED
    ]
    # Without any, a rule may refuse it as well.
    for (code, _, message), missing in zip(refusals(name), required, strict=bool(required)):
        assert code == "LR211"
        assert message.startswith(f"'{name}' needs '{missing}' (")


@pytest.mark.parametrize(
    "name", [name for name, entry in TRANSFORMS.items() if not entry.arguments]
)
@pytest.mark.parametrize("value", [1, 0, False, "x", [1], {"dim": 1}])
def test_a_transform_without_arguments_takes_none(name: str, value: Any) -> None:
    ((code, _, message),) = refusals({name: value})
    assert code == "LR211"
    assert message.startswith(f"'{name}' takes no argument, found ")


@pytest.mark.parametrize(
    ("written", "place", "words"),
    [
        ({"flatten": {"start": 2, "end": 1}}, "start", "at most 'end' (1), found 2"),
        ({"flatten": {"start": -1, "end": -2}}, "start", "at most 'end' (-2), found -1"),
        ({"slice": {"dim": 0, "start": 3, "end": 1}}, "end", "above 'start' (3), found 1"),
        ({"slice": {"dim": 0, "start": -1, "end": -1}}, "end", "above 'start' (-1), found -1"),
        ({"slice": {"dim": 0, "start": -3, "end": 0}}, "end", "without 'end', the slice goes"),
        ({"slice": {"dim": 0, "end": 0}}, "end", "an 'end' other than 0"),
        ({"clamp": {"min": 2, "max": 2}}, "min", "a 'min' below 'max' (2), found 2"),
    ],
    ids=str,
)
def test_what_no_tensor_could_give_is_refused(written: Any, place: str, words: str) -> None:
    (name,) = written
    ((code, where, message),) = refusals(written)
    assert (code, where) == ("LR211", f".{name}.{place}")
    assert words in message


@pytest.mark.parametrize("name", TRANSFORMS)
def test_it_says_what_it_gives_in_a_row_of_the_docs(name: str) -> None:
    assert TRANSFORMS[name].gives.strip(". ") == TRANSFORMS[name].gives
    assert not set(TRANSFORMS[name].gives) & set("|\n")


@pytest.mark.parametrize(
    ("shape", "other", "words"),
    [
        ((2, 3), (3,), "found (3,) in 'by'; expected (2, 3), a 1 in each place"),
        ((2, 3), (3,), "give it {unsqueeze: 0}"),
        ((2, 3), (2,), "give it {unsqueeze: 1}"),
        ((3, 3), (3,), "give it {unsqueeze: 0} or {unsqueeze: 1}"),
        ((3,), (2, 3), "give the tensor before {unsqueeze: 0}"),
        ((3,), (3, 1), "give the tensor before {unsqueeze: 1}"),  # not 0, which makes all pairs
        ((3, 1), (3,), "give it {unsqueeze: 1}"),
        ((2, 3, 1), (1, 3), "give it {unsqueeze: 2}"),
        ((2, 3), (2, 4), "found (2, 4) in 'by'; expected (2, 3), a 1 in each place"),
        ((2, 3, 4), (4,), "give it an 'unsqueeze' for each dimension that it lacks"),
    ],
)
@pytest.mark.parametrize("name", ["add", "sub", "mul", "div"])
def test_nothing_is_aligned_on_the_right(name: str, shape: Any, other: Any, words: str) -> None:
    (term,) = load_config(with_transforms({name: "y"})).terms
    router = Router()
    router.add(term.inputs["input"], "fit", "input", optional=False)
    with pytest.raises(InputError) as raised:
        router.run({"x": torch.ones(shape), "y": torch.ones(other)})
    assert words in str(raised.value)
    assert (raised.value.term, raised.value.argument) == ("fit", "input")


ALIGNED = [
    ({"minimum": "y"}, "other"),
    ({"pow": "y"}, "exponent"),
    ({"eq": "y"}, "other"),
    ({"clamp": {"min": "y"}}, "min"),
    ({"clamp": {"max": "y"}}, "max"),
    ({"where": {"condition": "m", "other": 0}}, "condition"),
    ({"where": {"condition": "x_m", "other": "y"}}, "other"),
    ([{"gt": 0}, {"logical_and": "m"}], "mask"),
    ({"full_like": "y"}, "value"),
    ({"gather": {"index": "i", "dim": 1}}, "index"),
]


@pytest.mark.parametrize(("written", "argument"), ALIGNED, ids=str)
def test_no_argument_is_aligned_on_the_right(written: Any, argument: str) -> None:
    (term,) = load_config(with_transforms(written)).terms
    router = Router()
    router.add(term.inputs["input"], "fit", "input", optional=False)
    values = {"x": torch.ones(2, 3), "y": torch.ones(3), "i": torch.zeros(1, 3).long()}
    values |= {"m": torch.ones(3) > 0, "x_m": torch.ones(2, 3) > 0}
    with pytest.raises(InputError, match=rf"in '{argument}'; expected"):
        router.run(values)


@pytest.mark.parametrize(
    "written", [{"logical_and": "mask"}, [{"gt": 0}, {"logical_or": "y"}], "logical_not"], ids=str
)
def test_a_mask_is_bool(written: Any) -> None:
    message = str(refused(X, written))
    assert "expected a mask of bool, found torch.float32" in message
    assert "{gt: 0}, or write {cast: bool}" in message


def test_where_takes_a_mask_of_bool() -> None:
    written = {"where": {"condition": "y", "other": 0}}
    assert "found torch.float32 in 'condition'" in str(refused(X, written))


@pytest.mark.parametrize("name", [name for name, entry in TRANSFORMS.items() if entry.foreign])
def test_its_names_elsewhere_are_guessed(name: str) -> None:
    for word in TRANSFORMS[name].foreign:
        written, hint = word if isinstance(word, tuple) else (word, f"'{name}'")
        ((code, _, message),) = refusals(written)
        assert (code, message) == (
            "LR210",
            f"there is no transform '{written}'; did you mean {hint}?",
        )


@pytest.mark.parametrize(
    ("written", "mixes"),
    [
        ("exp", False),
        ("sum", True),
        ({"sum": 0}, True),
        ({"sum": [1, 0]}, True),
        ({"sum": [1, 2]}, False),
        ({"softmax": 0}, True),
        ("softmax", False),
        ("arange_like", True),
        ({"select": {"index": 0, "dim": 0}}, True),
        ({"slice": {"dim": 1, "end": 2}}, False),
        ({"shift": {"by": 1, "dim": 0, "fill": 0}}, True),
    ],
    ids=str,
)
def test_it_says_whether_it_mixes_rows(written: Any, mixes: bool) -> None:
    (term,) = load_config(with_transforms(written)).terms
    (transform,) = term.inputs["input"].transforms
    assert TRANSFORMS[transform.name].mixes_rows(dict(transform.arguments)) is mixes
