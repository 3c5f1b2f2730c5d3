"""A trial: what fills the tensors, what becomes of each term, what is unused."""

from __future__ import annotations

import random
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
import torch

from lossreg.config import load_config
from lossreg.plugin import Field, LossConfig, LossDefinition, LossInput
from lossreg.registry import Registry
from lossreg.testing.trial import WordError, asked_for, sizes_of, try_out, wanted_words
from lossreg.testing.trial.filling import filled
from lossreg.testing.trial.wanted import Wanted

if TYPE_CHECKING:
    from lossreg.testing.trial import Trial
    from lossreg.testing.trial.results import TermTrial

REGISTRY = Registry.installed()
WITH_AN_EXAMPLE = [name for name in REGISTRY if REGISTRY[name].example]


def tried(config: str | dict[str, Any], *words: str, **options: Any) -> Trial:
    document = textwrap.dedent(config).encode() if isinstance(config, str) else config
    loss = load_config(document)
    asked = asked_for(words)
    return try_out({"": loss}, asked, sizes_of(asked), **options)


def only_term(trial: Trial) -> TermTrial:
    ((term,),) = (objective.terms for objective in trial.objectives)
    return term


def holds(trial: Trial) -> dict[str, str]:
    return {tensor.path: tensor.holds for tensor in trial.tensors}


def of(loss: str, *inputs: Any, **keys: Any) -> dict[str, Any]:
    return {"terms": {"fit": {"type": loss, "inputs": list(inputs), **keys}}}


@pytest.mark.parametrize("name", WITH_AN_EXAMPLE)
def test_the_suggested_words_of_each_loss_run(name: str) -> None:
    """Every built-in's example runs on the tensors that the suggestion names."""
    document = "terms:\n" + textwrap.indent(REGISTRY[name].example, "  ")
    loss = load_config(document.encode())
    words = [f"{path}={shape}" for path, shape in wanted_words(loss.terms, {}).items()]
    trial = tried(document, *words)
    assert words
    assert not trial.has_problem, trial
    assert not [tensor for tensor in trial.tensors if tensor.guessed]
    (objective,) = trial.objectives
    assert objective.total is not None
    assert all(term.value is not None and not term.notes for term in objective.terms)


def test_the_total_is_that_of_the_declared_objective() -> None:
    config = """
        terms:
          a: {type: mse, inputs: [x, y], weight: 2.0}
          b: {type: l1, inputs: [x, y], weight: {schedule: linear, start: 0.5, end: 1, steps: 9}}
          watched: {type: l1, inputs: [x, y], weight: 0}
    """
    trial = tried(config, "x=N 3", "y=N 3")
    (objective,) = trial.objectives
    a, b, watched = objective.terms
    assert (a.weight, b.weight, watched.weight) == (2.0, 0.5, 0.0)
    assert watched.value == b.value
    assert not watched.without_gradient
    assert a.value is not None
    assert b.value is not None
    assert objective.total == pytest.approx(2 * a.value + 0.5 * b.value)
    assert not trial.has_problem


def test_the_seed_says_the_values() -> None:
    first, again, other = (tried(of("mse", "x", "y"), "x=N", "y=N", seed=s) for s in (1, 1, 2))
    assert first == again
    assert only_term(first).value != only_term(other).value


def test_nothing_global_is_changed() -> None:
    before = torch.get_rng_state(), random.getstate(), torch.get_default_dtype()
    tried(of("mse", "x", "y"), "x=N", "y=N")
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), torch.get_default_dtype())


