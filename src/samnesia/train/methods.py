"""The methods a run can be trained with, as configuration: one frozen dataclass per preset of :mod:`samnesia.perturb`.

A dataclass holds the preset's own options and builds it. It adds nothing to the method: formulas and sources stand in
the docstrings of the presets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from samnesia import PerturbedGradient


@dataclass(frozen=True)
class Unperturbed:
    """The base optimizer alone: one gradient per step."""

    def build(
        self, model: nn.Module, optimizer: Optimizer, loss: Callable[[Tensor, Tensor], Tensor], **options: Any
    ) -> PerturbedGradient:
        """Return :func:`samnesia.unperturbed` over the model and optimizer."""
        import samnesia

        return samnesia.unperturbed(model, optimizer, loss=loss, **options)


@dataclass(frozen=True)
class SAM:
    """Sharpness-aware minimization."""

    rho: float = 0.05
    """Radius: the length of the perturbation over all weights."""

    def build(
        self, model: nn.Module, optimizer: Optimizer, loss: Callable[[Tensor, Tensor], Tensor], **options: Any
    ) -> PerturbedGradient:
        """Return :func:`samnesia.sam` over the model and optimizer."""
        import samnesia

        return samnesia.sam(model, optimizer, rho=self.rho, loss=loss, **options)


@dataclass(frozen=True)
class ASAM:
    """Adaptive sharpness-aware minimization (Kwon's scaling)."""

    rho: float = 0.5
    """Radius in the scaled norm; not comparable with SAM's."""
    eta: float = 0.01
    """Added to the scale of every weight, so that weights at zero can move."""
    scaling: Literal["element", "filter", "layer"] = "element"
    """What shares one scale: each weight, each filter, or each layer."""
    scaled: Literal["weight", "all"] = "weight"
    """Which parameters are scaled: those named weight, or all of them."""

    def build(
        self, model: nn.Module, optimizer: Optimizer, loss: Callable[[Tensor, Tensor], Tensor], **options: Any
    ) -> PerturbedGradient:
        """Return :func:`samnesia.asam` over the model and optimizer."""
        import samnesia

        return samnesia.asam(
            model,
            optimizer,
            rho=self.rho,
            eta=self.eta,
            scaling=self.scaling,
            scaled=self.scaled,
            loss=loss,
            **options,
        )


@dataclass(frozen=True)
class GSAM:
    """Surrogate-gap guided sharpness-aware minimization."""

    rho: float = 0.05
    """Radius: the length of the perturbation over all weights."""
    alpha: float = 0.4
    """Weight of the clean gradient's part orthogonal to the perturbed gradient."""
    backup: Literal["raw", "normalized"] = "raw"
    """Whether the orthogonal part is taken of the clean gradient, or of its direction."""

    def build(
        self, model: nn.Module, optimizer: Optimizer, loss: Callable[[Tensor, Tensor], Tensor], **options: Any
    ) -> PerturbedGradient:
        """Return :func:`samnesia.gsam` over the model and optimizer."""
        import samnesia

        return samnesia.gsam(model, optimizer, rho=self.rho, alpha=self.alpha, backup=self.backup, loss=loss, **options)


@dataclass(frozen=True)
class OBF:
    """Output-bias forgetting: the ascent maximises a loss against biases of the outputs."""

    rho: float = 0.05
    """Radius: the length of the perturbation over all weights."""
    threshold: float | None = None
    """Probability of the true class from which forgetting sets in; None is chance, 1 / number of classes."""
    gamma: float = 1.0
    """Largest weight of forgetting the prediction, 0 to 1."""
    link: Literal["softmax", "sigmoid"] = "softmax"
    """How logits become probabilities."""

    def build(
        self, model: nn.Module, optimizer: Optimizer, loss: Callable[[Tensor, Tensor], Tensor], **options: Any
    ) -> PerturbedGradient:
        """Return :func:`samnesia.obf` over the model and optimizer."""
        import samnesia

        return samnesia.obf(
            model,
            optimizer,
            rho=self.rho,
            loss=loss,
            threshold=self.threshold,
            gamma=self.gamma,
            link=self.link,
            **options,
        )


@dataclass(frozen=True)
class Random:
    """A random perturbation of the same length: what SAM does without its direction."""

    rho: float = 0.05
    """Radius: the length of the perturbation over all weights."""
    clean_statistics: bool = False
    """Whether a forward pass at the clean weights comes first, for the statistics of BatchNorm."""

    def build(
        self, model: nn.Module, optimizer: Optimizer, loss: Callable[[Tensor, Tensor], Tensor], **options: Any
    ) -> PerturbedGradient:
        """Return :func:`samnesia.random_perturbation` over the model and optimizer."""
        import samnesia

        return samnesia.random_perturbation(
            model, optimizer, rho=self.rho, clean_statistics=self.clean_statistics, loss=loss, **options
        )


Method = Unperturbed | SAM | ASAM | GSAM | OBF | Random

METHODS: dict[str, type[Method]] = {
    "sgd": Unperturbed,
    "sam": SAM,
    "asam": ASAM,
    "gsam": GSAM,
    "obf": OBF,
    "random": Random,
}
"""Name of a method on the command line, in recipes and in results."""


def method_name(method: Method) -> str:
    """Return the name under which the method stands in results."""
    return next(name for name, kind in METHODS.items() if type(method) is kind)
