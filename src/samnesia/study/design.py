"""What a study is: factors, seeds, measures and the hypotheses that it stands or falls by, said before it runs.

A study is a Python function that returns a :class:`Study`. Its :class:`Design` can be written to JSON, and is, beside
the results: a report needs no Python of the study's author, and a design that has changed since is refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.hypotheses import Hypothesis
from samnesia.study.work import Work
from samnesia.train.parts.checks import require
from samnesia.train.plain import from_plain, nearest, to_plain

COLUMNS = ("seed", "status", "reason", "directory", "config")
"""Columns of a study's table that are neither factors nor values."""
Levels = Mapping[str, str]
"""The level of each factor, by the factor's name."""


@dataclass(frozen=True)
class Factor:
    """What is varied."""

    name: str
    """Name, such as method: a column of the table."""
    levels: tuple[str, ...]
    """Its levels in the order of reports, such as sgd, sam; of the compared factor, the baseline first."""

    def __post_init__(self) -> None:
        require(
            bool(self.levels) and len(set(self.levels)) == len(self.levels),
            f"cannot vary {self.name} over {', '.join(self.levels) or 'nothing'}, because a factor has one level or "
            "more, each once; name every level once",
        )
        require(
            self.name not in (*COLUMNS, "seconds"),
            f"cannot use {self.name!r} as a factor, because the table has a column of this name already; use another",
        )
        for text in (self.name, *self.levels):
            require(
                bool(text) and not set(text) & set(",/\\=\0") and text == text.strip() and not text.startswith("."),
                f"cannot use {text!r} as a factor or level, because directories are named after them; leave out "
                "commas, slashes and = signs",
            )


@dataclass(frozen=True)
class Measure:
    """A number that comes out of a cell, and how it is spoken of."""

    name: str
    """Short name, by which hypotheses refer to it."""
    value: str
    """Which value of the cell's outcome it is, such as last.test_accuracy: a column of the table."""
    label: str
    """As it is printed: test accuracy, last epoch."""
    unit: str = ""
    """Its unit; % is a share of 0 to 100, empty is a pure number."""
    higher_is_better: bool | None = None
    """Which values are better; None where neither is."""


@dataclass(frozen=True)
class Design:
    """A study as it is written down before it runs.

    Raises:
        ConfigurationError: for names that repeat or are not there, seeds that repeat, or reported seeds that were
            tuned on.
    """

    name: str
    """Name of the study."""
    question: str
    """What it asks, in a sentence."""
    factors: tuple[Factor, ...]
    """What is varied; every combination of levels is a design cell, but for those left out."""
    measures: tuple[Measure, ...]
    """What is measured; the first is what the report shows first."""
    seeds: tuple[int, ...]
    """Reported seeds: each design cell runs once with each of them. Runs of one seed are paired."""
    primary: tuple[Hypothesis, ...] = ()
    """The hypotheses that get a verdict; everything else is exploratory."""
    exploratory: tuple[Hypothesis, ...] = ()
    """Effects that are reported with their intervals beside them, and judged by nothing: they say no more than what to
    ask next. Their claims are the names under which they stand, and may change at any time."""
    tuning_seeds: tuple[int, ...] = ()
    """Seeds on which settings were chosen; never reported."""
    covariates: tuple[str, ...] = ()
    """Names of measures that may explain a relation instead, and are held fixed in partial correlations."""
    compared: str = "method"
    """The factor whose levels are compared to its first one."""
    left_out: tuple[dict[str, str], ...] = ()
    """Combinations that do not run: a design cell that agrees with one of them in all that it names."""
    alpha: float = 0.05
    """Error that the verdicts of the whole study may make, over all its hypotheses."""
    notes: tuple[str, ...] = ()
    """What a reader has to know of data, tuning and limits, a sentence each."""

    def __post_init__(self) -> None:
        for what, names in (("factor", [factor.name for factor in self.factors]), ("measure", list(self._measures)),
                            ("hypothesis", [one.claim for one in (*self.primary, *self.exploratory)])):  # fmt: skip
            twice = {name for name in names if names.count(name) > 1}
            require(not twice, f"cannot use the {what} {'/'.join(twice)!r} twice, because its name is not its own")
        require(
            bool(self.factors) and bool(self.measures) and len(set(self.seeds)) == len(self.seeds) > 0,
            f"cannot run the study {self.name}, because it requires a factor, a measure, and seeds that do not repeat; "
            "name them",
        )
        tuned = sorted({*self.seeds} & {*self.tuning_seeds})
        require(
            not tuned,
            f"cannot report seeds {tuned} of the study {self.name}, because settings were chosen on them; use others",
        )
        self.factor(self.compared)
        for name in self.covariates:
            self.measure(name)
        for levels in self.left_out:
            self.check(levels)
        for hypothesis in (*self.primary, *self.exploratory):
            hypothesis.check(self)

    @property
    def _measures(self) -> list[str]:
        return [measure.name for measure in self.measures]

    def factor(self, name: str) -> Factor:
        """The factor of this name; raises ConfigurationError when there is none."""
        known = {factor.name: factor for factor in self.factors}
        if name not in known:
            raise ConfigurationError(
                f"cannot find the factor {name!r} in the study {self.name}, because there is none; "
                f"{nearest(name, list(known))}"
            )
        return known[name]

    def measure(self, name: str) -> Measure:
        """The measure of this name; raises ConfigurationError when there is none."""
        known = {measure.name: measure for measure in self.measures}
        if name not in known:
            raise ConfigurationError(
                f"cannot find the measure {name!r} in the study {self.name}, because there is none; "
                f"{nearest(name, list(known))}"
            )
        return known[name]

    def check(self, levels: Levels) -> None:
        """Refuse levels that are not in the design.

        Raises:
            ConfigurationError: with the nearest known name.
        """
        for name, level in levels.items():
            if level not in self.factor(name).levels:
                raise ConfigurationError(
                    f"cannot find the level {level!r} of {name} in the study {self.name}, because there is none; "
                    f"{nearest(level, list(self.factor(name).levels))}"
                )

    def cells(self) -> Iterator[dict[str, str]]:
        """Yield the levels of every design cell, the last factor fastest."""
        names = [factor.name for factor in self.factors]
        for combination in itertools.product(*(factor.levels for factor in self.factors)):
            levels = dict(zip(names, combination, strict=True))
            if not any(pattern.items() <= levels.items() for pattern in self.left_out):
                yield levels

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @staticmethod
    def from_json(plain: Any) -> Design:
        """Return the design that :meth:`to_json` wrote; raises ConfigurationError for anything else."""
        design: Design = from_plain(Design, plain)
        return design


@dataclass(frozen=True)
class Study:
    """A design, and what its cells do."""

    design: Design
    """What is varied, measured and asked."""
    work: Callable[[Levels, int], Work] = field(repr=False)
    """(levels, seed) -> what the cell does. The same arguments always give work of the same settings."""
