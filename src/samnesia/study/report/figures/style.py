"""How figures look: drawn once and coloured for paper, for a dark screen, or by the page's style sheet.

A drawing function takes axes and a palette, and nothing else: the same figure serves the report (colours as CSS
variables, so that it follows light and dark) and the image files.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samnesia.measure.figures import COLOURS, INK, MUTED, RULE, TEXT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_INCHES = 4.2  # of one panel: text of 8.5 pt stays readable on a phone 375 px wide
MANY = 12
"""Methods up to which each has its name and its colour among lines and marks; of more, some are picked out."""


@dataclass(frozen=True)
class Palette:
    """Colours by role; ``methods`` holds the baseline's first, and is taken in the order of the comparison."""

    ink: str
    muted: str
    rule: str
    surface: str
    methods: tuple[str, ...]

    def method(self, index: int) -> str:
        """Colour of the method at this place; the baseline alone has the first."""
        return self.methods[0] if index == 0 else self.methods[1 + (index - 1) % (len(self.methods) - 1)]

    def marker(self, index: int) -> str:
        """Form of the method's marks; with the colour it is its own, also where colours come round again."""
        return _MARKERS[0 if index == 0 else (index - 1) // (len(self.methods) - 1) % len(_MARKERS)]

    def dashes(self, index: int) -> Any:
        """Form of the method's lines, likewise."""
        return _DASHES[0 if index == 0 else (index - 1) // (len(self.methods) - 1) % len(_DASHES)]


_MARKERS = ("o", "s", "D")
_DASHES = ("-", (0, (4, 1.2)), (0, (1.2, 1.2)))

LIGHT = Palette(INK, MUTED, RULE, "#ffffff", COLOURS)
DARK = Palette(
    "#e8e8ea", "#a3a6ad", "#3a3c42", "#15161a", ("#a3a6ad", "#4aa8e0", "#f08a4b", "#2fc79a", "#e08cbf", "#8ccbf2")
)
# Placeholders that matplotlib accepts as colours and that `inline_svg` turns into the page's CSS variables.
TOKENS = Palette(
    "#010101", "#010102", "#010103", "#010104", ("#010200", "#010201", "#010202", "#010203", "#010204", "#010205")
)
CSS_COLOURS = {
    TOKENS.ink: "currentColor",
    TOKENS.muted: "var(--muted)",
    TOKENS.rule: "var(--rule)",
    TOKENS.surface: "var(--surface)",
    **{token: f"var(--method-{index})" for index, token in enumerate(TOKENS.methods)},
}


_ACRONYM = re.compile(r"sgd|adamw?|obf|ema|swa|rwp|mesa|saf|([a-z]{1,2}-?)?sam")
Draw = Callable[["Axes", Palette], None]


def label(method: str) -> str:
    """The method's name as printed: those that are acronyms in capitals."""
    return method.upper() if _ACRONYM.fullmatch(method) else method


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Move values apart, as little as needed in order, until neighbours are at least ``gap`` apart (least squares)."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    # With the gaps taken off, "at least gap apart" is "not decreasing": pool neighbours that violate it.
    blocks: list[list[float]] = []  # sum, count
    for rank, place in enumerate(order):
        blocks.append([values[place] - rank * gap, 1.0])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += count
    level = [total / count for total, count in blocks for _ in range(int(count))]
    moved = [0.0] * len(values)
    for rank, place in enumerate(order):
        moved[place] = level[rank] + rank * gap
    return moved


def make_panels(
    draws: Sequence[Draw], palette: Palette, height: float, *, width: float = WIDTH_INCHES, columns: int | None = None
) -> Figure:
    """A figure of panels of this size in inches, in rows of ``columns`` (None: one row), on a transparent ground."""
    from matplotlib.figure import Figure

    columns = min(columns or len(draws), len(draws))
    rows = -(-len(draws) // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    figure.patch.set_alpha(0.0)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for draw, axes in zip(draws, panels, strict=False):
        draw(axes, palette)
    for axes in panels[len(draws) :]:
        axes.remove()
    if rows > 1:
        figure.set_layout_engine("constrained", h_pad=0.1, w_pad=0.08)
    return figure


def style_context() -> Any:
    """The context in which figures are made and saved: one font size, thin lines, text kept as text."""
    import matplotlib

    return matplotlib.rc_context({**TEXT, "figure.dpi": 72})


def inline_svg(figure: Figure, name: str, description: str) -> str:
    """The figure as an ``<svg>`` element for a page: named for screen readers, coloured by the page's variables.

    Identifiers get ``name`` as a prefix, because several figures share one document.
    """
    return inline(svg(figure), name, description)


def inline(text: str, name: str, description: str, colours: Mapping[str, str] = CSS_COLOURS) -> str:
    """The same of the text of an SVG file; ``colours`` are the page's variables by the colours that stand for them."""
    from html import escape

    text = text[text.index("<svg") :]
    for token, variable in colours.items():
        text = text.replace(token, variable)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', text).replace("url(#", f"url(#{name}-")
    view_box = re.search(r'viewBox="[^"]+"', text)
    if view_box is None:
        raise ValueError("cannot place a figure in the page, because its SVG has no viewBox.")
    opening = f'<svg id="{name}" {view_box[0]} role="img" aria-label="{escape(description, quote=True)}">'
    return opening + _without_excess(text[text.index(">") + 1 :]).replace("xlink:href", "href")


def svg(figure: Figure) -> str:
    """The figure as an SVG document without date and generator, so that equal figures are equal files."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return buffer.getvalue()


def _without_excess(text: str) -> str:
    """The inside of an SVG without digits beyond a hundredth of a point, comments and metadata."""
    text = re.sub(r"<!--.*?-->\n?|<metadata>.*?</metadata>\n?", "", text, flags=re.DOTALL)
    # Only in the geometry: in text a number is what it is.
    return re.sub(
        r'( (?:d|x|y|transform|points|style|cx|cy|r|width|height)=")([^"]*)"',
        lambda match: match[1] + re.sub(r"(\.\d\d)\d+", r"\1", match[2]) + '"',
        text,
    )
