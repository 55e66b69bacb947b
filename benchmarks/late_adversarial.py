"""Choose what the study late-adversarial attacks with: on validation, with seeds that no reported figure uses.

    python benchmarks/late_adversarial.py [--workers 2]

Plain training and adversarial training all along, by SGD, for several sizes of the change: of those at which
adversarial training costs two points of clean accuracy at most, the one at which it gains most is chosen. Then SAM's
radius by the validation accuracy of plain training. Late adversarial training is not looked at, nor are test samples.

Writes ``benchmarks/results/late_adversarial.json``; the chosen values stand in ``samnesia/train/recipes/robust.py``,
and a fifth of the gain in ``samnesia/study/named/late_adversarial.py``.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

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


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    workers = parser.parse_args().workers
    jobs = [(run(None, None, seed), SIZES) for seed in SEEDS]
    jobs += [(run(eps, None, seed), (eps,)) for eps in SIZES for seed in SEEDS]
    jobs += [(run(None, rho, seed), (EPS,)) for rho in RADII for seed in SEEDS]
    scores = iter(Parallel(n_jobs=workers)(delayed(score)(*job) for job in jobs))
    plain = [next(scores) for _ in SEEDS]
    trained = {f"{eps:g}": [next(scores)[f"{eps:g}"] for _ in SEEDS] for eps in SIZES}
    sam = {f"{rho:g}": [next(scores)[f"{EPS:g}"] for _ in SEEDS] for rho in RADII}
    table = {}
    for eps, found in trained.items():
        (clean, robust), (clean_plain, robust_plain) = (
            (statistics.fmean(one[place] for one in rows) for place in (0, 1))
            for rows in (found, [one[eps] for one in plain])
        )
        table[eps] = {"gain": round(robust - robust_plain, 2), "clean_cost": round(clean_plain - clean, 2)}
    affordable = [eps for eps, row in table.items() if row["clean_cost"] <= COST]
    chosen = {
        "eps": float(max(affordable, key=lambda eps: table[eps]["gain"])),
        "rho": float(max(sam, key=lambda rho: statistics.fmean(one[0] for one in sam[rho]))),
    }
    print(table, sam, chosen, "as in the recipes" if (chosen["eps"], chosen["rho"]) == (EPS, RHO) else "NOT as there")
    content = {"seeds": list(SEEDS), "plain": plain, "trained": trained, "sam": sam, "sizes": table, "chosen": chosen,
               "base": run(None, None, 0).to_json(), "environment": environment()}  # fmt: skip
    write_json(RESULTS, content)


if __name__ == "__main__":
    main()
