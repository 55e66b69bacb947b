"""Tables of studies whose truth is known.

Every measure is a sum: an effect of the design cell that its seeds share (random, drawn anew in each study), an effect
of the seed that all cells share (runs are paired), effects of the problem, and the noise of the single run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from samnesia.study.design import Design, Factor, Measure
from samnesia.study.hypotheses import Correlation, Difference, Hypothesis, StrongerCorrelation

NAMES = ("x", "y", "z")
MEASURES = tuple(Measure(name, f"last.{name}", name) for name in NAMES)


def pearson(tau: float) -> float:
    """The correlation of two normal variables with this tau (Greiner)."""
    return math.sin(math.pi / 2 * tau)


def kendall(correlation: float) -> float:
    """Tau of two normal variables with this correlation."""
    return 2 / math.pi * math.asin(correlation)


@dataclass(frozen=True)
class Ranked:
    """Three measures x, y, z over problems, methods and seeds, normal with known correlations.

    Differences of two runs of one seed (and of one problem, where problems have effects) are normal with the
    correlations ``xy``, ``xz`` and ``yz``, so that the taus that hypotheses speak of are known exactly.
    """

    hypotheses: tuple[Hypothesis, ...]
    methods: int
    seeds: int
    problems: int = 1
    xy: float = 0.0
    xz: float = 0.0
    yz: float = 0.0
    cell_share: float = 0.8
    """Share of the variance of a run, in one seed, that is its cell's."""
    method_share: float = 0.0
    """Share of the cells' variance that a method has in all problems alike."""
    seed_spread: float = 1.0
    """Standard deviation of the seeds' effects, in that of runs of one seed."""
    seed_correlation: float = 0.8
    """Correlation of the seeds' effects on the three measures: what pairs of different seeds show."""
    problem_spread: float = 2.0
    """Standard deviation of the problems' effects, where there are several."""
    levels: int = 0
    """Values that z takes, one per cell; it then drives x and y, which have nothing else in common. 0: z is normal."""
    drive: float = 0.7
    """Correlation of x and y with such a z."""
    heavy: bool = False
    """Cell effects with the tails of Student's t on 3 degrees of freedom, common to the measures of a cell."""
    step: float = 0.0
    """Measures are rounded to multiples of it, which ties them; 0 is not at all."""
    failed: float = 0.0
    """Share of runs that fail, at random."""

    @cached_property
    def design(self) -> Design:
        factors = (
            Factor("method", tuple(f"m{index}" for index in range(self.methods))),
            Factor("problem", tuple(f"p{index}" for index in range(self.problems))),
        )
        return Design("planted", "Is it there?", factors, MEASURES, tuple(range(self.seeds)), self.hypotheses)

    @cached_property
    def _frame(self) -> pd.DataFrame:
        return frame(self.design)

    @cached_property
    def _root(self) -> np.ndarray:
        return np.linalg.cholesky([[1.0, self.xy, self.xz], [self.xy, 1.0, self.yz], [self.xz, self.yz, 1.0]])

    def values(self, generator: np.random.Generator) -> np.ndarray:
        """Measures of one study, (3, methods, problems, seeds)."""
        shape = (self.methods, self.problems, self.seeds)

        def drawn(*size: int) -> np.ndarray:
            return np.tensordot(self._root, generator.standard_normal((3, *size)), axes=1)

        of_method, own = drawn(self.methods, 1, 1), drawn(self.methods, self.problems, 1)
        cells = math.sqrt(self.method_share) * of_method + math.sqrt(1 - self.method_share) * own
        if self.heavy:
            cells = cells / np.sqrt(generator.chisquare(3, (1, self.methods, self.problems, 1)) / 3)
        runs = math.sqrt(self.cell_share) * cells + math.sqrt(1 - self.cell_share) * drawn(*shape)
        common, apart = (
            generator.standard_normal((1, 1, 1, self.seeds)),
            generator.standard_normal((3, 1, 1, self.seeds)),
        )
        if self.levels:
            level = (np.arange(self.methods) % self.levels - (self.levels - 1) / 2) / math.sqrt(
                (self.levels**2 - 1) / 12
            )
            driven = self.drive * level[:, None, None] + math.sqrt(1 - self.drive**2) * runs[:2]
            runs = np.concatenate([driven, np.broadcast_to(level[None, :, None, None], (1, *shape))])
            apart[2], common = 0.0, 0.0 * common
        share = self.seed_correlation
        runs = runs + self.seed_spread * (math.sqrt(share) * common + math.sqrt(1 - share) * apart)
        if self.problems > 1:
            runs = runs + self.problem_spread * generator.standard_normal((3, 1, self.problems, 1))
        return np.round(runs / self.step) * self.step if self.step else runs

    def table(self, generator: np.random.Generator) -> pd.DataFrame:
        """The tidy table of one study."""
        values = self.values(generator)
        table = self._frame.assign(**{f"last.{name}": values[row].reshape(-1) for row, name in enumerate(NAMES)})
        return without(table, self.failed, generator)


