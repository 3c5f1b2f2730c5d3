"""Guessing which name was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Names in these tables are in lower case, without underscores and "loss"; a library's name stands
# before a colon.
# What other libraries call an installed loss: its name, and a remark on what to look at. Two losses
# are the same if their means are equal under the other library's defaults.
_SAME = {
    "absoluteerror": ("l1", ""),
    "bcelogits": ("bce_with_logits", ""),
    "binarycrossentropy": ("bce", ""),
    "binarycrossentropywithlogits": ("bce_with_logits", ""),
    "ce": ("cross_entropy", ""),
    "crossentropywithlogits": ("cross_entropy", ""),
    "l2": ("mse", "it has no factor of 1/2, unlike the l2_loss of optax and TensorFlow"),
    "mae": ("l1", ""),
    "meanabsoluteerror": ("l1", ""),
    "meansquarederror": ("mse", ""),
    "negativeloglikelihood": ("nll", "of classes, from log-probabilities"),
    "meanpinball": ("pinball", "with q, which scikit-learn calls alpha"),
    "poisson": (
        "poisson_nll",
        "its input is the logarithm of a rate; log_input: false takes a rate",
    ),
    "quantile": ("pinball", "of one quantile, q"),
    "sigmoidbinarycrossentropy": ("bce_with_logits", ""),
    "sigmoidcrossentropy": ("bce_with_logits", ""),
    "sigmoidcrossentropywithlogits": ("bce_with_logits", ""),
    "softmaxcrossentropy": ("cross_entropy", ""),
    "softmaxcrossentropywithlogits": ("cross_entropy", ""),
    "softtargetcrossentropy": ("cross_entropy", ""),
    "sparsesoftmaxcrossentropywithlogits": ("cross_entropy", ""),
    "triplet": ("triplet_margin", "of anchor, positive and negative, with distances not squared"),
    "keras:binarycrossentropy": ("bce", "with from_logits=True it is 'bce_with_logits'"),
    "keras:huber": ("huber", ""),
    "keras:mae": ("l1", ""),
    "keras:meanabsoluteerror": ("l1", ""),
    "keras:meansquarederror": ("mse", ""),
    "keras:mse": ("mse", ""),
    "keras:poisson": ("poisson_nll", "with log_input: false, since Keras's takes a rate"),
    "keras:sigmoidcrossentropywithlogits": ("bce_with_logits", ""),
    "keras:softmaxcrossentropywithlogits": ("cross_entropy", ""),
    "keras:sparsesoftmaxcrossentropywithlogits": ("cross_entropy", ""),
    "optax:huber": ("huber", ""),
    "optax:sigmoidbinarycrossentropy": ("bce_with_logits", ""),
    "optax:softmaxcrossentropy": ("cross_entropy", ""),
    "optax:softmaxcrossentropywithintegerlabels": ("cross_entropy", ""),
    "optax:squarederror": ("mse", ""),
    "timm:labelsmoothingcrossentropy": ("cross_entropy", "with label_smoothing: 0.1, its default"),
    "timm:softtargetcrossentropy": ("cross_entropy", ""),
}
_TAKES_LOGITS = "'cross_entropy' takes logits, and Keras's takes probabilities by default"
_DIVERGENCE = (
    "'kl_div' takes log-probabilities, and is the divergence only with reduction: batchmean"
)
# Names near that of an installed loss which computes something else: that loss, and the difference.
_DIFFERENT = {
    "categoricalcrossentropy": ("cross_entropy", _TAKES_LOGITS),
    "cosinesimilarity": ("cosine_embedding", "'cosine_embedding' is 1 - cosine, for a target of 1"),
    "hinge": ("hinge_embedding", "'hinge_embedding' is a hinge of distances, not of scores"),
    "kl": ("kl_div", _DIVERGENCE),
    "kld": ("kl_div", _DIVERGENCE),
    "kldivergence": ("kl_div", _DIVERGENCE),
    "kullbackleiblerdivergence": ("kl_div", _DIVERGENCE),
    "log": (
        "bce",
        "'bce' takes probabilities, 'nll' log-probabilities, 'cross_entropy' logits",
    ),
    "meansquaredlogarithmicerror": ("mse", "'mse' is of the values, not of their logarithms"),
    "msle": ("mse", "'mse' is of the values, not of their logarithms"),
    "multilabelcrossentropy": (
        "multilabel_soft_margin",
        "'multilabel_soft_margin' is the mean of one binary cross entropy for each class",
    ),
    "rmse": ("mse", "'mse' is its square"),
    "rootmeansquarederror": ("mse", "'mse' is its square"),
    "softl1": ("smooth_l1", "'smooth_l1' is another function"),
    "sparsecategoricalcrossentropy": ("cross_entropy", _TAKES_LOGITS),
    "keras:l2": ("mse", "'mse' is a mean of squares; TensorFlow's l2_loss is half of their sum"),
    "optax:l2": ("mse", "'mse' is twice optax's l2_loss"),
    "paddle:smoothl1": ("smooth_l1", "'smooth_l1' is paddle's smooth_l1_loss divided by delta"),
    "timm:binarycrossentropy": (
        "bce_with_logits",
        "'bce_with_logits' does not smooth labels; timm's does, by 0.1",
    ),
}
_TORCH = frozenset({"", "f", "functional", "lossreg", "lossreg_losses", "nn", "torch"})
# Libraries that share the losses of another one.
_FAMILIES = {"flax": "optax", "jax": "optax", "tensorflow": "keras", "tf": "keras"}
_MAX_LENGTH = 100  # difflib is quadratic, and no name is longer
_LONGEST_ACRONYM = 4  # letters
_SHORTEST_BEGINNING = 3  # letters
_MOST_ADDED = 2  # letters
_MOST_NAMES = 5


def _letters(name: str) -> str:
    return "".join(char for char in name.lower() if char.isalnum())


def _folded(name: str) -> str:
    letters = _letters(name)
    return letters.replace("loss", "") or letters


def closest(name: object, candidates: Iterable[str]) -> str | None:
    """The candidate that was probably meant by a name, or None.

    >>> closest("label_smoothin", ["beta", "label_smoothing"])
    'label_smoothing'
    >>> closest("LabelSmoothing", ["beta", "label_smoothing"])
    'label_smoothing'
    >>> closest("losss", ["loss", "terms"])
    'loss'
    >>> closest("lin", ["linear", "cosine"])
    'linear'
    >>> closest("colour", ["beta", "label_smoothing"]) is None
    True
    """
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_LENGTH:
        return None
    import difflib  # half a millisecond that only a fault is worth

    by_folded = _by_folded(candidates)
    matches = difflib.get_close_matches(_folded(name), by_folded, n=1, cutoff=0.7)
    if not matches and "loss" in name:
        # "loss" itself may be misspelt.
        matches = difflib.get_close_matches(name, by_folded, n=1, cutoff=0.7)
    if not matches and len(name) >= _SHORTEST_BEGINNING:
        longer = [folded for folded in by_folded if folded.startswith(_folded(name))]
        matches = longer if len(longer) == 1 else []
    return by_folded[matches[0]] if matches else None


def closest_spelling(name: object, candidates: Iterable[str]) -> str | None:
    """The candidate that a name misspells, or None; for names of functions.

    Stricter than `closest`: `logsigmoid` is not a misspelt `sigmoid` but another function.

    >>> closest_spelling("sigmiod", ["sigmoid"]), closest_spelling("logsigmoid", ["sigmoid"])
    ('sigmoid', None)
    """
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_LENGTH:
        return None
    by_letters = {_letters(candidate): candidate for candidate in candidates}
    letters = _letters(name)
    return by_letters.get(letters) or by_letters.get(_misspelt(letters, by_letters) or "")


def _by_folded(names: Iterable[str]) -> dict[str, str]:
    by_folded: dict[str, str] = {}
    for name in names:
        by_folded.setdefault(_folded(name), name)
    return by_folded


def _misspelt(folded: str, candidates: Iterable[str], cutoff: float = 0.8) -> str | None:
    import difflib  # half a millisecond that only a fault is worth

    long = []
    for candidate in candidates:
        if len(candidate) > _LONGEST_ACRONYM:
            long.append(candidate)
        elif _runs_joined(folded) == _runs_joined(candidate) or _is_swapped(folded, candidate):
            return candidate  # with another letter it is another acronym: msle, rmse
    likely = [candidate for candidate in long if _may_be(folded, candidate)]
    matches = difflib.get_close_matches(folded, likely, n=1, cutoff=cutoff)
    return matches[0] if matches else None


def _may_be(written: str, meant: str) -> bool:
    """Whether `written` may misspell `meant`, instead of adding a word to it."""
    added = len(written) - len(meant)
    digits, wanted = ("".join(filter(str.isdigit, word)) for word in (written, meant))
    return (
        added <= _MOST_ADDED
        and not (added == _MOST_ADDED and written.endswith(meant))
        and (digits == wanted or not digits or not wanted)
    )


def _runs_joined(word: str) -> str:
    return "".join(char for char, before in zip(word, " " + word, strict=False) if char != before)


def _is_swapped(written: str, meant: str) -> bool:
    firsts = range(len(meant) - 1)
    return any(written == meant[:i] + meant[i + 1] + meant[i] + meant[i + 2 :] for i in firsts)


def is_spelling_of(name: str, known: str) -> bool:
    """Whether a name is a known one apart from case, underscores and "loss".

    >>> is_spelling_of("DiceCELoss", "dice_ce"), is_spelling_of("monai.losses.DiceCE", "dice_ce")
    (True, False)
    """
    module, _, last = name.rpartition(".")
    return module.partition(".")[0].lower() in _TORCH and _folded(last) == _folded(known)


def aliased(name: str, aliases: Mapping[str, Iterable[str]]) -> tuple[str | None, str]:
    """The loss that other libraries call by a name, and a remark.

    A dotted name means the class of its library: of the aliases, only those that begin with the
    same library fit.

    Args:
        name: The requested loss: a name, or the dotted name of a class or a function.
        aliases: By each loss, what other libraries call it.

    >>> aliased("monai.losses.DiceCELoss", {"monai_dice_ce": ["monai.losses.DiceCELoss"]})
    ('monai_dice_ce', '')
    >>> aliased("kornia.losses.DiceLoss", {"monai_dice": ["DiceLoss", "monai.losses.DiceLoss"]})
    (None, '')
    """
    if not 0 < len(name) <= _MAX_LENGTH:
        return None, ""
    library, dot, _ = name.partition(".")
    folded = _folded(name.rpartition(".")[2])
    by_folded: dict[str, dict[str, None]] = {}
    exact = [loss for loss, names in aliases.items() if name in names]
    if len(exact) == 1:
        return exact[0], ""
    for loss, names in aliases.items():
        for alias in names:
            if not dot or alias.partition(".")[0] == library:
                by_folded.setdefault(_folded(alias.rpartition(".")[2]), {})[loss] = None
    meant = folded if folded in by_folded else _misspelt(folded, by_folded, cutoff=0.9)
    losses = list(by_folded.get(meant or "", ()))
    if len(losses) > 1:
        return None, f"{' and '.join(map(repr, losses[:_MOST_NAMES]))} are called so elsewhere"
    return (losses[0], "") if losses else (None, "")


def closest_loss(name: object, installed: Iterable[str]) -> str | None:
    """The installed loss that was probably meant, if it is the same one.

    >>> closest_loss("CrossEntropyLoss", ["bce", "cross_entropy"])
    'cross_entropy'
    >>> closest_loss("mean_squared_error", ["bce", "mse"])
    'mse'
    >>> closest_loss("huber", ["mse", "smooth_l1"]) is None
    True
    """
    return guessed_loss(name, dict.fromkeys(installed, ""))[0]


def guessed_loss(name: object, installed: Mapping[str, str]) -> tuple[str | None, str]:
    """The installed loss that was probably meant, and a remark.

    An installed name is preferred to a near spelling, and a near spelling to a name from another
    library. A loss that has a near name but is another function is not suggested: the remark says
    how it differs.

    Args:
        name: The requested loss: a name, or the dotted name of a class or a function.
        installed: The names of losses, each with the module that defines it.

    Returns:
        The name that was meant, or None; and a remark, which may be empty.

    >>> guessed_loss("RMSE", {"mse": ""})
    (None, "'mse' is its square")
    """
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_LENGTH:
        return None, ""
    module, _, last = name.rpartition(".")
    library = module.partition(".")[0].lower()
    by_folded = _by_folded(installed)
    if library in _TORCH:
        return _guessed(last, by_folded)
    return _guessed_elsewhere(library, last, by_folded, installed)


def _guessed(name: str, by_folded: Mapping[str, str]) -> tuple[str | None, str]:
    folded = _folded(name)
    if folded in by_folded:
        return by_folded[folded], ""
    near = by_folded.get(_misspelt(folded, by_folded) or "")
    foreign = folded
    if folded not in _SAME and folded not in _DIFFERENT:
        foreign = _misspelt(folded, [*_SAME, *_DIFFERENT], cutoff=0.9) or ""
    same, remark = _installed(_SAME, foreign, by_folded)
    other, difference = _installed(_DIFFERENT, foreign, by_folded)
    if near not in (None, same, other):
        return near, f"in other libraries it is '{same}'" if same else difference
    if same is not None or other is not None:
        return same, remark or difference
    return near, "" if near else _nearest(folded, by_folded)


def _guessed_elsewhere(
    library: str, name: str, by_folded: Mapping[str, str], installed: Mapping[str, str]
) -> tuple[str | None, str]:
    """As `guessed_loss`, for the name of another library's loss."""
    folded, family = _folded(name), _FAMILIES.get(library, library)
    initials = "".join(word[:1] for word in library.split("_"))
    for prefix in (_folded(library), initials):  # a plugin that bridges a library has such names
        if prefix + folded in by_folded:
            return by_folded[prefix + folded], ""
    loss, remark = _guessed(name, by_folded)
    if loss is not None and f"_{library}_" in f"_{installed[loss].lower()}_".replace(".", "_"):
        return loss, ""
    same, aside = _installed(_SAME, f"{family}:{folded}", by_folded)
    if same is not None:
        return same, aside
    other, difference = _installed(_DIFFERENT, f"{family}:{folded}", by_folded)
    if other is not None:
        return None, difference
    if loss is None:
        return None, remark
    owner = f"{library}'s" if library.isidentifier() else "another library's"
    return None, f"'{loss}' may differ from {owner}; see `lossreg show {loss}`"


def _installed(
    table: Mapping[str, tuple[str, str]], foreign: str, by_folded: Mapping[str, str]
) -> tuple[str | None, str]:
    """The entry of a foreign name in a table, if its loss is installed."""
    loss, remark = table.get(foreign, ("", ""))
    return (loss, remark) if loss and loss in by_folded.values() else (None, "")


def _nearest(folded: str, by_folded: Mapping[str, str]) -> str:
    """A remark that names the installed losses whose names contain `folded` or are part of it."""
    near = [
        f"'{name}'"
        for key, name in by_folded.items()
        if (len(folded) >= _LONGEST_ACRONYM and folded in key)
        or (len(key) > _LONGEST_ACRONYM and key in folded)
    ]
    return f"losses with near names, which may differ: {', '.join(near[:_MOST_NAMES])}" * bool(near)
