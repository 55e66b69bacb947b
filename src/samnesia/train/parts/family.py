"""The rest of the family: other directions, other balls, other rules; and baselines without a perturbation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from samnesia.train.parts.checks import require
from samnesia.train.parts.presets import Climbing, Radial, Training, Unperturbed

# -- other directions and other balls ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class FriendlySAM(Radial):
    """SAM along what a gradient has beyond the average of the last ones."""

    preset = "friendly_sam"

    rho: float = 0.1
    """Radius: the length of the perturbation over all weights."""
    sigma: float = 1.0
    """How much of the average is taken off."""
    decay: float = 0.9
    """Share of the average that stays on each step."""


@dataclass(frozen=True)
class VaSSO(Radial):
    """SAM along an average of the last gradients."""

    preset = "vasso"

    theta: float = 0.4
    """Share of the new gradient in the average; 1 is SAM."""


@dataclass(frozen=True)
class FisherSAM(Climbing):
    """SAM in a ball of the diagonal Fisher information."""

    preset = "fisher_sam"

    rho: float = 0.005
    """Radius in units of the distributions that the model tells; not comparable with SAM's."""
    damping: float = 0.01
    """Added to the squared gradient."""


@dataclass(frozen=True)
class SparseSAM(Radial):
    """SAM of the weights with the largest Fisher information."""

    preset = "sparse_sam"

    sparsity: float = 0.5
    """Share of the weights that is not perturbed."""
    refresh: int = 100
    """Steps after which they are chosen anew."""


@dataclass(frozen=True)
class SAMON(Climbing):
    """SAM of the parameters of normalization layers alone."""

    preset = "sam_on"

    rho: float = 0.5
    """Radius: the length of the perturbation over those parameters."""
    eta: float | None = None
    """Perturb each of them in proportion to its magnitude plus this; None is SAM on them."""


@dataclass(frozen=True)
class RWP(Radial):
    """The gradient at randomly perturbed weights mixed with that at the weights."""

    preset = "rwp"

    rho: float = 0.01
    """Length of the noise as a share of each output unit's norm; not comparable with SAM's."""
    share: float = 0.5
    """Share of the perturbed gradient."""


@dataclass(frozen=True)
class FilterSAM(Climbing):
    """SAM whose radius is relative to the norm of each filter or neuron."""

    preset = "filter_sam"

    rho: float = 0.025
    """Radius as a share of each output unit's norm; not comparable with SAM's."""


@dataclass(frozen=True)
class LinfSAM(Climbing):
    """SAM in the maximum norm: each weight moves by the radius."""

    preset = "linf_sam"

    rho: float = 5e-4
    """Radius: how far each weight moves; not comparable with SAM's."""


@dataclass(frozen=True)
class GCSAM(Climbing):
    """SAM with centralized gradients."""

    preset = "gcsam"


@dataclass(frozen=True)
class ZSharp(Climbing):
    """SAM along the outliers of each layer's gradient."""

    preset = "zsharp"

    share: float = 0.05
    """Share of each tensor's gradient that is kept."""


@dataclass(frozen=True)
class LESAM(Climbing):
    """SAM by a fixed rise of the linearized loss in place of a fixed radius."""

    preset = "le_sam"

    rho: float = 0.5
    """Largest radius."""
    sigma: float = 0.35
    """Rise of the linearized loss, in units of the loss."""


# -- other rules -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WSAM(Climbing):
    """SAM with sharpness as a term of its own weight."""

    preset = "wsam"

    gamma: float = 0.9
    """Weight of sharpness is gamma / (1 - gamma): 0 is the base optimizer, 1/2 is SAM."""
    decoupled: bool = True
    """Step along the difference of the gradients apart from the base optimizer."""


@dataclass(frozen=True)
class StableSAM(Climbing):
    """SAM's gradient at the length of the clean one."""

    preset = "stable_sam"


@dataclass(frozen=True)
class FunctionalSAM(Climbing):
    """SAM of the network's functions: the loss derivative stays that of the unperturbed outputs."""

    preset = "functional_sam"


@dataclass(frozen=True)
class GradientNormPenalty(Radial):
    """The norm of the gradient as a penalty: the perturbed gradient mixed with the clean one."""

    preset = "gradient_norm_penalty"

    share: float = 0.8
    """Share of the perturbed gradient; the penalty's weight is this times rho, and 1 is SAM."""


@dataclass(frozen=True)
class _ByClass(Radial):
    """A perturbation for the loss of some classes; that of the others is trained at the weights."""

    @property
    def added_gradients(self) -> float:
        """The gradient of the others' loss, and that of the ascent."""
        return 2.0

    def settings(self, training: Training) -> dict[str, Any]:
        """Return the arguments of the preset, with the loss of each sample."""
        require(
            training.losses is not None,
            "cannot tell the losses of classes apart in a loss of your own, because only its mean over a batch is "
            "known; use one of the losses that there are",
        )
        return super().settings(training) | {"per_sample": training.losses}


@dataclass(frozen=True)
class ImbSAM(_ByClass):
    """SAM for the loss of rare classes alone."""

    preset = "imbsam"

    tail: tuple[int, ...] = ()
    """The classes that are perturbed; none named are the rarer half of them, by their training samples."""

    def settings(self, training: Training) -> dict[str, Any]:
        """Return the arguments of the preset, with the rare classes."""
        counts = _counts(training)
        rarest = sorted(range(len(counts)), key=lambda number: (counts[number], number))
        tail = self.tail or tuple(sorted(rarest[: len(counts) // 2]))
        return super().settings(training) | {"tail": tail, "num_classes": len(counts)}


@dataclass(frozen=True)
class FocalSAM(_ByClass):
    """SAM of a loss in which classes count the more the rarer they are."""

    preset = "focal_sam"

    gamma: float = 1.0
    """How much frequent classes are spared; 0 not at all."""
    share: float = 1.0
    """Share of that loss that is perturbed."""

    def settings(self, training: Training) -> dict[str, Any]:
        """Return the arguments of the preset, with the training samples of each class."""
        return super().settings(training) | {"class_shares": tuple(map(float, _counts(training)))}


# -- baselines without a perturbation ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lookahead(Unperturbed):
    """Slow weights that follow the base optimizer's on every k-th step."""

    preset = "lookahead"

    k: int = 5
    """Steps after which they follow."""
    alpha: float = 0.5
    """How far, above 0 to 1."""


@dataclass(frozen=True)
class ShrinkAndPerturb(Unperturbed):
    """A small step back to the initial weights after each step of the base optimizer."""

    preset = "shrink_and_perturb"

    share: float = 1e-5
    """How far back at the highest learning rate, in proportion to it elsewhere."""

    def settings(self, training: Training) -> dict[str, Any]:
        """Return the arguments of the preset, with the highest learning rate."""
        return super().settings(training) | {"base_lr": training.lr_max}


def _counts(training: Training) -> tuple[int, ...]:
    require(
        training.class_counts is not None,
        "cannot tell rare classes from frequent ones, because the training samples are not known to have one class "
        "each; use a data set with labels, or another method",
    )
    return tuple(training.class_counts or ())
