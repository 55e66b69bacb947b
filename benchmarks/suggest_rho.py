"""How far off is the radius that samnesia.suggest_rho suggests? Against those that were tuned on validation.

    python benchmarks/suggest_rho.py [PROBLEM ...] [--seeds 3]

For every problem and method of ``benchmarks/results/radii.json`` whose perturbation follows the gradient of the
loss, the recipe's model is trained plainly for some epochs, probed as ``samnesia tune RECIPE --suggest`` does, and the
suggestion is held against the radius of the highest validation score on the grid. ``lost`` is the score that the grid
has at the suggestion, on straight lines between its radii (on a logarithmic axis), below that at the tuned radius.

The seeds are those of `samnesia tune`, which no tuned radius has seen. Other rules are taken from the same probes, to
show what the choice of the rule rests on; it was made on these problems.

Writes ``benchmarks/results/suggest_rho.json``.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from samnesia.measure.radius import SHARE, RadiusSuggestion, reached
from samnesia.study.tune.plan import FIRST_SEED
from samnesia.study.tune.suggestion import suggest_for, warm_up_epochs
from samnesia.train.config import RunConfig
from samnesia.train.log import environment, write_json
from samnesia.train.recipes import find

TUNED = Path(__file__).parent / "results" / "radii.json"
RESULTS = Path(__file__).parent / "results" / "suggest_rho.json"
METHODS = ("sam", "asam", "gsam")
WARM_UPS = (0, 1, 2, 4, 8, 16)


def share_of_ignorance(share: float) -> Callable[[RadiusSuggestion], float | None]:
    return lambda found: reached(found.radii, found.rises, share * (found.ignorance or math.nan))


def share_of_loss(share: float) -> Callable[[RadiusSuggestion], float | None]:
    return lambda found: reached(found.radii, found.rises, share * found.loss)


RULES: dict[str, Callable[[RadiusSuggestion], float | None]] = {
    "suggest_rho": lambda found: found.rho,
    **{f"rise of {share:g} x the loss": share_of_loss(share) for share in (0.1, 0.2, 0.3, 0.7, 1.0)},
    **{f"rise of {share:.2g} x knowing nothing": share_of_ignorance(share) for share in (0.1, 0.2, 1 / 3, 0.5)},
    "rise twice the first order": lambda found: found.curvature,
    "loss / slope": lambda found: found.loss / found.slope,
}


def grid_of(problem: str, method: str) -> dict[float, float]:
    """Validation score by radius; of several settings with one radius, the best."""
    rows = json.loads(TUNED.read_text())[problem]["methods"][method]["grid"]
    grid: dict[float, float] = {}
    for row in rows:
        grid[row["rho"]] = max(row["validation"], grid.get(row["rho"], -math.inf))
    return dict(sorted(grid.items()))


def score_at(grid: Mapping[float, float], rho: float) -> float:
    """The score on straight lines between the radii of the grid; at its ends, that of the end."""
    return float(np.interp(math.log(rho), np.log(list(grid)), list(grid.values())))


def probe(config: RunConfig, seed: int, warm_up: int) -> RadiusSuggestion:
    """What is suggested, measured once more over radii that are wide enough for all rules."""
    found = suggest_for(config, seed=seed, warm_up=warm_up)
    radii = [found.radii[-1] * 2.0**k for k in range(-18, 10)]
    return replace(suggest_for(config, seed=seed, warm_up=warm_up, radii=radii), rho=found.rho)


def row_of(problem: str, method: str, warm_up: int, seeds: Sequence[int]) -> dict[str, Any]:
    config, grid = find(f"{problem}-{method}"), grid_of(problem, method)
    tuned = max(grid, key=lambda rho: grid[rho])
    probes = [probe(config, seed, warm_up) for seed in seeds]
    row: dict[str, Any] = {
        "problem": problem,
        "method": method,
        "warm_up": warm_up,
        "as_recipe": warm_up == warm_up_epochs(config),
        "tuned": tuned,
        "best_score": grid[tuned],
        "loss": round(statistics.fmean(probe.loss for probe in probes), 4),
        "slope": round(statistics.fmean(probe.slope for probe in probes), 4),
        "rules": {},
    }
    for name, rule in RULES.items():
        found = [rule(probe) for probe in probes]
        if any(rho is None for rho in found):
            row["rules"][name] = None
            continue
        rho = statistics.geometric_mean([float(one or 0.0) for one in found])
        row["rules"][name] = {
            "rho": round(rho, 4),
            "per_seed": [round(float(one or 0.0), 4) for one in found],
            "ratio": round(rho / tuned, 3),
            "lost": round(grid[tuned] - score_at(grid, rho), 2),
        }
    return row


def summary(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each rule, at each warm-up: how far it was off, over problems and methods."""
    groups = {"as the recipe": [row for row in rows if row["as_recipe"]]}
    groups |= {str(warm_up): [row for row in rows if row["warm_up"] == warm_up] for warm_up in WARM_UPS}
    lines = []
    for warm_up, members in groups.items():
        for name in RULES:
            found = [row["rules"][name] for row in members]
            there = [one for one in found if one is not None]
            if not there:
                continue
            off = [abs(math.log(one["ratio"])) for one in there]
            lines.append(
                {
                    "warm_up": warm_up,
                    "rule": name,
                    "typical_factor": round(math.exp(statistics.fmean(off)), 2),
                    "worst_factor": round(math.exp(max(off)), 2),
                    "mean_lost": round(statistics.fmean(one["lost"] for one in there), 2),
                    "worst_lost": max(one["lost"] for one in there),
                    "without": len(found) - len(there),
                }
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    tuned = json.loads(TUNED.read_text())
    parser.add_argument("problems", nargs="*", default=list(tuned))
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    seeds = list(range(FIRST_SEED, FIRST_SEED + arguments.seeds))
    earlier = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    rows = [row for row in earlier if row["problem"] not in arguments.problems]
    for problem in arguments.problems:
        for method in METHODS:
            if method not in tuned[problem]["methods"]:
                continue
            for warm_up in sorted({*WARM_UPS, warm_up_epochs(find(f"{problem}-{method}"))}):
                rows.append(row_of(problem, method, warm_up, seeds))
                own = rows[-1]["rules"]["suggest_rho"]
                print(problem, method, f"after {warm_up} epochs:", own, "tuned", rows[-1]["tuned"], flush=True)
    rows.sort(key=lambda row: list(tuned).index(row["problem"]))
    content = {
        "seeds": seeds,
        "share": SHARE,
        "environment": environment(),
        "summary": summary(rows),
        "rows": rows,
    }
    for line in content["summary"]:
        print(line)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    write_json(RESULTS, content)


if __name__ == "__main__":
    main()
