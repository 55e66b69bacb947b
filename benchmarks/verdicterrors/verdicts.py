"""Verdicts on planted nulls and planted effects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from samnesia.study.hypotheses import Correlation
from samnesia.study.judging.verdicts import judge

from .planted import Paired, Ranked, correlation, difference, kendall, pearson, stronger

RULINGS = ("supported", "contradicted", "undecided")


@dataclass(frozen=True)
class Row:
    """A planted truth and what its verdicts must be."""

    kind: str
    what: str
    plant: Paired | Ranked
    effect: float
    """True effect, in the claim's direction."""

    @property
    def smallest(self) -> float:
        return self.plant.design.primary[0].smallest

    @property
    def wrong(self) -> tuple[str, ...]:
        """Verdicts that are errors: support where there is no effect, contradiction of one that is there."""
        supported = ("supported",) if self.effect <= 1e-12 else ()
        contradicted = ("contradicted",) if self.effect >= self.smallest - 1e-12 else ()
        return supported + contradicted

    @property
    def right(self) -> str | None:
        """The verdict that is the truth; None at the border between two."""
        if self.effect > self.smallest + 1e-12:
            return "supported"
        return "contradicted" if self.effect < self.smallest - 1e-12 else None


def measure(row: Row, studies: int, seed: int = 0) -> dict[str, float]:
    """Share of each verdict, of wrong ones, and of studies with at least one wrong one."""
    generator = np.random.default_rng(seed)
    counts = dict.fromkeys(RULINGS, 0)
    wrong = 0
    for _ in range(studies):
        found = [verdict.verdict for verdict in judge(row.plant.design, row.plant.table(generator))]
        for ruling in found:
            counts[ruling] += 1
        wrong += any(ruling in row.wrong for ruling in found)
    of = studies * len(row.plant.design.primary)
    return {**{ruling: count / of for ruling, count in counts.items()}, "wrong": wrong / studies}


def tau_rows() -> list[Row]:
    """Pooled tau, and tau under heavy tails and ties."""
    rows = []
    for cells, seeds in ((12, 3), (12, 10), (24, 5), (40, 10)):
        size = f"{cells} cells x {seeds} seeds"
        rows.append(Row("tau", size, Ranked(correlation(), cells, seeds), 0.0))
    for tau, smallest, cells, seeds in (
        (0.3, 0.3, 24, 5), (0.6, 0.6, 12, 3), (0.0, 0.3, 40, 10), (0.0, 0.3, 12, 3), (0.5, 0.3, 40, 10),
        (0.5, 0.0, 24, 5), (-0.5, 0.0, 24, 5), (0.15, 0.0, 8, 3),
    ):  # fmt: skip
        plant = Ranked(correlation(smallest), cells, seeds, xy=pearson(tau))
        rows.append(Row("tau", f"{cells} cells x {seeds} seeds", plant, tau))
    rows += [
        Row("tau", "24 cells x 5 seeds, heavy tails", Ranked(correlation(), 24, 5, heavy=True), 0.0),
        Row("tau", "12 cells x 5 seeds, rounded", Ranked(correlation(), 12, 5, step=0.7), 0.0),
        Row("tau", "24 cells x 5 seeds, half noise", Ranked(correlation(), 24, 5, cell_share=0.5), 0.0),
        Row("tau", "24 cells x 5 seeds, a fifth failed", Ranked(correlation(), 24, 5, failed=0.2), 0.0),
    ]
    return rows


def within_rows() -> list[Row]:
    """Tau within problems that move both measures, of methods that are alike, or not, on all problems."""
    rows = []
    claim = correlation(within=("problem",))
    for problems, methods, seeds, shared in ((3, 12, 3, 0.5), (4, 8, 5, 0.8), (3, 24, 5, 0.0), (6, 12, 3, 0.5)):
        plant = Ranked(claim, methods, seeds, problems=problems, method_share=shared)
        what = f"{problems} problems x {methods} methods x {seeds} seeds, methods {shared:.0%} alike"
        rows.append(Row("tau within problem", what, plant, 0.0))
    strong = Ranked(claim, 12, 5, problems=3, method_share=0.5, xy=pearson(0.5))
    rows.append(Row("tau within problem", "3 problems x 12 methods x 5 seeds, methods 50% alike", strong, 0.5))
    cells = (Correlation(claim="x goes with y", x="x", y="y", within=("problem",), units=("method", "problem")),)
    for problems, methods in ((3, 4), (4, 6), (8, 3), (5, 8)):
        plant = Ranked(cells, methods, 5, problems=problems)
        what = f"{problems} problems x {methods} methods x 5 seeds, nothing alike, units: design cells"
        rows.append(Row("tau within problem", what, plant, 0.0))
    return rows


