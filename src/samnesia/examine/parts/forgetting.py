"""Forgetting: what a perturbation makes a model forget."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from samnesia.examine.parts.part import Entry, Part, Values, in_order, latest, rounded
from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from samnesia.examine.bench import Bench
    from samnesia.examine.chosen import Place
    from samnesia.measure.forgetting.probing import HeldOut

_SHOWN = {  # of the estimates, those in table and figures: name, and how it reads
    "superfluous": "I(X;Ŷ|Y) lost",
    "useful": "I(Ŷ;Y) lost",
    "divergence": "KL",
    "loss_rise": "loss rise",
}
_SPLITS = {"exposed": "exposed", "training": "training", "held_out": "held-out"}
_PROBES = {"common": "common", "own": "own"}


@dataclass(frozen=True)
class Forgetting(Part):
    """Forgetting under a common perturbation, the same for all models, and under the model's own."""

    rho: float = 0.1
    """Radius of the common perturbation: SAM's, in the Euclidean ball."""
    m: int | None = None
    """Samples that share a perturbation; None is as the run was trained with."""
    perturbations: int = 4
    """Batches that perturb, each by itself; fewer, where the samples do not make as many."""

    def __post_init__(self) -> None:
        for name, least in (("m", 1), ("perturbations", 1)):
            value = getattr(self, name)
            require(
                value is None or value >= least,
                f"cannot measure forgetting with {name} {value}, because it must be {least} or more; change it",
            )
        require(
            0.0 < self.rho < float("inf"),
            f"cannot measure forgetting with rho {self.rho}, because a radius is a positive number; change it",
        )

    @property
    def name(self) -> str:
        """On the command line."""
        return "forgetting"

    def measure(self, bench: Bench, place: Place) -> Values:
        """Under both perturbations; the base optimizer alone has none of its own."""
        from samnesia.measure.forgetting.probes import CommonProbe
        from samnesia.measure.forgetting.probing import probe_forgetting

        loaded, look = bench.loaded(place), bench.look
        own = loaded.perturbation()
        m = self.m or loaded.config.micro_batch or loaded.config.batch_size
        samples = loaded.samples(look.split, look.samples, seed=look.seed, batch_size=m)
        subject = bench.subject_of(loaded, samples)
        perturbations = min(self.perturbations, max(1, len(samples) // m))
        probes = {"common": CommonProbe(rho=self.rho)}
        if own is not None:
            probes["own"] = CommonProbe(rho=own.rho, ball=own.ball, ascent=own.ascent, objective=own.objective)
        found = {
            name: probe_forgetting(
                subject,
                probe,
                perturbations=perturbations,
                held_out=self._held_out(bench, place, m),
                groups=samples.groups,
                others=samples.second_labels,
                link=loaded.config.loss.link(),
            ).as_dict()
            for name, probe in probes.items()
        }
        return {"m": m, **found}

    def _held_out(self, bench: Bench, place: Place, m: int) -> HeldOut | None:
        from samnesia.measure.forgetting.probing import HeldOut

        loaded, look = bench.loaded(place), bench.look
        if look.split == "test" or loaded.problem.test is None:
            return None
        samples = loaded.samples("test", look.samples, seed=look.seed, batch_size=m)
        return HeldOut(samples, samples.groups, samples.second_labels)

    def figures(self, entries: Sequence[Entry]) -> Iterator[tuple[str, Figure]]:
        """Each estimate on exposed, training and held-out samples; along training, over epochs."""
        last, labels = latest(entries), in_order(entries)
        for probe in _PROBES:
            found = {label: entry.values[probe] for label, entry in last.items() if probe in entry.values}
            if not found:
                continue
            yield (
                f"forgetting-{probe}",
                self._figure(partial(_draw_bars, found=found, labels=labels), labels, found, _title(probe, found)),
            )
            mine = [entry for entry in entries if probe in entry.values]
            if len({entry.epoch for entry in mine}) > 1:
                yield f"forgetting-{probe}-along", self._figure(
                    partial(_draw_along, entries=mine, probe=probe, labels=labels), labels, found,
                    f"{_title(probe, found)}, on {_shared(e.values[probe] for e in mine)} samples",
                )  # fmt: skip

    def _figure(self, draw: Callable[..., None], labels: Sequence[str], shown: Container[str], title: str) -> Figure:
        """A panel for each estimate."""
        from samnesia.measure.figures import HEIGHT, entitle, name_below, panels, run_samples, tidy

        figure, axes = panels(len(_SHOWN), columns=4, width=2.9, height=HEIGHT + 0.4)
        for one, (name, words) in zip(axes, _SHOWN.items(), strict=True):
            draw(one, name=name)
            one.set(ylabel="nats", title=words)
            tidy(one)
        name_below(figure, run_samples(labels, shown))
        entitle(figure, title)
        return figure

    def rows(self, values: Values) -> Mapping[str, str]:
        """On training samples, with their groups, and on the exposed ones; by running statistics."""
        found: dict[str, str] = {}
        for probe in _PROBES:
            if probe not in values:
                continue
            one = values[probe]["values"]["running"]
            found[f"{probe}: norm"] = f"{values[probe]['norm']['value']:.3g}"
            for group, named in one.get("training", {}).items():
                ending = "" if group == "all" else f", {group}"
                for name in _SHOWN if group == "all" else ("superfluous",):
                    found[f"{probe}: {_SHOWN[name]}{ending}"] = rounded(named[name])
            for name in ("superfluous", "divergence", "input_exposed"):
                if name in one["exposed"]["all"]:
                    title = _SHOWN.get(name, "E4 (loss)")
                    found[f"{probe}: exposed, {title}"] = rounded(one["exposed"]["all"][name])
        return found

    def notes(self, values: Values) -> Iterator[str]:
        """Why there are no other training samples."""
        if any("training" not in values[probe]["values"]["running"] for probe in _PROBES if probe in values):
            yield (
                f"forgetting has no figures on other training samples, because all of them are in the batch of m = "
                f"{values['m']} that perturbs; look at more --samples, or set a smaller --forgetting.m"
            )


def _shared(found: Iterable[Values]) -> str:
    """The split that is shown along training: other training samples, where there are any."""
    return "training" if all("training" in one["values"]["running"] for one in found) else "exposed"


def _title(probe: str, found: Mapping[str, Values]) -> str:
    if probe == "own":
        return "Under each model's own perturbation"
    return f"Under the {next(iter(found.values()))['probe']}"


def _draw_bars(axes: Axes, *, found: Mapping[str, Values], labels: Sequence[str], name: str) -> None:
    from samnesia.measure.figures import INK, colour, zero

    splits = [split for split in _SPLITS if all(split in one["values"]["running"] for one in found.values())]
    width = 0.8 / len(found)
    for index, (label, one) in enumerate(found.items()):
        cells = [one["values"]["running"][split]["all"][name] for split in splits]
        places = [place + (index - (len(found) - 1) / 2) * width for place in range(len(splits))]
        axes.bar(places, [_value(cell) for cell in cells], 0.92 * width, yerr=[_error(cell) for cell in cells],
                 color=colour(labels.index(label)), ecolor=INK, capsize=2, error_kw={"linewidth": 0.8})  # fmt: skip
    zero(axes)
    axes.set_xticks(range(len(splits)), [_SPLITS[split] for split in splits])


def _draw_along(axes: Axes, *, entries: Sequence[Entry], probe: str, labels: Sequence[str], name: str) -> None:
    from samnesia.measure.figures import colour, whole_steps

    split = _shared(entry.values[probe] for entry in entries)
    for label in in_order(entries):
        mine = sorted((entry for entry in entries if entry.label == label), key=lambda entry: entry.epoch)
        cells = [entry.values[probe]["values"]["running"][split]["all"][name] for entry in mine]
        axes.errorbar([entry.epoch for entry in mine], [_value(cell) for cell in cells],
                      [_error(cell) for cell in cells], color=colour(labels.index(label)), marker="o", markersize=3,
                      linewidth=1.2, capsize=2)  # fmt: skip
    axes.set_xlabel("epoch")
    whole_steps(axes)


def _value(cell: Values) -> float:
    return float("nan") if cell["value"] is None else float(cell["value"])


def _error(cell: Values) -> float:
    return cell["error"] or 0.0