@pytest.mark.parametrize(
    ("config", "words", "path", "expected"),
    [
        (of("cross_entropy", "x", "y"), "x=N 7|y=N int64", "y", "class indices from 0 to 6"),
        (of("cross_entropy", "x", "y"), "x=N 7|y=N 7", "y", "probabilities that add up to 1"),
        (
            of("cross_entropy", "x", "y", class_dim=-1),
            "x=N 8 8 7|y=N 8 8 int64",
            "y",
            "class indices from 0 to 6",
        ),
        (of("bce", "x", "y"), "x=N 7|y=N 7", "x", "probabilities"),
        (of("soft_margin", "x", "y"), "x=N|y=N", "y", "1 and -1"),
        (of("soft_margin", "x", "y"), "x=N|y=N int64", "y", "1 and -1"),
        (
            of("soft_margin", "x", {"from": "y", "apply": [{"mul": 2}, {"sub": 1}]}),
            "x=N|y=N",
            "y",
            "1 and -1 after mul 2, sub 1",
        ),
        (
            of("nll", {"from": "x", "apply": ["log_softmax"]}, "y"),
            "x=N 4|y=N int64",
            "x",
            "real numbers",
        ),
        (
            of("nll", {"from": "x", "apply": [{"transpose": [1, 2]}]}, "y"),
            "x=N 5 C|y=N 5 int64",
            "x",
            "log-probabilities that add up to 1",
        ),
        (
            of("mse", "x", {"from": "y", "apply": [{"one_hot": 4}]}),
            "x=N 4|y=N int64",
            "y",
            "class indices from 0 to 3",
        ),
        (of("mse", "x", "y", mask="m"), "x=N 3|y=N 3|m=N bool", "m", "true and false"),
        (
            of("mse", "x", "y", mask={"from": "m", "apply": ["logical_not"]}),
            "x=N 3|y=N 3|m=N bool",
            "m",
            "true and false",
        ),
        (
            of("mse", "x", "y", sample_weight="w", divide_by="weights"),
            "x=N 3|y=N 3|w=N",
            "w",
            "numbers above 0",
        ),
        (of("mse", "x", "y", divide_by={"number": "n"}), "x=N|y=N|n=5.0", "n", "5"),
        (of("mse", "x", "y", divide_by={"number": "n"}), "x=N|y=N|n=int64", "n", "whole numbers"),
        (of("mse", "x", "y", weight={"from": "w"}), "x=N|y=N|w=", "w", "numbers above 0"),
        (
            of("mse", {"from": "x", "apply": [{"gather": {"index": "i", "dim": 0}}]}, "y"),
            "x=5|y=N|i=N int64",
            "i",
            "places from 0 to 4",
        ),
    ],
)
def test_tensors_hold_what_the_definitions_say(
    config: dict[str, Any], words: str, path: str, expected: str
) -> None:
    trial = tried(config, *words.split("|"))
    assert not trial.has_problem, trial
    assert holds(trial)[path].startswith(expected)
    assert not any(tensor.guessed for tensor in trial.tensors)


def test_a_tensor_holds_what_all_its_readers_take() -> None:
    config = """
        terms:
          coarse: {type: cross_entropy, inputs: [few, labels]}
          fine: {type: cross_entropy, inputs: [many, labels]}
          close: {type: mse, inputs: [score, {from: labels, apply: [{cast: float32}]}]}
    """
    trial = tried(config, "few=N 3", "many=N 9", "labels=N int64", "score=N")
    assert holds(trial)["labels"] == "class indices from 0 to 2"
    assert not trial.has_problem


def test_what_cannot_be_known_is_said() -> None:
    target = {"from": "y", "apply": [{"mean": -1}]}
    trial = tried(of("soft_margin", "x", target), "x=N", "y=N 3")
    y = trial.tensors[1]
    assert (y.holds, y.guessed) == ("real numbers", "nothing says what 'mean' should be given")
    assert "expected labels of 1 and -1" in only_term(trial).error


def test_lengths_of_label_sequences_fit_the_steps() -> None:
    config = of("ctc", "x", "y", "steps", "labels")
    words = "x=T N C|y=N S int64|steps=N int64|labels=N int64"
    for sizes in (["T=2", "S=9"], ["T=9", "S=2"]):
        asked = asked_for(words.split("|"))
        loss = load_config(config)
        trial = try_out({"": loss}, asked, sizes_of(asked, sizes))
        assert not trial.has_problem, trial
    assert holds(trial)["steps"] == "lengths of 9"
    assert holds(trial)["labels"] == "lengths from 1 to 2"
    assert "without 0" in holds(trial)["y"]


