"""What lossreg raises. All of it can be caught as `LossregError`.

LossregError
├── PluginError                  something is wrong with a plugin
│   ├── PluginLoadError          it cannot be loaded, or is not what its entry point says
│   └── DuplicateNameError       two plugins claim one name
│       └── DuplicateLossError   and it is a loss's
├── UnknownNameError             no plugin has that name (also a KeyError)
│   └── UnknownLossError         and it is a loss's
├── ConfigError                  a config is wrong (also a ValueError)
├── InputError                   a step's tensors do not fit (also a ValueError)
├── NonFiniteError               a term became nan or infinite
├── StateError                   a state_dict was made under another config (also a RuntimeError)
└── MissingExtraError            an optional dependency is not installed (also an ImportError)

ConfigWarning (a UserWarning)    a config that is fine, but suspicious
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

__all__ = [
    "ConfigError",
    "ConfigWarning",
    "Diagnostic",
    "DuplicateLossError",
    "DuplicateNameError",
    "InputError",
    "LossregError",
    "MissingExtraError",
    "NonFiniteError",
    "PluginError",
    "PluginLoadError",
    "StateError",
    "UnknownLossError",
    "UnknownNameError",
    "described",
    "printable",
    "warn",
]

_LONGEST_REASON = 300
_INSIDE = ("lossreg.", "torch.")


class LossregError(Exception):
    """Base of all that lossreg raises."""

    # Names of files, distributions and values come from outside and may hold control characters.
    def __str__(self) -> str:
        return printable(super().__str__(), keep="\n")

    # Exception would call the class with only its message, which few of these classes accept; and
    # an error that cannot be unpickled breaks the process pool that raised it.
    def __reduce__(self) -> tuple[Any, ...]:
        return _revived, (type(self), self.args), vars(self)


def _revived(kind: type[LossregError], args: tuple[Any, ...]) -> LossregError:
    return kind.__new__(kind, *args)


class PluginError(LossregError):
    """A plugin is at fault.

    Attributes:
        kind: What was asked for: `loss` or `task`.
        name: The name that was asked for; None where a whole module was.
        loss: That name, if it is a loss's.
    """

    def __init__(self, message: str, *, name: str | None, kind: str = "loss") -> None:
        super().__init__(message)
        self.kind = kind
        self.name = name
        self.loss = name if kind == "loss" else None


class PluginLoadError(PluginError):
    """A plugin cannot be loaded, or is not what its entry point says.

    Attributes:
        kind: What was asked for: `loss` or `task`.
        name: The name that was asked for; None where a whole module was.
        loss: That name, if it is a loss's.
        distribution: The distribution that provides the plugin, or None if there is none.
        version: That distribution's version, or None.
        module: What the entry point names.
        reason: What went wrong, in one line.
    """

    def __init__(
        self,
        reason: str,
        *,
        name: str | None,
        distribution: str | None,
        version: str | None,
        module: str,
        kind: str = "loss",
    ) -> None:
        origin = f"{distribution} {version or ''}".rstrip() if distribution else "no distribution"
        what = f"plugin {module!r}" if name is None else f"{kind} {name!r} ({origin}, {module})"
        super().__init__(f"{what}: {reason}", name=name, kind=kind)
        self.distribution = distribution
        self.version = version
        self.module = module
        self.reason = reason


class DuplicateNameError(PluginError):
    """Several distributions claim one name; `distribution:name` picks one.

    Attributes:
        kind: What was asked for: `loss` or `task`.
        name: The name that was asked for.
        loss: That name, if it is a loss's.
        distributions: Those that claim it; a module that no distribution provides by its own name.
    """

    def __init__(
        self,
        *,
        name: str,
        distributions: tuple[str, ...],
        claims: tuple[str, ...] = (),
        folders: tuple[str, ...] = (),
        kind: str = "loss",
    ) -> None:
        # If one distribution claims the name twice, its own name cannot choose.
        single = [owner for owner in distributions if distributions.count(owner) == 1]
        choices = " or ".join(f"'{owner}:{name}'" for owner in single)
        advice = f"write {choices}" if choices else "remove one from its entry points"
        if len(folders) > 1:
            twice = f"one distribution is installed twice, remove {' or '.join(folders)}"
            advice = f"{advice}; {twice}" if choices else twice
        owners = " and ".join(claims or distributions)
        super().__init__(f"{kind} {name!r} is claimed by {owners}; {advice}", name=name, kind=kind)
        self.distributions = distributions


class DuplicateLossError(DuplicateNameError):
    """Several distributions claim one loss name; `distribution:loss` picks one."""


class UnknownNameError(LossregError, KeyError):
    """No installed plugin has that name.

    Attributes:
        kind: What was asked for: `loss` or `task`.
        name: The name that was asked for.
        suggestion: The name that was probably meant, or None.
        remark: An aside, such as how an installed loss with a near name differs; may be empty.
        unreadable: The distributions that may provide it, but whose entry points cannot be read:
            each with its version and the reason.
    """

    def __init__(
        self,
        name: object,
        *,
        suggestion: str | None = None,
        remark: str = "",
        unreadable: tuple[str, ...] = (),
        kind: str = "loss",
    ) -> None:
        self.kind = kind
        self.name = name
        self.suggestion = suggestion
        self.remark = remark
        self.unreadable = unreadable
        option = "" if kind == "loss" else f" --kind {kind}"
        everything = f"`lossreg list{option}` shows them all"
        self._message = f"unknown {kind} {name!r}; {self.hint(everything)}"
        super().__init__(self._message)

    def hint(self, otherwise: str) -> str:
        """What to write instead.

        Args:
            otherwise: The hint if there is neither a suggestion nor a remark.
        """
        hint = self.remark or otherwise
        if self.suggestion:
            aside = f" ({self.remark})" if self.remark else ""
            hint = f"did you mean '{self.suggestion}'?{aside}"
        return hint + "".join(f"; it may be in {owner}" for owner in self.unreadable)

    # KeyError shows the repr of its argument, quotes and all.
    def __str__(self) -> str:
        return printable(self._message, keep="\n")


class UnknownLossError(UnknownNameError):
    """No installed plugin has that loss.

    Attributes:
        loss: The name that was asked for.
    """

    @property
    def loss(self) -> object:
        """The name that was asked for."""
        return self.name


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnostic:
    """One fault of a config.

    Attributes:
        code: What kind of fault, such as `LR103`; `lossreg codes LR103` explains it.
        message: What was expected, what was found, and what to write instead.
        path: Where in the document, such as `loss.terms.seg.params.beta`; empty for the whole.
        file: The file's name, `--set` for an override; None when the config came from Python.
        line: The line, from 1; None when there is none.
        column: The column, from 1, in characters; None when there is none.
        end_column: The column after the last character that is at fault, on the same line.
        source_line: That line's text; None when there is none, or the fault is thousands of
            characters into it.
        severity: `error`, or `warning` for what is allowed but suspicious.
    """

    code: str
    message: str
    path: str = ""
    file: str | None = None
    line: int | None = None
    column: int | None = None
    end_column: int | None = None
    source_line: str | None = None
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        where = printable("  ".join(part for part in (place, self.path) if part))
        message = printable(" ".join(self.message.splitlines()))
        return f"{where}: {message} [{self.code}]" if where else f"{message} [{self.code}]"


class ConfigError(LossregError, ValueError):
    """A config is wrong.

    Attributes:
        diagnostics: Every fault, in the order of the document.
    """

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(str(diagnostic) for diagnostic in self.diagnostics))


class InputError(LossregError, ValueError):
    """The tensors of a step do not fit the composite.

    Attributes:
        term: The term that needs the tensor, or None.
        argument: The loss's argument, or None.
        path: Where the tensor was looked for, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        term: str | None = None,
        argument: str | None = None,
        path: str | None = None,
    ) -> None:
        super().__init__(message)
        self.term = term
        self.argument = argument
        self.path = path


