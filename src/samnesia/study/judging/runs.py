"""The runs of a study's table that a hypothesis speaks of, and what of them does not count."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from samnesia.measure.ranking.kendall import Array, joint
from samnesia.measure.ranking.resampling import merged
from samnesia.study.hypotheses import in_scope
from samnesia.study.judging.numbers import counted

if TYPE_CHECKING:
    from pandas import DataFrame

    from samnesia.study.design import Design, Levels
    from samnesia.study.hypotheses import Difference, Scope

Cell = tuple[str, ...]
"""Levels of some factors, in the order of the design."""


@dataclass(frozen=True)
class Runs:
    """Finished runs with a finite value of every measure that is asked for.

    Attributes:
        levels: the level of each run by factor, (N,) each.
        seeds: seed of each run, (N,).
        directories: directory of each run, (N,): runs of one directory are one run.
        values: value of each run by measure, (N,) each.
        notes: what was left out, in a few words each.
        lost: how many runs failed, or finished without such a value.
        open: how many have not run yet.
    """

    levels: Mapping[str, Sequence[str]]
    seeds: NDArray[np.int64]
    directories: Sequence[str]
    values: Mapping[str, Array]
    notes: tuple[str, ...]
    lost: int
    open: int

    def __len__(self) -> int:
        return len(self.seeds)

    def without(self, number: int) -> str:
        """``; 2 lost``: what has become of this many draws that are not there; empty where none is missing."""
        if not number:
            return ""
        causes = [text for text, there in (("lost", self.lost), ("not run yet", self.open)) if there]
        return f"; {number} {' or '.join(causes) or 'lost'}"

    def labels(self, factors: Iterable[str]) -> list[Cell]:
        """Label of each run: its levels of these factors."""
        names = list(factors)
        return joint(*(self.levels[name] for name in names)) if names else [()] * len(self)

    def distinct(self, factors: Sequence[str]) -> Runs:
        """The same without repetitions: of runs of one directory that agree in these factors, the first."""
        first: dict[Any, int] = {}
        for row, key in enumerate(zip(self.directories, self.labels(factors), strict=True)):
            first.setdefault(key, row)
        keep = np.fromiter(first.values(), np.intp, len(first))
        repeated = len(self) - len(keep)
        note = (
            (f"without {counted(repeated, 'repetition')} of runs that several design cells share",) if repeated else ()
        )
        return replace(
            self,
            levels={name: [column[row] for row in keep] for name, column in self.levels.items()},
            seeds=self.seeds[keep],
            directories=[self.directories[row] for row in keep],
            values={name: column[keep] for name, column in self.values.items()},
            notes=(*self.notes, *note),
        )

    def units(self, factors: Sequence[str]) -> NDArray[np.intp]:
        """Label of each run's unit: its levels of these factors, one where design cells share a run."""
        return merged(self.labels(factors), list(self.directories))


def finished(
    design: Design, table: DataFrame, scope: Scope, measures: Iterable[str], drawn: Collection[int] = ()
) -> Runs:
    """Read the runs in ``scope`` that finished with a finite value of every one of these measures.

    Of the seeds in ``drawn``; none is all.
    """
    factors = [factor.name for factor in design.factors]
    here = np.logical_and.reduce(
        [np.ones(len(table), dtype=bool), *(table[name].isin(levels).to_numpy() for name, levels in scope.items())]
    )
    if drawn:
        here &= table["seed"].isin(list(drawn)).to_numpy()
    status = table["status"].to_numpy(dtype=object)
    done = here & (status == "finished")
    columns = {name: _column(table, design.measure(name).value) for name in measures}
    whole = done & np.logical_and.reduce([np.isfinite(column) for column in columns.values()])
    notes, failed = [], int((here & (status == "failed")).sum())
    if unfinished := int(here.sum() - done.sum()):
        notes.append(f"without {unfinished} of {counted(int(here.sum()), 'run')}: failed or not run yet")
    if without := int(done.sum() - whole.sum()):
        labels = " or ".join(design.measure(name).label for name in columns)
        notes.append(f"without {counted(without, 'finished run')}: no finite {labels}")
    directories = table["directory"].to_numpy(dtype=object)
    # In the design's order, so that no figure depends on that of the table.
    place = {tuple(levels[name] for name in factors): index for index, levels in enumerate(design.cells())}
    cells = joint(*(table[name].to_numpy(dtype=object) for name in factors))
    found = [row for row in np.flatnonzero(whole).tolist() if cells[row] in place]
    seeds = table["seed"].to_numpy()
    rows = np.array(sorted(found, key=lambda row: (place[cells[row]], seeds[row])), dtype=np.intp)
    return Runs(
        {name: table[name].to_numpy(dtype=object)[rows].tolist() for name in factors},
        seeds[rows].astype(np.int64),
        # A run without a directory is its own.
        [str(directories[row]) if isinstance(directories[row], str) else f"row {row}" for row in rows],
        {name: column[rows] for name, column in columns.items()},
        tuple(notes),
        lost=without + failed,
        open=unfinished - failed,
    )


