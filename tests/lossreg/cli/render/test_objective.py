"""Objectives as formulas, as they look."""

from __future__ import annotations

from pathlib import Path

import pytest

from lossreg.cli.render.objective import objective_page, objective_text
from lossreg.config.tools.documents import whole
from lossreg.config.tools.formula import objectives
from lossreg.registry import Registry

CONFIGS = Path(__file__).parents[4] / "configs"
REGISTRY = Registry.installed()
WIDTH = 80

DIGITS = """\
L = cross_entropy(logits, labels; label_smoothing=0.1)
  + 5 · smooth_l1(decoder.pixels, image; beta=0.5)

classify
  weight     1
  type       cross_entropy
  params     label_smoothing: 0.1
  inputs     input: logits
             target: labels
  divide_by  the mean's own: the sum of the weights of the targets that are not
               ignored (their number, without weights); if the targets are
               probabilities, by their number, whatever the weights

rebuild
  weight     5
  type       smooth_l1
  params     beta: 0.5
  inputs     input: decoder.pixels
             target: image
  divide_by  the mean's own: the number of entries
"""

PPO = """\
L = - value(minimum(ratio · detach(advantages), clipped))
  - 0.01 · value(entropy)
  + 0.5 · mse(values, detach(returns))

where
  ratio    exp(logp - detach(old_logp))
  clipped  clamp(ratio; min=0.8, max=1.2) · detach(advantages)
  frozen   old_logp, advantages, returns: no gradient goes through what is read
             there

policy
  weight     -1 (maximize)
  type       value
  inputs     input: minimum(ratio · detach(advantages), clipped)
  divide_by  rows: the size of the first dimension of returns; a row's entries
               are added up

entropy
  weight     -0.01 (maximize)
  type       value
  inputs     input: entropy
  divide_by  rows: the size of the first dimension of returns; a row's entries
               are added up

critic
  weight     0.5
  type       mse
  inputs     input: values
             target: detach(returns)
  divide_by  the mean's own: the number of entries
"""

RAFT = """\
L = ∑[flow in flows] u(i) · l1(flow, true_flow)

where
  u(i)  0.8^(n - 1 - i) for place i of n, from 0

flow/l1
  weight     1
  type       l1
  inputs     input: flow
             target: true_flow
  mask       valid and sqrt(sum(square(true_flow); dim=1)) < 400, at the
               dimensions [0, 2, 3] of the unreduced loss
  divide_by  entries: the number of all entries of the unreduced loss
  each       over: flow in flows
             combine: sum: the elements' values are added up
             weights: u(i)
"""

