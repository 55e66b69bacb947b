"""Figures of many perturbations, sorted by statistics, split, group and name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from samnesia.measure.batches import Batch
from samnesia.measure.estimate import Estimate
from samnesia.measure.forgetting.estimators import Labels, masks, of_samples, ratio
from samnesia.measure.forgetting.result import EXPOSED, INPUT_EXPOSED, RUNNING, TRAINING


@dataclass(frozen=True)
class Data:
    """Samples that are looked at again and again, and what is known of each."""

    name: str
    """``training`` or ``held_out``."""
    batches: Callable[[], Iterable[Batch]]
    """One pass."""
    groups: Labels
    others: Labels


class Collected:
    """Values of each perturbation by statistics, split, group and name."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str, str], dict[str, list[Estimate]]] = {}
        self.samples: dict[str, dict[str, int]] = {}

    def add(self, view: str, data: Data, pointwise: Mapping[str, Tensor], rows: tuple[slice, slice] | None) -> None:
        """One perturbation's, of one set of data.

        ``rows`` are, of training data, those that are exposed and those that the perturbation was made of, which are
        others under a null. Neither is other training data.
        """
        count = len(next(iter(pointwise.values())))
        for group, members in masks(data.groups, count).items():
            parts = {data.name: members}
            if rows is not None:
                exposed, seen = torch.zeros(2, count, dtype=torch.bool)
                exposed[rows[0]] = seen[rows[0]] = seen[rows[1]] = True
                parts = {EXPOSED: members & exposed, TRAINING: members & ~seen}
            found = {split: of_samples(pointwise, mask) for split, mask in parts.items() if mask.any()}
            if len(found) == 2:
                on, off = (found[split]["loss_rise"] for split in (EXPOSED, TRAINING))
                error = math.hypot(on.error, off.error)
                found[EXPOSED][INPUT_EXPOSED] = Estimate(on.value - off.value, error, on.count)
            for split, estimates in found.items():
                self._note(view, split, group, estimates)

    def _note(self, view: str, split: str, group: str, found: Mapping[str, Estimate]) -> None:
        here = self._values.setdefault((view, split, group), {})
        for name, estimate in found.items():
            here.setdefault(name, []).append(estimate)
        if view == RUNNING:
            groups = self.samples.setdefault(split, {})
            more = next(iter(found.values())).count
            groups[group] = groups.get(group, 0) + more if split == EXPOSED else more

    def cells(self) -> dict[str, dict[str, dict[str, dict[str, Estimate]]]]:
        """Means over the perturbations."""
        cells: dict[str, dict[str, dict[str, dict[str, Estimate]]]] = {}
        for (view, split, group), names in self._values.items():
            found = {name: each[0] if len(each) == 1 else _over(each) for name, each in names.items()}
            found["superfluous_share"] = ratio(*([e.value for e in names[n]] for n in ("superfluous", "output")))
            cells.setdefault(view, {}).setdefault(split, {})[group] = found
        return cells


def _over(each: Sequence[Estimate]) -> Estimate:
    return Estimate.of([estimate.value for estimate in each])