@dataclass(frozen=True)
class Sides:
    """Two sides of a comparison by seed, averaged over the contexts that both have.

    Attributes:
        treatment: mean over contexts by seed.
        control: the same of the other side, of the same seeds and contexts.
        contexts: how many contexts each seed is averaged over.
        of_contexts: how many the design has, for both sides.
        notes: what was left out, in a few words each.
    """

    treatment: Mapping[int, float]
    control: Mapping[int, float]
    contexts: int
    of_contexts: int
    notes: tuple[str, ...]


def sides(design: Design, runs: Runs, hypothesis: Difference) -> Sides:
    """Pair the runs of both sides of a hypothesis.

    A context is one combination of the levels that neither side names. One counts when at least half of the seeds that
    have both sides anywhere have them there, and a seed counts when it has both sides in every context that counts: so
    that all seeds, and both sides, are means over the same contexts.
    """
    both = hypothesis.treatment, hypothesis.control
    others = [factor.name for factor in design.factors if factor.name not in hypothesis.treatment]
    labels = runs.labels(others)
    one, other = (_by_context(runs, labels, hypothesis.measure, side) for side in both)
    pairs: dict[Cell, set[int]] = {}
    for context, seed in one.keys() & other.keys():
        pairs.setdefault(context, set()).add(seed)
    anywhere = set[int]().union(*pairs.values())
    whole = sorted(context for context, seeds in pairs.items() if 2 * len(seeds) >= len(anywhere))
    seeds = sorted(set.intersection(*(pairs[context] for context in whole))) if whole else []
    alone = sorted({context for context, _ in one.keys() ^ other.keys()} - pairs.keys())
    rare = sorted(pairs.keys() - set(whole))
    notes = [
        *(f"without {_named(others, context)}, where only one side ran" for context in alone),
        *(f"without {_named(others, context)}, where fewer than half of the seeds have both sides" for context in rare),
    ]  # fmt: skip
    seen = {seed for _, seed in one.keys() | other.keys()}
    if lost := sorted(seen - set(seeds)):
        where = " everywhere" if len(whole) > 1 else ""
        plural = "s" if len(lost) > 1 else ""
        notes.append(f"without seed{plural} {', '.join(map(str, lost))}, which {'do' if plural else 'does'} not have "
                     f"both sides{where}")  # fmt: skip
    means = [
        {seed: float(np.mean([side[context, seed] for context in whole])) for seed in seeds} for side in (one, other)
    ]
    cells = [levels for levels in design.cells() if in_scope(levels, hypothesis.scope)]
    treated, controls = (
        {tuple(levels[name] for name in others) for levels in cells if side.items() <= levels.items()} for side in both
    )
    return Sides(means[0], means[1], len(whole), len(treated & controls), (*runs.notes, *notes))


def _by_context(runs: Runs, labels: list[Cell], measure: str, side: Levels) -> dict[tuple[Cell, int], float]:
    values = runs.values[measure]
    return {
        (labels[row], int(runs.seeds[row])): float(values[row])
        for row in range(len(runs))
        if all(runs.levels[name][row] == level for name, level in side.items())
    }


def _column(table: DataFrame, name: str) -> Array:
    if name not in table:
        return np.full(len(table), np.nan)
    column: Array = table[name].to_numpy(dtype=float, na_value=np.nan)
    return column


def _named(factors: Sequence[str], levels: Cell) -> str:
    return ", ".join(f"{name} {level}" for name, level in zip(factors, levels, strict=True)) or "all"
