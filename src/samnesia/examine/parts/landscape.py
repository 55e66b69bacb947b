"""Landscape: the loss along lines, over planes, along training's way, and between two runs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from samnesia.examine.parts.part import Entry, Part, Task, Values, latest
from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from samnesia.examine.bench import Bench
    from samnesia.examine.chosen import Chosen, Place
    from samnesia.measure.landscape.connection import Connection
    from samnesia.measure.landscape.lines import Line
    from samnesia.measure.landscape.planes import Plane, TrajectoryPlane

_THREE = 3  # checkpoints that a plane can be laid through


@dataclass(frozen=True)
class Landscape(Part):
    """Landscape: the loss along a random line and the sharpest one, over a plane, along training, between two runs."""

    span: float = 1.0
    """How far a random line or plane goes to both sides, as a multiple of each filter's own size."""
    eigen_span: float = 1.0
    """How far the line along the leading eigenvector goes to both sides: a distance."""
    points: int = 41
    """Points of a line, and of the way between two runs."""
    plane_points: int = 17
    """Points of a plane along each axis; 0 draws none."""

    def __post_init__(self) -> None:
        for name in ("span", "eigen_span"):
            value = getattr(self, name)
            require(
                0.0 < value < float("inf"),
                f"cannot draw a landscape with {name} {value}, because it needs a width; give a positive number",
            )
        require(
            self.points >= 2 and (self.plane_points == 0 or self.plane_points >= 2),
            f"cannot draw a landscape of {self.points} and {self.plane_points} points, because two show a difference; "
            "give more",
        )

    @property
    def name(self) -> str:
        """On the command line."""
        return "landscape"

    def tasks(self, chosen: Sequence[Chosen]) -> Iterator[Task]:
        """The last checkpoint of each run, its way there, and the way between the runs where there are two."""
        for one in chosen:
            yield Task(self.name, one.label, one.places[-1:], self.options, self._at(one.places[-1]))
            if len(one.kept) >= _THREE and self.plane_points:
                options = {"trajectory": True, "points": self.plane_points}
                yield Task(self.name, one.label, one.kept, options, partial(self._way, one.kept))
        if len(chosen) == 2 and _comparable(*chosen):
            label = f"{chosen[0].label} to {chosen[1].label}"
            ends = (chosen[1].places[-1], chosen[0].places[-1])
            yield Task(self.name, label, ends, {"between": True, "points": self.points}, partial(self._between, ends))

    def measure(self, bench: Bench, place: Place) -> Values:
        """Lines and a plane around a checkpoint."""
        from samnesia.measure.curvature.spectrum import eigenpairs
        from samnesia.measure.landscape.directions import given_direction, orthogonalized, random_direction
        from samnesia.measure.landscape.lines import line
        from samnesia.measure.landscape.planes import plane

        subject, seed = bench.subject(place), 2 * bench.look.seed
        first = random_direction(subject, seed=seed)
        leading = eigenpairs(subject, 1, ends="largest", tolerance=1e-2, seed=seed).largest[0]
        sharpest = given_direction(subject, leading.vector, label="leading eigenvector")
        values = {
            "random": line(subject, first, span=self.span, points=self.points).as_dict(),
            "sharpest": line(subject, sharpest, span=self.eigen_span, points=self.points).as_dict(),
        }
        if self.plane_points:
            second = orthogonalized(subject, random_direction(subject, seed=seed + 1), first)
            found = plane(subject, (first, second), span=self.span, points=self.plane_points)
            values["plane"] = found.as_dict()
        return values

    def _way(self, kept: Sequence[Place], bench: Bench) -> Values:
        """The plane in which the checkpoints of a run lie best."""
        from samnesia.measure.landscape.planes import trajectory_plane

        checkpoints = [bench.another(place).model.state_dict() for place in kept]
        found = trajectory_plane(bench.subject(kept[-1]), checkpoints, points=self.plane_points)
        return {"trajectory": found.as_dict(), "epochs": [place.epoch for place in kept]}

    def _between(self, ends: tuple[Place, Place], bench: Bench) -> Values:
        """The straight way from the first run to the second, on the samples of the first."""
        from samnesia.measure.landscape.connection import connect, same_valley

        second, first = ends
        other = bench.another(second).model
        here, subject = bench.loaded(first), bench.subject(first)
        held_out = bench.subject_of(here, bench.samples(first, "test")) if here.problem.test is not None else None
        found = connect(subject, other, held_out=held_out, points=self.points)
        values: Values = {"connection": found.as_dict(), "samples_of": first.label}
        if found.train.error_barrier is not None:
            valley = same_valley(found)
            values |= {"same_valley": valley.same, "verdict": valley.verdict}
        return values

    def figures(self, entries: Sequence[Entry]) -> Iterator[tuple[str, Figure]]:
        """Lines and planes of all runs; a way of training and a way between two runs in a figure each."""
        from samnesia.measure.figures import entitle, panels
        from samnesia.measure.landscape.contours import shared_levels
        from samnesia.measure.landscape.figures import (
            connection_figure,
            draw_lines,
            draw_plane,
            trajectory_figure,
        )

        around = latest([entry for entry in entries if "random" in entry.values])
        if around:
            figure, axes = panels(2, width=4.0)
            for one, kind in zip(axes, ("random", "sharpest"), strict=True):
                draw_lines(one, {label: _line(entry.values[kind]) for label, entry in around.items()})
            axes[0].set_xlabel("position along a random direction (filter-normalized)")
            axes[1].set_xlabel("distance along the leading eigenvector of the Hessian")
            yield "landscape-lines", figure
        planes = {label: entry.values["plane"] for label, entry in around.items() if "plane" in entry.values}
        if planes:
            levels = shared_levels([_plane(plane).losses for plane in planes.values()])
            figure, axes = panels(len(planes), width=4.4, height=3.8)
            for one, (label, plane) in zip(axes, planes.items(), strict=True):
                draw_plane(one, _plane(plane), levels=levels)
                one.set_title(label)
                one.locator_params(nbins=5)
            yield "landscape-planes", figure
        for entry in entries:
            if "trajectory" in entry.values:
                figure = trajectory_figure(_trajectory(entry.values["trajectory"]))
                figure.axes[0].set_title(f"Way of {entry.label}", loc="right")
                yield f"landscape-way-{_file(entry.label)}", figure
            if "connection" in entry.values:
                figure = connection_figure(_connection(entry.values["connection"]))
                title = f"{entry.label}, on the samples of {entry.values['samples_of']}"
                entitle(figure, title)
                yield f"landscape-between-{_file(entry.label)}", figure

    def rows(self, values: Values) -> Mapping[str, str]:
        """Rises along the lines, what the trajectory's plane explains, and the barriers between two runs."""
        found = {}
        for kind, name in (("random", "random line"), ("sharpest", "leading eigenvector")):
            if kind in values:
                losses, places = values[kind]["losses"], values[kind]["positions"]
                ends = [loss for loss in (losses[0], losses[-1]) if loss is not None]
                found[f"loss at ±{places[-1]:g}, {name}"] = f"{sum(ends) / len(ends):.3g}" if ends else "not finite"
        if "trajectory" in values:
            found["way: variance in the plane"] = f"{100 * sum(values['trajectory']['explained']):.0f} %"
        if "connection" in values:
            found["distance"] = f"{values['connection']['distance']:.3g}"
            for split, name in (("train", "training"), ("held_out", "held-out")):
                segment = values["connection"][split]
                if segment is not None:
                    found[f"loss barrier, {name}"] = _number(segment["loss_barrier"]["height"])
                    if segment["error_barrier"] is not None:
                        found[f"error barrier, {name}"] = f"{100 * segment['error_barrier']['height']:.1f} %"
            if "same_valley" in values:
                found["same valley"] = "yes" if values["same_valley"] else "no"
        return found


