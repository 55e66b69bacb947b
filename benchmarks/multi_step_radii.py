"""Choose the radii of the study multi-step: on validation, with seeds that no reported figure uses.

    python benchmarks/multi_step_radii.py [PROBLEM ...] [--workers 2]

For each method a grid around SAM's radius of the problem's recipe, made longer where the best value lay at its end (but
for k = 5, which the quick form has not, and with which Lookbehind does not learn digits-few at this learning rate). The
score of a run is its validation accuracy, averaged over the last five epochs; the setting of the highest mean over the
tuning seeds is chosen, of equals the first. Test samples are not looked at.

Writes ``benchmarks/results/multi_step_radii.json``; what stands there of the same base and seeds is not run again. The
chosen values stand in ``samnesia/study/named/multi_step.py``.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import replace
from pathlib import Path

from choose_radii import score
from joblib import Parallel, delayed

from samnesia.study.named.multi_step import CHOSEN, EPOCHS, METHODS, base
from samnesia.train.config import Evaluation, RunConfig
from samnesia.train.log import environment, write_json

RESULTS = Path(__file__).parent / "results" / "multi_step_radii.json"
SEEDS = (1000, 1001)
ALPHAS = (0.2, 0.5, 0.8)
GRIDS: dict[str, dict[str, tuple[float, ...]]] = {
    "digits-noisy": {
        "lookahead": (0.1, *ALPHAS),
        "sam": (0.1, 0.2, 0.4, 0.8),
        "sam-2": (0.1, 0.2, 0.4, 0.8),
        "sam-5": (0.2, 0.4, 0.8),
        "lookbehind-2": (0.05, 0.1, 0.2, 0.4),
        "lookbehind-5": (0.02, 0.05, 0.1, 0.2),
    },
    "digits-few": {
        "lookahead": ALPHAS,
        "sam": (0.1, 0.2, 0.4),
        "sam-2": (0.1, 0.2, 0.4),
        "sam-5": (0.1, 0.2, 0.4),
        "lookbehind-2": (0.025, 0.05, 0.1),
        "lookbehind-5": (0.01, 0.02, 0.05),
    },
}


def run(problem: str, name: str, size: float, seed: int) -> RunConfig:
    return replace(base(problem, EPOCHS[problem]), method=METHODS[name](size), evaluation=Evaluation(), seed=seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("problems", nargs="*", default=list(GRIDS))
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for problem in options.problems:
        plain = base(problem, EPOCHS[problem]).to_json()
        earlier = results.get(problem, {})
        known = earlier.get("grid", {}) if earlier.get("base") == plain and earlier["seeds"] == list(SEEDS) else {}
        tried = [(name, size) for name, sizes in GRIDS[problem].items() for size in sizes]
        missing = [(name, size) for name, size in tried if f"{size:g}" not in known.get(name, {})]
        runs = [run(problem, name, size, seed) for name, size in missing for seed in SEEDS]
        scores = iter(Parallel(n_jobs=options.workers)(delayed(score)(one) for one in runs))
        for name, size in missing:
            known.setdefault(name, {})[f"{size:g}"] = [round(next(scores), 2) for _ in SEEDS]
        chosen = {
            name: float(max(known[name], key=lambda size, name=name: statistics.fmean(known[name][size])))
            for name in GRIDS[problem]
        }
        for name, size in chosen.items():
            agrees = "as in the study" if CHOSEN[problem][name] == size else "NOT as in the study"
            print(problem, name, known[name], "chosen:", size, agrees, flush=True)
        results[problem] = {"base": plain, "seeds": list(SEEDS), "grid": known, "chosen": chosen,
                            "environment": environment()}  # fmt: skip
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        write_json(RESULTS, results)


if __name__ == "__main__":
    main()
