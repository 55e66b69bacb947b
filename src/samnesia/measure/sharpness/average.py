"""Average-case sharpness over all samples."""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor

from samnesia.measure.estimate import Estimate
from samnesia.measure.sharpness.hill import Around, Offsets, Seen, WholeData
from samnesia.measure.sharpness.noise import Noise, OnSphere
from samnesia.measure.sharpness.result import AverageCase
from samnesia.measure.subject import Subject
from samnesia.measure.traceless import seeded
from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.parts.ball import Ball


def average_case(
    subject: Subject,
    rho: float,
    ball: Ball | None = None,
    *,
    directions: int = 10,
    seed: int = 0,
    noise: Noise | None = None,
) -> AverageCase:
    r"""The mean rise of the loss under random perturbations of a size.

    .. math:: \mathbb{E}_e\, L(w + e) - L(w)

    Each direction is taken both ways, e and -e, so that the slope cancels, and curvature is what remains. Over a convex
    loss every pair rises, and none in the ball rises higher than the worst case.

    Args:
        subject: model, criterion and samples.
        rho: the radius, >= 0.
        ball: the geometry; None is SAM's.
        directions: how many pairs; their means are the independent values that the error is over.
        seed: of the noise.
        noise: how perturbations are drawn and how large they are; None is :class:`OnSphere`, of size rho exactly.
            :class:`EntrywiseGaussian` (L2) and :class:`EntrywiseUniform` (L∞) are those of Andriushchenko et al. (ICML
            2023), whose rho is the size of an entry.

    Returns:
        The mean with its standard error over directions, and over batches beside it. Costs ``1 + 2 directions`` passes
        without gradients.

    Raises:
        ConfigurationError: for a radius that is no finite size, or fewer directions than 1.
    """
    if not isinstance(directions, int) or directions < 1:
        raise ConfigurationError(
            f"cannot average over directions={directions}, because a mean is over one at least; give a whole number "
            ">= 1"
        )
    around, kind, products = Around.of(subject, ball or Ball(), rho), noise or OnSphere(), subject.products
    hill = WholeData(subject)
    pairs, sizes = [], []
    with subject.looking(), subject.counting("average-case sharpness", 1.0 + 2.0 * directions):
        here = hill.look(around.nowhere(), slope=False)
        if not math.isfinite(here.loss):
            subject.loss()  # says so
        losses, points = here.losses * 0.0, 2 * directions
        for offsets in _directions(around, kind, directions if rho else 0, seed):
            both = [hill.look(way, slope=False) for way in (offsets, [-e for e in offsets])]
            pairs.append(sum(seen.loss for seen in both) / 2.0 - here.loss)
            losses += sum((seen.losses for seen in both), start=here.losses * 0.0) / points
            sizes.append(around.realized(offsets))
        rise = Estimate.of(pairs) if pairs and all(map(math.isfinite, pairs)) else _odd(pairs)
        batches = hill.rise(here, _mean(here, losses, rise.value) if rho else here)
    count = max(len(sizes), 1)
    return AverageCase(
        measure="average-case sharpness",
        rise=rise,
        over=f"{directions} directions",
        rho=around.rho,
        ball=around.ball,
        how=f"{kind.words}, {directions} directions both ways (seed {seed})",
        values=tuple(pairs),
        loss=here.loss,
        size=math.fsum(size for size, _ in sizes) / count,
        length=math.fsum(length for _, length in sizes) / count,
        samples=subject.samples,
        passes=subject.products - products,
        notes=tuple(_notes(pairs)),
        batches=batches,
        directions=directions,
        noise=kind,
    )


def _directions(around: Around, noise: Noise, directions: int, seed: int) -> Iterator[Offsets]:
    generators = seeded(seed)
    for _ in range(directions):
        yield noise.draw(around, generators)


def _mean(here: Seen, losses: Tensor, rise: float) -> Seen:
    """The losses of the batches, averaged over all perturbations, as if they had been seen at once."""
    return Seen(here.loss + rise, [], losses)


def _odd(pairs: list[float]) -> Estimate:
    """The mean of no pairs, which is 0, or of some that are infinite."""
    return Estimate(math.inf if pairs else 0.0, math.nan, len(pairs))


def _notes(pairs: list[float]) -> Iterator[str]:
    infinite = sum(not math.isfinite(value) for value in pairs)
    if infinite:
        yield f"the loss is not finite in {infinite} of {len(pairs)} directions, which counts as an infinite rise"
