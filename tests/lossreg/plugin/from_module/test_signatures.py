"""What `**kwargs` stand for: the base class's parameters, where nothing else is done with them."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor, nn

from lossreg.plugin import LossDefinition


class Base(nn.Module):
    def __init__(self, margin: float = 1.0, *, power: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.margin, self.power = margin, power

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return input.sum()


class Between(Base):
    pass


class HandsOn(Between):
    def __init__(self, scale: float = 3.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale


class GivesByName(HandsOn):
    def __init__(self, *args: Any, temperature: float = 0.1, **kwargs: Any) -> None:
        super().__init__(*args, power=3, **kwargs)
        self.temperature = temperature


class GivesByPosition(Base):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(5.0, **kwargs)


class OwnDefault(Base):
    def __init__(self, margin: float = 4.0, **kwargs: Any) -> None:
        super().__init__(margin=margin, **kwargs)


class SetsDefault(Base):
    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("margin", 9.0)
        super().__init__(**kwargs)


class Swallows(Base):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        self.kwargs = kwargs


class Demands(Base):
    def __init__(self, **kwargs: Any) -> None:
        sizes = kwargs["sizes"]
        super().__init__(margin=sizes)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (HandsOn, {"scale": 3.0, "margin": 1.0, "power": 2}),
        (GivesByName, {"temperature": 0.1, "scale": 3.0, "margin": 1.0}),
        (GivesByPosition, {"power": 2}),
        (OwnDefault, {"margin": 4.0, "power": 2}),
        (SetsDefault, {}),
        (Swallows, {}),
    ],
)
def test_each_default_is_the_one_that_the_class_has(
    module: type[nn.Module], expected: dict[str, Any]
) -> None:
    definition = LossDefinition.from_module(module)
    fields = definition.config.model_fields
    assert {name: field.default for name, field in fields.items()} == expected
    own, built = module(), definition.build(definition.config())
    assert {name: getattr(own, name) for name in ("margin", "power")} == {
        name: getattr(built, name) for name in ("margin", "power")
    }
    listed = {} if expected else {"kwargs": "takes any number of arguments"}
    assert definition.not_offered == listed


def test_a_value_reaches_the_base() -> None:
    definition = LossDefinition.from_module(GivesByName)
    built: Any = definition.build(definition.config(margin=7.0))  # type: ignore[call-arg]
    assert (built.margin, built.power) == (7.0, 3)


def test_what_is_read_out_of_the_keywords_must_be_given() -> None:
    with pytest.raises(TypeError, match="'sizes' has neither an annotation nor a default"):
        LossDefinition.from_module(Demands)
    definition = LossDefinition.from_module(Demands, types={"sizes": float})
    built: Any = definition.build(definition.config(sizes=2.0))  # type: ignore[call-arg]
    assert built.margin == 2.0
