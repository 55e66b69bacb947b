"""Rules: from the clean and the perturbed gradient to the gradient that is stepped.

A rule sees gradients as lists of local tensors parallel to the weights of its point. A method without a rule steps the
perturbed gradient as it is, and keeps no copy of the clean one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from samnesia.perturb.errors import ConfigurationError, UnsupportedError
from samnesia.perturb.parts.numbers import number
from samnesia.perturb.parts.point import Point
from samnesia.perturb.tensors import Weights, differences, mix, scale


class Rule(ABC):
    """A way to combine the clean gradient g and the perturbed gradient g_p.

    `remembers`: whether it uses `point.memory`; such a rule is asked on every step, also where `when` does not fire.
    `of_the_loss`: whether it means g as the gradient of the loss, so that the ascent can have no objective of its own.
    `needs_clean`: whether it looks at g; one that does not is given g_p twice, and costs no copy of g.
    """

    remembers: ClassVar[bool] = False
    needs_clean: ClassVar[bool] = True
    of_the_loss: ClassVar[bool] = False

    @abstractmethod
    def combine(self, point: Point, clean: Sequence[Tensor], perturbed: Sequence[Tensor]) -> list[Tensor]:
        """The gradient to step, in memory of its own: those given may be shared by parameters, or by the user.

        It has to be of degree one in the gradients, so that a loss scaled by a `GradScaler` or by a micro-batch's share
        gives the same result scaled. A rule that is not of degree one by itself multiplies by `point.loss_scale()`,
        the factor by which the backward call scaled the loss.
        """

    def between(self, point: Point, gradients: list[Tensor]) -> list[Tensor]:
        """The gradient of a step on which `when` does not fire; asked of rules that remember."""
        return gradients


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SurrogateGap(Rule):
    """Surrogate-gap minimization, GSAM (Zhuang et al., ICLR 2022, algorithm 1).

    ``g_p - α g_⊥`` with ``g_⊥ = g - (⟨g, g_p⟩ / ‖g_p‖²) g_p``: the part of the clean gradient orthogonal to the
    perturbed one is ascended, which lowers the gap L(w + e) - L(w) without changing L(w + e) to first order. The
    decomposition is global over all parameters. g is the gradient of what the ascent increases: under output-bias
    forgetting, of that objective.

    `backup="normalized"` stores ``g / ‖g‖`` instead of g, as some of the original study's runs do, so that α acts on a
    vector of length one; α then has another meaning.
    """

    alpha: float = 0.4
    backup: Literal["raw", "normalized"] = "raw"

    def __post_init__(self) -> None:
        if not abs(number(self.alpha)) < float("inf"):
            raise ConfigurationError(
                f"cannot minimize the surrogate gap with alpha={self.alpha!r}, because alpha weights a gradient; "
                "choose a finite number"
            )
        if self.backup not in ("raw", "normalized"):
            raise ConfigurationError(
                f"cannot keep a {self.backup!r} backup of the clean gradient, because only 'raw' and 'normalized' are "
                "known; choose one of them"
            )

    def combine(self, point: Point, clean: Sequence[Tensor], perturbed: Sequence[Tensor]) -> list[Tensor]:
        """``g_p - α g_⊥``."""
        weights = point.start
        factor = torch.ones(())
        if self.backup == "normalized":
            norm = weights.norm(clean)
            factor = torch.where(norm > 0, point.loss_scale().to(norm) / norm, 0.0)
        square = weights.norm(perturbed) ** 2
        along = weights.dot(clean, perturbed) / square.clamp_min(torch.finfo(square.dtype).tiny)
        # g_p - α f (g - c g_p) = (1 + α f c) g_p - α f g
        weight_clean = self.alpha * factor.to(along)
        return mix(perturbed, 1.0 + weight_clean * along, clean, -weight_clean)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture(Rule):
    """``(1 - share) g + share g_p``: the gradient of ``L(w) + share · (L(w + e) - L(w))``, e held constant.

    With share 1 it is the perturbed gradient, with 0 the clean one; beyond 1 it leaves g out more than once.
    """

    of_the_loss: ClassVar[bool] = True

    share: float

    def __post_init__(self) -> None:
        if not abs(number(self.share)) < float("inf"):
            raise ConfigurationError(
                f"cannot mix two gradients with share={self.share!r}, because it weighs the perturbed one; choose a "
                "finite number"
            )

    def combine(self, point: Point, clean: Sequence[Tensor], perturbed: Sequence[Tensor]) -> list[Tensor]:
        """``(1 - share) g + share g_p``."""
        share = torch.tensor(self.share, dtype=torch.float64)
        return mix(clean, 1.0 - share, perturbed, share)


@final
@dataclass(frozen=True, slots=True)
class RescaledNorm(Rule):
    """``(‖g‖ / ‖g_p‖) g_p``, norms over all parameters: the perturbed direction at the length of the clean gradient.

    Zero where g_p is.
    """

    of_the_loss: ClassVar[bool] = True

    def combine(self, point: Point, clean: Sequence[Tensor], perturbed: Sequence[Tensor]) -> list[Tensor]:
        """g_p, as long as g."""
        length = point.start.norm(perturbed)
        return scale(perturbed, point.start.norm(clean) / length.clamp_min(torch.finfo(length.dtype).tiny))


@final
@dataclass(frozen=True, slots=True)
class KeptDifference(Rule):
    """The base optimizer gets g; the difference ``g_p - g`` is kept for a `DifferenceStep` after its step.

    One half of decoupled WSAM: it needs ``updates=[DifferenceStep(factor=...)]``, without which it would be the base
    optimizer, and is refused. Summed over the micro-batches of a step, as gradients are. A `GradScaler` scales both
    gradients and unscales g alone, so that a loss known to be scaled up is refused with an UnsupportedError. It is
    known if it comes from ``p.loss``; any other loss is taken for one that is not scaled.
    """

    ENTRY: ClassVar[str] = "difference"
    remembers: ClassVar[bool] = True
    of_the_loss: ClassVar[bool] = True

    def combine(self, point: Point, clean: Sequence[Tensor], perturbed: Sequence[Tensor]) -> list[Tensor]:
        """g."""
        scaled_by = float(point.loss_scale(unknown=1.0))
        if _MOSTLY_ONE < scaled_by < float("inf"):  # an infinite one is a step that is skipped
            raise UnsupportedError(
                f"cannot step g_p - g beside the base optimizer with a loss scaled by {scaled_by:g}, because a scaler "
                "unscales only the gradient in p.grad; leave the GradScaler out (bfloat16 needs none), or use "
                "wsam(decoupled=False)"
            )
        difference = differences(perturbed, clean)
        so_far = point.memory.tensors(self.ENTRY, point.start)
        if so_far is not None:
            difference = [a + b for a, b in zip(so_far, difference, strict=True)]
        point.memory.keep(self.ENTRY, point.start, difference)
        size = point.start.norm(difference)  # what is not finite must be seen in p.grad, where steps are skipped for it
        return scale(clean, torch.where(size.isfinite(), 1.0, torch.nan))


_MOSTLY_ONE = 1.5  # shares of a batch add up to one, but for rounding; scalers begin at thousands


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ReusedDirection(Rule):
    """What perturbed steps learned serves the steps between them (LookSAM, Liu et al., CVPR 2022).

    A perturbed step steps g_p and keeps ``g_v = g_p - (⟨g, g_p⟩ / ‖g‖²) g``, its part orthogonal to the clean gradient
    g. A step on which `when` does not fire steps ``g + α (‖g‖ / (‖g_v‖ + epsilon)) g_v``; before there is a g_v, g. The
    projection is over all parameters jointly, as in the paper. Of several micro-batches, the sum of the g_v is kept. A
    g_v that is nothing but rounding, as where nothing has moved (`SteepEnough`, a radius of 0), is none: that of an
    earlier step stays.
    """

    remembers: ClassVar[bool] = True
    of_the_loss: ClassVar[bool] = True

    alpha: float = 0.7

    def __post_init__(self) -> None:
        if not abs(number(self.alpha)) < float("inf"):
            raise ConfigurationError(
                f"cannot re-use a direction with alpha={self.alpha!r}, because alpha is its length next to that of the "
                "gradient; choose a finite number"
            )

    def combine(self, point: Point, clean: Sequence[Tensor], perturbed: Sequence[Tensor]) -> list[Tensor]:
        """g_p; keeps g_v."""
        weights = point.start
        square = weights.norm(clean) ** 2
        along = weights.dot(clean, perturbed) / square.clamp_min(torch.finfo(square.dtype).tiny)
        found = mix(perturbed, torch.ones_like(along), clean, -along)
        # all of it where the gradients are: nothing here waits for the device
        is_one = weights.norm(found) > _ROUNDINGS * torch.finfo(square.dtype).eps * weights.norm(perturbed)
        earlier, kept_at = self._kept(point, weights), point.memory.number(_KEPT_AT, -1.0).to(square)
        if earlier:
            of_this_step = torch.where(is_one, (kept_at == point.step).to(square), 1.0)
            found = mix(found, is_one.to(square), earlier, of_this_step)
        else:
            found = scale(found, is_one.to(square))
        point.memory.keep(_KEPT, weights, found)
        point.memory.keep_number(_KEPT_AT, torch.where(is_one, float(point.step), kept_at))
        return [g.clone() for g in perturbed]

    def between(self, point: Point, gradients: list[Tensor]) -> list[Tensor]:
        """``g + α (‖g‖ / ‖g_v‖) g_v``."""
        weights = point.start
        kept = self._kept(point, weights)
        if not kept:
            return gradients
        size = self.alpha * weights.norm(gradients) / (weights.norm(kept) + point.epsilon)
        return mix(gradients, torch.ones_like(size), kept, size)

    def _kept(self, point: Point, weights: Weights) -> list[Tensor]:
        return point.memory.tensors(_KEPT, weights) or []


_ROUNDINGS = 32.0  # of the longer vector, that a difference of two nearly equal ones may consist of
_KEPT, _KEPT_AT = "reused_direction.direction", "reused_direction.step"