def test_probabilities_add_up_and_indices_end() -> None:
    generator = torch.Generator().manual_seed(0)
    wanted = Wanted("log-probability", axis=1, classes=5)
    logs = filled((3, 5, 2), torch.float64, wanted, generator)
    torch.testing.assert_close(logs.exp().sum(1), torch.ones(3, 2, dtype=torch.float64))
    lists = filled((4, 6), torch.int64, Wanted("class index list", limit=6), generator)
    assert ((lists >= -1) & (lists < 6)).all()
    assert (lists[:, 0] >= 0).all()
    assert (lists[:, -1] == -1).all()
    mask = filled((2,), torch.bool, Wanted("mask"), generator)
    assert mask.tolist() == [True, False]
    labels = filled((500,), torch.int64, Wanted("label sequence", limit=3, avoid=1), generator)
    assert set(labels.tolist()) == {0, 2}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_each_floating_point_dtype_runs(dtype: str) -> None:
    trial = tried(of("smooth_l1", "x", "y"), f"x=N 3 {dtype}", f"y=N 3 {dtype}")
    assert not trial.has_problem, trial


def test_a_wrong_shape_is_reported_with_its_term_and_the_others_run() -> None:
    config = """
        terms:
          classify: {type: cross_entropy, inputs: [logits, labels]}
          rebuild: {type: mse, inputs: [x, y]}
    """
    trial = tried(config, "logits=N C", "labels=M int64", "x=N 3", "y=N 3")
    (objective,) = trial.objectives
    classify, rebuild = objective.terms
    assert (classify.argument, classify.path) == ("target", "labels")
    assert "term 'classify', 'target' (path 'labels')" in classify.error
    assert "fits (2, 4) of 'input', found (5,)" in classify.error
    assert rebuild.value is not None
    assert objective.total is None
    assert trial.has_problem


def test_a_wrong_dtype_is_reported() -> None:
    trial = tried(of("mse", "x", "y"), "x=N int64", "y=N")
    assert "expected a floating-point tensor, found torch.int64" in only_term(trial).error
    trial = tried(of("nll", "x", "y"), "x=N 3", "y=N")
    assert "expected an integer tensor, found torch.float32" in only_term(trial).error


def test_swapped_dimensions_show() -> None:
    trial = tried(of("mse", "x", "y"), "x=N 3 8 9", "y=N 8 9 3")
    assert "found (2, 8, 9, 3)" in only_term(trial).error


def test_an_input_that_the_config_cuts_off_gets_no_gradient() -> None:
    config = """
        terms:
          cut: {type: value, inputs: [{from: x, apply: [{gt: 0}, {cast: float32}]}]}
          uncut: {type: mse, inputs: [x, y]}
    """
    trial = tried(config, "x=N", "y=N")
    cut, uncut = trial.objectives[0].terms
    assert cut.without_gradient == "no gradient reaches 'input' (x)"
    assert not uncut.without_gradient
    assert trial.has_problem


def test_a_term_whose_inputs_are_all_detached_trains_nothing() -> None:
    trial = tried(of("mse", {"from": "x", "apply": ["detach"]}, "y"), "x=N", "y=N")
    expected = "no gradient reaches any input: the config detaches 'input'"
    assert only_term(trial).without_gradient == expected
    assert trial.has_problem
    frozen = {**of("mse", "x", "y"), "frozen": ["x"]}
    assert only_term(tried(frozen, "x=N", "y=N")).without_gradient == expected


def test_one_detached_input_is_what_the_config_says() -> None:
    config = of("cosine_embedding", "x", "y", "same", detach=["input2"])
    trial = tried(config, "x=N 4", "y=N 4", "same=N")
    reached = {one.argument: (one.reached, one.detached) for one in only_term(trial).gradients}
    assert reached == {"input1": (True, False), "input2": (False, True)}
    assert not trial.has_problem


