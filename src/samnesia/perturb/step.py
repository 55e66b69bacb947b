"""One flow of passes, from the first forward to the gradient in `p.grad`: what is set aside, moved and put back.

Everything that can fail runs either before anything of the user's was touched, or under `Step.abort`, which is
idempotent and is run again if it is itself interrupted. The last act is to hand over the gradients.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Generator, Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from samnesia.perturb.ball import Ball
from samnesia.perturb.criteria import Criteria, Pass
from samnesia.perturb.errors import (
    ConfigurationError,
    NoGradientError,
    PassesError,
    UnfinishedPassesWarning,
)
from samnesia.perturb.gradients import Gradients, KeptGradients
from samnesia.perturb.modules import ModelState, Parameters, check_gradients, forget_cached_weights
from samnesia.perturb.moving import generator, move
from samnesia.perturb.point import Need
from samnesia.perturb.rules import Rule
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
        self._rule = method.rule if fires or (method.rule is not None and method.rule.remembers) else None
        self._remainder = method.remainder if fires else None
        self.memory = method.remembered().fork()
        self._pass: Pass | None = None
        self._passed = 0
        self._fires, self._arrived = fires, False
        self._criteria = Criteria(method, self._report, watches=self._watches_scale)
        self._clean: list[Tensor | None] = []
        self._plain: list[Tensor | None] | None = None
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
            combines=self._rule is not None or self._remainder is not None,
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
            if self._remainder is not None:
                yield from self._open(Need.GRADIENT)
                self._plain = self._safe([p.grad for p in self._parameters.parameters])
            yield from self._climb()
            if self._arrived and self._method.objective is None:
                self._sync.end_early()
            else:
                if self._ascent is not None and self._method.selection is not None:
                    yield from self._open(Need.FORWARD)
                yield from self._open(Need.GRADIENT, last=True)
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
            self._arrived = need is Need.GRADIENT
            need = self._advance(climb, self._take() if need is Need.GRADIENT else [])

    @torch.no_grad()
    def _advance(self, climb: Generator[Need, list[Tensor], None], gradients: list[Tensor] | None) -> Need | None:
        try:
            return climb.send(gradients) if gradients is not None else next(climb)
        except StopIteration:
            return None

    def _open(self, need: Need, *, ascent: bool = False, last: bool = False) -> Generator[Pass, None, None]:
        """Yield one pass and check that it was used as meant."""
        self._gradients.clear()
        self._sync.open_pass(last=last)
        if last and self._not_finite is not None:
            self._sync.mark(self._not_finite, [self._parameters.parameters[i] for i in self._held])
        if self._passed and self._method.replay_dropout:
            self._entry.restore_random()
        gradient = need is Need.GRADIENT
        # the method's criterion, not this step's: a pass that is kept must not keep the saved weights
        self._pass = Pass(self._passed, ascent, last, gradient, self._method.criterion, self._method.batch)
        self._criteria.open(self._pass)
        yield self._pass
        self._close(gradient)

    def _close(self, gradient: bool) -> None:
        self._pass = None
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
        self._criteria.close()

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
    def step(self) -> int:
        """Optimizer steps taken before this one."""
        return self._method.steps

    @property
    def radii(self) -> Sequence[float]:
        """The radius of each weight; 0 on a step that is not perturbed."""
        return [self._radii[self._parameters.groups[i] or 0] if self._radii else 0.0 for i in self._held]

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
        self._arrived = False
        weights = self._weights = self._weights_now()
        radii = [radius * fraction for radius in self.radii]
        start = None if self._saved is None else self.start
        if self._saved is None:
            self._saved = copies(weights.tensors, in_host_memory=self._method.offload)
        moved = move(weights, direction, radii, start=start, measures=self._measures)
        self._weights_changed()
        so_far = self._not_finite
        self._not_finite = moved.not_finite if so_far is None else so_far | moved.not_finite
        self._realized = (moved.norm, moved.cosine)

    def optimizer_state(self, *names: str) -> list[Tensor] | None:
        """The first of these states that the base optimizer keeps for each weight; None if it keeps none yet."""
        state = self._method.innermost_optimizer.state
        kept = [[state.get(p, {}).get(name) for name in names] for p in self._weights.parameters]
        found = [next((local(t) for t in of_weight if t is not None), None) for of_weight in kept]
        return None if all(t is None for t in found) else self._filled(found)

    # -- gradients ---------------------------------------------------------------------------------------------------

    @property
    def _watches_scale(self) -> bool:
        return self._rule is not None or (self._ascent is not None and self._ascent.remembers)

    def criterion(self, output: Tensor, target: Tensor) -> Tensor:
        """The criterion of the running pass; the first one notes the training loss."""
        return self._criteria(output, target)

    def batch(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The samples of the running pass."""
        return self._criteria.batch(*tensors)

    def loss_scale(self, unknown: float | None = None) -> Tensor:
        """The factor of the last pass's loss, averaged over ranks; `unknown`, or PassesError, if nobody knows."""
        scale = self._criteria.scale()
        if scale is not None:
            return self._sync.mean(scale, self._parameters.parameters)
        if unknown is not None:
            return torch.tensor(unknown)
        raise PassesError(
            f"cannot apply {self._rule} without knowing by how much the loss was scaled, because it mixes a unit "
            "vector with a gradient; build the method with loss= and compute the loss with p.loss(output, target)"
        )

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
            for i, combined in zip(self._held, self._combined(self._rule), strict=True):
                totals[i] = combined
        if self._plain is not None:
            totals = _sums(self._plain, totals)
        if self._standing is Standing.ADD:
            totals = _sums(self._gradients.old, totals)
        self._mark_if_not_finite(totals)
        totals = self._sync.average(totals, parameters)
        self._report.note_flow(self._radii, self._realized, self._norm_of(totals))
        self._restore_weights()
        self._method.remember(self.memory)
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

    def _combined(self, rule: Rule) -> list[Tensor | None]:
        perturbed = self._computed()
        if self._fires:
            if not self._clean:
                raise ConfigurationError(
                    f"cannot apply {rule}, because {self._ascent} took no clean gradient; use GradientAscent"
                )
            combined = rule.combine(self, self._filled(self._clean), self._filled(perturbed))
        else:
            self._clean = perturbed
            combined = rule.between(self, self._filled(perturbed))
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


def _sums(left: Sequence[Tensor | None], right: Sequence[Tensor | None]) -> list[Tensor | None]:
    """``left + right``, where None is no gradient."""
    return [b if a is None else a if b is None else b + a for a, b in zip(left, right, strict=True)]
