"""The rest of the family: what costs less, perturbs along another direction, or steps by another rule; baselines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from samnesia.train.parts.checks import check_share, require
from samnesia.train.parts.presets import Climbing, Radial, Training, Unperturbed
from samnesia.train.parts.standard import SAM
from samnesia.train.parts.when import Window

# -- cheaper than two gradients per step -------------------------------------------------------------------------------


@dataclass(frozen=True)
class IntervalSAM(SAM):
    """SAM on every k-th step, the base optimizer between."""

    k: int = 10
    """Steps from one perturbed step to the next, counted from the start of the run."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_interval(self.k)

    def window(self, window: Window, total_steps: int) -> Window:
        """Return every k-th step."""
        return window.every(self.k)

    def settings(self, training: Training) -> dict[str, Any]:
        """Return SAM's arguments: its schedule is the run's."""
        return _without(super().settings(training), "k")


@dataclass(frozen=True)
class LateSAM(SAM):
    """SAM in the last part of the run, the base optimizer before."""

    start: float = 0.875
    """Share of the run's steps before the first perturbed one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(self.start, "leave the perturbation out of")

    def window(self, window: Window, total_steps: int) -> Window:
        """Return the last steps."""
        return window.after(self.start, total_steps)

    def settings(self, training: Training) -> dict[str, Any]:
        """Return SAM's arguments: its schedule is the run's."""
        return _without(super().settings(training), "start")


@dataclass(frozen=True)
class LookSAM(Radial):
    """SAM on every k-th step, whose direction serves the steps between."""

    preset = "looksam"

    k: int = 5
    """Steps from one perturbed step to the next, counted from the start of the run."""
    alpha: float = 0.7
    """Length of the direction that is used again, next to that of the gradient."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_interval(self.k)

    def window(self, window: Window, total_steps: int) -> Window:
        """Return every k-th step; raises ConfigurationError for a run that stops perturbing, which this cannot."""
        require(
            window.stop is None or window.stop >= total_steps,
            "cannot end the perturbation of LookSAM before the run, because its last direction would serve all steps "
            "that follow; leave when.stop_epoch out",
        )
        return window.every(self.k)


@dataclass(frozen=True)
class AESAM(Radial):
    """SAM where the gradient is large among the last ones, the base optimizer elsewhere."""

    preset = "ae_sam"

    delta: float = 0.9
    """Share that the averages of the squared gradient norm and of its variance keep on each step."""
    lambda_1: float = -1.0
    """Threshold at the last step, in standard deviations."""
    lambda_2: float = 1.0
    """Threshold at the first step, in standard deviations."""

    @property
    def added_gradients(self) -> float:
        """About half a gradient: an estimate, as the gradients decide which steps are perturbed."""
        return 0.5

    def settings(self, training: Training) -> dict[str, Any]:
        """Return the arguments of the preset, with the number of steps of the run."""
        return super().settings(training) | {"total_steps": training.total_steps}


@dataclass(frozen=True)
class ESAM(Radial):
    """SAM along a random part of the gradient, stepped on the samples whose loss rises most."""

    preset = "esam"

    beta: float = 0.6
    """Share of the weights that is perturbed, drawn anew for each step."""
    share: float = 0.5
    """Share of the samples that the step is computed on; 1 is all of them."""
    per: Literal["entry", "tensor"] = "entry"
    """What is drawn: single weights, or parameter tensors."""

    @property
    def added_gradients(self) -> float:
        """A gradient on the selected samples, and the forward pass by which they are found."""
        return self.share + (1 / 3 if self.share < 1.0 else 0.0)

    def settings(self, training: Training) -> dict[str, Any]:
        """Return the arguments of the preset, with a selection by the loss that is trained."""
        import samnesia

        settings = super().settings(training)
        if self.share == 1.0:
            return settings
        require(
            training.losses is not None,
            "cannot select samples by their losses with a loss of your own, because only its mean over a batch is "
            "known; use share 1, or one of the losses that there are",
        )
        return settings | {"selection": samnesia.LargestRise(share=self.share, per_sample=training.losses)}  # type: ignore[arg-type]


@dataclass(frozen=True)
class MomentumSAM(Radial):
    """The gradient ahead: the perturbation follows the base optimizer's momentum and costs no gradient."""

    preset = "momentum_sam"

    rho: float = 3.0
    """Radius: the length of the perturbation over all weights; not comparable with SAM's."""

    @property
    def added_gradients(self) -> float:
        """None: the direction is known."""
        return 0.0


@dataclass(frozen=True)
class MESA(Unperturbed):
    """No perturbation: outputs are held to those at a moving average of the weights."""

    preset = "mesa"

    weight: float = 0.8
    """Weight of the divergence from those outputs next to the loss."""
    temperature: float = 5.0
    """By which outputs are divided before they are compared."""
    decay: float = 0.995
    """Share of the average that stays on each step."""

    @property
    def added_gradients(self) -> float:
        """A forward pass at the average."""
        return 1 / 3

    def window(self, window: Window, total_steps: int) -> Window:
        """Return the steps from the first on; raises ConfigurationError for a run that leaves some out after it."""
        require(
            window.interval == 1 and (window.stop is None or window.stop >= total_steps),
            "cannot leave out steps of MESA after it has begun, because its divergence counts from then on; use "
            "when.start_epoch alone",
        )
        return window

    def build(self, training: Training, **options: Any) -> Any:
        """Return the preset over the model and optimizer; the divergence counts from the first perturbed step on."""
        when = options.pop("when", None)
        return super().build(training, **options, **({} if when is None else {"start": when.start}))


# -- several steps on a batch ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lookbehind(Radial):
    """k rounds of SAM on a batch, and a step of the slow weights towards what they arrive at."""

    preset = "lookbehind"

    k: int = 2
    """Rounds on a batch."""
    alpha: float | None = None
    """How far the slow weights go, above 0 to 1; None adapts it to how well the rounds agree, for each tensor."""
    reuse: bool = False
    """Take the gradient of each round's step for the ascent of the next as well."""

    @property
    def added_gradients(self) -> float:
        """Two gradients in each of k rounds, or one and that of the first ascent."""
        return float(self.k if self.reuse else 2 * self.k - 1)


@dataclass(frozen=True)
class LookbehindASAM(Lookbehind):
    """k rounds of ASAM on a batch, and a step of the slow weights towards what they arrive at."""

    rho: float = 0.5
    """Radius in the scaled norm; not comparable with SAM's."""
    eta: float = 0.0
    """Added to the scale of every weight, so that weights at zero can move; its authors have 0."""

    def settings(self, training: Training) -> dict[str, Any]:
        """Return the arguments of the preset, with ASAM's ball."""
        import samnesia

        ball = samnesia.Ball(scaling=samnesia.ElementScaling(eta=self.eta))
        return _without(super().settings(training), "eta") | {"ball": ball}


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


def _check_interval(k: int) -> None:
    require(k >= 1, f"cannot perturb on every {k}-th step, because an interval is at least 1; use 5, say")


def _counts(training: Training) -> tuple[int, ...]:
    require(
        training.class_counts is not None,
        "cannot tell rare classes from frequent ones, because the training samples are not known to have one class "
        "each; use a data set with labels, or another method",
    )
    return tuple(training.class_counts or ())


def _without(settings: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != name}
