"""Worst-case sharpness over all samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from samnesia.measure.sharpness.climb import AutoPGD, Climb, Place
from samnesia.measure.sharpness.hill import Around, WholeData, check_differentiable
from samnesia.measure.sharpness.noise import EntrywiseGaussian
from samnesia.measure.sharpness.result import WorstCase
from samnesia.measure.subject import Subject
from samnesia.measure.traceless import seeded
from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.parts.ball import Ball

_APART = 0.95  # of the highest top, below which another is one of its own


def worst_case(
    subject: Subject,
    rho: float,
    ball: Ball | None = None,
    *,
    steps: int = 20,
    restarts: int = 1,
    seed: int = 0,
    climb: Climb | None = None,
) -> WorstCase:
    r"""The highest rise of the loss in a ball that a climb finds.

    .. math:: \max_{\lVert T_w^{-1} e \rVert \le \rho} L(w + e) - L(w)

    L is the mean over all samples of the subject, so that each gradient is one pass over them. The first climb begins
    at the weights and goes along the gradient; `restarts` more begin at random points of the ball (Gaussian entries of
    deviation rho, projected). The highest point of all is kept: a lower bound of the maximum, and at least 0, because
    the weights lie in the ball, too.

    A loss that is not finite at a perturbed point counts as an infinite rise, and ends the climb. Where the gradient is
    zero everywhere a climb stays where it is.

    Args:
        subject: model, criterion and samples.
        rho: the radius, >= 0.
        ball: the geometry; None is SAM's, ``Ball(scaling=ElementScaling(eta=0.0))`` that of adaptive sharpness.
        steps: moves, and so gradients, of each climb; 20 as Andriushchenko et al. (ICML 2023).
        restarts: climbs besides the one from the weights.
        seed: of the random points.
        climb: the way up; None is :class:`AutoPGD`.

    Returns:
        The rise with its standard error over batches, at the perturbation found on those same batches. Costs ``steps +
        1`` passes, and ``steps + 1`` more for each restart.

    Raises:
        ConfigurationError: for a radius that is no finite size, fewer steps than 1, or restarts that are no number.
        UnsupportedError: for a sharded model.
    """
    check_steps(steps)
    if not isinstance(restarts, int) or restarts < 0:
        raise ConfigurationError(
            f"cannot climb again restarts={restarts} times, because it is a number of climbs; give a whole number >= 0"
        )
    check_differentiable(subject)
    around, way, products = Around.of(subject, ball or Ball(), rho), climb or AutoPGD(), subject.products
    hill = WholeData(subject)
    with subject.looking(), subject.counting("worst-case sharpness", (steps + 1.0) * (restarts + 1.0)):
        start = _start(subject, hill, around)

        def top(begin: Place) -> Place:
            return max(begin, way.highest(hill, around, begin, steps), key=_height)

        tops = _tops(top, hill, around, start, restarts, seed) if rho else []
        best = max(start, *tops, key=_height) if tops else start
        rise = hill.rise(start.seen, best.seen)
    size, length = around.realized(best.offsets)
    heights = [place.seen.loss - start.seen.loss for place in tops]
    return WorstCase(
        measure="worst-case sharpness",
        rise=rise,
        over=f"{rise.count} batches",
        rho=around.rho,
        ball=around.ball,
        how=f"{way.name}, {steps} steps from {_begins(restarts)} (seed {seed})",
        values=tuple(heights) or (0.0,),
        loss=start.seen.loss,
        size=size,
        length=length,
        samples=subject.samples,
        passes=subject.products - products,
        notes=tuple(_notes(start, best, heights)),
        steps=steps,
        restarts=restarts,
    )


def check_steps(steps: int) -> None:
    """Refuse a climb without a step."""
    if not isinstance(steps, int) or steps < 1:
        raise ConfigurationError(
            f"cannot climb in steps={steps}, because each step is one gradient and one is needed; give a whole number "
            ">= 1"
        )


def _start(subject: Subject, hill: WholeData, around: Around) -> Place:
    here = around.nowhere()
    start = Place(here, hill.look(here, slope=True))
    if not math.isfinite(start.seen.loss):
        subject.loss()  # says so
    return start


def _tops(
    top: Callable[[Place], Place], hill: WholeData, around: Around, start: Place, restarts: int, seed: int
) -> list[Place]:
    """The highest place of each climb."""
    tops, generators = [top(start)], seeded(seed)
    for index in range(restarts):
        if index == 0 and tops[0] is not start:
            offsets = [-e for e in tops[0].offsets]
        else:
            offsets = around.inside(EntrywiseGaussian().draw(around, generators))
        tops.append(top(Place(offsets, hill.look(offsets, slope=True))))
    return tops


def _begins(restarts: int) -> str:
    """Where climbs begin, in words."""
    if not restarts:
        return "the weights"
    if restarts == 1:
        return "the weights and opposite to the top"
    return f"the weights, opposite to the top and {restarts - 1} random point{'s' * (restarts > 2)}"


def _height(place: Place) -> float:
    return place.seen.loss


def _notes(start: Place, best: Place, heights: list[float]) -> Iterator[str]:
    if heights and start.seen.is_flat:
        yield "the gradient at the weights is zero, so that only climbs from random points leave them"
    if not math.isfinite(best.seen.loss):
        yield "the loss is not finite at a point of the ball, which counts as an infinite rise"
    elif heights and best is start:
        yield "no climb found a higher point than the weights themselves"
    elif heights and min(heights) < _APART * max(heights):
        yield "the climbs end at different heights, so that there may be a higher point; take more restarts"
