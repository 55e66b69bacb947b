"""Accuracy on shifted images of others beside that on the model's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from samnesia.evaluate.suites.suite import Score, Suite
from samnesia.examine.parts.part import Entry, Values, latest
from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from samnesia.data.published.classes import ClassNumbers
    from samnesia.data.published.labelled import Labelled
    from samnesia.evaluate.shifts import Shift
    from samnesia.examine.bench import Bench
    from samnesia.examine.chosen import Place
    from samnesia.train.loaded import Loaded

    Opens = Callable[[ClassNumbers], Labelled]


@dataclass(frozen=True)
class Shifts(Suite):
    """Images of others: ImageNet-V2, -R, -A, -Sketch, ReaL, and folders of your own."""

    v2: str | None = None
    """ImageNet-V2: folder of the folders 0 to 999, of one of its three variants."""
    r: str | None = None
    """ImageNet-R: folder of the folders of its 200 classes, among which predictions are."""
    a: str | None = None
    """ImageNet-A: likewise."""
    sketch: str | None = None
    """ImageNet-Sketch: folder of the folders of the 1000 classes."""
    real: str | None = None
    """ReaL labels: their file real.json, or timm for the one that comes with timm."""
    real_images: str | None = None
    """The validation images that ReaL labels are of; None is the folder of the model's own test images."""
    folders: tuple[str, ...] = ()
    """Folders of your own, in each a folder per class."""
    restrict: bool = False
    """Predictions on folders of your own are among the classes that these have."""
    classes: str | None = None
    """JSON or CSV file with class numbers of folders, beside those known by the names of the folders trained on."""
    missing: Literal["stop", "skip"] = "stop"
    """What happens where a set is incomplete: nothing of the suite is evaluated, or what is there of it."""
    damaged: Literal["stop", "skip"] = "stop"
    """What happens at images that cannot be decoded: nothing of the suite is evaluated, or they are left out."""

    def __post_init__(self) -> None:
        require(
            self.real is not None or self.real_images is None,
            "cannot evaluate on images with ReaL labels without these, because they are a file of their own; set real "
            "to real.json, or to timm",
        )
        names = [_name(folder) for folder in self.folders]
        require(
            len(set(names)) == len(names),
            f"cannot tell the folders {', '.join(self.folders)} apart, because tables call them by their last names; "
            "rename one",
        )

    @property
    def name(self) -> str:
        """On the command line."""
        return "shifts"

    def against(self, loaded: Loaded) -> str | None:
        """It needs data sets, and a model of images in files."""
        from samnesia.evaluate.shifts import unseen

        named = (self.v2, self.r, self.a, self.sketch, self.real, *self.folders)
        return unseen(loaded) or (None if any(named) else "no data set is named, such as --shifts.v2 FOLDER")

    def _sets(self, loaded: Loaded) -> dict[str, Opens]:
        """How each set is opened, by name."""
        from samnesia.data.published.folders import open_part, open_sketch, open_v2
        from samnesia.data.published.real import open_real, own_images

        skip = self.missing == "skip"
        found: dict[str, Opens] = {}
        if (v2 := self.v2) is not None:
            found["ImageNet-V2"] = lambda classes: open_v2(v2, classes, skip=skip)
        if (r := self.r) is not None:
            found["ImageNet-R"] = lambda classes: open_part(r, "r", classes, skip=skip)
        if (a := self.a) is not None:
            found["ImageNet-A"] = lambda classes: open_part(a, "a", classes, skip=skip)
        if (sketch := self.sketch) is not None:
            found["ImageNet-Sketch"] = lambda classes: open_sketch(sketch, classes, skip=skip)
        if (real := self.real) is not None:
            images = self.real_images or own_images(loaded.problem)
            found["ReaL"] = lambda classes: open_real(real, images, classes, skip=skip)
        for folder in self.folders:
            found[_name(folder)] = _own(folder, restrict=self.restrict)
        return found

    def measure(self, bench: Bench, place: Place) -> Values:
        """Accuracy on each set, and on the split that is looked at."""
        from samnesia.data.published.classes import classes_of
        from samnesia.evaluate.predictions import sampled_by
        from samnesia.evaluate.shifts import shift_accuracies

        loaded = bench.loaded(place)
        classes = classes_of(loaded.problem, self.classes)
        sets = {name: opens(classes) for name, opens in self._sets(loaded).items()}
        found = shift_accuracies(loaded, sets, sampled_by(bench.look), skip_damaged=self.damaged == "skip")
        return {"split": bench.look.split, "sets": {name: shift.as_dict() for name, shift in found.items()}}

    def scores(self, values: Values) -> Mapping[str, Score]:
        """Accuracy on each set, how much lower it is than on the model's own images of the same classes."""
        found: dict[str, Score] = {}
        for name, shift in _shifts(values).items():
            found[name] = Score(100.0 * shift.accuracy.value, main=not found)
            if shift.clean is not None:
                found[f"{name}: own images by the same rule"] = Score(100.0 * shift.clean.value)
                found[f"{name}: lower by"] = Score(100.0 * (shift.clean.value - shift.accuracy.value), "points")
        return found

    def notes(self, values: Values) -> Iterator[str]:
        """Among which classes predictions are, and what was left out."""
        from samnesia.data.published.labelled import some

        for name, shift in _shifts(values).items():
            if shift.among is not None:
                yield f"{name}: predictions are among {shift.among} classes"
            if shift.missing:
                yield f"{name} is incomplete: {some(shift.missing)} missing"
            if shift.damaged:
                yield f"{name}: {shift.damaged} damaged images are left out"

    def captions(self) -> Mapping[str, str]:
        """How to read the figure."""
        return {
            "shifts": "Accuracy on the images of others over that on the model's own of the same classes, with "
            "standard errors over images: a point for each run. On the dashed line both are equal."
        }

    def figures(self, entries: Sequence[Entry]) -> Iterator[tuple[str, Figure]]:
        """Shifted accuracy over that on the model's own images: a panel for each set, a point for each run."""
        from samnesia.measure.figures import name_below, panels, run_samples

        groups: dict[str, list[dict[str, Shift]]] = {}
        for label, entry in latest(entries).items():
            groups.setdefault(entry.group or label, []).append(_shifts(entry.values))
        names = list(dict.fromkeys(name for found in groups.values() for shifts in found for name in shifts))
        figure, axes = panels(len(names), height=3.4)
        for one, name in zip(axes, names, strict=True):
            draw_shift(one, [[shifts[name] for shifts in found if name in shifts] for found in groups.values()])
            one.set_title(name)
        name_below(figure, run_samples(list(groups)))
        yield "shifts", figure


