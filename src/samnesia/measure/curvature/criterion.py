"""Whether criterion and model have the second derivatives that curvature is made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from samnesia.measure.subject import Criterion, Subject
from samnesia.perturb.errors import UnsupportedError

_RAISES = "torch::autograd::Error"
_OFF = 0.1  # of an entry
_MANY = 0.25  # of the entries; a kink (Huber) puts off few of them


def check_criterion(subject: Subject) -> None:
    """Raise UnsupportedError if autograd cannot differentiate the criterion twice, or does so wrongly.

    It is judged on the first batch by the output alone: the second derivative along a random direction has to be that
    which differences of the gradient show. What computes its gradient outside of autograd, or detaches a part of it,
    has another. An output that is no tensor is not judged.
    """
    with subject.looking(), torch.no_grad():
        batch = next(subject.batches())
        output = subject.model(batch[0])
        if not isinstance(output, Tensor) or not output.is_floating_point():
            return
        name = getattr(subject.criterion, "__name__", type(subject.criterion).__name__)
        generator = torch.Generator().manual_seed(0)
        direction = torch.randn(output.shape, generator=generator).to(output)
        try:
            _check(subject.criterion, output.detach(), batch[1], direction, name)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise UnsupportedError(
                f"cannot measure curvature with the criterion {name}, because it has no second derivative "
                f"({str(error).strip().splitlines()[0]}); give a criterion of differentiable operations, or "
                "matrix=DifferenceHessian(), which needs its gradient alone"
            ) from error


def check_graph(slope: Sequence[Tensor]) -> None:
    """Raise UnsupportedError if a part of a gradient cannot be differentiated.

    Functions marked ``once_differentiable`` leave a node that raises, but autograd does not visit it on the way to the
    parameters: without this look at its graph, their part of the curvature would be missing without a word.
    """
    waiting = [g.grad_fn for g in slope if g.grad_fn is not None]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        if node.name() == _RAISES:
            raise UnsupportedError(
                "cannot multiply with the Hessian of this model and criterion, because a function in them is marked as "
                "once_differentiable; give matrix=DifferenceHessian(), which needs first derivatives alone"
            )
        found = {following for following, _ in node.next_functions if following is not None} - seen
        seen |= found
        waiting.extend(found)


def _check(criterion: Criterion, output: Tensor, target: Tensor, direction: Tensor, name: str) -> None:
    found = _second(criterion, output, target, direction)
    eps = torch.finfo(output.dtype).eps
    step = eps ** (1 / 3) * max(1.0, float(output.abs().mean()))
    above, below = (_slope(criterion, output + sign * step * direction, target) for sign in (1.0, -1.0))
    shown = (above - below) / (2.0 * step)
    rounding = 10.0 * eps * float(above.abs().max()) / step
    size = torch.maximum(found.abs(), shown.abs())
    counts = size > _OFF * size.square().mean().sqrt() + rounding
    off = counts & ((found - shown).abs() > _OFF * size + rounding)
    if int(off.sum()) > _MANY * int(counts.sum()):
        raise UnsupportedError(
            f"cannot measure curvature with the criterion {name}, because its second derivative by autograd is not "
            f"that of its gradient ({float(found.norm()):.3g} along a direction where differences of the gradient show "
            f"{float(shown.norm()):.3g}), as where a part is detached or computed outside of torch; give a criterion "
            "of differentiable operations, or matrix=DifferenceHessian(), which needs its gradient alone"
        )


def _slope(criterion: Criterion, output: Tensor, target: Tensor, *, create_graph: bool = False) -> Tensor:
    with torch.enable_grad():
        at = output.detach().requires_grad_() if not create_graph else output
        (slope,) = torch.autograd.grad(criterion(at, target), at, create_graph=create_graph)
    return slope


def _second(criterion: Criterion, output: Tensor, target: Tensor, direction: Tensor) -> Tensor:
    with torch.enable_grad():
        at = output.detach().requires_grad_()
        slope = _slope(criterion, at, target, create_graph=True)
        if not slope.requires_grad:  # linear, or so it says
            return torch.zeros_like(at)
        (second,) = torch.autograd.grad(slope, at, direction, allow_unused=True, materialize_grads=True)
    return second
