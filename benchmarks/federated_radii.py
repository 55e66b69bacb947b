"""Learning rate and radii of the federated digits, by validation accuracy at alpha 0, on tuning seeds.

Run it with ``python benchmarks/federated_radii.py``; it prints a line per setting. The figure is the mean over the last
ten rounds and the seeds, of the weights as they are (no average), since rounds at alpha 0 differ by much. The rate is
chosen by FedAvg, then the radii at that rate; the other alphas have the radii of alpha 0, and runs with an average of
the weights the settings of those without.

Printed on 22 November 2026::

    fedavg lr 0.1: 76.2 (78.5, 74.0)
    fedavg lr 0.3: 80.7 (86.7, 74.7)
    fedavg lr 0.6: 55.9 (51.3, 60.5)
    fedsam rho 0.02: 81.7 (85.8, 77.5)
    fedsam rho 0.05: 80.6 (84.2, 77.0)
    fedsam rho 0.1: 80.2 (81.5, 78.8)
    fedsam rho 0.2: 80.3 (79.5, 81.2)
    fedasam rho 0.03: 81.4 (86.2, 76.6)
    fedasam rho 0.1: 81.5 (84.7, 78.3)
    fedasam rho 0.3: 78.9 (78.8, 79.0)
    fedasam rho 0.7: 76.5 (76.0, 77.0)
    fedasam rho 1.5: 45.2 (48.4, 42.1)
"""

import argparse
import statistics
import warnings
from dataclasses import replace

from samnesia.federated.recipes import digits
from samnesia.federated.run import federate
from samnesia.perturb.errors import TrainingCollapsedWarning
from samnesia.train.config import ASAM, SAM, Checkpoints, Evaluation, Unperturbed

SEEDS = (1000, 1001)
RATES = (0.1, 0.3, 0.6)
SETTINGS = {
    **{f"fedavg lr {lr}": (Unperturbed(), lr) for lr in RATES},
    **{f"fedsam rho {rho}": (SAM(rho=rho), None) for rho in (0.02, 0.05, 0.1, 0.2)},
    **{f"fedasam rho {rho}": (ASAM(rho=rho, eta=0.2), None) for rho in (0.03, 0.1, 0.3, 0.7, 1.5)},
}
LAST = 10
"""Rounds that count."""


def score(method, lr, seed):
    """Mean validation accuracy over the last rounds."""
    config = digits("tuning", method, 0.0, swa=False).with_seed(seed)
    rate = config.training.optimizer.lr if lr is None else lr
    run = replace(
        config.training,
        optimizer=replace(config.training.optimizer, lr=rate),
        evaluation=Evaluation(train=False, test=False),
        checkpoints=Checkpoints(every_epochs=None, best=False),
    )
    return statistics.mean(federate(replace(config, training=run)).curves["validation_accuracy"][-LAST:])


def main():
    """Print the settings with their scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--only", default="", help="settings that begin so")
    words = parser.parse_args()
    warnings.simplefilter("ignore", TrainingCollapsedWarning)
    for name, (method, lr) in SETTINGS.items():
        if name.startswith(words.only):
            scores = [score(method, lr, seed) for seed in words.seeds]
            each = ", ".join(f"{one:.1f}" for one in scores)
            print(f"{name}: {statistics.mean(scores):.1f} ({each})", flush=True)


if __name__ == "__main__":
    main()
