"""What a subject is built from, and what it claims to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from samnesia.conformance.textbook import Formula


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a row hands to ``make(setup)``: build the optimizer under test from it, and nothing else.

    Args:
        model: the model as it is called in training, with its wrappers.
        params: its parameters, or groups of them with their own "lr" and "rho", as optimizers take them.
        rho: the radius of the perturbation.
        optimizer: class of the base optimizer.
        options: its arguments: "lr" always, "momentum" and "weight_decay" in some rows.
        replay_dropout: whether both passes shall draw the same random numbers. Honour it if you claim to
            (`Claims.replays_dropout`); the suite reads nothing into it otherwise.
    """

    model: nn.Module
    params: list[Any]
    rho: float
    optimizer: type[torch.optim.Optimizer]
    options: Mapping[str, Any]
    replay_dropout: bool = False

    def base(self) -> torch.optim.Optimizer:
        """The base optimizer, for methods that take a built one."""
        return self.optimizer(self.params, **self.options)


@dataclass(frozen=True, kw_only=True)
class Claims:
    """What a subject says of itself; rows about what it does not claim are 'n/a', with the reason.

    Args:
        formula: the gradient that it steps with, as a textbook has it: `samnesia.conformance.sam`, `asam`, `gsam`, or
            a function of your own with their signature. Without one the rows that compare with a formula do not apply.
        passes: gradients of a step.
        has_base: whether a base optimizer takes the step (False: the method is an optimizer of its own).
        replays_dropout: whether ``setup.replay_dropout`` is honoured.
        copies: tensors as large as the parameters that may be alive in the last pass, beside gradients.
        kept: tensors as large as the parameters that the method keeps between steps by its formula, such as a moving
            average of its own.
        without: row (47 is all of 47a to 47d) -> why it does not apply, for what follows from a definition.
    """

    formula: Formula | None = None
    passes: int = 2
    has_base: bool = True
    replays_dropout: bool = False
    copies: float = 1.0
    kept: float = 0.0
    without: Mapping[str, str] = field(default_factory=dict)
