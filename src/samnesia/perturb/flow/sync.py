"""Gradient averaging over ranks: which passes communicate, and where a combined gradient is averaged.

`sync="batch"` perturbs along the gradient of the whole batch, averaged over ranks; `sync="rank"` gives each rank its
own perturbation, so that m-sharpness has m = the batch of one rank. What the user asked for with ``no_sync()`` holds
for the gradient that is stepped, never for the perturbation.
"""

from __future__ import annotations

import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from samnesia.perturb.errors import ConfigurationError, PassesError, UnseenWrapperWarning, UnsupportedError
from samnesia.perturb.tensors import is_dtensor, shards

if TYPE_CHECKING:
    from torch.distributed.fsdp import FSDPModule
    from torch.utils.hooks import RemovableHandle

Scope = Literal["batch", "rank"]


class GradientSync(ABC):
    """How the gradients of one flow are averaged over ranks."""

    @abstractmethod
    def open_pass(self, *, last: bool, teacher: bool = False) -> None:
        """Prepare the averaging of the pass that follows; that of a `teacher` is neither averaged nor sends buffers."""

    @abstractmethod
    def average(self, gradients: list[Tensor | None], like: Sequence[Tensor]) -> list[Tensor | None]:
        """Average the final gradient over ranks where the passes have not."""

    def safe(self, gradients: list[Tensor | None]) -> list[Tensor | None]:
        """Gradients that the next backward call will not overwrite."""
        return gradients

    def mean(self, value: Tensor, like: Sequence[Tensor]) -> Tensor:
        """The 0-d `value`, averaged over the ranks whose gradients a rule sees averaged; called by all of them."""
        return value

    def mark(self, flag: Tensor, parameters: Sequence[Tensor]) -> None:  # noqa: B027
        """Called after `open_pass` of the last pass with the 0-d bool `flag`: the perturbation was not finite here.

        Where the pass is averaged without asking again, its gradient of some of `parameters` must become NaN first.
        """

    def end_early(self) -> None:  # noqa: B027
        """Called where the gradient to step is that of a pass which was not announced as the last."""

    def refuse_no_sync(self) -> None:  # noqa: B027
        """Raise PassesError where the user has asked for gradients that are not averaged."""

    def weights_changed(self) -> None:  # noqa: B027
        """Called after the weights were moved or restored."""

    def close(self) -> None:  # noqa: B027
        """Leave the wrapper as the flow found it."""


@final
class Local(GradientSync):
    """One process, or averaging that the user does by hand after the passes."""

    def open_pass(self, *, last: bool, teacher: bool = False) -> None:
        """Nothing to prepare."""

    def average(self, gradients: list[Tensor | None], like: Sequence[Tensor]) -> list[Tensor | None]:
        """As they are."""
        return gradients


@final
class Sharded(GradientSync):
    """`fully_shard`: every pass reduces its gradients, every rank sees its part of the batch's perturbation."""

    def __init__(self, modules: list[FSDPModule]) -> None:
        self._modules = modules

    def open_pass(self, *, last: bool, teacher: bool = False) -> None:
        """Reduce in every pass, and wait for it: a gradient left inside FSDP is not there to be perturbed along.

        What the user had set cannot be read, and so is not put back; it is set anew for each micro-batch in any case.
        """
        for module in self._modules:
            module.set_requires_gradient_sync(True, recurse=False)
            module.set_is_last_backward(True)

    def average(self, gradients: list[Tensor | None], like: Sequence[Tensor]) -> list[Tensor | None]:
        """As they are: reduced in every pass."""
        return gradients

    def mean(self, value: Tensor, like: Sequence[Tensor]) -> Tensor:
        """Over all ranks of the mesh."""
        mesh = next(p.device_mesh for p in like if is_dtensor(p))
        for dimension in range(mesh.ndim):
            value = _mean(value, mesh.get_group(dimension))
        return value

    def weights_changed(self) -> None:
        """Drop gathered copies, if any are kept, so that the next forward gathers the moved weights."""
        for module in self._modules:
            module.reshard()


