r"""Evaluates the formula of a loss's page, as a reader would: entry by entry, in float64.

The subset of LaTeX that formulas use: `\frac`, `\sqrt`, `\log`, `\exp`, `\max`, `\min`, `\sum` and
`\prod` with their conditions, `cases`, norms, dot products, absolute values, Iverson brackets, and
helper lines such as `d(u, v) &= ...` or `p_c &= ...` in `aligned`.

- `c` is an index of the dimension `C`, and so is `c'`; a sum over `c` is over all of it.
- `\text{if log input}` is the parameter `log_input`, `\text{margin}` the parameter `margin`, and
  `\text{if distance is cosine}` whether the parameter `distance` is `cosine`.
- An integer is a class index; what a class index list holds ends at the first -1.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import torch
from torch import Tensor

Value: TypeAlias = Any
Names: TypeAlias = dict[str, Value]
Rule: TypeAlias = Callable[[Names], Value]

_TOKEN = re.compile(
    r"\\text\{[^}]*\}|\\(?:begin|end)\{\w+\}|\\\\|\\mathcal\{\w\}|\\[a-zA-Z]+|\\."
    r"|\d+(?:\.\d+)?|[a-zA-Z]'?|[^\s]"
)
_SPACES = {r"\left", r"\right", r"\,", r"\;", r"\quad", r"\displaystyle"}
_RELATIONS: dict[str, Callable[[Value, Value], bool]] = {
    "=": lambda one, other: type(one) in (int, float) and one == other,
    r"\neq": lambda one, other: one != other,
    "<": operator.lt,
    ">": operator.gt,
    r"\le": operator.le,
    r"\ge": operator.ge,
    r"\in": lambda one, many: one in many,
    r"\notin": lambda one, many: one not in many,
}
# What ends a product.
_ENDS = {"", "+", "-", ")", "]", "}", ",", "&", "|", r"\\", r"\end{cases}", r"\rVert", *_RELATIONS}


class UnreadableError(Exception):
    """The formula has what this does not read, or a symbol that nobody explains."""


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def _exp(value: float) -> float:
    return math.exp(value) if value < 709 else math.inf


_FUNCTIONS: dict[str, Callable[[float], float]] = {
    r"\log": _log,
    r"\exp": _exp,
    r"\sqrt": math.sqrt,
}

_CONSTANTS = {r"\pi": math.pi, r"\infty": math.inf}


class Formula:
    """A formula, read.

    Args:
        latex: The formula.
        functions: The symbols that are called and that no line of it defines.
    """

    def __init__(self, latex: str, functions: Iterable[str] = ()) -> None:
        tokens = [token for token in _TOKEN.findall(latex) if token not in _SPACES]
        if tokens[:1] == [r"\begin{aligned}"]:
            tokens = tokens[1:-1]
        lines = list(_split(tokens))
        heads = [_Parser(line[: line.index("=")], set()).head() for line in lines]
        called = {*functions} | {name for name, _, is_called in heads if is_called}
        self.helpers: dict[str, tuple[list[str], Rule]] = {}
        for line, (name, arguments, _) in zip(lines, heads, strict=True):
            parser = _Parser(line[line.index("=") + 1 :], called)
            rule = parser.sum()
            parser.expect("")
            self.helpers[name] = (arguments, rule)

    def value(self, names: Names) -> float:
        """Its value, where the names of symbols, parameters and sizes have these values."""
        return float(self.helpers[r"\ell"][1]({**names, "helpers": self.helpers}))


def _split(tokens: list[str]) -> Iterator[list[str]]:
    """The lines, without their `&`; line breaks within cases do not count."""
    depth, line = 0, []
    for token in tokens:
        depth += (token == r"\begin{cases}") - (token == r"\end{cases}")
        if token == r"\\" and not depth:
            yield line
            line = []
        elif token != "&" or depth:
            line.append(token)
    yield line


def _resolved(name: str, names: Names) -> Value:
    if name in names:
        return names[name]
    if name in names["helpers"]:
        arguments, rule = names["helpers"][name]
        if not arguments:
            return rule(names)
    if name in _CONSTANTS:
        return _CONSTANTS[name]
    raise UnreadableError(f"nobody explains {name!r}")


def _called(name: str, arguments: list[Value], names: Names) -> Value:
    if name in names["helpers"]:
        parameters, rule = names["helpers"][name]
        return rule({**names, **dict(zip(parameters, arguments, strict=True))})
    return _resolved(name, names)(*arguments)


def _indexed(value: Value, index: Value) -> Value:
    entry = value[index]
    return entry.item() if isinstance(entry, Tensor) and not entry.dim() else entry


class _Parser:
    """Recursive descent: each method reads a part and returns how to compute it."""

    def __init__(self, tokens: list[str], functions: set[str]) -> None:
        self.tokens, self.place, self.functions = tokens, 0, functions

    def peek(self) -> str:
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.place += 1
        return token

    def expect(self, token: str) -> None:
        if (found := self.take()) != token:
            raise UnreadableError(f"expected {token!r}, found {found!r} in {' '.join(self.tokens)}")

    def took(self, token: str) -> bool:
        if self.peek() != token:
            return False
        self.place += 1
        return True

    def head(self) -> tuple[str, list[str], bool]:
        """What a line defines: a name, its indices or arguments, whether it is called."""
        name, arguments = self.take(), []
        called = self.took("(")
        if called or self.took("_"):
            arguments = [token for token in self.tokens[self.place :] if token not in "{},)"]
        return name, arguments, called

    def sum(self) -> Rule:
        total = self.signed()
        while self.peek() in ("+", "-"):
            sign = -1 if self.take() == "-" else 1
            total = _joined(total, self.product(), lambda a, b, sign=sign: a + sign * b)
        return total

    def signed(self) -> Rule:
        if not self.took("-"):
            return self.product()
        term = self.product()
        return lambda names: -term(names)

    def product(self) -> Rule:
        result = self.power()
        while self.peek() not in _ENDS and not self.peek().startswith(r"\text{"):
            if self.took(r"\cdot"):
                result = _joined(result, self.power(), lambda a, b: float(torch.dot(a, b)))
            else:
                result = _joined(result, self.power(), operator.mul)
        return result

    def power(self) -> Rule:
        base = self.atom()
        if not self.took("^"):
            return base
        return _joined(base, self.group(), operator.pow)

    def group(self) -> Rule:
        """What braces hold, or a single token."""
        if not self.took("{"):
            return self.atom()
        inner = self.sum()
        self.expect("}")
        return inner

    def atom(self) -> Rule:
        token = self.take()
        if token[0].isdigit():
            number = float(token) if "." in token else int(token)
            return lambda _: number
        if token.startswith(r"\text{"):
            return _named(token[6:-1])
        if token in _FUNCTIONS:
            argument = self.group() if token == r"\sqrt" else self.power()
            return lambda names: _FUNCTIONS[token](argument(names))
        parts: dict[str, Callable[[], Rule]] = {
            "(": lambda: self.until(")"),
            "[": lambda: self.condition("]"),
            "|": self.size,
            r"\lVert": self.norm,
            r"\frac": lambda: _joined(self.group(), self.group(), operator.truediv),
            r"\max": lambda: self.extreme(max),
            r"\min": lambda: self.extreme(min),
            r"\sum": lambda: self.series(math.fsum),
            r"\prod": lambda: self.series(math.prod),
            r"\begin{cases}": self.cases,
        }
        if token in parts:
            return parts[token]()
        if re.fullmatch(r"[a-zA-Z]'?|\\[a-zA-Z]+", token):
            return self.symbol(token)
        raise UnreadableError(f"cannot read {token!r} in {' '.join(self.tokens)}")

    def size(self) -> Rule:
        inner = self.until("|")
        return lambda names: abs(inner(names))

    def until(self, end: str) -> Rule:
        inner = self.sum()
        self.expect(end)
        return inner

    def arguments(self) -> list[Rule]:
        """What follows an opening parenthesis, up to the closing one."""
        found = [self.sum()]
        while self.took(","):
            found.append(self.sum())
        self.expect(")")
        return found

    def extreme(self, function: Callable[[list[float]], float]) -> Rule:
        self.expect("(")
        arguments = self.arguments()
        return lambda names: function([argument(names) for argument in arguments])

    def norm(self) -> Rule:
        inner = self.until(r"\rVert")
        self.expect("_")
        order = self.group()
        return lambda names: float(torch.linalg.vector_norm(inner(names), order(names)))

    def symbol(self, name: str) -> Rule:
        if name in self.functions:
            self.expect("(")
            arguments = self.arguments()
            return lambda names: _called(name, [argument(names) for argument in arguments], names)
        if not self.took("_"):
            return lambda names: _resolved(name, names)
        start = self.place
        if self.took("{"):
            indices = [self.sum()]
            while self.took(","):
                indices.append(self.sum())
            self.expect("}")
        else:
            indices = [self.atom()]
        written = f"{name}_{''.join(self.tokens[start : self.place])}"

        def value(names: Names) -> Value:
            if written in names:
                return names[written]
            places = [index(names) for index in indices]
            if name in names["helpers"]:
                return _called(name, places, names)
            found = _resolved(name, names)
            for place in places:
                found = _indexed(found, place)
            return found

        return value

    def series(self, reduce: Callable[[Iterator[float]], float]) -> Rule:
        self.expect("_")
        braced = self.took("{")
        index = self.take()
        relation = self.take() if self.peek() in _RELATIONS else ""
        limit = self.sum() if relation else None
        if braced:
            self.expect("}")
        body = self.product()

        def places(names: Names) -> Iterator[Value]:
            bound = None if limit is None else limit(names)
            if relation == r"\in":
                yield from bound
                return
            for place in range(_resolved(index.rstrip("'").upper(), names)):
                if not relation or _RELATIONS[relation](place, bound):
                    yield place

        return lambda names: reduce(body({**names, index: place}) for place in places(names))

    def cases(self) -> Rule:
        rows: list[tuple[Rule, Rule]] = []
        while True:
            value = self.sum()
            self.expect("&")
            holds = self.condition(r"\\", r"\end{cases}")
            rows.append((value, holds))
            if self.tokens[self.place - 1] == r"\end{cases}":
                break

        def chosen(names: Names) -> Value:
            return next(value(names) for value, holds in rows if holds(names))

        return chosen

    def condition(self, *ends: str) -> Rule:
        """All that stands up to one of the ends, joined with "and"."""
        parts: list[Rule] = []
        while self.peek() not in ends:
            if self.peek().startswith(r"\text{"):
                words = re.sub(r"^if\b|\band$", "", self.take()[6:-1].strip()).strip()
                if words:
                    parts.append(_in_words(words))
            else:
                parts.append(self.comparison())
        self.place += 1
        return lambda names: all(part(names) for part in parts)

    def comparison(self) -> Rule:
        left = self.sum()
        if self.peek() == r"\text{ is a class index}":
            self.take()
            return lambda names: isinstance(left(names), int)
        relation = self.take()
        if relation not in _RELATIONS:
            raise UnreadableError(f"cannot read {relation!r} in {' '.join(self.tokens)}")
        return _joined(left, self.sum(), _RELATIONS[relation])


def _joined(one: Rule, other: Rule, join: Callable[[Value, Value], Value]) -> Rule:
    return lambda names: join(one(names), other(names))


def _named(words: str) -> Rule:
    return lambda names: _resolved(words.replace(" ", "_"), names)


def _in_words(words: str) -> Rule:
    if words == "otherwise":
        return lambda _: True
    return _named(words)