def partial_rows() -> list[Row]:
    """Tau given a covariate that moves both measures, and nothing else, or something."""
    rows = []
    for cells, seeds, driven in ((12, 3, 0.7), (12, 10, 0.9), (24, 5, 0.7), (40, 10, 0.8)):
        plant = Ranked(correlation(given="z"), cells, seeds, xy=driven**2, xz=driven, yz=driven)
        rows.append(Row("partial tau", f"{cells} cells x {seeds} seeds, z drives x and y ({driven:g})", plant, 0.0))
    for cells, levels in ((24, 3), (40, 5)):
        plant = Ranked(correlation(given="z"), cells, 5, levels=levels)
        rows.append(Row("partial tau", f"{cells} cells x 5 seeds, z drives x and y (0.7), {levels} values", plant, 0.0))
    strong = Ranked(correlation(given="z"), 24, 5, xy=0.49 + 0.51 * 0.8, xz=0.7, yz=0.7)
    rows.append(Row("partial tau", "24 cells x 5 seeds, z drives x and y (0.7)", strong, kendall(0.8)))
    return rows


def stronger_rows() -> list[Row]:
    """Differences of two taus."""
    rows = []
    for cells, seeds, tau, together in ((12, 3, 0.33, 0.5), (24, 5, 0.59, 0.9), (24, 5, 0.0, 0.5), (40, 10, 0.33, 0.2)):
        r = pearson(tau)
        plant = Ranked(stronger(), cells, seeds, xy=r, yz=r, xz=together)
        rows.append(
            Row("stronger tau", f"{cells} cells x {seeds} seeds, both taus {tau:g}, x with z {together:g}", plant, 0.0)
        )
    for smallest, cells in ((0.0, 24), (0.3, 24), (0.6, 40)):
        plant = Ranked(stronger(smallest), cells, 5, xy=pearson(0.6), yz=pearson(0.1), xz=0.2)
        rows.append(Row("stronger tau", f"{cells} cells x 5 seeds, taus 0.6 and 0.1", plant, 0.5))
    return rows


def difference_rows() -> list[Row]:
    """Paired differences: effects in standard deviations of the difference over seeds."""
    rows = []
    for effect, smallest, seeds, problems in (
        (0.0, 0.0, 3, 3), (0.0, 0.0, 10, 1), (0.0, 0.0, 10, 4), (0.0, 1.0, 10, 3), (1.0, 1.0, 10, 3), (2.0, 1.0, 10, 3),
        (1.5, 0.0, 10, 3), (-1.5, 0.0, 10, 3), (0.5, 0.0, 3, 3),
    ):  # fmt: skip
        plant = Paired(difference(smallest), seeds, problems=problems, effect=effect)
        rows.append(Row("difference", f"{seeds} seeds, {problems} problem{'s' * (problems > 1)}", plant, effect))
    ragged = Paired(difference(), 10, problems=3, failed=0.05)
    return [*rows, Row("difference", "10 seeds, 3 problems, 5% failed", ragged, 0.0)]


def family_rows() -> list[Row]:
    """Five hypotheses that are all false in both directions: a study with any verdict but undecided counts."""
    claims = (
        *correlation(),
        *stronger(),
        Correlation(claim="x goes with z", x="x", y="z"),
        Correlation(claim="z goes against y", x="z", y="y", direction="lower"),
        Correlation(claim="x goes with y, given z", x="x", y="y", given="z"),
    )
    return [Row("five hypotheses, any wrong", "16 cells x 6 seeds", Ranked(claims, 16, 6), 0.0)]


def rows() -> list[Row]:
    """All of them."""
    return [*difference_rows(), *tau_rows(), *within_rows(), *partial_rows(), *stronger_rows(), *family_rows()]
