"""From YAML text to nodes with places.

The parser's events are counted and turned into nodes one by one. Nothing recurses, so a document
can neither exhaust the stack nor expand beyond the limits.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

from lossreg.config.faults.faults import clipped
from lossreg.config.read.nodes import (
    MOST_FAULTS,
    Document,
    Node,
    SourceError,
    Span,
    too_many_faults,
)
from lossreg.config.read.scalars import resolve

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["decoded", "read_bytes", "read_document"]

MAX_BYTES = 2**20
MAX_NODES = 100_000
MAX_LEVELS = 64

# The C parser gives the same events four to five times faster, if PyYAML was built with it.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# The two parsers may disagree about tabs, tags, '?', directives, and a comment right after a '|' or
# a '>'. A text with one of these, or with a fault, is read by the Python parser: so its diagnostics
# do not depend on how PyYAML was built.
_DOUBTFUL = re.compile("[\t!?%]|[|>][-+0-9]*#")
_CORE_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null")}
_STRING_TAGS = {"tag:yaml.org,2002:str", "!"}
_MAP_TAG, _SEQ_TAG = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"
# What YAML forbids: control characters (except tab, line feed, carriage return and NEL),
# surrogates, the two non-characters, and a byte order mark that is not the first character.
_FORBIDDEN = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff\ufffe\uffff]"
# YAML 1.1 parsers break lines at these, editors do not.
_ODD_BREAK = "[\x85\u2028\u2029]"
_COLON = r"\s*:"
_STARTS = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_ENDS = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
# Stand in for a key: its value is merged (`<<`), or dropped after an error.
_MERGED, _DROPPED = object(), object()


def read_bytes(data: bytes, name: str) -> tuple[Document, Node]:
    """A YAML document from UTF-8 bytes: the document and its root.

    Raises:
        SourceError: It is not YAML that lossreg accepts.
    """
    if len(data) > MAX_BYTES:
        message = f"the document is larger than {MAX_BYTES:,} bytes"
        raise SourceError("LR004", message, Document(name, ""))
    document = decoded(data, name)
    return document, read_document(document)


def decoded(data: bytes, name: str) -> Document:
    """A document from UTF-8 bytes.

    Raises:
        SourceError: They are not UTF-8.
    """
    try:
        return Document(name, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        undecoded, wrong = error.object, error.start  # both without the byte order mark
        message = f"the document is not UTF-8: byte 0x{undecoded[wrong]:02x}; save it as UTF-8"
        readable = Document(name, undecoded[:wrong].decode() + "\N{REPLACEMENT CHARACTER}")
        last = len(readable.text) - 1
        raise SourceError("LR002", message, readable, last, last + 1) from None


def read_document(document: Document) -> Node:
    """The root of a YAML document; faults that do not end the reading go to `document.faults`.

    Raises:
        SourceError: As for `read_bytes`.
    """
    text = document.text
    if len(text) > MAX_BYTES:
        raise SourceError("LR004", f"the document is larger than {MAX_BYTES:,} bytes", document)
    # None of them is printable, and few texts have another character that is not.
    is_printable = text.replace("\n", "").isprintable()
    forbidden = None if is_printable else re.search(_FORBIDDEN, text)
    if forbidden:
        start, end = forbidden.span()
        message = f"the character U+{ord(forbidden[0]):04X} is not allowed in YAML; remove it"
        raise SourceError("LR002", message, document, start, end)
    if _LOADER is not yaml.SafeLoader and not _DOUBTFUL.search(text):
        try:
            root = _Reader(document, _LOADER).root()
        except SourceError:
            pass
        else:
            if not document.faults:
                return root
        document.faults.clear()
        document.dropped.clear()
    return _Reader(document, yaml.SafeLoader).root()


class _Reader:
    def __init__(self, document: Document, loader: Any) -> None:
        self.document = document
        self.loader = loader
        self.anchors: dict[str, tuple[Node, int] | None] = {}
        # Per open collection, from the outermost: the collection around it, the key there whose
        # value it is, and how many values were counted before it.
        self.open: list[tuple[Node, object, int]] = []
        # Per open level: its anchor name, the mappings merged into it by `<<`, and where its `<<`
        # is written.
        self.names: dict[int, str] = {}
        self.merges: dict[int, list[Node]] = {}
        self.merge_keys: dict[int, int] = {}
        self.count = 0
        self.quoted: list[tuple[int, int]] = []
        self.seen_document = False

    def root(self) -> Node:
        try:
            loader = self.loader(self.document.text)
            try:
                roots = self._read(loader.get_event)
            finally:
                loader.dispose()
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            from lossreg.config.read.syntax import syntax_error

            fault = syntax_error(self.document, error)
            self._refuse_odd_breaks(fault.end)
            raise fault from None
        self._refuse_odd_breaks(len(self.document.text))
        if not roots or (roots[0].value is None and roots[0].start == roots[0].end):
            raise SourceError("LR011", "the document is empty", self.document)
        return roots[0]

    def _read(self, next_event: Callable[[], Any]) -> list[Node]:  # noqa: C901, PLR0912, PLR0915 - a call for each value would cost a quarter more time
        """The nodes outside every collection: the root, or none."""
        document, whole = self.document, self.document.text
        scalar, mapping = yaml.ScalarEvent, yaml.MappingStartEvent
        # The innermost open collection and its values. For a mapping also the places of its keys,
        # and the key whose value comes next: None before a key; `_MERGED` and `_DROPPED` stand in
        # for one.
        around = Node([], document)
        roots: list[Node] = around.value
        values: Any = roots
        keys: dict[str, Span] | None = None
        key: object = None
        while (event := next_event()) is not None:
            kind = type(event)
            if kind is scalar:
                self.count += 1
                text = event.value
                if (
                    event.style
                    or event.tag
                    or event.anchor is not None
                    or not text
                    or self.count > MAX_NODES
                ):
                    key_span = keys[key] if keys is not None and type(key) is str else None
                    node = self._special_scalar(event, key_span)
                else:
                    value, rewrite = resolve(text)
                    start, end = event.start_mark.index, event.end_mark.index
                    if keys is not None and key is None:
                        if type(value) is not str or value == "<<" or value in keys:
                            key = self._key(value, start, end, keys)
                        else:
                            key = value
                            keys[value] = document, start, end
                        continue
                    node = Node(value, document, start, end, rewrite)
            elif kind in _STARTS:
                self.open.append((around, key, self.count))
                self.count += 1
                if (
                    event.tag
                    or event.anchor is not None
                    or (key is None and keys is not None)
                    or self.count > MAX_NODES
                    or len(self.open) > MAX_LEVELS
                ):
                    self._check_start(event, is_key=key is None and keys is not None)
                is_mapping = kind is mapping
                values, key = {} if is_mapping else [], None
                around = Node(values, document, event.start_mark.index)
                keys = around.keys if is_mapping else None
                continue
            elif kind in _ENDS:
                node = around
                around, key, before = self.open.pop()
                node.end = end = event.end_mark.index
                if whole[end - 1].isspace() or self.merges or self.names:
                    self._close(node, before)
                values = around.value
                keys = around.keys if type(values) is dict else None
            elif kind is yaml.AliasEvent:
                node = self._alias(event, is_key=keys is not None and key is None)
            else:
                self._check_document(event)
                continue
            if keys is None:
                values.append(node)
            elif key is None:
                key = self._key(node.value, node.start, node.end, keys)
            else:
                if type(key) is str:
                    values[key] = node
                elif key is _MERGED:
                    self.merges.setdefault(len(self.open), []).extend(self._merged(node))
                else:
                    document.dropped.append(node)
                key = None
        return roots

    def _refuse(self, code: str, message: str, event: Any) -> NoReturn:
        start, end = event.start_mark.index, event.end_mark.index
        raise SourceError(code, message, self.document, start, end)

    def _note(self, code: str, message: str, start: int, end: int) -> None:
        if len(self.document.faults) >= MOST_FAULTS:
            raise too_many_faults((self.document, start, end))
        self.document.faults.append(SourceError(code, message, self.document, start, end))

    def _refuse_odd_breaks(self, end: int) -> None:
        text = self.document.text
        for odd_break in () if text.isascii() else re.compile(_ODD_BREAK).finditer(text, 0, end):
            start = odd_break.start()
            before = bisect_right(self.quoted, (start, start))
            if before == 0 or self.quoted[before - 1][1] <= start:
                message = (
                    f"the line separator U+{ord(odd_break[0]):04X} stands outside quotes; "
                    "remove it, or write it as an escape in double quotes"
                )
                raise SourceError("LR002", message, self.document, start, start + 1)

    def _node(self, value: Any, event: Any, key: Span | None) -> Node:
        start, end, text = event.start_mark.index, event.end_mark.index, self.document.text
        if start == end and value == "":
            # Inside brackets, one parser places an empty value where it is missing, and the other
            # at the next token: take the first.
            colon = None if key is None else re.compile(_COLON).match(text, key[2])
            if colon is not None:
                start = colon.end()
            while text[start - 1 : start].isspace():
                start -= 1
            end = start
        return Node(value, self.document, start, end)

    def _refuse_too_many(self, event: Any) -> None:
        if self.count > MAX_NODES:
            self._refuse("LR004", f"the document has more than {MAX_NODES:,} values", event)

    def _special_scalar(self, event: Any, key: Span | None) -> Node:
        """A scalar that is empty, quoted, tagged or anchored, or exceeds the limit."""
        self._refuse_too_many(event)
        node = self._node(event.value, event, key)
        tag, style = event.tag, event.style
        plain = not style  # None from one parser, an empty string from the other
        if not plain:
            self._quoted(event, node)
        if tag is not None and tag not in _STRING_TAGS and tag not in _CORE_TAGS:
            self._refuse_tag(tag, event)
        if plain and (tag is None or tag not in _STRING_TAGS):
            node.value, node.rewrite = resolve(event.value)
        if tag is not None and tag in _CORE_TAGS and isinstance(node.value, str):
            message = "the tag does not fit the value; remove it"
            self._note("LR006", message, node.start, node.end)
        if event.anchor is not None:
            self.anchors[event.anchor] = (node, 1)
        return node

    def _quoted(self, event: Any, node: Node) -> None:
        if event.style in ("'", '"'):
            self.quoted.append((node.start, node.end))
        if event.style == '"' and not event.value.isascii():
            # The parser turns the escape of a surrogate into one, which no text can hold.
            from lossreg.config.read.syntax import refuse_surrogates

            refuse_surrogates(self.document, event.value, node.start)

    def _refuse_tag(self, tag: str, event: Any) -> None:
        shown = clipped(tag.replace("tag:yaml.org,2002:", "!!"))
        message = f"the tag {shown} is not allowed: a config names things, it cannot run anything"
        self._note("LR006", message, event.start_mark.index, event.end_mark.index)

    def _check_document(self, event: Any) -> None:
        if type(event) is yaml.DocumentStartEvent:
            if self.seen_document:
                message = "expected one document, found another one; split the file"
                self._refuse("LR005", message, event)
            self.seen_document = True

    def _check_start(self, event: Any, *, is_key: bool) -> None:
        """Check a collection that is tagged, anchored, a key, or exceeds a limit."""
        self._refuse_too_many(event)
        level = len(self.open)
        is_mapping = type(event) is yaml.MappingStartEvent
        if event.tag is not None and event.tag != (_MAP_TAG if is_mapping else _SEQ_TAG):
            self._refuse_tag(event.tag, event)
        if level > MAX_LEVELS:
            self._refuse("LR004", f"the document is nested deeper than {MAX_LEVELS} levels", event)
        if is_key:
            self._refuse("LR007", "a key must be a string, not a list or a mapping", event)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
            self.names[level] = event.anchor

    def _close(self, node: Node, before: int) -> None:
        """Finish a collection: trim its end, merge what `<<` names, and record its anchor."""
        # The end mark of a block stands before the next token, after white space.
        node.end = node.start + len(self.document.text[node.start : node.end].rstrip())
        level = len(self.open) + 1
        self.merge_keys.pop(level, None)
        for merged in self.merges.pop(level, ()):
            for key, value in merged.value.items():
                if key not in node.value:
                    node.value[key] = value
                    node.keys[key] = merged.keys[key]
        anchor = self.names.pop(level, None)
        if anchor is not None:
            self.anchors[anchor] = (node, self.count - before)

    def _alias(self, event: Any, *, is_key: bool) -> Node:
        name = event.anchor
        if name not in self.anchors:
            self._refuse("LR009", f"there is no anchor '&{clipped(name)}' above this alias", event)
        anchored = self.anchors[name]
        if anchored is None:
            self._refuse(
                "LR009", f"the alias '*{clipped(name)}' stands inside its own anchor", event
            )
        node, size = anchored
        self.count += size
        self._refuse_too_many(event)
        if is_key:
            # A key's place is the alias, not the anchor.
            node = Node(node.value, self.document, event.start_mark.index, event.end_mark.index)
        return node

    def _key(self, name: object, start: int, end: int, keys: dict[str, Span]) -> object:
        """Add a key to a mapping; give the key, or `_MERGED` or `_DROPPED` instead of it."""
        if not isinstance(name, str):
            shown = clipped(self.document.text[start:end])
            message = f"a key must be a string; write '{shown}' in quotes"
            from lossreg.config.read.syntax import decimal_comma

            message = decimal_comma(self.document.text, start, end) or message
            self._note("LR007", message, start, end)
            return _DROPPED
        if name == "<<" and self.document.text.startswith(name, start):  # without quotes
            first = self.merge_keys.setdefault(len(self.open), start)
            if first == start:
                return _MERGED
            # Parsers differ in which of the two mappings they prefer.
            remedy = "; write <<: [*a, *b], in which the first mapping has precedence"
        elif name in keys:
            first, remedy = keys[name][1], ""
        else:
            keys[name] = self.document, start, end
            return name
        line = self.document.place(first, first).line
        message = f"duplicate key '{clipped(name)}' (first on line {line})"
        self._note("LR008", message + remedy, start, end)
        return _DROPPED

    def _merged(self, node: Node) -> list[Node]:
        merged_nodes = node.value if isinstance(node.value, list) else [node]
        for merged in merged_nodes:
            if not isinstance(merged.value, dict):
                message = "'<<' takes a mapping, or a list of mappings"
                self._note("LR009", message, merged.start, merged.end)
        return [merged for merged in merged_nodes if isinstance(merged.value, dict)]
