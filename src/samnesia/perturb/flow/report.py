"""What a step reports: kept as tensors on their device, converted to numbers only when somebody looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(slots=True)
class StepReport:
    """What happened since the last optimizer step, over all its micro-batches.

    Reading a number waits for the device; recording does not.
    """

    perturbed: bool = False
    radii: tuple[float, ...] = ()
    gradient_evaluations: int = 0
    micro_batches: int = 0
    _losses: list[tuple[Tensor, int]] = field(default_factory=list, repr=False)
    _norms: list[Tensor] = field(default_factory=list, repr=False)
    _cosines: list[Tensor] = field(default_factory=list, repr=False)
    _gradient_norm: Tensor | None = field(default=None, repr=False)

    def note_loss(self, loss: Tensor | float, samples: int = 1) -> None:
        """Record the training loss of a micro-batch, or a part of one, in its first pass; it counts by its samples."""
        self._losses.append((torch.as_tensor(loss).detach(), samples))

    @property
    def num_losses(self) -> int:
        """How many losses have been recorded."""
        return len(self._losses)

    def forget_losses_after(self, count: int) -> None:
        """Keep the first `count` losses: the others are of a micro-batch that was abandoned."""
        del self._losses[count:]

    def note_flow(
        self, radii: tuple[float, ...], realized: tuple[Tensor, Tensor | None] | None, gradient_norm: Tensor
    ) -> None:
        """Record a finished micro-batch: (norm, cosine) of its perturbation, and the norm of the gradient it left."""
        self.micro_batches += 1
        self.radii = radii
        self._gradient_norm = gradient_norm
        if realized is not None:
            self.perturbed = True
            norm, cosine = realized
            self._norms.append(norm)
            if cosine is not None:
                self._cosines.append(cosine)

    def note_gradient(self, norm: Tensor) -> None:
        """Record the gradient of one of several steps on a batch."""
        self._gradient_norm = norm

    def note_rounds(self, radii: tuple[float, ...], perturbation: Tensor, gradients: Sequence[Tensor]) -> None:
        """Record a batch that was stepped several times: the last perturbation, and the norms of all gradients."""
        # finite only if all of them were
        self.note_flow(radii, (perturbation, None), gradients[-1] + 0.0 * torch.stack(list(gradients)).sum())

    @property
    def loss(self) -> float | None:
        """Mean of the training losses that a closure or `p.loss` gave in first passes.

        A call of `p.loss` counts by the samples in its target, so that ragged parts of a batch give the batch's mean;
        each call of a closure counts alike.

        That is at the unperturbed weights, but for noise without clean statistics, whose only pass is at the others.
        """
        most = max((count for _, count in self._losses), default=0)
        if not most:
            return None
        weights = [count / most for _, count in self._losses]  # of equal parts exactly 1: a plain mean
        losses = (float(loss) for loss, _ in self._losses)
        return sum(weight * loss for weight, loss in zip(weights, losses, strict=True)) / sum(weights)

    @property
    def rho(self) -> float:
        """Radius of the first parameter group on this step; 0 on plain steps. `radii` holds every group's."""
        return self.radii[0] if self.radii else 0.0

    @property
    def perturbation_norm(self) -> float:
        """‖e‖₂, mean over micro-batches, 0 on plain steps; where `cosine` was measured, as the weights really moved."""
        return _mean(self._norms) or 0.0

    @property
    def cosine(self) -> float | None:
        """Cosine between the realized and the intended move (the last of several): below one, rounding has bent it.

        None where it was not measured, see `FlowOptions.measure_every`.
        """
        return _mean(self._cosines)

    @property
    def gradient_norm(self) -> float | None:
        """2-norm of the gradient that the passes left in `p.grad`, over all the optimizer's parameters."""
        return None if self._gradient_norm is None else float(self._gradient_norm)

    @property
    def finite(self) -> bool:
        """Whether the gradient left in `p.grad` is finite. A non-finite ascent gives a non-finite gradient."""
        return self._gradient_norm is None or bool(self._gradient_norm.isfinite())


def _mean(values: Sequence[Tensor]) -> float | None:
    return sum(float(v) for v in values) / len(values) if values else None
