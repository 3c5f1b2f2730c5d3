"""Loading a plugin where torch may not be imported."""

from __future__ import annotations

import pytest

from fake_distributions import Site, plugin
from lossreg.registry import Registry
from lossreg.testing.loading import fault_without_torch


def fault(name: str) -> str | None:
    return fault_without_torch(name.rpartition(":")[2], Registry.installed().entry(name))


def test_a_plugin_that_imports_torch_where_it_builds_is_fine(site: Site) -> None:
    site.add("acme", {"late": "acme_late"}, {"acme_late": plugin("late")})
    assert fault("late") is None


@pytest.mark.parametrize(
    "head",
    [
        "import torch",
        "from torch import nn",
        "import torch.nn.functional",
        "try:\n    import torch\nexcept ImportError:\n    torch = None",
    ],
)
def test_a_plugin_that_imports_torch_at_once_is_told_where(site: Site, head: str) -> None:
    site.add("acme", {"early": "acme_early"}, {"acme_early": plugin("early", head=head)})
    line = 2 if head.startswith("try") else 1
    assert fault("early") == f"{site.path / 'acme_early.py'} imports torch in line {line}"


def test_what_a_plugin_imports_counts_as_its_own(site: Site) -> None:
    modules = {"acme_deep": plugin("deep", head="import acme_maths"), "acme_maths": "import torch"}
    site.add("acme", {"deep": "acme_deep"}, modules)
    assert fault("deep") == f"{site.path / 'acme_maths.py'} imports torch in line 1"


def test_each_loss_of_a_distribution_answers_for_itself(site: Site) -> None:
    site.add(
        "acme",
        {"early": "acme_early", "late": "acme_late", "broken": "acme_broken"},
        {
            "acme_early": plugin("early", head="import torch"),
            "acme_late": plugin("late"),
            "acme_broken": "raise SystemExit(3)",
        },
    )
    assert fault("late") is None
    assert "acme_early.py imports torch" in str(fault("early"))


def test_another_distribution_that_claims_the_name_is_left_alone(site: Site) -> None:
    site.add("acme", {"late": "acme_late"}, {"acme_late": plugin("late")})
    site.add("bolt", {"late": "bolt_late"}, {"bolt_late": plugin("late", head="import torch")})
    assert fault("acme:late") is None
    assert "bolt_late.py imports torch" in str(fault("bolt:late"))
