"""One flow of passes, from the first forward to the gradient in `p.grad`: what is set aside, moved and put back.

Everything that can fail runs either before anything of the user's was touched, or under `Step.abort`, which is
idempotent and is run again if it is itself interrupted. The last act is to hand over the gradients.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from samnesia.perturb.ascents import Need
from samnesia.perturb.ball import Ball
from samnesia.perturb.errors import (
    ConfigurationError,
    NoGradientError,
    ObjectiveNotUsedError,
    PassesError,
    UnfinishedPassesWarning,
)
from samnesia.perturb.gradients import Gradients, KeptGradients
from samnesia.perturb.modules import ModelState, Parameters, check_gradients, forget_cached_weights
from samnesia.perturb.moving import generator, move
from samnesia.perturb.sync import gradient_sync
from samnesia.perturb.tensors import (
    Direction,
    Weights,
    assign,
    copies,
    like_parameter,
    local,
    local_gradient,
    norms,
)

if TYPE_CHECKING:
    from samnesia.perturb.passes import PerturbedGradient


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward and backward that a method asks for.

    index: 0, 1, … within the flow. ascent: whether its gradient shapes the perturbation. last: whether its gradient is
    the one that is stepped. needs_gradient: False if a forward suffices (a backward does no harm).
    """

    index: int
    ascent: bool
    last: bool
    needs_gradient: bool
    _criterion: Callable[[Tensor, Tensor], Tensor]

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The criterion of this pass: the training loss, or on ascent passes the method's objective.

        Raises ConfigurationError if the method was built without `loss=`.
        """
        return self._criterion(output, target)


class Standing(Enum):
    """What becomes of the gradient that stands in `p.grad` when a flow begins."""

    ADD = auto()
    """The flow's gradient is added to it."""
    DROP = auto()
    """It is dropped, unless the flow aborts: the closure convention."""
    ADOPT = auto()
    """It is the gradient of the first pass."""


