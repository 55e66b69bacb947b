"""Paired comparison of methods in anybody's own training function, without our trainer."""

from __future__ import annotations

import math
import tempfile
import textwrap
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from samnesia.extras import require
from samnesia.perturb.errors import ConfigurationError
from samnesia.study.call import SCORE, Call, MakeMethod, TrainFunction, name_of
from samnesia.study.judging import numbers
from samnesia.study.judging.statistics import Interval, mean_interval, paired_interval, paired_p_values

if TYPE_CHECKING:
    from samnesia.study.design import Study
    from samnesia.study.judging.verdicts import Ruling

WIDTH, LEAST_NAME, MOST_HEAD = 80, 8, 14
"""Columns of a terminal; those that names of methods get at least; and the longest name in the head of a column."""
HELPS: Mapping[str, bool | None] = {"supported": True, "contradicted": False, "undecided": None}


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` found; printing it shows a table.

    Attributes:
        methods: names of the methods; the others are compared to the first.
        seeds: as they were asked for.
        scores: the score of each run that ended well, by method and seed.
        failures: the reason of each that did not, by method and seed.
        tracebacks: the traceback of each that raised, by method and seed.
        higher_is_better: the direction of the score.
        confidence: the coverage of the intervals; what it lacks of 1 is the error of all verdicts together.
        smallest: the smallest difference of interest, in the unit of the score.
    """

    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    scores: Mapping[str, Mapping[int, float]]
    failures: Mapping[tuple[str, int], str]
    tracebacks: Mapping[tuple[str, int], str]
    higher_is_better: bool = True
    confidence: float = 0.95
    smallest: float = 0.0

    def mean(self, method: str) -> Interval | None:
        """Mean score over seeds with Student's t-interval; None without a run.

        Raises:
            ConfigurationError: for a method that was not compared, as do all of these.
        """
        values = list(self._scores_of(method).values())
        return mean_interval(values, self.confidence) if values else None

    def difference(self, method: str) -> Interval | None:
        """Mean score minus the first method's, paired within seeds, with its t-interval; None without a pair."""
        return paired_interval(self._scores_of(method), self.scores[self.methods[0]], self.confidence)

    @cached_property
    def verdicts(self) -> Mapping[str, Ruling]:
        """Verdicts on "it is better than the first method", for each other one: :mod:`samnesia.study.judging.verdicts`.

        Paired one-sided t-tests, adjusted by Holm's procedure for the number of methods. It is supported, contradicted
        (better by less than the smallest difference of interest; where that is 0: worse), or undecided.
        """
        from samnesia.study.judging.verdicts import holm, rule

        claims = [self._p_values(method) for method in self.methods[1:]]
        support, contradict = (holm(values) for values in zip(*claims, strict=True)) if claims else ([], [])
        return {
            method: rule(self._gain(method), self.smallest, for_it, against, 1.0 - self.confidence)
            for method, for_it, against in zip(self.methods[1:], support, contradict, strict=True)
        }

    def helps(self, method: str) -> bool | None:
        """The verdict on a method: True for supported, False for contradicted, None for undecided.

        Raises:
            ConfigurationError: for the first method, which is what the others are compared to.
        """
        self._scores_of(method)
        if method == self.methods[0]:
            raise ConfigurationError(
                f"cannot say whether {method!r} helps, because it is what the other methods are compared to; ask about "
                "one of them"
            )
        return HELPS[self.verdicts[method]]

    def __str__(self) -> str:
        """Return a table: a row per method, with means, differences, verdict and number of runs; then what failed."""
        first, digits = self.methods[0], self._decimals()
        rows = [("score", f"to {first}" if len(first) <= MOST_HEAD else "difference", "verdict", "runs")]
        for method in self.methods:
            others = ("", "") if method == first else (
                _shown(self.difference(method), numbers.signed, digits), self.verdicts[method],
            )  # fmt: skip
            count = f"{len(self.scores[method])} of {len(self.seeds)}"
            rows.append((_shown(self.mean(method), numbers.plain, digits), *others, count))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        room = max(WIDTH - sum(widths) - 2 * len(widths), LEAST_NAME)
        names = [textwrap.wrap(name, room) or [""] for name in ("method", *self.methods)]
        widest = max(len(line) for name in names for line in name)
        lines = []
        for name, row in zip(names, rows, strict=True):
            figures = "  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True))
            lines += [f"{name[0]:{widest}}  {figures}".rstrip(), *name[1:]]
        failed = [f"{method}, seed {seed}, failed: {reason}" for (method, seed), reason in self.failures.items()]
        return "\n".join([*lines, *(textwrap.fill(line, WIDTH) for line in (self._explained(), *failed))])

    def _explained(self) -> str:
        better = "higher" if self.higher_is_better else "lower"
        start = (
            f"Mean \N{PLUS-MINUS SIGN} half the {100 * self.confidence:g} % t-interval over seeds, {better} is better"
        )
        if len(self.methods) == 1:
            return f"{start}."
        claim = f"better than {self.methods[0]}" + (f" by {self.smallest:g} or more" if self.smallest else "")
        others = len(self.methods) - 1
        return (
            f"{start}; differences are paired by seed. Verdicts are on \N{LEFT DOUBLE QUOTATION MARK}{claim}"
            f"\N{RIGHT DOUBLE QUOTATION MARK} (Holm over {others} method{'' if others == 1 else 's'}, error "
            f"{100 * (1 - self.confidence):g} % in all)."
        )

    def _scores_of(self, method: str) -> Mapping[int, float]:
        from samnesia.train.plain import nearest

        if method not in self.scores:
            raise ConfigurationError(
                f"cannot find the method {method!r} in this comparison, because it was not compared; "
                f"{nearest(method, list(self.methods))}"
            )
        return self.scores[method]

    def _gain(self, method: str) -> float | None:
        difference = self.difference(method)
        return None if difference is None else difference.mean * (1 if self.higher_is_better else -1)

    def _p_values(self, method: str) -> tuple[float, float]:
        interval = self.difference(method)
        if interval is None or interval.low is None:
            return 1.0, 1.0
        own, base = self.scores[method], self.scores[self.methods[0]]
        return paired_p_values(own, base, sign=1 if self.higher_is_better else -1, smallest=self.smallest)

    def _decimals(self) -> int:
        largest = max((abs(score) for scores in self.scores.values() for score in scores.values()), default=0.0)
        return min(max(3 - math.floor(math.log10(largest)), 0), 6) if largest else 1


def compare(
    train_fn: TrainFunction,
    methods: Mapping[str, MakeMethod],
    seeds: Sequence[int] = range(5),
    *,
    higher_is_better: bool = True,
    smallest: float = 0.0,
    confidence: float = 0.95,
    out: Path | str | None = None,
    workers: int = 1,
    progress: Callable[[str], object] | None = None,
) -> Comparison:
    """Train with every method over every seed in a training function of your own, and compare within seeds.

    ::

        def train_fn(make_method, seed):
            model, optimizer = ...                      # yours, from the seed
            method = make_method(model, optimizer)
            ...                                         # your loop, over method.passes()
            return test_accuracy

        print(samnesia.compare(train_fn, {"sgd": samnesia.unperturbed, "sam": partial(samnesia.sam, rho=0.05)}))

    Before each run the global random generators of Python, NumPy and torch are seeded with the seed, so that the runs
    of one seed start from the same weights and see the same order of samples unless ``train_fn`` seeds them itself;
    afterwards they are as before.

    Args:
        train_fn: ``train_fn(make_method, seed)`` trains and returns a score, a finite number.
        methods: by name, what makes the method of a model and its optimizer. The others are compared to the first.
        seeds: distinct; three at least for an interval.
        higher_is_better: the direction of the score.
        smallest: the smallest difference of interest, in the unit of the score: a verdict is about it.
        confidence: the coverage of the intervals, strictly between 0 and 1.
        out: directory of the study: runs that have finished in it are kept, so that the same call goes on after an
            interruption, and one with more seeds, or more methods at the end, runs only those. It gets a report. None
            is to leave nothing on disk.
        workers: runs at a time. With more than 1, function and methods are sent to other processes.
        progress: called with a line after each run, such as ``print``. With ``out`` or several workers, anything shows
            the study's own table instead.

    Returns:
        The scores and their comparison. A run that raises, or whose score is no finite number, keeps its reason under
        ``failures``; the others go on.

    Raises:
        ConfigurationError: for methods or seeds that are none or repeat, a confidence outside (0, 1), a smallest
            difference below 0, a function that cannot be sent to another process or has changed since the runs in
            ``out``, or when every run failed; the first one's error is the cause where it was raised in this process.
        MissingExtraError: when SciPy is not installed; with ``out`` or several workers, any of ``samnesia[train]``.

    Source: paired t-test, Student (1908), The probable error of a mean, Biometrika 6(1).
    """
    require("scipy.stats", extra="train")  # now, and not after the first hours
    _check(methods, seeds, confidence, smallest)
    options = _Options(higher_is_better, confidence, smallest)
    calls = [Call(train_fn, make, method, int(seed)) for seed in seeds for method, make in methods.items()]
    if out is not None:
        return _studied(calls, Path(out), options, workers=workers, progress=progress is not None, report=True)
    if workers == 1:
        return _called(calls, options, progress)
    with tempfile.TemporaryDirectory() as directory:
        return _studied(calls, Path(directory), options, workers=workers, progress=progress is not None, report=False)


@dataclass(frozen=True)
class _Options:
    """How scores are compared: see :class:`Comparison`."""

    higher_is_better: bool
    confidence: float
    smallest: float


@dataclass
class _Runs:
    """What came out of the runs so far."""

    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    scores: dict[str, dict[int, float]]
    failures: dict[tuple[str, int], str] = field(default_factory=dict)
    tracebacks: dict[tuple[str, int], str] = field(default_factory=dict)

    @staticmethod
    def none_of(methods: Iterable[str], seeds: Iterable[int]) -> _Runs:
        methods = tuple(dict.fromkeys(methods))
        return _Runs(methods, tuple(dict.fromkeys(seeds)), {method: {} for method in methods})

    def compared(self, options: _Options, cause: Exception | None = None) -> Comparison:
        """The comparison of what there is; raises ConfigurationError where there is nothing."""
        if not any(self.scores.values()):
            (method, seed), reason = next(iter(self.failures.items()))
            raise ConfigurationError(
                f"cannot compare, because every run failed (the first, {method} with seed {seed}: {reason}); mend the "
                "training function"
            ) from cause
        return Comparison(self.methods, self.seeds, self.scores, self.failures, self.tracebacks, **vars(options))


def _called(calls: Sequence[Call], options: _Options, progress: Callable[[str], object] | None) -> Comparison:
    """The calls one after the other in this process, and nothing on disk."""
    runs = _Runs.none_of((call.method for call in calls), (call.seed for call in calls))
    first_error: Exception | None = None
    for call in calls:
        key = call.method, call.seed
        try:
            runs.scores[call.method][call.seed] = score = call.score()
            line = f"{call.method}, seed {call.seed}: {score:.6g}"
        except Exception as error:
            runs.failures[key], runs.tracebacks[key] = f"{type(error).__name__}: {error}", traceback.format_exc()
            first_error = first_error or error
            line = f"{call.method}, seed {call.seed}, failed: {runs.failures[key]}"
        if progress is not None:
            progress(line)
    return runs.compared(options, first_error)


def _studied(
    calls: Sequence[Call], out: Path, options: _Options, *, workers: int, progress: bool, report: bool
) -> Comparison:
    """The calls as cells of a study in ``out``."""
    from samnesia.study.engine import run as engine
    from samnesia.study.engine import store
    from samnesia.study.report import write_report

    results = engine.run_study(_study_of(calls, options), out, workers=workers, progress=progress)
    runs = _Runs.none_of((call.method for call in calls), results.design.seeds)
    for row in results.table.to_dict("records"):
        method, seed = row["method"], int(row["seed"])
        if row["status"] == "finished":
            runs.scores[method][seed] = row[SCORE]
        else:
            error = store.read_object(out / row["directory"] / store.ERROR, remedy="run the same call again")
            runs.failures[method, seed], runs.tracebacks[method, seed] = error["reason"], error["traceback"] or ""
    compared = runs.compared(options)
    if report:
        write_report(out)
    return compared


def _study_of(calls: Sequence[Call], options: _Options) -> Study:
    """The study of one factor, the method, in which each other method is claimed to be better than the first."""
    from samnesia.study.design import Design, Factor, Levels, Measure, Study
    from samnesia.study.hypotheses import Difference

    first = calls[0]
    methods = {call.method: call for call in calls}
    base, *others = methods
    claims = tuple(
        Difference(
            claim=f"{method} is better than {base}",
            measure=SCORE,
            treatment={"method": method},
            control={"method": base},
            direction="higher" if options.higher_is_better else "lower",
            smallest=options.smallest,
        )
        for method in others
    )
    design = Design(
        name=name_of(first.function),
        question=f"Which methods are better than {base} in {name_of(first.function)}?",
        factors=(Factor("method", tuple(methods)),),
        measures=(Measure(SCORE, SCORE, SCORE, higher_is_better=options.higher_is_better),),
        seeds=tuple(dict.fromkeys(call.seed for call in calls)),
        primary=claims,
        alpha=round(1.0 - options.confidence, 12),
    )

    def work(levels: Levels, seed: int) -> Call:
        return replace(methods[levels["method"]], seed=seed)

    return Study(design, work)


def _check(methods: Mapping[str, MakeMethod], seeds: Sequence[int], confidence: float, smallest: float) -> None:
    if not isinstance(methods, Mapping) or not all(map(callable, methods.values())):
        raise ConfigurationError(
            "cannot compare these methods, because each is a name with a function of model and optimizer; give a "
            'dictionary, as in {"sgd": samnesia.unperturbed, "sam": samnesia.sam}'
        )
    if isinstance(seeds, int):
        raise ConfigurationError(
            f"cannot compare over seeds {seeds}, because it is a number and not a list of them; use range({seeds})"
        )
    if not methods or not seeds or len(set(seeds)) < len(seeds):
        named = [", ".join(map(str, values)) or "(none)" for values in (methods, seeds)]
        raise ConfigurationError(
            f"cannot compare methods {named[0]} over seeds {named[1]}, because pairing requires at least one of both, "
            "and each seed only once; name every seed once"
        )
    if not 0.0 < confidence < 1.0:
        raise ConfigurationError(
            f"cannot form an interval with confidence {confidence}, because a coverage requires a number strictly "
            "between 0 and 1; use 0.95"
        )
    if not 0.0 <= smallest < math.inf:
        raise ConfigurationError(
            f"cannot judge by a smallest difference of {smallest}, because a difference of interest requires a number "
            "of 0 or more; say with higher_is_better which direction is the better one"
        )


def _shown(interval: Interval | None, form: Callable[[float | None, int], str], digits: int) -> str:
    if interval is None:
        return numbers.plain(None)
    mean = form(interval.mean, digits)
    if interval.low is None or interval.high is None:
        return mean
    return f"{mean} \N{PLUS-MINUS SIGN}{numbers.plain((interval.high - interval.low) / 2, digits)}"
