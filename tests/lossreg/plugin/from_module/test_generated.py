"""A stranger's module, from its class to a composite: nobody wrote a config for it."""

from __future__ import annotations

import copy
import pickle
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import torch
from torch import nn

import lossreg
from lossreg.errors import ConfigError, PluginLoadError
from lossreg.plugin import (
    ClassWeights,
    Field,
    LossConfig,
    LossDefinition,
    LossInput,
    Reduction,
    hookimpl,
)
from lossreg.registry import Registry
from lossreg.testing import LossContract

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fake_distributions import Site

FOCAL = '''
from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from lossreg.plugin import LossDefinition, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class FocalLoss(nn.Module):
    """Focal loss: what is easy counts less. Of Lin and others.

    Args:
        gamma: How much less it counts.
        weight: One number a class.
    """

    def __init__(self, gamma=2, weight: Tensor | None = None, reduction: str = "mean") -> None:
        super().__init__()
        self.gamma, self.reduction = gamma, reduction
        self.weight = weight
        self.cross_entropy = nn.CrossEntropyLoss(weight=weight, reduction="none")

    def forward(self, logits: Tensor, labels: Tensor, scale: float = 1.0) -> Tensor:
        """The loss.

        Args:
            logits: Raw scores.
        """
        entropy = self.cross_entropy(logits, labels)
        loss = (1 - torch.exp(-entropy)) ** self.gamma * entropy
        return {"mean": loss.mean, "sum": loss.sum, "none": loss.clone}[self.reduction]()


@hookimpl
def lossreg_losses() -> list[LossDefinition]:
    return [LossDefinition.from_module(FocalLoss, reductions=("mean", "sum", "none"))]
'''


@pytest.fixture
def registry(site: Site) -> Registry:
    site.module("acme_focal", FOCAL)
    return Registry.installed().with_plugins("acme_focal")


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "logits": torch.randn(4, 3, generator=generator),
        "labels": torch.tensor([0, 2, 1, 1]),
    }


class TestFocal(LossContract):
    loss = "focal"
    params: ClassVar[Mapping[str, Any]] = {"weight": [1.0, 2.0, 0.5]}

    @pytest.fixture(autouse=True)
    def _with_registry(self, registry: Registry) -> None:
        self.found = registry

    def registry(self) -> Registry:
        return self.found

    def batch(self) -> dict[str, torch.Tensor]:
        return batch()


def test_what_a_signature_tells(registry: Registry) -> None:
    definition = registry["focal"]
    assert definition.generated
    assert definition.summary == "Focal loss: what is easy counts less"
    assert definition.reductions == ("mean", "sum", "none")
    fields = definition.config.model_fields
    assert list(fields) == ["gamma", "weight", "reduction"]
    assert [each.default for each in fields.values()] == [2, None, "mean"]
    assert fields["gamma"].description == "How much less it counts."
    assert str(fields["reduction"].description).startswith("How the loss becomes one value")
    logits, labels, scale = definition.inputs
    assert (scale.name, scale.holds, scale.optional) == ("scale", "number", True)
    assert (logits.name, logits.meaning, logits.dtype) == ("logits", "Raw scores.", "float")
    assert (labels.name, labels.dtype) == ("labels", "float or int")
    assert labels.meaning == "the argument labels of FocalLoss"
    assert (logits.gradient, labels.gradient) == (True, False)


def test_it_is_the_class_that_is_built(registry: Registry) -> None:
    module: Any = lossreg.create("focal", registry=registry, gamma=1.5, weight=[1, 2, 1])
    assert type(module).__name__ == "FocalLoss"
    assert module.gamma == 1.5
    expected = type(module)(gamma=1.5, weight=torch.tensor([1.0, 2.0, 1.0]))
    values = batch().values()
    assert module(*values).equal(expected(*values))


def term(**params: Any) -> dict[str, Any]:
    return {"type": "focal", "inputs": ["logits", "labels"], "params": params}


def test_class_weights_go_where_the_loss_goes_and_are_no_state(registry: Registry) -> None:
    loss = lossreg.build({"terms": {"a": term(weight=[1, 2, 3])}}, registry=registry)
    assert loss.state_dict() == {}
    module = loss.double().terms.a
    for weight in (module.weight, module.cross_entropy.weight):
        assert torch.equal(weight, torch.tensor([1, 2, 3], dtype=torch.float64))
    alone = lossreg.create("focal", registry=registry, weight=[1, 2, 3])
    assert set(alone.state_dict()) == {"cross_entropy.weight"}  # as the class itself has it
    values = {
        name: each.double() if each.is_floating_point() else each for name, each in batch().items()
    }
    assert loss(values).terms["a"] == alone.double()(*values.values())


def test_a_composite_of_it_copies_and_pickles(registry: Registry) -> None:
    loss = lossreg.build({"terms": {"a": term(weight=[1, 2, 3])}}, registry=registry)
    expected = loss(batch()).total
    for twin in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert twin(batch()).total.equal(expected)
    config = registry["focal"].config
    assert pickle.loads(pickle.dumps(config)) is config
    assert pickle.loads(pickle.dumps(config(gamma=3))) == config(gamma=3)


