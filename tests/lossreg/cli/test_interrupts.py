"""Ctrl-C at many moments: one line, exit code 130, whatever the command was doing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fake_distributions import plugin
from lossreg import experiments
from lossreg.cli import main
from lossreg.cli.interrupts import Interruptible, leave_on_interrupt

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

EXPERIMENT = """\
task: digits
trainer: {accelerator: cpu, max_epochs: 3}
loss: {terms: {classify: {type: cross_entropy, inputs: [logits, labels]}}}
"""
FIRST = "lossreg.cli.interrupts"
# In the order in which they are imported: from the first after the handler is there to the last
# before the work begins, within torch above all, which crashes when it is imported a second time.
MOMENTS = {
    "list": [FIRST, "argparse", "lossreg.errors", "pydantic", "lossreg_losses.bce"],
    "check loss.yaml": [FIRST, "lossreg.cli.command", "yaml", "pydantic_core._pydantic_core"],
    "codes": [FIRST, "lossreg.config.faults.codes"],
    "run task.yaml": ["lossreg.config", "torch._C", "torch.nn", "sklearn"],
}
# The others, nightly.
OFTEN = {FIRST, "lossreg_losses.bce", "pydantic_core._pydantic_core", "torch._C"}
SLEEP = "\nprint('ready', flush=True)\nimport time\ntime.sleep(60)\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("loss.yaml").write_text("terms: {fit: {type: mse}}\n", encoding="utf-8")
    Path("task.yaml").write_text(EXPERIMENT, encoding="utf-8")
    return tmp_path


@contextmanager
def launched(
    *arguments: str,
    ignoring: bool = False,
    python: tuple[str, ...] = (),
    stdin: int = subprocess.DEVNULL,
) -> Iterator[subprocess.Popen[str]]:
    """The command, which is told of interrupts even where this process ignores them."""
    before = signal.signal(
        signal.SIGINT, signal.SIG_IGN if ignoring else signal.default_int_handler
    )
    try:
        process = subprocess.Popen(
            [sys.executable, *python, "-m", "lossreg", *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        try:
            yield process
        finally:
            process.kill()


def interrupted_after(imported: str | int, *arguments: str, times: int = 1) -> tuple[int, str, str]:
    """The exit code and what was printed, of a command interrupted once a module is imported.

    Args:
        imported: Its name, or how many modules after the first that are there for it.
        arguments: The command.
        times: How often it is interrupted.
    """
    with launched(*arguments, python=("-X", "importtime")) as process:
        assert process.stderr is not None
        count = -1
        for line in process.stderr:
            module = line.rpartition("|")[2].strip()
            count += count >= 0 or module == FIRST
            if imported in (count, module):
                break
        for _ in range(times):
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    told = [line for line in err.splitlines() if not line.startswith("import time:")]
    return process.returncode, out, "\n".join(told)


@pytest.mark.parametrize(
    ("command", "module"),
    [
        pytest.param(command, module, marks=[pytest.mark.nightly] * (module not in OFTEN))
        for command, modules in MOMENTS.items()
        for module in modules
    ],
)
def test_while_modules_are_imported(command: str, module: str) -> None:
    code, out, told = interrupted_after(module, *command.split())
    # A short command may be done before the signal reaches it.
    is_done = bool(out) and "run" not in command
    assert (code, told) == ((0, "") if is_done else (130, "interrupted"))
    assert not Path("runs").exists()


@pytest.mark.parametrize("module", ["lossreg.errors", "torch._C"])
def test_more_than_once(module: str) -> None:
    assert interrupted_after(module, "run", "task.yaml", times=5) == (130, "", "interrupted")


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("command", "number"),
    [
        *(("run task.yaml", number) for number in range(0, 3_800, 120)),
        *(
            (command, number)
            for command in ("list", "check loss.yaml", "show mse", "new odd")
            for number in range(0, 210, 6)
        ),
    ],
)
def test_after_so_many_imports(command: str, number: int) -> None:
    code, out, told = interrupted_after(number, *command.split())
    assert (code, told) == ((0, "") if out else (130, "interrupted"))


PLUGIN = """
from lossreg.plugin import LossConfig, LossDefinition, LossInput, hookimpl
from pydantic import field_validator
{head}

class Config(LossConfig):
    size: int = 1

    @field_validator("size")
    @classmethod
    def judged(cls, value):
        {validator}
        return value

    def suspicions(self):
        {suspicions}
        return ()


@hookimpl
def lossreg_losses():
    {hook}
    inputs = (LossInput(name="input", meaning="anything"),)
    build = lambda config: None
    return [
        LossDefinition(name="odd", config=Config, build=build, inputs=inputs, summary="made up")
    ]
"""
NAP = "wait()"
WAIT = """
import os, time
def wait():
    os.write(1, b"ready\\n")
    time.sleep(60)
"""
SWALLOWING = """
try:
    wait()
except BaseException:
    pass
"""
CLEANING = """
try:
    1 / 0
except ZeroDivisionError:
    pass
