"""The suites of ``samnesia evaluate``: a part each, with its options, its figures, and its lines in the table."""

from samnesia.evaluate.suites.adversaries import Adversaries
from samnesia.evaluate.suites.clean import Clean
from samnesia.evaluate.suites.corruptions import Corruptions
from samnesia.evaluate.suites.noisy_weights import NoisyWeights
from samnesia.evaluate.suites.published import Published
from samnesia.evaluate.suites.shifts import Shifts
from samnesia.evaluate.suites.suite import Score, Suite

SUITES: dict[str, type[Suite]] = {
    "clean": Clean,
    "corruptions": Corruptions,
    "published": Published,
    "shifts": Shifts,
    "noisy-weights": NoisyWeights,
    "adversaries": Adversaries,
}
"""Every suite by its name on the command line, in the order in which they are evaluated and shown."""

__all__ = ["SUITES", "Adversaries", "Clean", "Corruptions", "NoisyWeights", "Published", "Score", "Shifts", "Suite"]
