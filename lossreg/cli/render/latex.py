r"""LaTeX formulas as Unicode text.

A fraction is written with a slash, so it gets brackets wherever its reading would change without
them. `cases` and `aligned` become lines; a group in a script keeps its braces, as in `x_{c'}`.
Blanks stay where the source has them.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

__all__ = ["unicode_text"]

_TOKEN = re.compile(
    r"\\text\{[^{}]*\}|\\(?:mathrm|operatorname)\{[^{}]*\}|\\(?:begin|end)\{\w+\}|\\[a-zA-Z]+|\\."
    r"|\d+(?:\.\d+)?|\s+|."
)
_SMALL = (
    *("alpha", "beta", "gamma", "delta", "zeta", "eta", "theta", "iota", "kappa", "mu", "nu"),
    *("xi", "pi", "rho", "sigma", "tau", "upsilon", "chi", "psi", "omega"),
)
_CAPITAL = ("Gamma", "Delta", "Theta", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega")
_LETTERS = {
    **{name: unicodedata.lookup(f"GREEK SMALL LETTER {name}") for name in _SMALL},
    **{name: unicodedata.lookup(f"GREEK CAPITAL LETTER {name}") for name in _CAPITAL},
    "lambda": "\N{GREEK SMALL LETTER LAMDA}",
    "Lambda": "\N{GREEK CAPITAL LETTER LAMDA}",
    "epsilon": "\N{GREEK LUNATE EPSILON SYMBOL}",
    "varepsilon": "\N{GREEK SMALL LETTER EPSILON}",
    "phi": "\N{GREEK PHI SYMBOL}",
    "varphi": "\N{GREEK SMALL LETTER PHI}",
    "ell": "\N{SCRIPT SMALL L}",
    "infty": "∞",
    "partial": "∂",
    "nabla": "∇",
}
_SIGNS = {
    "cdot": "·",
    "times": "\N{MULTIPLICATION SIGN}",
    "odot": "⊙",
    "pm": "±",
    "in": "∈",
    "notin": "∉",
    "neq": "≠",
    "ne": "≠",
    "le": "≤",
    "leq": "≤",
    "ge": "≥",
    "geq": "≥",
    "approx": "≈",
    "sim": "\N{TILDE OPERATOR}",
    "to": "→",
    "land": "∧",
    "lor": "\N{LOGICAL OR}",
    "dots": "…",
    "ldots": "…",
    "cdots": "…",
}
_FUNCTIONS = ("log", "ln", "exp", "max", "min", "sin", "cos", "tan", "tanh", "arg", "sup", "inf")
_LARGE = {"sum": "∑", "prod": "∏"}
_OPENING = {"(": "(", "[": "[", r"\{": "{", r"\lVert": "‖", r"\lvert": "|", r"\lfloor": "⌊"}
_CLOSING = {")": ")", "]": "]", r"\}": "}", r"\rVert": "‖", r"\rvert": "|", r"\rfloor": "⌋"}
_ACCENTS = {"hat": "\u0302", "bar": "\u0304", "tilde": "\u0303"}
_ALPHABETS = {"mathcal": "SCRIPT", "mathbb": "DOUBLE-STRUCK", "mathbf": "BOLD"}
_BLANKS = (r"\,", r"\;", r"\:", r"\ ", r"\quad", r"\qquad")
_IGNORED = (r"\left", r"\right", r"\displaystyle", r"\big", r"\Big", r"\!")
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_LOWERED = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
# Between these a fraction needs no brackets.
_APART = "+-=<>≤≥≠∈∉≈,"


class _UnknownError(Exception):
    """The LaTeX has something that this does not read."""


class _Piece(NamedTuple):
    """A part of a line.

    Attributes:
        text: How it is written.
        kind: `atom`, which binds more strongly than anything beside it; `fraction`; `name` of a
            function; `sign`; `blank`; or `cases`, whose rows are given.
        rows: The columns of each row.
    """

    text: str
    kind: str
    rows: tuple[tuple[str, ...], ...] = ()


def unicode_text(latex: str) -> str | None:
    r"""A formula as lines of Unicode text; None if it has LaTeX that this does not read.

    >>> print(unicode_text(r"\frac{1}{C} \sum_{c \neq y} \max(0, 1 - x_c)^2"))
    (1/C) ∑_{c ≠ y} max(0, 1 - x_c)²
    """
    try:
        parser = _Parser(latex)
        if parser.peek() == r"\begin{aligned}":
            parser.take()
            rows = parser.rows(r"\end{aligned}")
            parser.skip_blanks()
        else:
            rows = [[parser.sequence(("",))]]
        if parser.peek():
            return None
    except (_UnknownError, RecursionError):
        return None
    if any(len(row) > 2 for row in rows):  # noqa: PLR2004 - what is aligned has two sides
        return None
    wide = max(len(_line(row[0])) for row in rows) if any(len(row) > 1 for row in rows) else 0
    lines: list[str] = []
    for row in rows:
        start = f"{_line(row[0]).rjust(wide)} " if len(row) > 1 else ""
        lines += _lines(start, row[-1])
    return "\n".join(lines)


class _Parser:
    """Recursive descent over the tokens of a formula."""

    def __init__(self, latex: str) -> None:
        tokens = _TOKEN.findall(latex.strip())
        self._words = [
            " " if word.isspace() or word in _BLANKS else word
            for word in tokens
            if word not in _IGNORED
        ]
        self._place = 0

    def peek(self) -> str:
        """The next token; empty at the end."""
        return self._words[self._place] if self._place < len(self._words) else ""

    def take(self) -> str:
        """The next token, which is then behind."""
        word = self.peek()
        self._place += 1
        return word

    def skip_blanks(self) -> None:
        """Go to the next token that is not a blank."""
        while self.peek() == " ":
            self._place += 1

    def rows(self, end: str) -> list[list[list[_Piece]]]:
        """The cells of each row of an environment, up to its end."""
        rows: list[list[list[_Piece]]] = [[]]
        while True:
            rows[-1].append(self.sequence(("&", r"\\", end)))
            word = self.take()
            if word == r"\\":
                rows.append([])
            elif word == end:
                return rows
            elif word != "&":
                raise _UnknownError

    def sequence(self, ends: tuple[str, ...]) -> list[_Piece]:
        """The pieces up to one of these tokens, or the end of the formula."""
        pieces: list[_Piece] = []
        while self.peek() not in ends and self.peek():
            pieces.append(self.piece())
        while pieces and pieces[0].kind == "blank":
            del pieces[0]
        while pieces and pieces[-1].kind == "blank":
            del pieces[-1]
        return pieces

    def piece(self) -> _Piece:
        """One piece, with its scripts."""
        piece = self._bare()
        while self.peek() in ("_", "^", "'"):
            if self.peek() == "'":
                piece = _Piece(piece.text + self.take(), piece.kind)
            else:
                piece = self._with_script(piece)
        return piece

    def _with_script(self, piece: _Piece) -> _Piece:
        mark = self.take()
        is_large = piece.text[:1] in _LARGE.values()
        if piece.kind in ("blank", "sign", "cases"):
            raise _UnknownError
        script, is_group = self._script()
        text = f"({piece.text})" if piece.kind == "fraction" else piece.text
        digits = script.isascii() and script.removeprefix("-" * (mark == "^")).isdigit()
        if digits and not is_large:
            written = script.translate(_RAISED if mark == "^" else _LOWERED)
        elif is_group or (mark == "_" and self.peek() in ("^", "'")):
            # Without braces what follows would be read as the index's.
            written = f"{mark}{{{script}}}"
        else:
            written = mark + script
        return _Piece(text + written, "name" if piece.kind == "name" else "atom")

    def _script(self) -> tuple[str, bool]:
        """What a script says, and whether it needs braces."""
        self.skip_blanks()
        if self.peek() == "{":
            text = self._group()
            return text, not re.fullmatch(r"\w", text)
        if len(self.peek()) > 1 and self.peek()[0].isdigit():
            # Without braces a script is one digit.
            digit, rest = self.peek()[0], self.peek()[1:]
            self._words[self._place : self._place + 1] = [digit, rest]
        piece = self._bare()
        if piece.kind != "atom":
            raise _UnknownError
        return piece.text, len(piece.text) > 1 and not piece.text.isdigit()

    def _group(self) -> str:
        return _line(self._braced())

    def _braced(self) -> list[_Piece]:
        self.skip_blanks()
        if self.take() != "{":
            raise _UnknownError
        pieces = self.sequence(("}",))
        if self.take() != "}":
            raise _UnknownError
        return pieces

    def _bare(self) -> _Piece:
        """One piece without its scripts."""
        word = self.take()
        if word == " ":
            return _Piece(" ", "blank")
        if word in _OPENING:
            return self._enclosed(word)
        if word == "|":
            return self._between("|", ("|",))
        if word == "{":
            self._place -= 1
            inner = self._braced()
            if inner and not _is_atom(inner):
                raise _UnknownError
            return _Piece(_line(inner), "atom") if inner else _Piece(" ", "blank")
        if word == r"\begin{cases}":
            cells = self.rows(r"\end{cases}")
            return _Piece("", "cases", tuple(tuple(map(_line, row)) for row in cells))
        if word.startswith("\\"):
            return self._command(word[1:])
        if word[:1].isalnum():
            return _Piece(word, "atom")
        if word and word in "+-=<>,:;/*!.":
            return _Piece(word, "sign")
        raise _UnknownError

    def _enclosed(self, word: str) -> _Piece:
        # Intervals may open and close with different brackets.
        return self._between(_OPENING[word], tuple(_CLOSING))

    def _between(self, opening: str, ends: tuple[str, ...]) -> _Piece:
        inner = _line(self.sequence(ends))
        closing = self.take()
        if closing not in ends:
            raise _UnknownError
        return _Piece(f"{opening}{inner}{_CLOSING.get(closing, closing)}", "atom")

    def _command(self, name: str) -> _Piece:
        command, _, rest = name.partition("{")
        if command in ("text", "mathrm", "operatorname") and rest:
            return _Piece(rest[:-1], "name" if command == "operatorname" else "atom")
        if name in _LETTERS:
            return _Piece(_LETTERS[name], "atom")
        if name in _SIGNS:
            return _Piece(_SIGNS[name], "sign")
        if name in _FUNCTIONS:
            return _Piece(name, "name")
        if name in _LARGE:
            return _Piece(_LARGE[name], "name")
        if name == "frac":
            return self._fraction()
        if name == "sqrt":
            inner = self._braced()
            text = _line(inner)
            is_plain = len(text) == 1 or text.isdigit()
            return _Piece(f"√{text}" if is_plain else f"√({text})", "atom")
        return self._letter(name)

    def _letter(self, name: str) -> _Piece:
        """A letter with an accent, or of another alphabet."""
        if name not in _ACCENTS and name not in _ALPHABETS:
            raise _UnknownError
        letter = self._group()
        if len(letter) != 1:
            raise _UnknownError
        if name in _ACCENTS:
            return _Piece(unicodedata.normalize("NFC", letter + _ACCENTS[name]), "atom")
        case = "CAPITAL" if letter.isupper() else "SMALL"
        title = f"{_ALPHABETS[name]} {case} {letter.upper()}"
        shown = _named(f"MATHEMATICAL {title}") or _named(title)
        if not shown:
            raise _UnknownError
        return _Piece(shown, "atom")

    def _fraction(self) -> _Piece:
        sides = [self._braced(), self._braced()]
        texts = [_line(side) if _is_atom(side) else f"({_line(side)})" for side in sides]
        is_short = all(len(side) == 1 and not re.search(r"[ (]", side[0].text) for side in sides)
        return _Piece(("/" if is_short else " / ").join(texts), "fraction")


def _named(title: str) -> str:
    """The character of a name in Unicode; empty if there is none."""
    try:
        return unicodedata.lookup(title)
    except KeyError:
        return ""


def _is_atom(pieces: list[_Piece]) -> bool:
    """Whether pieces may stand beside a slash as they are: a symbol, or a function's value."""
    if len(pieces) == 2 and pieces[1].text.startswith("("):  # noqa: PLR2004
        return pieces[0].kind in ("atom", "name") and pieces[0].text[:1] not in _LARGE.values()
    return len(pieces) == 1 and pieces[0].kind == "atom"


