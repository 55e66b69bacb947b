"""The model beside its weights: names of parameters, and what a forward pass moves (buffers, random state, modes)."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import torch
from torch import Tensor, nn

from samnesia.perturb.errors import PassesError, PassesOpenError, UnsupportedError
from samnesia.perturb.tensors import Weights, is_dtensor

_WRAPPING = ("module", "_forward_module", "_orig_mod")
_WRAPPED_INSIDE = {"_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"}


def innermost(model: nn.Module) -> nn.Module:
    """The user's module inside DistributedDataParallel, a compiled module, Fabric's wrapper …."""
    while True:
        children = dict(model.named_children())
        inner = next((children[name] for name in _WRAPPING if name in children), None)
        if inner is None or any(True for _ in model.parameters(recurse=False)):
            return model
        model = inner


def innermost_optimizer(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """The optimizer inside wrappers that replace `step` and have no hook tables (Accelerate's, Fabric's)."""
    while isinstance(inner := getattr(optimizer, "optimizer", None), torch.optim.Optimizer):
        optimizer = inner
    return optimizer


@lru_cache(maxsize=100_000)  # asked for every parameter on every step
def parameter_name(name: str) -> str:
    """A parameter's name without the prefixes that wrappers add."""
    parts = name.split(".")
    while len(parts) > 1 and parts[0] in _WRAPPING:
        parts.pop(0)
    return ".".join(part for part in parts if part not in _WRAPPED_INSIDE)


@dataclass(frozen=True, slots=True)
class Parameters:
    """The trainable parameters of a model, each once, in the model's order.

    `groups` gives each parameter's index in the optimizer's groups; None for parameters that the optimizer does not
    hold. Those receive the gradient of the last pass, but are not perturbed.
    """

    names: list[str]
    parameters: list[nn.Parameter]
    groups: list[int | None]

    @property
    def held_names(self) -> list[str]:
        """Names of the parameters that the optimizer holds."""
        return [name for name, group in zip(self.names, self.groups, strict=True) if group is not None]

    def held(self) -> Weights:
        """Those that the optimizer holds, with the values that they have now."""
        held = [(n, p) for n, p, g in zip(self.names, self.parameters, self.groups, strict=True) if g is not None]
        return Weights.of([name for name, _ in held], [parameter for _, parameter in held])

    @staticmethod
    def all_held(model: nn.Module, optimizer: torch.optim.Optimizer) -> Weights:
        """All that the optimizer holds, also what is frozen now."""
        held = {p for group in optimizer.param_groups for p in group["params"]}
        named = [(parameter_name(name), p) for name, p in model.named_parameters() if p in held]
        return Weights.of([name for name, _ in named], [p for _, p in named])

    @classmethod
    def of(cls, model: nn.Module, optimizer: torch.optim.Optimizer) -> Self:
        """Read model and groups afresh: freezing, thawing and swapped parameters take effect on the next step.

        Raises UnsupportedError for a parameter that cannot be perturbed, naming it.
        """
        names = {p: parameter_name(name) for name, p in model.named_parameters()}
        group_of: dict[Tensor, int] = {}
        for group_index, group in enumerate(optimizer.param_groups):
            for position, parameter in enumerate(group["params"]):
                if parameter not in names:
                    raise UnsupportedError(
                        f"cannot perturb parameter {position} of optimizer group {group_index} (shape "
                        f"{tuple(parameter.shape)}), because it is not a parameter of the model; build the optimizer "
                        "from model.parameters() after the model has been moved, wrapped or sharded"
                    )
                group_of[parameter] = group_index
        trainable = [p for p in names if p.requires_grad]
        for parameter in trainable:
            if parameter in group_of:
                _check(names[parameter], parameter)
        if not any(p in group_of for p in trainable):
            raise UnsupportedError(
                "cannot perturb a model of which the optimizer holds no trainable parameter, because nothing would "
                "move; unfreeze some parameters (requires_grad_(True))"
            )
        return cls([names[p] for p in trainable], trainable, [group_of.get(p) for p in trainable])


def _check(name: str, parameter: nn.Parameter) -> None:
    if nn.parameter.is_lazy(parameter):
        raise UnsupportedError(
            f"cannot perturb parameter {name!r}, because it has no values before the first forward; run one batch "
            "through the model, then build the optimizer and the method"
        )
    if parameter.is_complex():
        raise UnsupportedError(
            f"cannot perturb parameter {name!r} of type {parameter.dtype}, because radii and scalings are defined for "
            "real weights; use a real view (torch.view_as_real) as the parameter"
        )
    if parameter.dtype not in (torch.float32, torch.float64):
        raise UnsupportedError(
            f"cannot perturb parameter {name!r} of type {parameter.dtype}, because rounding to that type would drown "
            "a perturbation of usual size; keep the weights in float32 and compute in lower precision with "
            "torch.autocast"
        )
    if parameter._post_accumulate_grad_hooks:
        raise UnsupportedError(
            f"cannot perturb parameter {name!r}, because a hook acts on its gradient as soon as it is accumulated "
            "(an optimizer that steps during backward?) and a second pass would come too late; remove the hook"
        )


