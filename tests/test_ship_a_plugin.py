"""docs/ship-a-plugin.md: its plugin works, and the command line says what the page shows."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

import pytest
import torch

import lossreg
from documents import Document
from lossreg.cli import main

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from fake_distributions import Site

PAGE = Document("docs/ship-a-plugin.md")
FILES = PAGE.files()


@pytest.fixture(autouse=True)
def acme(site: Site) -> Site:
    """The page's plugin as it says, and a loss whose module is not there."""
    declared = tomllib.loads(FILES["pyproject.toml"])["project"]["entry-points"]["lossreg.losses"]
    modules = {
        name.removesuffix(".py"): text for name, text in FILES.items() if name.endswith(".py")
    }
    site.add("acme-losses", {**declared, "focal": "acme_losses.focal"}, modules, version="2.1")
    return site


@pytest.mark.parametrize("block", PAGE.blocks("console"))
def test_a_command_says_what_the_page_shows(
    block: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    command, _, shown = block.partition("\n")
    main(shlex.split(command)[2:])
    assert "".join(capsys.readouterr()) == shown
    assert "acme_modules" not in sys.modules


def test_its_losses_by_hand() -> None:
    # log(cosh(1)) = log((e + 1/e) / 2) = log(1.54308) = 0.43378; |3 - 4| / 4 = 0.25.
    one = lossreg.create("log_cosh")(torch.tensor([1.0]), torch.tensor([0.0]))
    torch.testing.assert_close(one, torch.tensor(0.43378), rtol=0, atol=1e-5)
    assert lossreg.create("acme-losses:relative")(torch.tensor([3.0]), torch.tensor([4.0])) == 0.25
