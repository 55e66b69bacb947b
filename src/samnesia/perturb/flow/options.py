"""The options that all methods take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from samnesia.perturb.flow.sync import Scope
from samnesia.perturb.parts.descent import FrozenDerivative
from samnesia.perturb.parts.inner import InnerSteps
from samnesia.perturb.parts.objectives import Criterion
from samnesia.perturb.parts.schedules import When
from samnesia.perturb.parts.selection import Selection
from samnesia.perturb.parts.teachers import Teacher
from samnesia.perturb.parts.updates import WeightUpdate


class FlowOptions(TypedDict, total=False):
    """Options of the flow, common to all methods.

    when: step -> bool, whether to perturb on that optimizer step (default: always).
    sync: "batch" (default) perturbs along the gradient averaged over ranks, "rank" gives each rank its own.
    replay_dropout: give all passes of a flow the same random numbers (dropout, stochastic depth).
    epsilon: the constant added to norms, default 1e-12.
    seed: of random perturbations.
    keep_gradient_buffers: leave `p.grad` in the same memory over all passes and steps, as graphs that were captured
        once (CUDA graphs) need it; clear with ``zero_grad(set_to_none=False)``. Costs a copy of the gradient, and
        unused parameters get zeros.
    offload: keep the copy of the weights in pinned host memory while they are perturbed: one transfer each way, and one
        more for each further ascent step.
    measure_every: on the first perturbed step, and on the next one after so many, `last_step` tells what rounding made
        of the perturbation (its cosine to the intended one, the norm as the weights moved): a few sweeps over them.
    total_steps: the run's number of optimizer steps, if known: warns at once of a schedule that never fires.
    updates: what is done to the weights after each step of the optimizer, in this order.
    selection: on which samples the last pass of a perturbed step is computed; needs `p.batch`.
    """

    when: When
    sync: Scope
    replay_dropout: bool
    epsilon: float
    seed: int
    keep_gradient_buffers: bool
    offload: bool
    measure_every: int
    total_steps: int | None
    updates: Sequence[WeightUpdate]
    selection: Selection | None


class StepOptions(FlowOptions, total=False):
    """`FlowOptions` and the criteria.

    loss: the training criterion ``(output, target) -> scalar``; needed by `p.loss` and `criterion`.
    objective: what ascent passes increase instead of the loss, ``(output, target) -> scalar``.
    remainder: a part of the loss that is not perturbed, ``(output, target) -> scalar``: on perturbed steps its gradient
        is taken at the weights themselves, in a pass of its own, and only that of the rest at the perturbed ones.
    teacher: what tells old outputs, to which those of a step are held by a divergence in the training loss; needs
        `p.loss`.
    descent: what the last pass of a perturbed step descends in place of the loss; needs `p.loss`.
    inner: several steps of the optimizer on one batch, which the method takes itself: see `stepping()`.
    """

    loss: Criterion | None
    objective: Criterion | None
    remainder: Criterion | None
    teacher: Teacher | None
    descent: FrozenDerivative | None
    inner: InnerSteps | None


def put_first(update: WeightUpdate, options: StepOptions) -> None:
    """Let `update` come before those that are given beside it; what is no list of them is left to be refused."""
    given = options.get("updates", ())
    options["updates"] = (update, *given) if isinstance(given, Sequence) else given