def check_gradients(names: Sequence[str], gradients: Sequence[Tensor | None]) -> None:
    """Raise UnsupportedError if a gradient is sparse."""
    for name, gradient in zip(names, gradients, strict=True):
        if gradient is not None and gradient.layout is not torch.strided:
            raise UnsupportedError(
                f"cannot perturb along the sparse gradient of parameter {name!r}, because norms and perturbations need "
                "all its entries; build the embedding with sparse=False"
            )


class ModelState:
    """What forward passes move besides the weights, as it was at one moment.

    Buffers (running statistics, `num_batches_tracked` and all others), the random state of the devices in use (but of
    none whose work is being captured into a graph, which has none to give), and the train/eval mode of every module.
    """

    def __init__(self, model: nn.Module, devices: set[torch.device]) -> None:
        self._model = model
        self._devices = devices | {torch.device("cpu")}
        self._modules = list(model.modules())
        self._note()

    def now(self) -> ModelState:
        """What stands in the same modules now."""
        state = copy(self)
        state._modules = list(self._model.modules())  # a first forward may make some
        state._note()
        return state

    @torch.no_grad()
    def _note(self) -> None:
        self._modes = [module.training for module in self._modules]
        own = (p for module in self._modules for p in module._parameters.values())
        self._frozen = [(p, _place(p)) for p in own if p is not None and not p.requires_grad]
        self._buffers = [
            (module, name, buffer, None if buffer is None or _immutable(buffer) else buffer.clone())
            for module in self._modules
            for name, buffer in module._buffers.items()
        ]
        self._random = {device: get_random_state(device) for device in self._devices}

    def restore_buffers(self) -> None:
        """Give every buffer its value back, in place; one that was rebound becomes the old tensor (or None) again."""
        with torch.no_grad():
            for module, name, buffer, value in self._buffers:
                if buffer is not None and value is not None:
                    buffer.copy_(value)
                if module._buffers.get(name) is not buffer:
                    module._buffers[name] = buffer

    def restore_random(self) -> None:
        """Give every device its random state back."""
        for device, state in self._random.items():
            set_random_state(device, state)

    def check_random(self) -> None:
        """Raise UnsupportedError if a device in use has no random state to give."""
        for device, state in self._random.items():
            if state is None:
                raise UnsupportedError(
                    f"cannot replay dropout while work of {device} is captured into a graph, because a captured graph "
                    "draws anew each time it runs; leave replay_dropout out, or capture without dropout"
                )

    def check_modes(self) -> None:
        """Raise PassesOpenError if a module has changed between training and evaluation."""
        if [module.training for module in self._modules] != self._modes:
            raise PassesOpenError(
                "cannot switch between train() and eval() inside passes(), because its passes must differentiate one "
                "and the same function and evaluation needs the true weights; evaluate after the loop over passes()"
            )

    def check_frozen(self) -> None:
        """Raise PassesError if a frozen parameter was written to since."""
        for frozen, place in self._frozen:
            if _place(frozen) != place:
                name = next((parameter_name(name) for name, p in self._model.named_parameters() if p is frozen), "?")
                raise PassesError(
                    f"cannot go on after the frozen parameter {name!r} was changed in a pass that is "
                    "not the first, because it would move once per pass, at perturbed weights; make it a buffer (those "
                    "move on the first pass only), or update it after optimizer.step()"
                )


def _place(parameter: Tensor) -> tuple[int, int] | None:
    """What changes when a parameter is written to or rebound; a sharded one moves for reasons of its own."""
    return None if is_dtensor(parameter) else (parameter._version, parameter.data_ptr())


def _immutable(buffer: Tensor) -> bool:
    """Whether nobody can write to a buffer: one that was expanded, or born in inference mode."""
    if 0 in (strides := buffer.stride()):
        return any(stride == 0 and size > 1 for stride, size in zip(strides, buffer.shape, strict=True))
    return buffer.is_inference()


@contextmanager
def parameters_kept(model: nn.Module) -> Iterator[None]:
    """Around ``torch.func.functional_call``, which puts tensors in the place of a model's parameters.

    A module that has two names in the model (torch 2.15 swaps it twice, and back in the same order) would keep them.
    """
    kept = [(module, dict(module._parameters)) for module in model.modules()]
    try:
        yield
    finally:
        for module, parameters in kept:
            module._parameters.update(parameters)


def forget_cached_weights() -> None:
    """Or autocast and parametrize.cached() would go on with what they made of the weights as they were."""
    torch.clear_autocast_cache()
    if (parametrize := sys.modules.get("torch.nn.utils.parametrize")) is not None:
        parametrize._cache.clear()


def get_random_state(device: torch.device) -> Tensor | None:
    """The random state of a device; None while its work is being captured into a graph."""
    if device.type == "cpu":
        return torch.get_rng_state()
    if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
        return None
    return torch.get_device_module(device).get_rng_state(device)  # type: ignore[no-any-return]


def set_random_state(device: torch.device, state: Tensor | None) -> None:
    """Set the random state of a device to what `get_random_state` gave; nothing if it gave none."""
    if state is None:
        return
    if device.type == "cpu":
        torch.set_rng_state(state)
    else:
        torch.get_device_module(device).set_rng_state(state, device)
