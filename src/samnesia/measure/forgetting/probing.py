"""Forgetting, measured: perturb by some batches, look at these, at other training data and at held-out data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from samnesia.measure.batches import Batch, Batches
from samnesia.measure.calibration.links import Link, Softmax
from samnesia.measure.estimate import Estimate
from samnesia.measure.forgetting.collecting import Collected, Data
from samnesia.measure.forgetting.corrections import Correction, MillerMadow
from samnesia.measure.forgetting.estimators import Estimator, Labels, per_class
from samnesia.measure.forgetting.hidden import captured, hidden_pointwise, noise_scale, spread, taken
from samnesia.measure.forgetting.probes import Probe, norm
from samnesia.measure.forgetting.result import BATCH, HELD_OUT, RUNNING, TRAINING, Forgetting
from samnesia.measure.statistics import BatchStatistics, RunningStatistics, Statistics, normalizers
from samnesia.measure.subject import Subject
from samnesia.measure.traceless import generators_kept
from samnesia.perturb.errors import ConfigurationError, UnsupportedError


@dataclass(frozen=True)
class HeldOut:
    """Data that the model was not trained on, and what is known of each sample."""

    batches: Iterable[Batch]
    """(inputs, targets): the same on every pass, and, for the statistics of batches, in batches as in training."""
    groups: Labels = field(default_factory=dict)
    """Groups of samples by name; see :func:`probe_forgetting`."""
    others: Labels = field(default_factory=dict)
    """Further labels of the samples by name."""


@dataclass(frozen=True)
class HiddenLayer:
    """A layer of which I(X;Z|Y) is measured as well, under the name ``hidden``."""

    name: str
    """Of the module, as in ``model.named_modules()``."""
    scale: float | None = None
    """Of the noise; None is :func:`noise_scale` of the data at hand at the unperturbed weights."""
    draws: int = 8
    """Of the noise, for each sample."""


def probe_forgetting(
    subject: Subject,
    probe: Probe,
    *,
    perturbations: int = 4,
    held_out: HeldOut | Iterable[Batch] | None = None,
    groups: Labels | None = None,
    others: Labels | None = None,
    link: Link = Softmax(),  # noqa: B008 (frozen)
    correction: Correction = MillerMadow(),  # noqa: B008 (frozen)
    layer: HiddenLayer | None = None,
) -> Forgetting:
    """Measure what a perturbation makes a model forget (E1 to E4), as :mod:`samnesia.measure.forgetting` defines it.

    Some of the subject's batches make a perturbation each: their size is the m of m-sharpness. What is forgotten is
    estimated on that batch (``exposed``), on all other samples of the subject (``training``; under :class:`OtherBatch`
    also without the batch that the perturbation is made of) and on ``held_out``; with
    normalization by running statistics and, where layers keep them, by those of each batch, as in a training step.
    The mean predictions that information refers to are those of the subject's samples together, so that an exposed
    batch of few samples has no larger bias. What is found: see :func:`samnesia.measure.forgotten`; and on ``exposed``
    E4, ``input_exposed``.

    Args:
        subject: model, criterion and training data in batches of the size that perturbs. It is looked at without
            dropout; a probe makes its perturbation with it, as training does.
        probe: :class:`OwnProbe`, :class:`CommonProbe`, or a null.
        perturbations: how many batches perturb, spread evenly over those of full size.
        held_out: data that the model was not trained on: a loader, or with what is known of it :class:`HeldOut`.
        groups: of the samples that the subject was built over, in their order: boolean masks or integers by name.
        others: further labels of them by name, such as the true classes where those that are trained on are noisy.
        link: how outputs become probabilities; :class:`Sigmoid` for nets that are trained by binary cross-entropy.
        correction: of the bias.
        layer: a hidden layer to look at as well.

    Returns:
        Means over the perturbations with their standard error (over samples, where there is only one).

    Raises:
        ConfigurationError: for fewer full batches than perturbations, labels that do not fit, or outputs that are not
            finite at the unperturbed weights.
        UnsupportedError: for a subject that is spread over processes, outputs that are no logits, or targets that are
            no classes.
    """
    if subject.distributed or subject.sharded:
        raise UnsupportedError(
            "cannot probe forgetting with a model or data spread over processes, because the mean predictions of all "
            "samples are needed in one place; measure in one process"
        )
    look = _Look(subject, Estimator(link=link, correction=correction), layer)
    numbers = perturbing(subject.batch_sizes, perturbations)
    sizes = list(subject.batch_sizes)
    datas = [Data(TRAINING, subject.batches, *(_of_chosen(subject, labels) for labels in (groups, others)))]
    if held_out is not None:
        held_out = held_out if isinstance(held_out, HeldOut) else HeldOut(held_out)
        with generators_kept(subject.model):
            there = Batches(held_out.batches, subject.device, samples=None, seed=0)
        datas.append(Data(HELD_OUT, there.__iter__, held_out.groups, held_out.others))
        sizes += there.sizes
    views = _views(subject, min(sizes))
    ways = [((view, data.name), data, way) for view, way in views.items() for data in datas]
    found, norms, batches = Collected(), list[float](), list[Batch]()
    with subject.counting("forgetting", 1.0 + len(views) * (1.0 + perturbations)):
        with subject.looking():
            batches = [batch for i, batch in enumerate(subject.batches()) if i in numbers]
        before = {key: look.at(data, way) for key, data, way in ways}
        _check_finite(before.values())
        held = {key: look.estimator.held(before[key].logits, before[key].labels, data.others) for key, data, _ in ways}
        for index, number in enumerate(numbers):
            move = probe.perturbation(subject, batches, index)
            norms.append(norm(move))
            exposed = _rows(subject.batch_sizes, number)
            source = _rows(subject.batch_sizes, numbers[probe.source(index, len(numbers))])
            with subject.at(move):
                after = {key: look.at(data, way) for key, data, way in ways}
            for key, data, _ in ways:
                pointwise = look.forgotten(before[key], after[key], data, held[key])
                found.add(key[0], data, pointwise, (exposed, source) if data.name == TRAINING else None)
    return Forgetting(
        cells=found.cells(),
        probe=str(probe),
        perturbations=perturbations,
        m=subject.batch_sizes[numbers[0]],
        norm=Estimate.of(norms),
        samples=found.samples,
        per_class={data.name: per_class(before[RUNNING, data.name].labels) for data in datas},
        method={"link": type(link).__name__, "correction": type(correction).__name__},
    )


@dataclass(frozen=True)
class _Seen:
    """What a model puts out for some data."""

    logits: Tensor
    labels: Tensor
    features: Tensor | None


@dataclass(frozen=True)
class _Look:
    """How a model is looked at."""

    subject: Subject
    estimator: Estimator
    layer: HiddenLayer | None

    def at(self, data: Data, statistics: Statistics) -> _Seen:
        """The data through the model, with the weights as they stand."""
        model, logits, labels, features = self.subject.model, list[Tensor](), list[Tensor](), list[Tensor]()
        name = None if self.layer is None else self.layer.name
        looking = self.subject.with_statistics(statistics).looking()
        with looking, torch.no_grad(), captured(model, name) as hidden:
            for inputs, targets in data.batches():
                logits.append(_logits(model(inputs)))
                labels.append(_classes(targets).cpu())
                if name is not None:
                    features.append(taken(hidden, len(targets), name))
        return _Seen(torch.cat(logits), torch.cat(labels), torch.cat(features) if features else None)

    def forgotten(self, before: _Seen, after: _Seen, data: Data, held: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What each sample contributes to what is forgotten of what is ``held``."""
        found = self.estimator.forgotten(before.logits, after.logits, before.labels, data.others, held=held)
        if self.layer is not None and before.features is not None and after.features is not None:
            scale = self.layer.scale or self._scale(self.layer.name, before.features, before.labels)
            old, new = (
                hidden_pointwise(features, before.labels, scale=scale, draws=self.layer.draws, seed=0)["superfluous"]
                for features in (before.features, after.features)
            )
            found |= {"hidden": old - new, "hidden_before": old}
        return found

    @staticmethod
    def _scale(name: str, features: Tensor, labels: Tensor) -> float:
        if not spread(features, labels):
            raise ConfigurationError(
                f"cannot choose the noise of the layer {name!r}, because it puts out the same for all samples of a "
                "class at the unperturbed weights (is it dead?), and the noise is in units of how far these lie "
                "apart; give HiddenLayer(scale=), or another layer"
            )
        return noise_scale(features, labels)