def draw_shift(axes: Axes, groups: Sequence[Sequence[Shift]]) -> None:
    """Accuracy on shifted images over that on the model's own, with standard errors over images: points by group.

    On the dashed line a model is as right on shifted images as on its own.
    """
    from samnesia.measure.figures import MUTED, colour, marker, tidy

    points = [
        (place, shift.clean, shift.accuracy)
        for place, group in enumerate(groups)
        for shift in group
        if shift.clean is not None
    ]
    seen = [100.0 * one.value for _, *both in points for one in both]
    low, high = max(0.0, min(seen, default=0.0) - 5.0), min(100.0, max(seen, default=100.0) + 5.0)
    axes.plot([low, high], [low, high], color=MUTED, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
    for place, clean, shifted in points:
        axes.errorbar(
            100.0 * clean.value,
            100.0 * shifted.value,
            xerr=100.0 * clean.error,
            yerr=100.0 * shifted.error,
            fmt=marker(place),
            color=colour(place),
            markersize=5,
            elinewidth=1.0,
            clip_on=False,  # models that are right on all of it lie on the edge
        )
    axes.set(xlim=(low, high), ylim=(low, high), xlabel="own images, same classes: accuracy (%)")
    axes.set_ylabel("shifted images: accuracy (%)")
    axes.set_aspect("equal")
    tidy(axes)


def _own(folder: str, *, restrict: bool) -> Opens:
    from samnesia.data.published.folders import open_own

    return lambda classes: open_own(folder, classes, restrict=restrict)


def _name(folder: str) -> str:
    return Path(folder).name


def _shifts(values: Values) -> dict[str, Shift]:
    from samnesia.evaluate.shifts import Shift

    return {name: Shift.from_dict(one) for name, one in values["sets"].items()}
