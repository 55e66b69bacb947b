"""The flow that perturbs and leaves the gradient in `p.grad`: climb, last pass, rule, and the weights put back."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.flow.base import Flow
from samnesia.perturb.flow.criteria import Pass
from samnesia.perturb.flow.lesson import Lesson
from samnesia.perturb.flow.moving import move
from samnesia.perturb.flow.sync import gradient_sync
from samnesia.perturb.modules import Parameters, innermost_optimizer
from samnesia.perturb.parts.point import Need
from samnesia.perturb.parts.rules import Rule
from samnesia.perturb.tensors import Direction, Weights, copies, like_parameter, local

if TYPE_CHECKING:
    from samnesia.perturb.flow.passes import PerturbedGradient


class Standing(Enum):
    """What becomes of the gradient that stands in `p.grad` when a flow begins."""

    ADD = auto()
    """The flow's gradient is added to it."""
    DROP = auto()
    """It is dropped, unless the flow aborts: the closure convention."""
    ADOPT = auto()
    """It is the gradient of the first pass."""


@final
class Step(Flow):
    """A flow that perturbs, and leaves the gradient for the user to step."""

    def __init__(
        self, method: PerturbedGradient, parameters: Parameters, *, fires: bool, standing: Standing = Standing.ADD
    ) -> None:
        self._ascent = method.ascent if fires else None
        self._rule = method.rule if fires or (method.rule is not None and method.rule.remembers) else None
        self._remainder = method.remainder if fires else None
        sized = self._ascent is not None and (self._ascent.remembers or self._ascent.measures)
        watches = self._rule is not None or sized
        super().__init__(method, parameters, fires=fires, watches=watches)
        self._remembered = method.remembered.next
        self.memory = self._remembered.fork()
        if method.teacher is not None:
            self._lesson = Lesson(method.teacher, self.memory, method.steps)
        self._standing = standing
        self._told_losses &= standing is not Standing.ADOPT
        self._fires, self._arrived = fires, False
        self._clean: list[Tensor | None] = []
        self._plain: list[Tensor | None] | None = None
        self._realized: tuple[Tensor, Tensor | None] | None = None
        self._measures = method._measures_rounding(fires)
        self._sync = gradient_sync(
            method.model,
            method.sync,
            combines=self._rule is not None or self._remainder is not None,
            accumulated=standing is Standing.ADD and any(g is not None for g in self._gradients.old),
        )

    # -- the flow ----------------------------------------------------------------------------------------------------

    def passes(self) -> Generator[Pass, None, None]:
        """That of the teacher, of the remainder, those of the ascent, a look at the samples, the last."""
        if self._standing is Standing.DROP:
            self._gradients.forget()
        self._gradients.old = self._safe(self._gradients.old)
        if self._lesson is not None:
            yield from self._ask(self._lesson)
        if self._remainder is not None:
            yield from self._open(Need.GRADIENT)
            self._plain = self._safe([p.grad for p in self._parameters.parameters])
        yield from self._climb()
        two_calls = self._standing is Standing.ADOPT  # whoever makes them takes a second gradient in any case
        if self._arrived and self._method.objective is None and not two_calls:
            self._sync.end_early()
        else:
            if self._saved is not None and self._method.selection is not None:  # something has moved
                yield from self._open(Need.FORWARD)
            yield from self._open(Need.GRADIENT, last=True)
        self._finish()

    def _ask(self, lesson: Lesson) -> Generator[Pass, None, None]:
        """Let the model tell the old outputs, at the weights that were its own then; it moves nothing but itself."""
        there = lesson.place(self._weights)
        if there is None:
            return
        self._saved = copies(self._weights.tensors, in_host_memory=self._method.offload)
        self._place(there)
        yield from self._open(Need.FORWARD, teacher=True)
        self._restore_weights()
        self._saved = None
        self._entry.restore_buffers()

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

    # -- what an ascent may do (Point) -------------------------------------------------------------------------------

    @property
    def start(self) -> Weights:
        """The weights with their values before any move."""
        if self._saved is None:
            return self._weights
        return self._weights.holding(
            [s.to(w.device, non_blocking=True) for s, w in zip(self._saved, self._weights.tensors, strict=True)]
        )

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
        state = innermost_optimizer(self._method.optimizer).state
        kept = [[state.get(p, {}).get(name) for name in names] for p in self._weights.parameters]
        found = [next((local(t) for t in of_weight if t is not None), None) for of_weight in kept]
        return None if all(t is None for t in found) else self._filled(found)

    def criterion(self, output: Tensor, target: Tensor, samples: Tensor | None = None) -> Tensor:
        """The criterion of the running pass, with the divergence from the teacher where that is a part of it."""
        value, running = self._criteria(output, target), self._pass
        if self._lesson is None or running is None:
            return value
        own = running.ascent and self._method.objective is not None
        return self._lesson.added(running, value, output, samples, counts=not own)

    # -- gradients ---------------------------------------------------------------------------------------------------

    def _take(self) -> list[Tensor]:
        """The gradients of the pass just closed, for the ascent; zeros where a parameter had none."""
        gradients = self._computed()
        if self._ascent is not None and self._ascent.num_gradients > 1:  # it may look at earlier ones later
            gradients = self._safe(gradients)
        if self._rule is not None and self._rule.needs_clean and not self._clean:
            self._clean = self._safe(gradients)
        return self._filled(gradients)

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
        self._method.remembered.next = self.memory
        self._restore_model()
        self._sync.close()
        self._gradients.hand_over(totals)

    def abort(self) -> None:
        """Put back what a flow does; nothing of it is remembered."""
        self._method.remembered.next = self._remembered
        super().abort()

    def _combined(self, rule: Rule) -> list[Tensor | None]:
        perturbed = self._computed()
        if not (self._fires and rule.needs_clean):
            self._clean = perturbed
        if self._fires:
            if not self._clean:
                raise ConfigurationError(
                    f"cannot apply {rule}, because {self._ascent} took no clean gradient; use GradientAscent"
                )
            combined = rule.combine(self, self._filled(self._clean), self._filled(perturbed))
        else:
            combined = rule.between(self, self._filled(perturbed))
        unused = [a is None and b is None for a, b in zip(self._clean, perturbed, strict=True)]
        parameters = [self._parameters.parameters[i] for i in self._held]
        return [None if none else like_parameter(c, p) for c, p, none in zip(combined, parameters, unused, strict=True)]


def _sums(left: Sequence[Tensor | None], right: Sequence[Tensor | None]) -> list[Tensor | None]:
    """``left + right``, where None is no gradient."""
    return [b if a is None else a if b is None else b + a for a, b in zip(left, right, strict=True)]
