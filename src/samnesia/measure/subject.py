"""What is measured: a model, its criterion and its batches, looked at without leaving a trace.

Every measure takes a :class:`Subject`. It settles, once for all of them, what would otherwise be settled anew and
differently by each: in which mode the model runs, which samples are seen and in which order, what the mean over them
is, and that nothing of the model is changed afterwards.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from samnesia.measure.batches import Answered, Batch, Batches, count, halves, joined
from samnesia.measure.progress import Progress, Silent
from samnesia.measure.statistics import RunningStatistics, Statistics, dropouts
from samnesia.measure.traceless import generators_kept
from samnesia.perturb.errors import ConfigurationError, UnsupportedError
from samnesia.perturb.flow.sync import reshard
from samnesia.perturb.modules import ModelState, forget_cached_weights, innermost, parameter_name
from samnesia.perturb.tensors import Weights, is_dtensor, local

Criterion = Callable[[Any, Tensor], Tensor]
"""``(output, target) -> scalar``: the mean over the samples of a batch."""

_AGREES = 2e-5  # of a batch's loss, between the whole and the mean of its parts; single precision, summed otherwise


class Subject:
    r"""A model, its criterion and batches: the loss :math:`L(w) = \frac1N \sum_i \ell(f_w(x_i), y_i)` and its kin.

    The model runs in evaluation mode (no dropout; normalization layers by their running statistics, or see
    ``statistics``), in its own precision (without ``torch.autocast``, unless its forward asks for it), with attention
    by the kernel that can be differentiated twice. Modes, buffers, gradients,
    ``requires_grad`` and the global random generators are afterwards what they were, bit by bit, also if something
    raises. Only parameters that are trained (``requires_grad``) are differentiated and moved.

    A pass goes over all batches once; memory does not depend on how many there are. Each pass must give the same
    batches: a loader that shuffles or augments at random is refused, here or in the first pass that differs.

    Args:
        model: any module with weights in single or double precision, also wrapped in DistributedDataParallel, or
            compiled: it runs uncompiled here, because compiled code cannot be differentiated twice.
        criterion: ``(output, target) -> scalar``, the mean over the samples of a batch; sums and class weights are
            refused, because their mean over batches of different sizes is another function, and so are targets that
            are its ``ignore_index``.
        batches: (inputs, targets), such as a DataLoader; gone through once per pass.
        samples: how many of the samples to look at, drawn without replacement; None looks at all. Of a DataLoader over
            a dataset with indices only those are loaded, in the order of the dataset, whether it shuffles or not.
        seed: which ones are drawn.
        statistics: by what normalization layers normalize; :class:`RunningStatistics` or :class:`BatchStatistics`.
        distributed: each process holds a share of the samples, and all of them measure together.
        progress: who is told how far it is; :class:`samnesia.measure.Bar` shows time left.

    Raises:
        ConfigurationError: for no batches, a batch that is no pair, a criterion that gives no mean over samples, a loss
            that is not finite, or more samples than there are.
        UnsupportedError: for a model without trainable parameters, or with such in half precision; and under
            ``torch.inference_mode()``.
    """

    def __init__(
        self,
        model: nn.Module,
        criterion: Criterion,
        batches: Iterable[Batch],
        *,
        samples: int | None = None,
        seed: int = 0,
        statistics: Statistics | None = None,
        distributed: bool = False,
        progress: Progress | None = None,
    ) -> None:
        _refuse_inference_mode()
        if not isinstance(model, nn.Module) or not callable(criterion):
            raise ConfigurationError(
                f"cannot measure a {type(model).__name__} by a {type(criterion).__name__}, because a module and a "
                "function of its output and the targets are needed; give Subject(model, criterion, batches)"
            )
        reshard(model)
        named = {parameter_name(name): p for name, p in model.named_parameters() if p.requires_grad}
        if not named:
            raise UnsupportedError(
                "cannot measure a model without trainable parameters, because it has no direction to move in; unfreeze "
                "those that are meant (requires_grad_(True))"
            )
        self.wrapped = model
        self.names, self.parameters = list(named), list(named.values())
        self._check_types()
        self.sharded = any(is_dtensor(p) for p in self.parameters)
        self.model = model if self.sharded else innermost(model)
        self.criterion, self.statistics = criterion, statistics or RunningStatistics()
        self.distributed, self.progress = distributed, progress or Silent()
        self.device = self.parameters[0].device
        self.products = 0
        if distributed and not dist.is_initialized():
            raise ConfigurationError(
                "cannot measure over several processes, because no process group is there; call "
                "torch.distributed.init_process_group() first, or leave distributed out"
            )
        with generators_kept(model):
            ignored = getattr(criterion, "ignore_index", None)
            self._batches = Batches(batches, self.device, samples=samples, seed=seed, ignored=ignored)
        self.local_samples = self._batches.samples
        self.samples = self._everywhere(self.local_samples)
        self._check_shares()
        self._check()

    def __repr__(self) -> str:
        """What is measured, in short; :meth:`describe` has all."""
        size = sum(p.numel() for p in self.parameters)
        return (
            f"Subject({type(self.model).__name__} of {size} trained parameters, {self.samples} samples in "
            f"{self.num_batches} batches)"
        )

    @property
    def weights(self) -> Weights:
        """The trained parameters as they stand, for balls and norms."""
        return Weights.of(self.names, self.parameters)

    @property
    def num_batches(self) -> int:
        """How many batches a pass has, in this process."""
        return self._batches.count

    @property
    def batch_sizes(self) -> list[int]:
        """How many samples each batch of a pass has, in this process."""
        return self._batches.sizes

    @property
    def chosen(self) -> Tensor | None:
        """The numbers of the samples that were drawn of all there are, in the order of a pass; None where all are."""
        return self._batches.chosen

    def with_statistics(self, statistics: Statistics) -> Subject:
        """The same model and samples, normalized otherwise; no pass over the data, and ``products`` begins at 0."""
        other = copy.copy(self)
        other.statistics, other.products = statistics, 0
        return other

    def describe(self) -> dict[str, Any]:
        """What has to stand beside each figure: mode, statistics, samples, order, criterion, precision, processes."""
        name = getattr(self.criterion, "__name__", type(self.criterion).__name__)
        return {
            "criterion": name,
            "mode": "evaluation",
            "dropout": "off" if dropouts(self.model) else "none",
            "normalization": self.statistics.describe(self.model),
            "attention": "math kernel",
            "samples": self.samples,
            "drawn": self._batches.drawn,
            "batches": self.num_batches,
            "parameters": sum(p.numel() for p in self.parameters),
            "dtype": str(self.parameters[0].dtype).removeprefix("torch."),
            "device": self.device.type,
            "processes": dist.get_world_size() if self.distributed else 1,
        }

    @contextmanager
    def looking(self) -> Iterator[None]:
        """The model in the state in which it is measured; afterwards it is as it was. May be nested."""
        state = ModelState(self.model, {p.device for p in self.model.parameters()})
        modes = [(module, module.training) for module in self.model.modules()]
        _refuse_inference_mode()
        with generators_kept(self.model), sdpa_kernel(SDPBackend.MATH), self._own_precision(), _uncompiled():
            try:
                self.model.eval()
                self.statistics.prepare(self.model)
                yield
            finally:
                for module, training in modes:
                    module.training = training
                state.restore_buffers()
                reshard(self.model)

    @contextmanager
    def at(self, offsets: Sequence[Tensor]) -> Iterator[None]:
        """The trained parameters moved by ``offsets`` (local tensors in their order), and put back bit by bit."""
        moved = [local(p.detach()) for p in self.parameters]
        kept = [p.clone() for p in moved]
        try:
            with torch.no_grad():
                for p, offset in zip(moved, offsets, strict=True):
                    p.add_(offset)
            self._written()
            yield
        finally:
            with torch.no_grad():
                for p, value in zip(moved, kept, strict=True):
                    p.copy_(value)
            self._written()

    def _written(self) -> None:
        """Nobody is to go on with what was made of the weights as they were."""
        reshard(self.model)
        forget_cached_weights()

    def _own_precision(self) -> AbstractContextManager[Any]:
        kind = self.device.type
        return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()

    @contextmanager
    def counting(self, name: str, products: float) -> Iterator[None]:
        """A task of about so many passes over the data, for whoever watches."""
        self.progress.begin(name, products)
        try:
            yield
        finally:
            self.progress.end()

    def batches(self) -> Iterator[Batch]:
        """One pass: the batches of this process, on the device, checked to be those of the first pass."""
        for batch in self._batches:
            yield batch
            self.progress.advance(1.0 / self.num_batches)
        self.products += 1

    def mean(self, of: Callable[[Batch], Sequence[Tensor]]) -> list[Tensor]:
        """The mean over samples, in one pass, of what ``of`` gives as means over a batch; over all processes.

        0-d values are added in double precision, others in their own. Gradients of sharded parameters (DTensors) are
        means over the batches of all processes as they come; of those, each process gets its part.
        """
        totals: list[Tensor] | None = None
        with self.looking():
            for batch in self.batches():
                values = [v.detach().double() if v.ndim == 0 else v.detach() for v in of(batch)]
                if totals is None:
                    totals = [torch.zeros_like(v) for v in values]
                together = self._together(batch) if self.sharded else count(batch)
                for total, value in zip(totals, values, strict=True):
                    total.add_(value, alpha=together if is_dtensor(value) else count(batch))
        self.summed([total for total in totals or [] if not is_dtensor(total)])
        return [local(total) / self.samples for total in totals or []]

    def loss(self) -> float:
        """The loss L(w) over all samples; raises ConfigurationError if it is not finite."""
        with torch.no_grad():
            value = float(self.mean(lambda batch: [self.loss_of(batch)])[0])
        if not math.isfinite(value):
            raise ConfigurationError(
                f"cannot measure at a loss of {value}, because nothing near it has a slope or a curvature; look at the "
                "weights and the inputs"
            )
        return value

    def loss_of(self, batch: Batch) -> Tensor:
        """The criterion of a batch, inside :meth:`looking`; a 0-d tensor that can be differentiated."""
        return self.criterion(self.model(batch[0]), batch[1])

    def gradient_of(self, batch: Batch, *, create_graph: bool = False) -> list[Tensor]:
        """The gradient of a batch's loss, one tensor per parameter; ``p.grad`` is not touched.

        Of sharded parameters it is that of the batches of all processes together, and has no graph.
        """
        return self.loss_and_gradient_of(batch, create_graph=create_graph)[1]

    def loss_and_gradient_of(self, batch: Batch, *, create_graph: bool = False) -> tuple[Tensor, list[Tensor]]:
        """The loss of a batch, without a graph, and :meth:`gradient_of`: one forward and one backward."""
        if self.sharded:
            return self._gathered(batch)
        with torch.enable_grad():
            loss = self.loss_of(batch)
            found = torch.autograd.grad(
                loss, self.parameters, create_graph=create_graph, allow_unused=True, materialize_grads=True
            )
        return loss.detach(), list(found)

    def gradient(self) -> list[Tensor]:
        """The gradient of L over all samples, in one pass."""
        return self.mean(self.gradient_of)

    def _gathered(self, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """By backward, in which weights are gathered, and gradients averaged over processes and scattered."""
        kept = [p.grad for p in self.parameters]
        share = count(batch) * dist.get_world_size() / self._together(batch) if self.distributed else 1.0
        try:
            for p in self.parameters:
                p.grad = None
            with torch.enable_grad():
                loss = self.loss_of(batch)
                (loss * share).backward()
            found = [torch.zeros_like(p.detach()) if p.grad is None else p.grad for p in self.parameters]
            return loss.detach(), found
        finally:
            for p, gradient in zip(self.parameters, kept, strict=True):
                p.grad = gradient

    def _together(self, batch: Batch) -> int:
        """How many samples the batches have that all processes see at the same time."""
        return self._everywhere(count(batch))

    def _everywhere(self, number: int) -> int:
        """The sum over processes."""
        return int(self.summed([torch.tensor(float(number), dtype=torch.float64)])[0])

    def summed(self, values: Sequence[Tensor]) -> list[Tensor]:
        """The values added over processes, where several measure together; else as they are."""
        if self.distributed:
            for value in values:
                if value.device == self.device or self.device.type == "cpu":
                    dist.all_reduce(value)
                else:
                    moved = value.to(self.device)
                    dist.all_reduce(moved)
                    value.copy_(moved)
        return list(values)

    def _check_types(self) -> None:
        for name, p in zip(self.names, self.parameters, strict=True):
            if p.dtype not in (torch.float32, torch.float64):
                raise UnsupportedError(
                    f"cannot measure with the parameter {name!r} of type {p.dtype}, because what rounding does to a "
                    "loss, a move or a gradient in that type is no smaller than what is measured; measure a copy in "
                    "single precision (copy.deepcopy(model).float(), with floating inputs likewise)"
                )

    def _check_shares(self) -> None:
        """Sharded weights are gathered by all processes at the same time, batch by batch."""
        if self.sharded and self.distributed:
            total, squares = self._everywhere(self.num_batches), self._everywhere(self.num_batches**2)
            if total**2 != dist.get_world_size() * squares:
                raise ConfigurationError(
                    f"cannot measure a sharded model on {self.num_batches} batches in this process and another number "
                    "elsewhere, because all processes gather its weights together for each batch; give each process "
                    "the same number of batches"
                )

    def _check(self) -> None:
        if isinstance(self.criterion, nn.CrossEntropyLoss | nn.NLLLoss) and self.criterion.weight is not None:
            raise ConfigurationError(
                "cannot measure with class weights, because their mean over a batch is divided by the weights of its "
                "labels, and so is no mean over samples; give a criterion without them, or multiply each sample's loss"
            )
        with self.looking(), torch.no_grad():
            first = self._batches.first()
            output = self.model(first[0])
            loss = self.criterion(output, first[1])
            if not isinstance(loss, Tensor) or loss.numel() != 1:
                raise ConfigurationError(
                    "cannot measure with a criterion that gives no single number, because a loss has to be one; give "
                    "the mean over the samples of a batch"
                )
            if not torch.isfinite(loss):
                raise ConfigurationError(
                    f"cannot measure at a loss of {float(loss)} (first batch), because nothing near it has a slope or "
                    "a curvature; look at the weights and the inputs"
                )
            if (parts := halves((output, first[1]))) is not None:
                self._check_mean(loss, *parts)
            last, self._batches.last = self._batches.last, None
            if self.num_batches > 1 and last is not None:  # of other classes, where samples are sorted by them
                ends = (output, first[1]), (self.model(last[0]), last[1])
                if (both := joined(*ends)) is not None:
                    self._check_mean(self.criterion(*both), *ends)

    def _check_mean(self, together: Tensor, *parts: Answered) -> None:
        """Refuse a criterion whose value for samples together is not the mean of its values for parts of them."""
        loss, eps = float(together), torch.finfo(together.dtype).eps
        sizes = [len(targets) for _, targets in parts]
        mean = sum(size * float(self.criterion(*part)) for size, part in zip(sizes, parts, strict=True)) / sum(sizes)
        if abs(mean - loss) > max(_AGREES, 4.0 * eps) * max(abs(loss), abs(mean)):
            raise ConfigurationError(
                f"cannot measure with this criterion, because its value for a batch ({loss:.6g}) is not the mean over "
                f"the samples (by parts: {mean:.6g}), as with class weights, ignored targets or reduction='sum'; give "
                "a criterion that is the plain mean over samples"
            )


def _refuse_inference_mode() -> None:
    if torch.is_inference_mode_enabled():
        raise UnsupportedError(
            "cannot measure under torch.inference_mode(), because what is computed there has no gradient; leave it "
            "out, as measures switch gradients on and off themselves"
        )


def _uncompiled() -> AbstractContextManager[Any]:
    """Modules run as they are written, also those that were compiled in place; nothing where nobody compiles."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
