"""Lists of tensors as one vector: norms, products and noise over all parameters, devices and ranks.

The only file that knows foreach kernels and DTensor. Everything else speaks of `Weights` and of lists of local tensors
that run parallel to `Weights.tensors`. Elementwise work happens on the local shard of a sharded parameter; only norms
and products are made global, with one reduction per mesh dimension.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
import torch.distributed as dist
from torch import Tensor, nn

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def is_dtensor(tensor: Tensor) -> TypeGuard[DTensor]:
    """Whether `tensor` is a DTensor, without importing that module (most of a second) where nobody else has."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def shards(tensor: Tensor) -> list[tuple[int, int]]:
    """(mesh dimension, tensor dimension) of each split of a sharded tensor; empty if this process holds all of it."""
    if not is_dtensor(tensor):
        return []
    return [(mesh_dim, p.dim) for mesh_dim, p in enumerate(tensor.placements) if p.is_shard()]  # type: ignore[attr-defined]


def local(tensor: Tensor) -> Tensor:
    """The part of `tensor` that lives in this process: its shard if it is a DTensor, else the tensor itself."""
    return tensor.to_local() if is_dtensor(tensor) else tensor


def local_gradient(parameter: Tensor) -> Tensor | None:
    """The local part of `parameter.grad`, laid out as the parameter is."""
    gradient = parameter.grad
    if gradient is not None and is_dtensor(gradient) and is_dtensor(parameter):
        gradient = gradient.redistribute(placements=parameter.placements)
    return None if gradient is None else local(gradient)


def like_parameter(values: Tensor, parameter: Tensor) -> Tensor:
    """`values`, local to this process, as a tensor that can stand in `parameter.grad`."""
    if not is_dtensor(parameter):
        return values
    return type(parameter).from_local(
        values,
        parameter.device_mesh,
        parameter.placements,
        run_check=False,
        shape=parameter.shape,
        stride=parameter.stride(),
    )


