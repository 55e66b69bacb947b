"""Tune a run: search on validation, confirm on fresh seeds, write it all down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from samnesia.extras import require as require_package
from samnesia.perturb.errors import ConfigurationError
from samnesia.study.engine.store import read_object
from samnesia.train import recipes
from samnesia.train.config import RunConfig, renewed
from samnesia.train.log import locked, write_json
from samnesia.train.parts.checks import require
from samnesia.train.plain import differences

if TYPE_CHECKING:
    from samnesia.study.tune.plan import Plan
    from samnesia.study.tune.result import Origin, Trial
    from samnesia.study.tune.tuning import Tuning

TUNING = "tune.json"
PACKAGES = ("joblib", "matplotlib", "pandas", "pyarrow", "rich", "scipy")


def tune(
    config: RunConfig | str,
    search: Sequence[str] = (),
    budget: int = 30,
    out: Path | str = "runs/tune",
    *,
    seeds: int = 3,
    confirm: int = 10,
    workers: int = 1,
    progress: bool = True,
    origin: Origin | None = None,
    command: str | None = None,
) -> Tuning:
    """Search for better values of a run's settings on validation, and hold the best against the run's own.

    Each setting is trained on the tuning seeds, one after the other, without the test split. Its score is the mean of
    the judged measure on validation over the last five evaluated epochs (the last fifth, where that is fewer). The
    run's own values come first, a few that are spread evenly follow, then what Optuna's TPE proposes. A setting that
    is worse than the median of the others at the same epoch of the same seed is given up, from half of the epochs on,
    and at the end of each seed.

    The best setting is then trained on fresh seeds, beside the run's own and, where the method perturbs, the base
    optimizer with the same other values, as a study, whose verdict says whether it is better on the judged split. Where
    the difference is within noise, the run's own values are what is recommended.

    A call with the same arguments goes on where an earlier one was killed; one with a larger budget, or more fresh
    seeds, adds to it. With one worker the result depends on the configuration's seed alone.

    Args:
        config: the run: a configuration, the name of a recipe, or ``FILE.py:function``. Its seed decides the tuning
            seeds, the fresh ones, and what is sampled.
        search: what to search, as ``NAME=LOW:HIGH``, ``NAME=LOW:HIGH:log`` or ``NAME=A|B|C``; nothing is the radius,
            from an eighth of the run's own to eight times it.
        budget: what the settings may cost together, in training runs. A setting that is given up costs the share that
            was trained; the confirmation is not counted.
        out: directory of the search: new, empty, or one that an earlier call has made.
        seeds: tuning seeds of each setting.
        confirm: fresh seeds; 0 is no confirmation.
        workers: processes that train at a time, one thread each.
        progress: show how far it is, and the tables at the end.
        origin: how the configuration is named on the command line, for the command that is recommended.
        command: what is written down as the call.

    Returns:
        The trials, the confirmation, and what is recommended; ``tune.json`` holds the same.

    Raises:
        ConfigurationError: for data without a validation split, a field that is not there, a range that is upside down,
            a budget that nothing can be learned from, a directory of something else, or when every setting failed.
        MissingExtraError: when a package of ``samnesia[study]`` is not installed.
        KeyboardInterrupt: on Ctrl-C, with a sentence that says what is kept.
    """
    require_package("optuna", extra="study")
    for module in PACKAGES:
        require_package(module, extra="train")
    from samnesia.study.tune.plan import make_plan
    from samnesia.study.tune.result import Origin
    from samnesia.study.tune.space import make_space

    require(workers >= 1, f"cannot tune with {workers} workers, because somebody has to do the work; use 1 or more")
    if isinstance(config, str):
        origin = origin or Origin(config, recipes.find(config))
        config = recipes.find(config)
    elif origin is None and config.recipe in recipes.RECIPES:
        origin = Origin(config.recipe, recipes.find(config.recipe))
    plan = make_plan(make_space(config, search), budget=budget, tuned=seeds, confirmed=confirm)
    out = Path(out)
    _claim(out)
    with locked(out, what="search"):
        _check_unchanged(out, plan)
        return _tune(plan, out, workers=workers, progress=progress, origin=origin, command=command)


def _tune(plan: Plan, out: Path, *, workers: int, progress: bool, origin: Origin | None, command: str | None) -> Tuning:
    from rich.console import Console

    from samnesia.study.engine.pool import Here, Processes
    from samnesia.study.tune import show
    from samnesia.study.tune.confirmation import confirm
    from samnesia.study.tune.figure import write_figures
    from samnesia.study.tune.search import Search
    from samnesia.study.tune.tuning import Tuning

    console = Console()
    tuning = Tuning(out, plan, (), None, origin, command)
    if not (out / TUNING).exists():  # before anything else: it says what the directory is
        write_json(out / TUNING, tuning.to_json(done=False))
    search = Search(plan, out)
    if progress and search.trials:
        console.print(f"{len(search.trials)} settings ({search.spent:.1f} runs) are done already and kept.")

    def ended(trial: Trial) -> None:
        write_json(out / TUNING, replace(tuning, trials=tuple(search.trials)).to_json(done=False))
        shown.ended(trial)

    try:
        with show.display(plan, console, search.spent, progress=progress) as shown:
            search.run(Here() if workers == 1 else Processes(workers), ended)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted: {len(search.trials)} settings are done and kept; the same command goes on."
        ) from None
    tuning = replace(tuning, trials=tuple(search.trials))
    write_json(out / TUNING, tuning.to_json(done=False))
    best = tuning.best
    if best is None:
        first = next((trial.reason or "; ".join(trial.notes) for trial in tuning.trials), "none was tried")
        raise ConfigurationError(
            f"cannot tune {plan.config.recipe}, because no setting was trained to the end (the first: {first}); mend "
            "that, and use another --out"
        )
    if plan.confirmed:
        if progress:
            console.print(
                f"Trial {best.number} is the best on the tuning seeds; it is confirmed on {plan.confirmed} fresh ones.",
                highlight=False,
            )
        tuning = replace(tuning, confirmation=confirm(plan, best, out, workers=workers, progress=progress))
    write_json(out / TUNING, tuning.to_json(done=True))
    write_figures(tuning)
    if progress:
        _print(console, tuning)
    return tuning


def _print(console: object, tuning: Tuning) -> None:
    from rich.console import Console

    from samnesia.study.tune import show

    assert isinstance(console, Console)
    console.print()
    console.print(show.trials_table(tuning))
    console.print()
    if tuning.confirmation is not None:
        console.print(show.confirmation_table(tuning.confirmation))
        console.print()
    console.print(str(tuning), highlight=False, markup=False, soft_wrap=True)
    console.print(f"Written: {tuning.out / TUNING}, and a figure beside it.", highlight=False, soft_wrap=True)


def _claim(out: Path) -> None:
    require(
        not out.exists() or out.is_dir(), f"cannot write a search to {out}, because it is a file; use another --out"
    )
    others = [path for path in out.iterdir() if not path.name.startswith(".")] if out.is_dir() else []
    require(
        not others or (out / TUNING).exists(),
        f"cannot write a search to {out}, because the directory is not empty and holds no search that could go on; use "
        "another --out",
    )
    out.mkdir(parents=True, exist_ok=True)


def _check_unchanged(out: Path, plan: Plan) -> None:
    """Refuse a directory in which something else was searched."""
    if not (out / TUNING).exists():
        return
    there = read_object(out / TUNING, remedy="use another --out").get("definition")
    changed = ["it is damaged"] if not isinstance(there, dict) else differences(renewed(there), plan.definition())
    require(
        not changed,
        f"cannot go on with the search in {out}, because another one was begun there ({'; '.join(changed)}); use "
        "another --out, or the settings of the first call",
    )
