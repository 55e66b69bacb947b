"""Hypotheses as they are said before a study runs: what is compared, in which direction, and how much would matter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    from samnesia.study.design import Design

Direction = Literal["higher", "lower"]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Treatment minus control, paired by seed: one mean difference, in the measure's unit.

    Factors that neither side nor ``where`` names are averaged over within each seed, because the seed is what is drawn
    anew.
    """

    claim: str
    """What it claims, in a sentence."""
    measure: str
    """Name of the measure."""
    treatment: dict[str, str]
    """Levels of the one side, such as method: sam."""
    control: dict[str, str]
    """Levels of the other, of the same factors."""
    where: dict[str, str] = field(default_factory=dict)
    """Levels that both share; of a factor that is not named, all."""
    direction: Direction = "higher"
    """Whether the claim is that the treatment's measure is higher or lower."""
    smallest: float = 0.0
    """Smallest effect of interest, 0 or more, in the measure's unit."""

    def __post_init__(self) -> None:
        _check_smallest(self.claim, self.smallest)
        require(
            self.treatment.keys() == self.control.keys() != set() and self.treatment != self.control
            and not self.treatment.keys() & self.where.keys(),
            f"cannot test {self.claim!r}, because treatment and control must name the same factors with other levels, "
            "and none of those in where; correct them",
        )  # fmt: skip

    def check(self, design: Design) -> None:
        """Refuse names that the design does not have; raises ConfigurationError."""
        design.measure(self.measure)
        for levels in (self.treatment, self.control, self.where):
            design.check(levels)


@dataclass(frozen=True, kw_only=True)
class Correlation:
    """Kendall's tau-b of two measures over runs; its bootstrap resamples whole design cells."""

    claim: str
    """What it claims, in a sentence."""
    x: str
    """Name of the one measure."""
    y: str
    """Name of the other."""
    where: dict[str, str] = field(default_factory=dict)
    """Levels of the runs that count; of a factor that is not named, all."""
    within: tuple[str, ...] = ()
    """Factors whose levels are kept apart: only pairs of runs that agree in them are ranked (granulated tau)."""
    given: str | None = None
    """Name of a measure that is held fixed (partial tau); None is none."""
    direction: Direction = "higher"
    """Whether the claim is a positive or a negative tau."""
    smallest: float = 0.0
    """Smallest tau of interest, 0 to below 1."""

    def __post_init__(self) -> None:
        _check_smallest(self.claim, self.smallest)

    def check(self, design: Design) -> None:
        """Refuse names that the design does not have; raises ConfigurationError."""
        _check_ranked(design, (self.x, self.y, self.given), self.where, self.within)


@dataclass(frozen=True, kw_only=True)
class StrongerCorrelation:
    """Tau of ``x`` with ``y`` minus tau of ``rival`` with ``y``, over the same runs (paired bootstrap)."""

    claim: str
    """What it claims, in a sentence."""
    x: str
    """Name of the measure that is claimed to rank better."""
    rival: str
    """Name of the measure that it is held against."""
    y: str
    """Name of the measure that both are to explain."""
    signs: tuple[int, ...] = (1, 1)
    """Sign of each tau that counts as explaining y: 1 or -1 for x and for the rival."""
    where: dict[str, str] = field(default_factory=dict)
    """Levels of the runs that count; of a factor that is not named, all."""
    within: tuple[str, ...] = ()
    """Factors whose levels are kept apart."""
    given: str | None = None
    """Name of a measure that is held fixed; None is none."""
    direction: Direction = "higher"
    """Whether the claim is that x ranks better or worse."""
    smallest: float = 0.0
    """Smallest difference of interest."""

    def __post_init__(self) -> None:
        _check_smallest(self.claim, self.smallest)
        require(
            len(self.signs) == 2 and set(self.signs) <= {1, -1},
            f"cannot test {self.claim!r} with signs {self.signs}, because x and the rival have one each; use 1 or -1",
        )

    def check(self, design: Design) -> None:
        """Refuse names that the design does not have; raises ConfigurationError."""
        _check_ranked(design, (self.x, self.rival, self.y, self.given), self.where, self.within)


Hypothesis = Difference | Correlation | StrongerCorrelation


def _check_smallest(claim: str, smallest: float) -> None:
    require(
        0.0 <= smallest < float("inf"),
        f"cannot test {claim!r} with a smallest effect of {smallest}, because an effect of interest is 0 or more; "
        "say the direction apart",
    )


def _check_ranked(
    design: Design, measures: tuple[str | None, ...], where: dict[str, str], within: tuple[str, ...]
) -> None:
    for name in measures:
        if name is not None:
            design.measure(name)
    design.check(where)
    for name in within:
        design.factor(name)
