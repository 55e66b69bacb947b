"""Few digits and a net without BatchNorm: what the studies of m-sharpness and of rescaled layers train.

Without BatchNorm m changes the perturbation and nothing else, and the scale of a layer matters to it.
"""

from __future__ import annotations

from dataclasses import replace

from samnesia.train.config import Checkpoints, Digits, Evaluation, Logging, Method, RunConfig
from samnesia.train.recipes import find

DATA = {"digits-few-noisy": Digits(train=400, flipped=0.4), "digits-few": Digits(train=400)}
"""The data of each problem."""
EPOCHS = 30
"""Half of those of the recipes for digits-few, which are followed in all else."""


def base(study: str, problem: str, method: Method, seed: int) -> RunConfig:
    """The run of a method on a problem, before anything is varied."""
    return replace(
        find("digits-few-sgd"),
        recipe=f"{study}-{problem}",
        data=DATA[problem],
        method=method,
        epochs=EPOCHS,
        evaluation=Evaluation(every_epochs=3),
        checkpoints=Checkpoints(every_epochs=None, last=1, best=False),
        logging=Logging(every_steps=0),
        seed=seed,
    )
