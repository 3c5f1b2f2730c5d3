"""The names that users of other libraries know lead to the right loss, or to what to install."""

from __future__ import annotations

import sys

import pytest

from fake_distributions import Site, plugin
from lossreg.config import examine
from lossreg.errors import PluginLoadError, UnknownLossError
from lossreg.registry import TASKS, Registry
from lossreg.registry.bridges import BRIDGES


def guess(name: str) -> tuple[str | None, str]:
    with pytest.raises(UnknownLossError) as raised:
        Registry.installed()[name]
    return raised.value.suggestion, raised.value.remark


def add(site: Site, distribution: str, **aliases: tuple[str, ...]) -> None:
    """Put a distribution there, whose one module has losses with these aliases."""
    module = distribution.replace("-", "_")
    source = plugin(*aliases).replace("name=name,", f"name=name, aliases={aliases!r}[name],")
    site.add(distribution, dict.fromkeys(aliases, module), {module: source})


NOT_INSTALLED = {
    "lpips": ("piq has a loss of this name", "lossreg-vision"),
    "DISTS": ("piq has a loss of this name", "lossreg-vision"),
    "dice_ce": ("monai has a loss of this name", "lossreg-monai"),
    "SupConLoss": (
        "pytorch_metric_learning has a loss of this name",
        "lossreg-metric-learning",
    ),
    "monai.losses.DiceCELoss": ("it is a loss of monai", "lossreg-monai"),
    "monai.losses.SomethingNew": ("it is a loss of monai", "lossreg-monai"),
    "kornia.losses.SSIMLoss": ("it is a loss of kornia", "lossreg-vision"),
    "torchvision.ops.sigmoid_focal_loss": ("it is a loss of torchvision", "lossreg-vision"),
    # torch's has other inputs.
    "pytorch_metric_learning.losses.TripletMarginLoss": (
        "it is a loss of pytorch_metric_learning",
        "lossreg-metric-learning",
    ),
}


@pytest.mark.parametrize("name", NOT_INSTALLED)
def test_a_bridge_that_is_not_installed_is_named(name: str) -> None:
    what, distribution = NOT_INSTALLED[name]
    assert guess(name) == (
        None,
        f"{what}; it may be in {distribution}, which is not installed: pip install {distribution}",
    )


def test_every_bridge_that_may_have_it_is_named() -> None:
    suggestion, remark = guess("DiceLoss")
    assert suggestion is None
    assert remark == (
        "monai, kornia and segmentation_models_pytorch have losses of this name; it may be in "
        "lossreg-monai or lossreg-vision, which are not installed: pip install lossreg-monai or "
        "lossreg-vision"
    )


def test_an_installed_name_goes_before_bridges_and_aliases(site: Site) -> None:
    add(site, "acme", other=("TripletMarginLoss", "cross_entropy", "L1Loss"))
    assert guess("TripletMarginLoss") == ("triplet_margin", "")
    assert guess("torch.nn.TripletMarginLoss") == ("triplet_margin", "")
    assert guess("L1Loss") == ("l1", "")


def test_check_says_it_at_the_type() -> None:
    (diagnostic,) = examine(b"terms:\n  fit: {type: lpips, weight: 2}\n").diagnostics
    assert (diagnostic.code, diagnostic.line, diagnostic.column) == ("LR105", 2, 15)
    assert diagnostic.message.endswith("which is not installed: pip install lossreg-vision")


def test_aliases_lead_to_a_loss(site: Site) -> None:
    add(
        site,
        "lossreg-monai",
        monai_dice_ce=("DiceCELoss", "monai.losses.DiceCELoss"),
        monai_dice=("DiceLoss", "monai.losses.DiceLoss"),
    )
    for name in ("DiceCELoss", "dice_ce", "monai.losses.DiceCELoss", "monai.losses.dice.DiceCE"):
        assert guess(name) == ("monai_dice_ce", ""), name
    # Another library's, of the same name.
    for name in ("kornia.losses.DiceLoss", "segmentation_models_pytorch.losses.DiceLoss"):
        suggestion, remark = guess(name)
        assert suggestion is None
        assert "pip install lossreg-vision" in remark
    suggestion, remark = guess("monai.losses.TverskyLoss")
    assert suggestion is None
    assert remark == "`lossreg list --from lossreg-monai` shows the losses of that library"
    with pytest.raises(KeyError):
        Registry.installed()["DiceCELoss"]  # never accepted


def test_an_alias_of_a_bridge_of_ones_own_goes_before_what_is_not_installed(site: Site) -> None:
    add(site, "acme", soft_dice=("DiceLoss", "SoftDiceLoss", "monai.losses.DiceLoss"))
    assert guess("DiceLoss") == ("soft_dice", "")
    assert guess("monai.losses.DiceLoss") == ("soft_dice", "")
    assert guess("SofDiceLoss") == ("soft_dice", "")


def test_an_alias_of_several_names_all(site: Site) -> None:
    add(site, "acme", acme_dice=("DiceLoss",), other_dice=("DiceLoss",))
    assert guess("DiceLoss") == (None, "'acme_dice' and 'other_dice' are called so elsewhere")


def test_a_name_behind_the_prefix_of_its_library_is_found(site: Site) -> None:
    add(site, "lossreg-monai", monai_dice=())
    add(site, "lossreg-vision", kornia_welsch=(), kornia_ssim=(), piq_ssim=())
    assert guess("dice") == ("monai_dice", "")
    assert guess("welsch") == ("kornia_welsch", "")
    assert guess("ssim")[0] is None
    # "cross" is not a library.
    assert guess("entropy")[0] is None


def test_plugins_are_loaded_only_if_no_known_name_is_near(site: Site) -> None:
    add(site, "acme", thing=("SomethingLoss",))
    Registry.installed().origin("l1")
    for name in ("cros_entropy", "CrossEntropyLoss", "l1"):
        examine(f"terms: {{a: {{type: {name}, inputs: [x, y]}}}}".encode())
    # What is beside an objective may be another system's: its types are only looked at by name.
    examine(b"terms: {a: {type: l1, inputs: [x, y]}}\noptimizer: {type: Something, weight: 1}\n")
    assert "acme" not in sys.modules
    assert guess("Something") == ("thing", "")
    assert "acme" in sys.modules


def test_a_broken_plugin_hides_no_alias(site: Site) -> None:
    site.add("broken", {"bad": "broken_bad"}, {"broken_bad": "raise SystemExit(3)"})
    add(site, "acme", thing=("SomethingLoss",))
    assert guess("Something") == ("thing", "")


@pytest.mark.parametrize("aliases", ["'DiceLoss'", "('DiceLoss', 3)", "['DiceLoss']"])
def test_aliases_of_another_type_are_refused(site: Site, aliases: str) -> None:
    source = plugin("thing").replace("name=name,", f"name=name, aliases={aliases},")
    site.add("acme", {"thing": "acme_thing"}, {"acme_thing": source})
    with pytest.raises(PluginLoadError, match="aliases must be a tuple of strings"):
        Registry.installed()["thing"]


def test_tasks_have_no_bridges() -> None:
    with pytest.raises(KeyError) as raised:
        Registry.installed().of(TASKS)["lpips"]
    assert "pip install" not in str(raised.value)


def test_the_table_has_no_library_twice() -> None:
    libraries = [library for bridge in BRIDGES for library in bridge.libraries]
    assert len(libraries) == len(set(libraries))
    for bridge in BRIDGES:
        for library, losses in bridge.libraries.items():
            assert losses.split() == sorted(set(losses.split()), key=str.lower), library
