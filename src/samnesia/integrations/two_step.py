"""`first_step()` and `second_step()` over the flow of passes, for loops written for `davda54/sam`."""

from __future__ import annotations

from typing import final

from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from samnesia.perturb.errors import ConfigurationError, ObjectiveNotUsedError, PassesError
from samnesia.perturb.flow.iterator import Passes
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.flow.step import Standing


@final
class TwoStep:
    """A method with one ascent gradient, driven by two calls::

        two = samnesia.two_step(method)
        loss_fn(model(x), y).backward(); two.first_step(zero_grad=True)
        loss_fn(model(x), y).backward(); two.second_step(zero_grad=True)

    The gradient of the first call is the one already in `p.grad`, so accumulated gradients share one perturbation. If
    anything fails between the two calls, `close()` restores the weights; so does dropping the object. Where nothing has
    moved, on steps that are not perturbed, the second gradient is taken at the same weights, and is the one stepped.
    """

    def __init__(self, method: PerturbedGradient) -> None:
        if method.ascent is not None and method.ascent.num_gradients != 1:
            raise ConfigurationError(
                f"cannot drive {type(method.ascent).__name__} in two steps, because it takes "
                f"{method.ascent.num_gradients} gradients before the last; loop over method.passes()"
            )
        if any(isinstance(m, DistributedDataParallel) for m in method.model.modules()):
            raise ConfigurationError(
                f"cannot see to sync={method.sync!r} in two steps, because DistributedDataParallel has averaged the "
                "first gradient, or not, before first_step is called; loop over method.passes()"
            )
        if method.inner is not None:
            raise ConfigurationError(
                "cannot drive Lookbehind in two steps, because it steps the optimizer several times; loop over "
                "method.stepping() in place of method.passes()"
            )
        for name in ("teacher", "remainder", "selection"):
            if getattr(method, name) is not None:
                raise ConfigurationError(
                    f"cannot drive {name}s in two steps, because each asks for a pass beside the two; loop over "
                    "method.passes()"
                )
        if method.descent is not None:
            raise ConfigurationError(
                f"cannot drive {type(method.descent).__name__} in two steps, because the first forward runs before "
                "first_step is called, and its outputs are needed in the second; loop over method.passes()"
            )
        if method.replay_dropout:
            raise ConfigurationError(
                "cannot replay dropout in two steps, because the first forward runs before first_step is called; loop "
                "over method.passes()"
            )
        self.method = method
        self._passes: Passes | None = None
        self._objective_used = False

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The criterion of the coming step: the method's objective before `first_step`, the training loss after it."""
        between = self._passes is not None and self._passes.under_way
        if not between and self.method.objective is not None:
            self._objective_used = True
            return self.method.objective(output, target)
        return self.method.criterion(output, target)

    def first_step(self, zero_grad: bool = False) -> None:
        """Perturb the weights along the gradient in `p.grad`. The gradient is cleared whatever `zero_grad` says."""
        if self.method.objective is not None and not self._objective_used:
            raise ObjectiveNotUsedError(
                "cannot ascend the loss in place of the method's own objective, because that would train another "
                "method; compute the first loss with two_step(method).loss(output, target)"
            )
        self._objective_used = False
        passes = self.method._start(Standing.ADOPT)
        if not next(passes).last:
            passes.close()
            raise PassesError(
                f"cannot drive {type(self.method.ascent).__name__} in two steps, because it asks for more passes than "
                "two; loop over method.passes()"
            )
        self._passes = passes

    def second_step(self, zero_grad: bool = False) -> None:
        """Restore the weights and step the base optimizer with the gradient taken at the perturbed ones."""
        passes, self._passes = self._passes, None
        if passes is None or not passes.under_way:
            raise PassesError(
                "cannot take the second step, because no first step stands before it; call first_step() after the "
                "first backward"
            )
        next(passes, None)
        self.method._alone(self.method._step_if_finite)
        if zero_grad:
            self.method.optimizer.zero_grad()

    def close(self) -> None:
        """Undo an open first step."""
        if self._passes is not None:
            self._passes.close()
            self._passes = None


def two_step(method: PerturbedGradient) -> TwoStep:
    """`method` behind `first_step` and `second_step`."""
    return TwoStep(method)
