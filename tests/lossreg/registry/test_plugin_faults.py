"""Whatever a plugin does when it is loaded: the others work, and the message says whose it is."""

from __future__ import annotations

import sys
import textwrap
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import lossreg
from built_ins import BUILT_INS
from fake_distributions import LOSSES, Site, plugin
from lossreg.cli import main
from lossreg.config import examine
from lossreg.errors import DuplicateLossError, PluginLoadError, UnknownLossError
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
    text = " ".join(capsys.readouterr().out.partition("\n]\n")[2].split())
    row = f"{name} BROKEN: ".lstrip()
    assert f"{OWNER}: 1 loss {row}" in text.replace("\xa0", " ")
    for each in said:
        assert " ".join(each.split())[:30] in text
    fine = {each.name for each in Registry.installed().entries() if each.state == "ok"}
    assert fine == set(BUILT_INS)
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
    states = [each.state for each in Registry.installed().entries()]
    assert states == ["ok"] * (len(BUILT_INS) + 1)


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


def test_a_plugin_is_not_imported_until_it_is_used(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.add("acme", {"slow": "acme_slow"}, {"acme_slow": plugin("slow")})
    file = tmp_path / "loss.yaml"
    # A misspelt name as well: what was meant is found by names, and only that is imported.
    file.write_text("terms: {a: {type: l1}, b: {type: smoth_l1}}", encoding="utf-8")
    assert main(["check", str(file)]) == 1
    assert main(["show", "l1"]) == 0
    lossreg.build({"terms": {"a": {"type": "l1"}}})
    assert "did you mean 'smooth_l1'?" in capsys.readouterr().out
    assert "acme_slow" not in sys.modules


def test_one_broken_among_twenty(site: Site) -> None:
    for index in range(20):
        name = f"x{index}"
        source = "raise SystemExit" if index == 7 else plugin(name)
        site.add(f"acme-{name}", {name: f"acme_{name}"}, {f"acme_{name}": source})
    registry = Registry.installed()
    states = {each.name: each.state for each in registry.entries()}
    assert [name for name, state in states.items() if state != "ok"] == ["x7"]
    assert len(states) == len(BUILT_INS) + 20
    assert registry["x6"].name == "x6"


def test_three_hundred_healthy_ones(site: Site) -> None:
    for index in range(300):
        name = f"x{index}"
        site.add(f"acme-{name}", {name: f"acme_{name}"}, {f"acme_{name}": plugin(name)})
    registry = Registry.installed()
    assert len(registry) == len(BUILT_INS) + 300
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
