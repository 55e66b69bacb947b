"""Accuracy, calibration, selective accuracy and memorization on samples as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from samnesia.evaluate.suites.suite import Score, Suite
from samnesia.examine.parts.part import Entry, Values, latest
from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from samnesia.examine.bench import Bench
    from samnesia.examine.chosen import Place
    from samnesia.train.loaded import Loaded


@dataclass(frozen=True)
class Clean(Suite):
    """Samples as they are: accuracy, calibration, accuracy on those of which the model is most sure, memorization."""

    bins: int = 15
    """Bins of equal width for the expected calibration error."""

    def __post_init__(self) -> None:
        require(self.bins >= 1, f"cannot sort confidences into {self.bins} bins, because 1 is the least; change it")

    @property
    def name(self) -> str:
        """On the command line."""
        return "clean"

    def against(self, loaded: Loaded) -> str | None:
        """It is for classifiers."""
        targets = loaded.problem.train.batch([0])[1]
        if targets.ndim != 1 or targets.is_floating_point() or loaded.problem.num_outputs < 2:
            return "the targets are no classes"
        return None

    def measure(self, bench: Bench, place: Place) -> Values:
        """Of the split that is looked at; memorization also of the training split."""
        from samnesia.evaluate.accuracy import clean_accuracy
        from samnesia.evaluate.predictions import sampled_by

        return clean_accuracy(bench.loaded(place), sampled_by(bench.look), bins=self.bins).as_dict()

    def scores(self, values: Values) -> Mapping[str, Score]:
        """Accuracy, top-5, loss, calibration, selective accuracy, memorization."""
        calibration, selective = values["calibration"], values["selective"]
        found = {"accuracy": _percent(values["accuracy"]["value"], main=True)}
        if values["top5"] is not None:
            found["top-5 accuracy"] = _percent(values["top5"]["value"])
        found |= {
            "loss": Score(values["loss"], "", 3),
            "NLL": Score(calibration["nll"]["value"], "nats", 3),
            "Brier": Score(calibration["brier"]["value"], "", 3),
            "ECE": Score(calibration["ece"], "", 3, main=True),
            "AURC": Score(selective["aurc"], "", 4),
        }
        for share, value in selective["accuracy_at"].items():
            found[f"accuracy at {100 * float(share):g} % coverage"] = _percent(value)
        for one in values["memorized"]:
            first, second = _words(one["second"], one["split"])
            found[first], found[second] = _percent(one["as_label"]), _percent(one["as_second"])
        return found

    def captions(self) -> Mapping[str, str]:
        """How to read the figures."""
        return {
            "reliability": "Accuracy over confidence, a mark for each bin of equal width, the larger the more samples; "
            "the samples of runs that differ by their seed are taken together. "
            "On the dotted line a model is as often right as it is sure; below it, it is too sure of itself.",
            "risk-coverage": "Errors among the samples of which the model is most sure, over the share of samples that "
            "is answered; at 100 % all are. A curve that stays low for long tells its errors by their confidence. "
            "Thin: each run.",
        }

    def figures(self, entries: Sequence[Entry]) -> Iterator[tuple[str, Figure]]:
        """Reliability and risk over coverage."""
        from samnesia.evaluate.accuracy import CleanAccuracy
        from samnesia.evaluate.suites.clean_figures import reliability, risk_over_coverage

        groups: dict[str, list[CleanAccuracy]] = {}
        for label, entry in latest(entries).items():
            groups.setdefault(entry.group or label, []).append(CleanAccuracy.from_dict(entry.values))
        yield "reliability", reliability(groups)
        yield "risk-coverage", risk_over_coverage(groups)


def _percent(share: float, *, main: bool = False) -> Score:
    return Score(100.0 * share, "%", 1, main)


def _words(second: str, split: str) -> tuple[str, str]:
    """What the two shares are called."""
    if second == "true":
        return f"flipped {split} labels: predicted as flipped", f"flipped {split} labels: predicted as true"
    return f"{split}, wrong {second}: predicted as label", f"{split}, wrong {second}: predicted as {second}"
