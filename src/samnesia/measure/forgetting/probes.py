"""Probes: which perturbation it is whose forgetting is measured.

A probe makes a perturbation of the trained weights from a batch, and leaves model, method and random state as they
were. Two kinds answer different questions. :class:`OwnProbe` is what a method does in training: how much does *this*
run forget? :class:`CommonProbe` is one rule for all models, so that plain SGD has a value too: how much can be made
to be forgotten *here*? The others are nulls, against which a value has to hold its own.
"""

from __future__ import annotations

import copy
import math
import random
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from samnesia.measure.batches import Batch, count, rows_of
from samnesia.measure.subject import Subject
from samnesia.measure.traceless import generators_kept
from samnesia.perturb.errors import ConfigurationError, UnseenWrapperWarning
from samnesia.perturb.flow.criteria import Pass
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.flow.report import StepReport
from samnesia.perturb.modules import ModelState, innermost
from samnesia.perturb.parts.ascents import Ascent, GradientAscent
from samnesia.perturb.parts.ball import Ball
from samnesia.perturb.parts.objectives import Criterion
from samnesia.perturb.tensors import local

_SEED = 1_640_531_527  # keeps away from seeds that weights may have been drawn by

Perturbation = list[Tensor]
"""What is added to the trained parameters, in the order of ``subject.parameters``; this process's part of them."""


class Probe(ABC):
    """A rule that makes a perturbation from batches."""

    @abstractmethod
    def perturbation(self, subject: Subject, batches: Sequence[Batch], index: int) -> Perturbation:
        """The perturbation for ``batches[index]``; ``index`` also decides what is drawn."""

    def source(self, index: int, count: int) -> int:
        """The index of the batch, of ``count``, whose samples the perturbation for ``batches[index]`` is made of."""
        return index

    @abstractmethod
    def __str__(self) -> str:
        """What it does, in a few words, to stand beside a figure."""


@final
@dataclass(frozen=True)
class OwnProbe(Probe):
    """The perturbation that a method makes in training, at the weights as they stand and in the method's present step.

    The method's own flow of passes is opened and closed before its last pass: model in training mode, batch statistics,
    dropout (drawn by the number of the batch), the method's radius at its step, its objective. A step on which it does
    not perturb gives zero. Of a rule that combines gradients (GSAM) the perturbation is that of its ascent.

    Args:
        method: of the subject's model; it is left as it was.
        parts: most samples in one forward, as where a batch does not fit into memory; None is all.
        each_pass: called at the start of each pass, as the training loop does something then.
    """

    method: PerturbedGradient
    parts: int | None = None
    each_pass: Callable[[Pass], None] | None = None

    def perturbation(self, subject: Subject, batches: Sequence[Batch], index: int) -> Perturbation:
        """That of the method."""
        if innermost(self.method.model) is not innermost(subject.wrapped):
            raise ConfigurationError(
                "cannot probe with a method of another model, because it would move that one's weights; build both of "
                "the same model"
            )
        method = copy.copy(self.method)  # with a state of its own
        method.last_step = StepReport()
        method.loss = method.loss or subject.criterion
        method.seed = self.method.seed + index  # noise is another for each batch
        return moved(subject, method, batches[index], index, parts=self.parts, each_pass=self.each_pass)

    def __str__(self) -> str:
        """With the radius, which may change from step to step."""
        return f"own perturbation, rho {', '.join(f'{r:.4g}' for r in dict.fromkeys(self.method.radii()))}"


