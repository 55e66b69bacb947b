"""The methods that most runs are trained with: SAM, ASAM in its forms, GSAM, OBF, and noise for comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from samnesia.train.parts.presets import Climbing, OutputBias, Radial


@dataclass(frozen=True)
class SAM(Climbing):
    """Sharpness-aware minimization."""

    preset = "sam"


@dataclass(frozen=True)
class LayerSAM(Climbing):
    """SAM whose radius is relative to the norm of each layer."""

    preset = "layer_sam"

    rho: float = 0.025
    """Radius as a share of each parameter tensor's norm; not comparable with SAM's."""


@dataclass(frozen=True)
class ASAM(Climbing):
    """Adaptive sharpness-aware minimization (Kwon's scaling)."""

    preset = "asam"

    rho: float = 0.5
    """Radius in the scaled norm; not comparable with SAM's."""
    eta: float = 0.01
    """Added to the scale of every weight, so that weights at zero can move."""
    scaling: Literal["element", "filter", "layer"] = "element"
    """What shares one scale: each weight, each filter, or each layer."""
    scaled: Literal["weight", "all"] = "weight"
    """Which parameters are scaled: those named weight, or all of them."""
    objective: OutputBias | None = None
    """What the ascent increases; None is the loss."""


@dataclass(frozen=True)
class ASAMAfterNorm(Climbing):
    """Perturbation scaled once by the weights' magnitude, after the norm (the ViT runs of Vani et al.)."""

    preset = "asam_after_norm"

    rho: float = 0.5
    """Radius in units of the weights; not comparable with SAM's."""
    objective: OutputBias | None = None
    """What the ascent increases; None is the loss."""


@dataclass(frozen=True)
class ASAMBeforeNorm(Climbing):
    """Perturbation scaled once by the weights' magnitude, before the norm (the ResNet runs of Vani et al.)."""

    preset = "asam_before_norm"

    objective: OutputBias | None = None
    """What the ascent increases; None is the loss."""


@dataclass(frozen=True)
class GSAM(Climbing):
    """Surrogate-gap guided sharpness-aware minimization."""

    preset = "gsam"

    alpha: float = 0.4
    """Weight of the clean gradient's part orthogonal to the perturbed gradient."""
    backup: Literal["raw", "normalized"] = "raw"
    """Whether the orthogonal part is taken of the clean gradient, or of its direction."""
    objective: OutputBias | None = None
    """What the ascent increases, and whose gradient is decomposed; None is the loss."""


@dataclass(frozen=True)
class OBF(Climbing):
    """Output-bias forgetting: the ascent maximises a loss against biases of the outputs."""

    preset = "obf"

    threshold: float | None = None
    """Probability of the true class from which forgetting sets in; None is chance, 1 / number of classes."""
    gamma: float = 1.0
    """Largest weight of forgetting the prediction, 0 to 1."""
    link: Literal["softmax", "sigmoid"] = "softmax"
    """How logits become probabilities."""


@dataclass(frozen=True)
class Random(Radial):
    """A random perturbation of the same length: what SAM does without its direction."""

    preset = "random_perturbation"

    clean_statistics: bool = False
    """Whether a forward pass at the clean weights comes first, for the statistics of BatchNorm."""

    @property
    def added_gradients(self) -> float:
        """No gradient is needed for noise; a forward pass, where one comes first, counts as a third of one."""
        return self.clean_statistics / 3
