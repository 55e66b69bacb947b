"""What two processes measure together."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from samnesia.measure import Subject, average_case, gradient_norm, m_sharpness, worst_case
from tests.measure.sharpness.surfaces import BALLS, cut, images, pair_of_layers

SHARES = {2: (slice(0, 16), slice(16, 24)), 1: (slice(0, 24),)}  # ranks of unequal size


def sharpness(ball: str) -> dict[str, Any]:
    """Every measure, over the samples of this rank and those of the others."""
    world = dist.get_world_size() if dist.is_initialized() else 1
    x, y = images()
    mine = SHARES[world][dist.get_rank() if world > 1 else 0]
    model: torch.nn.Module = pair_of_layers()
    if world > 1:
        model = DistributedDataParallel(model)
    subject = Subject(model, torch.nn.CrossEntropyLoss(), cut(x[mine], y[mine], 4), distributed=world > 1)
    geometry = BALLS[ball]
    worst = worst_case(subject, 0.3, geometry, steps=6)
    average = average_case(subject, 0.3, geometry, directions=2)
    micro = m_sharpness(subject, 0.1, 4, geometry, steps=2)
    gradient = gradient_norm(subject, geometry)
    return {
        "worst": (worst.value, worst.error, worst.size, worst.length, *worst.values),
        "average": (average.value, average.error, average.batches.error, *average.values),
        "micro": (micro.value, micro.error, micro.loss, micro.size, micro.length),
        "gradient": (gradient.whole, gradient.per_batch.value, gradient.per_batch.error),
        "counts": (worst.rise.count, average.batches.count, micro.rise.count, gradient.per_batch.count, worst.samples),
    }


def too_large(m: int) -> str:
    """What is said of an m for which no process has enough samples."""
    x, y = images()
    mine = SHARES[2][dist.get_rank()]
    subject = Subject(pair_of_layers(), torch.nn.CrossEntropyLoss(), cut(x[mine], y[mine], 4), distributed=True)
    try:
        m_sharpness(subject, 0.1, m)
    except ValueError as error:
        return str(error)
    return ""
