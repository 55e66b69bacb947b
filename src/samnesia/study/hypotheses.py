"""Hypotheses as they are said before a study runs: what is compared, in which direction, and how much would matter.

Each kind knows how it is estimated, what its power is and what its effect is called, so that verdicts, reports and
``describe_power`` treat all kinds alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Self

from samnesia.study.judging.numbers import ranges
from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    from pandas import DataFrame

    from samnesia.study.design import Design, Levels
    from samnesia.study.judging.estimates import Estimate

Direction = Literal["higher", "lower"]
SIGNS: dict[str, int] = {"higher": 1, "lower": -1}
Scope = Mapping[str, tuple[str, ...]]
"""The levels that count, by factor; of a factor that is not there, all."""


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """What all kinds of hypotheses have."""

    claim: str
    """What it claims, in a sentence."""
    where: dict[str, str] = field(default_factory=dict)
    """Levels of the runs that count; of a factor that is not named, all."""
    over: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Levels that count of a factor that nothing else names, where not all do. A study whose factor gets another level
    after results writes the earlier ones down here: the hypothesis stays about them."""
    seeds: tuple[int, ...] = ()
    """Reported seeds whose runs count, such as those that confirm what others were looked at for; none is all."""
    direction: Direction = "higher"
    """Whether the claim is that the effect is positive or negative."""
    smallest: float = 0.0
    """Smallest effect of interest, 0 or more."""

    @property
    def sign(self) -> int:
        """1 where the claim points up, -1 where it points down."""
        return SIGNS[self.direction]

    @property
    def named(self) -> set[str]:
        """The factors of which it says which levels it is about, but for those in ``over``."""
        return {*self.where}

    @property
    def scope(self) -> dict[str, tuple[str, ...]]:
        """The levels whose runs count."""
        return {name: (level,) for name, level in self.where.items()} | self.over

    def seeds_of(self, design: Design) -> tuple[int, ...]:
        """The seeds whose runs count, in the order of the design."""
        return tuple(seed for seed in design.seeds if not self.seeds or seed in self.seeds)

    def keeping_to(self, levels: Scope) -> Self:
        """The same about these levels of factors that it does not name."""
        return replace(self, over={name: of for name, of in levels.items() if name not in self.named} | self.over)

    def _check_scope(self, design: Design) -> None:
        require(
            not self.named & self.over.keys() and all(self.over.values()),
            f"cannot test {self.claim!r} over {_listed(self.over)}, because a factor in over must have a level or more "
            "and be named nowhere else; correct it",
        )
        absent = sorted({*self.seeds} - {*design.seeds})
        require(
            not absent,
            f"cannot test {self.claim!r} on seeds {', '.join(map(str, absent))}, because the study {design.name} does "
            "not run them; name reported seeds",
        )
        design.check(self.where)
        for name, levels in self.over.items():
            for level in levels:
                design.check({name: level})


def in_scope(levels: Levels, scope: Scope) -> bool:
    """Whether a cell of these levels counts."""
    return all(levels[name] in allowed for name, allowed in scope.items())


@dataclass(frozen=True, kw_only=True)
class Also:
    """A further part of a claim about a difference: the same sides in another measure."""

    measure: str
    """Name of the measure."""
    direction: Direction = "higher"
    """Whether the claim is that this difference is positive or negative."""
    smallest: float = 0.0
    """Smallest effect of interest in this measure, 0 or more."""


