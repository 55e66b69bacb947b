"""m-sharpness: the rise that each m samples find for themselves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch

from samnesia.measure.batches import Batch, count, rows_of
from samnesia.measure.estimate import Estimate
from samnesia.measure.sharpness.climb import AutoPGD, Climb, Place
from samnesia.measure.sharpness.hill import Around, MicroBatch, check_differentiable
from samnesia.measure.sharpness.result import MSharpness
from samnesia.measure.sharpness.worst import check_steps
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.parts.ball import Ball


def m_sharpness(
    subject: Subject,
    rho: float,
    m: int,
    ball: Ball | None = None,
    *,
    steps: int = 1,
    climb: Climb | None = None,
) -> MSharpness:
    r"""The mean rise of micro-batches of m samples, each at a perturbation of its own (Foret et al., ICLR 2021).

    .. math:: \frac1B \sum_{b=1}^{B} \max_{\lVert T_w^{-1} e \rVert \le \rho} L_b(w + e) - L_b(w)

    over the disjoint :math:`B = \lfloor N / m \rfloor` micro-batches that the samples make in their order. With one
    step it is the rise at SAM's perturbation, whatever its sign: what an update of training with this m climbs. With
    more it is the highest point that each climb arrives at.

    A micro-batch may be larger than a batch of the subject; it is then held in memory in pieces. Over several processes
    each cuts its own samples.

    Args:
        subject: model, criterion and samples.
        rho: the radius, >= 0.
        m: samples of a micro-batch.
        ball: the geometry; None is SAM's.
        steps: moves, and so gradients, of each micro-batch.
        climb: the way up; None is :class:`AutoPGD`, whose first step is SAM's.

    Returns:
        The mean with its standard error over micro-batches. Costs as much as ``steps + 1`` passes, in one reading of
        the data.

    Raises:
        ConfigurationError: for a radius that is no finite size, fewer steps than 1, or an m for which there are not
            enough samples.
        UnsupportedError: for a sharded model.
    """
    check_steps(steps)
    if not isinstance(m, int) or m < 1:
        raise ConfigurationError(
            f"cannot cut micro-batches of m={m}, because m counts samples; give a whole number >= 1"
        )
    if m > subject.samples:
        raise ConfigurationError(
            f"cannot cut micro-batches of m={m}, because the subject has {subject.samples} samples; give a smaller m"
        )
    check_differentiable(subject)
    around, way = Around.of(subject, ball or Ball(), rho), climb or AutoPGD()
    values, starts, sizes = [], [], []
    with subject.looking(), subject.counting(f"{m}-sharpness", 1.0):
        for pieces in micro_batches(subject.batches(), m):
            start, top = _climbed(subject, pieces, around, way, steps)
            starts.append(start.seen.loss)
            values.append(top.seen.loss - start.seen.loss)
            sizes.append(around.realized(top.offsets))
    rise, loss, size, length = _over_processes(subject, m, values, starts, sizes)
    left_out = subject.samples - rise.count * m
    return MSharpness(
        measure=f"{m}-sharpness",
        rise=rise,
        over=f"{rise.count} micro-batches of {m}",
        rho=around.rho,
        ball=around.ball,
        how=f"{way.name}, {steps} step{'s' * (steps > 1)} from the weights in each micro-batch",
        values=tuple(values),
        loss=loss,
        size=size,
        length=length,
        samples=subject.samples,
        passes=steps + 1.0 if rho else 1.0,
        notes=tuple(_notes(rise, left_out)),
        m=m,
        steps=steps,
        left_out=left_out,
    )


def micro_batches(batches: Iterable[Batch], m: int) -> Iterator[list[Batch]]:
    """The samples in their order, m at a time, each as pieces of the batches they come from; without the remainder."""
    pieces: list[Batch] = []
    missing = m
    for batch in batches:
        size, begin = count(batch), 0
        while begin < size:
            end = min(size, begin + missing)
            pieces.append(batch if end - begin == size else rows_of(batch, torch.arange(begin, end)))
            missing -= end - begin
            begin = end
            if not missing:
                yield pieces
                pieces, missing = [], m


def _climbed(subject: Subject, pieces: list[Batch], around: Around, way: Climb, steps: int) -> tuple[Place, Place]:
    """(the weights, the highest place), as the micro-batch sees them."""
    hill, here = MicroBatch(subject, pieces), around.nowhere()
    start = Place(here, hill.look(here, slope=around.rho > 0.0))
    if not math.isfinite(start.seen.loss):
        raise ConfigurationError(
            "cannot measure at a micro-batch whose loss is not finite, because nothing near it has a slope; look at "
            "the weights and the inputs"
        )
    return start, way.highest(hill, around, start, steps) if around.rho else start


def _over_processes(
    subject: Subject, m: int, values: list[float], starts: list[float], sizes: list[tuple[float, float]]
) -> tuple[Estimate, float, float, float]:
    """Means over the micro-batches of all processes: rise, clean loss, size and 2-norm of the perturbation."""
    table = torch.tensor([(1.0, *row) for row in _rows(values, starts, sizes)] or [[0.0] * 5], dtype=torch.float64)
    total, *sums = (float(v) for v in subject.summed([table.sum(0)])[0])
    if not total:
        raise ConfigurationError(
            f"cannot cut micro-batches of m={m}, because no process has so many samples, and each cuts its own; give a "
            "smaller m"
        )
    rise, *others = (value / total for value in sums)
    if not math.isfinite(rise):
        return Estimate(math.inf, math.nan, int(total)), others[0], others[1], others[2]
    squares = float(subject.summed([(table[:, 0] * (table[:, 1] - rise)).square().sum()])[0])
    error = math.sqrt(squares / (total - 1.0) / total) if total > 1 else math.nan
    return Estimate(rise, error, int(total)), others[0], others[1], others[2]


def _rows(values: list[float], starts: list[float], sizes: list[tuple[float, float]]) -> Iterator[tuple[float, ...]]:
    for value, start, (size, length) in zip(values, starts, sizes, strict=True):
        yield value, start, size, length


def _notes(rise: Estimate, left_out: int) -> Iterator[str]:
    if left_out:
        yield f"{left_out} samples make no whole micro-batch and are left out"
    if not math.isfinite(rise.value):
        yield "the loss is not finite at the perturbation of a micro-batch, which counts as an infinite rise"
