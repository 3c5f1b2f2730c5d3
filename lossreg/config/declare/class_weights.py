"""Class weights that are not a plain list: by name, from counts, from a file beside the config."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossreg.config.declare.class_numbers import BY_NAME, Numbers, Target
from lossreg.config.declare.fields import read_choice
from lossreg.config.declare.keys import as_meant
from lossreg.config.faults.faults import Faults, clipped, describe, holds_interpolation
from lossreg.config.grammar import CLASS_WEIGHTS
from lossreg.config.read.nodes import Node, SourceError
from lossreg.config.read.python import from_python
from lossreg.plugin.fields import LossConfig, is_tensor, weights_of
from lossreg.vocabulary.class_weights import METHODS

if TYPE_CHECKING:
    from typing import Any, Literal

    from pydantic import BaseModel

    from lossreg.config.faults.faults import ConfigPath
    from lossreg.config.read.beside import Beside
    from lossreg.config.read.nodes import Span
    from lossreg.vocabulary.class_weights import Method

__all__ = ["SOURCES", "WEIGHED", "with_numbers"]

SOURCES = ("values", "counts", "positives", "file")
"""The keys of which a mapping of class weights has exactly one."""

WEIGHED = {
    "classes": "classes",
    "entries": "entries, whatever their target",
    "positives": "positive targets against negative ones",
}
"""What a parameter's numbers weigh, in words."""


def with_numbers(
    model: type[BaseModel], params: Node, owner: str, path: ConfigPath, faults: Faults
) -> tuple[Node, list[str]]:
    """A loss's parameters with the numbers in place of each mapping of class weights.

    Args:
        model: The class that describes the parameters.
        params: The mapping of parameters.
        owner: The loss's name.
        path: The mapping's place.
        faults: Takes the faults.

    Returns:
        The parameters, without the class weights that have a fault; and the names of those.
    """
    faulty: list[str] = []
    read = params
    fields = model.model_fields if issubclass(model, LossConfig) else {}
    for name, node in params.value.items():
        weights = weights_of(fields[name]) if name in fields else None
        if weights is None or not isinstance(node.value, dict) or "schedule" in node.value:
            continue
        if read is params:
            read = params.copy()
        target = Target(owner, name, weights, node, (path, name), params.keys[name])
        numbers = _Reader(target, faults).numbers()
        if numbers is None:
            faulty.append(name)
            del read.value[name], read.keys[name]
        else:
            read.value[name] = numbers
    return read, faulty


class _InFile(Faults):
    """Faults of a file that a config names: each also says where it is named."""

    def __init__(self, faults: Faults, named: Node) -> None:
        super().__init__()
        self._faults = faults
        document, start, end = named.span
        assert document is not None  # noqa: S101 - only a config in a file names another one
        place = document.place(start, end)
        self._suffix = f" (named at {document.name}:{place.line}:{place.column})"

    def add(
        self,
        code: str,
        path: ConfigPath,
        message: str,
        place: Node | Span | None = None,
        *,
        severity: Literal["error", "warning"] = "error",
    ) -> None:
        """Note a fault, and where the file is named."""
        self._faults.add(code, path, message + self._suffix, place, severity=severity)


