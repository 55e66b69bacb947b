"""Spectra drawn: one, several by label, and along training.

A drawing function takes axes first; those that end in ``_figure`` make a whole one on white ground. They take results,
and run nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from samnesia.measure.curvature.density import SpectralDensity
from samnesia.measure.curvature.pairs import Eigenpairs
from samnesia.measure.figures import INK, colour, dashes, page, panels, style, tidy, whole_steps, zero
from samnesia.perturb.errors import ConfigurationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FLOOR = 0.1  # of a single eigenvalue's peak: below, a logarithmic axis shows tails of bumps and nothing else
_MARGIN = 0.05
_POINTS = 2048

Moment = float
"""An epoch or a step."""


def draw_density(axes: Axes, found: Mapping[str, SpectralDensity], *, width: float | None = None) -> None:
    """Spectral densities by label, such as SGD's and SAM's, on a logarithmic axis.

    Bumps have one ``width``, or each density's own (None: 1 % of its range), by which a narrow spectrum beside a wide
    one keeps its form. A triangle is the largest eigenvalue. The axis begins below the height of a single one.
    """
    if not found:
        raise ConfigurationError("cannot draw the density of nothing, because an axis needs a range; give a result")
    page = _Page.of(list(found.values()), width)
    for index, (label, one) in enumerate(found.items()):
        page.draw(axes, one, colour(index), label)
    axes.set_xlabel(f"eigenvalue of the {next(iter(found.values())).matrix}")
    axes.set_ylabel("density")
    tidy(axes, legend=len(found) > 1)


def draw_eigenvalues(axes: Axes, found: Mapping[str, Mapping[Moment, Eigenpairs]], *, unit: str = "epoch") -> None:
    """The largest and (dashed) the smallest eigenvalue along training, by label."""
    for index, (label, by_moment) in enumerate(found.items()):
        for form, end in enumerate(("largest", "smallest")):
            shown = [(when, getattr(by_moment[when], end)) for when in sorted(by_moment)]
            points = [(when, pairs[0].value) for when, pairs in shown if pairs]
            if points:
                name = label if end == "largest" else None
                look = {"color": colour(index), "linestyle": dashes(form), "marker": "o", "markersize": 3.0}
                axes.plot(*zip(*points, strict=True), label=name, **look)
    zero(axes)
    whole_steps(axes)
    axes.set_xlabel(unit)
    axes.set_ylabel("largest eigenvalue (dashed: smallest)")
    tidy(axes, legend=True)


def density_figure(found: Mapping[str, SpectralDensity], *, width: float | None = None) -> Figure:
    """:func:`draw_density` on a page of its own."""
    return page([partial(draw_density, found=found, width=width)], width=5.4, height=3.4)


def density_along_figure(
    found: Mapping[str, Mapping[Moment, SpectralDensity]],
    *,
    pairs: Mapping[str, Mapping[Moment, Eigenpairs]] | None = None,
    unit: str = "epoch",
    width: float | None = None,
) -> Figure:
    """Densities along training: a row per label, a column per kept checkpoint (figure 3 of Foret et al., ICLR 2021).

    Each column has one range, so that rows compare. Each panel says the largest eigenvalue (at the triangle), and
    its ratio to the fifth where ``pairs`` has it.

    Args:
        found: by label (SGD, SAM), then by epoch or step.
        pairs: eigenpairs by the same keys.
        unit: what the second key counts.
        width: of the bumps; None: 1 % of each density's range.
    """
    moments = sorted({when for by_moment in found.values() for when in by_moment})
    if not moments:
        raise ConfigurationError("cannot draw densities along training, because there are none; give results by epoch")
    with style():
        figure, every = panels(
            len(found) * len(moments), columns=len(moments), width=2.4, height=1.9 + 0.4 / len(found)
        )
        for column, when in enumerate(moments):
            shown = [by_moment[when] for by_moment in found.values() if when in by_moment]
            below = _Page.of(shown, width)
            for row, (label, by_moment) in enumerate(found.items()):
                axes = every[row * len(moments) + column]
                if when in by_moment:
                    below.draw(axes, by_moment[when], colour(row), label)
                    _caption(axes, by_moment[when], (pairs or {}).get(label, {}).get(when))
                    tidy(axes)
                else:
                    axes.set_axis_off()
                axes.set_ylabel(label if column == 0 else "", color=INK)
            every[column].set_title(f"{unit} {when:g}", loc="center")
        figure.supxlabel(f"eigenvalue of the {shown[0].matrix}", color=INK, fontsize=8.5)
    return figure


@dataclass(frozen=True)
class _Page:
    """What densities that are to compare share: grid and heights, and the width of the bumps if one is given."""

    grid: NDArray[np.float64]
    width: float | None
    floor: float
    top: float

    @classmethod
    def of(cls, densities: Sequence[SpectralDensity], width: float | None) -> _Page:
        low, high = min(one.smallest for one in densities), max(one.largest for one in densities)
        room = (high - low) or 1.0
        grid = np.linspace(low - _MARGIN * room, high + _MARGIN * room, _POINTS)
        for one in densities:  # narrow bumps need points of their own
            grid = np.union1d(grid, one.grid(_POINTS, margin=_MARGIN))
        widest = width or 0.01 * room
        single = 1.0 / (max(one.dimension for one in densities) * widest * math.sqrt(2.0 * math.pi))
        top = max(one.at(one.grid(_POINTS), width=width).max() for one in densities)
        return cls(grid, width, _FLOOR * single, 3.0 * top)

    def draw(self, axes: Axes, density: SpectralDensity, shade: str, label: str) -> None:
        heights = density.at(self.grid, width=self.width)
        axes.plot(self.grid, heights, color=shade, linewidth=1.2, label=label, zorder=3)
        axes.fill_between(self.grid, self.floor, np.maximum(heights, self.floor), color=shade, alpha=0.15, lw=0.0)
        below = axes.get_xaxis_transform()
        axes.plot(density.largest, 0.03, "v", color=shade, markersize=5, markeredgecolor="white", markeredgewidth=0.5,
                  transform=below, clip_on=False, zorder=4)  # fmt: skip
        axes.set(yscale="log", xlim=(self.grid[0], self.grid[-1]), ylim=(self.floor, self.top))


def _caption(axes: Axes, density: SpectralDensity, pairs: Eigenpairs | None) -> None:
    largest = pairs.largest if pairs is not None else ()
    text = f"λmax {largest[0].value if largest else density.largest:.3g}"
    if pairs is not None and len(largest) >= 5:
        text += f"\nλmax/λ5 {pairs.ratio(5):.2g}"
    axes.text(0.97, 0.94, text, transform=axes.transAxes, ha="right", va="top", fontsize=8, color=INK)
