"""Learning rate and radii of the federated digits, by validation accuracy at alpha 0, on tuning seeds.

Run it with ``python benchmarks/federated_radii.py``; it prints a line per setting. The figure is the mean over the last
ten rounds and the seeds, of the weights as they are (no average), since rounds at alpha 0 differ by much. The rate is
chosen by FedAvg, then the radii at that rate; the other alphas have the radii of alpha 0, and runs with an average of
the weights the settings of those without.
"""

import argparse
import statistics
import warnings
from dataclasses import replace

from samnesia.federated.recipes import digits
from samnesia.federated.run import federate
from samnesia.perturb.errors import TrainingCollapsedWarning
from samnesia.train.config import ASAM, SAM, Checkpoints, Evaluation, Unperturbed

SEEDS = (1000, 1001, 1002)
RATES = (0.1, 0.3, 0.6)
SETTINGS = {
    **{f"fedavg lr {lr}": (Unperturbed(), lr) for lr in RATES},
    **{f"fedsam rho {rho}": (SAM(rho=rho), None) for rho in (0.02, 0.05, 0.1, 0.2)},
    **{f"fedasam rho {rho}": (ASAM(rho=rho, eta=0.2), None) for rho in (0.1, 0.3, 0.7, 1.5)},
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