@final
class Replicated(GradientSync):
    """`DistributedDataParallel`.

    | pass            | averaged                                                                                  |
    |-----------------|-------------------------------------------------------------------------------------------|
    | before the last | by DDP under scope "batch", not under "rank"                                              |
    | last            | by DDP, if the gradient to step is that of the last pass alone, or if a rule combines     |
    |                 | averaged gradients; else `average` does it once, for the accumulated sum                  |

    DDP sends rank 0's buffers in the first forward after one whose backward it averaged. A flow counts as one such
    forward, or under `no_sync` as none, so that under scope "rank" they are sent as often as in plain training.
    """

    def __init__(self, ddp: DistributedDataParallel, scope: Scope, *, combines: bool, accumulated: bool) -> None:
        self._ddp = ddp
        self._scope = scope
        self._outer = bool(ddp.require_backward_grad_sync)
        self._sends_buffers = bool(ddp.require_forward_param_sync)
        self._after_teacher = False
        self._marks: list[RemovableHandle] = []
        if combines:
            self._last_by_ddp = scope == "batch"
            self._average_after = self._outer and (scope == "rank" or accumulated)
        else:
            self._last_by_ddp = self._outer and not accumulated
            self._average_after = self._outer and accumulated

    def open_pass(self, *, last: bool, teacher: bool = False) -> None:
        """Let DDP average this pass or not."""
        self._ddp.require_backward_grad_sync = self._last_by_ddp if last else self._scope == "batch" and not teacher
        if teacher:
            self._ddp.require_forward_param_sync = False
        elif self._after_teacher:
            self._ddp.require_forward_param_sync = self._sends_buffers
        self._after_teacher = teacher

    def refuse_no_sync(self) -> None:
        """Under `no_sync`, each rank would step its own gradient."""
        if not self._outer:
            raise PassesError(
                "cannot step several times on a batch under no_sync(), because the ranks would step different "
                "gradients; leave no_sync out"
            )

    def end_early(self) -> None:
        """Scope "rank" has not averaged that pass; to average averages again changes nothing."""
        self._average_after = self._outer and (self._average_after or self._scope == "rank")

    def average(self, gradients: list[Tensor | None], like: Sequence[Tensor]) -> list[Tensor | None]:
        """One all-reduce for each type and device of gradients; a parameter unused on every rank stays without one."""
        self._sends_buffers = self._outer  # complete: the next forward is to find DDP as after one of plain training
        if not self._average_after:
            return gradients
        averaged = list(gradients)
        for indices in _by_device_and_type(like):
            of_type = [gradients[i] for i in indices]
            for i, mean in zip(indices, self._averaged(of_type, [like[i] for i in indices]), strict=True):
                averaged[i] = mean
        return averaged

    def _averaged(self, gradients: Sequence[Tensor | None], like: Sequence[Tensor]) -> list[Tensor | None]:
        """One vector of all gradients, and behind them for each whether this rank has it."""
        here = torch.tensor([g is not None for g in gradients])
        filled = [torch.zeros_like(t) if g is None else g for g, t in zip(gradients, like, strict=True)]
        flat = torch.cat([*(g.reshape(-1) for g in filled), here.to(filled[0], non_blocking=True)])
        dist.all_reduce(flat, group=self._ddp.process_group)
        flat /= dist.get_world_size(self._ddp.process_group)
        *parts, anywhere = flat.split([*(g.numel() for g in filled), len(filled)])
        means = [part.view_as(g) for part, g in zip(parts, filled, strict=True)]
        if bool(here.all()):  # no need to wait for what the others have
            return [*means]
        return [mean if used else None for mean, used in zip(means, (anywhere > 0).tolist(), strict=True)]

    def safe(self, gradients: list[Tensor | None]) -> list[Tensor | None]:
        """Copies, if the gradients are views of buckets that the next backward call fills again."""
        if not self._ddp.gradient_as_bucket_view:
            return gradients
        return [None if g is None else g.clone() for g in gradients]

    def mean(self, value: Tensor, like: Sequence[Tensor]) -> Tensor:
        """Over the ranks of a batch: their losses may be scaled by unequal shares of it."""
        return _mean(value, self._ddp.process_group) if self._scope == "batch" else value

    def mark(self, flag: Tensor, parameters: Sequence[Tensor]) -> None:
        """A NaN that enters DDP's buckets on one rank leaves them on all: no collective has to tell the others.

        It enters through the gradient of the smallest parameter. Only with `find_unused_parameters` may a backward
        call lack that one, so that all of them have to be watched for the first that comes.
        """
        if self._scope == "batch" or not self._last_by_ddp:
            return
        names = self._ddp.parameters_to_ignore
        ignored = {id(p) for name, p in self._ddp.module.named_parameters() if name in names} if names else set()
        watched = [p for p in parameters if p.requires_grad and p.numel() and id(p) not in ignored]
        if not self._ddp.find_unused_parameters:
            watched = sorted(watched, key=Tensor.numel)[:1]
        marked: list[bool] = []

        def poison(gradient: Tensor) -> Tensor:
            if marked:
                return gradient
            marked.append(True)
            return gradient.masked_fill(flag.to(gradient.device, non_blocking=True), float("nan"))

        self._marks = [p.register_hook(poison) for p in watched]

    def close(self) -> None:
        """Give DDP the user's setting back."""
        for mark in self._marks:
            mark.remove()
        self._ddp.require_backward_grad_sync = self._outer
        self._ddp.require_forward_param_sync = self._sends_buffers


