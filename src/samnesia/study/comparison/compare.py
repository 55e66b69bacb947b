"""The main job: several methods on one problem over the same seeds, and what came of it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samnesia.extras import require
from samnesia.perturb.errors import ConfigurationError
from samnesia.study.comparison import budgets
from samnesia.study.comparison.arms import all_named, arms_of, problem_name
from samnesia.study.comparison.budgets import AS_CONFIGURED, Budget, StepsPerEpoch
from samnesia.study.design import Design, Factor, Levels, Measure, Study
from samnesia.study.engine import run as engine
from samnesia.study.engine.plan import make_plan
from samnesia.study.engine.store import read_object
from samnesia.study.hypotheses import Difference
from samnesia.study.report.figures.style import label
from samnesia.study.training import Training
from samnesia.train.config import RunConfig
from samnesia.train.log import locked, write_json

if TYPE_CHECKING:
    from samnesia.data.problem import Problem

METHODS = ("sgd", "sam", "asam", "gsam", "obf")
CALIBRATION = "calibration.json"
_OPTIONS = {"epochs": "--epochs", "hardware.threads": "--threads"}
"""Overrides that samnesia compare has an option of their own for."""


def compare(
    problem: str,
    methods: Sequence[str] = METHODS,
    *,
    out: Path,
    seeds: Sequence[int] = range(5),
    workers: int | None = None,
    ray: str | None = None,
    progress: bool = True,
    overrides: Mapping[str, Any] | None = None,
    equal: Budget = AS_CONFIGURED,
    smallest: float = 0.0,
) -> dict[str, Any]:
    """Run every method over every seed, and write ``compare.json``, ``report.html``, figures and the tidy table.

    The runs of one seed are paired: they share the split, the initial weights and the order of the data, whatever the
    method. Cells that are finished under ``out`` are kept, so the same call continues after an interruption, and one
    with more seeds, or more methods after those that there are, runs only what is missing. A run that fails keeps its
    reason and is reported; the others go on. Every method but the first gets a verdict on whether it ends better than
    the first, by Holm's procedure over all of them.

    Args:
        problem: first part of the recipes' names, which are ``PROBLEM-METHOD``; or a Python file.
        methods: second parts, or functions of the file that return a run each, with hyphens or underscores; the first
            is the one that the others are compared to. ``all`` stands for all others that the problem has.
        out: directory of the study, new, empty, or one that an earlier call has made.
        seeds: distinct seeds, of 0 and above.
        workers: number of processes; None is one per CPU core. With 1, everything runs in this process.
        ray: address of a Ray cluster that the runs are sent to instead; see :mod:`samnesia.study.engine.cluster`.
        progress: show how far it is (a table on a terminal, a line per ended run elsewhere), and the results at the
            end.
        overrides: values for fields of every run's configuration, by dotted name, as in
            ``{"epochs": 5, "optimizer.lr": 0.1}``.
        equal: what the methods get as much of; see :mod:`samnesia.study.comparison.budgets`.
        smallest: smallest difference of interest, in the unit of the measure.

    Returns:
        The content of ``compare.json``: see :mod:`samnesia.study.report.summary`. Runs that failed stand under
        ``failures``, others that are not there under ``missing``.

    Raises:
        ConfigurationError: for an unknown recipe or override, seeds or methods that repeat, a method that would perturb
            on no step, methods that differ in more than that or cannot be made equal, a directory that holds
            something else or cells of another configuration or that another process is at work on, or when every run
            failed.
        MissingExtraError: when a package of ``samnesia[train]`` is not installed.
        KeyboardInterrupt: on Ctrl-C, after the workers have ended, with a sentence that says what is kept.
    """
    from samnesia.study.report import PACKAGES, write_report_of

    for module in (*engine.PACKAGES, *PACKAGES):  # all at once: not after the first half hour
        require(module, extra="train")
    from samnesia.study.comparison.terminal import print_comparison
    from samnesia.study.judging.verdicts import judge

    out, overrides = Path(out), overrides or {}
    methods = all_named(problem, methods)
    arms = arms_of(problem, methods, seeds=seeds, overrides=overrides)
    engine.check_place(out)
    known = _measured(out)
    memory = dict(known)
    if progress and (sentence := equal.ahead(arms, memory)):
        print(sentence, flush=True)
    study = comparison(problem_name(problem), arms, seeds, equal=equal, smallest=smallest, memory=memory)
    if memory != known:
        _write_down(memory, known, study, out)
    command = _command(problem, methods, seeds, out, overrides, equal, smallest)
    results = engine.run_study(study, out, workers=workers, ray=ray, progress=progress, command=command)
    results.check_some()
    verdicts = judge(results.design, results.table)
    summary = write_report_of(results, verdicts)
    if progress:
        print_comparison(summary, verdicts, results.design, out)
    return summary


def comparison(
    name: str,
    arms: Mapping[str, RunConfig],
    seeds: Sequence[int],
    *,
    equal: Budget = AS_CONFIGURED,
    smallest: float = 0.0,
    memory: budgets.Memory | None = None,
) -> Study:
    """The study of one factor, the method, in which each other arm is claimed to end better than the first.

    Args:
        name: of the problem.
        arms: the configuration of each method; the seed is set by the study.
        seeds: reported seeds.
        equal: what the arms get as much of.
        smallest: smallest difference of interest, in the unit of the measure.
        memory: what the budget has measured before; what it measures now is added to it.

    Raises:
        ConfigurationError: for a method that would perturb on no step, or arms that cannot be made equal.
    """
    memory = {} if memory is None else memory
    base, *others = arms
    config = arms[base]
    problem = config.data.load(config.seed)
    if not config.evaluation.test:
        problem = replace(problem, test=None)
    steps = StepsPerEpoch({config.data: len(problem.train)})
    budgets.refuse_idle(arms, steps)
    runs = equal.equalize(arms, steps, memory)
    measures = measures_of(config, problem)
    judged = measures[0]
    better = "above" if judged.higher_is_better else "below"
    figure = judged.label.rpartition(", ")[0]
    claims = tuple(
        Difference(
            claim=f"{label(method)} ends {better} {label(base)} in {figure}",
            measure=judged.name,
            treatment={"method": method},
            control={"method": base},
            direction="higher" if judged.higher_is_better else "lower",
            smallest=smallest,
        )
        for method in others
    )
    design = Design(
        name=name,
        question=f"Which methods end {better} {label(base)} on {name}?",
        factors=(Factor("method", tuple(arms)),),
        measures=measures,
        seeds=tuple(seeds),
        primary=claims,
        notes=_notes(equal, arms, runs, steps, memory),
    )

    def work(levels: Levels, seed: int) -> Training:
        return Training(replace(runs[levels["method"]], seed=seed))

    return Study(design, work)


def _notes(
    equal: Budget, arms: budgets.Arms, runs: budgets.Arms, steps: budgets.Steps, memory: budgets.Memory
) -> tuple[str, ...]:
    """What a reader has to know of the budget; nothing, where the recipes are left as they are."""
    if equal == AS_CONFIGURED:
        return ()
    chosen = "Settings are those of the recipes, which were chosen for their own numbers of epochs."
    return budgets.in_words(equal, arms, runs, steps, memory), chosen


def measures_of(config: RunConfig, problem: Problem) -> tuple[Measure, ...]:
    """What comes out of a run and is compared: the figure that it is judged by at the last epoch first."""
    measure, described = next(iter(config.loss.measures(problem.num_outputs).items()))
    split, chosen = ("training" if one == "train" else one for one in (problem.judged_on, problem.chosen_on))
    points = {"last": "last epoch", "best": f"best {chosen} epoch"}
    figures: list[tuple[str, str, str, bool | None]] = [
        (f"{problem.judged_on}_{measure}", f"{split} {measure}", described.unit, described.higher_is_better)
    ]
    if problem.train.clean_labels is not None and getattr(config.data, "flipped", True) and config.evaluation.train:
        figures.append(("flipped_fitted", "flipped labels fitted", "%", False))
    judged_split = {"train": problem.train, "validation": problem.validation, "test": problem.test}[problem.judged_on]
    for second in judged_split.second_labels if judged_split is not None else ():
        figures += [(figure, figure, "%", None) for figure in second.figures]
    values = [
        Measure(
            f"{point} {title}".replace("_", " "), f"{point}.{column}", f"{title}, {words}".replace("_", " "), unit, up
        )
        for column, title, unit, up in figures
        for point, words in points.items()
    ]
    costs = (
        Measure("gradient evaluations", "gradient_evaluations", "gradient evaluations"),
        Measure("seconds", "seconds", "seconds", "s"),
    )
    return (*values, *costs)


def _measured(out: Path) -> budgets.Memory:
    """What the budget has measured in a directory."""
    return read_object(out / CALIBRATION, remedy="remove it") if (out / CALIBRATION).exists() else {}


def _write_down(memory: budgets.Memory, known: budgets.Memory, study: Study, out: Path) -> None:
    """Keep what was measured, so that the same call finds the same epochs; not in place of what results stand on.

    Raises:
        ConfigurationError: when another process holds the directory, or has written something else than ``known``.
    """
    make_plan(study, out).check()
    engine.claim(out)
    with locked(out, what="study"):
        if _measured(out) != known:
            raise ConfigurationError(
                f"cannot keep the seconds of an epoch in {out}, because another process has measured them there in the "
                "meantime; run the same command again, which goes by its measurement"
            )
        write_json(out / CALIBRATION, memory)


def _command(
    problem: str,
    methods: Sequence[str],
    seeds: Sequence[int],
    out: Path,
    overrides: Mapping[str, Any],
    equal: Budget,
    smallest: float,
) -> str:
    if list(seeds) == list(range(len(seeds))):
        words = ["samnesia", "compare", problem, "--methods", *methods, "--seeds", str(len(seeds))]
        for name, value in overrides.items():
            words += [_OPTIONS[name], str(value)] if name in _OPTIONS else ["--set", f"{name}={json.dumps(value)}"]
        words += ["--equal", equal.name] if equal != AS_CONFIGURED else []
        words += ["--smallest", repr(float(smallest)).removesuffix(".0")] if smallest else []
        return shlex.join([*words, "--out", str(out)])
    call = f"{problem!r}, {list(methods)!r}, seeds={list(seeds)!r}, out={str(out)!r}"
    call += f", overrides={dict(overrides)!r}" if overrides else ""
    call += f", equal={equal!r}" if equal != AS_CONFIGURED else ""
    call += f", smallest={smallest!r}" if smallest else ""
    if '"' not in call:  # then no text holds a quote of either kind, and a shell shows these without escapes
        call = call.replace("'", '"')
    budget = f"; from samnesia.study.comparison.budgets import {type(equal).__name__}" if equal != AS_CONFIGURED else ""
    return shlex.join(
        ["python", "-c", f"from samnesia.study.comparison.compare import compare{budget}; compare({call})"]
    )