@dataclass(frozen=True, slots=True)
class Weights:
    """The tensors that a perturbation moves, in a fixed order.

    `tensors` are local views of `parameters` (or copies of their values), `names` are the model's names for them.
    """

    names: Sequence[str]
    parameters: Sequence[nn.Parameter]
    tensors: Sequence[Tensor]

    @classmethod
    def of(cls, names: Sequence[str], parameters: Sequence[nn.Parameter]) -> Weights:
        """Views of `parameters` as they stand now."""
        return cls(names, parameters, [local(p.detach()) for p in parameters])

    def holding(self, tensors: Sequence[Tensor]) -> Weights:
        """The same weights with other values, for instance those from before the perturbation."""
        return Weights(self.names, self.parameters, tensors)

    def norm(self, tensors: Sequence[Tensor]) -> Tensor:
        """2-norm of all `tensors` together, over all ranks, in at least float32; a 0-d tensor."""
        return self._reduce(tensors, 2.0)

    def largest(self, tensors: Sequence[Tensor]) -> Tensor:
        """Largest magnitude among the entries of all `tensors`, over all ranks; a 0-d tensor."""
        return self._reduce(tensors, float("inf"))

    def dot(self, left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
        """Inner product of two lists of tensors, over all ranks, summed in at least float32; a 0-d tensor."""
        products = [torch.sum(a * b, dtype=_wide(a.dtype)) for a, b in zip(left, right, strict=True)]
        sums = [_gather(group).sum() for _, group in self._by_layout(products)]
        totals = [_all_reduce(s, layout, dist.ReduceOp.SUM) for s, layout in zip(sums, self._layouts(), strict=True)]
        return _gather(totals).sum()

    def reduce_tensor(self, index: int, sums: Tensor, *, kept_dimension: int | None = None) -> Tensor:
        """Add `sums`, taken over the local shard of tensor `index`, over the ranks that hold its other parts.

        Shards along `kept_dimension` are not added: each rank keeps the sums of its own slices.
        """
        parameter = self.parameters[index]
        for mesh_dimension, dimension in shards(parameter):
            if dimension != kept_dimension:
                dist.all_reduce(sums, group=parameter.device_mesh.get_group(mesh_dimension))  # type: ignore[attr-defined]
        return sums

    def gaussian(self, generator: Callable[[torch.device], torch.Generator]) -> list[Tensor]:
        """Standard normal noise, one tensor for each weight, the same on every rank that shares a generator seed."""
        return [
            _shard_of(torch.randn(p.shape, dtype=p.dtype, device=p.device, generator=generator(p.device)), p)
            for p in self.parameters
        ]

    def _reduce(self, tensors: Sequence[Tensor], order: float) -> Tensor:
        if not tensors:
            return torch.zeros(())
        norms = _norms(tensors, order)
        groups = [torch.linalg.vector_norm(_gather(group), order) for _, group in self._by_layout(norms)]
        totals = []
        for value, layout in zip(groups, self._layouts(), strict=True):
            if layout is None:
                totals.append(value)
            elif order == 2.0:  # squares in float64: a float32 square overflows where the norm itself does not
                totals.append(_all_reduce(value.double() ** 2, layout, dist.ReduceOp.SUM).sqrt().to(value.dtype))
            else:
                totals.append(_all_reduce(value, layout, dist.ReduceOp.MAX))
        return torch.linalg.vector_norm(_gather(totals), order)  # type: ignore[no-any-return]

    def _by_layout(self, values: Sequence[Tensor]) -> Iterable[tuple[Any, list[Tensor]]]:
        groups: dict[Any, list[Tensor]] = {}
        for parameter, value in zip(self.parameters, values, strict=True):
            groups.setdefault(_layout(parameter), []).append(value)
        return groups.items()

    def _layouts(self) -> list[Any]:
        return list(dict.fromkeys(_layout(p) for p in self.parameters))


def scale(tensors: Sequence[Tensor], factor: Tensor) -> list[Tensor]:
    """Each tensor times the 0-d `factor`, on whatever devices they live."""
    on_device = {device: factor.to(device) for device in {t.device for t in tensors}}
    return [t * on_device[t.device].to(t.dtype) for t in tensors]


def _norms(tensors: Sequence[Tensor], order: float) -> list[Tensor]:
    """One norm per tensor, by one multi-tensor kernel for each (device, dtype)."""
    norms: dict[int, Tensor] = {}
    batches: dict[tuple[torch.device, torch.dtype], list[int]] = {}
    for index, tensor in enumerate(tensors):
        batches.setdefault((tensor.device, tensor.dtype), []).append(index)
    for (_, dtype), indices in batches.items():
        # an empty shard has no largest entry: give it the neutral one
        filled = [tensors[i] if tensors[i].numel() else tensors[i].new_zeros(1) for i in indices]
        norms.update(zip(indices, torch._foreach_norm(filled, order, _wide(dtype)), strict=True))
    return [norms[index] for index in range(len(tensors))]


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _gather(values: Sequence[Tensor]) -> Tensor:
    """0-d tensors as one vector on the first one's device, in the widest of their types."""
    widest = max((v.dtype for v in values), key=lambda dtype: dtype.itemsize)
    return torch.stack([v.to(device=values[0].device, dtype=widest) for v in values])


def _layout(parameter: Tensor) -> Any:
    """How a parameter is spread over ranks, as (mesh, mesh dimensions that split it); None if nothing splits it."""
    split = tuple(mesh_dimension for mesh_dimension, _ in shards(parameter))
    return (parameter.device_mesh, split) if split else None  # type: ignore[attr-defined]


def _all_reduce(value: Tensor, layout: Any, operation: Any) -> Tensor:
    if layout is not None:
        mesh, split = layout
        for mesh_dimension in split:
            dist.all_reduce(value, op=operation, group=mesh.get_group(mesh_dimension))
    return value


def _shard_of(full: Tensor, parameter: Tensor) -> Tensor:
    if not is_dtensor(parameter):
        return full
    from torch.distributed.tensor import distribute_tensor

    # every rank drew the same tensor, so nothing has to be sent
    return local(distribute_tensor(full, parameter.device_mesh, parameter.placements, src_data_rank=None))
