"""How far off is the radius that samnesia.suggest_rho suggests? Against those that were tuned on validation.

    python benchmarks/suggest_rho.py [PROBLEM ...] [--seeds 3]

For every problem and method of ``benchmarks/results/radii.json`` whose perturbation follows the gradient of the
loss, the recipe's model is trained plainly for some epochs, probed as ``samnesia tune RECIPE --suggest`` does, and the
suggestion is held against the radius of the highest validation score on the grid. ``lost`` is the score that the grid
has at the suggestion, on straight lines between its radii (on a logarithmic axis), below that at the tuned radius.
``in_range`` says whether the tuned radius lies in the range that is said to be tried.

The seeds are those of `samnesia tune`, which no tuned radius has seen. Other rules are taken from the same probes, to
show what the choice of the rule rests on; it was made on these problems. GSAM climbs as SAM does, and so its
suggestions are the same.

Writes ``benchmarks/results/suggest_rho.json``; takes minutes.
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

from samnesia.measure.radius import SHARE, SPREAD, RadiusSuggestion, reached
from samnesia.study.tune.plan import FIRST_SEED
from samnesia.study.tune.suggestion import probe, warm_up_epochs, warmed_up
from samnesia.train.config import SAM
from samnesia.train.log import environment, write_json
from samnesia.train.recipes import RECIPES, find

TUNED = Path(__file__).parent / "results" / "radii.json"
RESULTS = Path(__file__).parent / "results" / "suggest_rho.json"
METHODS = ("sam", "asam", "gsam")
WARM_UPS = (0, 1, 4, 16)


def share_of_ignorance(share: float) -> Callable[[RadiusSuggestion], float | None]:
    return lambda found: reached(found.radii, found.rises, share * (found.ignorance or math.nan))


def share_of_loss(share: float) -> Callable[[RadiusSuggestion], float | None]:
    return lambda found: reached(found.radii, found.rises, share * found.loss)


RULES: dict[str, Callable[[RadiusSuggestion], float | None]] = {
    "suggest_rho": lambda found: found.rho,
    **{f"rise of {share:g} x the loss": share_of_loss(share) for share in (0.1, 0.2, 1.0)},
    **{f"rise of {share:.2g} x knowing nothing": share_of_ignorance(share) for share in (0.1, 1 / 3)},
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


def probes_of(problem: str, warm_up: int, seeds: Sequence[int]) -> dict[str, list[RadiusSuggestion]]:
    """What is suggested for each method after one training, and measured over radii wide enough for all rules."""
    methods = [name for name in METHODS if f"{problem}-{name}" in RECIPES]
    found: dict[str, list[RadiusSuggestion]] = {name: [] for name in methods}
    for seed in seeds:
        configs = {name: replace(find(f"{problem}-{name}"), seed=seed) for name in methods}
        assert len({repr(replace(config, recipe="", method=SAM())) for config in configs.values()}) == 1
        with warmed_up(configs[methods[0]], warm_up) as run:
            for name, config in configs.items():
                suggestion = probe(config, run)
                radii = [suggestion.radii[-1] * 2.0**k for k in range(-18, 10)]
                found[name].append(replace(probe(config, run, radii=radii), rho=suggestion.rho))
    return found


def row_of(problem: str, method: str, warm_up: int, probes: Sequence[RadiusSuggestion]) -> dict[str, Any]:
    config, grid = find(f"{problem}-{method}"), grid_of(problem, method)
    tuned = max(grid, key=lambda rho: grid[rho])
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
            "ratio": round(rho / tuned, 3),
            "lost": round(grid[tuned] - score_at(grid, rho), 2),
            "in_range": rho / SPREAD <= tuned <= rho * SPREAD,
        }
    row["per_seed"] = [round(probe.rho, 4) for probe in probes]
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
                    "in_range": sum(one["in_range"] for one in there),
                    "of": len(found),
                    "without": len(found) - len(there),
                }
            )
    return lines


def tables(content: Mapping[str, Any]) -> list[str]:
    """The two tables of docs/tuning.md, from what was written down."""
    lines = [f"| problem | {' | '.join(METHODS)} |", "|---" * (1 + len(METHODS)) + "|"]
    rows = {(row["problem"], row["method"]): row for row in content["rows"] if row["as_recipe"]}
    for problem in dict.fromkeys(problem for problem, _ in rows):
        cells = []
        for method in METHODS:
            row = rows[problem, method]
            own = row["rules"]["suggest_rho"]
            cells.append(f"{row['tuned']:g}, {own['rho']:.2g}, {own['lost']:.1f}")
        lines.append(f"| {problem} | {' | '.join(cells)} |")
    lines += ["| rule | off by, typically | at worst | points lost, mean | at worst | in the range |", "|---" * 6 + "|"]
    for line in content["summary"]:
        if line["warm_up"] == "as the recipe":
            name = (
                f"rise of {content['share']:g} x the loss (the rule)" if line["rule"] == "suggest_rho" else line["rule"]
            )
            lines.append(
                f"| {name} | {line['typical_factor']:.1f} | {line['worst_factor']:.0f} | {line['mean_lost']:.1f} | "
                f"{line['worst_lost']:.1f} | {line['in_range']} of {line['of']} |"
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
        for warm_up in sorted({*WARM_UPS, warm_up_epochs(find(f"{problem}-sam"))}):
            for method, probes in probes_of(problem, warm_up, seeds).items():
                rows.append(row_of(problem, method, warm_up, probes))
                own = rows[-1]["rules"]["suggest_rho"]
                print(problem, method, f"after {warm_up} epochs:", own, "tuned", rows[-1]["tuned"], flush=True)
    rows.sort(key=lambda row: (list(tuned).index(row["problem"]), METHODS.index(row["method"]), row["warm_up"]))
    content = {
        "seeds": seeds,
        "share": SHARE,
        "environment": environment(),
        "summary": summary(rows),
        "rows": rows,
    }
    print("\n".join(tables(content)))
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    write_json(RESULTS, content)


if __name__ == "__main__":
    main()
