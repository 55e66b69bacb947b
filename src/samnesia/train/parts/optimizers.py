"""The base optimizer of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from samnesia.perturb.errors import ConfigurationError
from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    import torch
    from torch import nn

Decayed = Literal["all", "matrices"]


def _check(lr: float, weight_decay: float) -> None:
    require(
        0.0 < lr < math.inf,
        f"cannot train with lr {lr}, because a learning rate is a positive number; use 0.05, say",
    )
    require(
        0.0 <= weight_decay < math.inf,
        f"cannot train with weight decay {weight_decay}, because it would make the weights grow; use 0 or more",
    )


def _groups(model: nn.Module, weight_decay: float, decayed: Decayed, rates: tuple[float, ...] = ()) -> Any:
    """The parameters that are trained; those with fewer than two dimensions apart, where they do not decay.

    With ``rates`` each is a group of its own, whose entry ``rate`` the trainer multiplies its learning rate with.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    require(
        bool(trained),
        "cannot train this model, because it has no parameter that requires a gradient; unfreeze some, or check it",
    )
    if rates:
        require(
            len(rates) == len(trained),
            f"cannot train {len(trained)} tensors with {len(rates)} rates, because each of them has one; give as many",
        )
        decays = (weight_decay if decayed == "all" or p.ndim >= 2 else 0.0 for p in trained)
        return [
            {"params": [p], "rate": rate, "weight_decay": decay / rate}
            for p, rate, decay in zip(trained, rates, decays, strict=True)
        ]
    if decayed == "all" or weight_decay == 0.0:
        return trained
    groups = (
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    )
    return [group for group in groups if group["params"]]


def _with_state(optimizer: torch.optim.Optimizer, run: str | None) -> torch.optim.Optimizer:
    """The optimizer with the state that the one of another run had in the end; its own settings stay."""
    if run is None:
        return optimizer
    from pathlib import Path

    from samnesia.train.checkpoint import Store

    store = Store(Path(run))
    positions = store.positions()
    require(
        bool(positions),
        f"cannot start with the state of the optimizer of {run}, because it has no checkpoint; name another run",
    )
    state: dict[str, Any] = store.read(positions[-1]).state["optimizer"]
    settings = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    try:
        optimizer.load_state_dict(state)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"cannot start with the state of the optimizer of {run}, because it is of another model or optimizer "
            f"({' '.join(str(error).split())}); start without one"
        ) from None
    for group, own in zip(optimizer.param_groups, settings, strict=True):
        group.update(own)
    return optimizer


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent, as in torch.optim.SGD; decoupled: as in timm.optim.SGDW."""

    lr: float = 0.05
    """Highest learning rate of the run."""
    momentum: float = 0.9
    """Share of the last update that is repeated, 0 to below 1."""
    weight_decay: float = 5e-4
    """Coefficient of the weights that is added to their gradient at the update; it is no part of the perturbation."""
    nesterov: bool = False
    """Look ahead along the momentum."""
    decoupled: bool = False
    """Shrink the weights by lr * weight_decay apart from the gradient, outside of the momentum (needs timm)."""
    decayed: Decayed = "all"
    """What decays: all weights, or matrices only (no bias, no scale of a normalization)."""
    rates: tuple[float, ...] = ()
    """Factor of the learning rate for each tensor that is trained, in their order; each decays as fast as without."""
    state: str | None = None
    """Start with the state (momentum, say) of the optimizer of this run, at its last checkpoint; None is none."""

    def __post_init__(self) -> None:
        _check(self.lr, self.weight_decay)
        require(
            all(0.0 < rate < math.inf for rate in self.rates),
            f"cannot train with rates {self.rates}, because a factor of the learning rate is a positive number; use "
            "1 where nothing changes",
        )
        require(
            0.0 <= self.momentum < 1.0,
            f"cannot train with momentum {self.momentum}, because the updates would grow without bound; "
            "use a value from 0 to below 1",
        )
        require(
            not self.nesterov or self.momentum > 0.0,
            "cannot use nesterov with momentum 0, because there is nothing to look ahead along; "
            "use a momentum of 0.9, say",
        )

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """Return the optimizer over the model's parameters."""
        kind: Any
        if self.decoupled:
            from samnesia.extras import require as package

            kind = package("timm.optim", extra="vision").SGDW
        else:
            from torch.optim import SGD as kind  # noqa: N811
        optimizer: torch.optim.Optimizer = kind(
            _groups(model, self.weight_decay, self.decayed, self.rates),
            lr=self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            nesterov=self.nesterov,
        )
        return _with_state(optimizer, self.state)


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay, as in torch.optim.AdamW."""

    lr: float = 1e-3
    """Highest learning rate of the run."""
    betas: tuple[float, ...] = (0.9, 0.999)
    """Decay of the averages of the gradient and of its square."""
    eps: float = 1e-8
    """Added to the root of the averaged square."""
    weight_decay: float = 0.01
    """The weights shrink by lr * weight_decay at each update; it is no part of the perturbation."""
    decayed: Decayed = "matrices"
    """What decays: all weights, or matrices only (no bias, no scale of a normalization)."""
    state: str | None = None
    """Start with the state (momentum, say) of the optimizer of this run, at its last checkpoint; None is none."""

    def __post_init__(self) -> None:
        _check(self.lr, self.weight_decay)
        require(
            len(self.betas) == 2 and all(0.0 <= beta < 1.0 for beta in self.betas),
            f"cannot train with betas {self.betas}, because Adam averages with two shares of 0 to below 1; "
            "use 0.9 and 0.999",
        )
        require(
            0.0 <= self.eps < math.inf,
            f"cannot train with eps {self.eps}, because it is added under a division; use 1e-8",
        )

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """Return the optimizer over the model's parameters."""
        import torch

        first, second = self.betas
        optimizer = torch.optim.AdamW(
            _groups(model, self.weight_decay, self.decayed),
            lr=self.lr,
            betas=(first, second),
            eps=self.eps,
            weight_decay=self.weight_decay,
        )
        return _with_state(optimizer, self.state)
