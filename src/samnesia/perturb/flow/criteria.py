"""What `p.loss` computes in each pass of a flow, and what is noted on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from samnesia.perturb.errors import ObjectiveNotUsedError
from samnesia.perturb.flow.report import StepReport

if TYPE_CHECKING:
    from samnesia.perturb.flow.passes import PerturbedGradient


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward and backward that a method asks for.

    index: 0, 1, … within the flow. ascent: whether its gradient shapes the perturbation. last: whether its gradient is
    announced as the one that is stepped (AE-SAM knows it only after the pass). needs_gradient: False if a forward
    suffices (a backward does no harm). teacher: whether the weights are the teacher's, so that its loss is not the
    model's.
    """

    index: int
    ascent: bool
    last: bool
    needs_gradient: bool
    teacher: bool
    _criterion: Callable[..., Tensor]
    _batch: Callable[..., tuple[Tensor, ...]]

    def loss(self, output: Tensor, target: Tensor, *, samples: Tensor | None = None) -> Tensor:
        """The criterion of this pass: the training loss, or on ascent passes the method's objective.

        `samples` [N] says who the samples are, for methods that remember what they said of each (`saf`). Raises
        ConfigurationError if the method was built without `loss=`.
        """
        return self._criterion(output, target, samples)

    def batch(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The samples of this pass: `tensors`, or of each, in the last pass of a method that selects, some rows."""
        return self._batch(*tensors)


@final
class Criteria:
    """The criteria of the passes of one flow.

    An ascent pass has the method's objective; the last one the training loss, less the `remainder` that is trained at
    the unperturbed weights in a pass of its own, if this step is perturbed: if it `fires`. `watches`: whether to learn
    by how much losses are scaled.
    """

    def __init__(self, method: PerturbedGradient, report: StepReport, *, fires: bool, watches: bool) -> None:
        self._method = method
        self._remainder = method.remainder if fires else None
        self._descent = method.descent if fires else None
        self._fires = fires
        self._derivatives: list[Tensor] = []  # of the loss by each output of the first pass
        self._report = report
        self._watches = watches
        self._running: Pass | None = None
        self._used = False
        self._scales: list[Tensor] = []
        self._losses: list[list[Tensor]] = []  # of each sample, of the passes that a selection compares
        self._asked = 0
        self._first: int | None = None  # index of the first pass at weights that are not the teacher's

    def open(self, running: Pass) -> None:
        """Begin a pass."""
        self._running, self._used, self._scales, self._asked = running, False, [], 0
        if self._first is None and not running.teacher:
            self._first = running.index
        if self._is_first or not running.needs_gradient:
            self._losses.append([])

    def close(self) -> None:
        """End the pass; raises ObjectiveNotUsedError if it had a criterion of its own that was not asked for."""
        running, self._running = self._running, None
        method = self._method
        if running is None or self._used:
            return
        instead = {
            "ascend the loss in place of the method's own objective": running.ascent and method.objective is not None,
            "perturb the remainder of the loss with the rest of it": self._remainder is not None,
            "descend the loss in place of what the first pass has told": self._descent is not None,
            "select samples without their losses": method.selection is not None and self._fires,
            "train without the divergence from the teacher's outputs": method.teacher is not None,
        }
        for what, wrong in instead.items():
            if wrong:
                raise ObjectiveNotUsedError(
                    f"cannot {what}, because that would train another method; compute the loss of each pass with "
                    "p.loss(output, target) or method.criterion"
                )

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The criterion of the running pass; the first one notes the training loss."""
        method = self._method
        self._used = True
        self._note_samples(output, target)
        criterion = self._criterion()
        if self._descent is None or self._running is None or not self._running.last:
            value = criterion(output, target)
        else:
            value = self._descent.value(output, self._derivatives)
        if self._is_first:
            loss = value
            if criterion != method.training_loss:
                with torch.no_grad():
                    loss = method.training_loss(output.detach(), target)
            self._report.note_loss(loss, _samples(target))
            if self._descent is not None:
                self._derivatives.append(self._descent.derivative(method.training_loss, output, target))
        if self._watches and value.requires_grad:
            scales = self._scales  # no more than that: a loss that is kept must not keep the saved weights
            value.register_hook(lambda gradient: scales.append(gradient.detach().sum()))
        return value

    @property
    def _is_first(self) -> bool:
        return self._running is not None and self._running.index == self._first

    def _criterion(self) -> Callable[[Tensor, Tensor], Tensor]:
        running, method = self._running, self._method
        if running is None:
            return method.training_loss
        if running.ascent and method.objective is not None:
            return method.objective
        if self._remainder is None:
            return method.training_loss
        return self._perturbed_part if running.ascent or running.last else self._remainder

    def _perturbed_part(self, output: Tensor, target: Tensor) -> Tensor:
        part = self._method.training_loss(output, target)
        return part if self._remainder is None else part - self._remainder(output, target)

    def batch(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """`tensors`; in the last pass, the chosen rows of each. Call by call as in the passes before."""
        running, selection = self._running, self._method.selection
        self._asked += 1
        if running is None or not running.last or selection is None or len(self._losses) < 2:
            return tensors
        if self._asked > min(map(len, self._losses)):
            raise ObjectiveNotUsedError(
                "cannot select among samples whose losses are not known, because p.batch was called for more batches "
                "than p.loss in the passes before; call each once for each batch, as in x_p, y_p = p.batch(x, y)"
            )
        before, after = (losses[self._asked - 1] for losses in self._losses[:2])
        chosen = selection.choose(before, after)
        return tuple(t[chosen.to(t.device)] for t in tensors)

    def _note_samples(self, output: Tensor, target: Tensor) -> None:
        running, selection = self._running, self._method.selection
        if running is None or selection is None:
            return
        if running.last and len(self._losses) == 2 and not self._asked:
            raise ObjectiveNotUsedError(
                "cannot train on selected samples, because the last pass was computed on all of them; take the samples "
                "of each pass from p.batch, as in x_p, y_p = p.batch(x, y)"
            )
        if not running.last and (self._is_first or not running.needs_gradient):
            with torch.no_grad():
                self._losses[-1].append(selection.losses(output.detach(), target))

    def scale(self) -> Tensor | None:
        """By how much the last pass's backward calls scaled the loss; None if its loss did not come from here."""
        return torch.stack(self._scales).sum() if self._scales else None


def _samples(target: Tensor) -> int:
    """Samples in a target; one where it does not say."""
    return len(target) if isinstance(target, Tensor) and target.ndim else 1
