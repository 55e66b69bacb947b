"""Paired comparison of methods in anybody's own training function, without our trainer."""

from __future__ import annotations

import math
import random
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samnesia.extras import require
from samnesia.perturb.errors import ConfigurationError
from samnesia.study import numbers
from samnesia.study.statistics import Interval, mean_interval, paired_interval

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from samnesia.perturb.passes import PerturbedGradient

MakeMethod = Callable[["nn.Module", "Optimizer"], "PerturbedGradient"]
TrainFunction = Callable[[MakeMethod, int], Any]


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
        confidence: the coverage of the intervals.
    """

    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    scores: Mapping[str, Mapping[int, float]]
    failures: Mapping[tuple[str, int], str]
    tracebacks: Mapping[tuple[str, int], str]
    higher_is_better: bool = True
    confidence: float = 0.95

    def mean(self, method: str) -> Interval | None:
        """Mean score over seeds with Student's t-interval; None without a run."""
        values = list(self.scores[method].values())
        return mean_interval(values, self.confidence) if values else None

    def difference(self, method: str) -> Interval | None:
        """Mean score minus the first method's, paired within seeds, with its t-interval; None without a pair."""
        return paired_interval(self.scores[method], self.scores[self.methods[0]], self.confidence)

    def helps(self, method: str) -> bool | None:
        """Whether the method is told apart from the first: True for better, False for worse, None for neither."""
        interval = self.difference(method)
        if interval is None or not interval.excludes_zero:
            return None
        return (interval.mean > 0.0) == self.higher_is_better

    def __str__(self) -> str:
        """Return a table: a row per method, with means, differences and the number of runs; then what failed."""
        first, digits = self.methods[0], self._decimals()
        rows = [("method", "score", f"to {first}", "verdict", "runs")]
        for method in self.methods:
            own = method == first
            verdict = {True: "better", False: "worse", None: "not told apart"}[self.helps(method)]
            rows.append(
                (
                    method,
                    _shown(self.mean(method), numbers.plain, digits),
                    "" if own else _shown(self.difference(method), numbers.signed, digits),
                    "" if own else verdict,
                    f"{len(self.scores[method])} of {len(self.seeds)}",
                )
            )
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        better = "higher" if self.higher_is_better else "lower"
        lines.append(
            f"Mean ({100 * self.confidence:g} % t-interval over seeds), {better} is better; differences are paired by "
            "seed, and not widened for the number of methods."
        )
        failed = [f"{method}, seed {seed}, failed: {reason}" for (method, seed), reason in self.failures.items()]
        return "\n".join(lines + failed)

    def _decimals(self) -> int:
        largest = max((abs(score) for scores in self.scores.values() for score in scores.values()), default=0.0)
        return min(max(3 - math.floor(math.log10(largest)), 0), 6) if largest else 1


def compare(
    train_fn: TrainFunction,
    methods: Mapping[str, MakeMethod],
    seeds: Sequence[int] = range(5),
    *,
    higher_is_better: bool = True,
    confidence: float = 0.95,
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
        confidence: the coverage of the intervals, strictly between 0 and 1.
        progress: called with a line after each run, such as ``print``.

    Returns:
        The scores and their comparison. A run that raises, or whose score is no finite number, keeps its reason under
        ``failures``; the others go on.

    Raises:
        ConfigurationError: for methods or seeds that are none or repeat, a confidence outside (0, 1), or when every run
            failed; the first one's error is the cause.
        MissingExtraError: when SciPy is not installed.

    Source: paired t-interval, Student (1908), The probable error of a mean, Biometrika 6(1).
    """
    require("scipy.stats", extra="train")  # now, and not after the first hours
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
    scores: dict[str, dict[int, float]] = {method: {} for method in methods}
    failures: dict[tuple[str, int], str] = {}
    tracebacks: dict[tuple[str, int], str] = {}
    first_error: Exception | None = None
    for seed in seeds:
        for method, make in methods.items():
            try:
                scores[method][seed] = _run(train_fn, make, seed)
                line = f"{method}, seed {seed}: {scores[method][seed]:.6g}"
            except Exception as error:
                failures[method, seed] = f"{type(error).__name__}: {error}"
                tracebacks[method, seed] = traceback.format_exc()
                first_error = first_error or error
                line = f"{method}, seed {seed}, failed: {failures[method, seed]}"
            if progress is not None:
                progress(line)
    if len(failures) == len(methods) * len(seeds):
        (method, seed), reason = next(iter(failures.items()))
        raise ConfigurationError(
            f"cannot compare, because every run failed (the first, {method} with seed {seed}: {reason}); mend the "
            "training function"
        ) from first_error
    return Comparison(tuple(methods), tuple(seeds), scores, failures, tracebacks, higher_is_better, confidence)


def _run(train_fn: TrainFunction, make: MakeMethod, seed: int) -> float:
    made = 0

    def make_method(model: nn.Module, optimizer: Optimizer) -> PerturbedGradient:
        nonlocal made
        made += 1
        return make(model, optimizer)

    with _seeded(seed):
        found = train_fn(make_method, seed)
    if not made:
        raise ConfigurationError(
            "cannot compare runs that train without their method, because the training function did not call "
            "make_method(model, optimizer); call it, and run its passes"
        )
    try:
        score = float(found.detach() if hasattr(found, "detach") else found)
    except (TypeError, ValueError, RuntimeError):
        raise ConfigurationError(
            f"cannot use the {type(found).__name__} that the training function returned, because a score is one "
            "number; return a float"
        ) from None
    if not math.isfinite(score):
        raise ConfigurationError(
            f"cannot use the score {score}, because a mean requires finite scores; see why the run diverged"
        )
    return score


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    import numpy as np
    import torch

    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):  # named, or it warns of several
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def _shown(interval: Interval | None, form: Callable[[float | None, int], str], digits: int) -> str:
    if interval is None:
        return numbers.plain(None)
    mean = form(interval.mean, digits)
    if interval.low is None or interval.high is None:
        return mean
    return f"{mean} ({numbers.plain(interval.low, digits)} to {numbers.plain(interval.high, digits)})"
