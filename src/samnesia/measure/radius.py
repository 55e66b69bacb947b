"""A first radius from a short probe: how the loss rises along the way that a perturbation takes.

On each batch the weights are moved along the direction of the ascent, to radii that double, and the loss of that batch
is measured where they arrive. The radius is suggested at which the mean loss has risen by a fixed share of itself.
Which share, and how far off that was, is measured by benchmarks/suggest_rho.py: docs/tuning.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

import numpy as np
from torch import Tensor, nn

from samnesia.measure.batches import Batch, pair, shapes
from samnesia.measure.rise import Criterion, Directed, Probe, Start
from samnesia.measure.traceless import generators_kept, on_device
from samnesia.perturb.errors import ConfigurationError, SamnesiaError
from samnesia.perturb.parts.ascents import GradientAscent
from samnesia.perturb.parts.ball import Ball

SHARE = 0.5
"""The rise that is aimed at, as a share of the loss at the weights themselves."""
SPREAD = 8.0
"""The range to try is the suggestion over this, and times this."""
COUNT = 12
"""Radii of the probe."""


@dataclass(frozen=True)
class RadiusSuggestion:
    """What :func:`suggest_rho` found; printing it shows the reasoning.

    Attributes:
        rho: the suggested radius.
        low: lower end of a range to try.
        high: upper end.
        radii: the radii of the probe, rising.
        rises: mean rise of the loss at each, None where it was not finite on some batch.
        errors: standard error of each mean over batches; None where there is none.
        slope: rise per radius that first order predicts, mean over batches: for SAM the norm of the gradient.
        loss: mean loss at the weights themselves.
        ignorance: what knowing nothing about a sample costs: mean loss if the output were the batch's mean output for
            all samples; None for outputs that have no mean.
        target: the rise that the suggestion aims at.
        curvature: radius from which the rise is more than twice what first order predicts; None if none was met.
        batches: number of batches that the means are taken over.
        skipped: batches without a finite loss and gradient, or with a gradient of zero.
        doubts: why it should not be trusted, a sentence each.
    """

    rho: float
    low: float
    high: float
    radii: tuple[float, ...]
    rises: tuple[float | None, ...]
    errors: tuple[float | None, ...]
    slope: float
    loss: float
    ignorance: float | None
    target: float
    curvature: float | None
    batches: int
    skipped: int
    doubts: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the table of radii and the reasoning."""
        lines = [f"{'radius':>10}  {'mean rise of the loss':>23}  {'first order':>11}  {'ratio':>6}"]
        for radius, rise, error in zip(self.radii, self.rises, self.errors, strict=True):
            line = self.slope * radius
            if rise is None:
                lines.append(f"{radius:10.4g}  {'not finite':>23}  {line:11.4g}")
                continue
            shown = f"{rise:.4g}" + ("" if error is None else f" ± {error:.2g}")
            lines.append(f"{radius:10.4g}  {shown:>23}  {line:11.4g}  {rise / line:6.2f}")
        return "\n".join((*lines, *self._reasoning()))

    def _reasoning(self) -> Iterator[str]:
        knowing = "" if self.ignorance is None else f"; to know nothing about a sample costs {self.ignorance:.4g}"
        skipped = f" ({self.skipped} more could not be used)" if self.skipped else ""
        yield f"Loss {self.loss:.4g}, mean over {_count(self.batches)}{skipped}{knowing}."
        if self.curvature is None:
            yield "Curvature takes over nowhere: the rise is never twice what first order predicts."
        else:
            yield f"Curvature takes over at {self.curvature:.2g}: there the rise is twice what first order predicts."
        aim = "half of what it is" if self.target == SHARE * self.loss else "as asked for"
        yield f"Rule: the radius at which the loss rises by {self.target:.4g}, {aim}. That is rho = {self.rho:.2g}."
        yield (
            f"It is a starting point. Try {self.low:.2g} to {self.high:.2g}, each radius twice the one before, and "
            "choose on validation."
        )
        for doubt in self.doubts:
            yield f"Doubt: {doubt}."


