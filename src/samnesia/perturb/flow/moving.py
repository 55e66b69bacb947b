"""One move of an ascent, and what is known of it afterwards; the noise that random ascents move along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from samnesia.perturb.tensors import Direction, Weights, copies, differences


@dataclass(frozen=True, slots=True)
class Moved:
    """not_finite: whether the direction was not, so that nothing moved; a 0-d bool.

    norm: 2-norm of the perturbation so far. cosine: between the realized and the intended move, if it was measured.
    """

    not_finite: Tensor
    norm: Tensor
    cosine: Tensor | None


def move(
    weights: Weights,
    direction: Direction | Sequence[Tensor],
    radii: Sequence[float],
    *,
    start: Weights | None,
    measures: bool,
) -> Moved:
    """Add ``radii[i] * direction`` to tensor i of `weights`; nothing if it is not finite.

    `start` are the weights before the first move, None for the first itself. With `measures`, norm and cosine are those
    of the weights as they really moved, after rounding.
    """
    if not isinstance(direction, Direction):
        direction = weights.direction(direction)
    not_finite = ~direction.factor.isfinite()
    before = copies(weights.tensors) if measures else None
    weights.add(direction, radii)
    origin = start.tensors if start is not None else before
    if origin is None:
        return Moved(not_finite, torch.where(not_finite, 0.0, weights.length(direction, radii)), None)
    norm = weights.norm(differences(weights.tensors, origin))
    if before is None:
        return Moved(not_finite, norm, None)
    intended = [values * radius for values, radius in zip(direction.tensors, radii, strict=True)]
    return Moved(not_finite, norm, weights.cosine(differences(weights.tensors, before), intended))


def generator(device: torch.device, *key: int, per_rank: bool) -> torch.Generator:
    """A generator seeded by `key` (seed, step, micro-batch, number), and by the rank where each has a perturbation."""
    rank = dist.get_rank() if per_rank and dist.is_initialized() else 0
    seed = np.random.SeedSequence([*key[:3], rank, *key[3:]]).generate_state(1, np.uint64)[0] >> 1
    return torch.Generator(device=device).manual_seed(int(seed))