@final
@dataclass(frozen=True, kw_only=True)
class CommonProbe(Probe):
    """One rule for all models: by default SAM's, ``rho g / ‖g‖`` of the batch's loss, model in training mode.

    Args:
        rho: radius in the ball.
        ball: the geometry; ``Ball(scaling=ElementScaling())`` is ASAM's.
        ascent: ``GradientAscent()`` or, for a random direction of the same norm, ``RandomAscent()``.
        objective: what is ascended in place of the loss, such as ``OutputBiasForgetting()``.
        parts: most samples in one forward; None is all.
        each_pass: called at the start of each pass.
    """

    rho: float = 0.05
    ball: Ball = field(default_factory=Ball)
    ascent: Ascent = field(default_factory=GradientAscent)
    objective: Criterion | None = None
    parts: int | None = None
    each_pass: Callable[[Pass], None] | None = None

    def perturbation(self, subject: Subject, batches: Sequence[Batch], index: int) -> Perturbation:
        """That of a method with these parts."""
        with unwrapped():
            method = PerturbedGradient(
                subject.model,
                torch.optim.SGD(subject.parameters, lr=0.0),  # never stepped: it says what is perturbed
                rho=self.rho,
                ball=self.ball,
                ascent=self.ascent,
                objective=self.objective,
                loss=subject.criterion,
                seed=index,
            )
        return moved(subject, method, batches[index], index, parts=self.parts, each_pass=self.each_pass)

    def __str__(self) -> str:
        """With its parts."""
        parts = [f"rho {self.rho:g}", type(self.ascent).__name__, f"{type(self.ball.norm).__name__} norm"]
        parts += [type(self.ball.scaling).__name__] if self.ball != Ball(self.ball.norm) else []
        parts += [getattr(self.objective, "__name__", type(self.objective).__name__)] if self.objective else []
        return f"common perturbation ({', '.join(parts)})"


@final
@dataclass(frozen=True)
class NormMatched(Probe):
    """Null (a): a random direction of the 2-norm of another probe's perturbation. What does *any* move forget?"""

    of: Probe

    def perturbation(self, subject: Subject, batches: Sequence[Batch], index: int) -> Perturbation:
        """Gaussian, brought to the norm."""
        wanted = norm(self.of.perturbation(subject, batches, index))
        generator = torch.Generator().manual_seed(_SEED + index)
        noise = [torch.randn(p.shape, generator=generator, dtype=p.dtype).to(p.device) for p in subject.parameters]
        return _times(noise, wanted / norm(noise))

    def __str__(self) -> str:
        """After the other."""
        return f"random, of the norm of: {self.of}"


@final
@dataclass(frozen=True)
class RiseMatched(Probe):
    """Null (b): a probe rescaled so that the mean loss of the batch rises as much as under another one.

    It tells *what* is forgotten apart from *how much*. The loss is the subject's, as the subject looks at it.

    Raises:
        ConfigurationError: if the loss does not rise as far in this direction, or is no number before it has; or if it
            does not rise under the other one, or without end.
    """

    probe: Probe
    of: Probe
    tolerance: float = 1e-3

    def perturbation(self, subject: Subject, batches: Sequence[Batch], index: int) -> Perturbation:
        """By doubling, then bisection."""
        batch = batches[index]
        direction = self.probe.perturbation(subject, batches, index)
        other = self.of.perturbation(subject, batches, index)
        with subject.looking(), torch.no_grad():
            start = float(subject.loss_of(batch))

            def rise(offsets: Perturbation) -> float:
                with subject.at(offsets):
                    return float(subject.loss_of(batch)) - start

            wanted = rise(other)
            high = 1.0
            while 0.0 < wanted < math.inf and high < 2.0**24 and rise(_times(direction, high)) < wanted:
                high *= 2.0
            if not (0.0 < wanted < math.inf and high < 2.0**24):
                raise ConfigurationError(
                    f"cannot match a rise of the loss by {wanted:.3g} with the {self.probe}, because the loss does not "
                    "rise so in its direction; use a larger radius for what is matched, or another direction"
                )
            low = 0.0
            while high - low > self.tolerance * high:
                middle = (low + high) / 2.0
                low, high = (middle, high) if rise(_times(direction, middle)) < wanted else (low, middle)
            if not math.isfinite(rise(_times(direction, high))):
                raise ConfigurationError(
                    f"cannot match a rise of the loss by {wanted:.3g} with the {self.probe}, because on the way there "
                    "the loss is no number any more; use a smaller radius for what is matched, or another direction"
                )
        return _times(direction, high)

    def source(self, index: int, count: int) -> int:
        """That of the probe which is rescaled."""
        return self.probe.source(index, count)

    def __str__(self) -> str:
        """After both."""
        return f"{self.probe}, scaled to the rise of the loss of: {self.of}"