def test_a_target_has_a_gradient_where_the_config_says_that_it_is_meant() -> None:
    trial = tried(of("mse", "x", "y", detach=[]), "x=N", "y=N")
    assert [one.argument for one in only_term(trial).gradients] == ["input", "target"]
    assert not only_term(trial).notes
    trial = tried(of("mse", "x", "y"), "x=N", "y=N")
    assert [one.argument for one in only_term(trial).gradients] == ["input"]


def test_class_indices_never_have_a_gradient() -> None:
    trial = tried(of("cross_entropy", "x", "y", detach=[]), "x=N 3", "y=N int64")
    assert [one.argument for one in only_term(trial).gradients] == ["input"]
    assert not trial.has_problem


def test_indicators_of_too_many_classes_are_refused() -> None:
    target = {"from": "y", "apply": [{"one_hot": 2_000_000_000}]}
    with pytest.raises(WordError, match="'one_hot' of 'y', \\(2,\\), with 2000000000 classes"):
        tried(of("mse", "x", target), "x=N", "y=N int64")


def test_suggested_elements_of_a_list_are_in_order() -> None:
    config = """
        terms:
          last: {each: {over: {l: layers}, pick: {start: -1}, combine: sum},
                 terms: {a: {type: mse, inputs: [l.x, l.y]}}}
          all: {each: {over: {l: layers}, combine: sum},
                terms: {a: {type: value, inputs: [l.z]}}}
    """
    terms = load_config(textwrap.dedent(config).encode()).terms
    assert [str(path) for path in wanted_words(terms, {})] == [
        "layers[0].z",
        "layers[1].x",
        "layers[1].y",
        "layers[1].z",
    ]


def test_a_learned_sample_weight_has_a_gradient() -> None:
    weight = {"from": "w", "gradient": True}
    trial = tried(
        of("mse", "x", "y", sample_weight=weight, divide_by="entries"), "x=N", "y=N", "w=N"
    )
    assert ("sample_weight", True) in [
        (one.argument, one.reached) for one in only_term(trial).gradients
    ]


def test_an_unused_tensor_is_a_problem_and_a_similar_path_is_named() -> None:
    trial = tried(of("mse", "x", "pixels"), "x=N", "pixel=N")
    unused = {tensor.path: tensor.unused for tensor in trial.tensors}
    assert unused == {"x": "", "pixel": "nothing reads it; did you mean 'pixels'?"}
    assert trial.missing == ("pixels",)
    assert "Did you mean 'pixel'?" in only_term(trial).error
    trial = tried(of("mse", "x", "y"), "x=N", "y=N", "z=N")
    assert trial.tensors[2].unused == "nothing reads it"
    assert trial.has_problem


def test_an_optional_term_is_left_out_and_does_not_use_its_tensors() -> None:
    config = """
        terms:
          fit: {type: mse, inputs: [x, y]}
          depth: {type: l1, inputs: [x, depth], optional: true, mask: valid}
          off: {type: l1, inputs: [x, z], enabled: false}
    """
    trial = tried(config, "x=N", "y=N")
    assert not trial.has_problem
    assert trial.objectives[0].terms[1].left_out == ("depth", "valid")
    assert trial.missing == ()
    trial = tried(config, "x=N", "y=N", "depth=N", "z=N")
    assert [tensor.unused for tensor in trial.tensors] == [
        "",
        "",
        "only the term 'depth' reads it, which is left out",
        "only the term 'off' reads it, which is not enabled",
    ]
    trial = tried(config, "x=N", "y=N", "depth=N", "valid=N bool")
    assert not trial.has_problem
    assert trial.objectives[0].terms[1].value is not None


LISTS = """
    terms:
      features:
        each: {over: {fake: maps.fake, real: maps.real}, nested: 2, combine: sum}
        terms: {l1: {type: l1, inputs: [fake, real], detach: [target]}}
"""


