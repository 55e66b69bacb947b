"""The main job: several methods on one problem over the same seeds, and what came of it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samnesia.extras import require
from samnesia.perturb.errors import ConfigurationError
from samnesia.study import numbers, wording
from samnesia.study.cells import Cell, cell_directory, check_alike, check_unchanged, write_study
from samnesia.study.figures import label
from samnesia.study.judged import Judged
from samnesia.train import recipes
from samnesia.train.config import RunConfig
from samnesia.train.log import CONFIG, locked
from samnesia.train.own import find_recipe
from samnesia.train.parts.methods import METHODS as METHODS_KNOWN
from samnesia.train.parts.methods import Unperturbed
from samnesia.train.plain import nearest

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

METHODS = ("sgd", "sam", "asam", "gsam", "obf")
_OPTIONS = {"epochs": "--epochs", "hardware.threads": "--threads"}
"""Overrides that samnesia compare has an option for."""


def compare(
    problem: str,
    methods: Sequence[str] = METHODS,
    *,
    out: Path,
    seeds: Sequence[int] = range(5),
    workers: int | None = None,
    progress: bool = True,
    overrides: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Run every method over every seed, and write ``compare.json``, ``report.html`` and figures.

    The runs of one seed are paired: they share the split, the initial weights and the order of the data, whatever the
    method. Cells that are finished under ``out`` are kept, so the same call continues after an interruption, and one
    with more seeds or methods runs only what is missing. A run that fails keeps its reason and is reported; the others
    go on.

    Args:
        problem: first part of the recipes' names, which are ``PROBLEM-METHOD``; or a Python file.
        methods: second parts, or functions of the file that return a run each, with hyphens or underscores; the first
            is the one that the others are compared to.
        out: directory of the study, new, empty, or one that an earlier call has made.
        seeds: distinct seeds, of 0 and above.
        workers: number of processes; None is one per CPU core. With 1, everything runs in this process.
        progress: show how far it is (bars on a terminal, a line per ended run elsewhere), and the table at the end.
        overrides: values for fields of every run's configuration, by dotted name, as in
            ``{"epochs": 5, "optimizer.lr": 0.1}``.

    Returns:
        The content of ``compare.json``; see :mod:`samnesia.study.summary`. Runs that failed stand under ``failures``,
        others that are not there under ``missing``.

    Raises:
        ConfigurationError: for an unknown recipe or override, seeds or methods that repeat, a method that would perturb
            on no step, a directory that holds something else or cells of another configuration or that another process
            is at work on, or when every run failed.
        MissingExtraError: when a package of ``samnesia[train]`` is not installed.
        KeyboardInterrupt: on Ctrl-C, after the workers have ended, with a sentence that says what is kept.
    """
    from samnesia.study.report import PACKAGES, write_report

    for module in ("joblib", "rich", *PACKAGES):  # all at once: not after the first half hour
        require(module, extra="train")
    from rich.console import Console

    out = Path(out)
    overrides = overrides or {}
    cells = plan(problem, methods, out=out, seeds=seeds, overrides=overrides)
    command = _command(problem, methods, seeds, out, overrides)
    _check_directory(out)
    with locked(out, what="study"):
        check_unchanged(cells)
        check_alike(out, cells)
        write_study(out, problem_name(problem), methods=methods, seeds=seeds, command=command)
        console = Console()
        _run_missing(cells, console, workers=workers, progress=progress)
        summary = write_report(out)
    if progress:
        _print_summary(console, out, summary)
    return summary


def plan(
    problem: str, methods: Sequence[str], *, out: Path, seeds: Sequence[int], overrides: Mapping[str, Any]
) -> list[Cell]:
    """The cells of a comparison, seed by seed, so that an interrupted study holds whole pairs.

    Raises:
        ConfigurationError: for an unknown recipe or override, or for seeds or methods that are none
            or repeat.
    """
    for name, values in (("methods", methods), ("seeds", seeds)):
        if not values or len(set(values)) < len(values):
            raise ConfigurationError(
                f"cannot compare with {name} {' '.join(map(str, values)) or '(none)'}, because pairing requires at "
                f"least one, and each only once; name every one of the {name} once"
            )
    for name, instead in (("seed", "seeds"), ("recipe", "the problem and the methods")):
        if name in overrides:
            raise ConfigurationError(
                f"cannot override {name} in a comparison, because each of its runs has its own; give {instead} instead"
            )
    configs = {method: override(_recipe(problem, method), overrides) for method in methods}
    cells = [
        Cell(method, seed, override(configs[method], {"seed": seed}), cell_directory(out, method, seed))
        for seed in seeds
        for method in methods
    ]
    _refuse_idle(list(configs.values()), seeds[0])
    return cells


