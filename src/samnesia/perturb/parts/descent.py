"""The loss derivative of the weights with the Jacobian of the perturbed ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from samnesia.perturb.errors import PassesError, UnsupportedError


@final
@dataclass(frozen=True, slots=True)
class FrozenDerivative:
    """The last pass descends ``⟨x(w + e), ∂L/∂x(w)⟩``, x the outputs: ``J(w + e)ᵀ ∂L/∂x(w)`` is its gradient.

    The derivative is that of the training loss at the outputs of the first pass, taken again by each call of `p.loss`:
    the calls of the last pass have to be those of the first. It is float32 at least, whatever the outputs are: of a
    loss that no scaler has scaled, half precision would round it to zero. One copy of the outputs, no gradient
    evaluation more.
    """

    def derivative(self, loss: Callable[[Tensor, Tensor], Tensor], output: Tensor, target: Tensor) -> Tensor:
        """``∂L/∂x`` at `output`, in float32 at least."""
        if not isinstance(output, Tensor):
            raise UnsupportedError(
                f"cannot differentiate the loss by an output of {type(output).__name__}, because it is frozen as one "
                "tensor; give p.loss the tensor of outputs"
            )
        with torch.enable_grad():
            output = output.detach().to(torch.promote_types(output.dtype, torch.float32)).requires_grad_()
            return torch.autograd.grad(loss(output, target), output)[0]

    def value(self, output: Tensor, derivatives: list[Tensor]) -> Tensor:
        """``⟨x, ∂L/∂x(w)⟩`` with the next of the derivatives, which is used up."""
        if not derivatives or derivatives[0].shape != output.shape:
            raise PassesError(
                "cannot descend with the derivative of another batch, because this pass calls p.loss for others than "
                "the first pass; compute the loss of the same batch in every pass"
            )
        derivative = derivatives.pop(0)
        return (output.to(derivative) * derivative).sum()