def _mean(value: Tensor, group: dist.ProcessGroup) -> Tensor:
    total = value.clone()
    dist.all_reduce(total, group=group)
    return total / dist.get_world_size(group)


def _by_device_and_type(tensors: Sequence[Tensor]) -> list[list[int]]:
    groups: dict[tuple[torch.device, torch.dtype], list[int]] = {}
    for index, tensor in enumerate(tensors):
        groups.setdefault((tensor.device, tensor.dtype), []).append(index)
    return list(groups.values())


def check_scope(model: nn.Module, scope: Scope) -> None:
    """Raise where a scope cannot be had, warn where it cannot be seen to."""
    if scope not in ("batch", "rank"):
        raise ConfigurationError(
            f"cannot perturb with sync={scope!r}, because a perturbation belongs to the whole batch or to each rank; "
            "choose sync='batch' or sync='rank'"
        )
    if _of_fsdp(model, "FullyShardedDataParallel"):
        raise UnsupportedError(
            "cannot perturb a FullyShardedDataParallel (FSDP1) model, because its flat parameters hide names and "
            "norms; shard it with torch.distributed.fsdp.fully_shard"
        )
    sharded = any(shards(p) for p in model.parameters())
    if sharded and scope == "rank":
        raise UnsupportedError(
            "cannot use sync='rank' with sharded parameters, because a perturbation per rank requires all weights on "
            "each rank, and fully_shard splits them; use sync='batch'"
        )
    if sharded and any(p.requires_grad and not is_dtensor(p) for p in model.parameters()):
        raise UnsupportedError(
            "cannot perturb sharded and unsharded parameters together, because nobody averages the gradients of the "
            "unsharded ones and so norms would differ from rank to rank; call fully_shard on the root module too, "
            "without ignored_params, or freeze the unsharded parameters"
        )
    ddp = _of_ddp(model)
    if sum(isinstance(m, DistributedDataParallel) for m in model.modules()) > 1:
        raise UnsupportedError(
            "cannot perturb a model with several DistributedDataParallel parts, because one flow has to decide which "
            "passes are averaged; wrap the whole model once"
        )
    if ddp is not None and ddp.static_graph and scope == "rank":
        raise UnsupportedError(
            "cannot use sync='rank' with static_graph=True, because a perturbation per rank requires backward passes "
            "that are not averaged, and DistributedDataParallel fails on those while it learns the graph; leave "
            "static_graph out (find_unused_parameters=True finds what a rank does not use), or use sync='batch'"
        )
    wrapped = sharded or ddp is not None
    alone = not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1)
    if not wrapped and not alone:
        warnings.warn(
            f"several processes are running, but the model given is not wrapped, so sync={scope!r} cannot be seen to; "
            "give the DistributedDataParallel or fully_shard model itself (if you average gradients by hand after the "
            "passes, each rank has its own perturbation)",
            UnseenWrapperWarning,
            stacklevel=4,
        )


def gradient_sync(model: nn.Module, scope: Scope, *, combines: bool, accumulated: bool) -> GradientSync:
    """The averaging that fits a model. `combines`: a rule follows; `accumulated`: `p.grad` was not empty."""
    sharded = _of_fsdp(model, "FSDPModule")
    if sharded:
        return Sharded(sharded)  # type: ignore[arg-type]
    ddp = _of_ddp(model)
    if ddp is not None:
        return Replicated(ddp, scope, combines=combines, accumulated=accumulated)
    return Local()


def reshard(model: nn.Module) -> None:
    """Drop gathered weights that an evaluation, or ``set_reshard_after_backward(False)``, has left in the model.

    While they are there the model shows them as its parameters, in place of the shards that the optimizer holds.
    """
    for module in _of_fsdp(model, "FSDPModule"):
        module.reshard()  # type: ignore[operator]


def _of_ddp(model: nn.Module) -> DistributedDataParallel | None:
    return next((m for m in _modules(model) if isinstance(m, DistributedDataParallel)), None)


def _of_fsdp(model: nn.Module, kind: str) -> list[nn.Module]:
    """The modules of an FSDP class, which can exist only if somebody has imported that package."""
    fsdp = sys.modules.get("torch.distributed.fsdp")
    return [] if fsdp is None else [m for m in _modules(model) if isinstance(m, getattr(fsdp, kind))]


def _modules(model: nn.Module) -> Iterable[nn.Module]:
    """Where wrappers may be found: nowhere without a process group, which all of them need."""
    return model.modules() if dist.is_available() and dist.is_initialized() else ()
