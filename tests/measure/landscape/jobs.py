"""What two processes measure together."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from samnesia.measure.landscape.connection import connect
from samnesia.measure.landscape.directions import random_direction
from samnesia.measure.landscape.lines import line
from samnesia.measure.landscape.normalization import ReestimatedStatistics
from samnesia.measure.landscape.planes import trajectory_plane
from samnesia.measure.subject import Subject
from tests.measure.test_subject import data, net

SHARES = {2: (slice(0, 16), slice(16, 20)), 1: (slice(0, 20),)}  # ranks of unequal size


def landscape() -> dict[str, Any]:
    """Lines, a plane and a connection, over the samples of this rank and those of the others."""
    world = dist.get_world_size() if dist.is_initialized() else 1
    inputs, targets = (t[SHARES[world][dist.get_rank() if world > 1 else 0]] for t in data().tensors)
    inner = net()
    model: nn.Module = DistributedDataParallel(inner) if world > 1 else inner
    batches = list(zip(inputs.split(4), targets.split(4), strict=True))
    subject = Subject(model, nn.CrossEntropyLoss(), batches, distributed=world > 1)
    direction = random_direction(subject, seed=2)
    kept = line(subject, direction, points=3)
    fresh = line(subject, direction, points=3, statistics=ReestimatedStatistics())
    other = net()
    with torch.no_grad():
        for parameter in other[:6].parameters():
            parameter.mul_(1.5)
    way = connect(subject, other, points=3)
    path = [[w * factor for w in subject.weights.tensors] for factor in (1.5, 1.2)]
    path[1][0] = path[1][0] + 1.0
    plane = trajectory_plane(subject, path, points=2)
    return {
        "kept": (*kept.losses, *(kept.errors or ())),
        "fresh": fresh.losses,
        "way": (*way.train.line.losses, way.train.loss_barrier.height),
        "plane": (*plane.plane.losses[0], *plane.explained, *plane.path[0]),
        "samples": (kept.samples, way.train.line.samples),
    }
