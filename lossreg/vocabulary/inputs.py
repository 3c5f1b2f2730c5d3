"""Where a step's tensors come from, as data: paths and transforms.

A path says where a tensor is: `logits`, `heads.seg.logits`, `hidden[-1]`. Transforms, a closed
list, say what is done to it before the loss sees it. `lossreg.runtime.routing` runs
them.
"""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple

__all__ = [
    "DTYPES",
    "REQUIRED",
    "TRANSFORMS",
    "Argument",
    "Path",
    "PathError",
    "Route",
    "Transform",
]

_SEGMENT = re.compile(r"([^\s.\[\]]+)((?:\[-?[0-9]{1,9}\])*)")
_INDEX = re.compile(r"-?[0-9]+")


class PathError(ValueError):
    """A text is no path."""


class Path(NamedTuple):
    """Where a tensor is: keys or attributes (strings) and indexes (integers).

    >>> Path.parse("heads.seg.hidden[-1]").steps
    ('heads', 'seg', 'hidden', -1)
    >>> str(Path(("aux", 2, "boxes")))
    'aux[2].boxes'
    """

    steps: tuple[str | int, ...]

    @classmethod
    def parse(cls, text: str) -> Path:
        """Read a path.

        Raises:
            PathError: The text is no path.
        """
        steps: list[str | int] = []
        for part in text.split("."):
            match = _SEGMENT.fullmatch(part)
            if match is None:
                raise PathError("expected a path such as logits, heads.seg.logits or hidden[-1]")
            steps.append(match[1])
            steps.extend(int(index) for index in _INDEX.findall(match[2]))
        return cls(tuple(steps))

    def __str__(self) -> str:
        text = ""
        for step in self.steps:
            text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
        return text


REQUIRED: Any = object()
"""The default of an argument that has none."""

DTYPES = ("float16", "bfloat16", "float32", "float64", "uint8", "int32", "int64", "bool")
"""What `cast` converts to."""


class Argument(NamedTuple):
    """An argument of a transform.

    Attributes:
        name: Its name.
        kind: What it takes: any finite `number`; a `divisor`, which is not 0; a `whole` number; a
            `count`, which is at least 1; a `dim`, which may be negative; a list of `dims`; a
            `pair` of dims; a `dtype`.
        default: Its default, or `REQUIRED`.
    """

    name: str
    kind: Literal["number", "divisor", "whole", "count", "dim", "dims", "pair", "dtype"]
    default: Any = REQUIRED


# Each transform's arguments; a value written without names binds to the first one.
TRANSFORMS: dict[str, tuple[Argument, ...]] = {
    "detach": (),
    "div": (Argument("by", "divisor"),),
    "mul": (Argument("by", "number"),),
    "add": (Argument("by", "number"),),
    "softmax": (Argument("dim", "dim", -1),),
    "log_softmax": (Argument("dim", "dim", -1),),
    "sigmoid": (),
    "transpose": (Argument("dims", "pair"),),
    "permute": (Argument("dims", "dims"),),
    "flatten": (Argument("start", "dim", 0), Argument("end", "dim", -1)),
    "squeeze": (Argument("dim", "dim"),),
    "unsqueeze": (Argument("dim", "dim"),),
    "select": (Argument("index", "whole"), Argument("dim", "dim")),
    "slice": (
        Argument("dim", "dim"),
        Argument("start", "whole", None),
        Argument("end", "whole", None),
        Argument("step", "count", 1),
    ),
    "one_hot": (
        Argument("classes", "count"),
        Argument("dim", "dim", -1),
        Argument("ignore", "whole", None),
    ),
    "cast": (Argument("dtype", "dtype"),),
    "shift": (Argument("by", "whole"), Argument("dim", "dim"), Argument("fill", "number")),
    "ones_like": (),
    "zeros_like": (),
    "full_like": (Argument("value", "number"),),
}
"""Every transform by name, a closed list."""


class Transform(NamedTuple):
    """One step between a path and a loss.

    >>> str(Transform("softmax", (("dim", 1),)))
    'softmax(dim=1)'
    """

    name: str
    arguments: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        if not self.arguments:
            return self.name
        return f"{self.name}({', '.join(f'{name}={value}' for name, value in self.arguments)})"


class Route(NamedTuple):
    """A path and what is done to what is there.

    >>> str(Route(Path.parse("teacher.logits"), (Transform("div", (("by", 2.0),)),)))
    'teacher.logits | div(by=2.0)'
    """

    path: Path
    transforms: tuple[Transform, ...] = ()

    def __str__(self) -> str:
        return " | ".join([str(self.path), *map(str, self.transforms)])