finally:
    wait()
"""
TWICE = """
try:
    wait()
except BaseException as error:
    raise RuntimeError("another one") from error
"""
SHY = """
class Shy(Exception):
    def __str__(self): wait()
raise Shy
"""
DYING = """
class Dying:
    def __del__(self): wait()
Dying()
"""
AT_EXIT = """
import atexit
atexit.register(wait)
"""
THREAD = """
import threading
threading.Thread(target=wait, daemon=False).start()
"""


@pytest.mark.parametrize(
    "places",
    [
        pytest.param({"head": NAP}, id="import", marks=pytest.mark.nightly),
        pytest.param({"head": SWALLOWING}, id="swallowed"),
        pytest.param({"head": CLEANING}, id="finally", marks=pytest.mark.nightly),
        pytest.param({"head": TWICE}, id="raised anew", marks=pytest.mark.nightly),
        pytest.param({"head": SHY}, id="message"),
        pytest.param({"head": DYING}, id="destructor", marks=pytest.mark.nightly),
        pytest.param({"head": AT_EXIT}, id="exit", marks=pytest.mark.nightly),
        pytest.param({"head": THREAD}, id="thread"),
        pytest.param({"validator": NAP}, id="validator"),
        pytest.param({"suspicions": NAP}, id="suspicions", marks=pytest.mark.nightly),
        pytest.param({"hook": NAP}, id="hook", marks=pytest.mark.nightly),
    ],
)
def test_in_a_plugins_code(places: dict[str, str]) -> None:
    given = {"head": "", "validator": "pass", "suspicions": "pass", "hook": "pass", **places}
    source = PLUGIN.format(**{**given, "head": WAIT + given["head"]})
    Path("acme_odd.py").write_text(source, encoding="utf-8")
    Path("odd.yaml").write_text("terms: {fit: {type: odd, params: {size: 2}}}", encoding="utf-8")
    with launched("check", "odd.yaml", "--plugin", "acme_odd") as process:
        assert process.stdout is not None
        while not process.stdout.readline().endswith("ready\n"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "interrupted\n")


def test_once_the_work_is_done_it_is_too_late() -> None:
    late = (
        "import os, time\n"
        "class Late:\n"
        "    def __del__(self, write=os.write, sleep=time.sleep):\n"
        "        write(2, b'ready\\n')\n"
        "        sleep(1)\n"
        "late = Late()\n"
    )
    Path("acme_odd.py").write_text(plugin("odd", head=late), encoding="utf-8")
    with launched("check", "loss.yaml", "--plugin", "acme_odd") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "1 file checked: no problems\n", "")


def test_while_it_waits_for_standard_input() -> None:
    # Nobody writes there, and it is closed only once the command has ended: it cannot read an empty
    # document instead, whenever the signal arrives.
    with launched("check", "-", python=("-X", "importtime"), stdin=subprocess.PIPE) as process:
        assert process.stderr is not None
        while process.stderr.readline().rpartition("|")[2].strip() != "lossreg.config":
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert process.stderr.read().endswith("interrupted\n")


def test_a_background_job_that_ignores_the_signal_goes_on() -> None:
    with launched("check", "loss.yaml", ignoring=True, python=("-X", "importtime")) as process:
        assert process.stderr is not None
        while process.stderr.readline().rpartition("|")[2].strip() != "argparse":
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "1 file checked: no problems\n")


@pytest.mark.parametrize(("variable", "told"), [("LOCAL_RANK", ""), ("NOTHING", "interrupted\n")])
def test_one_of_several_processes_tells_it_for_all(
    variable: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "1")
    Path("acme_odd.py").write_text(SLEEP, encoding="utf-8")
    with launched("list", "--plugin", "acme_odd") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, told)


def test_a_caller_in_python_keeps_its_own_handler(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    assert main(["check", "loss.yaml"]) == 0
    assert signal.getsignal(signal.SIGINT) is before
    with Interruptible():
        assert signal.getsignal(signal.SIGINT) is before
    assert capsys.readouterr().err == ""


def test_a_handler_of_somebody_elses_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[object] = []
    monkeypatch.setattr("atexit.register", lambda *call: registered.append(call))

    def theirs(*_: object) -> None:
        """Nothing."""

    before = signal.signal(signal.SIGINT, theirs)
    try:
        leave_on_interrupt()
        assert signal.getsignal(signal.SIGINT) is theirs
    finally:
        signal.signal(signal.SIGINT, before)
    assert registered == []


def test_within_it_an_interrupt_is_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atexit.register", lambda *_: None)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        leave_on_interrupt()
        ours = signal.getsignal(signal.SIGINT)
        assert ours is not signal.default_int_handler
        with pytest.raises(KeyboardInterrupt), Interruptible():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is ours
    finally:
        signal.signal(signal.SIGINT, before)


def test_asking_for_the_rank_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("lightning", "lightning.pytorch", "lightning.pytorch.utilities"):
        monkeypatch.setitem(sys.modules, name, None)
    assert experiments.rank() == 0
