"""Is the learning rate of the study of widths a sensible one at every width? Plain training says so, on tuning seeds.

    samnesia study benchmarks/widths_rates.py:rates --out runs/widths-rates
    python benchmarks/widths_rates.py runs/widths-rates       # writes benchmarks/results/widths_rates.json

Each net is trained without a perturbation at a quarter to four times the learning rate of its family's rule; what
counts is the training loss at the last epoch (geometric mean over seeds), against the labels as given.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from samnesia.study.design import Design, Factor, Levels, Measure, Study
from samnesia.study.engine.run import read_results
from samnesia.study.named.widths import FAMILIES, configuration, net_name
from samnesia.study.training import Training
from samnesia.train.parts.methods import Unperturbed

RESULTS = Path(__file__).parent / "results" / "widths_rates.json"
FACTORS = ("1", "0.25", "0.5", "2", "4")
LOSS = "last.train_loss"


def rates() -> Study:
    """Every net at five learning rates."""
    nets = tuple(net_name(name, width) for name, family in FAMILIES.items() for width in family.widths)
    design = Design(
        name="widths-rates",
        question="Which multiple of the rule's learning rate trains best, at each width?",
        factors=(Factor("net", nets), Factor("rate", FACTORS)),
        measures=(Measure("loss", LOSS, "training loss, last epoch", "", False),),
        seeds=(1000, 1001),
        compared="rate",
    )
    return Study(design, _work)


def _work(levels: Levels, seed: int) -> Training:
    return Training(configuration(levels["net"], Unperturbed(), seed, factor=float(levels["rate"])))


def main() -> None:
    """Write the losses, net by net."""
    out = Path(sys.argv[1])
    results, summary = read_results(out), json.loads((out / "compare.json").read_text())
    losses = np.log(results.table.set_index(["net", "rate"])[LOSS]).groupby(level=["net", "rate"], sort=False).mean()
    table = {
        net: {rate: float(np.exp(losses[net, rate])) for rate in sorted(FACTORS, key=float)}
        for net in results.design.factor("net").levels
    }
    found = {"loss": table, "seeds": list(results.design.seeds), "environment": summary["environments"][0]}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    for net, row in table.items():
        print(f"{net:8}", *(f"{value:8.3f}" for value in row.values()))


if __name__ == "__main__":
    main()
