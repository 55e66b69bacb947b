"""Calibration and margins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from samnesia.examine.parts.part import Entry, Part, Values, latest, rounded
from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from samnesia.examine.bench import Bench
    from samnesia.examine.chosen import Place


@dataclass(frozen=True)
class Calibration(Part):
    """Calibration and margins: ECE, Brier score, negative log-likelihood, and how far labels are ahead."""

    bins: int = 15
    """Bins of equal width for the expected calibration error."""

    def __post_init__(self) -> None:
        require(self.bins >= 1, f"cannot sort confidences into {self.bins} bins, because 1 is the least; change it")

    @property
    def name(self) -> str:
        """On the command line."""
        return "calibration"

    def measure(self, bench: Bench, place: Place) -> Values:
        """Of the split that is looked at, by the groups that it has; and of the test split."""
        from samnesia.measure.calibration.calibration import calibration_of

        loaded, samples = bench.loaded(place), bench.samples(place)
        link = loaded.config.loss.link()
        found = calibration_of(bench.subject(place), link=link, bins=self.bins, groups=samples.groups)
        values = {samples.split: found.as_dict()}
        if samples.split != "test" and loaded.problem.test is not None:
            test = bench.samples(place, "test")
            held_out = calibration_of(bench.subject_of(loaded, test), link=link, bins=self.bins, groups=test.groups)
            values["test"] = held_out.as_dict()
        return values

    def figures(self, entries: Sequence[Entry]) -> Iterator[tuple[str, Figure]]:
        """Reliability and margins of each split, at the last checkpoint of each run."""
        from samnesia.measure.calibration.calibration import Calibration as Found
        from samnesia.measure.calibration.figures import reliability_and_margins
        from samnesia.measure.figures import entitle

        last = latest(entries)
        for split in next(iter(last.values())).values:
            found = {
                label: Found.from_dict(entry.values[split]) for label, entry in last.items() if split in entry.values
            }
            figure = reliability_and_margins(found)
            entitle(figure, f"{split} samples".capitalize())
            yield f"calibration-{split}", figure

    def rows(self, values: Values) -> Mapping[str, str]:
        """Accuracy, ECE, Brier, NLL, margin, by split."""
        found: dict[str, str] = {}
        for split, one in values.items():
            found |= {
                f"{split} accuracy": _percent(one["accuracy"]),
                f"{split} ECE": f"{one['ece']:.3f}",
                f"{split} Brier": rounded(one["brier"]),
                f"{split} NLL (nats)": rounded(one["nll"]),
                f"{split} margin": rounded(one["probability_margins"]["mean"]),
            }
            for name, group in one["groups"].items():
                found[f"{split} margin, {name}"] = rounded(group["probability_margins"]["mean"])
        return found


def _percent(estimate: Values) -> str:
    in_percent = {name: None if estimate[name] is None else 100 * estimate[name] for name in ("value", "error")}
    return f"{rounded(in_percent)} %"