@dataclass(frozen=True, kw_only=True)
class Difference(Claimed):
    """Treatment minus control, paired by seed: one mean difference, in the measure's unit.

    Factors that neither side nor ``where`` names are averaged over within each seed, because the seed is what is drawn
    anew. A claim with further parts (``also``) is supported where every part is, and contradicted where one is.
    """

    measure: str
    """Name of the measure."""
    treatment: dict[str, str]
    """Levels of the one side, such as method: sam."""
    control: dict[str, str]
    """Levels of the other, of the same factors."""
    expected_sd: float | None = None
    """Standard deviation of the paired difference over seeds, as tuning seeds showed it, for the power that is printed
    before the study runs; never of reported seeds. None is unknown."""
    also: tuple[Also, ...] = ()
    """What has to hold as well, of the same runs; ``measure``, ``direction`` and ``smallest`` are the first part."""

    def __post_init__(self) -> None:
        for smallest in (self.smallest, *(part.smallest for part in self.also)):
            _check_smallest(self.claim, smallest)
        require(
            self.expected_sd is None or 0.0 < self.expected_sd < float("inf"),
            f"cannot plan {self.claim!r} with a standard deviation of {self.expected_sd}, because it must be positive; "
            "leave it out where it is unknown",
        )
        require(
            self.treatment.keys() == self.control.keys() != set() and self.treatment != self.control
            and not self.treatment.keys() & self.where.keys(),
            f"cannot test {self.claim!r}, because treatment and control must name the same factors with other levels, "
            "and none of those in where; correct them",
        )  # fmt: skip

    def check(self, design: Design) -> None:
        """Refuse names that the design does not have; raises ConfigurationError."""
        for name in self.measures:
            design.measure(name)
        self._check_scope(design)
        for levels in (self.treatment, self.control):
            design.check(levels)

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of the measures of all parts."""
        return (self.measure, *(part.measure for part in self.also))

    @property
    def parts(self) -> tuple[Difference, ...]:
        """Each part as a claim of its own; of a claim without further parts, itself."""
        return (
            replace(self, also=()),
            *(
                replace(self, measure=one.measure, direction=one.direction, smallest=one.smallest, also=())
                for one in self.also
            ),
        )

    @property
    def named(self) -> set[str]:
        """The factors of which it says which levels it is about, but for those in ``over``."""
        return {*self.treatment, *self.where}

    @property
    def scope(self) -> dict[str, tuple[str, ...]]:
        """The levels whose runs count, of either side."""
        return super().scope | {name: (level, self.control[name]) for name, level in self.treatment.items()}

    def estimate(self, design: Design, table: DataFrame) -> Estimate:
        """What the table's finished runs say: :func:`samnesia.study.judging.estimates.difference`.

        Of several parts, :func:`samnesia.study.judging.estimates.together`.
        """
        from samnesia.study.judging.estimates import difference, together

        found = [difference(part, design, table) for part in self.parts]
        return together(found) if self.also else found[0]

    def power(self, design: Design) -> list[str]:
        """Lines on what the design can show: :func:`samnesia.study.judging.power.of_difference`."""
        from samnesia.study.judging.power import of_difference

        return of_difference(self, design)

    def subject(self, design: Design) -> str:
        """What the effect is, such as ``sam minus sgd in test accuracy``."""
        sides = " minus ".join(_spoken(design, side) for side in (self.treatment, self.control))
        measures = " and ".join(_label(design, name) for name in self.measures)
        return f"{sides} in {measures}{_at(self)}"

    def unit(self, design: Design) -> str:
        """Unit of the effect: points, of a share in percent."""
        unit = design.measure(self.measure).unit
        return "points" if unit == "%" else unit


@dataclass(frozen=True, kw_only=True)
class Correlation(Claimed):
    """Kendall's tau-b of two measures over runs; its bootstrap resamples whole design cells.

    Runs are paired by seed, and so only runs of one seed are ranked against each other: what a seed does to all its
    runs cancels then, and the runs of one design cell are never taken for several cells.
    """

    x: str
    """Name of the one measure."""
    y: str
    """Name of the other."""
    within: tuple[str, ...] = ()
    """Factors whose levels are kept apart: only pairs of runs that agree in them are ranked (granulated tau)."""
    units: tuple[str, ...] = ()
    """Factors whose combinations are drawn anew by the bootstrap, with all their runs; none is all factors that
    ``within`` does not name: the design cells, or, within a factor, what is the same cell on each of its levels."""
    given: str | None = None
    """Name of a measure that is held fixed (partial tau); None is none."""

    def __post_init__(self) -> None:
        _check_smallest(self.claim, self.smallest, below=1.0)

    def check(self, design: Design) -> None:
        """Refuse names that the design does not have; raises ConfigurationError."""
        self._check_scope(design)
        _check_ranked(self.claim, design, (self.x, self.y, self.given), self.within, self.units)

    def estimate(self, design: Design, table: DataFrame) -> Estimate:
        """What the table's finished runs say: :func:`samnesia.study.judging.estimates.correlation`."""
        from samnesia.study.judging.estimates import correlation

        return correlation(self, design, table)

    def power(self, design: Design) -> list[str]:
        """Lines on what the design can show: :func:`samnesia.study.judging.power.of_correlation`."""
        from samnesia.study.judging.power import of_correlation

        return of_correlation(self, design)

    def subject(self, design: Design) -> str:
        """What the effect is, such as ``Kendall's tau of sharpness with test accuracy``."""
        x, y = (_label(design, name) for name in (self.x, self.y))
        return f"Kendall's tau of {x} with {y}{_kept(design, self.within, self.given)}{_at(self)}"

    def unit(self, design: Design) -> str:
        """Unit of the effect: none."""
        return ""


