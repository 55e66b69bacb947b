"""The nets along a line, a curve or a simplex that was trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from samnesia.examine.parts.part import Entry, Part, Values, latest
from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from samnesia.examine.bench import Bench
    from samnesia.examine.chosen import Place
    from samnesia.train.along import Along
    from samnesia.train.loaded import Loaded

_SIDES = {"accuracy": "accuracy (%)", "loss": "loss (nats)"}


@dataclass(frozen=True)
class Subspace(Part):
    """Subspace: accuracy and loss along a line, a curve or a simplex, of its ends, and of the ends together."""

    points: int = 21
    """Places on each way over it."""
    bins: int = 15
    """Bins of equal width for the expected calibration error."""

    def __post_init__(self) -> None:
        require(
            self.points >= 2 and self.bins >= 1,
            f"cannot look along a subspace at {self.points} places with {self.bins} bins, because a way has two ends "
            "and a confidence needs a bin; give more",
        )

    @property
    def name(self) -> str:
        """On the command line."""
        return "subspace"

    def against(self, loaded: Loaded) -> str | None:
        """Why it does not apply; None if it does."""
        return None if loaded.subspace is not None else "the run trained one net"

    def measure(self, bench: Bench, place: Place) -> Values:
        """Of the test split, or of the one that is looked at where there is none."""
        from samnesia.train.along import along

        loaded = bench.loaded(place)
        samples = bench.samples(place, None if loaded.problem.test is None else "test")
        return along(loaded, samples, points=self.points, bins=self.bins, progress=bench.progress).as_dict()

    def figures(self, entries: Sequence[Entry]) -> Iterator[tuple[str, Figure]]:
        """Accuracy and loss over the position, with the ends together as a level line; a figure for each run."""
        from functools import partial

        from samnesia.measure.figures import entitle, page

        for label, entry in latest(entries).items():
            found = _read(entry.values)
            figure = page([partial(draw_along, found=found, side=side) for side in _SIDES], height=3.2)
            entitle(figure, f"{label}: {found.shape}, {found.split} samples")
            yield f"subspace-{''.join(c if c.isalnum() else '-' for c in label)}", figure

    def rows(self, values: Values) -> Mapping[str, str]:
        """Accuracy and ECE at the centre, of the ends, and of the ends together."""
        found = _read(values)
        ends = found.endpoints
        lowest = min(one.accuracy for way in found.ways.values() for one in way)
        return {
            "centre accuracy": _percent(found.centre.accuracy),
            "endpoint accuracy, mean": _percent(sum(one.accuracy for one in ends) / len(ends)),
            "endpoints together": _percent(found.ensemble.accuracy),
            "lowest on the way": _percent(lowest),
            "centre ECE": f"{found.centre.ece:.3f}",
            "endpoints together, ECE": f"{found.ensemble.ece:.3f}",
            "squared cosine of endpoints": f"{found.cosine:.3g}",
        }

    def notes(self, values: Values) -> Iterator[str]:
        """Of what samples, and with which statistics."""
        found = _read(values)
        yield (
            f"{found.shape}, on {found.samples} {found.split} samples; BatchNorm's statistics are estimated anew at "
            "each place, from all training samples without augmentation"
        )


def draw_along(axes: Axes, found: Along, side: str) -> None:
    """Accuracy (``side="accuracy"``) or loss (``"loss"``) on each way, and that of the ends together."""
    from samnesia.measure.figures import MUTED, colour, dashes, tidy

    scale = 100.0 if side == "accuracy" else 1.0
    several = len(found.ways) > 1
    for index, (name, way) in enumerate(found.ways.items(), 1):
        places, heights = [one.position for one in way], [scale * getattr(one, side) for one in way]
        axes.plot(places, heights, color=colour(index), linewidth=1.3, label=name if several else found.shape)
        axes.plot(places[:1], heights[:1], "o", color=colour(index), markersize=4)
        if not several:
            axes.plot(places[-1:], heights[-1:], "o", color=colour(index), markersize=4)
    together = scale * getattr(found.ensemble, side)
    axes.axhline(together, color=MUTED, linewidth=1.1, linestyle=dashes(1), label="endpoints together")
    axes.set_xlabel("from endpoint (0) to barycentre (1)" if several else "from first endpoint (0) to last (1)")
    axes.set_ylabel(_SIDES[side])
    tidy(axes, legend=side == "accuracy")


def _read(values: Values) -> Along:
    from samnesia.train.along import Along

    return Along.from_dict(values)


def _percent(share: float) -> str:
    return f"{100.0 * share:.1f} %"
