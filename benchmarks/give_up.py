"""When may `samnesia tune` give a setting up? The share of the cost that is left, and whether the best is kept.

    python benchmarks/give_up.py train      # three dozen runs of digits-noisy-sam to the end: minutes
    python benchmarks/give_up.py replay     # orders of these settings, with other rules: a minute

``train`` trains twelve radii from 0.05 to 3.2 on three tuning seeds, and keeps the validation accuracy of every epoch.
``replay`` goes through the settings in random orders, as a search would that tries them all. From the fifth on, a
setting is given up as the rule says: when it is worse than the median of all that came as far, at the same epoch of the
same seed, from a share of the epochs of each seed on, and at the end of each seed.

Writes ``benchmarks/results/give_up.json``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from samnesia.perturb.errors import TrainingCollapsedWarning
from samnesia.study.tune.plan import FIRST_SEED
from samnesia.study.tune.trial import Score, tuning_run
from samnesia.train.config import SAM
from samnesia.train.log import environment, write_json
from samnesia.train.loop import train
from samnesia.train.recipes import find

RESULTS = Path(__file__).parent / "results" / "give_up.json"
RECIPE = "digits-noisy-sam"
RADII = [round(0.05 * 64 ** (k / 11), 6) for k in range(12)]
SEEDS = (FIRST_SEED, FIRST_SEED + 1, FIRST_SEED + 2)
SHARES = (0.1, 0.25, 0.5)
ORDERS, STARTS = 300, 4


def curves() -> dict[str, list[list[float]]]:
    """Validation accuracy by radius, of each seed in each epoch."""
    found: dict[str, list[list[float]]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingCollapsedWarning)
        for rho in RADII:
            configs = [tuning_run(replace(find(RECIPE), method=SAM(rho=rho)), seed) for seed in SEEDS]
            found[str(rho)] = [[float(v or 0.0) for v in train(c).curves["validation_accuracy"]] for c in configs]
            print(rho, [round(curve[-1], 1) for curve in found[str(rho)]], flush=True)
    return found


def course(seeds: Sequence[Sequence[float]]) -> list[float]:
    """What a setting reports after each epoch of each seed."""
    score = Score("validation_accuracy", "%", True, len(seeds[0]))
    done: list[float] = []
    values = []
    for curve in seeds:
        values += [
            statistics.fmean([*done, score.after(list(curve[: epoch + 1]))]) for epoch in range(score.evaluations)
        ]
        done.append(score.after(list(curve)))
    return values


def replay(courses: dict[str, list[float]], epochs: int, share: float) -> dict[str, float]:
    """Share of the cost, and how often the best setting was trained to the end, over random orders."""
    rng, names = np.random.default_rng(0), list(courses)
    best = max(names, key=lambda name: courses[name][-1])
    cost, kept = [], []
    for _ in range(ORDERS):
        done: list[list[float]] = []
        for name in rng.permutation(names):
            values = courses[str(name)]
            done.append(values[: stop(values, done, epochs, share)])
        cost.append(sum(map(len, done)) / (len(names) * len(courses[best])))
        kept.append(any(values == courses[best] for values in done))
    return {"cost": round(statistics.fmean(cost), 3), "best_kept": round(statistics.fmean(kept), 3)}


def stop(values: Sequence[float], others: Sequence[Sequence[float]], epochs: int, share: float) -> int:
    """After how many epochs the setting is given up, or all of them."""
    for step, value in enumerate(values[:-1]):
        same = [other[step] for other in others if len(other) > step]
        if len(same) >= STARTS and (step % epochs) + 1 >= share * epochs and value < statistics.median(same):
            return step + 1
    return len(values)


def ranks(found: dict[str, list[list[float]]]) -> dict[str, list[int]]:
    """Place of the setting that is best in the end, of each seed, after some epochs: 1 is the best."""
    courses = {name: course(seeds) for name, seeds in found.items()}
    best = max(courses, key=lambda name: courses[name][-1])
    places = {}
    for epoch in (6, 11, 21, 31, 41, 61, 80):
        places[str(epoch)] = [
            1
            + sum(course([other[seed]])[epoch - 1] > course([found[best][seed]])[epoch - 1] for other in found.values())
            for seed in range(len(SEEDS))
        ]
    return places


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("train", "replay"))
    content: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if parser.parse_args().what == "train":
        content = {"recipe": RECIPE, "seeds": SEEDS, "environment": environment(), "curves": curves()}
    else:
        found = content["curves"]
        courses = {name: course(seeds) for name, seeds in found.items()}
        epochs = len(next(iter(found.values()))[0])
        content["scores"] = {name: round(values[-1], 2) for name, values in courses.items()}
        content["ranks_of_the_best"] = ranks(found)
        content["from_share_of_epochs"] = {str(share): replay(courses, epochs, share) for share in SHARES}
        print(json.dumps({name: content[name] for name in list(content)[-3:]}, indent=1))
    write_json(RESULTS, content)


if __name__ == "__main__":
    main()
