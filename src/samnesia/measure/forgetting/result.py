"""What was measured of forgetting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from samnesia.measure.estimate import Estimate
from samnesia.measure.forgetting.estimators import FEW, WHOLE
from samnesia.perturb.errors import ConfigurationError

EXPOSED, TRAINING, HELD_OUT = "exposed", "training", "held_out"
"""Where it is measured: the samples that the perturbation was made of (P), other training data (T), held-out (V)."""
RUNNING, BATCH = "running", "batch"
"""Normalization by running statistics, and by those of each batch, as in a training step."""
INPUT_EXPOSED = "input_exposed"
"""E4: how much more the cross-entropy rises on P than on T."""

Cells = Mapping[str, Mapping[str, Mapping[str, Mapping[str, Estimate]]]]


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What a perturbation made a model forget: a reconstruction, since the original estimator is unpublished.

    Values are in nats (``accuracy_drop`` is a share of 1, ``superfluous_share`` a ratio), means over the perturbations
    with the standard error over them.
    """

    cells: Cells
    """Estimates by statistics (``running``, ``batch``), split, group (``all`` first) and name."""
    probe: str
    """Which perturbation, in words."""
    perturbations: int
    """How many batches perturbed, each by itself."""
    m: int
    """Samples of a perturbation's batch."""
    norm: Estimate
    """2-norm of the perturbation."""
    samples: Mapping[str, Mapping[str, int]]
    """By split and group: how many samples were looked at (``exposed``: of all perturbations together)."""
    per_class: Mapping[str, int]
    """By data, ``training`` (with ``exposed``) and ``held_out``: the samples of the rarest class."""
    method: Mapping[str, str]
    """How it was estimated: link, correction."""

    def of(self, name: str, split: str = TRAINING, group: str = WHOLE, statistics: str = RUNNING) -> Estimate:
        """One estimate; raises ConfigurationError if there is none of this name, with those that there are."""
        found: Any = self.cells
        for key in (statistics, split, group, name):
            if key not in found:
                raise ConfigurationError(
                    f"cannot find {key!r} of what was measured of forgetting, because there are only "
                    f"{', '.join(map(repr, found))}; choose one of them"
                )
            found = found[key]
        estimate: Estimate = found
        return estimate

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; what an estimate does not have is None."""
        cells = {
            view: {
                split: {g: {name: e.as_dict() for name, e in found.items()} for g, found in groups.items()}
                for split, groups in splits.items()
            }
            for view, splits in self.cells.items()
        }
        return {
            "values": cells,
            "probe": self.probe,
            "perturbations": self.perturbations,
            "m": self.m,
            "norm": self.norm.as_dict(),
            "samples": {split: dict(groups) for split, groups in self.samples.items()},
            "per_class": dict(self.per_class),
            "estimated": dict(self.method),
        }

    def __str__(self) -> str:
        """A block per kind of statistics, a column per split, a line per name; groups below."""
        lines = [f"forgetting under the {self.probe}", f"{self.perturbations} x {self.m} samples, norm {self.norm}"]
        for view, splits in self.cells.items():
            groups = dict.fromkeys(group for found in splits.values() for group in found)
            for group in groups:
                columns = {split: found.get(group, {}) for split, found in splits.items()}
                lines += ["", *_table(f"{view} statistics, {group}", columns, levels=group == WHOLE)]
        for data, least in self.per_class.items():
            if least < FEW:
                lines.append(f"{data}: only {least} samples of the rarest class, I(X;Ŷ|Y) rests on the correction")
        return "\n".join([*lines, "A reconstruction: the original estimator is unpublished."])


def _table(title: str, columns: Mapping[str, Mapping[str, Estimate]], *, levels: bool) -> list[str]:
    names = list(dict.fromkeys(name for found in columns.values() for name in found))
    names = [name for name in names if levels or not name.endswith("_before")]
    width = max(len(title), *map(len, names)) + 2
    head = f"{title:{width}}" + "".join(f"{split:>22}" for split in columns)
    return [
        head,
        *(
            f"{name:{width}}" + "".join(f"{str(found.get(name, '')):>22}" for found in columns.values())
            for name in names
        ),
    ]
