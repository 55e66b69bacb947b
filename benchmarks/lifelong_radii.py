"""Choose learning rate, strength of EWC and radii of the study lifelong: on validation, with seeds not reported.

    python benchmarks/lifelong_radii.py [PROBLEM ...] [--workers 2]

In this order, each with what was chosen before it:

1. the learning rate, with plain SGD and nothing done about forgetting;
2. the strength λ of EWC, with plain SGD;
3. the radius of each method, by the mean over nothing done and replay.

The score of a sequence is its validation accuracy over all tasks after the last one; the setting of the highest mean
over the tuning seeds is chosen, of equals the first. Test samples are not looked at.

Writes ``benchmarks/results/lifelong_radii.json``. The chosen values stand in ``samnesia/lifelong/recipes.py``.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from joblib import Parallel, delayed

from samnesia.lifelong.config import EWC, LifelongConfig
from samnesia.lifelong.course import learn
from samnesia.lifelong.recipes import CHOSEN, digits, method
from samnesia.train.log import environment, write_json

RESULTS = Path(__file__).parent / "results" / "lifelong_radii.json"
SEEDS = (1000, 1001)
RATES = (0.02, 0.05, 0.1)
STRENGTHS = (1.0, 10.0, 100.0, 1000.0)
RADII = {
    "sam": (0.01, 0.02, 0.05, 0.1),
    "asam": (0.05, 0.1, 0.25, 0.5),
    "lookbehind": (0.005, 0.01, 0.02, 0.05),
    "lookbehind-asam": (0.025, 0.05, 0.1, 0.25),
}
Make = Callable[[float, str], LifelongConfig]


def score(config: LifelongConfig) -> float:
    training = replace(config.training, evaluation=replace(config.training.evaluation, test=False))
    with tempfile.TemporaryDirectory() as directory, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = learn(replace(config, training=training), Path(directory) / "sequence")
    return float(result.last["validation_accuracy"])


def choose(
    parallel: Parallel, make: Make, values: Sequence[float], strategies: Sequence[str]
) -> tuple[float, dict[str, list[float]]]:
    """The value of the highest mean, and the scores of each: by seed, a mean over the strategies."""
    tried = [(value, seed, strategy) for value in values for seed in SEEDS for strategy in strategies]
    scores = iter(parallel(delayed(score)(make(value, strategy).with_seed(seed)) for value, seed, strategy in tried))
    found = {
        f"{value:g}": [round(statistics.fmean(next(scores) for _ in strategies), 2) for _ in SEEDS] for value in values
    }
    return float(max(found, key=lambda value: statistics.fmean(found[value]))), found


def choose_all(parallel: Parallel, problem: str) -> tuple[dict[str, float], dict[str, dict[str, list[float]]]]:
    grids: dict[str, dict[str, list[float]]] = {}
    chosen: dict[str, float] = {}

    def base(name: str, strategy: str) -> LifelongConfig:
        config = digits(problem, name, strategy)
        rate = chosen.get("lr", config.training.optimizer.lr)
        return replace(config, training=replace(config.training, optimizer=replace(config.training.optimizer, lr=rate)))

    def of_rate(value: float, strategy: str) -> LifelongConfig:
        config = base("sgd", strategy)
        return replace(
            config, training=replace(config.training, optimizer=replace(config.training.optimizer, lr=value))
        )

    def of_strength(value: float, strategy: str) -> LifelongConfig:
        return replace(base("sgd", strategy), ewc=EWC(value))

    def of_radius(name: str) -> Make:
        def make(value: float, strategy: str) -> LifelongConfig:
            config = base(name, strategy)
            return replace(config, training=replace(config.training, method=method(name, value)))

        return make

    chosen["lr"], grids["lr"] = choose(parallel, of_rate, RATES, ("plain",))
    chosen["ewc"], grids["ewc"] = choose(parallel, of_strength, STRENGTHS, ("ewc",))
    for name, values in RADII.items():
        chosen[name], grids[name] = choose(parallel, of_radius(name), values, ("plain", "replay"))
        print(problem, name, grids[name], flush=True)
    return chosen, grids


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("problems", nargs="*", default=list(CHOSEN))
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    results = {}
    parallel = Parallel(n_jobs=options.workers)
    for problem in options.problems:
        chosen, grids = choose_all(parallel, problem)
        base = digits(problem, "sgd").to_json()
        results[problem] = {"base": base, "seeds": list(SEEDS), "grid": grids, "chosen": chosen,
                            "environment": environment()}  # fmt: skip
        for name, value in chosen.items():
            agrees = "as in the recipes" if CHOSEN[problem].get(name) == value else "NOT as in the recipes"
            print(problem, name, grids[name], "chosen:", value, agrees, flush=True)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    write_json(RESULTS, results)


if __name__ == "__main__":
    main()
