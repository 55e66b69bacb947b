"""Choose learning rates and radii of the transfer recipes: on validation, with seeds that no reported figure uses.

    python benchmarks/transfer_settings.py [TASK ...] [--workers 2]

For each task that fine-tunes (``samnesia/train/recipes/transfer.py``) and the one that it starts from:

1. the learning rate of pretraining by the base optimizer alone, and its own validation accuracy;
2. that of fine-tuning by the base optimizer alone, after plain pretraining of the same seed;
3. the radius of each method in pretraining, by the validation accuracy of plain fine-tuning after it: that of
   pretraining itself is near 100 % on digits at any radius;
4. the radius of each method in fine-tuning, after plain pretraining.

The score of a run is its validation accuracy, averaged over the last five epochs; the setting of the highest mean over
the tuning seeds is chosen, of equals the first. Test samples are not looked at. GSAM has the radius of SAM.

Writes ``benchmarks/results/transfer_settings.json``; what stands there is not run again. What was chosen stands in the
recipes, and a test holds them to the file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from choose_radii import score
from joblib import Parallel, delayed

from samnesia.train.config import ASAM, OBF, SAM, Evaluation, Method, RunConfig
from samnesia.train.log import environment, write_json
from samnesia.train.loop import train
from samnesia.train.recipes.transfer import TASKS, Task

RESULTS = Path(__file__).parent / "results" / "transfer_settings.json"
SEEDS = (1000, 1001, 1002)
RATES = {"sgd": (0.01, 0.03, 0.1, 0.3), "adamw": (0.003, 0.01, 0.03)}
RADII: dict[str, list[Method]] = {
    "sam": [SAM(rho=rho) for rho in (0.02, 0.05, 0.1, 0.2)],
    "asam": [ASAM(rho=rho) for rho in (0.1, 0.25, 0.5, 1.0, 2.0)],
    "obf": [OBF(rho=rho) for rho in (0.02, 0.05, 0.1, 0.2)],
}
Grid = Mapping[str, RunConfig]
Scored = Callable[[RunConfig, int], float]
"""(run, seed) -> its score."""


def at_rate(run: RunConfig, lr: float) -> RunConfig:
    """The run with another learning rate."""
    return replace(run, optimizer=replace(run.optimizer, lr=lr))


def own(run: RunConfig, seed: int) -> float:
    """The score of a run from random weights."""
    return score(replace(run, seed=seed, evaluation=Evaluation(every_epochs=1)))


@dataclass(frozen=True)
class Tuned:
    """The score of fine-tuning from weights that lie there for each seed."""

    starts: Mapping[int, Path]

    def __call__(self, run: RunConfig, seed: int) -> float:
        model = replace(run.model, weights=str(self.starts[seed]), new_head=True)
        return own(replace(run, model=model), seed)


@dataclass(frozen=True)
class Transferred:
    """The score of this fine-tuning after a pretraining."""

    tuning: RunConfig

    def __call__(self, run: RunConfig, seed: int) -> float:
        with tempfile.TemporaryDirectory() as into:
            pretrain(run, seed, Path(into) / "run")
            return Tuned({seed: Path(into) / "run"})(self.tuning, seed)


def pretrain(run: RunConfig, seed: int, out: Path) -> None:
    """Train it, and leave its weights there."""
    train(replace(run, seed=seed, evaluation=Evaluation(every_epochs=run.epochs, train=False, test=False)), out)


def choose(runs: Grid, scored: Scored, earlier: Mapping[str, Any], workers: int) -> dict[str, Any]:
    """Score all settings but those that have been, and choose the best."""
    known = {row["setting"]: row for row in earlier.get("grid", ())}
    missing = [name for name in runs if name not in known]
    scores = iter(Parallel(n_jobs=workers)(delayed(scored)(runs[name], seed) for name in missing for seed in SEEDS))
    for name in missing:
        found = [round(next(scores), 2) for _ in SEEDS]
        known[name] = {"setting": name, "validation": round(statistics.fmean(found), 2), "per_seed": found}
    rows = [known[name] for name in runs]
    chosen = max(rows, key=lambda row: row["validation"])["setting"]
    print("  ", chosen, "of", {row["setting"]: row["validation"] for row in rows}, flush=True)
    return {"chosen": chosen, "grid": rows}


def rate(task: Task, scored: Scored, earlier: Mapping[str, Any], workers: int) -> tuple[RunConfig, dict[str, Any]]:
    """The run at the rate that the base optimizer is best with, and how it was chosen."""
    tried = {f"{lr:g}": at_rate(task.run, lr) for lr in RATES[task.base]}
    found = choose(tried, scored, earlier.get("rate", {}), workers)
    return at_rate(task.run, float(found["chosen"])), found


def radii(task: Task, run: RunConfig, scored: Scored, earlier: Mapping[str, Any], workers: int) -> dict[str, Any]:
    """The radius of each method."""
    found = {}
    for name in RADII.keys() & task.methods.keys():
        tried = {f"{one.rho:g}": replace(run, method=one) for one in RADII[name]}  # type: ignore[attr-defined]
        found[name] = choose(tried, scored, earlier.get("methods", {}).get(name, {}), workers)
    return {name: found[name] for name in RADII if name in found}


def earlier_of(task: Task, found: Mapping[str, Any]) -> Mapping[str, Any]:
    """What was found of a task, where it was as it is now but for its rate."""
    same = found and found["seeds"] == list(SEEDS)
    return found if same and at_rate(task.run, float(found["rate"]["chosen"])).to_json() == found["base"] else {}


def transfer(target: str, known: Mapping[str, Any], workers: int) -> dict[str, Any]:
    """All settings of a task that fine-tunes, and of the one that it starts from."""
    source = TASKS[target].source
    assert source is not None
    print(source, "->", target, flush=True)
    first, second = (earlier_of(TASKS[name], known.get(name, {})) for name in (source, target))
    with tempfile.TemporaryDirectory() as into:
        pretraining, of_source = rate(TASKS[source], own, first, workers)
        starts = {seed: Path(into) / str(seed) for seed in SEEDS}
        Parallel(n_jobs=workers)(delayed(pretrain)(pretraining, seed, out) for seed, out in starts.items())
        tuning, of_target = rate(TASKS[target], Tuned(starts), second, workers)
        methods = radii(TASKS[source], pretraining, Transferred(tuning), first, workers)
        results = {source: {"base": pretraining.to_json(), "rate": of_source, "methods": methods}}
        methods = radii(TASKS[target], tuning, Tuned(starts), second, workers)
    return results | {target: {"base": tuning.to_json(), "rate": of_target, "methods": methods}}


def main() -> None:
    """Search, and write what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tasks", nargs="*", default=[name for name, task in TASKS.items() if task.source])
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in options.tasks:
        found = transfer(name, results, options.workers)
        about = {"seeds": list(SEEDS), "environment": environment()}
        write_json(RESULTS, results := results | {task: {**about, **one} for task, one in found.items()})


if __name__ == "__main__":
    main()