def perturbing(sizes: Sequence[int], perturbations: int) -> list[int]:
    """The numbers of the batches that perturb, evenly spread over those of full size.

    Raises:
        ConfigurationError: if there are not as many.
    """
    full = [number for number, size in enumerate(sizes) if size == max(sizes)]
    if not 1 <= perturbations <= len(full):
        raise ConfigurationError(
            f"cannot perturb by {perturbations} batches, because the training data have {len(full)} of full size "
            f"({max(sizes)} samples), and one is needed; give perturbations between 1 and {len(full)}, or more data"
        )
    return [full[i * len(full) // perturbations] for i in range(perturbations)]


def _logits(output: Any) -> Tensor:
    if not isinstance(output, Tensor):
        raise UnsupportedError(
            f"cannot estimate forgetting from outputs of type {type(output).__name__}, because a prediction requires "
            "logits [n, K]; wrap the model to return them alone"
        )
    return output.cpu()


def _check_finite(seen: Iterable[_Seen]) -> None:
    if not all(bool(one.logits.isfinite().all()) for one in seen):
        raise ConfigurationError(
            "cannot estimate forgetting from outputs that are not finite before anything is perturbed, because they "
            "are no probabilities; look at the weights and the inputs"
        )


def _rows(sizes: Sequence[int], number: int) -> slice:
    start = sum(sizes[:number])
    return slice(start, start + sizes[number])


def _views(subject: Subject, smallest: int) -> dict[str, Statistics]:
    views: dict[str, Statistics] = {RUNNING: RunningStatistics()}
    if normalizers(subject.model):
        if smallest < 2:
            raise ConfigurationError(
                "cannot normalize a batch of one sample by its own statistics, because it has no variance; take "
                "another batch size, or other samples"
            )
        views[BATCH] = BatchStatistics()
    return views


def _of_chosen(subject: Subject, labels: Labels | None) -> Labels:
    """Of those that the subject was built over, those of the samples that it has drawn."""
    chosen = subject.chosen
    if chosen is None:
        return labels or {}
    return {name: values.cpu()[chosen] for name, values in (labels or {}).items()}


def _classes(targets: Tensor) -> Tensor:
    """Class indices; of distributions over classes, the most probable."""
    if targets.ndim == 1 and targets.dtype == torch.int64:
        return targets
    if targets.ndim == 2 and targets.is_floating_point():
        return targets.argmax(1)
    raise UnsupportedError(
        f"cannot estimate forgetting with targets {targets.dtype} of shape {list(targets.shape)}, because information "
        "about classes is measured; it requires one class, or a distribution over classes, per sample"
    )
