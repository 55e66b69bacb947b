"""The flow of passes: a method of the family replaces `loss.backward()` and leaves its gradient in `p.grad`."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator
from typing import Any, Unpack, final

import torch
from torch import Tensor, nn

from samnesia.perturb.errors import ConfigurationError, PassesError, PassesOpenError
from samnesia.perturb.flow.base import Flow
from samnesia.perturb.flow.checks import check_kinds, check_options, check_parts, warn_of_unperturbed
from samnesia.perturb.flow.criteria import Pass
from samnesia.perturb.flow.gradients import LeftGradient, SteppedGradient
from samnesia.perturb.flow.guards import Guard, Hook
from samnesia.perturb.flow.inner import InnerFlow
from samnesia.perturb.flow.iterator import Passes
from samnesia.perturb.flow.options import StepOptions
from samnesia.perturb.flow.remembered import Remembered
from samnesia.perturb.flow.report import StepReport
from samnesia.perturb.flow.step import Standing, Step
from samnesia.perturb.flow.sync import Scope, check_scope, reshard
from samnesia.perturb.modules import Parameters, forget_cached_weights, innermost, innermost_optimizer
from samnesia.perturb.parts.ascents import Ascent, GradientAscent
from samnesia.perturb.parts.ball import Ball
from samnesia.perturb.parts.numbers import number
from samnesia.perturb.parts.rules import Rule
from samnesia.perturb.parts.schedules import Radius, When, always, radius_at, warn_if_idle
from samnesia.perturb.parts.updates import WeightUpdate
from samnesia.perturb.tensors import Weights


@final
class PerturbedGradient:
    """A training method as a choice of parts: ball, objective, ascent, rule, when and rho.

    It needs only `optimizer.param_groups`, `p.grad` and your own forward and backward calls::

        for p in method.passes():
            loss_fn(model(x), y).backward()
        optimizer.step(); optimizer.zero_grad()

    Each ascent pass moves the weights to where the objective is larger; the gradient of the last pass (or what `rule`
    makes of it) is left in `p.grad`, added to what stood there before; the weights are restored bit by bit.

    Args:
        model: the model as it is called in training, with its wrappers (DistributedDataParallel, fully_shard …).
        optimizer: any torch optimizer that takes its gradient from `p.grad`. It stays yours: step it, schedule it,
            scale it, save it as always.
        rho: radius of the ball, a number or a callable ``(step, lr) -> radius``; ``param_groups[i]["rho"]`` overrides
            it for a group, while norms stay global (not under Adadelta, whose own "rho" is something else).
        ball: the geometry in which rho is meant.
        ascent: how the perturbation is found; None never perturbs.
        rule: how clean and perturbed gradient are combined; None steps the perturbed one.
        **options: see `FlowOptions` and `StepOptions`.

    Raises ConfigurationError for values and UnsupportedError for models, optimizers or tensors that cannot work.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        rho: float | Radius = 0.05,
        ball: Ball | None = None,
        ascent: Ascent | None = GradientAscent(),  # noqa: B008 (frozen)
        rule: Rule | None = None,
        **options: Unpack[StepOptions],
    ) -> None:
        check_options(options, StepOptions.__annotations__, ball=ball, ascent=ascent, rule=rule)
        check_kinds(model, optimizer)
        self.model = model
        self.optimizer = optimizer
        self.rho, self.ball, self.ascent, self.rule = rho, ball or Ball(), ascent, rule
        self.when: When = options.get("when", always)
        self.sync: Scope = options.get("sync", "batch")
        self.loss = options.get("loss")
        self.objective = options.get("objective")
        self.remainder = options.get("remainder")
        self.selection, self.descent = options.get("selection"), options.get("descent")
        self.inner, self.teacher = options.get("inner"), options.get("teacher")
        self.updates: tuple[WeightUpdate, ...] = tuple(options.get("updates", ()))
        if self.teacher is not None:
            self.updates += (self.teacher,)  # it learns from the weights as they are in the end
        self.replay_dropout = options.get("replay_dropout", False)
        self.epsilon = options.get("epsilon", 1e-12)
        self.seed = options.get("seed", 0)
        self.keep_gradient_buffers = options.get("keep_gradient_buffers", False)
        self.offload = options.get("offload", False)
        self.measure_every = options.get("measure_every", 100)
        self.last_step = StepReport()
        self._steps = 0
        self._micro_batch = 0
        self._fires: bool | None = None
        self._measured: int | None = None
        self._running: Flow | None = None
        self._open: Callable[[], Passes | None] = _nothing
        self._stepped, self._left = SteppedGradient(optimizer), LeftGradient(optimizer)
        self._driven = SteppedGradient(optimizer)  # by the method itself, in stepping()
        self.remembered = Remembered([*(p for p in (ascent, rule) if p is not None and p.remembers), *self.updates])
        self._check(options.get("total_steps"))
        self._attach()

    @property
    def steps(self) -> int:
        """Optimizer steps taken since construction; a step that a gradient scaler skips does not count."""
        return self._steps

    def passes(self) -> Passes:
        """The passes of one micro-batch: write forward and backward in the body of a loop over them.

        Raises PassesOpenError, after closing it, if an earlier flow of this method is still open, and PassesError if
        the method steps the optimizer itself: then loop over `stepping()`.
        """
        if self.inner is not None:
            raise PassesError(
                "cannot leave a gradient for you to step, because this method steps the optimizer between its passes; "
                "loop over method.stepping() and do not call optimizer.step()"
            )
        return self._start(Standing.ADD)

    def stepping(self, step: Callable[[], Any] | None = None) -> Passes:
        """The passes of one batch, with each step of the optimizer taken where it belongs::

            for p in method.stepping():
                loss_fn(model(x), y).backward()

        All methods can be driven so; those with `inner` only so. `step` replaces ``optimizer.step()``, for clipping
        or a scaler: it finds the gradient in `p.grad`. Without it, a step whose gradient is not finite is skipped.
        What stands in `p.grad` from the last step is dropped; an accumulated gradient is refused.
        """
        self._refuse_second_flow()
        return Passes(lambda passes: self._stepping(step or self._step_if_finite, passes))

    def step(self, closure: Callable[[], Any]) -> Any:
        """Run `closure` (zero_grad, forward, backward) once per pass, step the optimizer, return what the first gave
        (the first at the model's own weights, if a teacher has one).

        The closure owns the gradient: that of the last step is dropped, and an accumulated one is refused with a
        StaleGradientError (each of its micro-batches needs passes of its own). A step whose gradient is not finite is
        skipped (`last_step.finite`), on all ranks alike. `last_step.loss` is the training loss also where the first
        pass has another criterion (an objective of its own, a remainder).
        """
        first: list[Any] = []
        for p in self.stepping():
            with torch.enable_grad():
                loss = closure()
            if not first and not p.teacher:
                first.append(loss)
        if self.last_step.loss is None and first[0] is not None:
            self.last_step.note_loss(first[0])
        return first[0]

    def _step_if_finite(self) -> None:
        self._stepped.note()  # also if the step fails
        if self.last_step.finite:
            self.optimizer.step()

    def criterion(self, output: Tensor, target: Tensor, samples: Tensor | None = None) -> Tensor:
        """The criterion of the running pass, for closures: see `Pass.loss`; outside of passes, the training loss."""
        if self._running is not None and self._under_way() is not None:
            return self._running.criterion(output, target, samples)
        return self.training_loss(output, target)

    def batch(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The samples of the running pass, for closures: see `Pass.batch`."""
        if self._running is not None and self._under_way() is not None:
            return self._running.batch(*tensors)
        return tensors

    def training_loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The training loss given at construction; raises ConfigurationError without one."""
        if self.loss is None:
            raise ConfigurationError(
                "cannot evaluate the criterion of a pass, because the method was built without loss=; give "
                "loss=F.cross_entropy, say, or compute the loss yourself"
            )
        return self.loss(output, target)

    def state_dict(self) -> dict[str, Any]:
        """What resuming needs beside model and optimizer: the step count, the place inside an accumulation, and what
        the method remembers, by parameter name.
        """
        self._refuse_while_open("save the method's state")
        state: dict[str, Any] = {"version": 1, "steps": self._steps, "micro_batch": self._micro_batch}
        weights = Parameters.all_held(self.model, self.optimizer)
        state |= self.remembered.state_dict(weights, inside=bool(self._micro_batch))
        return state | ({} if self._measured is None else {"measured": self._measured})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state saved by `state_dict`; raises ConfigurationError for one of another kind."""
        self._refuse_while_open("load the method's state")
        if state.get("version") != 1 or not {"steps", "micro_batch"} <= state.keys():
            raise ConfigurationError(
                f"cannot load a method state with keys {sorted(state)} and version {state.get('version')!r}, because "
                "this release reads version 1; load it with the release that wrote it"
            )
        self.remembered.load(state, Parameters.all_held(self.model, self.optimizer))
        self._steps, self._micro_batch, self._fires = int(state["steps"]), int(state["micro_batch"]), None
        self._measured = state.get("measured")

    def radii(self) -> tuple[float, ...]:
        """The radius of each parameter group at the current step."""
        taken = "rho" in innermost_optimizer(self.optimizer).defaults  # Adadelta's decay rate, no radius
        return tuple(
            radius_at(self.rho if taken else group.get("rho", self.rho), self._steps, number(group.get("lr", 0.0)))
            for group in self.optimizer.param_groups
        )

    @property
    def remembers(self) -> bool:
        """Whether ascent or rule depend on the steps before, beyond weights and optimizer's state."""
        return any(part is not None and part.remembers for part in (self.ascent, self.rule))

    def _start(self, standing: Standing) -> Passes:
        self._refuse_second_flow()
        return Passes(lambda passes: self._flow(standing, passes))

    def _refuse_second_flow(self) -> None:
        left_open = self._under_way()
        if left_open is None:
            return
        left_open.close()
        raise PassesOpenError(
            "cannot open passes() while an earlier flow is open, because it left the weights perturbed; they are "
            "restored now: let each loop over passes() finish, or close() it"
        )

    def _stepping(self, step: Callable[[], Any], passes: Callable[[], Passes | None]) -> Generator[Pass, None, None]:
        self._stepped.refuse_accumulated()
        if self.inner is None or not self._decided():
            yield from self._flow(Standing.DROP, passes)
            self._alone(step)
            return
        parameters = self._begin(passes)
        self._micro_batch, self.last_step = 1, StepReport()
        before = after = self._steps
        flow = InnerFlow(self, parameters, self.inner, lambda: self._alone(step))
        try:
            yield from self._running_through(flow)
            after = self._steps
        finally:
            self._micro_batch, self._steps = 0, min(after, before + 1)  # the rounds are one step for schedules
        if after > before:
            self._end_step()

    def _alone(self, step: Callable[[], Any]) -> None:
        """A step that the flow itself takes: nothing that it guards is in the way."""
        opened, self._open, taken = self._open, _nothing, self._steps
        self._driven.forget()
        try:
            step()
        finally:
            self._open = opened
        if self._steps > taken or not self.last_step.finite:  # else nobody has used the gradient
            self._driven.note()
            self._stepped.note()

    def _begin(self, passes: Callable[[], Passes | None]) -> Parameters:
        self._refuse_second_flow()  # again: two flows may have been made before either began
        self._open = passes
        reshard(self.model)
        return Parameters.of(self.model, self.optimizer)

    def _start_over(self) -> None:
        """Begin a step: what was accumulated before is not wanted."""
        self._micro_batch, self.last_step = 0, StepReport()
        self.remembered.drop()

    def _decided(self) -> bool:
        """Whether this step is perturbed: asked once, for all of its micro-batches."""
        if self._fires is None:
            self._fires = self.ascent is not None and bool(self.when(self._steps))
        return self._fires

    def _running_through(self, flow: Flow) -> Generator[Pass, None, None]:
        self._running = flow
        try:
            yield from flow.run()
        finally:
            self._running = None

    def _flow(self, standing: Standing, passes: Callable[[], Passes | None]) -> Generator[Pass, None, None]:
        parameters = self._begin(passes)
        if standing is Standing.ADD:
            self._stepped.refuse()
        if not (standing is Standing.ADD and self._micro_batch and self._left.stands(parameters.held())):
            self._start_over()
        yield from self._running_through(Step(self, parameters, fires=self._decided(), standing=standing))
        self._micro_batch += 1
        self._left.note()

    def _measures_rounding(self, fires: bool) -> bool:
        """Whether this step is one of those that measure it."""
        if fires and (self._measured is None or not 0 <= self._steps - self._measured < self.measure_every):
            self._measured = self._steps
        return fires and self._measured == self._steps

    @torch.no_grad()
    def _begin_step(self) -> None:
        """Called by the optimizer before a step, whether it will take it or not."""
        weights, memory = self._weights(), self.remembered.next.fork()
        for update in self.updates:
            update.begin(weights, memory)
        self.remembered.next = memory

    def _count(self) -> None:
        """Called by the optimizer after a step.

        One at rate zero that no passes() prepared is none: so do distributed checkpoints fill an optimizer's state.
        """
        if not self._micro_batch and all(number(group.get("lr", 1.0)) == 0.0 for group in self.optimizer.param_groups):
            self.remembered.drop()
            return
        found_inf = getattr(innermost_optimizer(self.optimizer), "found_inf", None)
        if found_inf is not None and bool(found_inf):  # a fused optimizer is called, but skips the step by itself
            return
        self._steps += 1
        if not isinstance(self._running, InnerFlow):
            self._end_step()

    def _end_step(self) -> None:
        self._micro_batch, self._fires = 0, None
        self.remembered.keep()
        self._stepped.note()
        if self.updates:
            self._update_weights()

    @torch.no_grad()
    def _update_weights(self) -> None:
        groups = self.optimizer.param_groups
        held = (i for i in Parameters.of(self.model, self.optimizer).groups if i is not None)
        weights, rates, memory = self._weights(), [float(groups[i]["lr"]) for i in held], self.remembered.kept.fork()
        for update in self.updates:
            update.apply(weights, rates, self._steps, memory)
        self.remembered.kept = self.remembered.next = memory
        reshard(self.model)
        forget_cached_weights()

    def _weights(self) -> Weights:
        reshard(self.model)
        return Parameters.of(self.model, self.optimizer).held()

    def _under_way(self) -> Passes | None:
        # asked of the generator itself: a mark of our own could outlive a flow that Ctrl-C ended in its last line
        passes = self._open()
        return passes if passes is not None and passes.under_way else None

    def _refuse_while_open(self, action: str) -> None:
        if self._under_way() is not None:
            raise PassesOpenError(
                f"cannot {action} inside passes(), because the weights may be perturbed and the gradient is not "
                "complete; do it after the loop over passes()"
            )

    def _refuse_step(self) -> None:
        self._refuse_while_open("step the optimizer")
        self._driven.refuse_again()

    def _check(self, total_steps: int | None) -> None:
        check_parts(self)
        reshard(self.model)
        check_scope(self.model, self.sync)
        parameters = Parameters.of(self.model, self.optimizer)
        self.ball.scaling.check(parameters.held_names)
        warn_of_unperturbed(set(parameters.names) - set(parameters.held_names))
        self.radii()
        if total_steps is not None:
            warn_if_idle(self.when, total_steps)

    def _attach(self) -> None:
        """Guard optimizer and model while weights are perturbed; count the optimizer's real steps."""
        optimizer, model = innermost_optimizer(self.optimizer), innermost(self.model)
        for handle in (
            optimizer.register_step_pre_hook(Guard(self._refuse_step)),
            optimizer.register_state_dict_pre_hook(Guard(self._refuse_while_open, "save the optimizer's state")),
            model.register_state_dict_pre_hook(Guard(self._refuse_while_open, "save the model's weights")),
            *([optimizer.register_step_pre_hook(Hook(self._begin_step))] if self.updates else []),
            optimizer.register_step_post_hook(Hook(self._count)),
        ):
            weakref.finalize(self, handle.remove).atexit = False

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the hooks and the open flow, for deepcopy and pickle."""
        self._refuse_while_open("copy or pickle the method")
        marks = {name: type(self.__dict__[name])(self.optimizer) for name in ("_stepped", "_left", "_driven")}
        return {**self.__dict__, "_open": _nothing, "_running": None, **marks}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Attach the copy to its own optimizer and model."""
        self.__dict__.update(state)
        self._attach()


def _nothing() -> None:
    return None
