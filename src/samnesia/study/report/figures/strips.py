"""A verdict as a strip: the effect with its interval, against zero and against what would matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from samnesia.study.report.figures import marks
from samnesia.study.report.figures.style import Palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, NARROW = 3.8, 2.6
"""In inches: of a strip alone, and of one among many."""
HEIGHT, LOW = 0.64, 0.26
"""In inches: with and without its axis."""


@dataclass(frozen=True)
class Strip:
    """What is drawn of one verdict.

    Attributes:
        effect: the estimate; None where there is none.
        low: lower end of its interval, or None.
        high: upper end.
        smallest: smallest effect of interest, 0 or more.
        sign: 1 where larger effects support the claim, -1 where smaller ones do.
        axis: what the effect is, with its unit.
        limits: ends of the axis; None is what the strip itself needs.
        bare: whether the axis stands below another strip.
        width: in inches.
    """

    effect: float | None
    low: float | None
    high: float | None
    smallest: float
    sign: int
    axis: str
    limits: tuple[float, float] | None = None
    bare: bool = False
    width: float = WIDTH

    @property
    def height(self) -> float:
        """In inches."""
        return LOW if self.bare else HEIGHT

    def __call__(self, axes: Axes, palette: Palette) -> None:
        """Draw it."""
        from matplotlib.ticker import MaxNLocator

        left, right = self.limits or self.needed()
        edge, least = (right, self.smallest) if self.sign > 0 else (left, -self.smallest)
        axes.axvspan(least, edge, color=palette.methods[1], alpha=0.14, linewidth=0, zorder=0)
        axes.axvline(least, color=palette.methods[1], linewidth=0.9, linestyle=(0, (3, 2)), zorder=1)
        axes.axvline(0.0, color=palette.muted, linewidth=0.9, zorder=1)
        if self.low is not None and self.high is not None:
            axes.plot(
                [self.low, self.high], [0.0, 0.0], color=palette.ink, linewidth=1.8, solid_capstyle="butt", zorder=3
            )
        if self.effect is not None:
            axes.plot(self.effect, 0.0, "o", color=palette.ink, markersize=6.0, mew=0, zorder=4)
        marks.style_axes(axes, palette, grid="x")
        axes.grid(False)
        axes.set_yticks([])
        axes.set_ylim(-1.0, 1.0)
        axes.set_xlim(left, right)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        if self.bare:
            axes.spines["bottom"].set_color(palette.rule)
            axes.tick_params(axis="x", length=0, labelbottom=False)
        else:
            axes.set_xlabel(self.axis, color=palette.ink)

    def needed(self) -> tuple[float, float]:
        """From zero, the smallest effect of interest and the interval, with room for what is of interest."""
        known = [value for value in (self.effect, self.low, self.high) if value is not None]
        ends = [0.0, self.sign * self.smallest, *known]
        width = max(ends) - min(ends) or 1.0
        low, high = min(ends) - 0.12 * width, max(ends) + 0.12 * width
        # The side that the claim is about is never a sliver.
        if self.sign > 0:
            return low, max(high, self.smallest + 0.25 * width)
        return min(low, -self.smallest - 0.25 * width), high


def common(strips: Sequence[Strip]) -> list[Strip]:
    """The same strips with one scale for those of one kind."""
    limits: dict[str, tuple[float, float]] = {}
    for strip in strips:
        low, high = strip.needed()
        known = limits.get(strip.axis, (low, high))
        limits[strip.axis] = (min(low, known[0]), max(high, known[1]))
    return [replace(strip, limits=limits[strip.axis]) for strip in strips]


def stacked(strips: Sequence[Strip]) -> list[Strip]:
    """The same strips in a line each: those of one kind have one axis, below the last of them."""
    last = {strip.axis: place for place, strip in enumerate(strips)}
    return [replace(strip, bare=last[strip.axis] != place, width=NARROW) for place, strip in enumerate(common(strips))]