@dataclass(frozen=True, kw_only=True)
class StrongerCorrelation(Claimed):
    """Tau of ``x`` with ``y`` minus tau of ``rival`` with ``y``, over the same runs (paired bootstrap).

    As for :class:`Correlation`, only runs of one seed are ranked against each other.
    """

    x: str
    """Name of the measure that is claimed to rank better."""
    rival: str
    """Name of the measure that it is held against."""
    y: str
    """Name of the measure that both are to explain."""
    signs: tuple[int, ...] = (1, 1)
    """Sign of each tau that counts as explaining y: 1 or -1 for x and for the rival."""
    within: tuple[str, ...] = ()
    """Factors whose levels are kept apart."""
    units: tuple[str, ...] = ()
    """Factors whose combinations are drawn anew by the bootstrap, with all their runs; none is all factors that
    ``within`` does not name: the design cells, or, within a factor, what is the same cell on each of its levels."""
    given: str | None = None
    """Name of a measure that is held fixed; None is none."""

    def __post_init__(self) -> None:
        _check_smallest(self.claim, self.smallest, below=2.0)
        require(
            len(self.signs) == 2 and set(self.signs) <= {1, -1},
            f"cannot test {self.claim!r} with signs {self.signs}, because x and the rival have one each; use 1 or -1",
        )

    def check(self, design: Design) -> None:
        """Refuse names that the design does not have; raises ConfigurationError."""
        self._check_scope(design)
        _check_ranked(self.claim, design, (self.x, self.rival, self.y, self.given), self.within, self.units)

    def estimate(self, design: Design, table: DataFrame) -> Estimate:
        """What the table's finished runs say: :func:`samnesia.study.judging.estimates.stronger`."""
        from samnesia.study.judging.estimates import stronger

        return stronger(self, design, table)

    def power(self, design: Design) -> list[str]:
        """Lines on what the design can show: :func:`samnesia.study.judging.power.of_stronger`."""
        from samnesia.study.judging.power import of_stronger

        return of_stronger(self, design)

    def subject(self, design: Design) -> str:
        """What the effect is: a difference of two taus."""
        x, rival, y = (_label(design, name) for name in (self.x, self.rival, self.y))
        taus = (f"tau of {x} with {y}", f"tau of {rival} with it")
        one, other = (tau if sign > 0 else f"(\N{MINUS SIGN}{tau})" for sign, tau in zip(self.signs, taus, strict=True))
        return f"{one} minus {other}{_kept(design, self.within, self.given)}{_at(self)}"

    def unit(self, design: Design) -> str:
        """Unit of the effect: none."""
        return ""


Hypothesis = Difference | Correlation | StrongerCorrelation


def _check_smallest(claim: str, smallest: float, below: float = float("inf")) -> None:
    require(
        0.0 <= smallest < below,
        f"cannot test {claim!r} with a smallest effect of {smallest}, because an effect of interest is 0 or more"
        f"{f' and below {below:g}' if below < float('inf') else ''}; say the direction apart",
    )


def _check_ranked(
    claim: str,
    design: Design,
    measures: tuple[str | None, ...],
    within: tuple[str, ...],
    units: tuple[str, ...],
) -> None:
    for name in measures:
        if name is not None:
            design.measure(name)
    for name in (*within, *units):
        design.factor(name)
    require(
        {*within} < {factor.name for factor in design.factors},
        f"cannot test {claim!r} within {', '.join(within)}, because runs that agree in every factor are one design "
        "cell, which has nothing to rank; leave one out",
    )


def _spoken(design: Design, levels: Levels) -> str:
    return ", ".join(level if name == design.compared else f"{name} {level}" for name, level in levels.items())


def _label(design: Design, measure: str) -> str:
    """The label in a sentence: ``test accuracy (last epoch)``."""
    label, _, more = design.measure(measure).label.partition(", ")
    return f"{label} ({more})" if more else label


def _at(hypothesis: Claimed) -> str:
    at = f" at {', '.join(f'{name} {level}' for name, level in hypothesis.where.items())}" if hypothesis.where else ""
    at += f" over {_listed(hypothesis.over)}" if hypothesis.over else ""
    return at + told_seeds(hypothesis)


def told_seeds(hypothesis: Claimed) -> str:
    """`` with seeds 3 to 5`` of a hypothesis about some of them."""
    several = "s" if len(hypothesis.seeds) > 1 else ""
    return f" with seed{several} {ranges(hypothesis.seeds)}" if hypothesis.seeds else ""


def _listed(scope: Scope) -> str:
    """``budget steps, gradients and problem wine``."""
    return " and ".join(f"{name} {', '.join(levels)}" for name, levels in scope.items())


def _kept(design: Design, within: tuple[str, ...], given: str | None) -> str:
    kept = f" within {' and '.join(within)}" if within else ""
    return kept + (f" given {_label(design, given)}" if given else "")
