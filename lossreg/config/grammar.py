"""The grammar of a config: every mapping of the language, as data.

This is the only place where keys are listed. The readers in `declare`, the guesses at what an
unknown key was meant to be, and the tables of the documentation use it.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ACTIVE",
    "CLASS_WEIGHTS",
    "COMPOSITE",
    "CONSTANT",
    "CONSTRUCTS",
    "DOCUMENT",
    "EACH",
    "ELEMENT_WEIGHTS",
    "ENTRIES",
    "EXPERIMENT",
    "GROUP",
    "LEARNED",
    "MASK",
    "PICK",
    "ROUTE",
    "SCHEDULED",
    "TERM",
    "Construct",
    "Key",
]

REQUIRED: Any = object()
"""The default of a key that must be given."""


class Key(NamedTuple):
    """One key of a mapping.

    Attributes:
        name: Its name.
        reads: The kind of value it takes: a name of `lossreg.config.declare.values.READERS`; or
            one that only its construct's reader knows, because it depends on other keys.
        meaning: Its meaning, as a phrase of plain prose.
        default: The value if the key is left out; `REQUIRED` if it must be given.
        shown: The default in words, if the value itself does not say it.
        choices: The values it may have, if these are few.
        foreign: Its names in other systems.
        other_words: Words for its choices that are not among them, and which is meant.
        means: What each of its choices or forms means, in a phrase.
    """

    name: str
    reads: str
    meaning: str
    default: Any = REQUIRED
    shown: str = ""
    choices: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    other_words: Mapping[str, str] = MappingProxyType({})
    means: Mapping[str, str] = MappingProxyType({})


class Construct:
    """One kind of mapping.

    Args:
        name: Its name, such as `term`.
        keys: Its keys, in the order in which they are listed.
        elsewhere: What to do with each key that belongs elsewhere.
        ambiguous: What to do with each foreign key that may as well be a parameter of the loss,
            while the loss is not known.

    Attributes:
        names: The names of its keys.
        foreign: The key that each name in other systems stands for.
    """

    def __init__(
        self,
        name: str,
        *keys: Key,
        elsewhere: Mapping[str, str] = MappingProxyType({}),
        ambiguous: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.name = name
        self.keys = {key.name: key for key in keys}
        self.names = tuple(self.keys)
        self.foreign = {name: key.name for key in keys for name in key.foreign}
        self.elsewhere = elsewhere
        self.ambiguous = ambiguous

    def __repr__(self) -> str:
        return f"<{self.name}: {', '.join(self.names)}>"


_DIVIDE_BY = Key(
    "divide_by",
    "divisor",
    "what the sum is divided by: `weights`, `kept`, `entries`, `rows`, `kept_rows`, "
    "`{rows: path}`, `{entries: path}` or `{number: path}`",
    default=None,
    shown="the mean's own; required beside `sample_weight`",
    foreign=("divisor", "loss_agg_mode", "normalize_by", "per"),
    means=MappingProxyType(
        {
            "weights": "the sum of the weights of the entries that are kept",
            "kept": "the number of entries that are kept",
            "entries": "the number of all entries of the unreduced loss",
            "rows": "the number of rows, the first dimension",
            "kept_rows": "the number of rows with an entry that is kept",
            "{rows: path}": "the size of the first dimension of {path}",
            "{entries: path}": "the number of entries of {path}",
            "{number: path}": "{path}, added up over micro-batches",
        }
    ),
)
_WITHIN_ROW = Key(
    "within_row",
    "choice",
    "how a row's entries become one number, where rows are counted",
    default="sum",
    choices=("sum", "mean"),
    foreign=("within_rows", "row_reduction"),
    means=MappingProxyType(
        {"sum": "a row's entries are added up", "mean": "a row's entries are averaged"}
    ),
)
_NO_DENOMINATOR = {
    name: f"write divide_by: {{number: {shown}}}"
    for name, shown in (
        ("denominator", "path"),
        ("avg_factor", "path"),
        ("normalizer", "path"),
        ("num_boxes", "num_boxes"),
        ("num_items_in_batch", "num_items_in_batch"),
    )
}
_WEIGHT = Key(
    "weight",
    "weight",
    "what the raw value is multiplied by: a number, a schedule, `{from: path}` to a number of the "
    "step, or `{learned: ...}`; with a constant 0 the term is outside the graph",
    default=1,
    foreign=(
        "alpha",
        "coef",
        "coefficient",
        "lambda",
        "loss_weight",
        "scale",
        "schedule",
    ),
)
_DETACH = Key(
    "detach",
    "names",
    "arguments of the loss that no gradient goes through; with an empty list, none: a gradient of "
    "the target is meant",
    default=None,
    shown="none; a target that requires a gradient is warned of",
    foreign=("no_grad", "stop_grad", "stop_gradient", "stop_gradients"),
)
_ACTIVE = Key(
    "active",
    "active",
    "when it is part of the objective: a mapping with `from_step`, `until_step`, `every_steps`, or "
    "with `_epoch` and `_epochs`, and `times_every`",
    default=None,
    shown="always",
)
_OPTIONAL = Key(
    "optional", "switch", "true: a batch without the term's tensors is fine", default=False
)
_ENABLED = Key("enabled", "switch", "false: the term is not built", default=True)


def _time(name: str, meaning: str, default: Any, *foreign: str) -> Key:
    shown = "" if default is not None else "none"
    return Key(name, "count", meaning, default, shown=shown, foreign=foreign)


ACTIVE = Construct(
    "mapping under `active`",
    _time(
        "from_step",
        "the first time: after so many completed steps",
        0,
        *("after", "begin", "delay", "from", "start", "start_iter", "start_step", "warmup"),
        "warmup_steps",
    ),
    _time(
        "until_step",
        "the end: after so many completed steps it is not active any more",
        None,
        *("before", "end", "end_step", "stop", "stop_iter", "stop_step", "to", "until"),
    ),
    _time(
        "every_steps",
        "only every so many steps, from the first; `eval()` ignores it",
        1,
        *("every", "every_n_steps", "frequency", "interval", "period", "step"),
    ),
    _time("from_epoch", "as `from_step`, in epochs", 0, "start_epoch", "warmup_epochs"),
    _time("until_epoch", "as `until_step`, in epochs", None, "end_epoch", "stop_epoch"),
    _time("every_epochs", "as `every_steps`, in epochs", 1, "every_n_epochs"),
    Key(
        "times_every",
        "switch",
        "true: in training the weight is multiplied by `every_steps` or `every_epochs`",
        default=False,
        foreign=("rescale", "scale"),
    ),
)
# Without words that another key, or a parameter of a loss, may be as well.
_ELSEWHERE_IN_TIME = {
    name: f"it goes under 'active': active: {{{ACTIVE.foreign.get(name, name)}: ...}}"
    for name in (*ACTIVE.names, *ACTIVE.foreign)
    if "_" in name or name in ("after", "every", "interval", "warmup")
}

_OF_THE_WHOLE = {
    "derive": "it belongs beside the composite's 'terms', and serves all of them",
    "frozen": "it belongs beside the composite's 'terms' and lists paths; here write detach: "
    "[target]",
}
_ABOUT_WEIGHTS = {
    **dict.fromkeys(
        ("learnable", "learned", "log_var", "log_variance", "trainable", "uncertainty"),
        "for a weight that is trained with the model write weight: {learned: log_variance}",
    ),
    **dict.fromkeys(
        ("minimise", "minimize"),
        "write maximize: true to maximise the term; without it the term is minimised",
    ),
}

_FOR_EACH = ("for_each", "foreach", "iterate", "repeat")

EACH = Construct(
    "group's each",
    Key(
        "over",
        "lists",
        "names to lists: paths of lists, tuples or mappings of equal length, a list of paths, or "
        "routes that end in a list, `{from: hs, apply: [unbind]}`; a path whose first key is one "
        "of the names starts at the element",
        foreign=("in", "items", "lists", "paths"),
    ),
    Key(
        "nested",
        "whole number",
        "how many levels of lists there are: 2 for lists of lists",
        default=1,
        foreign=("depth", "flatten", "levels"),
    ),
    Key(
        "pick",
        "pick",
        "the part of each (innermost) list that is taken, with the words of `slice`: "
        "`{start: 2, step: 3}` for all names, or by name",
        default=None,
        shown="all",
        foreign=("select", "slice", "strides"),
    ),
    Key(
        "weights",
        "element weights",
        "how much each element counts, by its place in the (innermost) list: a list of numbers, or "
        "a mapping",
        default=None,
        shown="1 each",
        foreign=("element_weight", "element_weights", "weight"),
    ),
    Key(
        "combine",
        "choice",
        "how the elements' values become one: their sum, their mean, or the sum of all entries "
        "over one divisor",
        choices=("sum", "mean", "pooled"),
        foreign=("aggregate", "by", "how", "reduce", "reduction"),
        means=MappingProxyType(
            {
                "sum": "the elements' values are added up",
                "mean": "the elements' values are averaged",
                "pooled": "the elements' entries are added up, over one divisor",
            }
        ),
    ),
    elsewhere={"terms": "it belongs beside 'each', one level up"},
)
PICK = Construct(
    "pick",
    Key(
        "start",
        "place",
        "the first place; negative ones count from the end",
        default=None,
        foreign=("begin", "from"),
    ),
    Key("end", "place", "the place after the last one", default=None, foreign=("stop",)),
    Key("step", "count", "1 for every place, 2 for every second one", default=1),
)
ELEMENT_WEIGHTS = Construct(
    "mapping of weights",
    Key(
        "decay",
        "decay",
        "how much the weight shrinks from one place to the next, away from the end of weight 1",
        default=None,
        shown="1",
        foreign=("factor", "gamma", "geometric"),
    ),
    Key(
        "towards",
        "choice",
        "the end that counts most: with `last`, the last of n elements has the weight 1 and place "
        "i has `decay ** (n - 1 - i)`; with `first`, it has `decay ** i`",
        default=None,
        shown="required beside `decay`",
        choices=("first", "last"),
        foreign=("heaviest",),
    ),
    Key(
        "zero",
        "places",
        "places of weight 0: `[-1]`",
        default=None,
        shown="none",
        foreign=("drop", "skip", "without"),
    ),
    Key(
        "sum_to_one",
        "switch",
        "true: all weights are divided by their sum",
        default=False,
        foreign=("normalise", "normalize", "normalized"),
    ),
)

TERM = Construct(
    "term",
    Key(
        "type",
        "loss",
        "the loss, as `lossreg list` names it",
        foreign=("_target_", "class_name", "class_path", "loss", "name"),
    ),
    _WEIGHT,
    Key(
        "maximize",
        "switch",
        "true: the total has minus this term",
        default=False,
        foreign=("maximise", "negate"),
    ),
    Key(
        "inputs",
        "inputs",
        "for each argument of the loss where its tensor comes from: a mapping or a list of paths, "
        "or of mappings with `from` and `apply`, or with `constant`",
        default=None,
        shown="tensors named as the arguments",
    ),
    Key(
        "class_dim",
        "dim",
        "where the classes are in every input that has them; the loss sees them at dimension 1",
        default=1,
        foreign=("axis", "channel_axis", "channel_dim", "class_axis", "classes_dim", "dim"),
    ),
    _DETACH,
    Key(
        "mask",
        "mask",
        "which entries count: a path to a tensor, or a mapping with `from`, `apply` and `dims`",
        default=None,
        shown="all",
        foreign=("condition", "mask_key", "mask_path", "valid", "where"),
    ),
    Key(
        "sample_weight",
        "entries",
        "how much entries count: a path to a tensor, or a mapping with `from`, `apply`, `dims` and "
        "`gradient`",
        default=None,
        shown="1 each",
    ),
    Key(
        "ignore",
        "ignored",
        "entries whose target is this number, or nan, do not count",
        default=None,
        shown="none",
        foreign=("ignore_value",),
    ),
    _DIVIDE_BY,
    _WITHIN_ROW,
    _OPTIONAL,
    _ACTIVE,
    _ENABLED,
    Key(
        "params",
        "params",
        "the loss's parameters, as `lossreg show` lists them",
        default=None,
        shown="torch's defaults",
        foreign=("args", "config", "init_args", "kwargs", "options", "parameters"),
    ),
    elsewhere={
        "apply": "transforms go with their tensor: {from: path, apply: [...]} under 'inputs'",
        "from": "it belongs to a group of 'terms', or to one of the 'inputs'",
        **_ABOUT_WEIGHTS,
        **_NO_DENOMINATOR,
        **_OF_THE_WHOLE,
        **_ELSEWHERE_IN_TIME,
        **dict.fromkeys(
            ("each", *_FOR_EACH),
            "only a group is repeated: {each: {over: ..., combine: ...}, terms: {NAME: ...}}",
        ),
        **dict.fromkeys(
            ("axes", "dims"), "it goes with its tensor: mask: {from: path, dims: [0, 2]}"
        ),
    },
    ambiguous=dict.fromkeys(
        ("alpha", "scale"),
        "a parameter of the loss belongs under 'params'; what multiplies the term is its 'weight'",
    ),
)

_GROUP_KEYS = (
    Key(
        "from",
        "path",
        "where its paths start; a group inside it starts from there",
        default=None,
        shown="where the group itself stands",
        foreign=("path", "prefix", "root"),
    ),
    Key(
        "each",
        "each",
        "the lists that its terms are repeated over, and how the elements' values become one: "
        "`{over: {layer: aux}, combine: sum}`",
        default=None,
        shown="none",
        foreign=_FOR_EACH,
    ),
    _WEIGHT._replace(
        meaning="multiplies its terms' weights: a number, a schedule or `{from: path}`, which is "
        "looked up where the group stands"
    ),
    _DETACH._replace(
        meaning="for those of its terms that have none, as far as their loss has these arguments",
        shown="none",
    ),
    _DIVIDE_BY._replace(
        meaning="for those of its terms that have none; looked up where the group stands, not "
        "where its own paths start",
        shown="none",
    ),
    _WITHIN_ROW._replace(meaning="goes with its `divide_by`"),
    _OPTIONAL._replace(meaning="for all of its terms"),
    _ACTIVE._replace(meaning="for all of its terms, which may have an `active` as well"),
    _ENABLED._replace(meaning="for all of its terms"),
    Key("terms", "terms", "its terms and groups by name", foreign=("components", "losses")),
)
GROUP = Construct(
    "group",
    *_GROUP_KEYS,
    elsewhere={
        **_OF_THE_WHOLE,
        **dict.fromkeys(
            ("by", "combine", "element_weight", "nested", "over", "pick"),
            "it goes under 'each': each: {over: {NAME: path}, combine: sum}",
        ),
        **_ELSEWHERE_IN_TIME,
        **{
            name: "a group has no such key; set it on the group's terms"
            if name != "type"
            else "a mapping cannot have both 'type' and 'terms'; remove one"
            for name in TERM.names
            if name not in {key.name for key in _GROUP_KEYS}
        },
        **_ABOUT_WEIGHTS,
        **_NO_DENOMINATOR,
    },
)

COMPOSITE = Construct(
    "composite",
    Key(
        "checks",
        "choice",
        "when tensors are checked before the losses get them",
        "first",
        choices=("never", "first", "always"),
        other_words={"off": "never", "none": "never", "once": "first", "on": "always"},
    ),
    Key(
        "on_nonfinite",
        "choice",
        "what happens when a term is nan or infinite",
        "raise",
        choices=("raise", "warn", "ignore"),
    ),
    Key(
        "frozen",
        "paths",
        "paths that no gradient goes through, wherever a term reads them or what is below them",
        default=(),
        shown="none",
        foreign=("freeze", "no_grad", "stop_grad", "stop_gradient"),
    ),
    Key(
        "derive",
        "derived",
        "names for paths and transforms that several terms use: a path that is such a name starts "
        "there",
        default=(),
        shown="none",
        foreign=("aliases", "define", "let", "variables", "vars"),
    ),
    Key(
        "terms",
        "terms",
        "the terms and groups by name",
        foreign=("losses", "components", "objectives"),
    ),
    elsewhere={
        **dict.fromkeys(TERM.names, "it belongs to a term: move it under one of 'terms'"),
        "weights": "each weight goes into its own term: {type: ..., weight: 0.5}",
    },
)

_ROUTE_KEYS = (
    Key("from", "path", "where the tensor is", foreign=("path", "source")),
    Key(
        "apply",
        "transforms",
        "what is done to it, in this order",
        default=(),
        shown="nothing",
        foreign=("transforms", "transform"),
    ),
)
_NO_CONSTANT = {
    "constant": "only an input of a loss can be a constant, and then it has no other key"
}

CONSTANT = Construct(
    "constant",
    Key(
        "constant",
        "constant",
        "a number or a schedule, in the shape and the dtype of the argument that it stands for",
        foreign=("full", "fill", "value", "literal"),
    ),
)
_DIMS = Key(
    "dims",
    "dims",
    "which of the unreduced loss's dimensions the tensor has, in its order: `[0, 2, 3]`, `[-1]`",
    default=None,
    shown="the leading ones; or all, where a size may be 1",
    foreign=("axes", "axis", "dim"),
)
ROUTE = Construct(
    "route",
    *_ROUTE_KEYS,
    elsewhere={
        **dict.fromkeys((_DIMS.name, *_DIMS.foreign), "only a mask or a sample_weight has 'dims'"),
        "gradient": "only a sample_weight has 'gradient'",
        **_NO_CONSTANT,
    },
)
_GRADIENT = Key(
    "gradient",
    "switch",
    "of a sample weight: true: a gradient goes through it",
    default=False,
    foreign=("grad", "learnable", "requires_grad", "trainable"),
)
ENTRIES = Construct(
    "mask or a sample weight", *_ROUTE_KEYS, _DIMS, _GRADIENT, elsewhere=_NO_CONSTANT
)
MASK = Construct(
    "mask",
    *_ROUTE_KEYS,
    _DIMS,
    elsewhere={
        **dict.fromkeys(
            (_GRADIENT.name, *_GRADIENT.foreign),
            "no gradient goes through a mask; only a sample_weight has 'gradient'",
        ),
        **_NO_CONSTANT,
    },
)

LEARNED = Construct(
    "learned weight",
    Key(
        "learned",
        "learned",
        "`log_variance`: the term adds exp(-s)·L + s to the total, where L is its raw value and s "
        "is a parameter; `kendall`: half of each",
        foreign=("learn", "learnable", "log_var", "log_variance", "trainable", "uncertainty"),
    ),
    Key(
        "initial",
        "learned",
        "the value of s at first",
        default=0.0,
        foreign=("init", "init_value", "initial_value", "s", "start", "value"),
    ),
)

CLASS_WEIGHTS = Construct(
    "mapping of class weights",
    Key(
        "classes",
        "class names",
        "the names of the classes, in the order of the model's outputs",
        default=None,
        shown="required where numbers stand by name",
        foreign=("categories", "class_names", "labels", "names", "order"),
    ),
    Key(
        "values",
        "weights by class",
        "the weight of each class, by name",
        default=None,
        shown="none",
        foreign=("weight", "weights"),
    ),
    Key(
        "counts",
        "counts",
        "how many examples each class has: a list, or by name",
        default=None,
        shown="none",
        foreign=(
            "cls_num_list",
            "class_counts",
            "frequencies",
            "samples_per_class",
            "samples_per_cls",
            "support",
        ),
    ),
    Key(
        "positives",
        "counts",
        "how many examples have each label: a list, by name, or one number",
        default=None,
        shown="none",
        foreign=("num_positives", "pos", "pos_counts"),
    ),
    Key(
        "file",
        "file",
        "a JSON or CSV file with the weights, or beside `method` with what it counts; in the "
        "config's folder or below it",
        default=None,
        shown="none",
        foreign=("csv", "from_file", "json", "path"),
    ),
    Key(
        "method",
        "method",
        "how counts become weights",
        default=None,
        shown="required beside counts",
        choices=("inverse_frequency", "effective_number", "neg_pos_ratio"),
        other_words=MappingProxyType(
            {
                "balanced": "inverse_frequency",
                "class_balanced": "effective_number",
                "inverse": "inverse_frequency",
                "neg_pos": "neg_pos_ratio",
                "pos_weight": "neg_pos_ratio",
            }
        ),
        foreign=("mode", "scheme", "strategy"),
    ),
    Key(
        "beta",
        "beta",
        "how much `effective_number` balances: at least 0, and below 1",
        default=None,
        shown="required by `effective_number`",
    ),
    Key(
        "total",
        "total",
        "how many examples there are, positive and negative",
        default=None,
        shown="required by `neg_pos_ratio`",
        foreign=("n_samples", "num_examples", "num_samples"),
    ),
)

SCHEDULED = Construct("schedule", Key("schedule", "schedule", "the schedule's name"))

EXPERIMENT = Construct(
    "experiment",
    Key("task", "task", "what is trained: data, model and measures"),
    Key("seed", "seed", "seeds every random generator", 0),
    Key("trainer", "trainer", "options of Lightning's Trainer", default=None, shown="its own"),
    Key("loss", "composite", "the objective"),
)

DOCUMENT = Construct(
    "document",
    Key(
        "loss",
        "composite",
        "the objective",
        foreign=("criterion", "criterions", "loss_fn", "losses", "objective"),
    ),
    Key("terms", "terms", "the objective's terms, where the document is nothing but an objective"),
    Key(
        "objectives",
        "objectives",
        "several objectives by name, each a composite: those of a generator and a discriminator",
    ),
)

CONSTRUCTS = (
    DOCUMENT,
    COMPOSITE,
    GROUP,
    EACH,
    PICK,
    ELEMENT_WEIGHTS,
    TERM,
    ACTIVE,
    ROUTE,
    ENTRIES,
    MASK,
    CONSTANT,
    SCHEDULED,
    LEARNED,
    CLASS_WEIGHTS,
    EXPERIMENT,
)
"""Every kind of mapping whose keys belong to the language."""
