"""m-sharpness with its micro-batches side by side: one forward and backward for many perturbed copies of the weights.

The loop over micro-batches runs the model on m samples at a time. Here `torch.func` runs it on all of them at once,
each with weights of its own, and the perturbations come from the same ball, ascent and rule. The model's weights never
move.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from samnesia.perturb.errors import ConfigurationError, UnsupportedError
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.flow.sync import Local, gradient_sync
from samnesia.perturb.modules import ModelState, Parameters
from samnesia.perturb.vectorized.chunks import Block
from samnesia.perturb.vectorized.moves import LOOP, Setting
from samnesia.perturb.vectorized.samples import Chunks, Samples


@final
@dataclass(frozen=True, slots=True)
class Vectorized:
    """The m-sharpness gradient of a batch, all its micro-batches at once.

    `backward(x, y)` leaves in `p.grad` what this loop leaves there, up to rounding::

        for rows in torch.arange(len(x)).split(micro_batch):
            for p in method.passes():
                (p.loss(model(x[rows]), y[rows]) * len(rows) / len(x)).backward()

    that is ``Σ_i (n_i / N) g_i`` over the micro-batches i of n_i samples (all of `micro_batch`, but for a smaller last
    one), where g_i is the method's gradient of micro-batch i, with a perturbation of its own (Foret et al., ICLR 2021:
    m-sharpness). Radii, schedules, seeds of random ascents, step counts and `method.last_step` are those of
    the loop. Worth it for small models and small micro-batches, where the loop waits for operators to be launched and
    not for arithmetic; for others it is slower: measure.

    Args:
        method: any method of the family, built with `loss=`, a criterion that is a mean over samples.
        micro_batch: m, the samples that share a perturbation.
        max_chunks: how many micro-batches are computed side by side; None, all of them. Up to 2 copies of the
            parameters (3 with a rule, 4 in a scaled ball) and activations are alive for each.

    Raises ConfigurationError for values, and UnsupportedError for models whose forward cannot be run on several
    micro-batches at once: wrapped (DistributedDataParallel, fully_shard), normalizing by running statistics in
    training, writing to buffers, branching on the values of tensors.
    """

    method: PerturbedGradient
    micro_batch: int
    _: KW_ONLY
    max_chunks: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("micro_batch", self.micro_batch), ("max_chunks", self.max_chunks)):
            if (value is not None or name == "micro_batch") and (type(value) is not int or value < 1):
                raise ConfigurationError(
                    f"cannot vectorize over micro-batches with {name}={value!r}, because it counts "
                    f"{'samples' if name == 'micro_batch' else 'micro-batches'}; choose a whole number >= 1"
                )
        if self.method.loss is None:
            raise ConfigurationError(
                "cannot vectorize a method without loss=, because the forward of all micro-batches is run for you up "
                "to the loss; build the method with loss=F.cross_entropy, say"
            )
        if self.method.keep_gradient_buffers:
            raise ConfigurationError(
                "cannot vectorize with keep_gradient_buffers=True, because gradients of many micro-batches have no "
                f"place in p.grad; leave it out, or {LOOP}"
            )
        method = self.method
        parts = (method.remainder, method.selection, method.teacher, method.descent, method.inner)
        if method.remembers or any(part is not None for part in parts):
            raise ConfigurationError(
                "cannot vectorize a method that remembers, or one with a remainder, a selection, a teacher, a descent "
                "of its own or steps of its own, because micro-batches that run side by side come neither one after "
                f"the other nor have passes of their own; {LOOP}"
            )
        _check_model(self.method.model)
        _check_hooks(Parameters.of(self.method.model, self.method.optimizer))

    def backward(self, inputs: Any, target: Any, *, scale: float | Tensor = 1.0) -> Tensor:
        """Add the m-sharpness gradient of a batch to `p.grad`; returns the training loss of its first pass.

        Args:
            inputs: what the model is called with: a tensor (or list, or other tree of tensors), a tuple of its
                arguments, or a dict of its keyword arguments. Every tensor with dimensions has the samples in its
                first one; what is no tensor, or a number in one, is given to all micro-batches alike.
            target: what the criterion gets beside the output; likewise a tensor or a tree of tensors.
            scale: factor of the loss: the share of this batch in an accumulation, or ``scaler.scale(torch.ones(()))``.

        Returns the mean over samples, a 0-d tensor without graph and without `scale`; at the unperturbed weights if the
        ascent takes a gradient. An exception leaves gradients, buffers and random state as they were. Dropout draws a
        mask for each micro-batch and pass (for each micro-batch, with `replay_dropout`), but not the masks of the loop.
        """
        method = self.method
        method._refuse_second_flow()
        _check_model(method.model)
        parameters = Parameters.of(method.model, method.optimizer)
        _check_hooks(parameters)
        method._stepped.refuse()
        samples = Samples.of(inputs, target)
        setting = Setting.of(method, parameters, fires=self._begin(parameters))
        total, written, entry = _Total(setting), _Written(method.model), ModelState(method.model, setting.devices)
        standing = [p.grad for p in parameters.parameters]
        try:
            for chunks in samples.cut(self.micro_batch, self.max_chunks):
                total.add(chunks, scale)
                written.check()
            entry.check_modes()
            total.hand_over()
        except BaseException:
            for parameter, gradient in zip(parameters.parameters, standing, strict=True):
                parameter.grad = gradient
            entry.restore_random()
            entry.restore_buffers()
            raise
        return total.loss

    def _begin(self, parameters: Parameters) -> bool:
        """Whether this step is perturbed: decided once for all that is accumulated, as in the loop."""
        method = self.method
        accumulating = any(p.grad is not None for p in parameters.parameters)
        if not (accumulating and method._micro_batch):
            method._start_over()
        return method._decided()


class _Total:
    """What the micro-batches of one call add up to."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._gradients: list[Tensor | None] = [None] * len(setting.parameters.parameters)
        self._losses: list[tuple[Tensor, int]] = []
        self._loss = torch.zeros(())
        self._realized: list[tuple[Tensor, Tensor | None] | None] = []
        self._not_finite: list[Tensor] = []
        self._evaluations = 0

    @property
    def loss(self) -> Tensor:
        """Mean over samples of the training loss of the first pass."""
        return self._loss

    def add(self, data: Chunks, scale: float | Tensor) -> None:
        """Run a block of micro-batches. Of what it made, only gradients and numbers are kept."""
        block = Block(self._setting, data, scale, self._setting.method._micro_batch + len(self._realized))
        self._gradients = [_add(total, part) for total, part in zip(self._gradients, block.run(), strict=True)]
        self._losses.append((block.losses, data.size))
        self._loss = block.losses.sum() * data.share + self._loss.to(block.losses)
        self._realized += block.perturbation.realized
        self._not_finite += block.perturbation.not_finite
        self._evaluations += block.evaluations

    @torch.no_grad()
    def hand_over(self) -> None:
        """Leave the gradient in `p.grad`, and report."""
        setting, method = self._setting, self._setting.method
        self._mark_if_not_finite()
        parameters = setting.parameters.parameters
        totals = [p.grad if g is None else _added(g, p) for g, p in zip(self._gradients, parameters, strict=True)]
        held = zip(setting.held, setting.start.tensors, strict=True)
        norm = setting.start.norm([torch.zeros_like(w) if (t := totals[i]) is None else t for i, w in held])
        for losses, size in self._losses:
            for loss in losses.unbind():
                method.last_step.note_loss(loss, size)
        for realized in self._realized:
            method.last_step.note_flow(setting.radii, realized, norm)
        method.last_step.gradient_evaluations += self._evaluations
        for parameter, total in zip(parameters, totals, strict=True):
            parameter.grad = total
        method._micro_batch += len(self._realized)

    def _mark_if_not_finite(self) -> None:
        """Make one gradient NaN if an ascent was not finite, as the loop does."""
        present = [gradient for i in self._setting.held if (gradient := self._gradients[i]) is not None]
        if self._not_finite and present:
            smallest = min(present, key=lambda gradient: gradient.numel() or float("inf"))
            smallest.masked_fill_(
                torch.cat([f.reshape(-1) for f in self._not_finite]).any().to(smallest.device), float("nan")
            )