@final
@dataclass(frozen=True)
class PermutedLabels(Probe):
    """Null (c): a probe whose batch has its labels dealt out anew, at random. Does it matter what they say?"""

    probe: Probe

    def perturbation(self, subject: Subject, batches: Sequence[Batch], index: int) -> Perturbation:
        """That of the batch with permuted labels."""
        inputs, targets = batches[index]
        order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(_SEED + index)).to(targets.device)
        changed = list(batches)
        changed[index] = (inputs, targets[order])
        return self.probe.perturbation(subject, changed, index)

    def source(self, index: int, count: int) -> int:
        """That of the probe."""
        return self.probe.source(index, count)

    def __str__(self) -> str:
        """After the other."""
        return f"{self.probe}, labels permuted"


@final
@dataclass(frozen=True)
class OtherBatch(Probe):
    """Null (d): the perturbation that a probe makes of *another* batch. Does it matter which samples it was made of?"""

    probe: Probe

    def perturbation(self, subject: Subject, batches: Sequence[Batch], index: int) -> Perturbation:
        """That of the next batch; raises ConfigurationError if there is only one."""
        if len(batches) < 2:
            raise ConfigurationError(
                "cannot perturb along another batch, because there is only one; measure with perturbations=2 or more"
            )
        return self.probe.perturbation(subject, batches, (index + 1) % len(batches))

    def source(self, index: int, count: int) -> int:
        """The next."""
        return self.probe.source((index + 1) % count, count)

    def __str__(self) -> str:
        """After the other."""
        return f"{self.probe}, made of another batch"


def moved(
    subject: Subject,
    method: PerturbedGradient,
    batch: Batch,
    seed: int,
    *,
    parts: int | None = None,
    each_pass: Callable[[Pass], None] | None = None,
) -> Perturbation:
    """Where a method's flow has moved the weights before its last pass, less where they were."""
    model, samples = method.model, count(batch)
    start, gradients = [local(p.detach()).clone() for p in subject.parameters], [p.grad for p in subject.parameters]
    entry = ModelState(model, {subject.device})
    with _drawing(model, subject.device, _SEED + seed), _training(model), method.passes() as passes:
        for p in passes:
            if p.last:
                break
            if each_pass is not None:
                each_pass(p)
            with torch.set_grad_enabled(p.needs_gradient):
                for inputs, targets in _parts(batch, parts or samples):
                    loss = p.loss(model(inputs), targets) * (len(targets) / samples)
                    if p.needs_gradient:
                        loss.backward()
        else:  # it has not perturbed (AE-SAM), and has left what a step leaves
            entry.restore_buffers()
            for parameter, gradient in zip(subject.parameters, gradients, strict=True):
                parameter.grad = gradient
        return [local(p.detach()) - s for p, s in zip(subject.parameters, start, strict=True)]


@contextmanager
def unwrapped() -> Iterator[None]:
    """For a method of the module itself, without the wrapper that averages over processes: this one probes alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnseenWrapperWarning)
        yield


def _parts(batch: Batch, size: int) -> Iterator[Batch]:
    if count(batch) <= size:
        yield batch
        return
    for rows in torch.arange(count(batch)).split(size):
        yield rows_of(batch, rows)


@contextmanager
def _training(model: nn.Module) -> Iterator[None]:
    """All modules in training mode, as in a training step; afterwards in the modes that they had."""
    modes = [(module, module.training) for module in model.modules()]
    model.train()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _drawing(model: nn.Module, device: torch.device, seed: int) -> Iterator[None]:
    """What is drawn (dropout) depends on the seed alone, and the generators are afterwards as they were."""
    with generators_kept(model):
        random.seed(seed)
        np.random.seed(seed)
        torch.default_generator.manual_seed(seed)
        if device.type != "cpu":
            backend = torch.get_device_module(device)
            with backend.device(device):
                backend.manual_seed(seed)
        yield


def norm(offsets: Perturbation) -> float:
    """The 2-norm of a perturbation."""
    return math.sqrt(math.fsum(float(offset.double().square().sum()) for offset in offsets))


def _times(offsets: Perturbation, factor: float) -> Perturbation:
    return [offset * factor for offset in offsets]