def suggest_rho(
    model: nn.Module,
    loss: Criterion,
    loader: Iterable[tuple[Any, Tensor]],
    *,
    batches: int = 8,
    ball: Ball | None = None,
    ascent: Directed | None = None,
    radii: Sequence[float] | None = None,
    rise: float | None = None,
) -> RadiusSuggestion:
    r"""A first radius for SAM and its kin, from how the loss rises along their perturbation.

    For each batch, with :math:`d` the ascent's direction of size 1 in the ball (:math:`g / \lVert g \rVert` for SAM),
    the rise :math:`L(w + \rho d) - L(w)` is measured on that batch over radii :math:`\rho`; first order predicts
    :math:`\rho \langle g, d \rangle`. The suggestion is the radius at which the mean loss has risen by half of itself.
    It is a starting point: docs/tuning.md says how far off it was, and that no such probe knows whether a perturbation
    helps at all.

    Model, buffers, gradients, modes and the global generators of Python, NumPy and torch are left as they were, bit by
    bit, also if something raises. All forwards on a batch draw the same random numbers (dropout).

    Args:
        model: in the mode in which it is trained, after some epochs of plain training rather than before the first.
        loss: ``(output, target) -> scalar``, the mean over the samples.
        loader: gives (inputs, targets), as many samples at a time as share a perturbation in training. They are moved
            to the model's device.
        batches: how many of them to probe, held in memory; each costs two gradients and a dozen forwards.
        ball: the geometry in which the radius is meant, such as ``Ball(scaling=ElementScaling())`` for ASAM; None is
            SAM's.
        ascent: what makes the direction of the gradient; None is `GradientAscent`.
        radii: where to measure, rising; None finds a dozen around the aim.
        rise: the rise to aim at, in units of the loss; None is half of the loss.

    Raises:
        ConfigurationError: for a loss that is no scalar, or negative without a rise to aim at, radii or a rise that are
            not positive, an empty loader, a batch that is no pair, no batch with a finite loss and a gradient, or a
            loss that does not rise as far.
        UnsupportedError: for a model that cannot be perturbed.

    What model or loss raise is passed on, with a note that says which batch it was.
    """
    _check(batches, radii, rise)
    with generators_kept(model):
        probe = Probe(model, loss, ball or Ball(), ascent or GradientAscent())
        taken = [on_device(pair(batch), probe.device) for batch in islice(loader, batches)]
        if not taken:
            raise ConfigurationError(
                "cannot suggest a radius from an empty loader, because the rise is measured on batches; look at what "
                "it loads, and whether it can be gone through more than once"
            )
        starts = [_started(probe, batch, index) for index, batch in enumerate(taken)]
        usable = sorted((i for i, start in enumerate(starts) if start.usable), key=lambda i: starts[i].slope)
        if not usable:
            raise ConfigurationError(
                f"cannot suggest a radius from {_count(len(taken))}, because a way up requires a finite loss, and a "
                "gradient that is finite and not zero; look at the model and the loader"
            )
        begun = [starts[i] for i in usable]
        target = _half([start.loss for start in begun]) if rise is None else rise
        if radii is None:
            middle = usable[len(usable) // 2]
            radii = probe.ladder(taken[middle], starts[middle].slope, target, COUNT)
        measured = [probe.rises(taken[i], radii) for i in usable]
    return _suggestion(begun, measured, tuple(radii), target, skipped=len(taken) - len(usable))


def _started(probe: Probe, batch: Batch, index: int) -> Start:
    """The batch at the weights; what the model or the loss raises about it says which batch that was."""
    try:
        return probe.start(batch)
    except Exception as error:
        if not isinstance(error, SamnesiaError):
            error.add_note(f"It was batch {index} of the loader of suggest_rho: {shapes(batch)}.")
        raise


def _suggestion(
    starts: Sequence[Start],
    measured: Sequence[Sequence[float]],
    radii: tuple[float, ...],
    target: float,
    *,
    skipped: int,
) -> RadiusSuggestion:
    # a batch whose loss is no number at some radius has none beyond it
    columns = [[rises[k] if k < len(rises) else math.nan for rises in measured] for k in range(len(radii))]
    rises = tuple(_mean(column) if all(map(math.isfinite, column)) else None for column in columns)
    errors = tuple(
        None if mean is None or len(column) < 2 else float(np.std(column, ddof=1)) / len(column) ** 0.5
        for mean, column in zip(rises, columns, strict=True)
    )
    slope, loss = _mean([start.slope for start in starts]), _mean([start.loss for start in starts])
    ignorance = _mean([start.ignorance for start in starts])
    rho = reached(radii, rises, target)
    if rho is None:
        most = max((rise for rise in rises if rise is not None), default=math.nan)
        raise ConfigurationError(
            f"cannot suggest a radius from {radii[0]:.3g} to {radii[-1]:.3g}, because the mean loss rises there by "
            f"{most:.3g} at most, and the rule asks for {target:.3g}; give other radii="
        )
    found = RadiusSuggestion(
        rho=rho,
        low=rho / SPREAD,
        high=rho * SPREAD,
        radii=radii,
        rises=rises,
        errors=errors,
        slope=slope,
        loss=loss,
        ignorance=ignorance if math.isfinite(ignorance) else None,
        target=target,
        curvature=reached(radii, [_over(r, slope * radius) for r, radius in zip(rises, radii, strict=True)], 2.0),
        batches=len(starts),
        skipped=skipped,
    )
    return RadiusSuggestion(**{**vars(found), "doubts": tuple(_doubts(found))})


def _over(rise: float | None, predicted: float) -> float | None:
    return None if rise is None else rise / predicted


def reached(radii: Sequence[float], values: Sequence[float | None], target: float) -> float | None:
    """Where the values first reach the target, on straight lines between logarithms; None if nowhere.

    From a radius without a value on, nothing is known: then it is the last one before.
    """
    below: tuple[float, float] | None = None
    for radius, value in zip(radii, values, strict=True):
        if value is None:
            return None if below is None else below[0]
        if value >= target:
            if below is None:
                return radius
            share = math.log(target / below[1]) / math.log(value / below[1])
            return float(below[0] * (radius / below[0]) ** share)
        if value > 0.0:
            below = radius, value
    return None


def _doubts(found: RadiusSuggestion) -> Iterator[str]:
    if found.ignorance is not None and found.loss > 0.9 * found.ignorance:
        yield "the model knows next to nothing yet; probe after a few epochs of plain training"
    if found.ignorance is not None and found.loss < 0.05 * found.ignorance:
        yield "the samples are all but fitted, and a loss near zero doubles soon; probe earlier, or try larger radii"
    if found.rho <= found.radii[0]:
        yield "the loss has risen as far at the smallest radius already; give smaller radii"
    near = min(range(len(found.radii)), key=lambda i: abs(math.log(found.radii[i] / found.rho)))
    mean, error = found.rises[near], found.errors[near]
    if found.batches == 1:
        yield "one batch was probed, and batches differ; give more"
    elif mean is not None and error is not None and error > 0.25 * abs(mean):
        yield f"batches differ much ({mean:.2g} ± {error:.1g} at {found.radii[near]:.2g}); give more of them"
    if found.skipped:
        yield f"{_count(found.skipped)} had no finite loss and gradient, or a gradient of zero"
    if None in found.rises[: near + 2]:
        yield "the loss is not finite close by"


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _half(losses: Sequence[float]) -> float:
    mean = _mean(losses)
    if mean <= 0.0:
        raise ConfigurationError(
            f"cannot aim at half of a loss of {mean:.3g}, because a loss rises by a positive number; give rise=, in "
            "units of the loss"
        )
    return SHARE * mean


def _count(batches: int) -> str:
    return f"{batches} batch{'es' * (batches != 1)}"


def _check(batches: int, radii: Sequence[float] | None, rise: float | None) -> None:
    if batches < 1:
        raise ConfigurationError(f"cannot probe {batches} batches, because the rise is measured on some; use 8, say")
    if radii is not None and not (
        radii and all(0.0 < radius < math.inf for radius in radii) and all(a < b for a, b in pairwise(radii))
    ):
        raise ConfigurationError(
            f"cannot probe at radii {', '.join(map(str, radii)) or '(none)'}, because one is gone to after the other; "
            "give positive numbers, each larger than the one before"
        )
    if rise is not None and not 0.0 < rise < math.inf:
        raise ConfigurationError(
            f"cannot aim at a rise of {rise}, because a loss rises by a positive number; give one in units of the loss"
        )