@pytest.mark.parametrize(
    ("text", "code", "at", "message"),
    [
        ("{gama: 1}", "LR103", "gama", "unknown parameter of 'focal'; did you mean 'gamma'?"),
        ("{gamma: x}", "LR201", "x}", "expected a number, found the string 'x'"),
        ("{weight: [1, -1]}", "LR208", "-1", "expected no negative number"),
        ("{reduction: avg}", "LR203", "avg", "did you mean 'mean'?"),
    ],
)
def test_a_faulty_parameter_is_located_as_any_other(
    registry: Registry, text: str, code: str, at: str, message: str
) -> None:
    document = f"terms: {{a: {{type: focal, params: {text}}}}}"
    with pytest.raises(ConfigError) as raised:
        lossreg.load_config(document.encode(), registry=registry)
    (found,) = raised.value.diagnostics
    assert (found.code, found.line, found.column) == (code, 1, document.rindex(at) + 1)
    assert message in found.message


def test_without_shapes_nothing_is_masked_but_samples_are_weighted(registry: Registry) -> None:
    for key in ("mask", "ignore"):
        with pytest.raises(
            ConfigError, match="does not declare the shapes of its inputs"
        ) as raised:
            lossreg.load_config({"terms": {"a": {**term(), key: 1}}}, registry=registry)
        assert raised.value.diagnostics[-1].code == "LR213"
    weighted = {**term(), "sample_weight": "w", "divide_by": "weights"}
    loss = lossreg.build({"terms": {"a": weighted}}, registry=registry)
    weight = torch.tensor([1.0, 0.0, 2.0, 1.0])
    each = lossreg.create("focal", registry=registry, reduction="none")(*batch().values())
    found = loss({**batch(), "w": weight}).total
    torch.testing.assert_close(found, (each * weight).sum() / 4)
    # The weights' shape is taken for the loss's, which the forward pass compares.
    assert loss.denominators([{**batch(), "w": weight}]).values.tolist() == [4]
    bare = lossreg.build({"terms": {"a": term()}}, registry=registry)
    with pytest.raises(lossreg.InputError, match="cannot be read from its targets"):
        bare.denominators([batch()])


class Plain(nn.Module):
    def __init__(self, beta: float = 1.0, weight: torch.Tensor | None = None) -> None:
        super().__init__()
        self.beta = beta
        self.register_buffer("weight", weight)

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:  # noqa: A002
        return nn.functional.smooth_l1_loss(input, target, beta=self.beta)


class PlainConfig(LossConfig):
    beta: float = Field(1.0, ge=0, description="Where it turns.")
    weight: ClassWeights | None = Field(None, description="One number a class.")


def test_a_config_written_by_hand_wins() -> None:
    definition = LossDefinition.from_module(Plain, config=PlainConfig, name="plain")
    assert definition.config is PlainConfig
    assert not definition.generated
    module = definition.build(PlainConfig(beta=0.5, weight=(1.0, 2.0)))
    assert module.beta == 0.5
    assert module.weight is not None
    assert module.weight.tolist() == [1.0, 2.0]


class Missing(LossConfig):
    pass


class Unknown(LossConfig):
    reduction: Reduction = "mean"


class Needy(nn.Module):
    def __init__(self, beta: float) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum() * self.beta


def test_a_config_that_does_not_fit_the_class_is_refused() -> None:
    message = "Unknown has a field 'reduction' that is not a parameter of Plain"
    with pytest.raises(TypeError, match=message):
        LossDefinition.from_module(Plain, config=Unknown)
    with pytest.raises(TypeError, match="Missing has no field for the parameter 'beta' of Needy"):
        LossDefinition.from_module(Needy, config=Missing)
    with pytest.raises(TypeError, match="must be a subclass of LossConfig"):
        LossDefinition.from_module(Plain, config=dict)  # type: ignore[arg-type]


def test_a_parameter_without_a_default_must_be_given() -> None:
    definition = LossDefinition.from_module(Needy)
    with pytest.raises(ValueError, match="beta"):
        definition.config()
    assert definition.build(definition.config(beta=2.0)).beta == 2.0  # type: ignore[call-arg]


def test_fields_that_are_given_win() -> None:
    inputs = (LossInput(name="input", meaning="scores"), LossInput(name="target", meaning="truth"))
    definition = LossDefinition.from_module(
        Plain, name="mine", inputs=inputs, unreduced="*", summary="Made up", formula="x"
    )
    assert (definition.name, definition.inputs, definition.unreduced) == ("mine", inputs, "*")
    assert (definition.summary, definition.formula) == ("Made up", "x")
    assert definition.target == "target"
    assert LossDefinition.from_module(Plain).target is None
    assert LossDefinition.from_module(Plain).summary == f"Plain of {__name__}"


class NoForward(nn.Module):
    pass


class Gathers(nn.Module):
    def forward(self, *tensors: torch.Tensor, **more: torch.Tensor) -> torch.Tensor:
        return torch.stack(tensors).sum() + len(more)


