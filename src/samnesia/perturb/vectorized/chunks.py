"""Micro-batches side by side: one forward and backward for as many as are computed at a time."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from samnesia.perturb.errors import ConfigurationError, NoGradientError, SamnesiaError, UnsupportedError
from samnesia.perturb.modules import (
    check_gradients,
    forget_cached_weights,
    get_random_state,
    parameters_kept,
    set_random_state,
)
from samnesia.perturb.parts.ascents import Ascent, SteppedAscent
from samnesia.perturb.parts.point import Need
from samnesia.perturb.parts.rules import Rule
from samnesia.perturb.vectorized.moves import LOOP, Perturbation, Setting, advance
from samnesia.perturb.vectorized.samples import Chunks

_FROM_VMAP = re.compile(r"vmap|functorch|batching rule|batched tensor", re.IGNORECASE)


class Block:
    """Some micro-batches of one size, from the first pass to the sum of their gradients.

    `begin` is the number of the first one, counted from the last optimizer step.
    """

    def __init__(self, setting: Setting, data: Chunks, scale: float | Tensor, begin: int) -> None:
        self.losses = torch.zeros(0)
        self.evaluations = 0
        self._data = data
        self._setting = setting
        # in the weights' type: a share in float32 would show in float64
        self._factor = torch.as_tensor(scale, dtype=setting.start.tensors[0].dtype) * data.share
        self.perturbation = Perturbation(setting, data.count, begin, self._factor)
        self._random = {device: get_random_state(device) for device in setting.devices}
        self._passes = 0
        self._clean: list[Tensor | None] | None = None

    def run(self) -> list[Tensor | None]:
        """The scaled sum over micro-batches of the gradient of each parameter."""
        ascent, rule = self._setting.ascent, self._setting.rule
        if isinstance(ascent, SteppedAscent):
            for _ in range(ascent.steps):
                gradients = self.perturbation.stacked(self._ascended())
                with _under_vmap():
                    self.perturbation.step(ascent, gradients)
                del gradients  # freed before the next pass
        elif ascent is not None:
            self._climb(ascent)
        if rule is None:
            return self._gradients(summed=True, ascent=False)
        return self._combined(rule, self._gradients(summed=False, ascent=False))

    def _climb(self, ascent: Ascent) -> None:
        """An ascent for each micro-batch by itself, between passes that they share."""
        climbs = self.perturbation.climbs(ascent)
        need = advance(climbs, [None] * len(climbs))
        while need is not None:
            # no name for the gradients: they are freed before the next pass
            need = advance(climbs, self._received(need))

    def _received(self, need: Need) -> list[list[Tensor]]:
        """Run one pass; what it gives to the ascent of each micro-batch."""
        if need is Need.GRADIENT:
            return self.perturbation.rows(self.perturbation.stacked(self._ascended()))
        with torch.no_grad():
            self._forward(list(self._setting.parameters.parameters), stacked=False, ascent=True)
        return [[] for _ in range(self._data.count)]

    def _ascended(self) -> list[Tensor | None]:
        gradients = self._gradients(summed=False, ascent=True)
        gradients = [gradients[i] for i in self._setting.held]
        if self._setting.rule is not None and self._clean is None:
            self._clean = gradients
        return gradients

    def _combined(self, rule: Rule, gradients: list[Tensor | None]) -> list[Tensor | None]:
        """The rule of each micro-batch, and their sum."""
        setting, clean = self._setting, self._clean or []
        perturbed = [gradients[i] for i in setting.held]

        moved = self.perturbation
        pairs = zip(moved.rows(moved.stacked(clean)), moved.rows(moved.stacked(perturbed)), strict=True)
        totals: list[Tensor] | None = None
        with torch.no_grad():
            for row, (c, p) in enumerate(pairs):
                combined = rule.combine(moved.point(row), c, p)
                # never in place: autograd hands out one tensor for parameters with one gradient
                totals = combined if totals is None else [t + g for t, g in zip(totals, combined, strict=True)]
        for i, total, a, b in zip(setting.held, totals or [], clean, perturbed, strict=True):
            gradients[i] = None if a is None and b is None else total
        return gradients

    def _gradients(self, *, summed: bool, ascent: bool) -> list[Tensor | None]:
        """Of the scaled loss, by each parameter; None where it has no part.

        Those of weights that differ from micro-batch to micro-batch are [micro-batches, *shape], or `summed` over them,
        each as soon as there is one. Ascents ask for held parameters only.
        """
        setting = self._setting
        leaves = [p.detach().requires_grad_() for p in setting.parameters.parameters]
        stacked = not summed or self.perturbation.moved
        sums: dict[int, Tensor] = {}
        if stacked:
            for i, stack in zip(setting.held, self.perturbation.weights, strict=True):
                leaves[i] = stack.detach().requires_grad_()
                if summed:
                    leaves[i].register_hook(partial(_sum_into, sums, i))
        with torch.enable_grad():
            total = self._forward(leaves, stacked=stacked, ascent=ascent).sum() * self._factor
        wanted = setting.held if ascent else range(len(leaves))
        gradients: list[Tensor | None] = [None] * len(leaves)
        if total.requires_grad:
            with _under_vmap():
                found = torch.autograd.grad(total, [leaves[i] for i in wanted], allow_unused=True)
            check_gradients([setting.parameters.names[i] for i in wanted], found)
            for i, gradient in zip(wanted, found, strict=True):
                gradients[i] = sums.get(i, gradient)
        if all(gradients[i] is None for i in setting.held):
            raise NoGradientError(
                f"cannot use pass {self._passes - 1}, because its loss does not depend on any parameter of the "
                "optimizer; compute the loss from the model's output, without detaching it"
            )
        self.evaluations += self._data.count
        return gradients

    def _forward(self, weights: list[Tensor], *, stacked: bool, ascent: bool) -> Tensor:
        """The criterion of this pass, [micro-batches]; `stacked`: held weights have a dimension for them in front."""
        setting, method = self._setting, self._setting.method
        first_pass, objective = self._passes == 0, method.objective if ascent else None
        if not first_pass and method.replay_dropout:
            for device, state in self._random.items():
                set_random_state(device, state)

        def criteria(weights: dict[str, Tensor], batched: list[Tensor]) -> tuple[Tensor, Tensor]:
            positional, named, target = self._data.arguments(batched)
            output = functional_call(method.model, weights, positional, named)
            if objective is None:
                value = loss = method.training_loss(output, target)
            else:
                value = loss = objective(output, target)
                if first_pass:
                    with torch.no_grad():
                        loss = method.training_loss(output, target)
            _check_scalar(value)
            _check_scalar(loss)
            return value, loss.detach()

        held = [group is not None for group in setting.parameters.groups]
        dimensions = {name: 0 if stacked and h else None for name, h in zip(setting.names, held, strict=True)}
        run = vmap(criteria, in_dims=(dimensions, 0), randomness="different")
        with _side_by_side(setting.devices), _under_vmap(), parameters_kept(method.model):
            values, losses = run(dict(zip(setting.names, weights, strict=True)), self._data.batched)
        if first_pass:
            self.losses = losses
        self._passes += 1
        return values


def _sum_into(sums: dict[int, Tensor], index: int, gradient: Tensor) -> Tensor:
    """A hook that keeps the sum over micro-batches, and hands on a zero in the shape that is expected."""
    sums[index] = gradient.sum(0)
    return gradient.new_zeros(()).expand_as(gradient)


@contextlib.contextmanager
def _side_by_side(devices: set[torch.device]) -> Iterator[None]:
    """What a forward under vmap needs around it: attention that it knows, and no weights cached by other passes."""
    in_host_memory = all(device.type == "cpu" for device in devices)
    forget_cached_weights()
    try:
        # flash attention of the CPU would be run for one micro-batch after the other
        with sdpa_kernel(SDPBackend.MATH) if in_host_memory else contextlib.nullcontext():
            yield
    finally:
        forget_cached_weights()


@contextlib.contextmanager
def _under_vmap() -> Iterator[None]:
    """One sentence if vmap fails. Of a RuntimeError, which memory or a kernel may raise, its message has to say so."""
    try:
        yield
    except SamnesiaError:
        raise
    except (RuntimeError, IndexError, TypeError, ValueError) as error:
        if isinstance(error, RuntimeError) and _FROM_VMAP.search(str(error)) is None:
            raise
        raise UnsupportedError(
            "cannot vectorize this method and model over micro-batches, because torch.func.vmap has to run what they "
            f"compute and met {type(error).__name__} ({_first_sentence(error)}); {LOOP}"
        ) from error


def _first_sentence(error: Exception) -> str:
    return re.split(r"\.\s", " ".join(str(error).split()) + " ")[0].strip()


def _check_scalar(loss: Tensor) -> None:
    if not isinstance(loss, Tensor):
        raise ConfigurationError(
            f"cannot vectorize over micro-batches with a loss that is a {type(loss).__name__}, because gradients are "
            "taken of tensors; give a criterion that returns one, without item() or float()"
        )
    if loss.ndim:
        raise ConfigurationError(
            f"cannot vectorize over micro-batches with a loss of shape {tuple(loss.shape)}, because each micro-batch "
            "needs one number, the mean over its samples; give a criterion that averages"
        )
