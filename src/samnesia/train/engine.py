"""Lightning Fabric as a run uses it: devices, precision, processes, and the state of models spread over them.

One process computes on one device. Several are started by ``torchrun``, on one machine or many, which this module
finds in the environment; nothing here starts processes.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint import state_dict as sharded
from torch.optim.swa_utils import update_bn
from torch.utils._pytree import tree_map_only

from samnesia.extras import require
from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.flow.sync import reshard
from samnesia.perturb.tensors import is_dtensor
from samnesia.train.parts.hardware import Hardware

State = dict[str, Any]


class Engine:
    """Devices, precision and processes of a run.

    Raises:
        ConfigurationError: for a device that is not there, a precision that it lacks, or machines with unequal numbers
            of processes.
    """

    def __init__(self, hardware: Hardware) -> None:
        self.ranks = int(os.environ.get("WORLD_SIZE", "1"))
        accelerator = _accelerator(hardware)
        fabric = require("lightning.fabric", extra="train")
        local = int(os.environ.get("LOCAL_WORLD_SIZE", self.ranks))
        if self.ranks % local:
            raise ConfigurationError(
                f"cannot train with {local} of {self.ranks} processes on this machine, because every machine has to "
                "start as many; give torchrun the same --nproc-per-node everywhere"
            )
        told = logging.getLogger("lightning.fabric.utilities.rank_zero")
        level = told.level
        told.setLevel(logging.WARNING)  # which precision is used stands in environment.json
        with warnings.catch_warnings():
            # what Fabric changes of its own accord is compared below, and said in a sentence of ours
            warnings.filterwarnings("ignore", "You passed `Fabric")
            try:
                self.fabric = fabric.Fabric(
                    accelerator=accelerator,
                    devices=local,
                    num_nodes=self.ranks // local,
                    strategy=self._strategy(hardware) if self.ranks > 1 else "auto",
                    **_precision(hardware),
                )
            except ValueError as error:
                raise ConfigurationError(
                    f"cannot train in {hardware.precision} with strategy {hardware.strategy}, because Lightning Fabric "
                    f"has no such combination ({error}); use another precision or strategy"
                ) from None
            finally:
                told.setLevel(level)
        self.precision = str(self._plugin.precision)
        if self.precision != hardware.precision:
            raise ConfigurationError(
                f"cannot train in {hardware.precision} on the {accelerator}, because only {self.precision} would be "
                f"granted there; use --hardware.precision {self.precision}"
            )
        self.in_parts = hardware.strategy == "fsdp" and self.ranks > 1
        """Whether each process holds a part of the model, so that all take part in each of its forwards."""
        if self.ranks == 1:
            self.launch()

    def launch(self) -> None:
        """Meet the other processes. What they all refuse is refused before: who leaves would disturb who connects."""
        if self.ranks > 1:
            self.fabric.launch()
        self.rank: int = self.fabric.global_rank
        self.device: torch.device = self.fabric.device

    def _strategy(self, hardware: Hardware) -> Any:
        strategies = require("lightning.fabric.strategies", extra="train")
        if hardware.strategy == "ddp":
            return strategies.DDPStrategy()
        return strategies.ModelParallelStrategy(
            parallelize_fn=_fully_sharded, data_parallel_size=self.ranks, tensor_parallel_size=1
        )

    @property
    def _plugin(self) -> Any:
        return self.fabric.strategy.precision

    @property
    def scaler(self) -> Any:
        """The gradient scaler of 16-mixed precision, or None."""
        return getattr(self._plugin, "scaler", None)

    @property
    def leads(self) -> bool:
        """Whether this process writes to disk."""
        return self.rank == 0

    def setup(
        self, module: nn.Module, build: Callable[[nn.Module], torch.optim.Optimizer], *, compiled: bool
    ) -> tuple[nn.Module, torch.optim.Optimizer]:
        """Return the module as training calls it and the optimizer as training steps it."""
        # static shapes: what is computed for one must not depend on those seen before, which a resumed run has not
        given = torch.compile(module, dynamic=False) if compiled else module
        model = self.fabric.setup(given)  # moves, spreads and casts the module
        return model, self.fabric.setup_optimizers(build(module))

    def move(self, batch: Any) -> Any:
        """The tensors of a batch on this process's device."""
        return self.fabric.to_device(batch)

    def predict(self, module: nn.Module, inputs: Any) -> Tensor:
        """The outputs of a module outside of training, in the run's precision."""
        with self.fabric.autocast():
            output = module(self._plugin.convert_input(inputs))
        converted: Tensor = self._plugin.convert_output(output)
        return converted

    def settle(self, module: nn.Module) -> None:
        """Call it after forwards without a backward: a model in parts is left gathered by them."""
        reshard(module)

    def estimate_statistics(self, module: nn.Module, inputs: Iterable[Any]) -> None:
        """Estimate BatchNorm's statistics anew: the mean over all batches of all processes."""
        with self.fabric.autocast():
            # in a list, since update_bn takes the first of several inputs for all of them
            update_bn(([self._plugin.convert_input(self.move(batch))] for batch in inputs), module)
        self.settle(module)
        if self.ranks > 1:
            for buffer in module.buffers():
                if buffer.is_floating_point():
                    dist.all_reduce(buffer)
                    buffer /= self.ranks

    def accumulating(self, model: nn.Module, *, more: bool) -> AbstractContextManager[Any]:
        """A backward whose gradient is not averaged over processes yet, where more of it follows.

        A model in parts reduces each backward at once: that is as right, and needs no whole gradient in any process.
        """
        if not more or self.ranks == 1 or self.in_parts:
            return nullcontext()
        context: AbstractContextManager[Any] = self.fabric.no_backward_sync(model)
        return context

    def add_to_nothing(self, module: nn.Module) -> None:
        """Let the only flow of this process's step be averaged as those processes do that have several.

        What is accumulated over several flows is averaged after the last of them, the gradient of a single one in its
        backward: all processes have to do the same.
        """
        first = next(p for p in module.parameters() if p.requires_grad)
        first.grad = torch.zeros_like(first)

    def total(self, *counts: float) -> list[float]:
        """Sums over all processes."""
        if self.ranks == 1:
            return list(counts)
        values = torch.tensor(counts, dtype=torch.float64, device=self.device)
        dist.all_reduce(values)
        return [float(value) for value in values.tolist()]

    def gather(self, item: Any) -> list[Any]:
        """The items of all processes, in the order of their ranks."""
        if self.ranks == 1:
            return [item]
        items: list[Any] = [None] * self.ranks
        dist.all_gather_object(items, item)
        return items

    def wait(self) -> None:
        """Return when all processes are here: torchrun ends the others as soon as one has failed."""
        self.gather(None)

    def share(self, item: Any) -> Any:
        """The item of the process that leads."""
        return item if self.ranks == 1 else self.fabric.broadcast(item)

    def agree_on_buffers(self, module: nn.Module) -> None:
        """Give every process the buffers of the one that leads: BatchNorm's statistics are each process's own."""
        if self.ranks > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, src=0)

    def model_state(self, module: nn.Module) -> dict[str, Tensor]:
        """The whole state of the module on the CPU, in memory of its own; all processes call it."""
        if self.in_parts:
            options = sharded.StateDictOptions(full_state_dict=True, cpu_offload=True)
            whole: dict[str, Any] = sharded.get_model_state_dict(module, options=options)
            return {name: value.clone() for name, value in whole.items()}  # buffers come as they are
        return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in module.state_dict().items()}

    def load_model_state(self, module: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Take over what `model_state` returned."""
        if self.in_parts:
            options = sharded.StateDictOptions(full_state_dict=True)
            # sorted: each tensor is dealt out by all ranks together, and a file gives each rank another order
            sharded.set_model_state_dict(module, dict(sorted(state.items())), options=options)
        else:
            module.load_state_dict(dict(state))

    def optimizer_state(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> State:
        """The whole state of the optimizer on the CPU; all processes call it."""
        inner = _bare(optimizer)
        if self.in_parts and not inner.state:
            return {}  # torch would fill it by a step, which Adam counts
        if self.in_parts:
            options = sharded.StateDictOptions(full_state_dict=True, cpu_offload=True)
            return dict(sharded.get_optimizer_state_dict(module, inner, options=options))
        state: State = inner.state_dict()
        return state

    def load_optimizer_state(self, module: nn.Module, optimizer: torch.optim.Optimizer, state: State) -> None:
        """Take over what `optimizer_state` returned."""
        inner = _bare(optimizer)
        if self.in_parts and not state:
            inner.state.clear()
        elif self.in_parts:
            options = sharded.StateDictOptions(full_state_dict=True)
            sharded.set_optimizer_state_dict(module, inner, state, options=options)
        else:
            inner.load_state_dict(state)

    def method_state(self, method: PerturbedGradient) -> State:
        """The state of a method on the CPU, what it remembers of parts put together; all processes call it."""
        state: State = tree_map_only(Tensor, _whole, method.state_dict())
        return state

    def scaler_state(self) -> State:
        """The state of the gradient scaler, empty without one."""
        return dict(self._plugin.state_dict())

    def load_scaler_state(self, state: State) -> None:
        """Take over what `scaler_state` returned."""
        self._plugin.load_state_dict(state)


def _accelerator(hardware: Hardware) -> str:
    available = torch.cuda.is_available()
    if hardware.accelerator == "cuda" and not available:
        raise ConfigurationError(
            "cannot train on cuda, because torch finds no such device here; use --hardware.accelerator cpu, or a "
            "machine with a GPU and a build of torch that supports it"
        )
    if hardware.accelerator == "auto":
        return "cuda" if available else "cpu"
    return hardware.accelerator


def _precision(hardware: Hardware) -> State:
    if hardware.precision != "64-true":
        return {"precision": hardware.precision}
    double: Any = require("lightning.fabric.plugins.precision.double", extra="train").DoublePrecision

    class Double(double):  # type: ignore[misc]
        """Fabric's rounds what the model puts out to float32, and with it all gradients."""

        def convert_output(self, data: Any) -> Any:
            return data

    return {"plugins": [Double()]}


def _fully_sharded(module: nn.Module, mesh: Any) -> nn.Module:
    """Apply FSDP2 to the members of lists and sequences (blocks, stages, layers) with weights, then to the rest."""
    from torch.distributed.fsdp import fully_shard

    shard = partial(fully_shard, mesh=mesh["data_parallel"])
    for parent in reversed([m for m in module.modules() if isinstance(m, (nn.Sequential, nn.ModuleList))]):
        for child in parent.children():
            if not isinstance(child, (nn.Sequential, nn.ModuleList)) and any(True for _ in child.parameters()):
                shard(child)
    shard(module)
    return module


def _whole(values: Tensor) -> Tensor:
    full = values.full_tensor() if is_dtensor(values) else values
    return full.detach().to("cpu", copy=True)


def _bare(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    inner: torch.optim.Optimizer = getattr(optimizer, "optimizer", optimizer)
    return inner
