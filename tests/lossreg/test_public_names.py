from __future__ import annotations

import importlib.metadata

import pytest

import lossreg
import lossreg.errors
import lossreg.plugin
from lossreg.cli import main

ERRORS = {
    "LossregError": (Exception,),
    "PluginError": (lossreg.LossregError,),
    "PluginLoadError": (lossreg.PluginError,),
    "DuplicateNameError": (lossreg.PluginError,),
    "DuplicateLossError": (lossreg.errors.DuplicateNameError,),
    "UnknownNameError": (lossreg.LossregError, KeyError),
    "UnknownLossError": (lossreg.errors.UnknownNameError,),
    "ConfigError": (lossreg.LossregError, ValueError),
    "InputError": (lossreg.LossregError, ValueError),
    "NonFiniteError": (lossreg.LossregError,),
    "StateError": (lossreg.LossregError, RuntimeError),
    "MissingExtraError": (lossreg.LossregError, ImportError),
    "ConfigWarning": (UserWarning,),
}


def test_lossreg_offers_these_names() -> None:
    assert lossreg.__all__ == [
        "CompositeLoss",
        "ConfigError",
        "ConfigWarning",
        "Diagnostic",
        "DuplicateLossError",
        "InputError",
        "LossOutput",
        "LossregError",
        "MissingExtraError",
        "NonFiniteError",
        "PluginError",
        "PluginLoadError",
        "Registry",
        "StateError",
        "UnknownLossError",
        "__version__",
        "build",
        "build_objectives",
        "compare_gradients",
        "create",
        "diagnose",
        "load_config",
    ]
    assert dir(lossreg) == lossreg.__all__


@pytest.mark.parametrize("name", sorted({*lossreg.__all__} - {"__version__", "diagnose"}))
def test_each_name_is_there(name: str) -> None:
    assert getattr(lossreg, name).__name__ == name


def test_the_version_is_that_of_the_installed_distribution() -> None:
    assert lossreg.__version__ == importlib.metadata.version("lossreg")


def test_an_older_name_is_the_same_function() -> None:
    assert lossreg.diagnose is lossreg.compare_gradients


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'lossreg' has no attribute 'nothing'"):
        lossreg.nothing  # noqa: B018


def test_a_plugin_author_gets_these_names() -> None:
    assert set(lossreg.plugin.__all__) == {
        "Choice",
        "Chosen",
        "ClassWeights",
        "Component",
        "DType",
        "Denominator",
        "Domain",
        "ElementWeights",
        "Field",
        "IgnoreIndex",
        "LossConfig",
        "LossDefinition",
        "LossHooks",
        "LossInput",
        "PositiveWeights",
        "Problem",
        "Reduction",
        "TaskDefinition",
        "TaskHooks",
        "WorkedExample",
        "aligned_weight",
        "hookimpl",
        "normalised_logits",
        "not_ignored",
        "several_classes",
        "target_weights",
        "to_tensor",
        "unnormalised",
    }
    assert all(hasattr(lossreg.plugin, name) for name in lossreg.plugin.__all__)


def test_the_error_tree() -> None:
    tree = {
        name: each.__bases__
        for name, each in vars(lossreg.errors).items()
        if isinstance(each, type) and issubclass(each, Exception)
    }
    assert tree == ERRORS


def test_the_command_has_these_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["--help"])
    assert raised.value.code == 0
    lines = capsys.readouterr().out.partition("COMMAND\n")[2].splitlines()
    verbs = [line.split()[0] for line in lines if line.startswith(" " * 4) and line[4] != " "]
    assert verbs == [
        "list",
        "show",
        "check",
        "diff",
        "expand",
        "schema",
        "plot",
        "try",
        "codes",
        "new",
        "bridge",
        "run",
    ]


def test_the_command_is_an_entry_point() -> None:
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="lossreg")
    assert script.load() is main
