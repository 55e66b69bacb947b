"""Choose what two of the named studies need: on validation, with seeds that no reported figure uses.

    python benchmarks/study_settings.py [m-sharpness] [unnormalized] [--workers 2]

As in benchmarks/choose_radii.py the score of a run is its validation accuracy, averaged over the last five evaluations,
and the setting of the highest mean score over the tuning seeds is chosen; of equals, the one in the middle (the lower
of two). Test samples are not looked at. Of ``unnormalized``, plain SGD tries all learning rates, and the other arms
those next to its best.

Writes ``benchmarks/results/study_settings.json`` after each arm. The chosen values stand in the studies themselves
(``samnesia/study/named``), and their tests hold them to the file.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from choose_radii import score
from joblib import Parallel, delayed

from samnesia.study.named import few, m_sharpness, unnormalized
from samnesia.study.named.unnormalized import Setting
from samnesia.train.config import Evaluation, RunConfig
from samnesia.train.log import environment, write_json

RESULTS = Path(__file__).parent / "results" / "study_settings.json"
SEEDS = (1000, 1001, 1002)
RADII = {"digits-few-noisy": ("0.1", "0.2", "0.4", "0.8"), "digits-few": ("0.05", "0.1", "0.2", "0.4")}
"""That are tried for each m."""
Grid = Mapping[str, RunConfig]
"""Configurations by what is chosen."""


def of_m() -> Iterator[tuple[str, Grid]]:
    """Arms of m-sharpness: (name, what is tried)."""
    for problem in few.DATA:
        for m in (m_sharpness.WHOLE, m_sharpness.FEW):
            tried = {rho: m_sharpness.configuration(problem, m, rho, 0) for rho in RADII[problem]}
            yield f"m-sharpness {problem} {m}", tried


def of_inputs(chosen: Mapping[str, str]) -> Iterator[tuple[str, Grid]]:
    """Arms of unnormalized; ``chosen`` has what was chosen for those before."""
    for problem in unnormalized.EPOCHS:
        for inputs in unnormalized.INPUTS:
            for method, radii in unnormalized.RADII.items():
                rates = unnormalized.RATES
                if method != "sgd":
                    best = rates.index(float(chosen[f"unnormalized {problem} {inputs} sgd"].partition(" ")[0]))
                    rates = rates[max(0, best - 1) : best + 2]
                tried = {
                    f"{lr:g} {rho:g}": unnormalized.configuration(problem, inputs, method, Setting(lr, rho), 0)
                    for lr in rates
                    for rho in radii
                }
                yield f"unnormalized {problem} {inputs} {method}", tried


def often(config: RunConfig) -> RunConfig:
    """Evaluated in each of the last epochs that the score is a mean of."""
    return replace(config, evaluation=Evaluation(every_epochs=1))


def choose(tried: Grid, earlier: Mapping[str, Any], workers: int) -> dict[str, Any]:
    """Score all settings, but for those that were scored earlier."""
    plain = {name: config.to_json() for name, config in tried.items()}
    known = {row["setting"]: row for row in earlier.get("grid", ())
             if earlier["seeds"] == list(SEEDS) and row["config"] == plain.get(row["setting"])}  # fmt: skip
    missing = [name for name in tried if name not in known]
    runs = [replace(often(tried[name]), seed=seed) for name in missing for seed in SEEDS]
    scores = iter(Parallel(n_jobs=workers)(delayed(score)(run) for run in runs))
    for name in missing:
        found = [round(next(scores), 2) for _ in SEEDS]
        mean = round(statistics.fmean(found), 2)
        known[name] = {"setting": name, "validation": mean, "per_seed": found, "config": plain[name]}
    grid = [known[name] for name in tried]
    highest = max(row["validation"] for row in grid)
    equals = [row["setting"] for row in grid if row["validation"] == highest]
    return {"seeds": list(SEEDS), "chosen": equals[(len(equals) - 1) // 2], "grid": grid, "environment": environment()}


def main() -> None:
    """Search, and write what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("studies", nargs="*", default=["m-sharpness", "unnormalized"])
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    chosen: dict[str, str] = {}
    arms = {"m-sharpness": of_m(), "unnormalized": of_inputs(chosen)}
    for study in options.studies:
        for name, tried in arms[study]:
            results[name] = choose(tried, results.get(name, {}), options.workers)
            chosen[name] = results[name]["chosen"]
            print(name, {row["setting"]: row["validation"] for row in results[name]["grid"]}, flush=True)
            print(name, "chosen:", chosen[name], flush=True)
            write_json(RESULTS, results)


if __name__ == "__main__":
    main()
