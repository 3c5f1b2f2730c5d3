"""Whatever a plugin does: the process lives, the others work, and the message says whose it is."""

from __future__ import annotations

import sys
import textwrap
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch

import lossreg
from fake_distributions import LOSSES, Site, plugin
from lossreg.cli import main
from lossreg.config import examine
from lossreg.errors import (
    ConfigError,
    ConfigWarning,
    DuplicateLossError,
    InputError,
    NonFiniteError,
    PluginLoadError,
    UnknownLossError,
)
from lossreg.registry.registry import Registry

OWNER = "acme-losses 2.1"
HOOK = "from lossreg.plugin import hookimpl\n@hookimpl\ndef lossreg_losses(): return "
UNPRINTABLE = "class Bad(Exception):\n    def __str__(self): raise {}\n"

# What a module does, and how the reason begins.
WHEN_LOADED = {
    "a missing import": ("import no_such_module", "ModuleNotFoundError: No module named 'no_such"),
    "a syntax error": ("def broken(:", "SyntaxError: "),
    "SystemExit": ("raise SystemExit(3)", "SystemExit: 3"),
    "sys.exit": ("import sys\nsys.exit('bye')", "SystemExit: bye"),
    "GeneratorExit": ("raise GeneratorExit", "GeneratorExit"),
    "RecursionError": ("def f():\n    return f()\nf()", "RecursionError: maximum recursion"),
    "no message": ("raise RuntimeError", "RuntimeError"),
    "a message that raises": (
        UNPRINTABLE.format("RuntimeError") + "raise Bad",
        "Bad (whose message cannot be shown)",
    ),
    "a message that exits": (
        UNPRINTABLE.format("SystemExit") + "raise Bad",
        "Bad (whose message cannot be shown)",
    ),
    "no marked hook": (
        "def lossreg_losses(): return []",
        "it has no function marked with lossreg.plugin.hookimpl",
    ),
    "a misspelt hook": (
        HOOK.replace("losses", "loses") + "[]",
        "PluginValidationError: unknown hook",
    ),
    "a hook with arguments": (HOOK.replace("()", "(registry)") + "[]", "PluginValidationError: "),
    "a hook that raises": (HOOK + "1 / 0", "ZeroDivisionError: division by zero"),
    "a hook that exits": (HOOK + "__import__('sys').exit(4)", "SystemExit: 4"),
    "a hook that returns None": (HOOK + "None", "lossreg_losses() must return a list of LossDef"),
    "a hook that returns a string": (HOOK + "'odd'", "lossreg_losses() must return a list of"),
    "a hook that returns names": (HOOK + "['odd']", "lossreg_losses() must return a list of"),
    "no definition": (HOOK + "[]", "lossreg_losses() returned nothing, but not 'odd'"),
    "another's definition": (plugin("even"), "lossreg_losses() returned 'even', but not 'odd'"),
    "twin definitions": (plugin("odd", "odd"), "lossreg_losses() returned 'odd' twice"),
    "an incomplete definition": (
        "from lossreg.plugin import LossDefinition\n" + HOOK + "[LossDefinition(name='odd')]",
        "TypeError: ",
    ),
    "an empty name": (
        plugin(""),
        "ValueError: LossDefinition.name must be letters, digits, '_' or",
    ),
    "a name with a space": (plugin("o dd"), "ValueError: LossDefinition.name must be letters"),
    "a name that is no string": (
        plugin("odd").replace("name=name", "name=7"),
        "ValueError: LossDefinition.name must be letters, digits, '_' or '-', not 7",
    ),
}


def assert_told(capsys: pytest.CaptureFixture[str], name: str, *said: str) -> None:
    """`list` shows the loss as broken, with what is said; all others are fine."""
    assert main(["list", "--json"]) == 0
    assert main(["list"]) == 0
    text = " ".join(capsys.readouterr().out.partition("\nNAME")[2].split())
    assert f"{name} {OWNER} BROKEN: " in text.replace("\xa0", " ")
    for each in said:
        assert " ".join(each.split())[:30] in text
    assert [each.state for each in Registry.installed().entries()].count("ok") == 20
    assert Registry.installed()["l1"].name == "l1"


