"""Whether a criterion has the second derivative that curvature is made of."""

from __future__ import annotations

import torch
from torch import Tensor

from samnesia.measure.subject import Criterion, Subject
from samnesia.perturb.errors import UnsupportedError

_OFF = 0.1  # of the second derivative; kinks of a few samples, and rounding, stay below


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


def _check(criterion: Criterion, output: Tensor, target: Tensor, direction: Tensor, name: str) -> None:
    found = _second(criterion, output, target, direction)
    eps = torch.finfo(output.dtype).eps
    step = eps ** (1 / 3) * max(1.0, float(output.abs().mean()))
    above, below = (_slope(criterion, output + sign * step * direction, target) for sign in (1.0, -1.0))
    shown = (above - below) / (2.0 * step)
    rounding = 10.0 * eps * float(above.norm()) / step
    off, size = float((found - shown).norm()), max(float(found.norm()), float(shown.norm()))
    if off > _OFF * size + rounding:
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
