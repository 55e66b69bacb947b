"""Choose the radii of the recipes of our own problems on validation, with seeds that no reported figure uses.

    python benchmarks/choose_radii.py [PROBLEM ...] [--methods sam asam ...] [--workers 2]

For every method a grid is trained on the tuning seeds (reported figures use 0, 1, 2, ...), with everything else as in
the problem's base recipe. The score of a run is its validation accuracy (against the validation labels as given: 40 %
of them are wrong in digits-noisy, and 95 % of the validation marks are right in digits-shortcut, for every method
alike), averaged over the last five epochs because one epoch of a few hundred samples is coarse. The setting of the
highest mean score over the seeds is chosen; of equals, the first. Test samples are not looked at.

Writes ``benchmarks/results/radii.json`` after each method; what stands there of the same base recipe and seeds is not
run again, and methods left out keep what they have. The chosen values stand in ``samnesia/train/recipes/demo.py`` and
``problems.py``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

from samnesia.perturb.errors import TrainingCollapsedWarning
from samnesia.train.config import RunConfig
from samnesia.train.log import environment, write_json
from samnesia.train.loop import train
from samnesia.train.parts.methods import ASAM, GSAM, OBF, SAM, Method, Random
from samnesia.train.recipes import RECIPES, find

RESULTS = Path(__file__).parent / "results" / "radii.json"
TUNING_SEEDS = (1000, 1001, 1002, 1003, 1004)
THREE = TUNING_SEEDS[:3]
SEEDS = {"digits-few": THREE, "digits-shortcut": THREE, "photographs": THREE}
"""Where validation is large enough for three; the forty wines of validation need all five."""
AVERAGED_EPOCHS = 5

Grids = dict[str, list[Method]]


def grids(*, sam: tuple[float, ...], asam: tuple[float, ...], gsam: tuple[float, ...], alphas: tuple[float, ...],
          obf: tuple[float, ...], random: tuple[float, ...]) -> Grids:  # fmt: skip
    """The settings of each method: GSAM's are all pairs."""
    return {
        "sam": [SAM(rho=rho) for rho in sam],
        "asam": [ASAM(rho=rho) for rho in asam],
        "gsam": [GSAM(rho=rho, alpha=alpha) for alpha in alphas for rho in gsam],
        "obf": [OBF(rho=rho) for rho in obf],
        "random": [Random(rho=rho) for rho in random],
    }


DEMO = grids(
    sam=(0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7),
    asam=(0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0),
    gsam=(0.1, 0.2, 0.3, 0.4),
    alphas=(0.05, 0.1, 0.2),
    obf=(0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5),
    random=(0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
)
FEW = grids(
    sam=(0.02, 0.05, 0.1, 0.2, 0.4, 0.8),
    asam=(0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0),
    gsam=(0.05, 0.1, 0.2, 0.4),
    alphas=(0.1, 0.3),
    obf=(0.02, 0.05, 0.1, 0.2, 0.4, 0.8),
    random=(0.05, 0.2, 0.5, 1.0, 2.0, 4.0),
)
SHORTCUT = grids(
    sam=(0.02, 0.05, 0.1, 0.2, 0.4, 0.8),
    asam=(0.1, 0.25, 0.5, 1.0, 2.0, 4.0),
    gsam=(0.02, 0.05, 0.1, 0.2),
    alphas=(0.1, 0.3),
    obf=(0.02, 0.05, 0.1, 0.2, 0.4, 0.8),
    random=(0.05, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0),
)
PHOTOGRAPHS = grids(
    sam=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8),
    asam=(0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0),
    gsam=(0.005, 0.02, 0.05, 0.1, 0.2),
    alphas=(0.1, 0.3),
    obf=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8),
    random=(0.05, 0.2, 0.5, 1.0, 2.0, 4.0),
)
WINE = grids(
    sam=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8),
    asam=(0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0),
    gsam=(0.001, 0.005, 0.02, 0.05, 0.1, 0.2),
    alphas=(0.1, 0.3),
    obf=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8),
    random=(0.05, 0.2, 0.5, 1.0, 2.0, 4.0),
)
GRIDS = {
    "digits": DEMO,
    "digits-noisy": DEMO,
    "digits-few": FEW,
    "digits-shortcut": SHORTCUT,
    "photographs": PHOTOGRAPHS,
    "wine": WINE,
}
"""Six values each at first (of GSAM three by two), and more on the side on which the best one lay at the edge."""


def score(config: RunConfig) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingCollapsedWarning)  # a collapsed run scores at chance, which is enough
        result = train(replace(config, evaluation=replace(config.evaluation, train=False, test=False)))
    return statistics.fmean(value or 0.0 for value in result.curves["validation_accuracy"][-AVERAGED_EPOCHS:])


def choose(problem: str, name: str, earlier: dict[str, Any], *, workers: int) -> dict[str, Any]:
    base, seeds = find(f"{problem}-sgd"), SEEDS.get(problem, TUNING_SEEDS)
    same = earlier.get("base") == base.to_json() and earlier["seeds"] == list(seeds)
    known = earlier["methods"].get(name, {}).get("grid", []) if same else []
    rows = {method: next((row for row in known if asdict(method).items() <= row.items()), None)
            for method in GRIDS[problem][name]}  # fmt: skip
    missing = [method for method, row in rows.items() if row is None]
    configs = [
        replace(base, recipe=f"{problem}-{name}", method=method, seed=seed) for method in missing for seed in seeds
    ]
    scores = iter(Parallel(n_jobs=workers)(delayed(score)(config) for config in configs))
    for method in missing:
        per_seed = [round(next(scores), 2) for _ in seeds]
        row = {**asdict(method), "validation": round(statistics.fmean(per_seed), 2), "per_seed": per_seed}
        print(problem, name, {key: row[key] for key in ("rho", "alpha", "validation") if key in row}, flush=True)
        rows[method] = row
    grid = [row for row in rows.values() if row is not None]
    best = max(grid, key=lambda row: row["validation"])
    chosen = list(rows)[grid.index(best)]
    recipe = RECIPES.get(f"{problem}-{name}")
    agrees = recipe is not None and recipe().method == chosen
    print(problem, name, "chosen:", chosen, "as in the recipe" if agrees else "NOT as in the recipe", flush=True)
    return {"chosen": asdict(chosen), "grid": grid}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("problems", nargs="*", default=list(GRIDS))
    parser.add_argument("--methods", nargs="+", choices=DEMO, default=list(DEMO))
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    for problem in arguments.problems:
        for name in arguments.methods:
            results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
            earlier = results.get(problem, {})
            found = choose(problem, name, earlier, workers=arguments.workers)
            results[problem] = {
                "seeds": list(SEEDS.get(problem, TUNING_SEEDS)),
                "score": f"validation accuracy in percent, mean of the last {AVERAGED_EPOCHS} epochs",
                "base": find(f"{problem}-sgd").to_json(),
                "environment": environment(),
                "methods": {**earlier.get("methods", {}), name: found},
            }
            RESULTS.parent.mkdir(parents=True, exist_ok=True)
            write_json(RESULTS, results)


if __name__ == "__main__":
    main()
