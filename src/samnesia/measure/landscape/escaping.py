"""How fast a method leaves a minimum: the growth of the loss from step to step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from samnesia.measure.batches import Batch
from samnesia.measure.estimate import Estimate, plain
from samnesia.measure.landscape.heights import height
from samnesia.measure.subject import Criterion, Subject
from samnesia.perturb.errors import ConfigurationError, UnsupportedError
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.methods.sam import sam, unperturbed

_EXPONENTIAL = 0.9  # R² of the logarithm's straight line, below which a rate says little


class Method(Protocol):
    """Makes a method of the family, as ``samnesia.sam`` and its kin do."""

    def __call__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, rho: float, *, loss: Criterion, seed: int
    ) -> PerturbedGradient:
        """For a model, an optimizer and a radius."""


@dataclass(frozen=True, slots=True)
class Growth:
    """The loss under one method.

    Attributes:
        label: the method.
        losses: ``losses[r][t]``, over all samples, after t steps of repeat r; NaN from where it, or a gradient, was
            not finite.
        rate: r in ``L_t - floor ~ exp(r t)``, by least squares on the logarithm, mean over repeats; NaN where fewer
            than two losses are above the floor.
        fit: share of the logarithm's variance that the exponential explains (R²), mean over repeats.
    """

    label: str
    losses: tuple[tuple[float, ...], ...]
    rate: Estimate
    fit: float

    def __str__(self) -> str:
        """Rate, factor per step and quality of fit."""
        factor = math.exp(self.rate.value)
        last = np.mean([one[-1] for one in self.losses])
        return (
            f"{self.label}: growth rate {self.rate} per step (factor {factor:.4g}), R² {self.fit:.3f}, "
            f"loss {self.losses[0][0]:.4g} -> {last:.4g}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "label": self.label,
            "losses": [[plain(loss) for loss in one] for one in self.losses],
            "rate": self.rate.as_dict(),
            "fit": plain(self.fit),
        }


@dataclass(frozen=True, slots=True)
class Escape:
    """What :func:`escape` found.

    Attributes:
        perturbed: under the method.
        control: under the same steps without a perturbation (SGD), on the same batches.
        gain: how much larger the method's rate is, repeat by repeat.
        rho: radius of the method, in its own convention.
        lr: learning rate of the steps.
        steps: how many.
        window: first and last step of the fit.
        floor: what was taken off the loss before the logarithm.
        statistics: by what normalization layers normalized.
        samples: how many samples the losses are means over.
    """

    perturbed: Growth
    control: Growth
    gain: Estimate
    rho: float
    lr: float
    steps: int
    window: tuple[int, int]
    floor: float
    statistics: str
    samples: int

    def __str__(self) -> str:
        """Both rates and their difference."""
        return "\n".join(
            (
                f"Escape in {self.steps} steps at learning rate {self.lr:g}, {self.gain.count} repeats; fitted over "
                f"steps {self.window[0]} to {self.window[1]} of the loss above {self.floor:g}",
                str(self.perturbed),
                str(self.control),
                f"difference of the rates {self.gain} per step",
                *self._doubts(),
                f"{self.samples} samples; {self.statistics}.",
            )
        )

    def _doubts(self) -> Iterator[str]:
        for growth in (self.perturbed, self.control):
            if growth.fit < _EXPONENTIAL:
                yield f"Doubt: the loss under {growth.label} is no exponential here; look at it, or fit a window."

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "perturbed": self.perturbed.as_dict(),
            "control": self.control.as_dict(),
            "gain": self.gain.as_dict(),
            "rho": self.rho,
            "lr": self.lr,
            "steps": self.steps,
            "window": list(self.window),
            "floor": self.floor,
            "statistics": self.statistics,
            "samples": self.samples,
        }


def escape(
    subject: Subject,
    method: Method = sam,
    *,
    rho: float = 0.05,
    lr: float = 1e-3,
    steps: int = 50,
    repeats: int = 5,
    seed: int = 0,
    window: tuple[int, int] | None = None,
    floor: float = 0.0,
) -> Escape:
    r"""The escape experiment of Zhou et al., ICLR 2025 (methods.md §6): steps of SAM from a minimum that SGD found.

    From the subject's weights, ``steps`` steps of plain SGD (no momentum, no decay) with the method's gradient, one
    batch of the subject each, in an order drawn anew for each repeat; after each step the loss over all samples. As a
    control the same steps on the same batches without a perturbation. If the minimum is too sharp for the method, the
    loss grows exponentially, and sooner than under SGD. These are true steps: the authors' released script only walked
    along the perturbation.

    The model steps as it is measured: without dropout, normalization layers as the subject says. Its weights,
    gradients and buffers are put back afterwards, bit by bit. All batches are held in memory. Costs, per repeat and
    method, one pass for each step's loss, and the gradients of one batch for each step.

    Args:
        subject: at a minimum, in one process; batches of the size that is meant to share a perturbation.
        method: makes the method: ``samnesia.sam``, ``samnesia.asam`` …, or one with other options
            (``functools.partial(samnesia.sam, steps=2)``).
        rho: the method's radius, in its own convention.
        lr: learning rate of the steps; 1e-3 is Zhou's.
        steps: how many; 50 is Zhou's.
        repeats: how often, each with its own order of batches; with a single batch all are the same, unless the method
            draws random numbers.
        seed: of the orders, and of the method.
        window: first and last step over which the growth is fitted; None takes all.
        floor: the loss that cannot be left, taken off before the logarithm.

    Raises:
        ConfigurationError: for numbers out of range, or a loss that is not finite.
        UnsupportedError: for a subject over several processes, or weights that are sharded.
    """
    window = (0, steps) if window is None else window
    _check(subject, lr, steps, repeats, window)
    passes = 2 * repeats * steps + 2
    with subject.looking(), subject.counting("escape", passes):
        batches, start = list(subject.batches()), subject.loss()
        orders = _orders(len(batches), steps, repeats, seed)
        taken = [[batches[i] for i in order] for order in orders]
        makers: dict[str, Callable[..., PerturbedGradient]] = {
            f"{_name(method)}, rho = {rho:g}": partial(method, rho=rho),
            "SGD": unperturbed,
        }
        runs = {
            label: [(start, *_losses(subject, make, lr, some, seed + i)) for i, some in enumerate(taken)]
            for label, make in makers.items()
        }
    fits = {label: [fit_growth(one, window, floor) for one in found] for label, found in runs.items()}
    perturbed, control = (_growth(label, runs[label], fits[label]) for label in makers)
    gains = [a - b for (a, _), (b, _) in zip(fits[perturbed.label], fits[control.label], strict=True)]
    return Escape(
        perturbed=perturbed,
        control=control,
        gain=Estimate.of(gains),
        rho=rho,
        lr=lr,
        steps=steps,
        window=window,
        floor=floor,
        statistics=subject.statistics.describe(subject.model),
        samples=subject.samples,
    )


def fit_growth(losses: Sequence[float], window: tuple[int, int], floor: float = 0.0) -> tuple[float, float]:
    """Slope of ``log(L_t - floor)`` over t by least squares, and R²; NaN for fewer than two losses above the floor."""
    first, last = window
    points = [
        (t, math.log(losses[t] - floor))
        for t in range(first, last + 1)
        if math.isfinite(losses[t]) and losses[t] > floor
    ]
    if len(points) < 2:
        return math.nan, math.nan
    t, logs = np.array(points).T
    slope, offset = np.polyfit(t, logs, 1)
    spread = float(np.var(logs))
    return float(slope), 1.0 - float(np.mean((logs - slope * t - offset) ** 2)) / spread if spread else 1.0


def _losses(
    subject: Subject, make: Callable[..., PerturbedGradient], lr: float, batches: Sequence[Batch], seed: int
) -> Iterator[float]:
    """The loss after each step, inside ``subject.looking()``."""
    with _stepping(subject):
        optimizer = torch.optim.SGD(subject.parameters, lr=lr)
        method = make(subject.model, optimizer, loss=subject.criterion, seed=seed)
        loss = 0.0
        for batch in batches:
            if math.isfinite(loss):
                _step(subject, method, optimizer, batch)
                loss = height(subject).loss if method.last_step.finite else math.nan
            yield loss if math.isfinite(loss) else math.nan


def _step(subject: Subject, method: PerturbedGradient, optimizer: torch.optim.Optimizer, batch: Batch) -> None:
    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = method.criterion(subject.model(batch[0]), batch[1])
        loss.backward()
        return loss

    method.step(closure)


@contextmanager
def _stepping(subject: Subject) -> Iterator[None]:
    """Weights and gradients are afterwards those of before."""
    gradients = [p.grad for p in subject.parameters]
    try:
        with subject.at([torch.zeros_like(t) for t in subject.weights.tensors]):
            for p in subject.parameters:
                p.grad = None
            yield
    finally:
        for p, gradient in zip(subject.parameters, gradients, strict=True):
            p.grad = gradient


def _orders(batches: int, steps: int, repeats: int, seed: int) -> list[list[int]]:
    """For each repeat the batches of its steps: one permutation of all after the other."""
    found = []
    for repeat in range(repeats):
        generator = torch.Generator().manual_seed(seed + repeat)
        order: list[int] = []
        while len(order) < steps:
            order += torch.randperm(batches, generator=generator).tolist()
        found.append(order[:steps])
    return found


def _growth(label: str, runs: Sequence[tuple[float, ...]], fits: Sequence[tuple[float, float]]) -> Growth:
    return Growth(label, tuple(runs), Estimate.of([slope for slope, _ in fits]), float(np.mean([r for _, r in fits])))


def _name(method: Any) -> str:
    made = getattr(method, "func", method)  # of a partial
    name = str(getattr(made, "__name__", type(made).__name__))
    return name.upper() if name in ("sam", "asam", "gsam", "obf") else name


def _check(subject: Subject, lr: float, steps: int, repeats: int, window: tuple[int, int]) -> None:
    if subject.distributed or subject.sharded:
        raise UnsupportedError(
            "cannot measure an escape over several processes or with sharded weights, because its steps are one "
            "process's own; build the subject on the whole model in one process"
        )
    if not 0.0 < lr < math.inf:
        raise ConfigurationError(f"cannot step with lr={lr}, because a step has a length; choose a positive number")
    if steps < 1 or repeats < 1:
        raise ConfigurationError(
            f"cannot measure an escape in {steps} steps and {repeats} repeats, because one of each is needed; choose "
            "whole numbers >= 1"
        )
    if not 0 <= window[0] < window[1] <= steps:
        raise ConfigurationError(
            f"cannot fit growth over steps {window[0]} to {window[1]}, because two losses of steps 0 to {steps} are "
            "needed; give window=(first, last) inside of them"
        )
