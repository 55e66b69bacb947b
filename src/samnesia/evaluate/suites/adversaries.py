"""Accuracy and loss under attack."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from samnesia.evaluate.suites.suite import Score, Suite
from samnesia.examine.parts.part import Entry, Values, in_order, latest
from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from samnesia.evaluate.adversaries import Robustness
    from samnesia.examine.bench import Bench
    from samnesia.examine.chosen import Place
    from samnesia.train.loaded import Loaded

PIXEL = 1 / 255
"""A level of brightness, in pixels of 0 to 1."""


@dataclass(frozen=True)
class Adversaries(Suite):
    """Adversaries that know the model: accuracy and loss under FGSM and PGD, in L∞ and L2, over several radii."""

    linf: tuple[float, ...] = (2 * PIXEL, 8 * PIXEL, 16 * PIXEL, 32 * PIXEL)
    """Radii by the largest change of a pixel, as pixels run from 0 to 1; none leaves the norm out."""
    l2: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0)
    """Radii by the Euclidean length of the change, in the same unit."""
    steps: int = 20
    """Steps of PGD, each of 2.5 / steps of the radius."""
    restarts: int = 1
    """Random starts of PGD, of which the worst counts for each sample."""
    fgsm: bool = True
    """Try one step as well: cheap, and where it finds more than PGD, gradients hide something."""

    def __post_init__(self) -> None:
        for name in ("linf", "l2"):
            radii = getattr(self, name)
            require(
                all(0.0 < eps < math.inf for eps in radii) and len(set(radii)) == len(radii),
                f"cannot attack within {name} radii {', '.join(map(str, radii))}, because each is a positive number, "
                "once; use 0.03 0.06, say",
            )
        require(bool(self.linf or self.l2), "cannot attack without a radius, because attacks are bounded; give some")
        for name in ("steps", "restarts"):
            value = getattr(self, name)
            require(value >= 1, f"cannot attack with {name} {value}, because 1 is the least; change it")

    @property
    def name(self) -> str:
        """On the command line."""
        return "adversaries"

    def against(self, loaded: Loaded) -> str | None:
        """It is for classifiers of images."""
        if loaded.problem.exposure is None:
            return "the data are no images"
        targets = loaded.problem.train.batch([0])[1]
        return "the targets are no classes" if targets.ndim != 1 or targets.is_floating_point() else None

    def measure(self, bench: Bench, place: Place) -> Values:
        """Of the split that is looked at, with random starts by its seed."""
        from samnesia.evaluate.adversaries import Strength, robustness
        from samnesia.evaluate.predictions import sampled_by

        found = robustness(
            bench.loaded(place),
            sampled_by(bench.look),
            radii={"linf": self.linf, "l2": self.l2},
            strength=Strength(self.steps, self.restarts),
            one_step=self.fgsm,
            seed=bench.look.seed,
        )
        return found.as_dict()

    def scores(self, values: Values) -> Mapping[str, Score]:
        """Accuracy at each radius, and the loss under PGD; of each norm the mean over radii under PGD first."""
        found: dict[str, Score] = {}
        robust = _read(values)
        for norm in dict.fromkeys(one.norm for one in robust.attacks):
            several = robust.of(norm, "pgd")
            mean = sum(one.accuracy.value for one in several) / len(several)
            found[f"PGD {_symbol(norm)}: mean accuracy"] = Score(100.0 * mean, main=not found)
            for one in robust.of(norm, "fgsm"):
                found[f"FGSM {_symbol(norm)} {_radius(one.norm, one.eps)}"] = Score(100.0 * one.accuracy.value)
            for one in several:
                words = f"PGD {_symbol(norm)} {_radius(one.norm, one.eps)}"
                found[words] = Score(100.0 * one.accuracy.value)
                found[f"{words}: loss"] = Score(one.loss if math.isfinite(one.loss) else None, "", 3)
        return found

    def notes(self, values: Values) -> Iterator[str]:
        """How it was attacked, and what speaks against the numbers."""
        starts = "1 random start" if self.restarts == 1 else f"the worst of {self.restarts} random starts"
        yield (
            f"PGD takes {self.steps} steps from {starts}; radii are of pixels of 0 to 1. A stronger attack would find "
            "more: these accuracies are upper bounds"
        )
        yield from _read(values).doubts()

    def captions(self) -> Mapping[str, str]:
        """How to read the figure."""
        return {
            "adversaries": "Accuracy over the size of what an adversary may change, under PGD (solid) and FGSM "
            "(dashed); at 0 it is that of the images as they are."
        }

    def figures(self, entries: Sequence[Entry]) -> Iterator[tuple[str, Figure]]:
        """Accuracy over the radius: a panel for each norm, a line for each run and attack."""
        from samnesia.measure.figures import name_below, panels, run_samples, sample

        labels, last = in_order(entries), latest(entries)
        found = {label: _read(last[label].values) for label in labels}
        norms = list(dict.fromkeys(one.norm for robust in found.values() for one in robust.attacks))
        figure, axes = panels(len(norms), height=3.2)
        for one, norm in zip(axes, norms, strict=True):
            draw_robustness(one, found, norm)
        handles = [*run_samples(labels), sample("PGD")]
        if any(robust.of(norm, "fgsm") for robust in found.values() for norm in norms):
            handles.append(sample("FGSM", linestyle=(0, (4, 1.5))))
        name_below(figure, handles)
        yield "adversaries", figure


def draw_robustness(axes: Axes, found: Mapping[str, Robustness], norm: str) -> None:
    """Accuracy in percent over the radius in a norm, with standard errors under PGD: two lines for each run."""
    from samnesia.measure.figures import colour, dashes, marker, tidy

    for place, robust in enumerate(found.values()):
        for number, attack in enumerate(("pgd", "fgsm")):
            several = robust.of(norm, attack)
            if not several:
                continue
            shares = [robust.clean, *(one.accuracy for one in several)]
            axes.errorbar(
                [0.0, *(one.eps for one in several)],
                [100.0 * share.value for share in shares],
                yerr=None if attack == "fgsm" else [100.0 * share.error for share in shares],
                color=colour(place),
                linestyle=dashes(number),
                marker=marker(place) if attack == "pgd" else None,
                markersize=3,
                linewidth=1.3 if attack == "pgd" else 0.9,
                elinewidth=0.8,
            )
    axes.set(xlabel=f"radius, {_symbol(norm)}, pixels of 0 to 1", ylabel="accuracy (%)")
    axes.set_ylim(0.0, 100.0)
    axes.set_xlim(left=0.0)
    axes.set_title(f"Adversaries: {_symbol(norm)}")
    tidy(axes)


def _radius(norm: str, eps: float) -> str:
    """``8/255`` where it is so many levels of brightness."""
    levels = eps / PIXEL
    if norm == "linf" and abs(levels - round(levels)) < 1e-6 * levels and round(levels):
        return f"{round(levels)}/255"
    return f"{eps:g}"


def _symbol(norm: str) -> str:
    from samnesia.adversaries.norms import NORMS

    return NORMS[norm].symbol


def _read(values: Values) -> Robustness:
    from samnesia.evaluate.adversaries import Robustness

    return Robustness.from_dict(values)