def test_lists_are_given_element_by_element() -> None:
    shapes = ("[0][0]=N 8", "[0][1]=N 4", "[1][0]=N 6")
    words = [f"maps.{side}{shape}" for side in ("fake", "real") for shape in shapes]
    trial = tried(LISTS, *words)
    assert not trial.has_problem, trial
    (gradient,) = (one for one in only_term(trial).gradients if not one.detached)
    assert gradient.paths == ("maps.fake[0][0]", "maps.fake[0][1]", "maps.fake[1][0]")
    trial = tried(LISTS, *words[:-1])
    assert "found 2 elements of 'fake' and 1 of 'real'" in only_term(trial).error
    assert trial.has_problem


def test_a_tensor_can_be_unbound_into_a_list_and_indexed_from_the_end() -> None:
    config = """
        terms:
          layers:
            each: {over: {h: {from: hs, apply: [unbind]}}, combine: mean}
            terms: {classify: {type: cross_entropy, inputs: [h, labels]}}
          last: {type: value, inputs: ["hidden[-1]"]}
    """
    trial = tried(config, "hs=4 N 5", "labels=N int64", "hidden[0]=N", "hidden[1]=N")
    assert holds(trial)["labels"] == "class indices from 0 to 4"
    layers, last = trial.objectives[0].terms
    assert layers.gradients[0].paths == ("hs",)
    assert last.gradients[0].paths == ("hidden[1]",)
    assert [tensor.unused for tensor in trial.tensors] == ["", "", "nothing reads it", ""]


def test_elements_of_weight_zero_need_no_gradient() -> None:
    config = """
        terms:
          scales:
            each: {over: {out: outs}, weights: {zero: [-1]}, combine: sum}
            terms: {size: {type: value, inputs: [out]}}
    """
    assert not tried(config, "outs[0]=N", "outs[1]=N").has_problem


def test_a_term_that_is_not_active_yet_is_tried_and_noted() -> None:
    trial = tried(of("mse", "x", "y", active={"from_step": 500}), "x=N", "y=N")
    term = only_term(trial)
    assert term.value is not None
    assert term.notes == (
        "term 'fit' is not active at step 0 {from_step: 500}; tried as if it were",
    )
    assert not trial.has_problem


def test_checks_never_are_checked_all_the_same() -> None:
    trial = tried({**of("mse", "x", "y"), "checks": "never"}, "x=N 3", "y=N 1")
    assert "torch would broadcast or refuse it" in only_term(trial).error


def test_several_objectives_share_the_tensors() -> None:
    asked = asked_for(["x=N", "y=N"])
    configs = {name: load_config(of("value", name)) for name in ("x", "y")}
    trial = try_out(configs, asked, sizes_of(asked))
    assert [objective.name for objective in trial.objectives] == ["x", "y"]
    assert not trial.has_problem


class CountedConfig(LossConfig):
    """No parameters but one."""

    scale: float = Field(1.0, description="Multiplies the loss.")


class Counted(torch.nn.Module):
    """Remembers how often it was called, and draws a number when it is built."""

    calls: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.drawn = float(torch.rand(()))

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch's name
        self.calls += 1
        return (input * self.calls).sum() + self.drawn


class Broken(torch.nn.Module):
    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002, ARG002
        raise KeyError("lookup")


def with_loss(module: type[torch.nn.Module]) -> dict[str, Any]:
    definition = LossDefinition(
        name="counted",
        config=CountedConfig,
        build=lambda _: module(),
        inputs=(LossInput(name="input", meaning="x", shape="N", gradient=True),),
        summary="x",
    )
    config = load_config(of("value", "x"))
    (term,) = config.terms
    params = CountedConfig()
    changed = term._replace(definition=definition, params=params, type="counted")
    return {"": config._replace(terms=(changed,))}


def test_a_loss_that_remembers_is_at_its_start_in_the_total_as_well() -> None:
    asked = asked_for(["x=N"])
    trial = try_out(with_loss(Counted), asked, sizes_of(asked))
    assert trial.objectives[0].total == pytest.approx(only_term(trial).value)


def test_what_a_plugin_raises_is_reported() -> None:
    asked = asked_for(["x=N"])
    trial = try_out(with_loss(Broken), asked, sizes_of(asked))
    assert "KeyError: 'lookup'" in only_term(trial).error
    assert trial.has_problem