class _Reader:
    """Reads one mapping of class weights."""

    def __init__(self, target: Target, faults: Faults) -> None:
        self.target = target
        self.faults = faults
        self.path = target.path

    def numbers(self) -> Node | None:
        """The numbers, in the order of the classes; None after noting a fault."""
        target = self.target
        if _is_by_name(target.node):
            message = f"expected a list, found a mapping; {BY_NAME}"
            self.faults.add("LR201", self.path, message, target.node)
            return None
        node = as_meant(CLASS_WEIGHTS, target.node, self.path, self.faults)
        source = self._source(node)
        classes = self._classes(node.value["classes"]) if "classes" in node.value else None
        if source is None:
            return None
        method, arguments = self._method(node, source)
        if arguments is None or (classes is None and "classes" in node.value):
            return None
        numbers = Numbers(target, classes, method, arguments)
        read = self._written(node, source, numbers)
        return read if node is target.node else None  # with a misspelt key it is only a guess

    def _written(self, node: Node, source: str, numbers: Numbers) -> Node | None:
        """The numbers of a key."""
        written, path = node.value[source], (self.path, source)
        if source == "file":
            return self._from_file(written, path, numbers)
        if source == "values" and not isinstance(written.value, dict):
            found = describe(written.value)
            message = f"expected numbers by class, found {found}; a list needs no mapping around it"
            self.faults.add("LR201", path, message, written)
            return None
        if is_tensor(written.value):
            written = from_python(written.value.tolist())
        return numbers.read(written, path, self.faults)

    def _source(self, node: Node) -> str | None:
        """The key that the numbers come from."""
        sources = [key for key in SOURCES if key in node.value]
        if not sources:
            message = "expected 'values', 'counts', 'positives' or 'file', where the numbers are"
            self.faults.add("LR102", self.path, message, self.target.key)
            return None
        if len(sources) > 1:
            first, second, *_ = sources
            message = f"class weights have '{first}' or '{second}', not both; remove one of the two"
            self.faults.add("LR218", (self.path, second), message, node.keys[second])
            return None
        return sources[0]

    def _classes(self, node: Node) -> list[str] | None:
        """The names of the classes."""
        path, names = (self.path, "classes"), []
        if self.faults.interpolations and holds_interpolation(node):
            return None  # not known here, nor is what they lack
        if not isinstance(node.value, list):
            message = f"expected a list of names, found {describe(node.value)}"
            self.faults.add("LR201", path, message, node)
            return None
        if not node.value:
            self.faults.add("LR218", path, "expected at least one class", node)
            return None
        seen: dict[str, int] = {}
        for place, child in enumerate(node.value):
            name = child.value
            if not isinstance(name, str):
                hint = _quoted(child)
                message = f"expected the name of a class, found {describe(name)}{hint}"
                self.faults.add("LR201", (path, place), message, child)
            elif name in seen:
                message = f"the class '{clipped(name)}' is at place {seen[name]} already"
                self.faults.add("LR218", (path, place), message, child)
            else:
                seen[name] = place
                names.append(name)
        return names if len(names) == len(node.value) else None

    def _method(self, node: Node, source: str) -> tuple[Method | None, dict[str, Any] | None]:
        """The method, if there is one, and its arguments; None instead of them for a fault."""
        argued = [name for name in ("beta", "total") if name in node.value]
        written = node.value.get("method")
        if source == "values" or written is None:
            if source in ("counts", "positives"):
                message = f"the key 'method' is missing: how {source} become weights"
                message += f"; {self._fitting(source) or self._fitting()}"
                self.faults.add("LR102", self.path, message, self.target.key)
                return None, None
            stray = argued if written is None else ["method", *argued]
            beside = "values" if source == "values" else "a file of weights"
            for key in stray:
                message = f"'{key}' goes with counts, not with {beside}; remove it"
                self.faults.add("LR218", (self.path, key), message, node.keys[key])
            return None, None if stray else {}
        entry, path = CLASS_WEIGHTS.keys["method"], (self.path, "method")
        name = read_choice(written, path, entry.choices, self.faults, entry.other_words)
        if name is None:
            return None, None
        method, weights = METHODS[name], self.target.weights
        if method.weigh != weights.weigh:
            message = (
                f"'{name}' gives weights of {WEIGHED[method.weigh]}, and '{self.target.name}' of "
                f"'{self.target.owner}' weighs {WEIGHED[weights.weigh]}; {self._fitting()}"
            )
            self.faults.add("LR218", path, message, written)
            return None, None
        if source not in ("file", method.counts):
            meaning = CLASS_WEIGHTS.keys[method.counts].meaning
            message = f"'{name}' takes '{method.counts}', not '{source}': {meaning}"
            self.faults.add("LR218", (self.path, source), message, node.keys[source])
            return None, None
        return method, self._arguments(method, node, argued)

    def _fitting(self, source: str = "") -> str:
        """What to write for this parameter, if a method fits it."""
        names = [
            method.name
            for method in METHODS.values()
            if method.weigh == self.target.weights.weigh and source in ("", method.counts)
        ]
        if not names:
            return "" if source else "write the weights themselves, as a list or with 'values'"
        method = METHODS[names[0]]
        takes = [method.counts, *(argument.name for argument in method.arguments)]
        beside = "" if source else f", beside {' and '.join(repr(name) for name in takes)}"
        return f"write method: {' or '.join(names)}{beside}"

    def _arguments(self, method: Method, node: Node, argued: list[str]) -> dict[str, Any] | None:
        values: dict[str, Any] = {}
        wanted = {argument.name: argument.kind for argument in method.arguments}
        for name in argued:
            place: ConfigPath = (self.path, name)
            written = node.value[name]
            if name not in wanted:
                message = f"'{method.name}' takes no '{name}'; remove it"
                self.faults.add("LR218", place, message, node.keys[name])
            elif not wanted[name].accepts(written.value):
                message = f"expected {wanted[name].wanted}, found {describe(written.value)}"
                self.faults.add("LR202", place, message, written)
            else:
                values[name] = written.value
        for name in wanted.keys() - node.value.keys():
            meaning = CLASS_WEIGHTS.keys[name].meaning
            message = f"the key '{name}' is missing, which '{method.name}' needs: {meaning}"
            self.faults.add("LR102", self.path, message, self.target.key)
        return values if values.keys() == wanted.keys() == set(argued) else None

    def _from_file(self, written: Node, path: ConfigPath, numbers: Numbers) -> Node | None:
        """The numbers of a file."""
        beside = self._opened(written, path)
        if beside is None:
            return None
        faults = _InFile(self.faults, written)
        root, column, method = *beside, numbers.method
        document = root.document
        if document is not None and document.faults:
            for fault in document.faults:
                span = (fault.document, fault.start, fault.end)
                faults.add(fault.code, path, fault.message, span)
            return None
        if column and (column == "count") != (method is not None):
            fitting = f"to make weights of counts, {self._fitting()}"
            message = f"the file has a column 'count', and there is no 'method'; {fitting}"
            if method is not None:
                message = f"'{method.name}' takes counts, and the file has a column 'weight'"
            self.faults.add("LR218", path, message, written)
            return None
        read = numbers.read(root, path, faults)
        if read is not None and written.document is not None and written.document.folder:
            written.document.folder.written_out.append((self.target.node, read))
        return read

    def _opened(self, written: Node, path: ConfigPath) -> Beside | None:
        from lossreg.config.read.beside import NotReadError, read_beside  # few configs have files

        if not isinstance(written.value, str) or not written.value:
            message = f"expected the name of a file, found {describe(written.value)}"
            self.faults.add("LR201", path, message, written)
            return None
        folder = written.document.folder if written.document is not None else None
        if folder is None:
            message = (
                "a file is looked for in the folder of the config's file, and this config is not "
                "in a file; write the weights themselves, or read the config from its file"
            )
            self.faults.add("LR219", path, message, written)
            return None
        try:
            return read_beside(folder, written.value)
        except NotReadError as error:
            message = f"cannot read '{clipped(written.value)}': {error}"
            self.faults.add("LR219", path, message, written)
        except SourceError as error:
            span = (error.document, error.start, error.end)
            _InFile(self.faults, written).add(error.code, path, error.message, span)
        return None


def _is_by_name(node: Node) -> bool:
    """Whether a mapping has nothing but numbers by other names than the keys there are."""
    known = CLASS_WEIGHTS.keys.keys() | CLASS_WEIGHTS.foreign.keys()
    names = node.value.items()
    return bool(names) and not any(
        name in known or isinstance(child.value, bool) or not isinstance(child.value, int | float)
        for name, child in names
    )


def _quoted(node: Node) -> str:
    """What to write for a name that YAML reads as something else."""
    if node.document is None or isinstance(node.value, dict | list):
        return ""
    written = node.document.text[node.start : node.end]
    return f"; write '{clipped(written)}' in quotes" if written else ""