class ByKeyword(nn.Module):
    def forward(
        self,
        x: torch.Tensor,
        *,
        y: torch.Tensor,
        mask: torch.Tensor | None = None,
        ref=None,  # noqa: ANN001
        epoch: int | None = None,
        scale=1.0,  # noqa: ANN001
        mode: str = "x",
    ) -> torch.Tensor:
        assert ref is epoch is None
        assert mode == "x"
        loss = (x - y) ** 2 * scale
        return (loss if mask is None else loss * mask).mean()


class OfList(nn.Module):
    def forward(self, views: list[torch.Tensor]) -> torch.Tensor:
        return views[0].sum()


class OfDict(nn.Module):
    def forward(self, outputs: dict[str, torch.Tensor]) -> torch.Tensor:
        return outputs["a"].sum()


class OfCallable(nn.Module):
    def forward(
        self, x: torch.Tensor, operator: Callable[[torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        return operator(x).sum()


def test_an_argument_that_may_be_none_is_an_input_that_may_be_left_out() -> None:
    definition = LossDefinition.from_module(ByKeyword)
    assert [(entry.name, entry.optional) for entry in definition.inputs] == [
        ("x", False),
        ("y", False),
        ("mask", True),
        ("ref", True),
        ("epoch", True),
        ("scale", True),
    ]
    assert [entry.holds for entry in definition.inputs] == ["tensor"] * 4 + ["number"] * 2
    assert definition.call == "keyword"
    assert definition.not_offered == {"mode": "is left at 'x' in each call"}
    assert [entry.holds for entry in LossDefinition.from_module(OfList).inputs] == ["list"]
    module = ModuleType("acme_by_keyword")
    vars(module)["lossreg_losses"] = hookimpl(lambda: [definition], specname="lossreg_losses")
    registry = Registry([]).with_plugins(module)
    values = {"a": torch.ones(4), "b": torch.zeros(4), "m": torch.tensor([1.0, 0.0, 0.0, 0.0])}
    for inputs, expected in ({"x": "a", "y": "b"}, 1.0), ({"x": "a", "y": "b", "mask": "m"}, 0.25):
        term = {"type": "by_keyword", "inputs": inputs}
        loss = lossreg.build({"terms": {"fit": term}}, registry=registry)
        assert loss({**values, "a": values["a"].requires_grad_()}).total == expected


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (NoForward, "NoForward.forward is not called with a named argument; pass `inputs`"),
        (Gathers, "Gathers.forward is not called with a named argument"),
        (OfDict, "OfDict.forward is called with 'outputs', which is dict: not a tensor, a list"),
        (OfCallable, "OfCallable.forward is called with 'operator', which is Callable"),
        (nn.L1Loss(), "takes a class of torch.nn.Module, not L1Loss"),
        (dict, "takes a class of torch.nn.Module, not <class 'dict'>"),
    ],
    ids=str,
)
def test_what_is_no_loss(module: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        LossDefinition.from_module(module)


def test_torchs_own_losses_can_be_described() -> None:
    definition = LossDefinition.from_module(nn.GaussianNLLLoss)
    assert definition.name == "gaussian_nll"
    fields = definition.config.model_fields
    assert list(fields) == ["full", "eps", "reduction"]
    assert [each.name for each in definition.inputs] == ["input", "target", "var"]
    # The parameters that torch has retired are left out.
    huber = LossDefinition.from_module(nn.HuberLoss)
    assert list(huber.config.model_fields) == ["reduction", "delta"]
    assert list(LossDefinition.from_module(nn.SoftMarginLoss).config.model_fields) == ["reduction"]


TWINS = """
    both = [LossDefinition.from_module(FocalLoss), LossDefinition.from_module(
        FocalLoss, config=Config, inputs=LossDefinition.from_module(FocalLoss).inputs)]
    return both
"""


@pytest.mark.parametrize("order", ["both", "both[::-1]"])
def test_a_definition_written_by_hand_takes_the_place_of_a_generated_one(
    site: Site, order: str
) -> None:
    twins = TWINS.replace("return both", f"return {order}")
    source = FOCAL.replace(FOCAL[FOCAL.index("    return [LossDefinition") :], twins)
    source += (
        "from lossreg.plugin import LossConfig\nclass Config(LossConfig):\n    gamma: int = 1\n"
    )
    site.module("acme_twins", source)
    assert not Registry([]).with_plugins("acme_twins")["focal"].generated


def test_two_generated_ones_of_a_name_are_an_error(site: Site) -> None:
    source = FOCAL.replace('"none"))]', '"none")), LossDefinition.from_module(FocalLoss)]')
    site.module("acme_twins", source)
    with pytest.raises(PluginLoadError, match="returned 'focal' twice"):
        Registry([]).with_plugins("acme_twins")


def test_a_tool_may_have_wrapped_the_constructor_of_all_modules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wrapped(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError

    class Plain(nn.Module):
        def forward(self, logits: torch.Tensor) -> torch.Tensor:
            return logits.mean()

    monkeypatch.setattr(nn.Module, "__init__", wrapped)
    assert LossDefinition.from_module(Plain).config.model_fields == {}
