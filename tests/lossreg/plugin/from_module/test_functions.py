"""A loss that is a function: its defaults are parameters, what comes before them inputs."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from lossreg.plugin import Field, LossDefinition

if TYPE_CHECKING:
    from collections.abc import Callable


def weighted_focal_loss(
    logits: Tensor,
    targets: Tensor,
    weight: Tensor | None = None,
    gamma: float = 2.0,
    activation: Callable[[Tensor], Tensor] = torch.sigmoid,
    *,
    eps: float,
    reduction: str = "none",
) -> Tensor:
    """Focal loss. Of someone.

    Args:
        logits: Raw scores.
        gamma: How much easy examples count less.
    """
    chance = activation(logits)
    loss = ((chance - targets).abs() + eps) ** gamma
    if weight is not None:
        loss = loss * weight
    return loss if reduction == "none" else loss.mean()


def definition(**options: Any) -> LossDefinition:
    return LossDefinition.from_function(weighted_focal_loss, **options)


def test_what_a_signature_tells() -> None:
    made = definition(bounds={"gamma": Field(ge=0)})
    assert (made.name, made.summary, made.generated) == ("weighted_focal", "Focal loss", True)
    assert [entry.name for entry in made.inputs] == ["logits", "targets"]
    assert [entry.gradient for entry in made.inputs] == [True, False]
    assert made.inputs[0].meaning == "Raw scores."
    fields = made.config.model_fields
    assert list(fields) == ["weight", "gamma", "eps", "reduction"]
    assert fields["gamma"].description == "How much easy examples count less."
    assert fields["eps"].is_required()
    assert made.reductions == ("mean",)
    assert list(made.not_offered) == ["activation", "reduction"]
    assert made.compiles is None


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    return logits, torch.rand(4, 3, generator=generator, dtype=torch.float64)


def test_the_module_is_the_function_with_its_parameters() -> None:
    made = definition()
    config: Any = made.config
    module: Any = made.build(config(weight=[1, 2, 3], eps=0.5, gamma=1.5)).double()
    weight = torch.tensor([1, 2, 3], dtype=torch.float64)
    expected = weighted_focal_loss(*batch(), weight=weight, eps=0.5, gamma=1.5, reduction="mean")
    assert module(*batch()).equal(expected)
    assert dict(module.named_buffers()).keys() == {"weight"}
    assert module.state_dict() == {}
    assert module.extra_repr() == "weighted_focal_loss, gamma=1.5, eps=0.5, reduction='mean'"


def test_it_pickles_and_compiles() -> None:
    made = definition()
    config: Any = made.config
    module = made.build(config(weight=[1, 2, 3], eps=0.5))
    twin = pickle.loads(pickle.dumps(module))
    assert twin(*batch()).equal(module(*batch()))
    assert pickle.loads(pickle.dumps(made.config)) is made.config
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    values = []
    for called in (module, compiled):
        logits, targets = batch()
        value = called(logits, targets)
        value.backward()
        assert logits.grad is not None
        values.append((value.detach(), logits.grad))
    torch.testing.assert_close(*values)


def test_torchs_own_functions_can_be_described() -> None:
    made = LossDefinition.from_function(nn.functional.huber_loss)
    assert made.name == "huber"
    assert {name: field.default for name, field in made.config.model_fields.items()} == {
        "reduction": "mean",
        "delta": 1.0,
        "weight": None,
    }


def nested() -> Callable[..., Tensor]:
    def inner(input: Tensor) -> Tensor:  # noqa: A002
        return input.sum()

    return inner


def without_inputs(*, gamma: float = 1.0) -> Tensor:
    return torch.tensor(gamma)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda input: input, "takes a function at the top level of a module"),  # noqa: A006
        (nested(), "takes a function at the top level of a module"),
        (nn.L1Loss, "takes a function at the top level of a module"),
        (without_inputs, "without_inputs is not called with a named argument"),
    ],
    ids=["lambda", "nested", "class", "no inputs"],
)
def test_what_is_no_function_of_inputs(function: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        LossDefinition.from_function(function)
