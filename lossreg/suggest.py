"""Guessing which name was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# What a loss is called elsewhere (torch.nn.functional, Keras, JAX, the literature), where
# leaving out "loss", case and underscores does not lead to the name by itself.
_FOREIGN_LOSS_NAMES = {
    "absoluteerror": "l1",
    "bcelogits": "bce_with_logits",
    "binarycrossentropy": "bce",
    "binarycrossentropywithlogits": "bce_with_logits",
    "categoricalcrossentropy": "cross_entropy",
    "ce": "cross_entropy",
    "cosinesimilarity": "cosine_embedding",
    "hinge": "hinge_embedding",
    "huber": "smooth_l1",
    "kld": "kl_div",
    "kldivergence": "kl_div",
    "kullbackleiblerdivergence": "kl_div",
    "l2": "mse",
    "logloss": "cross_entropy",
    "mae": "l1",
    "meanabsoluteerror": "l1",
    "meansquarederror": "mse",
    "multilabelcrossentropy": "multilabel_soft_margin",
    "negativeloglikelihood": "nll",
    "poisson": "poisson_nll",
    "sigmoidcrossentropy": "bce_with_logits",
    "softmaxcrossentropy": "cross_entropy",
    "sparsecategoricalcrossentropy": "cross_entropy",
    "triplet": "triplet_margin",
}
_MAX_LENGTH = 100  # difflib is quadratic, and no name is longer


def _folded(name: str) -> str:
    letters = "".join(char for char in name.lower() if char.isalnum())
    return letters.replace("loss", "") or letters


def closest(name: object, candidates: Iterable[str]) -> str | None:
    """The candidate that was probably meant by a name, or None.

    >>> closest("label_smoothin", ["beta", "label_smoothing"])
    'label_smoothing'
    >>> closest("LabelSmoothing", ["beta", "label_smoothing"])
    'label_smoothing'
    >>> closest("losss", ["loss", "terms"])
    'loss'
    >>> closest("colour", ["beta", "label_smoothing"]) is None
    True
    """
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_LENGTH:
        return None
    import difflib  # half a millisecond that only a fault is worth

    by_folded: dict[str, str] = {}
    for candidate in candidates:
        by_folded.setdefault(_folded(candidate), candidate)
    matches = difflib.get_close_matches(_folded(name), by_folded, n=1, cutoff=0.7)
    if not matches and "loss" in name:
        # It may be "loss" itself that is misspelt.
        matches = difflib.get_close_matches(name, by_folded, n=1, cutoff=0.7)
    return by_folded[matches[0]] if matches else None


def closest_loss(name: object, installed: Iterable[str]) -> str | None:
    """The installed loss that was probably meant, under whatever name another library gives it.

    >>> closest_loss("CrossEntropyLoss", ["bce", "cross_entropy"])
    'cross_entropy'
    >>> closest_loss("mean_squared_error", ["bce", "mse"])
    'mse'
    """
    known = list(installed)
    if isinstance(name, str):
        foreign = _FOREIGN_LOSS_NAMES.get(_folded(name.rpartition(".")[2]))
        if foreign in known:
            return foreign
        name = name.rpartition(".")[2]
    return closest(name, known)
