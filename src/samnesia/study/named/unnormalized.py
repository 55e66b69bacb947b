"""Does adaptive sharpness-aware minimization help where inputs are not normalised?

Coldenhoff et al. (2022) report that ASAM improves generalization on data that are not normalised. Here the inputs of
each problem are once normalised and once as they come, and each arm has a learning rate and a radius of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from samnesia.train.config import (
    ASAM,
    SAM,
    SGD,
    Checkpoints,
    Digits,
    Evaluation,
    Logging,
    Method,
    RunConfig,
    Table,
    Unperturbed,
)
from samnesia.train.recipes import find

INPUTS = ("normalized", "raw")
TWICE = "sgd-twice"
"""SGD over twice the epochs: as many gradient evaluations as SAM and ASAM have."""
METHODS: dict[str, Callable[[float], Method]] = {
    "sgd": lambda rho: Unperturbed(),
    TWICE: lambda rho: Unperturbed(),
    "sam": lambda rho: SAM(rho=rho),
    "asam": lambda rho: ASAM(rho=rho),
}
EPOCHS = {"wine": 100, "digits-few": 30}
"""By problem; all else but data, learning rate and method is that of its recipes."""
RATES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
"""Learning rates that are tried: of the perturbed arms and of twice the epochs, the best of SGD and its neighbours."""
RADII = {"sgd": (0.0,), TWICE: (0.0,), "sam": (0.001, 0.01, 0.05, 0.2), "asam": (0.01, 0.1, 0.5, 2.0)}
"""Radii that are tried, each with each of these learning rates."""


@dataclass(frozen=True)
class Setting:
    """What is chosen for an arm by validation accuracy on tuning seeds: benchmarks/study_settings.py."""

    lr: float
    """Learning rate."""
    rho: float = 0.0
    """Radius."""


CHOSEN: dict[tuple[str, str, str], Setting] = {}
"""By problem, input and method."""


def configuration(problem: str, inputs: str, method: str, setting: Setting, seed: int) -> RunConfig:
    """The run of an arm with a setting."""
    base = find(f"{problem}-sgd")
    data, optimizer = base.data, base.optimizer
    assert isinstance(data, Digits | Table) and isinstance(optimizer, SGD)
    return replace(
        base,
        recipe=f"unnormalized-{problem}",
        data=replace(data, normalized=inputs == "normalized"),
        optimizer=replace(optimizer, lr=setting.lr),
        method=METHODS[method](setting.rho),
        epochs=EPOCHS[problem] * (2 if method == TWICE else 1),
        evaluation=Evaluation(every_epochs=EPOCHS[problem] // 10),
        checkpoints=Checkpoints(every_epochs=None, last=1, best=False),
        logging=Logging(every_steps=0),
        seed=seed,
    )