def problem_name(problem: str) -> str:
    """The name of a problem in results: of a file, that without its folder and ending."""
    return Path(problem).stem if problem.endswith(".py") else problem


def _recipe(problem: str, method: str) -> RunConfig:
    if problem.endswith(".py"):
        return find_recipe(f"{problem}:{method.replace('-', '_')}")
    if f"{problem}-{method}" in recipes.RECIPES:
        return recipes.find(f"{problem}-{method}")
    if any(name.startswith(f"{problem}-") for name in recipes.RECIPES):
        known = [name.removeprefix(f"{problem}-") for name in recipes.RECIPES if name.startswith(f"{problem}-")]
        raise ConfigurationError(
            f"cannot compare method {method!r} on {problem}, because there is no recipe {problem}-{method}; "
            f"{nearest(method, known)}"
        )
    endings = tuple(f"-{name}" for name in METHODS_KNOWN)
    problems = {name.removesuffix(end) for name in recipes.RECIPES for end in endings if name.endswith(end)}
    matches = get_close_matches(problem, sorted(problems), n=1, cutoff=0.5)
    advice = f"did you mean {matches[0]!r}?" if matches else "see samnesia recipes, or name a file of your own, FILE.py"
    raise ConfigurationError(f"cannot compare on problem {problem!r}, because no recipe begins with it; {advice}")


def _refuse_idle(configs: Sequence[RunConfig], seed: int) -> None:
    """Refuse methods that would perturb on no step. Data are loaded for it, once: what they lack is told as early."""
    samples: dict[Any, int] = {}
    for config in configs:
        if config.data not in samples:
            samples[config.data] = len(config.data.load(seed).train)
        full, rest = divmod(samples[config.data], config.batch_size)
        steps = full if config.drop_last else full + bool(rest)
        if isinstance(config.method, Unperturbed) or not steps or config.perturbed_steps(steps):
            continue
        raise ConfigurationError(
            f"cannot compare {config.recipe} over {config.epochs} epoch{'' if config.epochs == 1 else 's'}, because "
            f"{config.when.window(steps)} falls on none of its steps and the run would be that of the base "
            "optimizer alone; use more epochs, or an earlier start of the perturbation"
        )


