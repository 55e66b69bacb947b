"""Choose what the study late-adversarial attacks with: on validation, with seeds that no reported figure uses.

    python benchmarks/late_adversarial.py [--workers 2]

Plain training and adversarial training all along, by SGD, for several sizes of the change: of those at which
adversarial training costs two points of clean accuracy at most, the one at which it gains most is chosen. Then SAM's
radius by the validation accuracy of plain training. Late adversarial training is not looked at, nor are test samples.

Of equals the first is chosen. Writes ``benchmarks/results/late_adversarial.json``, and what stands there of the same
base and seeds is not run again; the chosen values stand in ``samnesia/train/recipes/robust.py``, and a fifth of the
gain in ``samnesia/study/named/late_adversarial.py``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

from samnesia.study.named.cells.attacked import Attacked
from samnesia.train.config import SAM, Checkpoints, Evaluation, Logging, RunConfig, Unperturbed
from samnesia.train.log import environment, write_json
from samnesia.train.recipes.robust import EPS, RHO, adversary, digits

RESULTS = Path(__file__).parent / "results" / "late_adversarial.json"
SEEDS = (1000, 1001, 1002)
SIZES = (0.05, 0.1, 0.15, 0.2)
RADII = (0.05, 0.1, 0.2, 0.4)
L2_PER_EPS = 5.0
"""The length of a change of the digits that goes with its largest entry."""
COST = 2.0  # points of clean accuracy


def run(eps: float | None, rho: float | None, seed: int) -> RunConfig:
    base = digits("late-adversarial", Unperturbed() if rho is None else SAM(rho))
    return replace(
        base,
        adversary=None if eps is None else adversary(eps),
        checkpoints=Checkpoints(every_epochs=None, last=1, best=False),
        evaluation=Evaluation(every_epochs=base.epochs),
        logging=Logging(every_steps=0),
        seed=seed,
    )


def score(config: RunConfig, sizes: tuple[float, ...]) -> dict[str, list[float]]:
    """Validation accuracy, clean and under PGD, by the size of the change."""
    from samnesia.train.loaded import load
    from samnesia.train.loop import train

    with tempfile.TemporaryDirectory() as scratch:
        train(config, Path(scratch) / "run")
        loaded = load(Path(scratch) / "run")
        found = {f"{eps:g}": Attacked(eps, L2_PER_EPS * eps, split="validation").of(loaded)[0] for eps in sizes}
    return {eps: [round(values["robust.clean"] or 0.0, 2), round(values["robust.pgd"] or 0.0, 2)] for eps, values in
            found.items()}  # fmt: skip


def measured(workers: int) -> dict[str, Any]:
    jobs = [(run(None, None, seed), SIZES) for seed in SEEDS]
    jobs += [(run(eps, None, seed), (eps,)) for eps in SIZES for seed in SEEDS]
    jobs += [(run(None, rho, seed), (EPS,)) for rho in RADII for seed in SEEDS]
    scores = iter(Parallel(n_jobs=workers)(delayed(score)(*job) for job in jobs))
    return {
        "seeds": list(SEEDS),
        "plain": [next(scores) for _ in SEEDS],
        "trained": {f"{eps:g}": [next(scores)[f"{eps:g}"] for _ in SEEDS] for eps in SIZES},
        "sam": {f"{rho:g}": [next(scores)[f"{EPS:g}"] for _ in SEEDS] for rho in RADII},
        "base": run(None, None, 0).to_json(),
        "environment": environment(),
    }


def means(rows: list[list[float]]) -> tuple[float, float]:
    """Clean, and under attack."""
    clean, robust = (statistics.fmean(column) for column in zip(*rows, strict=True))
    return clean, robust


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if found.get("base") != run(None, None, 0).to_json() or found["seeds"] != list(SEEDS):
        found = measured(options.workers)
    sizes = {}
    for eps, rows in found["trained"].items():
        (clean, robust), (clean_plain, robust_plain) = means(rows), means([one[eps] for one in found["plain"]])
        sizes[eps] = {"gain": round(robust - robust_plain, 2), "clean_cost": round(clean_plain - clean, 2)}
    affordable = [eps for eps, row in sizes.items() if row["clean_cost"] <= COST]
    chosen = {
        "eps": float(max(affordable, key=lambda eps: sizes[eps]["gain"])),
        "rho": float(max(found["sam"], key=lambda rho: means(found["sam"][rho])[0])),
    }
    agrees = (chosen["eps"], chosen["rho"]) == (EPS, RHO)
    print(sizes, chosen, "as in the recipes" if agrees else "NOT as in the recipes")
    write_json(RESULTS, found | {"sizes": sizes, "chosen": chosen})


if __name__ == "__main__":
    main()
