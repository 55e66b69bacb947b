"""Methods that perturb on some steps, for less than a gradient, or not at all; and several rounds on a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from samnesia.train.parts.checks import check_share, require
from samnesia.train.parts.presets import Radial, Training, Unperturbed
from samnesia.train.parts.standard import SAM
from samnesia.train.parts.when import Window


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
class _Held(Unperturbed):
    """No perturbation: outputs are held to older ones."""

    @property
    def waits(self) -> bool:
        """Yes: the divergence counts from the first perturbed step on."""
        return True

    def window(self, window: Window, total_steps: int) -> Window:
        """Return the steps from the first on; raises ConfigurationError for a run that leaves some out after it."""
        require(
            window.interval == 1 and (window.stop is None or window.stop >= total_steps),
            f"cannot leave out steps of {type(self).__name__} after it has begun, because its divergence counts from "
            "then on; use when.start_epoch alone",
        )
        return window

    def build(self, training: Training, **options: Any) -> Any:
        """Return the preset over the model and optimizer; the divergence counts from the first perturbed step on."""
        when = options.pop("when", None)
        return super().build(training, **options, **({} if when is None else {"start": when.start}))


@dataclass(frozen=True)
class MESA(_Held):
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


@dataclass(frozen=True)
class SAF(_Held):
    """No perturbation: outputs are held to those that the same sample had some epochs before."""

    preset = "saf"

    weight: float = 0.3
    """Weight of the divergence from those outputs next to the loss."""
    temperature: float = 5.0
    """By which outputs are divided before they are compared."""
    epochs: int = 3
    """How many visits of a sample lie between; the outputs of each are kept, and saved with the run."""

    def settings(self, training: Training) -> dict[str, Any]:
        """Return the arguments of the preset, with the number of samples."""
        require(
            training.num_samples is not None,
            "cannot hold samples to what was said of them before where they are mixed with each other, because a "
            "mixture is seen once; leave mixing out, or use mesa",
        )
        return super().settings(training) | {"num_samples": training.num_samples}


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


def _check_interval(k: int) -> None:
    require(k >= 1, f"cannot perturb on every {k}-th step, because an interval is at least 1; use 5, say")


def _without(settings: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != name}