@dataclass(frozen=True)
class Paired:
    """Two methods over problems and seeds; x is what is compared.

    A seed moves both methods on all problems, and one method against the other on all problems alike, so that the
    problems of one seed are not independent. Every cell has an effect of its own, which over the problems sums to zero:
    the difference that is asked for is the one over these problems.
    """

    hypotheses: tuple[Hypothesis, ...]
    seeds: int
    problems: int = 3
    effect: float = 0.0
    """True difference of treatment and control, in standard deviations of the paired difference over seeds."""
    failed: float = 0.0
    """Share of runs that fail, at random."""

    @cached_property
    def design(self) -> Design:
        factors = (
            Factor("method", ("control", "treatment")),
            Factor("problem", tuple(f"p{index}" for index in range(self.problems))),
        )
        return Design("planted", "Is it there?", factors, MEASURES, tuple(range(self.seeds)), self.hypotheses)

    @cached_property
    def _frame(self) -> pd.DataFrame:
        return frame(self.design)

    def table(self, generator: np.random.Generator) -> pd.DataFrame:
        """The tidy table of one study."""
        cells = 0.5 * generator.standard_normal((2, self.problems, 1))
        cells = cells - cells.mean(axis=1, keepdims=True)
        # The variance of the difference of two methods, averaged over problems, is 2 (0.4 + 0.1) = 1.
        own = math.sqrt(0.4) * generator.standard_normal((2, 1, self.seeds))
        noise = math.sqrt(0.1 * self.problems) * generator.standard_normal((2, self.problems, self.seeds))
        values = 3.0 * generator.standard_normal((1, 1, self.seeds)) + cells + own + noise
        values = values + self.effect * np.array([0.0, 1.0])[:, None, None]
        table = self._frame.assign(**{"last.x": values.reshape(-1), "last.y": 0.0, "last.z": 0.0})
        return without(table, self.failed, generator)


def frame(design: Design) -> pd.DataFrame:
    """Everything of the tidy table but its measures, rows in the order of (cell, seed)."""
    cells = list(design.cells())
    rows = [{**levels, "seed": seed} for levels in cells for seed in design.seeds]
    names = [f"cells/{number}-seed{seed}" for number in range(len(cells)) for seed in design.seeds]
    return pd.DataFrame(rows).assign(status="finished", reason=None, directory=names, config="{}")


def without(table: pd.DataFrame, share: float, generator: np.random.Generator) -> pd.DataFrame:
    """The table with a share of its runs failed."""
    if not share:
        return table
    failed = generator.random(len(table)) < share
    return table.assign(status=np.where(failed, "failed", "finished"))


def difference(smallest: float = 0.0) -> tuple[Difference]:
    return (
        Difference(
            claim="treatment beats control", measure="x", treatment={"method": "treatment"},
            control={"method": "control"}, smallest=smallest,
        ),
    )  # fmt: skip


def correlation(smallest: float = 0.0, within: tuple[str, ...] = (), given: str | None = None) -> tuple[Correlation]:
    return (Correlation(claim="x goes with y", x="x", y="y", smallest=smallest, within=within, given=given),)


def stronger(smallest: float = 0.0, within: tuple[str, ...] = ()) -> tuple[StrongerCorrelation]:
    return (
        StrongerCorrelation(claim="x ranks y better than z", x="x", rival="z", y="y", smallest=smallest, within=within),
    )