class NonFiniteError(LossregError):
    """A term became nan or infinite.

    Attributes:
        term: The term's name.
    """

    def __init__(self, message: str, *, term: str) -> None:
        super().__init__(message)
        self.term = term


class StateError(LossregError, RuntimeError):
    """A state_dict was made under another config."""


class MissingExtraError(LossregError, ImportError):
    """Something needs an optional dependency that is not installed.

    Attributes:
        extra: The extra to install, as in `pip install 'lossreg[extra]'`; empty if it is not an
            extra of lossreg.
        missing: What is needed: a distribution, perhaps with bounds of its version.
        installed: The version that is installed, which does not do; empty if there is none.
    """

    def __init__(self, what: str, *, missing: str, extra: str = "", installed: str = "") -> None:
        state = f"but {installed} is installed" if installed else "which is not installed"
        wanted = f"lossreg[{extra}]" if extra else missing
        super().__init__(f"{what} needs {missing}, {state}: pip install '{wanted}'")
        self.extra = extra
        self.missing = missing
        self.installed = installed


class ConfigWarning(UserWarning):
    """A config that can be built, but is probably not what was meant."""

    def __str__(self) -> str:
        return printable(super().__str__(), keep="\n")


def printable(text: str, *, keep: str = "") -> str:
    r"""Replace the characters that a terminal or an editor acts upon instead of showing.

    These are control characters, marks that change the direction of writing, line separators and
    surrogates.

    Args:
        text: Text that may come from outside lossreg.
        keep: Characters to leave as they are, such as line breaks.

    >>> printable("evil\x1b[2J.yaml") == "evil\N{REPLACEMENT CHARACTER}[2J.yaml"
    True
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def warn(message: str) -> None:
    """Issue a `ConfigWarning` that points at the caller outside lossreg and torch.

    torch's modules call lossreg's, so the depth of that caller varies.
    """
    frame, level = inspect.currentframe(), 1
    while frame is not None and frame.f_globals.get("__name__", "").startswith(_INSIDE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, ConfigWarning, stacklevel=level)


def described(error: BaseException) -> str:
    """A foreign exception as one line, safe even if its `__str__` raises.

    >>> described(ValueError("no such", "thing"))
    "ValueError: ('no such', 'thing')"
    """
    kind = printable(type(error).__name__)
    try:
        text = printable(" ".join(str(error).split()))
    except (Exception, SystemExit):  # noqa: BLE001 - a plugin's own method may raise anything
        return f"{kind} (whose message cannot be shown)"
    if len(text) > _LONGEST_REASON:
        text = text[: _LONGEST_REASON - 1] + "…"
    return f"{kind}: {text}" if text else kind