def _comparable(first: Chosen, second: Chosen) -> bool:
    """Whether there is a straight way between two runs."""
    return first.run is not second.run and first.run.config.model == second.run.config.model


def _number(value: float | None) -> str:
    return "infinite" if value is None else f"{value:.3g}"


def _file(label: str) -> str:
    return re.sub(r"[^\w.-]+", "-", label)


def _filled(values: Sequence[Any]) -> Any:
    """With NaN for what is not finite."""
    return tuple(_filled(v) if isinstance(v, list) else math.nan if v is None else v for v in values)


def _line(plain: Values) -> Line:
    from samnesia.measure.landscape.lines import Line

    names = ("label", "positions", "losses", "errors", "length", "statistics", "samples")
    return Line(**{name: _filled(v) if isinstance(v := plain[name], list) else v for name in names})


def _plane(plain: Values) -> Plane:
    from samnesia.measure.landscape.planes import Plane

    return Plane(**{name: _filled(value) if isinstance(value, list) else value for name, value in plain.items()})


def _trajectory(plain: Values) -> TrajectoryPlane:
    from samnesia.measure.landscape.planes import TrajectoryPlane

    rest = (_filled(plain[name]) for name in ("path", "explained", "outside"))
    return TrajectoryPlane(_plane(plain["plane"]), *rest)


def _connection(plain: Values) -> Connection:
    from samnesia.measure.landscape.connection import Connection, Segment

    train, held_out = (None if plain[s] is None else Segment(_line(plain[s])) for s in ("train", "held_out"))
    if train is None:
        raise ValueError("a connection is measured on training samples at least")
    return Connection(train, held_out, plain["distance"])