DOCUMENT = b"""\
objectives:
  learn:
    frozen: [teacher]
    derive:
      soft:
        from: teacher.logits
        apply: [{div: {schedule: linear, start: 4, end: 1, steps: 100}}, softmax]
    terms:
      distill:
        type: kl_div
        inputs: [{from: logits, apply: [log_softmax]}, soft]
        params: {reduction: batchmean}
        active: {from_step: 10, every_steps: 4, times_every: true}
      heads:
        from: aux
        weight: {schedule: cosine, start: 1.0, end: 0.1, steps: 500}
        optional: true
        terms:
          seg: {type: cross_entropy, weight: 2, inputs: [logits, labels], ignore: -1}
          depth: {type: l1, maximize: true, mask: {from: valid, dims: [0]}}
          off: {type: mse, enabled: false}
  weigh:
    terms:
      scale: {type: l1, weight: {learned: kendall, initial: 1}, inputs: [a, b], divide_by: rows}
      lists:
        each:
          over: {x: xs, y: ys}
          nested: 2
          pick: {x: {start: 1, step: 2}}
          weights: {decay: 0.8, towards: last, zero: [-1], sum_to_one: true}
          combine: mean
        terms:
          fit: {type: mse, weight: {from: lam}, inputs: [x, {constant: 0.5}]}
          near: {type: l1, inputs: [x, y], detach: [target]}
"""
SHOWN = """\
learn

L = [t ≥ 10 and (t - 10) mod 4 = 0] · 4 · kl_div(log_softmax(logits), soft;
      reduction=batchmean)
  + 2 · w2(t) · cross_entropy(aux.logits, aux.labels)
  - w2(t) · l1(aux.input, aux.target)

where
  soft    softmax(detach(teacher.logits) / w1(t))
  w1(t)   linear from 4 to 1 over steps 0-100, then 1
  w2(t)   cosine from 1 to 0.1 over steps 0-500, then 0.1
  t       the number of completed steps
  frozen  teacher: no gradient goes through what is read there

distill
  weight     1
  type       kl_div
  params     reduction: batchmean
  inputs     input: log_softmax(logits)
             target: soft
  divide_by  the batchmean's own: the number of rows, which is the size of the
               first dimension
  active     from step 10, in training every 4 steps, with 4 times its weight

heads/seg
  weight     2 · w2(t) = w2(t) (heads) · 2 (heads/seg)
  type       cross_entropy
  inputs     input: aux.logits
             target: aux.labels
  ignore     where the target is -1
  divide_by  the mean's own, of what ignore leaves: the sum of the weights of
               the targets that are not ignored (their number, without weights);
               if the targets are probabilities, by their number, whatever the
               weights
  optional   a batch without its tensors is fine

heads/depth
  weight     -1 · w2(t) = w2(t) (heads) · -1 (maximize)
  type       l1
  inputs     input: aux.input
             target: aux.target
  mask       aux.valid, at the dimensions [0] of the unreduced loss
  divide_by  the mean's own, of what mask leaves: the number of entries
  optional   a batch without its tensors is fine

Disabled, so not in the total: heads/off


weigh

L = 0.5 · exp(-s(scale)) · l1(a, b)
  + 0.5 · s(scale)
  + lam · mean[x in xs[:][1::2], y in ys[:][:]] u(i) · mse(x, 0.5)
  + mean[x in xs[:][1::2], y in ys[:][:]] u(i) · l1(x, detach(y))

where
  u(i)      0.8^(n - 1 - i) for place i of n, from 0; 0 at the places [-1];
              divided by their sum
  s(scale)  learned with the model, at first 1

scale
  weight     learned: half of exp(-s(scale)), and the total has half of s(scale)
               as well
  type       l1
  inputs     input: a
             target: b
  divide_by  rows: the number of rows, the first dimension; a row's entries are
               added up

lists/fit
  weight     lam
  type       mse
  inputs     input: x
             target: 0.5, in the shape of input
  divide_by  the mean's own: the number of entries
  each       over: x in xs[:][1::2], y in ys[:][:]
             combine: mean: the elements' values are averaged
             pick: x[1::2], y[:]
             weights: u(i)

lists/near
  weight     1
  type       l1
  inputs     input: x
             target: detach(y)
  detach     target
  divide_by  the mean's own: the number of entries
  each       over: x in xs[:][1::2], y in ys[:][:]
             combine: mean: the elements' values are averaged
             pick: x[1::2], y[:]
             weights: u(i)
"""


def text_of(source: str | bytes) -> str:
    formulas = objectives(whole(source, None, REGISTRY))
    return "\n\n\n".join(objective_text(formula, WIDTH) for formula in formulas) + "\n"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("digits", DIGITS), ("ppo", PPO), ("raft", RAFT)],
    ids=["digits", "ppo", "raft"],
)
def test_a_file_as_text(name: str, expected: str) -> None:
    assert text_of(str(CONFIGS / f"{name}.yaml")) == expected


def test_every_key_as_text() -> None:
    assert text_of(DOCUMENT) == SHOWN


def test_objectives_as_markdown() -> None:
    one = {"terms": {"a_b": {"type": "mse"}}}
    ramp = {"schedule": "linear", "start": 0, "end": 1, "steps": 9}
    other = {
        "frozen": ["x"],
        "terms": {
            "c": {"type": "l1", "weight": ramp, "inputs": ["x", "y"]},
            "d": {"type": "l1", "enabled": False},
        },
    }
    formulas = objectives(whole({"objectives": {"one": one, "other": other}}, None, REGISTRY))
    pages = [objective_page(formula).split("\n\n") for formula in formulas]
    assert [page[0] for page in pages] == ["# one", "# other"]
    assert pages[0][2] == "## a\\_b"
    assert pages[1][1].splitlines()[2] == (
        r"L =& w(t) \cdot \mathrm{l1}\left("
        r"\mathrm{detach}\left(\mathrm{x}\right), \mathrm{y}\right)"
    )
    assert "\n\n".join(pages[1][2:]) == (
        "where\n\n"
        "- w(t): linear from 0 to 1 over steps 0-9, then 1\n"
        "- t: the number of completed steps\n"
        "- frozen: x: no gradient goes through what is read there\n\n"
        "## c\n\n"
        "- weight: w(t)\n"
        "- type: l1\n"
        "- inputs: input: detach(x); target: y\n"
        "- divide\\_by: the mean's own: the number of entries\n\n"
        "Disabled, so not in the total: d"
    )
