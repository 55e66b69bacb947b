"""Teachers: old outputs of the model itself, to which those of a step are held.

A method with a teacher trains on ``loss + weight · KL(softmax(old / τ) ‖ softmax(now / τ))``. The library still never
calls the model. Where the teacher is the model at other weights, the flow begins with a forward pass of its own, for
which the weights stand there; where it is what the model has said before, `p.loss` is told which samples it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from samnesia.perturb.errors import ConfigurationError, UnsupportedError
from samnesia.perturb.parts.memory import Memory
from samnesia.perturb.parts.numbers import integer, number
from samnesia.perturb.parts.updates import WeightUpdate
from samnesia.perturb.tensors import Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher(WeightUpdate):
    """What tells old outputs: those of a forward elsewhere (`place`), or remembered ones (`recall`).

    weight: of the divergence next to the loss. temperature: τ, by which logits are divided; there is no factor τ².
    start: the number of steps before the divergence counts; the teacher learns from the first one on.
    """

    weight: float
    temperature: float = 5.0
    start: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= number(self.weight) < float("inf"):
            raise ConfigurationError(
                f"cannot hold outputs to older ones with weight={self.weight!r}, because their divergence is added to "
                "the loss; choose a finite number >= 0"
            )
        if not 0.0 < number(self.temperature) < float("inf"):
            raise ConfigurationError(
                f"cannot compare outputs at temperature={self.temperature!r}, because logits are divided by it; choose "
                "a finite number > 0"
            )
        if not integer(self.start) >= 0:
            raise ConfigurationError(
                f"cannot begin at start={self.start!r}, because it counts optimizer steps; choose a whole number >= 0"
            )

    def check(self) -> None:  # noqa: B027
        """Refuse a place where it cannot teach; raises UnsupportedError."""

    def place(self, weights: Weights, memory: Memory) -> Sequence[Tensor] | None:
        """The weights at which a forward pass of its own tells the old outputs; None where there is no such pass."""
        return None

    def recall(self, output: Tensor, samples: Tensor | None, memory: Memory) -> Tensor | None:
        """The old outputs of `samples`, NaN where there are none; called once for each batch, to take `output` in."""
        return None

    def divergence(self, old: Tensor, now: Tensor) -> Tensor:
        """``KL(softmax(old / τ) ‖ softmax(now / τ))``, a mean over samples; those with an `old` of NaN count as zero.

        Outputs are logits [N, K, ...]; of further dimensions the mean is taken too.
        """
        wide = torch.promote_types(now.dtype, torch.float32)
        known = old.isfinite().all(1, keepdim=True)
        target = F.log_softmax(torch.where(known, old, 0.0).to(wide) / self.temperature, dim=1)
        each = F.kl_div(
            F.log_softmax(now.to(wide) / self.temperature, dim=1), target, reduction="none", log_target=True
        )
        return (each * known).sum(1).mean()


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AverageTeacher(Teacher):
    """The model at a moving average of its weights: ``average ← decay · average + (1 - decay) w`` after each step.

    It begins at the weights before the first step. Its forward runs in the mode of the model: in training, BatchNorm
    normalizes by the batch and dropout draws anew (the same as for the model, with `replay_dropout`). Buffers are no
    part of it: it sees those of the model, and what its forward moves is put back. One copy of the weights that stays,
    and one more forward per step (``p.teacher``; skip its backward where ``p.needs_gradient`` is false).
    """

    decay: float

    def __post_init__(self) -> None:
        super(AverageTeacher, self).__post_init__()
        if not 0.0 <= number(self.decay) < 1.0:
            raise ConfigurationError(
                f"cannot average weights with decay={self.decay!r}, because it is the share that the average keeps on "
                "each step; choose it in [0, 1)"
            )

    def place(self, weights: Weights, memory: Memory) -> Sequence[Tensor] | None:
        """The average; before the first step it is the weights themselves, from which nothing diverges."""
        return memory.tensors(_AVERAGE, weights, absent=weights.tensors)

    def begin(self, weights: Weights, memory: Memory) -> None:
        """Before a first step, the average is a copy of the weights."""
        memory.first(_AVERAGE, weights)

    def apply(self, weights: Weights, rates: Sequence[float], step: int, memory: Memory) -> None:
        """The average takes the new weights in."""
        pairs = zip(memory.first(_AVERAGE, weights), weights.tensors, strict=True)
        memory.keep(_AVERAGE, weights, [torch.lerp(w, average, self.decay) for average, w in pairs])


_AVERAGE = "average_teacher.average"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PastTeacher(Teacher):
    """What the model said of the same sample `epochs` visits before, in the passes that trained on it.

    Each batch needs to be named: ``p.loss(model(x), y, samples=indices)`` with whole numbers in [0, num_samples). A
    sample that has not been seen so often has no divergence. `epochs` · `num_samples` outputs are kept, and copied on
    each step; they are part of the method's state. One process only.
    """

    num_samples: int
    epochs: int = 3

    def __post_init__(self) -> None:
        super(PastTeacher, self).__post_init__()
        for name in ("num_samples", "epochs"):
            if not integer(getattr(self, name)) >= 1:
                raise ConfigurationError(
                    f"cannot keep outputs with {name}={getattr(self, name)!r}, because their table has that size; "
                    "choose a whole number >= 1"
                )

    def check(self) -> None:
        """Refuse several processes."""
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            raise UnsupportedError(
                "cannot keep the outputs of samples in several processes, because a sample comes to another one in "
                "another epoch and a checkpoint holds what is remembered once; train in one process, or use mesa"
            )

    def recall(self, output: Tensor, samples: Tensor | None, memory: Memory) -> Tensor:
        """The outputs of `epochs` visits before; those of now take their place."""
        samples = self._checked(samples, output).to(output.device)
        table, visits = memory.table(_OUTPUTS), memory.table(_VISITS)
        if table is None or visits is None:
            table = output.new_full((self.num_samples, self.epochs, *output.shape[1:]), float("nan"))
            visits = torch.zeros(self.num_samples, dtype=torch.long, device=output.device)
        table, visits = table.to(output.device), visits.to(output.device)
        rows = (samples, visits[samples] % self.epochs)
        old = table[rows]
        memory.keep_table(_OUTPUTS, table.index_put(rows, output.to(table.dtype)))
        memory.keep_table(_VISITS, visits.index_add(0, samples, torch.ones_like(samples)))
        return old

    def apply(self, weights: Weights, rates: Sequence[float], step: int, memory: Memory) -> None:
        """Nothing: it learns from outputs, not from weights."""

    def _checked(self, samples: Tensor | None, output: Tensor) -> Tensor:
        if samples is None:
            raise ConfigurationError(
                "cannot recall what was said of samples that are not named, because outputs are kept by sample; give "
                "p.loss(output, target, samples=indices)"
            )
        if not isinstance(samples, Tensor):
            raise UnsupportedError(
                f"cannot name samples by a {type(samples).__name__}, because they are looked up in a table; give "
                "p.loss(output, target, samples=torch.as_tensor(indices))"
            )
        whole = not samples.is_floating_point() and samples.dtype != torch.bool
        if samples.shape != output.shape[:1] or not whole:
            raise UnsupportedError(
                f"cannot name the samples of an output of shape {tuple(output.shape)} by a tensor of shape "
                f"{tuple(samples.shape)} and type {samples.dtype}, because each needs one whole number; give "
                "indices [N]"
            )
        if len(samples) and not 0 <= int(samples.min()) <= int(samples.max()) < self.num_samples:
            raise ConfigurationError(
                f"cannot keep the output of sample {int(samples.max())}, because the table has room for samples 0 to "
                f"{self.num_samples - 1}; give num_samples= the size of the data set"
            )
        return samples.long()


_OUTPUTS, _VISITS = "past_teacher.outputs", "past_teacher.visits"
