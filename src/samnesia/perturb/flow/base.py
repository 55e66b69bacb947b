"""What every flow of passes has in common: what is set aside, how a pass is opened and checked, how all is put back.

Everything that can fail runs either before anything of the user's was touched, or under `Flow.abort`, which is
idempotent and is run again if it is itself interrupted. The last act is to hand over the gradients.
"""

from __future__ import annotations

import contextlib
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from samnesia.perturb.errors import NoGradientError, PassesError, UnfinishedPassesWarning
from samnesia.perturb.flow.criteria import Criteria, Pass
from samnesia.perturb.flow.gradients import Gradients, KeptGradients
from samnesia.perturb.flow.lesson import Lesson
from samnesia.perturb.flow.moving import generator
from samnesia.perturb.flow.sync import GradientSync
from samnesia.perturb.modules import ModelState, Parameters, check_gradients, forget_cached_weights
from samnesia.perturb.parts.ball import Ball
from samnesia.perturb.parts.point import Need
from samnesia.perturb.tensors import Weights, assign, local, local_gradient, norms

if TYPE_CHECKING:
    from samnesia.perturb.flow.passes import PerturbedGradient


class Flow(ABC):
    """The working state of one flow: parameters, gradients, model and report. Its parts see it as their `Point`."""

    _sync: GradientSync

    def __init__(self, method: PerturbedGradient, parameters: Parameters, *, fires: bool, watches: bool) -> None:
        self._method = method
        self._parameters = parameters
        self._report = method.last_step
        self._num_losses = self._report.num_losses
        self._held = [i for i, group in enumerate(parameters.groups) if group is not None]
        self._radii = method.radii() if fires else ()
        self._criteria = Criteria(method, self._report, fires=fires, watches=watches)
        self._lesson: Lesson | None = None
        self._told_losses = method.loss is not None  # by p.loss, each loss of each pass
        self._pass: Pass | None = None
        self._passed = 0
        self._weights = self._weights_now()
        self._not_finite: Tensor | None = None
        self._saved: list[Tensor] | None = None
        self._drawn = 0
        self._gradients = (KeptGradients if method.keep_gradient_buffers else Gradients)(parameters.parameters)
        self._entry = ModelState(method.model, {p.device for p in parameters.parameters})
        if method.replay_dropout:
            self._entry.check_random()
        self._after_first: ModelState | None = None

    # -- the flow ----------------------------------------------------------------------------------------------------

    @abstractmethod
    def passes(self) -> Generator[Pass, None, None]:
        """All passes, and what is done between and after them."""

    def run(self) -> Generator[Pass, None, None]:
        """All passes, from the first to the gradient in `p.grad`; whatever ends them early restores everything."""
        finished = False
        try:
            yield from self.passes()
            finished = True
        finally:
            if not finished:
                lost = self._pass is not None and self._pass.last and self._gradient_seen()
                _insist(self.abort)
                if lost:
                    warnings.warn(
                        "a loop over passes() was left in its last pass, after a gradient had been computed: the step "
                        "was undone. Let the loop finish; with zip, put passes() first",
                        UnfinishedPassesWarning,
                        stacklevel=3,
                    )

    def _open(
        self, need: Need, *, ascent: bool = False, last: bool = False, teacher: bool = False
    ) -> Generator[Pass, None, None]:
        """Yield one pass and check that it was used as meant."""
        self._gradients.clear()
        self._sync.open_pass(last=last, teacher=teacher)
        if last and self._not_finite is not None:
            self._sync.mark(self._not_finite, [self._parameters.parameters[i] for i in self._held])
        if self._passed and self._method.replay_dropout:
            self._entry.restore_random()
        gradient = need is Need.GRADIENT
        # the method's criterion, not this step's: a pass that is kept must not keep the saved weights
        method = self._method
        self._pass = Pass(self._passed, ascent, last, gradient, teacher, method.criterion, method.batch)
        self._criteria.open(self._pass)
        if self._lesson is not None:
            self._lesson.open()
        yield self._pass
        self._close(gradient, teacher=teacher)

    def _close(self, gradient: bool, *, teacher: bool = False) -> None:
        self._pass = None
        self._entry.check_modes()
        if teacher:
            self._entry.check_frozen()
        elif self._after_first is None:
            self._after_first = self._entry.now()
        else:
            self._after_first.check_frozen()
        self._passed += 1
        if not gradient:
            return
        self._report.gradient_evaluations += 1
        check_gradients(self._weights.names, [p.grad for p in self._weights.parameters])
        if not self._gradient_seen():
            raise NoGradientError(
                f"cannot use pass {self._passed - 1}, because it ended without a gradient in any parameter of the "
                "optimizer; call backward() on the loss once in each pass, and zero_grad() only at its start"
            )
        self._criteria.close()

    def _gradient_seen(self) -> bool:
        return self._gradients.seen(self._held)

    # -- what parts may see ------------------------------------------------------------------------------------------

    @property
    def ball(self) -> Ball:
        """The geometry in which the radius is meant."""
        return self._method.ball

    @property
    def epsilon(self) -> float:
        """The constant that keeps norms from dividing by zero."""
        return self._method.epsilon

    @property
    def step(self) -> int:
        """Optimizer steps taken before this one."""
        return self._method.steps

    @property
    def radii(self) -> Sequence[float]:
        """The radius of each weight; 0 on a step that is not perturbed."""
        return [self._radii[self._parameters.groups[i] or 0] if self._radii else 0.0 for i in self._held]

    def generator(self, device: torch.device) -> torch.Generator:
        """A generator seeded by (seed, step, micro-batch), and by the rank where each has its own perturbation."""
        method, number = self._method, self._drawn
        self._drawn += 1
        key = (method.seed, method.steps, method._micro_batch, number)
        return generator(device, *key, per_rank=method.sync == "rank")

    def loss_scale(self, unknown: float | None = None) -> Tensor:
        """The factor of the last pass's loss, averaged over ranks; `unknown`, or PassesError, if nobody knows.

        A method built with `loss=` is to be told it by `p.loss`: a loss computed beside it is taken for a mistake.
        """
        scale = self._criteria.scale()
        if scale is not None:
            scale = self._sync.mean(scale, self._parameters.parameters)
            return torch.where(scale == 0.0, 1.0, scale)
        if unknown is not None and not self._told_losses:
            return torch.tensor(unknown)
        parts = " and ".join(str(part) for part in (self._method.ascent, self._method.rule) if part is not None)
        built = "" if self._method.loss is not None else "build the method with loss= and "
        raise PassesError(
            f"cannot apply {parts} without knowing by how much the loss was scaled, because the size of gradients "
            f"counts there; {built}compute the loss of each pass with p.loss(output, target) or method.criterion"
        )

    def criterion(self, output: Tensor, target: Tensor, samples: Tensor | None = None) -> Tensor:
        """The criterion of the running pass; the first one notes the training loss."""
        return self._criteria(output, target)

    def batch(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The samples of the running pass."""
        return self._criteria.batch(*tensors)

    # -- gradients and weights ---------------------------------------------------------------------------------------

    def _safe(self, gradients: list[Tensor | None]) -> list[Tensor | None]:
        """Gradients that the next backward call will not overwrite."""
        return self._gradients.safe(self._sync.safe(gradients))

    @torch.no_grad()
    def _computed(self) -> list[Tensor | None]:
        return [local_gradient(self._parameters.parameters[i]) for i in self._held]

    def _filled(self, gradients: Sequence[Tensor | None]) -> list[Tensor]:
        return [torch.zeros_like(w) if g is None else g for g, w in zip(gradients, self._weights.tensors, strict=True)]

    def _mark_if_not_finite(self, totals: Sequence[Tensor | None]) -> None:
        """Make one gradient NaN if the ascent was not finite: enough for a scaler to find, and cheap."""
        old = self._gradients.old
        present = [local(total) for i in self._held if (total := totals[i]) is not None and total is not old[i]]
        if self._not_finite is not None and present:
            smallest = min(present, key=lambda gradient: gradient.numel() or float("inf"))
            smallest.masked_fill_(self._not_finite.to(smallest.device), float("nan"))

    def _norm_of(self, totals: Sequence[Tensor | None]) -> Tensor:
        held = [totals[i] for i in self._held]
        sizes, nothing = iter(norms([local(g) for g in held if g is not None])), self._weights.tensors[0].new_zeros(())
        return self._weights.total([nothing if g is None else next(sizes) for g in held])

    def _restore_weights(self) -> None:
        if self._saved is None:
            return
        self._place(self._saved)

    @torch.no_grad()
    def _place(self, values: Sequence[Tensor]) -> None:
        """Let the weights be `values`."""
        assign(self._weights_now().tensors, values)
        self._weights_changed()

    def _weights_now(self) -> Weights:
        """Views of the weights where they are now: a forward may have given a parameter other storage."""
        names, parameters = self._parameters.names, self._parameters.parameters
        return Weights.of([names[i] for i in self._held], [parameters[i] for i in self._held])

    def _weights_changed(self) -> None:
        self._sync.weights_changed()
        forget_cached_weights()

    def _restore_model(self) -> None:
        """Buffers, and with replay the random state, as one pass would have left them."""
        if self._after_first is not None:
            self._after_first.restore_buffers()
            if self._method.replay_dropout:
                self._after_first.restore_random()

    def abort(self) -> None:
        """Put weights, gradients, buffers and random state back to where they were on entry; may be called twice."""
        with contextlib.ExitStack() as stack:  # each of these is tried, also if one fails; the last comes first
            stack.callback(self._report.forget_losses_after, self._num_losses)
            stack.callback(self._sync.close)
            stack.callback(self._entry.restore_random)
            stack.callback(self._entry.restore_buffers)
            stack.callback(self._restore_weights)
            self._gradients.put_back()


def _insist(restore: Callable[[], None]) -> None:
    """Restore; if that is interrupted, restore again before giving way."""
    try:
        restore()
    except BaseException:
        restore()
        raise
