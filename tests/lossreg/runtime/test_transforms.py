"""Each transform against the same thing written in torch, forward and backward."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from lossreg.config import load_config
from lossreg.runtime.transforms import FUNCTIONS
from lossreg.vocabulary.inputs import DTYPES, TRANSFORMS

X = torch.tensor([[[0.5, -1.0, 2.0, 0.0]] * 3, [[1.5, 3.0, -2.0, 0.25]] * 3])  # 2 3 4
LABELS = torch.tensor([[0, 2, 1], [1, 0, 2]])


def transformed(tensor: Tensor, written: Any) -> Tensor:
    """What a config's `apply` makes of a tensor."""
    route = {"from": "x", "apply": written}
    term = {"type": "value", "inputs": [route]}
    (transforms,) = (
        each.inputs["input"].transforms for each in load_config({"terms": {"a": term}}).terms
    )
    for each in transforms:
        tensor = FUNCTIONS[each.name](tensor, **dict(each.arguments))
    return tensor


CASES: list[tuple[Any, Any]] = [
    ({"div": 4}, lambda x: x / 4),
    ({"div": {"by": 0.3}}, lambda x: x / 0.3),
    ({"mul": -2.5}, lambda x: x * -2.5),
    ({"mul": 0}, lambda x: x * 0),
    ({"add": 1.5}, lambda x: x + 1.5),
    ("softmax", lambda x: functional.softmax(x, dim=-1)),
    ({"softmax": None}, lambda x: functional.softmax(x, dim=-1)),
    ({"softmax": 1}, lambda x: functional.softmax(x, dim=1)),
    ("log_softmax", lambda x: functional.log_softmax(x, dim=-1)),
    ({"log_softmax": {"dim": 0}}, lambda x: functional.log_softmax(x, dim=0)),
    ("sigmoid", torch.sigmoid),
    ({"transpose": [0, -1]}, lambda x: x.transpose(0, 2)),
    ({"permute": [2, 0, 1]}, lambda x: x.permute(2, 0, 1)),
    ("flatten", lambda x: x.reshape(24)),
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
        [{"div": 2}, {"softmax": 1}, {"select": {"index": 0, "dim": 0}}],
        lambda x: (x / 2).softmax(1)[0],
    ),
]


@pytest.mark.parametrize(("written", "oracle"), CASES, ids=[str(each) for each, _ in CASES])
def test_a_transform_is_torchs_with_its_gradient(written: Any, oracle: Any) -> None:
    leaves = [X.clone().requires_grad_() for _ in range(2)]
    found, expected = transformed(leaves[0], written), oracle(leaves[1])
    assert found.dtype == expected.dtype
    assert torch.equal(found, expected)
    weights = torch.linspace(-1, 2, max(expected.numel(), 1))[: expected.numel()]
    for leaf, value in zip(leaves, (found, expected), strict=True):
        (value * weights.reshape(value.shape)).sum().backward()
        assert leaf.grad is not None
    assert torch.equal(leaves[0].grad, leaves[1].grad)


def test_every_transform_has_a_function_and_a_test() -> None:
    assert set(FUNCTIONS) == set(TRANSFORMS)
    tested = str([written for written, _ in CASES])
    apart = {"detach", "one_hot", "shift", "ones_like", "zeros_like", "full_like"}
    assert {name for name in TRANSFORMS if name not in tested} == apart


def test_detached_is_the_same_tensor_without_its_graph() -> None:
    leaf = X.clone().requires_grad_()
    found = transformed(leaf, "detach")
    assert not found.requires_grad
    assert found.data_ptr() == leaf.data_ptr()


def test_integers_stay_integers_where_arithmetic_lets_them() -> None:
    assert transformed(LABELS, {"add": -1}).dtype == torch.int64
    assert transformed(LABELS, {"mul": 2}).dtype == torch.int64
    assert transformed(LABELS, {"mul": 2.0}).dtype == torch.float32
    assert transformed(LABELS, {"div": 2}).dtype == torch.float32


@pytest.mark.parametrize("dtype", DTYPES)
def test_cast(dtype: str) -> None:
    assert transformed(LABELS, {"cast": dtype}).dtype == getattr(torch, dtype)


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
    with pytest.raises(ValueError, match=f"expected class indices from 0 to 2, found {wrong}"):
        transformed(torch.tensor([0, wrong]), {"one_hot": 3})


def test_one_hot_of_floats_is_an_error() -> None:
    with pytest.raises(TypeError, match="expected class indices, an integer tensor"):
        transformed(LABELS.float(), {"one_hot": 3})


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


def test_shift_along_another_dimension_with_its_gradient() -> None:
    leaf = X.clone().requires_grad_()
    found = transformed(leaf, {"shift": {"by": 1, "dim": 0, "fill": -0.5}})
    assert torch.equal(found, torch.stack([torch.full((3, 4), -0.5), X[0]]))
    found.sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [[[1.0] * 4] * 3, [[0.0] * 4] * 3]


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
    with pytest.raises(ValueError, match=rf"does not fit {dtype}"):
        transformed(tensor, {"full_like": value})
    with pytest.raises(ValueError, match=rf"does not fit {dtype}"):
        transformed(tensor, {"shift": {"by": 1, "dim": 0, "fill": value}})


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


ON_LABELS: list[Any] = [
    {"one_hot": {"classes": 3, "ignore": 1}},
    {"shift": {"by": -1, "dim": 1, "fill": -100}},
    {"full_like": 2},
    {"cast": "float32"},
    {"add": 1},
]


@pytest.mark.parametrize("written", [*(each for each, _ in CASES), *ON_LABELS], ids=str)
def test_no_value_is_read_and_the_device_is_kept(written: Any) -> None:
    # A meta tensor has no values: reading one raises.
    tensor = (LABELS if written in ON_LABELS else X).to("meta")
    assert transformed(tensor, written).device.type == "meta"


@pytest.mark.parametrize(
    "written",
    [
        {"softmax": 3},
        {"transpose": [0, 3]},
        {"permute": [0, 1]},
        {"flatten": 3},
        {"flatten": {"start": 2, "end": 1}},
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
    with pytest.raises((IndexError, RuntimeError), match=r"[Dd]im"):
        transformed(X, written)


@pytest.mark.parametrize("dim", [3, -4])
def test_one_hot_along_a_dimension_that_there_is_not(dim: int) -> None:
    with pytest.raises(IndexError, match="Dimension out of range"):
        transformed(LABELS, {"one_hot": {"classes": 3, "dim": dim}})
