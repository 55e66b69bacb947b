"""Vectors over all trained parameters, flat; of sharded parameters, the part that lives in this process."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

import torch
import torch.distributed as dist
from torch import Tensor

from samnesia.measure.subject import Subject
from samnesia.measure.traceless import seeded
from samnesia.perturb.errors import UnsupportedError
from samnesia.perturb.tensors import is_dtensor, shards


class Space:
    """Flat vectors, inner products over all processes, and random ones that are the same however many share them.

    Vectors have the widest type of the parameters, and live on the device of the first.
    """

    def __init__(self, subject: Subject) -> None:
        self._weights = subject.weights
        self._like = self._weights.tensors
        self._sizes = [part.numel() for part in self._like]
        self.device = subject.device
        self.dtype = reduce(torch.promote_types, (part.dtype for part in self._like))
        self.dimension = sum(p.numel() for p in subject.parameters)
        self.eps = torch.finfo(self.dtype).eps
        self._together = subject.distributed or subject.sharded
        self._held = [_holders(p) for p in subject.parameters] if self._together else [1] * len(self._like)

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """One flat vector of local tensors in the order of the parameters."""
        return torch.cat([part.detach().to(self.device, self.dtype).reshape(-1) for part in parts])

    def split(self, vector: Tensor) -> list[Tensor]:
        """Local tensors shaped, typed and placed as the parameters."""
        parts = vector.split(self._sizes)
        return [part.view(like.shape).to(like.device, like.dtype) for part, like in zip(parts, self._like, strict=True)]

    def inner(self, rows: Tensor, vector: Tensor) -> Tensor:
        """``rows @ vector`` over all processes, in double precision and equal in all of them; on the host."""
        if len(set(self._held)) == 1:
            sums = (rows @ vector).double() / self._held[0]
        else:  # hybrids of sharded and replicated parameters: each entry counts once
            shares = zip(rows.split(self._sizes, dim=-1), vector.split(self._sizes), self._held, strict=True)
            sums = torch.stack([(r @ v).double() / held for r, v, held in shares]).sum(0)
        if self._together:
            dist.all_reduce(sums)
        return sums.cpu()

    def norm(self, vector: Tensor) -> float:
        """The 2-norm over all processes."""
        return math.sqrt(float(self.inner(vector[None], vector)[0]))

    def gaussian(self, seed: int) -> Tensor:
        """A standard normal vector, the same in all processes."""
        return self.join(self._weights.gaussian(seeded(seed)))

    def signs(self, seed: int) -> Tensor:
        """A vector of independent +1 and -1 (Rademacher), the same in all processes."""
        return torch.where(self.gaussian(seed) >= 0.0, 1.0, -1.0).to(self.dtype)


def _holders(parameter: Tensor) -> int:
    """How many processes hold an entry of a parameter."""
    world = dist.get_world_size()
    if not is_dtensor(parameter):
        return world
    mesh = parameter.device_mesh
    if mesh.size() != world:
        raise UnsupportedError(
            f"cannot measure curvature over {world} processes of which {mesh.size()} share a parameter, because inner "
            "products are summed over all of them; measure in a process group of the sharded model alone"
        )
    return world // math.prod(mesh.size(dimension) for dimension, _ in shards(parameter))
