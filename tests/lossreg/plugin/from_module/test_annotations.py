"""What each annotation, or default without one, takes; and what is refused by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Annotated, Any, List, Literal, Optional, Tuple, Union  # noqa: UP035

import pytest
import torch
from pydantic import Field, ValidationError
from torch import Tensor, nn

from lossreg.config.declare.parameters import validated
from lossreg.config.faults.faults import Faults
from lossreg.config.read.python import from_python
from lossreg.plugin import LossDefinition

if TYPE_CHECKING:
    from decimal import Decimal


class Mode(Enum):
    HARD = "hard"
    SOFT = "soft"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Opaque(Enum):
    A = object()


class Base(nn.Module):
    """A loss.

    Args:
        maybe (float, optional): A number.
        scale (torch.Tensor, optional): Class weights.
    """

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__()
        self.given = {k: v for k, v in given.items() if k not in ("self", "__class__")}

    def forward(self, x: Tensor) -> Tensor:
        return x.sum()


class Annotated_(Base):  # noqa: N801
    def __init__(
        self,
        a: float = 1.0,
        b: int = 1,
        c: bool = False,
        d: str = "x",
        e: Literal["p", "q"] = "p",
        f: Optional[float] = None,  # noqa: UP045
        g: float = None,  # type: ignore[assignment]  # noqa: RUF013
        h: List[float] = (1.0, 2.0),  # type: ignore[assignment]  # noqa: UP006
        i: Tuple[int, int] = (1, 2),  # noqa: UP006
        j: Sequence[str] = (),
        k: Mode = Mode.HARD,
        l: Level | None = None,  # noqa: E741
        m: int | float = 2,  # noqa: PYI041
        n: float | list[float] | None = None,
        o: Union[Tensor, float, None] = None,  # noqa: UP007
        p: torch.FloatTensor | list[float] | None = None,
        q: Annotated[float, Field(ge=0)] = 0.0,
        r: Mode | float = 0.5,
        s: str | None = None,
    ) -> None:
        super().__init__(locals())


class Unannotated(Base):
    def __init__(  # type: ignore[no-untyped-def]  # noqa: ANN204
        self,
        gamma=2,  # noqa: ANN001
        eps=1e-6,  # noqa: ANN001
        full=False,  # noqa: ANN001
        mode="x",  # noqa: ANN001
        sizes=(1, 2.5),  # noqa: ANN001
        words=["a"],  # noqa: B006, ANN001
        level=Level.LOW,  # noqa: ANN001
        maybe=None,  # noqa: ANN001
        scale=None,  # noqa: ANN001
        reduction="mean",  # noqa: ANN001
    ):
        super().__init__(locals())


def built(module: type[Base], **params: Any) -> dict[str, Any]:
    definition = LossDefinition.from_module(module)
    made: Any = definition.build(definition.config(**params))
    given: dict[str, Any] = made.given
    return given


def test_defaults_reach_the_module_as_they_are() -> None:
    found = built(Annotated_)
    assert found == Annotated_().given | {"h": [1.0, 2.0]}
    assert (found["k"], found["r"]) == (Mode.HARD, 0.5)
    assert built(Unannotated) == Unannotated().given  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("module", "params"),
    [
        (Annotated_, {"a": 2, "b": 3, "c": True, "d": "y", "e": "q", "f": 0.5, "g": 0.5}),
        (Annotated_, {"h": [3.0], "i": (3, 4), "j": ("u", "v"), "m": 3, "n": 0.5, "o": 0.25}),
        (Annotated_, {"m": 2.5, "n": [1.0, 2.0], "q": 3.0, "s": "word"}),
        (Unannotated, {"gamma": 1.5, "eps": 1, "full": True, "mode": "y", "maybe": 0.5}),
        (Unannotated, {"gamma": 3, "sizes": (3, 0.5), "words": ["b", "c"]}),
    ],
)
def test_values_reach_the_module_as_they_are(module: type[Base], params: dict[str, Any]) -> None:
    found = built(module, **params)
    for name, value in params.items():
        assert found[name] == value
        assert type(found[name]) in (type(value), float)


def test_whole_numbers_stay_whole_where_either_will_do() -> None:
    assert type(built(Unannotated, gamma=3)["gamma"]) is int
    assert type(built(Annotated_, m=3)["m"]) is int


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"k": "soft"}, Mode.SOFT),
        ({"k": Mode.SOFT}, Mode.SOFT),
        ({"l": 2}, Level.HIGH),
        ({"r": "soft"}, Mode.SOFT),
    ],
    ids=str,
)
def test_an_enumeration_is_written_by_its_values(params: dict[str, Any], expected: Enum) -> None:
    (name,) = params
    assert built(Annotated_, **params)[name] is expected


@pytest.mark.parametrize("name", ["o", "p"])
def test_an_optional_tensor_is_class_weights(name: str) -> None:
    for given in ([1, 2], torch.tensor([1.0, 2.0])):
        found = built(Annotated_, **{name: given})[name]
        assert isinstance(found, Tensor)
        assert found.tolist() == [1.0, 2.0]
    assert built(Unannotated, scale=[1, 2])["scale"].tolist() == [1.0, 2.0]
    with pytest.raises(ValidationError, match="no negative number"):
        built(Annotated_, **{name: [-1.0]})


@pytest.mark.parametrize(
    ("module", "params", "code"),
    [
        (Annotated_, {"a": "x"}, "LR201"),
        (Annotated_, {"b": 1.5}, "LR201"),
        (Annotated_, {"c": 1}, "LR201"),
        (Annotated_, {"e": "z"}, "LR203"),
        (Annotated_, {"h": 1.0}, "LR201"),
        (Annotated_, {"i": [1]}, "LR202"),
        (Annotated_, {"k": "none"}, "LR203"),
        (Annotated_, {"l": 3}, "LR203"),
        (Annotated_, {"n": "x"}, "LR209"),
        (Annotated_, {"n": True}, "LR209"),
        (Annotated_, {"n": ["x"]}, "LR201"),
        (Annotated_, {"o": [0.0]}, "LR208"),
        (Annotated_, {"q": -1.0}, "LR202"),
        (Annotated_, {"r": "none"}, "LR203"),
        (Unannotated, {"gamma": "x"}, "LR201"),
        (Unannotated, {"gamma": True}, "LR201"),
        (Unannotated, {"full": 1}, "LR201"),
        (Unannotated, {"sizes": ["x"]}, "LR201"),
        (Unannotated, {"reduction": "avg"}, "LR203"),
        (Unannotated, {"reduction": "sum"}, "LR203"),
    ],
    ids=str,
)
def test_a_wrong_value_is_one_fault(module: type[Base], params: dict[str, Any], code: str) -> None:
    faults, model = Faults(), LossDefinition.from_module(module).config
    assert validated(model, from_python(params), owner="odd", path="p", faults=faults) is None
    (found,) = faults.sorted()
    assert found.code == code


class Refused(nn.Module):
    def __init__(  # type: ignore[no-untyped-def]  # noqa: ANN204
        self,
        bare,  # noqa: ANN001
        a: Callable[[Tensor], Tensor],
        b: nn.Module | None,
        c: Tensor,
        d: Tensor | float,
        e: Any,
        f: dict[str, float],
        g: list[Tensor],
        h: list,  # type: ignore[type-arg]
        i: Decimal,
        j: Opaque,
        m: None,
        r: float = 2.5,
    ):
        pass

    def forward(self, x: Tensor) -> Tensor:
        return x


class PositionalOnly(nn.Module):
    def __init__(self, a: float, /) -> None:
        pass


class KeepsDefaults(nn.Module):
    def __init__(  # type: ignore[no-untyped-def]  # noqa: ANN204
        self,
        kept: float = 1.0,
        n=torch.relu,  # noqa: ANN001
        o=None,  # noqa: ANN001
        p=(),  # noqa: ANN001
        q=torch.ones(2),  # noqa: ANN001, B008
        r: int = 2.5,  # type: ignore[assignment]
        s: float = float("inf"),
        t: Callable[[Tensor], Tensor] | None = None,
        _u: int = 1,
        copy: int = 1,
        *more: float,
        **others: float,
    ):
        super().__init__()
        self.values = (kept, n, o, p, q, r, s, t, _u, copy, more, others)

    def forward(self, x: Tensor) -> Tensor:
        return x


NOT_OFFERED = {
    "n": "has no annotation, and its default",
    "o": "has no annotation, and its default None",
    "p": "has no annotation, and its default ()",
    "q": "has a tensor as its default",
    "r": "has a default, 2.5, that is not of its type",
    "s": "has a default, inf, that is not of its type",
    "t": "is collections.abc.Callable",
    "_u": "has a name that a config cannot have",
    "copy": "has a name that a config cannot have",
    "more": "takes any number of arguments",
    "others": "takes any number of arguments",
}


def test_what_has_a_default_and_no_form_in_yaml_keeps_it_and_is_listed() -> None:
    definition = LossDefinition.from_module(KeepsDefaults)
    assert list(definition.config.model_fields) == ["kept"]
    assert list(definition.not_offered) == list(NOT_OFFERED)
    for name, reason in NOT_OFFERED.items():
        assert definition.not_offered[name].startswith(reason)
    built: Any = definition.build(definition.config())
    own = KeepsDefaults()  # type: ignore[no-untyped-call]
    assert [str(value) for value in built.values] == [str(value) for value in own.values]


class Worded(Base):
    def __init__(
        self,
        a: Mode | str = Mode.HARD,
        b: Mode | str = "hard",
        c: Literal["p", "q"] | str = "p",  # noqa: PYI051
        d: Mode | str | None = None,
        e: Mode | str | float = 0.5,
    ) -> None:
        super().__init__(locals())


def test_words_or_any_text_are_the_words() -> None:
    assert built(Worded) == Worded().given
    for name, words in {"a": ("hard", "soft"), "b": ("hard", "soft"), "c": ("p", "q")}.items():
        for word in words:
            assert built(Worded, **{name: word})[name] == (Mode(word) if name == "a" else word)
    assert built(Worded, d="soft", e="soft") == Worded(d="soft", e="soft").given
    for name in "abcde":
        with pytest.raises(ValidationError, match=r"'hard' or 'soft'|'p' or 'q'"):
            built(Worded, **{name: "other"})


REFUSED = {
    "bare": "has neither an annotation nor a default",
    "a": "is collections.abc.Callable",
    "b": "is Module, which cannot be written in YAML",
    "c": "is a required tensor",
    "d": "is a required tensor",
    "e": "is Any",
    "f": "is dict",
    "g": "is a list of Tensor",
    "h": "is list",
    "i": "is annotated 'Decimal', which cannot be resolved",
    "j": "is Opaque, whose members are not all words or numbers",
    "m": "is None",
}


@pytest.fixture(scope="module")
def refusal() -> str:
    with pytest.raises(TypeError) as raised:
        LossDefinition.from_module(Refused)
    return str(raised.value)


@pytest.mark.parametrize(("name", "reason"), REFUSED.items(), ids=REFUSED)
def test_what_cannot_be_described_is_refused_by_name(name: str, reason: str, refusal: str) -> None:
    assert refusal.startswith("Refused cannot be described by its signature: ")
    assert refusal.endswith("or write a LossConfig by hand and give it to from_module as config")
    assert f"{name!r} {reason}" in refusal


def test_what_can_be_described_is_not_named_among_it(refusal: str) -> None:
    assert "'r'" not in refusal


def test_a_positional_parameter_without_a_default_is_refused() -> None:
    with pytest.raises(TypeError, match="'a' is positional-only"):
        LossDefinition.from_module(PositionalOnly)
