"""Bridges of libraries that lossreg knows of, so that it can say what to install.

Only for guesses: a bridge that is installed is found by its entry points, like every plugin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lossreg.names import is_spelling_of
from lossreg.registry.kinds import LOSSES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lossreg.registry.kinds import Kind

__all__ = ["BRIDGES", "Bridge", "bridges_of", "what_to_install"]


class Bridge(NamedTuple):
    """A distribution that provides the losses of libraries.

    Attributes:
        distribution: Its name, as pip knows it.
        libraries: The names of each library's losses, with blanks between them, by the library's
            module.
    """

    distribution: str
    libraries: Mapping[str, str]

    def libraries_with(self, name: str) -> list[str]:
        """The libraries that have a loss of this name, or that its dotted name begins with."""
        root, dot, _ = name.partition(".")
        if dot:
            return [library for library in self.libraries if library == root]
        return [
            library
            for library, losses in self.libraries.items()
            if any(is_spelling_of(name, known) for known in losses.split())
        ]


BRIDGES = (
    Bridge(
        "lossreg-monai",
        {
            "monai": (
                "AsymmetricUnifiedFocalLoss BarlowTwinsLoss BendingEnergyLoss ContrastiveLoss "
                "DeepSupervisionLoss DiceCELoss DiceFocalLoss DiceLoss DiffusionLoss FocalLoss "
                "GeneralizedDiceFocalLoss GeneralizedDiceLoss GeneralizedWassersteinDiceLoss "
                "GlobalMutualInformationLoss HausdorffDTLoss JukeboxLoss "
                "LocalNormalizedCrossCorrelationLoss LogHausdorffDTLoss MaskedDiceLoss MCCLoss "
                "MultiScaleLoss NACLLoss PatchAdversarialLoss PerceptualLoss SoftclDiceLoss "
                "SoftDiceclDiceLoss SSIMLoss SURELoss TverskyLoss"
            )
        },
    ),
    Bridge(
        "lossreg-metric-learning",
        {
            "pytorch_metric_learning": (
                "AngularLoss ArcFaceLoss CentroidTripletLoss CircleLoss ContrastiveLoss "
                "CosFaceLoss "
                "CrossBatchMemory DynamicSoftMarginLoss FastAPLoss GeneralizedLiftedStructureLoss "
                "HistogramLoss InstanceLoss IntraPairVarianceLoss LargeMarginSoftmaxLoss "
                "LiftedStructureLoss ManifoldLoss MarginLoss MultiSimilarityLoss NCALoss "
                "NormalizedSoftmaxLoss NPairsLoss NTXentLoss P2SGradLoss PNPLoss ProxyAnchorLoss "
                "ProxyNCALoss RankedListLoss SelfSupervisedLoss SignalToNoiseRatioContrastiveLoss "
                "SmoothAPLoss SoftTripleLoss SphereFaceLoss SubCenterArcFaceLoss SupConLoss "
                "ThresholdConsistentMarginLoss TripletMarginLoss TupletMarginLoss VICRegLoss"
            )
        },
    ),
    Bridge(
        "lossreg-vision",
        {
            "kornia": (
                "BinaryFocalLossWithLogits CauchyLoss CharbonnierLoss DiceLoss FocalLoss "
                "GemanMcclureLoss HausdorffERLoss HausdorffERLoss3D InverseDepthSmoothnessLoss "
                "LovaszHingeLoss LovaszSoftmaxLoss MS_SSIMLoss PSNRLoss SSIM3DLoss SSIMLoss "
                "TotalVariation TverskyLoss WelschLoss"
            ),
            "piq": (
                "BRISQUELoss ContentLoss DISTS DSSLoss FSIMLoss GMSDLoss HaarPSILoss "
                "InformationWeightedSSIMLoss LPIPS MDSILoss MultiScaleGMSDLoss MultiScaleSSIMLoss "
                "PieAPP SRSIMLoss SSIMLoss StyleLoss TVLoss VIFLoss VSILoss"
            ),
            "segmentation_models_pytorch": (
                "DiceLoss FocalLoss JaccardLoss LovaszLoss MCCLoss SoftBCEWithLogitsLoss "
                "SoftCrossEntropyLoss TverskyLoss"
            ),
            "torchvision": (
                "CIoU complete_box_iou_loss DIoU distance_box_iou_loss generalized_box_iou_loss "
                "GIoU sigmoid_focal_loss"
            ),
        },
    ),
)


def bridges_of(kind: Kind[Any]) -> tuple[Bridge, ...]:
    """The known bridges that provide definitions of a kind: of losses."""
    return BRIDGES if kind is LOSSES else ()


def what_to_install(name: str, bridges: Sequence[Bridge]) -> str:
    """A remark on a name that these bridges, which are not installed, may provide."""
    libraries = [library for bridge in bridges for library in bridge.libraries_with(name)]
    *most, last = libraries
    what = f"{last} has a loss of this name"
    if "." in name:
        what = f"it is a loss of {last}"
    elif most:
        what = f"{', '.join(most)} and {last} have losses of this name"
    names = " or ".join(bridge.distribution for bridge in bridges)
    state = "which is not installed" if len(bridges) == 1 else "which are not installed"
    return f"{what}; it may be in {names}, {state}: pip install {names}"
