"""How micro-batches that lie side by side are perturbed: each in its own direction, found by the method's own parts.

Steepest ascents move all micro-batches at once: their direction is a function of gradients alone, so `torch.func.vmap`
makes it of a stack of gradients. Any other ascent climbs for one micro-batch after the other, between passes that they
share.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from samnesia.perturb.errors import UnsupportedError
from samnesia.perturb.flow.moving import generator, move
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.modules import Parameters
from samnesia.perturb.parts.ascents import Ascent, SteppedAscent
from samnesia.perturb.parts.ball import Ball
from samnesia.perturb.parts.memory import Memory
from samnesia.perturb.parts.point import Need
from samnesia.perturb.parts.rules import Rule
from samnesia.perturb.tensors import Direction, Weights, _gather, _wide, differences

LOOP = "loop over passes() for each micro-batch instead"


@dataclass(frozen=True, slots=True)
class Setting:
    """What all micro-batches of a step have in common.

    `held` are the indices of the parameters that the optimizer holds: those move. `start` are their weights,
    `parameter_radii` the radius of each, `radii` those of the optimizer's groups. `names` are those by which the model
    itself calls its parameters, wrappers included.
    """

    method: PerturbedGradient
    parameters: Parameters
    names: list[str]
    held: list[int]
    start: Weights
    radii: tuple[float, ...]
    parameter_radii: list[float]
    ascent: Ascent | None
    rule: Rule | None
    measures: bool

    @classmethod
    def of(cls, method: PerturbedGradient, parameters: Parameters, *, fires: bool) -> Setting:
        """The present step of a method."""
        name_of = {p: name for name, p in method.model.named_parameters()}
        held = [i for i, group in enumerate(parameters.groups) if group is not None]
        radii = method.radii() if fires else ()
        return cls(
            method,
            parameters,
            [name_of[p] for p in parameters.parameters],
            held,
            Weights.of([parameters.names[i] for i in held], [parameters.parameters[i] for i in held]),
            radii,
            [radii[parameters.groups[i] or 0] for i in held] if fires else [],
            method.ascent if fires else None,
            method.rule if fires else None,
            method._measures_rounding(fires),
        )

    @property
    def devices(self) -> set[torch.device]:
        """Those whose random state a forward may move."""
        return {p.device for p in self.parameters.parameters} | {torch.device("cpu")}


@dataclass(frozen=True, slots=True)
class Row(Weights):
    """The weights of one micro-batch under vmap, which knows no multi-tensor kernels."""

    def norm(self, tensors: Sequence[Tensor]) -> Tensor:
        """2-norm of all `tensors` together, in at least float32."""
        return self.dot(tensors, tensors).sqrt()

    def largest(self, tensors: Sequence[Tensor]) -> Tensor:
        """Largest magnitude among all entries."""
        return _gather([t.abs().amax() for t in tensors if t.numel()]).amax()

    def dot(self, left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
        """Inner product, summed in at least float32."""
        return _gather([(a * b).sum(dtype=_wide(a.dtype)) for a, b in zip(left, right, strict=True)]).sum()

    def length(self, direction: Direction, radii: Sequence[float]) -> Tensor:
        """2-norm of the perturbation, before any rounding."""
        if len(set(radii)) == 1:
            return Weights.length(self, direction, radii)
        return self.norm([t * radius for t, radius in zip(direction.tensors, radii, strict=True)]) * direction.factor


class Perturbation:
    """The weights of `count` micro-batches, [count, *shape] for each held parameter, and how they came about."""

    def __init__(self, setting: Setting, count: int, begin: int, loss_scale: Tensor) -> None:
        self.setting = setting
        self.loss_scale = loss_scale
        self.moved = False
        self.realized: list[tuple[Tensor, Tensor | None] | None] = [None] * count
        self.not_finite: list[Tensor] = []
        self.weights = [w.expand(count, *w.shape) for w in setting.start.tensors]  # views, until they move
        self._begin = begin
        self._count = count

    def stacked(self, gradients: Sequence[Tensor | None]) -> list[Tensor]:
        """Gradients of [count, *shape]; zeros where there is none."""
        pairs = zip(gradients, self.setting.start.tensors, strict=True)
        return [w.new_zeros(self._count, *w.shape) if g is None else g for g, w in pairs]

    @torch.no_grad()
    def step(self, ascent: SteppedAscent, gradients: Sequence[Tensor]) -> None:
        """One of the moves of an ascent, for all micro-batches: what `MicroBatchPoint.move` does for one of them."""
        setting, start = self.setting, [w.expand(self._count, *w.shape) for w in self.setting.start.tensors]
        radii = [radius / ascent.steps for radius in setting.parameter_radii]

        def direct(start: list[Tensor], gradients: list[Tensor]) -> tuple[list[Tensor], Tensor, Tensor]:
            row = Row(setting.start.names, setting.start.parameters, start)
            direction = ascent.direction(MicroBatchPoint(self, 0, self._begin, row), gradients)
            return list(direction.tensors), direction.factor, row.length(direction, radii)

        tensors, factors, sizes = vmap(direct)(start, list(gradients))
        finite = factors.isfinite()
        before, first_move = self.weights, not self.moved
        self._add(tensors, factors, finite, radii, in_place=not first_move and not setting.measures)
        self.moved = True
        self.not_finite.append(~finite)
        sizes = torch.where(finite, sizes, 0.0) if first_move and not setting.measures else self._lengths()
        cosines: Sequence[Tensor | None] = [None] * self._count
        if setting.measures:
            intended = [values * radius for values, radius in zip(tensors, radii, strict=True)]
            cosines = vmap(self._cosine)(start, before, self.weights, intended).unbind()
        self.realized = list(zip(sizes.unbind(), cosines, strict=True))

    def _add(
        self, tensors: list[Tensor], factors: Tensor, finite: Tensor, radii: list[float], *, in_place: bool
    ) -> None:
        """Add radii times factors times tensors, nothing where that is not finite."""
        if finite.device.type != "cpu" or not finite.all():  # do not wait for a device, mask
            factors = torch.where(finite, factors, 0.0)
            tensors = [torch.where(_like(finite, t), t, 0.0) for t in tensors]
        self.weights = [
            torch.addcmul(w, t, _like(factors * radius, w).to(w.dtype), out=w if in_place else None)
            for w, t, radius in zip(self.weights, tensors, radii, strict=True)
        ]

    def _lengths(self) -> Tensor:
        """2-norm of each perturbation as the weights really moved, [micro-batches]; one tensor after the other."""
        sizes = [
            torch.linalg.vector_norm((w - s).reshape(self._count, s.numel()), dim=1, dtype=_wide(s.dtype))
            for w, s in zip(self.weights, self.setting.start.tensors, strict=True)
        ]
        lengths: Tensor = torch.linalg.vector_norm(_gather(sizes), dim=0)
        return lengths

    def _cosine(self, start: list[Tensor], before: list[Tensor], after: list[Tensor], intended: list[Tensor]) -> Tensor:
        row = Row(self.setting.start.names, self.setting.start.parameters, start)
        return row.cosine(differences(after, before), intended)

    def climbs(self, ascent: Ascent) -> list[Generator[Need, list[Tensor], None]]:
        """An ascent for each micro-batch by itself."""
        start, begin = self.setting.start, self._begin
        return [ascent.climb(MicroBatchPoint(self, row, begin + row, start)) for row in range(self._count)]

    def row(self, index: int) -> Weights:
        """The weights of one micro-batch."""
        return self.setting.start.holding([w[index] for w in self.weights])

    def point(self, index: int) -> MicroBatchPoint:
        """One micro-batch as a rule sees it."""
        return MicroBatchPoint(self, index, self._begin + index, self.row(index))

    def own_row(self, index: int) -> Weights:
        """The weights of one micro-batch, in memory of their own."""
        if not self.moved:
            self.weights = [w.clone(memory_format=torch.contiguous_format) for w in self.weights]
            self.moved = True
        return self.row(index)

    def rows(self, gradients: Sequence[Tensor]) -> list[list[Tensor]]:
        """One list for each micro-batch."""
        return [list(row) for row in zip(*(g.unbind() for g in gradients), strict=True)]


class MicroBatchPoint:
    """One micro-batch, as its ascent or its rule sees it (`Point`)."""

    def __init__(self, perturbation: Perturbation, row: int, micro_batch: int, start: Weights) -> None:
        self.start = start
        self.memory = Memory()
        self._perturbation = perturbation
        self._row = row
        self._micro_batch = micro_batch
        self._weights: Weights | None = None
        self._drawn = 0

    @property
    def ball(self) -> Ball:
        """The geometry in which the radius is meant."""
        return self._perturbation.setting.method.ball

    @property
    def epsilon(self) -> float:
        """The constant that keeps norms from dividing by zero."""
        return self._perturbation.setting.method.epsilon

    @property
    def step(self) -> int:
        """Optimizer steps taken before this one."""
        return self._perturbation.setting.method.steps

    @property
    def radii(self) -> Sequence[float]:
        """The radius of each weight."""
        return self._perturbation.setting.parameter_radii

    def loss_scale(self, unknown: float | None = None) -> Tensor:
        """The factor of this micro-batch's loss."""
        return self._perturbation.loss_scale

    def optimizer_state(self, *names: str) -> list[Tensor] | None:
        """Refused: parts that use it climb in the loop over `passes()`."""
        raise UnsupportedError(f"cannot vectorize an ascent that follows the optimizer's state; {LOOP}")

    def generator(self, device: torch.device) -> torch.Generator:
        """The generator that the loop has for this micro-batch."""
        method, number = self._perturbation.setting.method, self._drawn
        self._drawn += 1
        key = (method.seed, method.steps, self._micro_batch, number)
        return generator(device, *key, per_rank=method.sync == "rank")

    @torch.no_grad()
    def move(self, direction: Direction | Sequence[Tensor], fraction: float = 1.0) -> None:
        """Add `fraction` times each group's radius times `direction` to this micro-batch's weights."""
        perturbation, setting = self._perturbation, self._perturbation.setting
        start = None if self._weights is None else self.start
        weights = self._weights = self._weights or perturbation.own_row(self._row)
        radii = [radius * fraction for radius in setting.parameter_radii]
        moved = move(weights, direction, radii, start=start, measures=setting.measures)
        perturbation.not_finite.append(moved.not_finite)
        perturbation.realized[self._row] = (moved.norm, moved.cosine)


@torch.no_grad()
def advance(
    climbs: Sequence[Generator[Need, Any, None]], received: Sequence[list[Tensor]] | Sequence[None]
) -> Need | None:
    """What all ascents need next, each given what it received (None to begin with); None when they are done."""
    needs: set[Need | None] = set()
    for climb, gradients in zip(climbs, received, strict=True):
        try:
            needs.add(climb.send(gradients))
        except StopIteration:
            needs.add(None)
    if len(needs) > 1:
        raise UnsupportedError(
            "cannot climb for several micro-batches at once, because this ascent needs other passes for one of them "
            f"than for another; {LOOP}"
        )
    return needs.pop()


def _like(values: Tensor, tensor: Tensor) -> Tensor:
    """One value for each micro-batch, broadcastable to [micro-batches, *shape], on the device of `tensor`."""
    return values.to(tensor.device).view(-1, *[1] * (tensor.ndim - 1))
