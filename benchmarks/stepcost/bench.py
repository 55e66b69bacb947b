"""What a step is taken on: network, batch and meter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .meters import Meter, Part

LEARNING_RATE, MOMENTUM = 1e-3, 0.9


@dataclass(eq=False)
class Bench:
    """A network, its batch and a meter; the parts of a step, each bracketed for the meter.

    A meter brackets with two calls; everything else that happens in a step is the price of the row.
    """

    model: nn.Module
    x: Tensor
    y: Tensor
    meter: Meter
    num_classes: int = 10
    autocast: torch.dtype | None = None
    scaler: torch.amp.GradScaler | None = None
    _optimizers: list[torch.optim.Optimizer] = field(default_factory=list)

    def base(self) -> torch.optim.Optimizer:
        """The base optimizer. Its step is bracketed inside of every hook that a method may add later."""
        return self.follow(torch.optim.SGD(self.model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM))

    def follow(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """Bracket the steps of `optimizer`: its first hook after the step, and (`ready`) its last one before it."""
        optimizer.register_step_post_hook(lambda *_: self.meter.leave())
        self._optimizers.append(optimizer)
        return optimizer

    def ready(self) -> None:
        """To be called when everything that adds hooks was built."""
        for optimizer in self._optimizers:
            optimizer.register_step_pre_hook(lambda *_: self.meter.enter(Part.BASE_STEP))

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The training loss; a method calls it when it likes."""
        self.meter.enter(Part.LOSS)
        loss = F.cross_entropy(output.float(), target)
        self.meter.leave()
        return loss

    def output(self, x: Tensor) -> Tensor:
        """The network's, in the precision of the problem."""
        if self.autocast is None:
            return self.model(x)
        with torch.autocast(x.device.type, self.autocast):
            return self.model(x)

    def forward_backward(
        self,
        criterion: Callable[[Tensor, Tensor], Tensor] | None = None,
        batch: tuple[Tensor, ...] | None = None,
        *,
        backward: bool = True,
    ) -> Tensor:
        """One pass, on all samples or on those of `batch`."""
        x, y = batch or (self.x, self.y)
        self.meter.enter(Part.FORWARD)
        output = self.output(x)
        self.meter.leave()
        loss = (criterion or self.loss)(output, y)
        if backward:
            self.meter.enter(Part.BACKWARD)
            (loss if self.scaler is None else self.scaler.scale(loss)).backward()
            self.meter.leave()
        return loss.detach()

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """The base step, through the gradient scaler where there is one."""
        if self.scaler is None:
            optimizer.step()
        else:
            self.scaler.step(optimizer)
            self.scaler.update()
