"""The name of a loss, from that of a class or a function."""

from __future__ import annotations

import re

__all__ = ["loss_name"]

_WORD = re.compile(
    r"""
    \d+D(?![a-z])                # 3D
    | [A-Z]+(?=[A-Z][a-z])       # CE in DiceCEFocal
    | [A-Z]?[a-z]+(?:\d+(?!\d*D))?  # Dice, l1; not the 3 of Loss3D
    | [A-Z]+(?:\d+(?!\d*D))?     # SSIM, L1; not the 3 of SSIM3D
    | \d+
    """,
    re.VERBOSE,
)
_DROPPED = ("loss", "criterion")
# Short words that are words; other short pieces are parts of one, as in TiCo, KoLeo and IoU.
_SHORT_WORDS = frozenset({"as", "at", "by", "in", "is", "no", "of", "on", "or", "to", "un", "up"})
_SHORT = 2  # letters


def loss_name(name: str) -> str:
    """A class's or a function's name as a loss's.

    >>> [loss_name(name) for name in ("FocalLoss", "NTXentLoss", "BCEDice", "L1Loss", "Loss")]
    ['focal', 'nt_xent', 'bce_dice', 'l1', 'loss']
    >>> [loss_name(name) for name in ("HausdorffERLoss3D", "SSIM3D", "SwaVLoss", "TiCoLoss")]
    ['hausdorff_er_3d', 'ssim_3d', 'swav', 'tico']
    >>> [loss_name(name) for name in ("GIoULoss", "focal_loss_with_logits", "ImageToTextLoss")]
    ['giou', 'focal_with_logits', 'image_to_text']
    """
    pieces = [piece for part in name.split("_") for piece in _joined(_WORD.findall(part))]
    kept = [piece for piece in pieces if piece not in _DROPPED]
    return "_".join(kept or pieces) or name


def _joined(pieces: list[str]) -> list[str]:
    """The words of a name in capitals and small letters, its short pieces joined."""
    words: list[str] = []
    joins = False
    for index, piece in enumerate(pieces):
        is_letter = len(piece) == 1 and piece.isalpha()
        is_short = piece.isalpha() and len(piece) <= _SHORT and piece.istitle()
        is_part = (is_letter or is_short) and piece.lower() not in _SHORT_WORDS
        ends = words and is_letter and (joins or pieces[index - 1].istitle())
        if words and (joins or ends) and piece.lower() not in _DROPPED:
            words[-1] += piece.lower()
        else:
            words.append(piece.lower())
        joins = is_part and len(pieces) > 1
    return words