class Step:
    """The working state of one flow. An ascent sees it as its `Point`."""

    def __init__(
        self, method: PerturbedGradient, parameters: Parameters, *, fires: bool, standing: Standing = Standing.ADD
    ) -> None:
        self._method = method
        self._parameters = parameters
        self._standing = standing
        self._report = method.last_step
        self._num_losses = self._report.num_losses
        self._held = [i for i, group in enumerate(parameters.groups) if group is not None]
        self._radii = method.radii() if fires else ()
        self._ascent = method.ascent if fires else None
        self._rule = method.rule if fires else None
        self._pass: Pass | None = None
        self._passed = 0
        self._objective_used = False
        self._loss_scales: list[Tensor] = []
        self._clean: list[Tensor | None] = []
        self._weights = self._weights_now()
        self._not_finite: Tensor | None = None
        self._saved: list[Tensor] | None = None
        self._realized: tuple[Tensor, Tensor | None] | None = None
        self._measures = method._measures_rounding(fires)
        self._drawn = 0
        self._gradients = (KeptGradients if method.keep_gradient_buffers else Gradients)(parameters.parameters)
        self._sync = gradient_sync(
            method.model,
            method.sync,
            combines=self._rule is not None,
            accumulated=standing is Standing.ADD and any(g is not None for g in self._gradients.old),
        )
        self._entry = ModelState(method.model, {p.device for p in parameters.parameters})
        if method.replay_dropout:
            self._entry.check_random()
        self._after_first: ModelState | None = None

    # -- the flow ----------------------------------------------------------------------------------------------------

    def run(self) -> Generator[Pass, None, None]:
        """All passes, from the first to the gradient in `p.grad`; whatever ends them early restores everything."""
        finished = False
        try:
            if self._standing is Standing.DROP:
                self._gradients.forget()
            self._gradients.old = self._safe(self._gradients.old)
            yield from self._climb()
            yield from self._open(Need.GRADIENT, ascent=False)
            self._finish()
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

    def _climb(self) -> Generator[Pass, None, None]:
        adopted = self._standing is Standing.ADOPT
        if self._ascent is None:
            if adopted:
                self._close(gradient=True)
            return
        climb = self._ascent.climb(self)
        need = self._advance(climb, None)
        while need is not None:
            if adopted:
                self._close(gradient=True)
                adopted = False
            else:
                yield from self._open(need, ascent=True)
            need = self._advance(climb, self._take() if need is Need.GRADIENT else [])

    @torch.no_grad()
    def _advance(self, climb: Generator[Need, list[Tensor], None], gradients: list[Tensor] | None) -> Need | None:
        try:
            return climb.send(gradients) if gradients is not None else next(climb)
        except StopIteration:
            return None

    def _open(self, need: Need, *, ascent: bool) -> Generator[Pass, None, None]:
        """Yield one pass and check that it was used as meant."""
        self._gradients.clear()
        self._sync.open_pass(last=not ascent)
        if not ascent and self._not_finite is not None:
            self._sync.mark(self._not_finite, [self._parameters.parameters[i] for i in self._held])
        if self._passed and self._method.replay_dropout:
            self._entry.restore_random()
        self._objective_used = False
        gradient = need is Need.GRADIENT
        # the method's criterion, not this step's: a pass that is kept must not keep the saved weights
        self._pass = Pass(self._passed, ascent, not ascent, gradient, self._method.criterion)
        yield self._pass
        self._close(gradient)

    def _close(self, gradient: bool) -> None:
        running, self._pass = self._pass, None
        self._entry.check_modes()
        if self._passed == 0:
            self._after_first = self._entry.now()
        elif self._after_first is not None:
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
        if running is not None and running.ascent and self._method.objective and not self._objective_used:
            raise ObjectiveNotUsedError(
                "cannot ascend the loss in place of the method's own objective, because that would train another "
                "method; compute the loss of each pass with p.loss(output, target) or method.criterion"
            )

    def _gradient_seen(self) -> bool:
        return self._gradients.seen(self._held)

    # -- what an ascent may do (Point) -------------------------------------------------------------------------------

    @property
    def ball(self) -> Ball:
        """The geometry in which the radius is meant."""
        return self._method.ball

    @property
    def epsilon(self) -> float:
        """The constant that keeps norms from dividing by zero."""
        return self._method.epsilon

    @property
    def start(self) -> Weights:
        """The weights with their values before any move."""
        if self._saved is None:
            return self._weights
        return self._weights.holding(
            [s.to(w.device, non_blocking=True) for s, w in zip(self._saved, self._weights.tensors, strict=True)]
        )

    def generator(self, device: torch.device) -> torch.Generator:
        """A generator seeded by (seed, step, micro-batch), and by the rank where each has its own perturbation."""
        method, number = self._method, self._drawn
        self._drawn += 1
        key = (method.seed, method.steps, method._micro_batch, number)
        return generator(device, *key, per_rank=method.sync == "rank")

    @torch.no_grad()
    def move(self, direction: Direction | Sequence[Tensor], fraction: float = 1.0) -> None:
        """Add `fraction` times each group's radius times `direction`, after saving the weights once.

        A direction that is not finite moves nothing: the user's forward must not meet weights of NaN. It makes the
        final gradient NaN instead, so that the step is skipped by whoever skips such steps.
        """
        weights = self._weights = self._weights_now()
        radii = [self._radii[self._parameters.groups[i] or 0] * fraction for i in self._held]
        start = None if self._saved is None else self.start
        if self._saved is None:
            self._saved = copies(weights.tensors, in_host_memory=self._method.offload)
        moved = move(weights, direction, radii, start=start, measures=self._measures)
        self._weights_changed()
        so_far = self._not_finite
        self._not_finite = moved.not_finite if so_far is None else so_far | moved.not_finite
        self._realized = (moved.norm, moved.cosine)

    # -- gradients ---------------------------------------------------------------------------------------------------

    def criterion(self, output: Tensor, target: Tensor) -> Tensor:
        """The criterion of the running pass; notes the clean loss on the first."""
        running, method = self._pass, self._method
        if running is not None and running.ascent and method.objective is not None:
            self._objective_used = True
            if self._passed == 0:
                with torch.no_grad():
                    self._report.note_loss(method.training_loss(output.detach(), target), _samples(target))
            return method.objective(output, target)
        loss = method.training_loss(output, target)
        if self._passed == 0:
            self._report.note_loss(loss, _samples(target))
        if self._rule is not None and running is not None and running.last and loss.requires_grad:
            scales = self._loss_scales  # no more than that: a loss that is kept must not keep the saved weights
            loss.register_hook(lambda gradient: scales.append(gradient.detach().sum()))
        return loss

    def _scale_of_loss(self) -> Tensor:
        if not self._loss_scales:
            raise PassesError(
                f"cannot apply {self._rule} without knowing by how much the loss was scaled, because it mixes a unit "
                "vector with a gradient; build the method with loss= and compute the loss with p.loss(output, target)"
            )
        return self._sync.mean(torch.stack(self._loss_scales).sum(), self._parameters.parameters)

    def _take(self) -> list[Tensor]:
        """The gradients of the pass just closed, for the ascent; zeros where a parameter had none."""
        gradients = self._computed()
        if self._ascent is not None and self._ascent.num_gradients > 1:  # it may look at earlier ones later
            gradients = self._safe(gradients)
        if self._rule is not None and not self._clean:
            self._clean = self._safe(gradients)
        return self._filled(gradients)

    def _safe(self, gradients: list[Tensor | None]) -> list[Tensor | None]:
        """Gradients that the next backward call will not overwrite."""
        return self._gradients.safe(self._sync.safe(gradients))

    @torch.no_grad()
    def _computed(self) -> list[Tensor | None]:
        return [local_gradient(self._parameters.parameters[i]) for i in self._held]

    def _filled(self, gradients: Sequence[Tensor | None]) -> list[Tensor]:
        return [torch.zeros_like(w) if g is None else g for g, w in zip(gradients, self._weights.tensors, strict=True)]

    # -- the end -----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _finish(self) -> None:
        parameters = self._parameters.parameters
        totals = [p.grad for p in parameters]
        if self._rule is not None:
            for i, combined in zip(self._held, self._combined(), strict=True):
                totals[i] = combined
        if self._standing is Standing.ADD:
            old = self._gradients.old
            totals = [n if o is None else o if n is None else n + o for o, n in zip(old, totals, strict=True)]
        self._mark_if_not_finite(totals)
        totals = self._sync.average(totals, parameters)
        self._report.note_flow(self._radii, self._realized, self._norm_of(totals))
        self._restore_weights()
        if self._after_first is not None:
            self._after_first.restore_buffers()
            if self._method.replay_dropout:
                self._after_first.restore_random()
        self._sync.close()
        self._gradients.hand_over(totals)

    def _mark_if_not_finite(self, totals: Sequence[Tensor | None]) -> None:
        """Make one gradient NaN if the ascent was not finite: enough for a scaler to find, and cheap."""
        old = self._gradients.old
        present = [local(total) for i in self._held if (total := totals[i]) is not None and total is not old[i]]
        if self._not_finite is not None and present:
            smallest = min(present, key=lambda gradient: gradient.numel() or float("inf"))
            smallest.masked_fill_(self._not_finite.to(smallest.device), float("nan"))

    def _combined(self) -> list[Tensor | None]:
        if self._rule is None or not self._clean:
            raise ConfigurationError(
                f"cannot apply {self._rule}, because {self._ascent} took no clean gradient; use GradientAscent"
            )
        perturbed = self._computed()
        combined = self._rule.combine(
            self._weights, self._filled(self._clean), self._filled(perturbed), self._scale_of_loss
        )
        unused = [a is None and b is None for a, b in zip(self._clean, perturbed, strict=True)]
        parameters = [self._parameters.parameters[i] for i in self._held]
        return [None if none else like_parameter(c, p) for c, p, none in zip(combined, parameters, unused, strict=True)]

    def _norm_of(self, totals: Sequence[Tensor | None]) -> Tensor:
        held = [totals[i] for i in self._held]
        sizes, nothing = iter(norms([local(g) for g in held if g is not None])), self._weights.tensors[0].new_zeros(())
        return self._weights.total([nothing if g is None else next(sizes) for g in held])

    @torch.no_grad()
    def _restore_weights(self) -> None:
        if self._saved is None:
            return
        assign(self._weights_now().tensors, self._saved)
        self._weights_changed()

    def _weights_now(self) -> Weights:
        """Views of the weights where they are now: a forward may have given a parameter other storage."""
        names, parameters = self._parameters.names, self._parameters.parameters
        return Weights.of([names[i] for i in self._held], [parameters[i] for i in self._held])

    def _weights_changed(self) -> None:
        self._sync.weights_changed()
        forget_cached_weights()

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


def _samples(target: Tensor) -> int:
    """Samples in a target; one where it does not say."""
    return len(target) if isinstance(target, Tensor) and target.ndim else 1
