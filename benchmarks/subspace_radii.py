"""Choose SAM's radius along a line: on validation, with seeds that no reported figure uses.

    python benchmarks/subspace_radii.py [PROBLEM ...] [--workers 2]

As in benchmarks/choose_radii.py the score of a run is its validation accuracy (of wrong labels, against the labels as
given), averaged over the last five evaluations; the radius of the highest mean score over the tuning seeds is chosen,
of equals the first. Test samples are not looked at.

Writes ``benchmarks/results/subspace_radii.json`` after each problem. The chosen radii stand in
``samnesia/train/recipes/subspaces.py``.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

from choose_radii import score
from joblib import Parallel, delayed

from samnesia.train.config import SAM, Evaluation, RunConfig
from samnesia.train.log import environment, write_json
from samnesia.train.recipes.subspaces import PROBLEMS, subspace

RESULTS = Path(__file__).parent / "results" / "subspace_radii.json"
SEEDS = (1000, 1001, 1002)
GRIDS = {"digits-noisy": (0.1, 0.2, 0.3, 0.4), "digits-few": (0.05, 0.1, 0.2, 0.4)}


def configuration(problem: str, rho: float, seed: int) -> RunConfig:
    """The run of a radius; it is evaluated as often as its score needs."""
    base = subspace(problem, "line", sam=True)
    return replace(base, method=SAM(rho=rho), evaluation=Evaluation(every_epochs=2, train=False, test=False), seed=seed)


def choose(problem: str, *, workers: int) -> dict[str, Any]:
    """Score all radii on a problem."""
    runs = [configuration(problem, rho, seed) for rho in GRIDS[problem] for seed in SEEDS]
    scores = iter(Parallel(n_jobs=workers)(delayed(score)(run) for run in runs))
    grid = []
    for rho in GRIDS[problem]:
        found = [round(next(scores), 2) for _ in SEEDS]
        grid.append({"rho": rho, "validation": round(statistics.fmean(found), 2), "per_seed": found})
        print(problem, grid[-1], flush=True)
    chosen = max(grid, key=lambda row: row["validation"])["rho"]
    return {"seeds": list(SEEDS), "grid": grid, "chosen": chosen, "environment": environment()}


def main() -> None:
    """Choose, and write what was found."""
    parser = argparse.ArgumentParser(description="SAM's radius along a line, chosen on validation")
    parser.add_argument("problems", nargs="*", choices=[*PROBLEMS], default=[*PROBLEMS])
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for problem in options.problems:
        found[problem] = choose(problem, workers=options.workers)
        write_json(RESULTS, found)


if __name__ == "__main__":
    main()
