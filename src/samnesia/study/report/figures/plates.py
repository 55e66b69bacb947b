"""A figure of the page: a title, one panel or several of a kind, and how to read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from samnesia.study.engine.store import write_text
from samnesia.study.report.figures import style
from samnesia.study.report.figures.style import Draw

NARROW_INCHES = 3.3
"""Width of a panel of three in a row."""
SIDE_BY_SIDE = 3
"""Panels in a row on a wide screen, and in image files."""


@dataclass(frozen=True)
class Panel:
    """What is drawn on one pair of axes, and in words what it shows, for those who cannot see it."""

    draw: Draw
    description: str
    height: float | None = None
    """In inches on the page, where it is not that of all."""


@dataclass(frozen=True)
class Plate:
    """A figure of the page.

    Attributes:
        name: of its files and in identifiers.
        title: what is seen.
        caption: how marks are to be read, in sentences.
        panels: one, or several that stand in a grid.
        height: of a panel in inches; in image files of all of them.
    """

    name: str
    title: str
    caption: str
    panels: tuple[Panel, ...]
    height: float

    @property
    def several(self) -> bool:
        """Whether it takes the whole width of the page."""
        return len(self.panels) > 1

    @property
    def columns(self) -> int:
        """Panels in a row."""
        return len(self.panels) if len(self.panels) < SIDE_BY_SIDE else 2 if len(self.panels) == 4 else SIDE_BY_SIDE

    @property
    def width(self) -> float:
        """Of one panel in inches."""
        return NARROW_INCHES if self.columns == SIDE_BY_SIDE else style.WIDTH_INCHES

    def inline(self) -> list[str]:
        """Its panels as ``<svg>`` elements for the page."""
        names = [f"figure-{self.name}-{place}" for place in range(len(self.panels))]
        names = names if self.several else [f"figure-{self.name}"]
        return [
            style.inline_svg(
                style.make_panels([panel.draw], style.TOKENS, panel.height or self.height, width=self.width),
                name, panel.description,
            )
            for name, panel in zip(names, self.panels, strict=True)
        ]  # fmt: skip

    def write(self, directory: Path) -> None:
        """Write it as ``NAME.svg`` and ``NAME.png``, for paper."""
        draws = [panel.draw for panel in self.panels]
        write_files(directory, self.name, draws, style.LIGHT, self.height, width=self.width, columns=self.columns)


def write_files(directory: Path, name: str, draws: Sequence[Draw], palette: style.Palette, height: float, *,
                width: float = style.WIDTH_INCHES, columns: int | None = None) -> None:  # fmt: skip
    """Write panels side by side as ``NAME.svg`` and ``NAME.png`` on the ground of the palette."""
    figure = style.make_panels(draws, palette, height, width=width, columns=columns)
    figure.patch.set(alpha=1.0, facecolor=palette.surface)
    directory.mkdir(parents=True, exist_ok=True)
    write_text(directory / f"{name}.svg", style.svg(figure))
    figure.set_layout_engine("none")  # it stands: the second file is laid out as the first
    figure.savefig(directory / f"{name}.png", dpi=200)