def _add(left: Tensor | None, right: Tensor | None) -> Tensor | None:
    return right if left is None else left if right is None else left + right


def _added(gradient: Tensor, parameter: Tensor) -> Tensor:
    """What backward() would leave: laid out as the parameter is, in memory that no other gradient shares."""
    total = torch.empty_like(parameter).copy_(gradient)
    return total if parameter.grad is None else total.add_(parameter.grad)


class _Written:
    """Buffers and frozen parameters as they were: micro-batches that run side by side cannot take turns writing."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._versions = self._now()

    def check(self) -> None:
        """Raise UnsupportedError if the forward has written to one."""
        now = self._now()
        changed = [name for name in self._versions.keys() | now.keys() if self._versions.get(name) != now.get(name)]
        if changed:
            raise UnsupportedError(
                f"cannot vectorize over micro-batches with a model whose forward writes to {min(changed)!r}, because "
                f"micro-batches that run at the same time cannot write in turn; {LOOP}"
            )

    def _now(self) -> dict[str, tuple[int, int]]:
        tensors = dict(self._model.named_buffers())
        tensors.update((name, p) for name, p in self._model.named_parameters() if not p.requires_grad)
        return {name: (id(t), 0 if t.is_inference() else t._version) for name, t in tensors.items()}


def _check_model(model: nn.Module) -> None:
    if not isinstance(gradient_sync(model, "batch", combines=False, accumulated=False), Local):
        raise UnsupportedError(
            "cannot vectorize over micro-batches with a DistributedDataParallel or fully_shard model, because its "
            "wrapper averages or gathers inside the forward and backward of one set of weights; give the module inside "
            f"DistributedDataParallel and average p.grad over ranks yourself, or {LOOP}"
        )
    for name, module in model.named_modules():
        if isinstance(module, _NormBase) and module.training and module.running_mean is not None:
            raise UnsupportedError(
                f"cannot vectorize over micro-batches with {type(module).__name__} {name!r} in training, because "
                "micro-batches that run at the same time cannot update its running statistics in turn; use GroupNorm "
                f"or track_running_stats=False, put it into eval(), or {LOOP}"
            )
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.sparse:
            raise UnsupportedError(
                f"cannot vectorize over micro-batches with the sparse gradients of {name!r}, because norms and "
                "perturbations need all their entries; build the embedding with sparse=False"
            )


def _check_hooks(parameters: Parameters) -> None:
    for name, parameter in zip(parameters.names, parameters.parameters, strict=True):
        if parameter._backward_hooks or parameter._post_accumulate_grad_hooks:
            raise UnsupportedError(
                f"cannot vectorize over micro-batches with a hook on the gradient of parameter {name!r}, because "
                f"gradients do not pass through the parameter itself; remove the hook, or {LOOP}"
            )
