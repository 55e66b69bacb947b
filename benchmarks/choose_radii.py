"""Choose the radii of the recipes of our own problems on validation, with seeds that no reported figure uses.

    python benchmarks/choose_radii.py [PROBLEM ...] [--methods sam asam ...] [--workers 2]

For every method a grid is trained on the tuning seeds (reported figures use 0, 1, 2, ...), with everything else as in
the problem's base recipe. The score of a run is its validation accuracy (against the validation labels as given: 40 %
of them are wrong in digits-noisy, and 95 % of the validation marks are right in digits-shortcut, for every method
alike), averaged over the last five epochs because one epoch of a few hundred samples is coarse. The setting of the
highest mean score over the seeds is chosen; of equals, the first. Test samples are not looked at.

The rest of the family, on digits-noisy alone, has three or four values each and two of the tuning seeds; so have the
baselines that average weights or smooth labels, whose average is what is scored. Not all of them have been run: which
have stands in the file, and what the others have in ``samnesia/train/recipes/family.py``.

Writes ``benchmarks/results/radii.json`` (of the family, ``radii_family.json``) after each method; what stands there of
the same base recipe and seeds is not run again, and methods left out keep what they have. The chosen values stand in
``samnesia/train/recipes/demo.py`` and ``problems.py``.
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
from samnesia.train.config import (
    AESAM,
    ASAM,
    EMA,
    ESAM,
    GCSAM,
    GSAM,
    LESAM,
    MESA,
    OBF,
    RWP,
    SAF,
    SAM,
    SAMON,
    SWA,
    WSAM,
    ASAMAfterNorm,
    ASAMBeforeNorm,
    CrossEntropy,
    FilterSAM,
    FisherSAM,
    FocalSAM,
    FriendlySAM,
    FunctionalSAM,
    GradientNormPenalty,
    ImbSAM,
    IntervalSAM,
    LateSAM,
    LayerSAM,
    LinfSAM,
    Lookahead,
    Lookbehind,
    LookbehindASAM,
    LookSAM,
    Method,
    MomentumSAM,
    Random,
    RunConfig,
    ShrinkAndPerturb,
    SparseSAM,
    StableSAM,
    VaSSO,
    ZSharp,
    renewed,
)
from samnesia.train.log import environment, write_json
from samnesia.train.loop import train
from samnesia.train.recipes import RECIPES, find

RESULTS = Path(__file__).parent / "results" / "radii.json"
OF_FAMILY = RESULTS.with_name("radii_family.json")
TUNING_SEEDS = (1000, 1001, 1002, 1003, 1004)
TWO, THREE = TUNING_SEEDS[:2], TUNING_SEEDS[:3]
SEEDS = {"digits-few": THREE, "digits-shortcut": THREE, "photographs": THREE}
"""Where validation is large enough for three; the forty wines of validation need all five."""
AVERAGED_EPOCHS = 5

Part = Method | EMA | SWA | CrossEntropy
Grids = dict[str, list[Part]]


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
FAMILY: Grids = {
    "sam-steps": [SAM(rho=rho, steps=2) for rho in (0.2, 0.4, 0.7)],
    "layer-sam": [LayerSAM(rho=rho) for rho in (0.025, 0.05, 0.1)],
    "asam-after": [ASAMAfterNorm(rho=rho) for rho in (2.0, 5.0, 10.0)],
    "asam-before": [ASAMBeforeNorm(rho=rho) for rho in (0.1, 0.2, 0.4)],
    "obf-steps": [OBF(rho=rho, steps=2) for rho in (0.4, 0.7, 1.0)],
    "sam-interval": [IntervalSAM(rho=rho, k=5) for rho in (0.4, 0.8, 1.6)],
    "sam-late": [LateSAM(rho=rho) for rho in (0.2, 0.4, 0.8)],
    "looksam": [LookSAM(rho=rho) for rho in (0.2, 0.4, 0.8)],
    "ae-sam": [AESAM(rho=rho) for rho in (0.2, 0.4, 0.8)],
    "esam": [ESAM(rho=rho) for rho in (0.2, 0.4, 0.8)],
    "momentum-sam": [MomentumSAM(rho=rho) for rho in (0.4, 1.0, 3.0)],
    "saf": [SAF(weight=weight) for weight in (0.1, 0.3, 1.0)],
    "mesa": [MESA(weight=weight) for weight in (0.3, 0.8, 2.0)],
    "lookbehind": [Lookbehind(rho=rho) for rho in (0.1, 0.2, 0.4)],
    "lookbehind-asam": [LookbehindASAM(rho=rho) for rho in (0.5, 1.0, 2.0)],
    "friendly-sam": [FriendlySAM(rho=rho) for rho in (0.2, 0.4, 0.8)],
    "vasso": [VaSSO(rho=rho) for rho in (0.2, 0.4, 0.8)],
    "fisher-sam": [FisherSAM(rho=rho) for rho in (0.02, 0.04, 0.08)],
    "sparse-sam": [SparseSAM(rho=rho) for rho in (0.2, 0.4, 0.8)],
    "sam-on": [SAMON(rho=rho) for rho in (0.5, 1.0, 2.0)],
    "rwp": [RWP(rho=rho) for rho in (0.05, 0.1, 0.3)],
    "filter-sam": [FilterSAM(rho=rho) for rho in (0.025, 0.05, 0.1)],
    "linf-sam": [LinfSAM(rho=rho) for rho in (0.001, 0.003, 0.01)],
    "gcsam": [GCSAM(rho=rho) for rho in (0.2, 0.4, 0.8)],
    "zsharp": [ZSharp(rho=rho) for rho in (0.2, 0.4, 0.8)],
    "le-sam": [LESAM(rho=rho) for rho in (0.2, 0.4, 0.8)],
    "wsam": [WSAM(rho=rho) for rho in (0.05, 0.1, 0.2)],
    "stable-sam": [StableSAM(rho=rho) for rho in (0.2, 0.4, 0.8)],
    "functional-sam": [FunctionalSAM(rho=rho) for rho in (0.2, 0.4, 0.8)],
    "penalty": [GradientNormPenalty(rho=rho) for rho in (0.2, 0.4, 0.8)],
    "imbsam": [ImbSAM(rho=rho) for rho in (0.2, 0.4, 0.8)],
    "focal-sam": [FocalSAM(rho=rho) for rho in (0.2, 0.4, 0.8)],
    "lookahead": [Lookahead(alpha=alpha) for alpha in (0.2, 0.5, 0.8)],
    "shrink": [ShrinkAndPerturb(share=share) for share in (1e-5, 1e-4, 1e-3, 1e-2)],
    "ema": [EMA(decay=decay) for decay in (0.98, 0.99, 0.995, 0.998)],
    "swa": [SWA(start_epoch=start) for start in (20.0, 40.0, 60.0)],
    "smoothing": [CrossEntropy(smoothing=share) for share in (0.1, 0.2, 0.4)],
}
"""A coarse grid around what corresponds to SAM's radius, or around the preset's own settings."""
GRIDS = {
    "digits": DEMO,
    "digits-noisy": DEMO | FAMILY,
    "digits-few": FEW,
    "digits-shortcut": SHORTCUT,
    "photographs": PHOTOGRAPHS,
    "wine": WINE,
}
"""Six values each at first (of GSAM three by two), and more on the side on which the best one lay at the edge."""


def seeds_of(problem: str, name: str) -> tuple[int, ...]:
    return TWO if name in FAMILY else SEEDS.get(problem, TUNING_SEEDS)


def changed(base: RunConfig, part: Part) -> RunConfig:
    """The base recipe with this part in the place of its own."""
    if isinstance(part, EMA | SWA):
        return replace(base, average=part)
    return replace(base, loss=part) if isinstance(part, CrossEntropy) else replace(base, method=part)


def part_of(config: RunConfig) -> Part | None:
    """What `changed` has put into the base recipe."""
    if config.average is not None:
        return config.average
    smoothed = isinstance(config.loss, CrossEntropy) and config.loss.smoothing
    return config.loss if smoothed else config.method  # type: ignore[return-value]


def score(config: RunConfig) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingCollapsedWarning)  # a collapsed run scores at chance, which is enough
        result = train(replace(config, evaluation=replace(config.evaluation, train=False, test=False)))
    averaged = "average_" if config.average is not None else ""
    values = result.curves[f"{averaged}validation_accuracy"][-AVERAGED_EPOCHS:]
    return statistics.fmean([value for value in values if value is not None] or [0.0])


def choose(problem: str, name: str, earlier: dict[str, Any], *, workers: int) -> dict[str, Any]:
    base, seeds = find(f"{problem}-sgd"), seeds_of(problem, name)
    same = renewed(earlier.get("base", {})) == base.to_json() and earlier["seeds"] == list(seeds)
    known = earlier["methods"].get(name, {}).get("grid", []) if same else []
    rows = {method: next((row for row in known if asdict(method).items() <= row.items()), None)
            for method in GRIDS[problem][name]}  # fmt: skip
    missing = [method for method, row in rows.items() if row is None]
    configs = [
        replace(changed(base, method), recipe=f"{problem}-{name}", seed=seed) for method in missing for seed in seeds
    ]
    scores = iter(Parallel(n_jobs=workers)(delayed(score)(config) for config in configs))
    for method in missing:
        per_seed = [round(next(scores), 2) for _ in seeds]
        row = {**asdict(method), "validation": round(statistics.fmean(per_seed), 2), "per_seed": per_seed}
        print(problem, name, row, flush=True)
        rows[method] = row
    grid = [row for row in rows.values() if row is not None]
    best = max(grid, key=lambda row: row["validation"])
    chosen = list(rows)[grid.index(best)]
    recipe = RECIPES.get(f"{problem}-{name}")
    agrees = recipe is not None and part_of(recipe()) == chosen
    print(problem, name, "chosen:", chosen, "as in the recipe" if agrees else "NOT as in the recipe", flush=True)
    return {"chosen": asdict(chosen), "grid": grid}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("problems", nargs="*", default=list(GRIDS))
    parser.add_argument("--methods", nargs="+", choices=DEMO | FAMILY, default=None)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    for problem in arguments.problems:
        for name in arguments.methods or GRIDS[problem]:
            place = OF_FAMILY if name in FAMILY else RESULTS
            results = json.loads(place.read_text()) if place.exists() else {}
            earlier = results.get(problem, {})
            found = choose(problem, name, earlier, workers=arguments.workers)
            results[problem] = {
                "seeds": list(seeds_of(problem, name)),
                "score": f"validation accuracy in percent, mean of the last {AVERAGED_EPOCHS} epochs",
                "base": find(f"{problem}-sgd").to_json(),
                "environment": environment(),
                "methods": {**earlier.get("methods", {}), name: found},
            }
            place.parent.mkdir(parents=True, exist_ok=True)
            write_json(place, results)


if __name__ == "__main__":
    main()
