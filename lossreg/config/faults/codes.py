"""What each diagnostic code means, with an example that provokes it and one that does not."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CODES", "Code"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Code:
    """One kind of fault.

    Attributes:
        code: Its stable name.
        title: What it is, in a few words.
        explanation: Why it is refused, and what to do.
        bad: A document that has the fault; empty if the fault needs more than a document.
        good: The same document without the fault.
        overrides: Overrides to apply to `bad`, if the fault is in them.
        warning: Whether it is a warning.
    """

    code: str
    title: str
    explanation: str
    bad: str
    good: str
    overrides: tuple[str, ...] = ()
    warning: bool = False


_GOOD = "terms:\n  fit: {type: mse}\n"

_ALL = (
    Code(
        code="LR001",
        title="the file cannot be read",
        explanation="There is no such file, it is a folder, or the system does not allow reading "
        "it. A relative path starts at the folder in which the command runs. Only regular files "
        "are opened, because a named pipe, a socket or a device may keep a reader waiting for "
        "ever. Standard input (-) and the pipe of a shell's <(command) are read to their end.",
        bad="",
        good=_GOOD,
    ),
    Code(
        code="LR002",
        title="a character that YAML does not allow",
        explanation="The text is not UTF-8, or holds a control character, a NUL, or a line "
        "separator (NEL, U+2028, U+2029) outside quotes, where editors and parsers count lines "
        "differently. Save the file as UTF-8 and remove the character.",
        bad="terms:\n  fit: {type: mse\x07}\n",
        good=_GOOD,
    ),
    Code(
        code="LR003",
        title="the text is not YAML",
        explanation="The parser stopped here: a bracket or a quote that is not closed, an "
        "indentation that does not fit, a ': ' inside a value without quotes, a tab between two "
        "values.",
        bad="terms:\n  fit: {type: mse\n",
        good=_GOOD,
    ),
    Code(
        code="LR004",
        title="the document is too large",
        explanation="A config may have 1 MiB, 100,000 values (aliases counted each time they are "
        "used) and 64 levels. No objective needs more; a larger document is a mistake or an "
        "attack. Reading also stops after 1,000 faults: correct those first.",
        bad="terms: " + "[" * 70 + "]" * 70 + "\n",
        good=_GOOD,
    ),
    Code(
        code="LR005",
        title="several documents in one file",
        explanation="A '---' after the first document begins another document. Split the file.",
        bad="terms:\n  fit: {type: mse}\n---\nterms: {}\n",
        good=_GOOD,
    ),
    Code(
        code="LR006",
        title="a tag",
        explanation="Tags such as !!python/object or !include make a parser run code or read "
        "files. A config only names things. The tags of plain values (!!str and the like) are "
        "allowed if they fit the value.",
        bad="terms:\n  fit: !loss {type: mse}\n",
        good=_GOOD,
    ),
    Code(
        code="LR007",
        title="a key that is not a string",
        explanation="A key such as 1, true or null is read as a number, a bool or nothing. Put it "
        "in quotes.",
        bad="terms:\n  fit: {type: mse}\n  1: {type: l1}\n",
        good="terms:\n  fit: {type: mse}\n  '1': {type: l1}\n",
    ),
    Code(
        code="LR008",
        title="a duplicate key",
        explanation="Most parsers silently keep the last of two equal keys. Remove one. If a "
        "mapping has two '<<', some parsers prefer the first and others the second: write one, as "
        "<<: [*a, *b], in which the first mapping has precedence.",
        bad="terms:\n  fit: {type: mse}\n  fit: {type: l1}\n",
        good="terms:\n  fit: {type: mse}\n  fit2: {type: l1}\n",
    ),
    Code(
        code="LR009",
        title="an alias or merge that leads nowhere",
        explanation="An alias (*name) needs an anchor (&name) above it and cannot be inside its "
        "own anchor. '<<' takes a mapping.",
        bad="terms:\n  fit: *base\n",
        good="terms:\n  first: &base {type: mse}\n  fit: *base\n",
    ),
    Code(
        code="LR010",
        title="a tab as indentation",
        explanation="YAML allows only spaces as indentation.",
        bad="terms:\n\tfit: {type: mse}\n",
        good=_GOOD,
    ),
    Code(
        code="LR011",
        title="an empty document",
        explanation="The file is empty, or has only comments.",
        bad="# nothing yet\n",
        good=_GOOD,
    ),
    Code(
        code="LR101",
        title="the wrong kind of value",
        explanation="A mapping (key: value) or a list was expected, but something else was found.",
        bad="terms: [mse, l1]\n",
        good=_GOOD,
    ),
    Code(
        code="LR102",
        title="a missing key",
        explanation="A key that has no default was left out: a term's type, a loss's required "
        "parameter, one of its inputs, an experiment's task.",
        bad="terms:\n  fit: {weight: 2.0}\n",
        good="terms:\n  fit: {type: mse, weight: 2.0}\n",
    ),
    Code(
        code="LR103",
        title="an unknown parameter",
        explanation="The loss (or the trainer) has no parameter of this name. `lossreg show` "
        "lists its parameters.",
        bad="terms:\n  fit: {type: smooth_l1, params: {betta: 0.5}}\n",
        good="terms:\n  fit: {type: smooth_l1, params: {beta: 0.5}}\n",
    ),
    Code(
        code="LR104",
        title="an unknown key",
        explanation="Nothing reads this key, so what it says would be lost.",
        bad="terms:\n  fit: {type: mse, loss_weight: 2.0}\n",
        good="terms:\n  fit: {type: mse, weight: 2.0}\n",
    ),
    Code(
        code="LR105",
        title="an unknown loss",
        explanation="No installed plugin has a loss of this name. `lossreg list` shows every "
        "installed loss under its only name.",
        bad="terms:\n  fit: {type: MSELoss}\n",
        good=_GOOD,
    ),
    Code(
        code="LR106",
        title="inputs that do not fit the loss",
        explanation="`inputs` names something that is not a forward argument of the loss, or lists "
        "too many or too few paths.",
        bad="terms:\n  fit: {type: mse, inputs: {input: prediction, label: y}}\n",
        good="terms:\n  fit: {type: mse, inputs: {input: prediction, target: y}}\n",
    ),
    Code(
        code="LR107",
        title="a name that a term cannot have",
        explanation="Terms are named with letters, digits, '_' and '-': the name is a log key and "
        "part of the state_dict. 'total' is the name of the sum.",
        bad="terms:\n  total: {type: mse}\n",
        good=_GOOD,
    ),
    Code(
        code="LR108",
        title="no term",
        explanation="An objective needs at least one term that is enabled.",
        bad="terms: {}\n",
        good=_GOOD,
    ),
    Code(
        code="LR109",
        title="no loss in the document",
        explanation="A document has its objective under `loss:`, or is itself an objective, with "
        "`terms:` at its root. If the objective is elsewhere, --key (in Python, key=) says where. "
        "Several objectives stand by name under `objectives:`; key='objectives.NAME' builds one, "
        "and lossreg.build_objectives all of them.",
        bad="losses:\n  terms:\n    fit: {type: mse}\n",
        good="loss:\n  terms:\n    fit: {type: mse}\n",
    ),
    Code(
        code="LR201",
        title="a value of the wrong type",
        explanation="Values are not converted: a number in quotes is a string, and true is not a "
        "number.",
        bad="terms:\n  fit: {type: mse, weight: '2.0'}\n",
        good="terms:\n  fit: {type: mse, weight: 2.0}\n",
    ),
    Code(
        code="LR202",
        title="a number out of bounds",
        explanation="torch refuses the number, or computes something meaningless from it: the "
        "parameter's description in `lossreg show` says why. A number that float32 turns into "
        "infinity, or into 0 although it is not written as 0, is out of bounds as well. A weight, "
        "multiplied by the weights of its groups and at either end of a schedule, must be 0 or at "
        "least 1.2e-38, because float32 loses digits below that.",
        bad="terms:\n  fit: {type: smooth_l1, params: {beta: -1}}\n",
        good="terms:\n  fit: {type: smooth_l1, params: {beta: 1}}\n",
    ),
    Code(
        code="LR203",
        title="not one of the choices",
        explanation="The parameter takes one of a few values, spelt exactly as torch spells them.",
        bad="terms:\n  fit: {type: mse, params: {reduction: avg}}\n",
        good="terms:\n  fit: {type: mse, params: {reduction: mean}}\n",
    ),
    Code(
        code="LR204",
        title="a value that YAML versions read differently",
        explanation="yes, no, on, off, 012, 1_000, 12:30 and dates are bools or numbers in YAML "
        "1.1 and strings in 1.2. Where a number or a bool is expected, write a plain one.",
        bad="terms:\n  fit: {type: mse, enabled: yes}\n",
        good="terms:\n  fit: {type: mse, enabled: true}\n",
    ),
    Code(
        code="LR206",
        title="not a path",
        explanation="A path says where a step's tensor is: names joined by dots, indexes in "
        "brackets.",
        bad="terms:\n  fit: {type: mse, inputs: [heads..seg, y]}\n",
        good="terms:\n  fit: {type: mse, inputs: ['heads.seg[0]', y]}\n",
    ),
    Code(
        code="LR207",
        title="a term without reduction",
        explanation="A term is one number, so that it can be weighted and summed. `reduction: "
        "none` works with `lossreg.create` only.",
        bad="terms:\n  fit: {type: mse, params: {reduction: none}}\n",
        good="terms:\n  fit: {type: mse, params: {reduction: sum}}\n",
    ),
    Code(
        code="LR208",
        title="meaningless class weights",
        explanation="Class weights are finite numbers. None may be negative (it would reward "
        "mistakes), and not all may be zero (the mean would be nan).",
        bad="terms:\n  fit: {type: nll, params: {weight: [1.0, -1.0]}}\n",
        good="terms:\n  fit: {type: nll, params: {weight: [1.0, 2.0]}}\n",
    ),
    Code(
        code="LR209",
        title="a value that the loss's plugin refuses",
        explanation="The plugin has its own rule for its parameters; the message is the plugin's.",
        bad="",
        good=_GOOD,
    ),
    Code(
        code="LR210",
        title="an unknown transform",
        explanation="Transforms are a closed list, each under one name. A mapping holds one "
        "transform with its arguments; a list holds several transforms in order.",
        bad="terms:\n  fit: {type: mse, inputs: [{from: logits, apply: [sofmax]}, y]}\n",
        good="terms:\n  fit: {type: mse, inputs: [{from: logits, apply: [softmax]}, y]}\n",
    ),
    Code(
        code="LR211",
        title="a transform's argument",
        explanation="An argument is missing, is unknown, is of the wrong kind, or does not fit "
        "another argument; or the transform takes a list of tensors and gets a tensor, or the "
        "other way around. A single value is the first argument; several arguments are written by "
        "name.",
        bad="terms:\n  fit: {type: mse, inputs: [{from: logits, apply: [{div: 0}]}, y]}\n",
        good="terms:\n  fit: {type: mse, inputs: [{from: logits, apply: [{div: 2}]}, y]}\n",
    ),
    Code(
        code="LR212",
        title="an unknown schedule",
        explanation="Schedules are a closed list, given in the docs. The points of `piecewise` can "
        "draw any other curve.",
        bad="terms:\n  fit: {type: mse, weight: {schedule: ramp, start: 0, end: 1, steps: 9}}\n",
        good="terms:\n  fit: {type: mse, weight: {schedule: linear, start: 0, end: 1, steps: 9}}\n",
    ),
    Code(
        code="LR213",
        title="a loss without entries to choose from",
        explanation="mask, sample_weight and ignore choose among the entries of the unreduced "
        "loss; ignore also needs a target with one number for each entry. divide_by divides the "
        "sum of the entries, or a sum that adds up. This loss has no such form.",
        bad="terms:\n  metric: {type: triplet_margin, ignore: 0}\n",
        good="terms:\n  metric: {type: triplet_margin, mask: valid}\n",
    ),
    Code(
        code="LR214",
        title="what a mean divides by",
        explanation="A mean with sample weights divides by their sum (`divide_by: weights`), or by "
        "all entries (`divide_by: entries`), and both are common: a config says which. "
        "`divide_by` needs the reduction mean, and `within_row` a number of rows.",
        bad="terms:\n  fit: {type: mse, sample_weight: w}\n",
        good="terms:\n  fit: {type: mse, sample_weight: w, divide_by: entries}\n",
    ),
    Code(
        code="LR215",
        title="keys that contradict each other",
        explanation="A term with `maximize: true` has a positive weight: the key says already that "
        "the total has minus this term. A learned weight, exp(-s)·L + s, is meant for a term that "
        "is minimised, and is multiplied by nothing else: not by the weight of a group. A weight "
        "has one of `schedule`, `from` and `learned`. A sample weight with `gradient: true` is not "
        "detached.",
        bad="terms:\n  fit: {type: mse, maximize: true, weight: -1}\n",
        good="terms:\n  fit: {type: mse, maximize: true, weight: 1}\n",
    ),
    Code(
        code="LR216",
        title="a derived name that does not stand for a tensor",
        explanation="A name under `derive` stands for a route of the whole objective, and a path "
        "that is the name starts there. So it is one key, a tensor that has no keys of its own, "
        "does not read itself, and is read by a term: a misspelt one would do nothing.",
        bad="derive: {p: {from: logits, apply: [softmax]}}\nterms:\n  fit: {type: mse, inputs: "
        "[q, y]}\n",
        good="derive: {p: {from: logits, apply: [softmax]}}\nterms:\n  fit: {type: mse, inputs: "
        "[p, y]}\n",
    ),
    Code(
        code="LR217",
        title="times at which a term is active",
        explanation="`active` has at least one of `from_step`, `until_step` and `every_steps`, or "
        "the same in epochs, not both. It is half-open: at t completed steps a term is active if "
        "from_step <= t < until_step and (t - from_step) divides by every_steps. Times that never "
        "hold are an error. `times_every` multiplies the weight by every_steps.",
        bad="terms:\n  fit: {type: mse, active: {from_step: 100, until_step: 100}}\n",
        good="terms:\n  fit: {type: mse, active: {from_step: 100, until_step: 200}}\n",
    ),
    Code(
        code="LR218",
        title="class weights that are not what their mapping says",
        explanation="A mapping of class weights has one of `values`, `counts`, `positives` and "
        "`file`. Numbers by name need `classes`, the order of the model's outputs, and there is "
        "one for each class. Counts need a `method`, which fits what the parameter weighs: "
        "classes (`inverse_frequency`, `effective_number`) or positive targets against negative "
        "ones (`neg_pos_ratio`). A count of 0 has no weight.",
        bad="terms:\n  fit: {type: nll, params: {weight: {classes: [a, b], values: {a: 1.0}}}}\n",
        good="terms:\n  fit: {type: nll, params: {weight: {classes: [a, b], values: {a: 1.0, "
        "b: 2.0}}}}\n",
    ),
    Code(
        code="LR219",
        title="a file of class weights",
        explanation="The file is JSON (a list, or an object by class) or CSV (with the header "
        "class,weight or class,count), a regular file of at most 1 MiB, in the folder of the "
        "config's file or below it: no absolute path, no '..', and no symbolic link that leads "
        "out. A config that is a mapping, a text or standard input has no such folder.",
        bad="terms:\n  fit: {type: nll, params: {weight: {file: ../weights.json}}}\n",
        good="terms:\n  fit: {type: nll, params: {weight: [1.0, 2.0]}}\n",
    ),
    Code(
        code="LR220",
        title="a group that cannot be repeated so",
        explanation="A group with `each` runs its terms for every element of its lists. Each name "
        "under `over` starts a path of its terms, and each of its terms has such a path. A group "
        "inside it cannot have another `each`; lists of lists are `nested: 2`. `combine: pooled` "
        "needs a mean with entries to count.",
        bad="terms:\n  aux:\n    each: {over: {layer: layers}, combine: mean}\n"
        "    terms: {fit: {type: mse, inputs: [p, y]}}\n",
        good="terms:\n  aux:\n    each: {over: {layer: layers}, combine: mean}\n"
        "    terms: {fit: {type: mse, inputs: [layer.p, y]}}\n",
    ),
    Code(
        code="LR301",
        title="a plugin that does not work",
        explanation="The loss, or the task, is installed, but its module cannot be loaded or is "
        "not what its entry point says. The message names the distribution that provides it.",
        bad="",
        good=_GOOD,
    ),
    Code(
        code="LR302",
        title="a name that two distributions claim",
        explanation="Write the distribution's name before the loss's, or the task's, with a colon "
        "between them, or uninstall one.",
        bad="",
        good=_GOOD,
    ),
    Code(
        code="LR303",
        title="a loss that its plugin cannot build",
        explanation="The parameters are valid, but the plugin's builder raised an error or "
        "returned something that is not a torch.nn.Module.",
        bad="",
        good=_GOOD,
    ),
    Code(
        code="LR401",
        title="an override that is not PATH=VALUE",
        explanation="An override is a path, '=' and a YAML value: loss.terms.fit.weight=0.3.",
        bad=_GOOD,
        overrides=("terms.fit.weight",),
        good=_GOOD,
    ),
    Code(
        code="LR402",
        title="an override that leads nowhere",
        explanation="The path goes through something that is neither a mapping nor a list, to an "
        "index that a list does not have, or to a new key that nothing reads.",
        bad=_GOOD,
        overrides=("terms.fit.type.name=l1",),
        good=_GOOD,
    ),
    Code(
        code="LR501",
        title="an unknown task",
        explanation="`task:` names an installed task, which `lossreg run` can train; "
        "`lossreg list --kind task` shows them.",
        bad="task: mnist\nloss:\n  terms:\n    fit: {type: mse}\n",
        good="task: digits\nloss:\n  terms:\n    fit: {type: mse}\n",
    ),
    Code(
        code="LR901",
        title="a parameter that is probably not what was meant",
        explanation="The value is allowed, but the plugin warns about it. For example, kl_div with "
        "`reduction: mean` divides by the number of entries, which does not give the divergence; "
        "`batchmean` does.",
        bad="terms:\n  fit: {type: kl_div, params: {reduction: mean}}\n",
        good="terms:\n  fit: {type: kl_div, params: {reduction: batchmean}}\n",
        warning=True,
    ),
    Code(
        code="LR902",
        title="two inputs from the same place",
        explanation="Two arguments of a loss read the same tensor, so the term compares it with "
        "itself.",
        bad="terms:\n  fit: {type: mse, inputs: [y, y]}\n",
        good="terms:\n  fit: {type: mse, inputs: [prediction, y]}\n",
        warning=True,
    ),
    Code(
        code="LR903",
        title="all weights are zero",
        explanation="The total is always 0, so nothing is learnt.",
        bad="terms:\n  fit: {type: mse, weight: 0}\n",
        good="terms:\n  fit: {type: mse, weight: 1}\n",
        warning=True,
    ),
    Code(
        code="LR904",
        title="a negative weight",
        explanation="The term is maximised. If that is the purpose, as for an entropy bonus, write "
        "`maximize: true` and the weight without its minus sign.",
        bad="terms:\n  bonus: {type: value, weight: -1}\n",
        good="terms:\n  bonus: {type: value, maximize: true, weight: 1}\n",
        warning=True,
    ),
    Code(
        code="LR905",
        title="a term outside the objective",
        explanation="A mapping beside the objective has the name of an installed loss as its type, "
        "and another key of a term; but only terms under `terms:` are trained. It is probably "
        "indented too little. In an experiment this is an error. If it is not a term, rename its "
        "key `type`.",
        bad="loss:\n  terms:\n    fit: {type: mse}\nrebuild: {type: l1, weight: 5.0}\n",
        good="loss:\n  terms:\n    fit: {type: mse}\n    rebuild: {type: l1, weight: 5.0}\n",
        warning=True,
    ),
    Code(
        code="LR906",
        title="a path that looks like an expression",
        explanation="A path names a value of the step, and nothing in it is computed: `exp(x)` is "
        "looked up under that very name. Transforms compute. If the value has that name, give it "
        "another one.",
        bad="terms:\n  fit: {type: mse, inputs: [exp(x), y]}\n",
        good="terms:\n  fit: {type: mse, inputs: [{from: x, apply: [exp]}, y]}\n",
        warning=True,
    ),
    Code(
        code="LR907",
        title="what a loss needs is not installed",
        explanation="The loss's plugin says which distributions it needs, and one of them is not "
        "installed, or in another version. The config can be checked, but not built: install what "
        "the message names. `lossreg check --strict` fails.",
        bad="",
        good=_GOOD,
        warning=True,
    ),
)

CODES = {code.code: code for code in _ALL}
"""Every code, in order."""
