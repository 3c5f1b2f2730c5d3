"""Environments of their own, with what is built here installed into them, without a network."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]
OFFLINE = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it as the option's value: without isolation
    "PIP_NO_DEPS": "1",
    "PIP_NO_INDEX": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
}


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """What a command that succeeds prints."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**OFFLINE, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def built_wheel(source: Path, folder: Path) -> Path:
    """The wheel made of a source tree or an sdist."""
    run(sys.executable, "-m", "pip", "wheel", source, "--wheel-dir", folder, cwd=folder.parent)
    (wheel,) = folder.glob("lossreg-*.whl")
    return wheel


def environment(folder: Path) -> Path:
    """The Python of a new environment that sees this one's packages after its own, but lossreg."""
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    where = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder)
    others = folder / "others"
    others.mkdir()
    for host in {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}:
        for each in host.iterdir():
            # A .pth file, such as one that leads to this repository, is not read there.
            if not each.name.startswith("lossreg"):
                (others / each.name).symlink_to(each)
    (Path(where.strip()) / "others.pth").write_text(str(others), encoding="utf-8")
    return python


def install(python: Path, *what: str | Path) -> None:
    """Install into the environment of this Python."""
    folder = python.parent
    run(sys.executable, "-m", "pip", "--python", python, "install", *what, cwd=folder)
