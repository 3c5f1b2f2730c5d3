"""Each adapter needs its own extra, and no other adapter."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from lossreg.errors import MissingExtraError

EXTRAS = ("accelerate", "torchjd")
SHARED = {"lossreg.integrations", "lossreg.integrations.accumulation"}
LOADED = """
import importlib, sys
importlib.import_module(sys.argv[1])
print(*(name for name in sys.modules if name.startswith("lossreg.integrations")))
"""


@pytest.mark.parametrize("extra", EXTRAS)
def test_without_its_library_it_says_what_to_install(
    extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"lossreg.integrations.{extra}"
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, extra, None)
    with pytest.raises(MissingExtraError) as raised:
        importlib.import_module(name)
    assert str(raised.value) == (
        f"{name} needs {extra}, which is not installed: pip install 'lossreg[{extra}]'"
    )


@pytest.mark.nightly
@pytest.mark.parametrize("module", [*EXTRAS, "accumulation", "history"])
def test_it_loads_no_other_adapter(module: str) -> None:
    name = f"lossreg.integrations.{module}"
    if module in EXTRAS:
        pytest.importorskip(module)
    finished = subprocess.run(
        [sys.executable, "-c", LOADED, name],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert set(finished.stdout.split()) <= {*SHARED, name}