def _line(pieces: list[_Piece]) -> str:
    """Pieces on one line."""
    text = ""
    for index, piece in enumerate(pieces):
        shown = piece.text
        if piece.kind == "cases":
            shown = f"{{{'; '.join(map(', '.join, piece.rows))}}}"
        elif piece.kind == "fraction" and not _stands_apart(pieces, index):
            shown = f"({shown})"
        if index and _runs_together(pieces[index - 1], piece):
            text += " "
        text += shown
    return " ".join(text.split())


def _runs_together(before: _Piece, piece: _Piece) -> bool:
    """Whether two pieces without a blank between them would be read as one."""
    if "cases" in (before.kind, piece.kind):
        return True
    if before.kind not in ("atom", "name") or piece.kind in ("blank", "sign"):
        return False
    if piece.kind == "fraction":
        return True  # in brackets, it would look like an argument
    ends_in_letter = before.kind == "name" or not before.text[-1:].isdecimal()
    return ends_in_letter and piece.text[:1].isalnum()


def _stands_apart(pieces: list[_Piece], index: int) -> bool:
    """Whether a fraction is a whole summand, or all that there is."""
    before = [piece for piece in pieces[:index] if piece.kind != "blank"]
    after = [piece for piece in pieces[index + 1 :] if piece.kind != "blank"]
    return (not before or before[-1].text in _APART) and (not after or after[0].text in _APART)


def _lines(start: str, pieces: list[_Piece]) -> list[str]:
    """Pieces after the start of a line; cases at their end take several lines."""
    if not pieces or pieces[-1].kind != "cases":
        return [(start + _line(pieces)).rstrip()]
    head = start + _line(pieces[:-1])
    head += " " * (not head.endswith(" "))
    rows = pieces[-1].rows
    widths = [max(len(row[0]) for row in rows), 0]
    lines = []
    for index, row in enumerate(rows):
        columns = "  ".join(cell.ljust(wide) for cell, wide in zip(row, widths, strict=False))
        lines.append(f"{head}{_brace(index, len(rows))} {columns}".rstrip())
        head = " " * len(head)
    return lines


def _brace(index: int, count: int) -> str:
    if count == 1:
        return "{"
    if index in (0, count - 1):
        return "⎩" if index else "⎧"
    return "⎨" if index == count // 2 else "⎪"
