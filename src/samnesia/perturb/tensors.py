"""Lists of tensors as one vector: norms, products and noise over all parameters, devices and ranks.

The only file that knows foreach kernels and DTensor. Everything else speaks of `Weights` and of lists of local tensors
that run parallel to `Weights.tensors`. Elementwise work happens on the local shard of a sharded parameter; only norms
and products are made global, with one reduction per mesh dimension.
"""

from __future__ import annotations

import math
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
    if type(tensor) in (Tensor, nn.Parameter):
        return False
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


def whole(values: Tensor, parameter: Tensor) -> Tensor:
    """The parts of `values` in all processes, split as `parameter` is, put together; called by all of them."""
    full = like_parameter(values, parameter)
    return full.full_tensor() if is_dtensor(full) else full


@dataclass(frozen=True, slots=True)
class Direction:
    """The perturbation ``factor * tensors`` for a radius of 1, multiplied out only while it is added to the weights.

    `factor` is a 0-d tensor, NaN if the direction is not finite. `norm` is the 2-norm of `tensors` over all ranks, if
    whoever made the direction had to compute it anyway.
    """

    tensors: Sequence[Tensor]
    factor: Tensor
    norm: Tensor | None = None

    def values(self) -> list[Tensor]:
        """The product."""
        return scale(self.tensors, self.factor)


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
        return self.total(norms(tensors))

    def largest(self, tensors: Sequence[Tensor]) -> Tensor:
        """Largest magnitude among the entries of all `tensors`, over all ranks; a 0-d tensor."""
        return self.total(norms(tensors, float("inf")), float("inf"))

    def total(self, sizes: Sequence[Tensor], order: float = 2.0) -> Tensor:
        """The norm of all tensors together, over all ranks, from the norms `sizes` of the single ones."""
        if not sizes:
            return torch.zeros(())
        totals = []
        for layout, group in self._by_layout(sizes):
            value: Tensor = torch.linalg.vector_norm(_gather(group), order)
            if layout is None:
                totals.append(value)
            elif order == 2.0:  # squares in float64: a float32 square overflows where the norm itself does not
                totals.append(_all_reduce(value.double() ** 2, layout, dist.ReduceOp.SUM).sqrt().to(value.dtype))
            else:
                totals.append(_all_reduce(value, layout, dist.ReduceOp.MAX))
        return totals[0] if len(totals) == 1 else torch.linalg.vector_norm(_gather(totals), order)

    def dot(self, left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
        """Inner product of two lists of tensors, over all ranks, summed in at least float32; a 0-d tensor."""
        return self.sum([_inner(a, b) for a, b in zip(left, right, strict=True)])

    def sum(self, values: Sequence[Tensor]) -> Tensor:
        """The sum of one number for each tensor, taken over its part in this process, over all ranks; a 0-d tensor."""
        totals = [
            _all_reduce(_gather(group).sum(), layout, dist.ReduceOp.SUM) for layout, group in self._by_layout(values)
        ]
        return _gather(totals).sum()

    def cosine(self, left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
        """Cosine between two lists of tensors as vectors, over all ranks; 1 if one of them is zero."""
        sizes = self.norm(left) * self.norm(right)
        return torch.where(sizes > 0, self.dot(left, right) / sizes, 1.0)

    def direction(self, tensors: Sequence[Tensor]) -> Direction:
        """`tensors` as a direction."""
        norm = self.norm(tensors)
        return Direction(tensors, torch.where(norm.isfinite(), torch.ones_like(norm), torch.nan), norm)

    def length(self, direction: Direction, radii: Sequence[float]) -> Tensor:
        """2-norm of the perturbation with radius ``radii[i]`` on tensor i, before any rounding; a 0-d tensor."""
        if len(set(radii)) == 1:
            norm = self.norm(direction.tensors) if direction.norm is None else direction.norm
            return (direction.factor * norm * radii[0]).abs()
        sizes = [size * radius for size, radius in zip(norms(direction.tensors), radii, strict=True)]
        return self.total(sizes) * direction.factor.abs()

    def add(self, direction: Direction, radii: Sequence[float]) -> None:
        """Add ``radii[i] * direction`` to tensor i in one sweep over both; nothing at all if it is not finite.

        In host memory that is asked first. A device is not waited for, but sweeps over the direction once more.
        """
        finite = direction.factor.isfinite()
        if finite.device.type == "cpu" and not finite:
            return
        waits = finite.device.type != "cpu"
        factor = torch.where(finite, direction.factor, 0.0) if waits else direction.factor
        factors = {radius: _beside(self.tensors, factor * radius) for radius in set(radii)}
        for i, (tensor, values, radius) in enumerate(zip(self.tensors, direction.tensors, radii, strict=True)):
            if waits:
                values = torch.where(finite.to(tensor.device, non_blocking=True), values, 0.0)
            tensor.addcmul_(values, factors[radius][i])

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
            part_of(torch.randn(p.shape, dtype=p.dtype, device=p.device, generator=generator(p.device)), p)
            for p in self.parameters
        ]

    def chosen(
        self, share: float, generator: Callable[[torch.device], torch.Generator], *, each_entry: bool
    ) -> list[Tensor]:
        """Ones with probability `share`, else zeros: for each entry of each tensor, or 0-d ones for each tensor.

        The same on every rank that shares a generator seed.
        """
        masks = []
        for p in self.parameters:
            shape = p.shape if each_entry else ()
            draws = torch.rand(shape, dtype=p.dtype, device=p.device, generator=generator(p.device))
            masks.append(((part_of(draws, p) if each_entry else draws) < share).to(p.dtype))
        return masks

    def _by_layout(self, values: Sequence[Tensor]) -> Iterable[tuple[Any, Sequence[Tensor]]]:
        if "torch.distributed.tensor" not in sys.modules:
            return [(None, values)]
        groups: dict[Any, list[Tensor]] = {}
        for parameter, value in zip(self.parameters, values, strict=True):
            groups.setdefault(_layout(parameter), []).append(value)
        return groups.items()


def norms(tensors: Sequence[Tensor], order: float = 2.0) -> list[Tensor]:
    """The norm of each tensor in this process, in at least float32; 0-d tensors.

    One multi-tensor kernel for each (device, dtype). Large tensors in host memory are cut into rows instead, which uses
    all threads and is far more exact in float32 (4·10⁶ equal entries: 1e-6 against 3e-3).
    """
    found: dict[int, Tensor] = {}
    batches: dict[tuple[torch.device, torch.dtype], list[int]] = {}
    for index, tensor in enumerate(tensors):
        flat = _flat(tensor) if order == 2.0 and tensor.numel() >= _LARGE else None
        if flat is not None:
            whole = flat.numel() // _ROW * _ROW
            sizes = torch.linalg.vector_norm(flat[:whole].view(-1, _ROW), dim=1)
            if whole < flat.numel():
                sizes = torch.cat([sizes, torch.linalg.vector_norm(flat[whole:]).view(1)])
            found[index] = torch.linalg.vector_norm(sizes)
        else:
            batches.setdefault((tensor.device, tensor.dtype), []).append(index)
    for (_, dtype), indices in batches.items():
        # an empty shard has no largest entry: give it the neutral one
        filled = [tensors[i] if tensors[i].numel() else tensors[i].new_zeros(1) for i in indices]
        found.update(zip(indices, torch._foreach_norm(filled, order, _wide(dtype)), strict=True))
    return [found[index] for index in range(len(tensors))]


def copies(tensors: Sequence[Tensor], *, in_host_memory: bool = False) -> list[Tensor]:
    """Copies of `tensors`, or of tensors of a device in pinned host memory."""
    made = [
        torch.empty_like(t, device="cpu", pin_memory=True)
        if in_host_memory and t.device.type != "cpu"
        else torch.empty_like(t)
        for t in tensors
    ]
    assign(made, tensors)
    return made


def assign(tensors: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Write `values` into `tensors`, bit by bit, in the order of the device's queue."""
    torch._foreach_copy_(list(tensors), list(values), non_blocking=True)


def at_least(share: float, count: int) -> int:
    """``⌈share · count⌉``, where a product that is whole but for rounding is whole: 7, not 8, of 0.07 · 100."""
    return math.ceil(share * count * (1.0 - 1e-10))


def differences(left: Sequence[Tensor], right: Sequence[Tensor]) -> list[Tensor]:
    """``left - right``, tensor by tensor."""
    return [a - b for a, b in zip(left, right, strict=True)]


def scale(tensors: Sequence[Tensor], factor: Tensor) -> list[Tensor]:
    """Each tensor times the 0-d `factor`, on whatever devices they live."""
    return [t * f for t, f in zip(tensors, _beside(tensors, factor), strict=True)]


def mix(left: Sequence[Tensor], by: Tensor, right: Sequence[Tensor], by_right: Tensor) -> list[Tensor]:
    """``by * left + by_right * right`` with 0-d factors, in new memory: parameters may share one gradient."""
    factors = zip(_beside(left, by), _beside(right, by_right), strict=True)
    return [(a * f).addcmul_(b, g) for a, b, (f, g) in zip(left, right, factors, strict=True)]


def _beside(tensors: Sequence[Tensor], factor: Tensor) -> list[Tensor]:
    """The 0-d `factor` for each tensor: on its device, in its type."""
    made: dict[tuple[torch.device, torch.dtype], Tensor] = {}
    for t in tensors:
        if (t.device, t.dtype) not in made:
            made[t.device, t.dtype] = factor.to(t.device, t.dtype, non_blocking=True)
    return [made[t.device, t.dtype] for t in tensors]


_LARGE, _ROW = 1 << 15, 1 << 12


def _flat(tensor: Tensor) -> Tensor | None:
    """All entries as one vector, in the order of memory, if they lie densely in host memory."""
    if tensor.device.type != "cpu" or tensor.dtype not in (torch.float32, torch.float64):
        return None
    if not tensor.is_contiguous():
        strides = tensor.stride()
        tensor = tensor.permute(sorted(range(tensor.ndim), key=lambda dimension: -strides[dimension]))
    return tensor.view(-1) if tensor.is_contiguous() else None


def _inner(left: Tensor, right: Tensor) -> Tensor:
    if left.dtype == right.dtype and left.stride() == right.stride():
        first, second = _flat(left), _flat(right)
        if first is not None and second is not None:
            return torch.dot(first, second)
    return torch.sum(left * right, dtype=_wide(left.dtype))


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _gather(values: Sequence[Tensor]) -> Tensor:
    """0-d tensors as one vector on the first one's device, in the widest of their types."""
    device, types = values[0].device, {v.dtype for v in values}
    if len(types) == 1 and all(v.device == device for v in values):
        return torch.stack(list(values))
    widest = max(types, key=lambda dtype: dtype.itemsize)
    return torch.stack([v.to(device=device, dtype=widest) for v in values])


def _layout(parameter: Tensor) -> Any:
    """How a parameter is spread over ranks, as (mesh, mesh dimensions that split it); None if nothing splits it."""
    if not is_dtensor(parameter):
        return None
    split = tuple(mesh_dimension for mesh_dimension, _ in shards(parameter))
    return (parameter.device_mesh, split) if split else None


def _all_reduce(value: Tensor, layout: Any, operation: Any) -> Tensor:
    if layout is not None:
        mesh, split = layout
        for mesh_dimension in split:
            dist.all_reduce(value, op=operation, group=mesh.get_group(mesh_dimension))
    return value


def part_of(full: Tensor, parameter: Tensor) -> Tensor:
    """This process's part, split as `parameter` is, of `full`, which all ranks have alike or which is split already."""
    if is_dtensor(full):
        full = full.full_tensor()
    if not is_dtensor(parameter):
        return full
    from torch.distributed.tensor import distribute_tensor

    # every rank drew the same tensor, so nothing has to be sent
    return local(distribute_tensor(full, parameter.device_mesh, parameter.placements, src_data_rank=None))
