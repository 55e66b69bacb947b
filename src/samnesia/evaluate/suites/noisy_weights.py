"""Accuracy and loss under Gaussian noise on the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from samnesia.evaluate.suites.suite import Score, Suite
from samnesia.examine.parts.part import Entry, Values, latest
from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from samnesia.evaluate.noisy_weights import Interval, NoisyAccuracy
    from samnesia.examine.bench import Bench
    from samnesia.examine.chosen import Place
    from samnesia.train.loaded import Loaded

    Found = Mapping[str, list[NoisyAccuracy]]
    """Of each run, by the name of its group; not empty."""


@dataclass(frozen=True)
class NoisyWeights(Suite):
    """Gaussian noise on the weights, absolute and relative to each filter: accuracy and loss."""

    laws: tuple[Literal["absolute", "filter", "element"], ...] = ("absolute", "filter")
    """How noise is laid on weights: alike on all, relative to the norm of each filter, relative to each weight."""
    absolute: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1)
    """Sizes: its standard deviation."""
    filter: tuple[float, ...] = (0.1, 0.2, 0.3, 0.5)
    """Sizes: its norm over that of the filter."""
    element: tuple[float, ...] = (0.2, 0.5)
    """Sizes: its standard deviation over the weight."""
    draws: int = 10
    """How often noise is drawn for each size; intervals are over these."""
    vectors: bool = False
    """Noise on biases and the parameters of normalization layers, too."""
    reestimate: int | None = None
    """Estimate running statistics of normalization layers anew under each noise, from so many training samples; None
    keeps those of the run."""

    def __post_init__(self) -> None:
        require(
            self.draws >= 1 and (self.reestimate is None or self.reestimate >= 2),
            f"cannot put noise on weights with {self.draws} draws and {self.reestimate} samples for statistics, "
            "because a mean is over one draw at least, and a variance over two samples; use 10 and None, say",
        )
        for name in ("absolute", "filter", "element"):
            sizes = getattr(self, name)
            require(
                all(0.0 < size < math.inf for size in sizes) and len(set(sizes)) == len(sizes),
                f"cannot put {name} noise of sizes {', '.join(map(str, sizes))} on weights, because each is a positive "
                "number, once; use 0.1 0.2, say",
            )
        require(
            bool(self.laws) and all(getattr(self, law) for law in self.laws),
            f"cannot put noise by the laws {', '.join(self.laws) or 'none'} on weights, because each needs sizes; give "
            "some",
        )

    @property
    def name(self) -> str:
        """On the command line."""
        return "noisy-weights"

    def against(self, loaded: Loaded) -> str | None:
        """It is for classifiers."""
        targets = loaded.problem.train.batch([0])[1]
        return "the targets are no classes" if targets.ndim != 1 or targets.is_floating_point() else None

    def measure(self, bench: Bench, place: Place) -> Values:
        """Of the split that is looked at, with the noise of its seed."""
        from samnesia.evaluate.noisy_weights import noisy_accuracy
        from samnesia.evaluate.predictions import sampled_by

        found = noisy_accuracy(
            bench.loaded(place),
            sampled_by(bench.look),
            {law: getattr(self, law) for law in self.laws},
            draws=self.draws,
            seed=bench.look.seed,
            vectors=self.vectors,
            reestimate=self.reestimate,
        )
        return found.as_dict()

    def scores(self, values: Values) -> Mapping[str, Score]:
        """Accuracy and loss at each size, means over draws; of each law the mean over sizes first."""
        found: dict[str, Score] = {}
        by_law: dict[str, list[Any]] = {}
        for level in values["levels"]:
            by_law.setdefault(level["law"], []).append(level)
        for law, levels in by_law.items():
            mean = sum(level["accuracy"]["mean"] for level in levels) / len(levels)
            found[f"{law} noise: mean accuracy"] = Score(100.0 * mean, main=law == next(reversed(by_law)))
            for level in levels:
                found[f"{law} noise {level['size']:g}: accuracy"] = Score(100.0 * level["accuracy"]["mean"])
                found[f"{law} noise {level['size']:g}: loss"] = Score(level["loss"]["mean"], "", 3)
        return found

    def notes(self, values: Values) -> Iterator[str]:
        """What noise is on, and by what layers normalize."""
        which = "all trained parameters" if self.vectors else "matrices and filters, not on vectors"
        yield (
            f"noise on weights is on {which} ({values['parameters']:,}), in {self.draws} draws that are the same for "
            f"all models of one architecture; {values['normalization']}"
        )

    def captions(self) -> Mapping[str, str]:
        """How to read the figure."""
        return {
            "noisy-weights": "Accuracy and loss over the size of the noise on the weights; at 0 they are as trained. "
            "Bands: 95 % t-intervals, of a single run over draws of the noise, of several over their seeds."
        }

    def figures(self, entries: Sequence[Entry]) -> Iterator[tuple[str, Figure]]:
        """Accuracy and loss over the size of the noise, with 95 % intervals: a panel for each law."""
        from samnesia.evaluate.noisy_weights import NoisyAccuracy
        from samnesia.evaluate.weight_noise import LAWS
        from samnesia.measure.figures import name_below, panels, run_samples

        found: dict[str, list[NoisyAccuracy]] = {}
        for label, entry in latest(entries).items():
            found.setdefault(entry.group or label, []).append(NoisyAccuracy.from_dict(entry.values))
        laws = list(dict.fromkeys(level.law for runs in found.values() for one in runs for level in one.levels))
        figure, axes = panels(2 * len(laws), columns=len(laws))
        for place, law in enumerate(laws):
            above, below = axes[place], axes[place + len(laws)]
            draw_accuracy(above, found, law)
            draw_loss(below, found, law)
            above.set_title(f"Noise: {law}")
            below.set_xlabel(LAWS[law].words)
        name_below(figure, run_samples(list(found)))
        yield "noisy-weights", figure


def draw_accuracy(axes: Axes, found: Found, law: str) -> None:
    """Accuracy in percent over the size of the noise, with a band for its interval: a line for each group.

    The interval of a run by itself is over draws, that of several over runs.
    """
    _draw(axes, found, law, "accuracy", 100.0)
    axes.set_ylabel("accuracy (%)")
    axes.set_ylim(0.0, 100.0)


def draw_loss(axes: Axes, found: Found, law: str) -> None:
    """Likewise the loss, by its logarithm."""
    _draw(axes, found, law, "loss", 1.0)
    axes.set_ylabel("loss")
    axes.set_yscale("log")


def _draw(axes: Axes, found: Found, law: str, what: str, scale: float) -> None:
    from samnesia.measure.figures import colour, marker, tidy

    for place, runs in enumerate(found.values()):
        sizes = [level.size for level in runs[0].of_law(law)]
        intervals = _intervals(runs, law, what)
        means = [scale * interval.mean for interval in intervals]
        axes.plot(sizes, means, color=colour(place), marker=marker(place), markersize=3, linewidth=1.3)
        low, high = ([scale * end for end in ends] for ends in zip(*map(_ends, intervals), strict=True))
        axes.fill_between(sizes, low, high, color=colour(place), alpha=0.18, linewidth=0)
    axes.set_xlim(left=0.0)
    tidy(axes)


def _intervals(runs: Sequence[NoisyAccuracy], law: str, what: str) -> list[Interval]:
    """At each size: over the draws of one run, over the means of several."""
    from samnesia.evaluate.noisy_weights import Interval

    own = [[getattr(level, what) for level in one.of_law(law)] for one in runs]
    if len(own) == 1:
        return own[0]
    return [Interval.of([interval.mean for interval in at_size]) for at_size in zip(*own, strict=True)]


def _ends(interval: Interval) -> tuple[float, float]:
    """Of the level without noise, and of a single draw, there is none: the mean is both ends."""
    return (interval.low, interval.high) if math.isfinite(interval.low) else (interval.mean, interval.mean)
