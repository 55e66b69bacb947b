"""What all methods of a run have in common: their fields are the arguments of a preset of :mod:`samnesia`.

A dataclass says nothing of the method itself: formulas and sources stand in the docstrings of the presets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from samnesia.train.parts.checks import require
from samnesia.train.parts.when import Window

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from samnesia import PerturbedGradient
    from samnesia.perturb.parts.objectives import Criterion
    from samnesia.perturb.parts.schedules import Radius


@dataclass(frozen=True)
class Training:
    """What a method is built for: the model and its optimizer, the loss, and what some methods ask of the run."""

    model: nn.Module
    optimizer: Optimizer
    loss: Callable[[Tensor, Tensor], Tensor]
    lr_min: float
    lr_max: float
    losses: Callable[[Tensor, Tensor], Tensor] | None = None
    """The loss of each sample, whose mean ``loss`` is; None where that is not known."""
    class_counts: Sequence[int] | None = None
    """Training samples of each class; None where the targets are no classes, or not known beforehand."""
    total_steps: int | None = None
    """Optimizer steps of the run."""
    num_samples: int | None = None
    """Training samples; None where they have no identity, being mixed with each other."""


@dataclass(frozen=True)
class OutputBias:
    """The objective of output-bias forgetting, for the ascent of any method."""

    threshold: float | None = None
    """Probability of the true class from which forgetting sets in; None is chance, 1 / number of classes."""
    gamma: float = 1.0
    """Largest weight of forgetting the prediction, 0 to 1."""
    link: Literal["softmax", "sigmoid"] = "softmax"
    """How logits become probabilities."""

    def build(self) -> Criterion:
        """Return the objective."""
        import samnesia

        return samnesia.OutputBiasForgetting(threshold=self.threshold, gamma=self.gamma, link=self.link)


@dataclass(frozen=True)
class Preset:
    """A method whose fields are the arguments of a preset."""

    preset: ClassVar[str]
    """The preset's name in :mod:`samnesia`."""

    @property
    def added_gradients(self) -> float:
        """Gradient evaluations of a perturbed step beyond the one of a plain step.

        They count by their samples, and a forward pass alone as a third of one.
        """
        return 1.0

    @property
    def waits(self) -> bool:
        """Whether it begins with the first step on which the run lets it."""
        return True

    def window(self, window: Window, total_steps: int) -> Window:
        """Return the steps on which the method perturbs, of those on which the run lets it."""
        return window

    def settings(self, training: Training) -> dict[str, Any]:
        """Return the arguments of the preset beside model, optimizer and loss."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value.build() if isinstance(value, OutputBias) else value for name, value in values.items()}

    def build(self, training: Training, **options: Any) -> PerturbedGradient:
        """Return the preset over the model and optimizer."""
        import samnesia

        arguments = {"loss": training.loss, **self.settings(training), **options}
        method: PerturbedGradient = getattr(samnesia, self.preset)(training.model, training.optimizer, **arguments)
        return method


@dataclass(frozen=True)
class Unperturbed(Preset):
    """The base optimizer alone: one gradient per step."""

    preset = "unperturbed"

    @property
    def added_gradients(self) -> float:
        """None, as no step is perturbed."""
        return 0.0

    @property
    def waits(self) -> bool:
        """No, as there is nothing to begin."""
        return False


@dataclass(frozen=True)
class Radial(Preset):
    """What every perturbation has: a radius, constant or proportional to the learning rate."""

    rho: float = 0.05
    """Radius: the length of the perturbation over all weights."""
    rho_min: float | None = None
    """Radius at the lowest learning rate of the run, in proportion between; None keeps rho."""

    def __post_init__(self) -> None:
        require(
            self.rho_min is None or self.rho_min <= self.rho,
            f"cannot lower the radius from {self.rho} to {self.rho_min}, because that is no less; use a rho_min of at "
            "most rho, or None for a constant radius",
        )

    def settings(self, training: Training) -> dict[str, Any]:
        """Return the arguments of the preset, with one radius for both."""
        settings = super().settings(training)
        del settings["rho_min"]
        return settings | {"rho": self._radius(training)}

    def _radius(self, training: Training) -> float | Radius:
        """Constant, or from rho at the highest learning rate down to rho_min at the lowest."""
        if self.rho_min is None:
            return self.rho
        import samnesia

        return samnesia.proportional_to_lr(self.rho_min, self.rho, training.lr_min, training.lr_max)


@dataclass(frozen=True)
class Climbing(Radial):
    """A perturbation that may be found in several steps, each along the gradient where the one before has arrived."""

    steps: int = 1
    """Ascent steps, of rho / steps each."""

    @property
    def added_gradients(self) -> float:
        """A gradient for each ascent step."""
        return float(self.steps)