@pytest.mark.parametrize(("source", "reason"), WHEN_LOADED.values(), ids=WHEN_LOADED)
def test_a_module_that_cannot_be_loaded(
    site: Site, source: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    site.add("acme-losses", {"odd": "acme_odd"}, {"acme_odd": source}, version="2.1")
    with pytest.raises(PluginLoadError) as raised:
        Registry.installed()["odd"]
    error = raised.value
    assert error.reason.startswith(reason)
    assert "\n" not in error.reason
    assert str(error) == f"loss 'odd' ({OWNER}, acme_odd): {error.reason}"
    assert (error.loss, error.distribution, error.version) == ("odd", "acme-losses", "2.1")
    (diagnostic,) = examine({"terms": {"a": {"type": "odd"}, "b": {"type": "l1"}}}).diagnostics
    assert (diagnostic.code, diagnostic.message) == ("LR301", str(error))
    assert_told(capsys, "odd", reason)


# What the entry point names, and how the reason begins.
VALUES = {
    "a missing attribute": (
        "acme_odd:nothing",
        "AttributeError: module 'acme_odd' has no attribute",
    ),
    "a missing module": ("acme_even", "ModuleNotFoundError: No module named 'acme_even'"),
    "no module at all": ("../acme odd!", "'../acme odd!' does not name a module"),
    "nothing": ("", "'' does not name a module"),
    "a number": ("acme_odd:number", "it has no function marked with"),
}


@pytest.mark.parametrize(("value", "reason"), VALUES.values(), ids=VALUES)
def test_an_entry_point_that_leads_nowhere(
    site: Site, value: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    modules = {"acme_odd": "number = 7\n" + plugin("odd")}
    site.add("acme-losses", {"odd": value}, modules, version="2.1")
    with pytest.raises(PluginLoadError) as raised:
        Registry.installed()["odd"]
    assert raised.value.reason.startswith(reason)
    assert str(raised.value).startswith(f"loss 'odd' ({OWNER}, {value})")
    assert_told(capsys, "odd", reason)


@pytest.mark.parametrize("name", ["", "my loss", "_:x"])
def test_an_entry_point_whose_name_no_loss_can_have(
    site: Site, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    site.add("acme-losses", {name: "acme_odd"}, {"acme_odd": plugin("odd")}, version="2.1")
    assert_told(capsys, name, f"lossreg_losses() returned 'odd', but not {name!r}")


def test_an_entry_point_whose_name_is_no_string(site: Site) -> None:
    site.module("acme_odd", plugin("odd"))
    points = [EntryPoint(name, "acme_odd", LOSSES) for name in (7, None, "odd")]  # type: ignore[arg-type]
    registry = Registry(points)
    assert registry["odd"].name == "odd"
    assert sorted(each.state for each in registry.entries()) == ["broken", "broken", "ok"]


# What is in entry_points.txt, and how Python fails to read it.
FILES = {
    "binary": (b"\x80\x81\xfe\x00\xff", "UnicodeDecodeError: "),
    "UTF-16": (f"[{LOSSES}]\nodd = acme_odd\n".encode("utf-16"), "UnicodeDecodeError: "),
    "no equals sign": (
        f"[{LOSSES}]\nodd\n".encode(),
        "ValueError: expected 'name = module' in line 2, found 'odd'",
    ),
}


@pytest.mark.parametrize(("content", "reason"), FILES.values(), ids=FILES)
def test_a_file_of_entry_points_that_cannot_be_read(
    site: Site, content: bytes, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    site.add("acme-losses", {"odd": "acme_odd"}, {"acme_odd": plugin("odd")}, version="2.1")
    (site.metadata("acme-losses", "2.1") / "entry_points.txt").write_bytes(content)
    site.add("fine", {"fine": "acme_odd"}, {})
    (found,) = [each for each in Registry.installed().entries() if each.module.endswith(".txt")]
    assert found.reason.startswith(f"its entry_points.txt cannot be read: {reason}")
    with pytest.raises(UnknownLossError, match=f"it may be in {OWNER}: its entry_points.txt"):
        Registry.installed()["odd"]
    (diagnostic,) = examine({"terms": {"a": {"type": "odd"}}}).diagnostics
    assert f"it may be in {OWNER}: its entry_points.txt cannot be read" in diagnostic.message
    assert_told(capsys, "acme-losses:?", "its entry_points.txt cannot be read: ")


def test_anothers_malformed_file_is_not_our_concern(site: Site) -> None:
    site.add("acme", {}, {})
    (site.metadata("acme") / "entry_points.txt").write_text("[console_scripts]\nno equals sign\n")
    site.add("fine", {"odd": "acme_odd"}, {"acme_odd": plugin("odd")})
    assert [each.state for each in Registry.installed().entries()] == ["ok"] * 21


@pytest.mark.parametrize("content", [None, b"", b"\x80\x81\xfe\x00\xff"], ids=str)
def test_a_distribution_that_does_not_tell_its_name_is_known_by_its_folder(
    site: Site, content: bytes | None
) -> None:
    site.add("acme", {"odd": "acme_odd"}, {"acme_odd": "1 / 0"}, version="2.1")
    file = site.metadata("acme", "2.1") / "METADATA"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(PluginLoadError, match=r"loss 'odd' \(acme 2.1, acme_odd\): ZeroDivision"):
        Registry.installed()["odd"]


def test_a_name_that_shadows_a_built_in(site: Site) -> None:
    site.add("acme", {"l1": "acme_l1"}, {"acme_l1": plugin("l1")}, version="3.0")
    registry = Registry.installed()
    with pytest.raises(DuplicateLossError) as raised:
        registry["l1"]
    ours = registry.origin("lossreg:l1").release
    assert sorted(raised.value.distributions) == ["acme", "lossreg"]
    assert "acme 3.0 (acme_l1)" in str(raised.value)
    assert f"{ours} (lossreg_losses.l1)" in str(raised.value)
    assert "'acme:l1'" in str(raised.value)
    assert "'lossreg:l1'" in str(raised.value)
    assert "acme_l1" not in sys.modules
    assert registry["mse"].name == "mse"


def test_twin_names_of_one_distribution(site: Site) -> None:
    modules = {"acme_a": plugin("odd"), "acme_b": plugin("odd")}
    site.add("acme", {"odd": "acme_a\nodd = acme_b"}, modules, version="3.0")
    registry = Registry.installed()
    for name in ("odd", "acme:odd"):
        with pytest.raises(DuplicateLossError) as raised:
            registry[name]
        assert str(raised.value) == (
            "loss 'odd' is claimed by acme 3.0 (acme_a) and acme 3.0 (acme_b); "
            "remove one from its entry points"
        )
    reasons = {each.reason for each in registry.entries() if each.state == "conflict"}
    assert reasons == {"claimed by acme (acme_a) and acme (acme_b)"}


BUILDERS = {
    "raises": ("1 / 0", "raised ZeroDivisionError: division by zero"),
    "exits": ("__import__('sys').exit(5)", "raised SystemExit: 5"),
    "raises what cannot be shown": ("fail()", "raised Bad (whose message cannot be shown)"),
    "returns None": ("None", "gave a NoneType, not a module"),
    "returns a class": ("nn.L1Loss", "gave a type, not a module"),
    "returns a function": ("nn.functional.l1_loss", "gave a function, not a module"),
}
FAIL = UNPRINTABLE.format("RuntimeError") + "def fail(): raise Bad\n"


def assert_not_built(message: str) -> None:
    for action, path in (
        (lambda: lossreg.build({"terms": {"a": {"type": "odd"}}}), "terms.a"),
        (lambda: lossreg.create("odd"), "odd"),
    ):
        with pytest.raises(ConfigError) as raised:
            action()
        (diagnostic,) = raised.value.diagnostics
        assert (diagnostic.code, diagnostic.path) == ("LR303", path)
        assert diagnostic.message.startswith(f"building 'odd' ({OWNER}, acme_odd) {message}")


@pytest.mark.parametrize(("build", "message"), BUILDERS.values(), ids=BUILDERS)
def test_a_builder_that_does_not_build(site: Site, build: str, message: str) -> None:
    modules = {"acme_odd": plugin("odd", build=build, head=FAIL)}
    site.add("acme-losses", {"odd": "acme_odd"}, modules, version="2.1")
    assert_not_built(message)


@pytest.mark.parametrize("arguments", ["", "config, more", "*, config"])
def test_a_builder_that_wants_other_arguments(site: Site, arguments: str) -> None:
    source = plugin("odd").replace("def build(config)", f"def build({arguments})")
    site.add("acme-losses", {"odd": "acme_odd"}, {"acme_odd": source}, version="2.1")
    assert_not_built("raised TypeError: build() ")


# What forward returns for inputs p and y, and what is said of it.
RESULTS = {
    "a float": ("1.0", "expected one number, found float"),
    "None": ("None", "expected one number, found NoneType"),
    "a tuple": ("(p.sum(), y.sum())", "expected one number, found tuple"),
    "numpy": ("p.detach().numpy().sum()", "expected one number, found float32"),
    "a vector": ("p - y", r"expected one number, found (2,)"),
    "an integer": ("p.sum().long()", "expected a floating-point number, found torch.int64"),
    "a bool": ("(p > y).any()", "expected a floating-point number, found torch.bool"),
    "complex": ("p.sum() * 1j", "expected a floating-point number, found torch.complex64"),
    "detached": (
        "p.detach().sum()",
        "expected a value with a gradient for 'input', found one detached from it",
    ),
    "a fresh tensor": (
        "torch.tensor(p.sum().item())",
        "expected a value with a gradient for 'input', found one detached from it",
    ),
    "an input changed": (
        "y.mul_(2).sum() + p.sum()",
        "expected inputs left as they are, found 'target' from 'y' changed in place",
    ),
}


def step_fault(
    site: Site, forward: str, checks: str = "first", **term: Any
) -> lossreg.CompositeLoss:
    """A composite of a good loss and one whose forward is this expression."""
    head = f"""
        import torch
        class Odd(torch.nn.Module):
            def forward(self, p, y):
                return {forward}
    """
    source = plugin("odd", build="Odd()", head=head).replace(
        '"predictions")', '"predictions", gradient=True)'
    )
    site.add("acme-losses", {"odd": "acme_odd"}, {"acme_odd": source}, version="2.1")
    fit = {"type": "l1", "inputs": ["p", "y"]}
    odd = {"type": "odd", "inputs": ["p", "y"], **term}
    return lossreg.build({"checks": checks, "terms": {"fine": fit, "bad": odd}})


def odd_alone(checks: str) -> lossreg.CompositeLoss:
    """A composite of the loss that is installed already."""
    term = {"type": "odd", "inputs": ["p", "y"]}
    return lossreg.build({"checks": checks, "terms": {"bad": term}})


def values() -> dict[str, torch.Tensor]:
    return {"p": torch.ones(2, requires_grad=True), "y": torch.zeros(2)}


@pytest.mark.parametrize("checks", ["first", "always"])
@pytest.mark.parametrize(("forward", "problem"), RESULTS.values(), ids=RESULTS)
def test_a_result_that_cannot_be_trained_with(
    site: Site, forward: str, problem: str, checks: str
) -> None:
    loss = step_fault(site, forward, checks)
    with pytest.raises(InputError) as raised:
        loss(values())
    assert raised.value.term == "bad"
    assert str(raised.value) == f"term 'bad': {problem}; the loss is odd ({OWNER}, acme_odd)"


def test_a_change_that_torch_refuses(site: Site) -> None:
    loss = step_fault(site, "p.mul_(2).sum()")
    with pytest.raises(InputError, match="in-place operation") as raised:
        loss(values())
    assert str(raised.value).startswith(f"term 'bad': odd ({OWNER}, acme_odd) refused its inputs: ")


def test_a_result_that_is_nan(site: Site) -> None:
    loss = step_fault(site, "p.sum() * torch.nan")
    with pytest.raises(NonFiniteError) as raised:
        loss(values())
    assert str(raised.value).startswith("term 'bad' is nan: ")
    assert str(raised.value).endswith(f"; the loss is odd ({OWNER}, acme_odd)")


@pytest.mark.parametrize("term", [{"mask": "m"}, {"denominator": "d"}], ids=str)
def test_a_result_that_cannot_be_reduced(site: Site, term: dict[str, str]) -> None:
    source = plugin(
        "odd",
        build="Odd()",
        head="import torch\nclass Odd(torch.nn.Module):\n    def forward(self, p, y): return 1.0\n",
    )
    source = source.replace("config=LossConfig", "config=Config")
    source += "\nfrom lossreg.plugin import Reduction\nclass Config(LossConfig):\n"
    source += "    reduction: Reduction = 'mean'\n"
    site.add("acme-losses", {"odd": "acme_odd"}, {"acme_odd": source}, version="2.1")
    loss = lossreg.build({"terms": {"bad": {"type": "odd", "inputs": ["p", "y"], **term}}})
    with pytest.raises(InputError, match=r"found (a )?float") as raised:
        loss({**values(), "m": torch.ones(2), "d": 2})
    assert f"odd ({OWNER}, acme_odd)" in str(raised.value)


def test_what_is_detached_on_purpose_is_fine(site: Site) -> None:
    loss = step_fault(site, "p.detach().sum()", "always")
    with torch.no_grad():
        assert loss(values()).terms["bad"] == 2
    frozen = {name: each.detach() for name, each in values().items()}
    assert loss(frozen).terms["bad"] == 2
    with torch.inference_mode():
        assert loss({name: each.clone() for name, each in frozen.items()}).terms["bad"] == 2


def test_a_validation_step_first_hides_nothing(site: Site) -> None:
    loss = step_fault(site, "p.detach().sum()")
    with torch.no_grad():
        loss(values())
    with pytest.raises(InputError, match="found one detached from it"):
        loss(values())


def test_only_the_first_step_is_looked_at_and_none_without_checks(site: Site) -> None:
    forward = "(p.sum() if torch.is_grad_enabled() and y[0] == 0 else p.detach().sum())"
    loss = step_fault(site, forward)
    later = {**values(), "y": torch.ones(2)}
    loss(values())
    assert loss(later).terms["bad"] == 2
    assert (
        lossreg.build({"checks": "off", "terms": {"bad": {"type": "odd", "inputs": ["p", "y"]}}})(
            later
        ).terms["bad"]
        == 2
    )


# How a forward may write past what torch counts.
WRITES = {
    "data": ("y.data.add_(2)", "target", "y"),
    "data of the prediction": ("p.data.add_(1)", "input", "p"),
    "detached data": ("p.detach().data.zero_()", "input", "p"),
    "numpy": ("y.numpy().fill(7)", "target", "y"),
    "a view as numpy": ("p.detach()[:1].numpy().fill(7)", "input", "p"),
    "other data": ("setattr(y, 'data', y + 1)", "target", "y"),
    "data of another shape": ("setattr(y, 'data', y.repeat(2))", "target", "y"),
    "data of another dtype": ("setattr(y, 'data', y.double())", "target", "y"),
    "nan": ("y.data.fill_(torch.nan)", "target", "y"),
    "one entry": ("y.data[-1:].fill_(1e-30)", "target", "y"),
    "a shape": ("y.data.unsqueeze_(0), y.unsqueeze_(0)", "target", "y"),
}


@pytest.mark.parametrize("checks", ["first", "always"])
@pytest.mark.parametrize(("write", "argument", "path"), WRITES.values(), ids=WRITES)
def test_an_input_written_to_without_being_counted(
    site: Site, write: str, argument: str, path: str, checks: str
) -> None:
    loss = step_fault(site, f"({write}, p.sum())[-1]", checks)
    for _ in range(2):  # a first batch that failed was not the first
        with pytest.raises(InputError) as raised:
            loss(values())
        assert raised.value.term == "bad"
        assert str(raised.value) == (
            f"term 'bad': expected inputs left as they are, found '{argument}' from '{path}' "
            f"changed in place; the loss is odd ({OWNER}, acme_odd)"
        )


def test_a_mask_or_a_weight_written_to_is_told_as_well(site: Site) -> None:
    # The target is a view of both, as columns of one table are.
    head = """
        import torch
        class Odd(torch.nn.Module):
            def forward(self, p, y):
                TABLE.data.fill_(1)
                return (p - y).abs()
        TABLE = torch.zeros(2, 3)
    """
    source = plugin("odd", build="Odd()", head=head).replace("config=LossConfig", "config=Config")
    source += "\nfrom lossreg.plugin import Reduction\nclass Config(LossConfig):\n"
    source += "    reduction: Reduction = 'mean'\n"
    site.add("acme-losses", {"odd": "acme_odd"}, {"acme_odd": source}, version="2.1")
    term = {"type": "odd", "inputs": ["p", "y"]}
    for name in ("mask", "sample_weight"):
        loss = lossreg.build({"terms": {"bad": {**term, name: "m"}}})
        import acme_odd  # type: ignore[import-not-found]

        acme_odd.TABLE.zero_()
        with pytest.raises(InputError, match=f"found '{name}' from 'm' changed in place"):
            loss(**values(), m=acme_odd.TABLE[:, 0])


@pytest.mark.parametrize("checks", ["first", "always"])
def test_nan_inputs_are_as_they_were(site: Site, checks: str) -> None:
    step_fault(site, "p.nansum() + 0 * y.nansum()", checks)
    nan = {"p": torch.tensor([torch.nan, 1.0], requires_grad=True), "y": torch.zeros(2)}
    loss = odd_alone(checks)
    for _ in range(2):
        assert loss(nan).terms["bad"] == 1


def test_inference_tensors_are_compared_with_their_copies(site: Site) -> None:
    loss = step_fault(site, "(y.mul_(2), y.add_(1), p.sum())[-1]")
    with torch.inference_mode(), pytest.raises(InputError, match="'target' from 'y' changed"):
        loss({name: each.clone() for name, each in values().items()})


def test_only_the_first_batch_is_copied(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    clone = torch.Tensor.clone

    def counted(tensor: torch.Tensor, **options: Any) -> torch.Tensor:
        seen.append(tensor)
        return clone(tensor, **options)

    step_fault(site, "p.sum()")
    loss, off, always = odd_alone("first"), odd_alone("off"), odd_alone("always")
    batch = values()
    monkeypatch.setattr(torch.Tensor, "clone", counted)
    with torch.no_grad():  # what is left to be judged later is not copied again
        for _ in range(3):
            loss(batch)
            assert len(seen) == 2
    loss(batch)
    off(batch)
    assert len(seen) == 2
    for _ in range(2):
        always(batch)
        assert len(seen) == 4


def looking(site: Site, look: str, name: str = "check_values", **options: Any) -> Any:
    """A composite of a loss that looks at its batch with the body of this function."""
    head = f"""
        import torch
        from lossreg.plugin import Problem
        calls = []
        def look(module, inputs):
            calls.append(dict(inputs))
            {look}
    """
    source = plugin("odd", head=head).replace('summary="made up"', f'summary="", {name}=look')
    source = source.replace("config=LossConfig", "config=Config")
    source = source.replace("nn.L1Loss()", "nn.L1Loss(reduction=config.reduction)")
    source += "\nfrom lossreg.plugin import Reduction\nclass Config(LossConfig):\n"
    source += "    reduction: Reduction = 'mean'\n"
    site.add("acme-losses", {"odd": "acme_odd"}, {"acme_odd": source}, version="2.1")
    term = {"type": "odd", "inputs": ["p", "y"], **options.pop("term", {})}
    return lossreg.build({"terms": {"bad": term}, **options})


def calls() -> list[dict[str, torch.Tensor]]:
    found: list[dict[str, torch.Tensor]] = sys.modules["acme_odd"].calls
    return found


LOOKS = ["check_shapes", "check_values"]


@pytest.mark.parametrize("name", LOOKS)
def test_a_problem_is_an_error_of_the_input(site: Site, name: str) -> None:
    loss = looking(site, "return Problem('target', 'expected more, found less')", name)
    for _ in range(2):
        with pytest.raises(InputError) as raised:
            loss(values())
    assert (raised.value.term, raised.value.argument, raised.value.path) == ("bad", "target", "y")
    assert str(raised.value) == "term 'bad', 'target' (path 'y'): expected more, found less"


@pytest.mark.parametrize("name", LOOKS)
@pytest.mark.parametrize("checks", ["first", "always"])
def test_a_problem_that_is_not_certain_is_warned_of_once(
    site: Site, name: str, checks: str
) -> None:
    look = "return Problem('input', 'expected more, found less', certain=False)"
    loss = looking(site, look, name, checks=checks)
    with pytest.warns(ConfigWarning) as found:
        loss(values())
    (warning,) = found
    assert str(warning.message) == "term 'bad', 'input' (path 'p'): expected more, found less"
    assert warning.filename == __file__
    for _ in range(2):
        loss(values())  # warnings are errors
    assert len(calls()) == (1 if checks == "first" else 3)


@pytest.mark.parametrize("name", LOOKS)
def test_without_a_problem_there_is_nothing_to_say(site: Site, name: str) -> None:
    loss = looking(site, "return None", name)
    assert [loss(values()).total.item() for _ in range(2)] == [1, 1]
    assert len(calls()) == 1
    assert list(calls()[0]) == ["input", "target"]


@pytest.mark.parametrize("name", LOOKS)
def test_nobody_looks_where_checks_are_off(site: Site, name: str) -> None:
    looking(site, "return Problem('input', 'no')", name, checks="off")(values())
    assert not calls()


def test_what_is_looked_at_is_filled_where_it_is_masked(site: Site) -> None:
    loss = looking(site, "return None", term={"mask": "m"})
    p, y = torch.tensor([5.0, torch.nan]), torch.zeros(2)
    loss(p=p, y=y, m=torch.tensor([True, False]))
    assert calls()[0]["input"].tolist() == [5, 0]


def test_of_a_batch_that_is_masked_as_a_whole_nothing_is_said(site: Site) -> None:
    loss = looking(site, "return Problem('input', 'no')", term={"mask": "m"})
    assert loss(**values(), m=torch.tensor([False, False])).total == 0


@pytest.mark.parametrize("name", LOOKS)
@pytest.mark.parametrize(
    ("look", "problem"),
    [
        ("return {}['x']", "its {} failed: KeyError: 'x'"),
        ("1 / 0", "its {} failed: ZeroDivisionError: division by zero"),
        ("return 'bad'", "its {} gave a str, not a Problem or None"),
        ("return ('input', 'bad', True)", "its {} gave a tuple, not a Problem or None"),
        ("return True", "its {} gave a bool, not a Problem or None"),
    ],
)
def test_a_look_that_fails_is_its_plugins_fault(
    site: Site, name: str, look: str, problem: str
) -> None:
    loss = looking(site, look, name)
    with pytest.raises(InputError) as raised:
        loss(values())
    said = f"term 'bad': odd ({OWNER}, acme_odd) refused its inputs: {problem.format(name)}; "
    assert str(raised.value).startswith(said)


def test_a_look_out_of_memory_is_no_fault_of_the_plugin(site: Site) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        looking(site, "raise torch.OutOfMemoryError('too much')")(values())


def test_an_interrupt_while_loading_interrupts_and_is_no_fault(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    marker = site.path / "interrupted"
    head = f"""
        from pathlib import Path
        if not Path({str(marker)!r}).exists():
            Path({str(marker)!r}).touch()
            raise KeyboardInterrupt
    """
    site.add("acme", {"odd": "acme_odd"}, {"acme_odd": plugin("odd", head=head)})
    registry = Registry.installed()
    with pytest.raises(KeyboardInterrupt):
        registry["odd"]
    assert registry["odd"].name == "odd"
    marker.unlink()
    site.forget()
    assert main(["list"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_an_interrupt_while_building_interrupts(site: Site) -> None:
    head = "def fail(): raise KeyboardInterrupt\n"
    site.add("acme", {"odd": "acme_odd"}, {"acme_odd": plugin("odd", build="fail()", head=head)})
    with pytest.raises(KeyboardInterrupt):
        lossreg.create("odd")


def test_a_slow_import_costs_nothing_until_it_is_used(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = plugin("slow", head="import time\ntime.sleep(5)\n")
    site.add("acme", {"slow": "acme_slow"}, {"acme_slow": slow})
    file = tmp_path / "loss.yaml"
    # A misspelt name as well: what was meant is found by names alone.
    file.write_text("terms: {a: {type: l1}, b: {type: slwo}}", encoding="utf-8")
    start = time.perf_counter()
    assert main(["check", str(file)]) == 1
    assert main(["show", "l1"]) == 0
    lossreg.build({"terms": {"a": {"type": "l1"}}})
    assert time.perf_counter() - start < 4
    assert "did you mean 'slow'?" in capsys.readouterr().out
    assert "acme_slow" not in sys.modules


def test_one_broken_among_twenty(site: Site) -> None:
    for index in range(20):
        name = f"x{index}"
        source = "raise SystemExit" if index == 7 else plugin(name)
        site.add(f"acme-{name}", {name: f"acme_{name}"}, {f"acme_{name}": source})
    registry = Registry.installed()
    states = {each.name: each.state for each in registry.entries()}
    assert [name for name, state in states.items() if state != "ok"] == ["x7"]
    assert len(states) == 40
    assert registry["x6"].name == "x6"


def test_three_hundred_healthy_ones(site: Site) -> None:
    for index in range(300):
        name = f"x{index}"
        site.add(f"acme-{name}", {name: f"acme_{name}"}, {f"acme_{name}": plugin(name)})
    registry = Registry.installed()
    assert len(registry) == 320
    assert not [name for name in sys.modules if name.startswith("acme_x")]
    assert {each.state for each in registry.entries()} == {"ok"}


COUNTING = """
    import time
    from pathlib import Path
    with Path({!r}).open("a") as file:
        file.write("x")
    time.sleep(0.05)
"""


@pytest.mark.parametrize("broken", [False, True])
def test_thirty_two_threads_load_once_and_see_the_same(site: Site, *, broken: bool) -> None:
    log = site.path / "log"
    head = textwrap.dedent(COUNTING.format(str(log))) + ("raise SystemExit(6)\n" if broken else "")
    modules = {"acme_a": plugin("a", "b", head=head)}
    site.add("acme", {"a": "acme_a", "b": "acme_a"}, modules)
    registry = Registry.installed()
    gate = threading.Barrier(32)

    def look(index: int) -> object:
        gate.wait()
        try:
            return registry["ab"[index % 2]]
        except PluginLoadError as error:
            return error.reason

    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(look, range(32)))
    assert log.read_text() == "x"
    assert len({id(each) if not broken else each for each in found}) == (1 if broken else 2)
    assert registry["l1"].name == "l1"


def test_thirty_two_threads_discover(site: Site) -> None:
    log = site.path / "log"
    head = textwrap.dedent(COUNTING.format(str(log)))
    site.add("acme", {"a": "acme_a"}, {"acme_a": plugin("a", head=head)})
    gate = threading.Barrier(32)

    def look(_: int) -> str:
        gate.wait()
        return Registry.installed()["a"].name

    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(look, range(32))) == ["a"] * 32
    assert log.read_text() == "x"


def test_a_plugin_that_asks_for_itself_is_told_so(site: Site) -> None:
    head = "import lossreg\nlossreg.create('odd')\n"
    site.add("acme", {"odd": "acme_odd"}, {"acme_odd": plugin("odd", head=head)}, version="2.1")
    with pytest.raises(PluginLoadError, match=r"loss 'odd' \(acme 2\.1, acme_odd\): "):
        Registry.installed()["odd"]


@pytest.mark.parametrize("broken", [False, True])
def test_a_warning_is_not_repeated(site: Site, *, broken: bool) -> None:
    head = "import warnings\nwarnings.warn('old', DeprecationWarning)\n"
    source = plugin("a", "b", head=head + ("1 / 0\n" if broken else ""))
    site.add("acme", {"a": "acme_a", "b": "acme_a"}, {"acme_a": source})
    registry = Registry.installed()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        registry.entries()
        for name in "aba":
            registry.get(name) if not broken else registry.entry(name)
    assert [str(each.message) for each in told] == ["old"]


ANOTHER = "a module that cannot share its state:"
# What a builder does for `none` and for no other reduction.
UNREDUCED = {
    "raises": ("raise RuntimeError('no such form')", "raised RuntimeError: no such form"),
    "refuses the value": ("raise ValueError('mean or sum')", "raised ValueError: mean or sum"),
    "looks up a form it lacks": ("return {}['none']", "raised KeyError: 'none'"),
    "exits": ("raise SystemExit(5)", "raised SystemExit: 5"),
    "raises what cannot be shown": ("fail()", "raised Bad (whose message cannot be shown)"),
    "raises an error of lossreg's": (
        "import lossreg; lossreg.create('zzz')",
        "raised UnknownLossError: unknown loss 'zzz'",
    ),
    "returns None": ("return None", "gave a NoneType, not a module"),
    "returns a function": ("return nn.functional.l1_loss", "gave a function, not a module"),
    "makes a module with another parameter": (
        "return nn.Linear(2, 2)",
        f"gave {ANOTHER} TypeError: it has 'weight', which the loss with its reduction",
    ),
    "makes a module with another buffer": (
        "return nn.CrossEntropyLoss()",
        f"gave {ANOTHER} TypeError: it has 'weight', which the loss with its reduction",
    ),
    "makes a module that cannot be changed": (
        "return Stiff()",
        f"gave {ANOTHER} RuntimeError: it is stiff",
    ),
}
UNREDUCED_HEAD = (
    FAIL
    + """
import torch
from torch import nn
from lossreg.plugin import Reduction

class Stiff(nn.Module):
    @property
    def inner(self):
        raise RuntimeError("it is stiff")

class Odd(nn.Module):
    def __init__(self, reduction):
        super().__init__()
        self.reduction = reduction
        self.inner = nn.L1Loss(reduction=reduction)

    def forward(self, p, y):
        return self.inner(p, y)
"""
)


def unreduced_fault(site: Site, statement: str) -> lossreg.CompositeLoss:
    """A composite of a loss whose builder does this for the reduction `none`."""
    source = plugin("odd", build="Odd(config.reduction)", head=UNREDUCED_HEAD)
    source = source.replace("config=LossConfig", "config=Config").replace(
        "    from torch import nn\n",
        f"    if config.reduction == 'none':\n        {statement}\n",
    )
    source = source.replace('"values to predict")', '"values to predict", counted=True)')
    source += "\nclass Config(LossConfig):\n    reduction: Reduction = 'mean'\n"
    site.add("acme-losses", {"odd": "acme_odd"}, {"acme_odd": source}, version="2.1")
    fit = {"type": "l1", "inputs": ["p", "y"]}
    return lossreg.build({"terms": {"fine": fit, "bad": {**fit, "type": "odd"}}})


@pytest.mark.parametrize(("statement", "message"), UNREDUCED.values(), ids=UNREDUCED)
def test_a_builder_that_does_not_build_the_unreduced_form(
    site: Site, statement: str, message: str
) -> None:
    loss = unreduced_fault(site, statement)
    loss(values())
    counts = {"fine": torch.tensor(2.0), "bad": torch.tensor(2.0)}
    for _ in range(2):  # a second time it is no other form's turn
        for action in (
            lambda: loss.denominators([values()]),
            lambda: loss.terms.present(values(), counts),
        ):
            with pytest.raises(ConfigError) as raised:
                action()
            (diagnostic,) = raised.value.diagnostics
            assert (diagnostic.code, diagnostic.path) == ("LR303", "terms.bad")
            start = f"building 'odd' ({OWNER}, acme_odd) with reduction 'none' {message}"
            assert diagnostic.message.startswith(start)
    assert loss(values()).terms["bad"] == 1


def test_a_builder_that_passes_over_the_reduction(site: Site) -> None:
    loss = unreduced_fault(site, "return Odd('mean')")
    denominators = loss.denominators([values(), values()])
    # Were the mean divided by the number of entries, the term would be four times too small.
    with pytest.raises(InputError) as raised:
        loss(values(), denominators=denominators)
    assert str(raised.value).startswith(f"term 'bad': odd ({OWNER}, acme_odd) refused its inputs: ")
    assert "with reduction 'none' it gave one number, not one for each entry" in str(raised.value)
    one = {"p": torch.tensor(1.0, requires_grad=True), "y": torch.tensor(0.0)}
    assert loss(one, denominators=loss.denominators([one])).terms["bad"] == 1


def test_an_interrupt_while_building_the_unreduced_form_interrupts(site: Site) -> None:
    marker = site.path / "built"
    statement = (
        f"import pathlib; marker = pathlib.Path({str(marker)!r})\n"
        "        if not marker.exists(): marker.touch(); raise KeyboardInterrupt"
    )
    loss = unreduced_fault(site, statement)
    with pytest.raises(KeyboardInterrupt):
        loss.denominators([values()])
    assert loss.denominators([values()]).values.tolist() == [2, 2]