def override(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """The configuration with other values for some of its fields, given by dotted names.

    Raises:
        ConfigurationError: for a name that is no field (with the nearest one) or a value of a wrong type.
    """
    plain = config.to_json()
    for name, value in values.items():
        *parts, last = name.split(".")
        place = plain
        for part in parts:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise ConfigurationError(
                    f"cannot set {name}, because {part} is a value without fields; name a field of the configuration"
                )
        place[last] = value
    return RunConfig.from_json(plain)


def summary_table(summary: Mapping[str, Any]) -> Table:
    """The comparison as a table for a terminal of 80 columns: a row per method, mean and half the interval's width."""
    from rich.table import Table

    base, judged = label(summary["baseline"]), Judged.of(summary)
    unit = " %" if judged.unit == "%" else ""
    flipped = any(row["flipped_fitted"]["last"]["mean"] is not None for row in summary["methods"])
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("method", no_wrap=True)
    for heading in (f"last\nepoch{unit}", f"best\nepoch{unit}", f"last,\nto {base}", f"best,\nto {base}",
                    *(["flipped\nfitted %"] if flipped else []), "grad.\nevals", "seconds"):  # fmt: skip
        table.add_column(heading, justify="right", no_wrap=True)
    for row in summary["methods"]:
        differences = row["difference"] if row["method"] != summary["baseline"] else {}
        fitted = row["flipped_fitted"]["last"]
        table.add_row(
            "\n".join((label(row["method"]), *_counts(row, len(summary["seeds"])))),
            *(
                judged.value(score["mean"]) + numbers.half_width(score, judged.decimals)
                for score in row["score"].values()
            ),
            *(
                judged.difference(change["mean"]) + numbers.half_width(change, judged.decimals)
                for change in differences.values()
            ),
            *([] if differences else ["", ""]),
            *([numbers.plain(fitted["mean"]) + numbers.half_width(fitted)] if flipped else []),
            numbers.plain(row["gradient_evaluations"], 0),
            numbers.plain(row["seconds"]),
        )
    return table


def explanation(summary: Mapping[str, Any]) -> str:
    """What the numbers of the table are, in a sentence."""
    judged = Judged.of(summary)
    share = f"half the {100 * summary['confidence']:g} % interval over seeds"
    if judged.unit == "%":
        start, points = "Mean of the runs", "in points and "
    else:
        better = "higher" if judged.higher_is_better else "lower"
        start, points = f"{wording.capital(judged.heading)}, {better} is better: mean of the runs", ""
    return (
        f"{start} \N{PLUS-MINUS SIGN} {share}; differences are {points}paired by seed, and not widened for the number "
        "of methods.\n"
    )


def _counts(row: Mapping[str, Any], seeds: int) -> list[str]:
    runs, pairs = row["score"]["last"]["n"], row["difference"]["last"]["n"]
    if runs == pairs:
        return [f"n = {runs}"] if runs < seeds else []
    return [f"n = {runs},", f"{pairs} pairs"]


def _run_missing(cells: Sequence[Cell], console: Console, *, workers: int | None, progress: bool) -> None:
    import joblib

    from samnesia.study.executor import run_cells
    from samnesia.study.progress import display

    if workers is not None and workers < 1:
        raise ConfigurationError(
            f"cannot run with {workers} workers, because somebody has to do the work; use 1 or more, or leave it out"
        )
    missing = [cell for cell in cells if not cell.finished]
    kept = len(cells) - len(missing)
    if progress and kept:
        console.print(f"{kept} of {len(cells)} runs are finished already and kept.", highlight=False)
    try:
        with display(missing, console, progress=progress) as shown:
            for cell in run_cells(missing, _train, workers=workers or joblib.cpu_count()):
                shown.ended(cell)
    except KeyboardInterrupt:
        finished = sum(cell.finished for cell in cells)
        raise KeyboardInterrupt(
            f"interrupted: {finished} of {len(cells)} runs are finished and kept; the same command does the rest."
        ) from None


def _train(cell: Cell) -> None:
    from samnesia.train.loop import resume, train

    if (cell.directory / CONFIG).exists():  # it was interrupted
        resume(cell.directory)
    else:
        train(cell.config, out=cell.directory)


def _check_directory(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ConfigurationError(f"cannot write a study to {out}, because it is a file; use another --out")
    if out.is_dir() and any(out.iterdir()) and not (out / "cells").is_dir():
        raise ConfigurationError(
            f"cannot write a study to {out}, because the directory is not empty and holds no study that could be "
            "continued; use another --out"
        )
    (out / "cells").mkdir(parents=True, exist_ok=True)


def _command(
    problem: str, methods: Sequence[str], seeds: Sequence[int], out: Path, overrides: Mapping[str, Any]
) -> str:
    if list(seeds) == list(range(len(seeds))) and overrides.keys() <= _OPTIONS.keys():
        words = ["samnesia", "compare", problem, "--methods", *methods, "--seeds", str(len(seeds))]
        for name, value in overrides.items():
            words += [_OPTIONS[name], str(value)]
        return shlex.join([*words, "--out", str(out)])
    call = f"{problem!r}, {list(methods)!r}, seeds={list(seeds)!r}, out={str(out)!r}"
    call += f", overrides={dict(overrides)!r}" if overrides else ""
    if '"' not in call:  # then no text holds a quote of either kind, and a shell shows these without escapes
        call = call.replace("'", '"')
    return shlex.join(["python", "-c", f"from samnesia.study.compare import compare; compare({call})"])


def _print_summary(console: Console, out: Path, summary: Mapping[str, Any]) -> None:
    console.print()
    console.print(summary_table(summary))
    console.print(explanation(summary), style="dim", highlight=False, markup=False)
    console.print(wording.headline(summary), highlight=False, markup=False)
    for sentence in wording.troubles(summary):
        console.print(sentence, highlight=False, markup=False, style="yellow")
    console.print(f"Report: {out / 'report.html'}", highlight=False, markup=False, soft_wrap=True)
