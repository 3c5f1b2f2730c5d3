from __future__ import annotations

from importlib import metadata

import pytest

import lossreg
from fake_distributions import Site, plugin
from lossreg.cli import main
from lossreg.config import examine
from lossreg.plugin.requirements import parsed, unmet

TERM = b"terms:\n  fit: {type: needy}\n"


@pytest.mark.parametrize(
    ("bounds", "installed", "met"),
    [
        ("", "0.1", True),
        (">=1.4", "1.4", True),
        (">=1.4", "1.4.0", True),
        (">=1.4.0", "1.4", True),
        (">=1.4", "1.10", True),
        (">=1.4", "1.3.9", False),
        (">=1.4", "1.4.0rc1", False),
        (">=1.4rc1", "1.4.0rc2", True),
        (">=1.4", "1.4.dev3", False),
        (">=1.4", "1.4.post1", True),
        (">1.4", "1.4", False),
        ("<2", "1.99+cu121", True),
        (">=1,<2", "2.0", False),
        ("==1.4", "1.4.0", True),
        ("!=1.4", "1.4.0", False),
        ("<=1.4", "1.4.1", False),
        (">=1.4b1", "1.4a2", False),
        (">=1.4", "a version of its own", True),
    ],
)
def test_versions_are_compared_as_pip_does(
    monkeypatch: pytest.MonkeyPatch, bounds: str, installed: str, *, met: bool
) -> None:
    monkeypatch.setattr(metadata, "version", lambda _: installed)
    expected = [] if met else [(f"acme{bounds}", installed)]
    assert unmet([f"acme{bounds}"]) == expected


def test_what_is_not_installed_is_not_met() -> None:
    (lacking,) = unmet(["torch>=2", "no-such-thing >= 1.4, < 2"])
    assert str(lacking) == (
        "no-such-thing >= 1.4, < 2, which is not installed: pip install 'no-such-thing >= 1.4, < 2'"
    )


@pytest.mark.parametrize(
    "text",
    ["", "monai~=1.4", "monai[all]", "monai; python_version > '3'", "monai>=x", "monai 1.4", "-m"],
)
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a distribution and bounds such as"):
        parsed(text)


def needy(requires: str) -> str:
    return plugin("needy").replace('summary="made up"', f'summary="made up", requires={requires}')


@pytest.mark.parametrize(
    ("requires", "error"),
    [
        ("('acme~=1',)", "expected a distribution and bounds"),
        ("'acme'", "LossDefinition.requires must be a tuple of strings"),
        ("('acme', 3)", "LossDefinition.requires must be a tuple of strings"),
    ],
)
def test_a_wrong_definition_is_refused(site: Site, requires: str, error: str) -> None:
    site.add("acme", {"needy": "acme_needy"}, {"acme_needy": needy(requires)})
    (diagnostic,) = examine(TERM).diagnostics
    assert diagnostic.code == "LR301"
    assert error in diagnostic.message


MISSING = {
    "('no-such-thing>=1.4',)": (
        "needs no-such-thing>=1.4, which is not installed: pip install 'no-such-thing>=1.4'"
    ),
    "('pluggy>=99',)": "needs pluggy>=99, but {pluggy} is installed: pip install 'pluggy>=99'",
}


@pytest.mark.parametrize("requires", MISSING)
def test_check_warns_at_the_type_and_build_raises(
    site: Site, capsys: pytest.CaptureFixture[str], requires: str
) -> None:
    site.add("acme", {"needy": "acme_needy"}, {"acme_needy": needy(requires)})
    message = MISSING[requires].format(pluggy=metadata.version("pluggy"))
    (diagnostic,) = examine(TERM).diagnostics
    assert (diagnostic.code, diagnostic.severity) == ("LR907", "warning")
    assert (diagnostic.line, diagnostic.column, diagnostic.path) == (2, 15, "terms.fit.type")
    assert diagnostic.message == f"'needy' {message}"
    path = site.path / "config.yaml"
    path.write_bytes(TERM)
    assert main(["check", str(path)]) == 0
    assert "no problems" not in capsys.readouterr().out
    assert main(["check", "--strict", str(path)]) == 1
    with pytest.warns(lossreg.ConfigWarning), pytest.raises(lossreg.MissingExtraError) as raised:
        lossreg.build(str(path))
    assert str(raised.value) == f"'needy' (acme 1.0, acme_needy) {message}"
    assert isinstance(raised.value, ImportError)
    assert (raised.value.extra, raised.value.missing) == ("", requires[2:-3])
    with pytest.raises(lossreg.MissingExtraError):
        lossreg.create("needy")
    capsys.readouterr()
    assert main(["show", "needy"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert message.removeprefix("needs ") in words


def test_a_disabled_term_needs_nothing(site: Site) -> None:
    requires = "('no-such-thing',)"
    site.add("acme", {"needy": "acme_needy"}, {"acme_needy": needy(requires)})
    document = TERM.replace(b"needy", b"needy, enabled: false") + b"  rest: {type: mse}\n"
    assert examine(document).diagnostics == ()
    lossreg.build(document)


def test_what_is_installed_is_built(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.add("acme", {"needy": "acme_needy"}, {"acme_needy": needy("('pluggy>=1', 'torch')")})
    assert examine(TERM).diagnostics == ()
    lossreg.create("needy")
    assert main(["show", "needy"]) == 0
    assert "Needs\n  pluggy>=1, which is installed\n" in capsys.readouterr().out
