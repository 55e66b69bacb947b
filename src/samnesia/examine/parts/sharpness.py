"""Sharpness: the rise of the loss in a ball."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samnesia.examine.parts.part import Entry, Part, Values, in_order, latest, rounded
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from samnesia.examine.bench import Bench
    from samnesia.examine.chosen import Place
    from samnesia.measure.subject import Subject
    from samnesia.perturb.parts.ball import Ball

_BALLS = {"l2": "rho", "adaptive": "adaptive_rho", "linf": "linf_rho"}
_TITLES = {"l2": "Euclidean ball", "adaptive": "Adaptive ball", "linf": "Cube"}
_SHORT = {"l2": "L2", "adaptive": "adaptive", "linf": "L∞"}
_KINDS = {"worst": "worst case", "m": "m-sharpness", "average": "average"}


@dataclass(frozen=True)
class Sharpness(Part):
    """Sharpness: the rise of the loss in a ball, in the worst case, on average, and for each m samples."""

    rho: tuple[float, ...] = (0.05, 0.1, 0.2, 0.4)
    """Radii of the Euclidean ball, SAM's."""
    adaptive_rho: tuple[float, ...] = (0.25, 0.5, 1.0)
    """Radii of the adaptive ball: relative to the size of each weight (T = |w|, all weights)."""
    linf_rho: tuple[float, ...] = (0.001, 0.002, 0.004)
    """Radii of the cube: largest move of a weight."""
    m: int | None = None
    """Samples that share a perturbation, for m-sharpness; None is as the run was trained with."""
    steps: int = 20
    """Moves of each climb to the worst case."""
    restarts: int = 1
    """Climbs after the one from the weights: the first from the point opposite to its top, more from random points."""
    directions: int = 10
    """Pairs of opposite random directions for the average."""
    normalized_logits: bool = False
    """Of the loss of normalized logits, which does not change when all logits are multiplied."""

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("restarts", 0), ("directions", 1), ("m", 1)):
            value = getattr(self, name)
            require(
                value is None or value >= least,
                f"cannot measure sharpness with {name} {value}, because it must be {least} or more; change it",
            )
        for name in _BALLS.values():
            require(
                all(0.0 < rho < float("inf") for rho in getattr(self, name)),
                f"cannot measure sharpness with {name} {getattr(self, name)}, because a radius is a positive number; "
                "change it",
            )
        require(
            any(getattr(self, name) for name in _BALLS.values()),
            "cannot measure sharpness without a radius, because it is the rise within one; give --sharpness.rho 0.05",
        )

    @property
    def name(self) -> str:
        """On the command line."""
        return "sharpness"

    def measure(self, bench: Bench, place: Place) -> Values:
        """In each ball at each radius; the gradient, and the rival bounds."""
        from samnesia.measure.sharpness.bounds import foret_bound, kwon_bound
        from samnesia.measure.sharpness.gradient import gradient_norm

        subject = self._subject(bench, place)
        config = bench.loaded(place).config
        m = min(self.m or config.micro_batch or config.batch_size, subject.samples)
        bounds: dict[str, Any] = {"l2": foret_bound, "adaptive": kwon_bound}
        values: Values = {"gradient": gradient_norm(subject).as_dict(), "m": m}
        radii = sum(len(getattr(self, name)) for name in _BALLS.values())
        passes = radii * (2 * self.directions + 1 + (1 + self.restarts) * (self.steps + 1) + 2)
        with subject.counting("sharpness", passes):
            for kind, field in _BALLS.items():
                found = [
                    self._within(subject, rho, _ball(kind), m, bench.look.seed, bounds.get(kind))
                    for rho in getattr(self, field)
                ]
                if found:
                    values[kind] = found
        return values

    def _subject(self, bench: Bench, place: Place) -> Subject:
        from dataclasses import replace

        if not self.normalized_logits:
            return bench.subject(place)
        from samnesia.measure.sharpness.logits import NormalizedLogits

        loaded = bench.loaded(place)
        return bench.subject_of(replace(loaded, criterion=NormalizedLogits(loaded.criterion)), bench.samples(place))

    def _within(self, subject: Subject, rho: float, ball: Ball, m: int, seed: int, bound: Any) -> Values:
        from samnesia.measure.sharpness.average import average_case
        from samnesia.measure.sharpness.micro import m_sharpness
        from samnesia.measure.sharpness.worst import worst_case

        worst = worst_case(subject, rho, ball, steps=self.steps, restarts=self.restarts, seed=seed)
        found = {
            "rho": rho,
            "worst": worst.as_dict(),
            "m": m_sharpness(subject, rho, m, ball).as_dict(),
            "average": average_case(subject, rho, ball, directions=self.directions, seed=seed).as_dict(),
        }
        if bound is None:
            return found
        try:
            return {**found, "bound": bound(subject, worst).as_dict()}
        except ConfigurationError as error:  # such as of a single sample; the rest means what it says
            return {**found, "bound": None, "no_bound": str(error)}

    def figures(self, entries: Sequence[Entry]) -> Iterator[tuple[str, Figure]]:
        """The rise over the radius, a panel for each ball; along training, over epochs at the middle radius."""
        from samnesia.measure.figures import HEIGHT, dashes, marker, name_below, panels, run_samples, sample

        last, labels = latest(entries), in_order(entries)
        kinds = [kind for kind in _BALLS if all(kind in entry.values for entry in last.values())]
        figure, axes = panels(len(kinds), height=HEIGHT + 0.3)
        for one, kind in zip(axes, kinds, strict=True):
            _draw_over_rho(one, kind, {label: entry.values[kind] for label, entry in last.items()})
        forms = [sample(name, marker=marker(n), linestyle=dashes(n)) for n, name in enumerate(_KINDS.values())]
        name_below(figure, run_samples(labels) + forms)
        yield "sharpness", figure
        if len({entry.epoch for entry in entries}) > 1:
            figure, axes = panels(len(kinds), height=HEIGHT + 0.3)
            for one, kind in zip(axes, kinds, strict=True):
                _draw_along(one, kind, entries)
            name_below(figure, run_samples(labels))
            yield "sharpness-along", figure

    def rows(self, values: Values) -> Mapping[str, str]:
        """The worst case at each radius, m-sharpness at the middle one, and the norm of the gradient."""
        found = {}
        for kind in _BALLS:
            several = values.get(kind, [])
            for one in several:
                found[f"{_SHORT[kind]}, rho {one['rho']:g}"] = rounded(one["worst"]["rise"], missing="infinite")
            if several:
                middle = several[len(several) // 2]
                found[f"{_SHORT[kind]}, rho {middle['rho']:g}, m {values['m']}"] = rounded(
                    middle["m"]["rise"], missing="infinite"
                )
        found["gradient norm"] = f"{values['gradient']['value']:.3g}"
        return found

    def notes(self, values: Values) -> Iterator[str]:
        """Why there is no bound."""
        yield from dict.fromkeys(
            one["no_bound"] for kind in _BALLS for one in values.get(kind, ()) if "no_bound" in one
        )


def _ball(kind: str) -> Ball:
    from samnesia.perturb.parts.ball import L2, Ball, ElementScaling, Linf

    balls = {"l2": Ball(L2()), "linf": Ball(Linf()), "adaptive": Ball(L2(), ElementScaling(eta=0.0, scaled="all"))}
    return balls[kind]


def _draw_over_rho(axes: Axes, kind: str, found: Mapping[str, Sequence[Values]]) -> None:
    from samnesia.measure.figures import colour, dashes, marker, tidy

    heights: list[float] = []
    for index, several in enumerate(found.values()):
        for form, measure in enumerate(_KINDS):
            rises = [(one["rho"], one[measure]["rise"]) for one in several]
            points = [(rho, one["value"], one["error"] or 0.0) for rho, one in rises if one["value"] is not None]
            if points:
                heights += [value for _, value, _ in points]
                rhos, values, errors = zip(*points, strict=True)
                look = {"color": colour(index), "marker": marker(form), "linestyle": dashes(form)}
                axes.errorbar(rhos, values, errors, markersize=3.5, linewidth=1.2, capsize=2, **look)
    several = next(iter(found.values()))
    radii = [one["rho"] for one in several]
    axes.set_xscale("log")
    axes.set_xticks(radii, [f"{rho:g}" for rho in radii], minor=False)
    axes.set_xticks([], minor=True)
    if heights and min(heights) > 0.0:
        axes.set_yscale("log")
    meaning = several[0]["worst"]["convention"].partition(": ")[2].partition(", T of")[0].partition(", no scal")[0]
    axes.set(xlabel=f"rho:  {meaning}", ylabel="rise of the loss", title=_TITLES[kind])
    tidy(axes)


def _draw_along(axes: Axes, kind: str, entries: Sequence[Entry]) -> None:
    """The worst case at the middle radius over epochs."""
    from samnesia.measure.figures import colour, tidy, whole_steps

    rho = None
    for index, label in enumerate(in_order(entries)):
        mine = sorted((entry for entry in entries if entry.label == label), key=lambda entry: entry.epoch)
        middle = [entry.values[kind][len(entry.values[kind]) // 2] for entry in mine]
        rho = middle[0]["rho"]
        epochs = [entry.epoch for entry in mine]
        values = [float("nan") if one is None else one for one in (found["worst"]["rise"]["value"] for found in middle)]
        axes.plot(epochs, values, color=colour(index), marker="o", markersize=3, linewidth=1.3)
    axes.set_yscale("symlog", linthresh=1e-2)
    axes.set(xlabel="epoch", ylabel="rise of the loss, worst case", title=f"{_TITLES[kind]}, rho {rho:g}")
    whole_steps(axes)
    tidy(axes)
