"""The methods a run can be trained with, as configuration: one frozen dataclass per preset of :mod:`samnesia.perturb`.

A dataclass holds the preset's own options and builds it. It adds nothing to the method: formulas and sources stand in
the docstrings of the presets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from samnesia import PerturbedGradient
    from samnesia.perturb.objectives import Criterion
    from samnesia.perturb.schedules import Radius


@dataclass(frozen=True)
class Training:
    """What a method is built for: the model and its optimizer, the loss, and the range of the learning rate."""

    model: nn.Module
    optimizer: Optimizer
    loss: Callable[[Tensor, Tensor], Tensor]
    lr_min: float
    lr_max: float


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


def _radius(rho: float, rho_min: float | None, training: Training) -> float | Radius:
    """Constant, or from rho at the highest learning rate down to rho_min at the lowest."""
    if rho_min is None:
        return rho
    import samnesia

    return samnesia.proportional_to_lr(rho_min, rho, training.lr_min, training.lr_max)


def _options(objective: OutputBias | None, training: Training, options: dict[str, Any]) -> dict[str, Any]:
    return {"loss": training.loss, "objective": None if objective is None else objective.build(), **options}


@dataclass(frozen=True)
class Unperturbed:
    """The base optimizer alone: one gradient per step."""

    @property
    def added_gradients(self) -> float:
        """Gradient evaluations of a perturbed step beyond the one of a plain step: none, as no step is perturbed."""
        return 0.0

    def build(self, training: Training, **options: Any) -> PerturbedGradient:
        """Return :func:`samnesia.unperturbed` over the model and optimizer."""
        import samnesia

        return samnesia.unperturbed(training.model, training.optimizer, loss=training.loss, **options)


@dataclass(frozen=True)
class Radial:
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

    @property
    def added_gradients(self) -> float:
        """Gradient evaluations of a perturbed step beyond the one of a plain step: that of the ascent."""
        return 1.0


@dataclass(frozen=True)
class SAM(Radial):
    """Sharpness-aware minimization."""

    def build(self, training: Training, **options: Any) -> PerturbedGradient:
        """Return :func:`samnesia.sam` over the model and optimizer."""
        import samnesia

        rho = _radius(self.rho, self.rho_min, training)
        return samnesia.sam(training.model, training.optimizer, rho=rho, loss=training.loss, **options)


@dataclass(frozen=True)
class LayerSAM(Radial):
    """SAM whose radius is relative to the norm of each layer."""

    rho: float = 0.025
    """Radius as a share of each parameter tensor's norm; not comparable with SAM's."""

    def build(self, training: Training, **options: Any) -> PerturbedGradient:
        """Return :func:`samnesia.perturb.methods.layerwise.layer_sam` over the model and optimizer."""
        from samnesia.perturb.methods.layerwise import layer_sam

        rho = _radius(self.rho, self.rho_min, training)
        return layer_sam(training.model, training.optimizer, rho=rho, loss=training.loss, **options)


@dataclass(frozen=True)
class ASAM(Radial):
    """Adaptive sharpness-aware minimization (Kwon's scaling)."""

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

    def build(self, training: Training, **options: Any) -> PerturbedGradient:
        """Return :func:`samnesia.asam` over the model and optimizer."""
        import samnesia

        return samnesia.asam(
            training.model,
            training.optimizer,
            rho=_radius(self.rho, self.rho_min, training),
            eta=self.eta,
            scaling=self.scaling,
            scaled=self.scaled,
            **_options(self.objective, training, options),
        )


@dataclass(frozen=True)
class ASAMAfterNorm(Radial):
    """Perturbation scaled once by the weights' magnitude, after the norm (the ViT runs of Vani et al.)."""

    rho: float = 0.5
    """Radius in units of the weights; not comparable with SAM's."""
    objective: OutputBias | None = None
    """What the ascent increases; None is the loss."""

    def build(self, training: Training, **options: Any) -> PerturbedGradient:
        """Return :func:`samnesia.asam_after_norm` over the model and optimizer."""
        import samnesia

        rho = _radius(self.rho, self.rho_min, training)
        options = _options(self.objective, training, options)
        return samnesia.asam_after_norm(training.model, training.optimizer, rho=rho, **options)


@dataclass(frozen=True)
class ASAMBeforeNorm(Radial):
    """Perturbation scaled once by the weights' magnitude, before the norm (the ResNet runs of Vani et al.)."""

    objective: OutputBias | None = None
    """What the ascent increases; None is the loss."""

    def build(self, training: Training, **options: Any) -> PerturbedGradient:
        """Return :func:`samnesia.asam_before_norm` over the model and optimizer."""
        import samnesia

        rho = _radius(self.rho, self.rho_min, training)
        options = _options(self.objective, training, options)
        return samnesia.asam_before_norm(training.model, training.optimizer, rho=rho, **options)


@dataclass(frozen=True)
class GSAM(Radial):
    """Surrogate-gap guided sharpness-aware minimization."""

    alpha: float = 0.4
    """Weight of the clean gradient's part orthogonal to the perturbed gradient."""
    backup: Literal["raw", "normalized"] = "raw"
    """Whether the orthogonal part is taken of the clean gradient, or of its direction."""
    objective: OutputBias | None = None
    """What the ascent increases, and whose gradient is decomposed; None is the loss."""

    def build(self, training: Training, **options: Any) -> PerturbedGradient:
        """Return :func:`samnesia.gsam` over the model and optimizer."""
        import samnesia

        return samnesia.gsam(
            training.model,
            training.optimizer,
            rho=_radius(self.rho, self.rho_min, training),
            alpha=self.alpha,
            backup=self.backup,
            **_options(self.objective, training, options),
        )


@dataclass(frozen=True)
class OBF(Radial):
    """Output-bias forgetting: the ascent maximises a loss against biases of the outputs."""

    threshold: float | None = None
    """Probability of the true class from which forgetting sets in; None is chance, 1 / number of classes."""
    gamma: float = 1.0
    """Largest weight of forgetting the prediction, 0 to 1."""
    link: Literal["softmax", "sigmoid"] = "softmax"
    """How logits become probabilities."""

    def build(self, training: Training, **options: Any) -> PerturbedGradient:
        """Return :func:`samnesia.obf` over the model and optimizer."""
        import samnesia

        return samnesia.obf(
            training.model,
            training.optimizer,
            rho=_radius(self.rho, self.rho_min, training),
            loss=training.loss,
            threshold=self.threshold,
            gamma=self.gamma,
            link=self.link,
            **options,
        )


@dataclass(frozen=True)
class Random(Radial):
    """A random perturbation of the same length: what SAM does without its direction."""

    clean_statistics: bool = False
    """Whether a forward pass at the clean weights comes first, for the statistics of BatchNorm."""

    @property
    def added_gradients(self) -> float:
        """No gradient is needed for noise; a forward pass, where one comes first, counts as a third of one."""
        return self.clean_statistics / 3

    def build(self, training: Training, **options: Any) -> PerturbedGradient:
        """Return :func:`samnesia.random_perturbation` over the model and optimizer."""
        import samnesia

        return samnesia.random_perturbation(
            training.model,
            training.optimizer,
            rho=_radius(self.rho, self.rho_min, training),
            clean_statistics=self.clean_statistics,
            loss=training.loss,
            **options,
        )


Method = Unperturbed | SAM | LayerSAM | ASAM | ASAMAfterNorm | ASAMBeforeNorm | GSAM | OBF | Random

METHODS: dict[str, type[Method]] = {
    "sgd": Unperturbed,
    "sam": SAM,
    "layer-sam": LayerSAM,
    "asam": ASAM,
    "asam-after": ASAMAfterNorm,
    "asam-before": ASAMBeforeNorm,
    "gsam": GSAM,
    "obf": OBF,
    "random": Random,
}
"""Name of a method on the command line, in recipes and in results."""


def method_name(method: Method) -> str:
    """Return the name under which the method stands in results; an objective of its own is named after it."""
    name = next(name for name, kind in METHODS.items() if type(method) is kind)
    return name if getattr(method, "objective", None) is None else f"{name}-obf"
