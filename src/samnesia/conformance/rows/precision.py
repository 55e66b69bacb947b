"""Loss scaling, and weights of half precision."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samnesia.conformance.adapters import Differentiate
from samnesia.conformance.outcome import NotApplicable, Violation, refused
from samnesia.conformance.problems import (
    TOLERANCE,
    attempt,
    backward,
    batches,
    expect_close,
    expect_finite,
    network,
    perturbation,
    train,
    weights,
)
from samnesia.conformance.subject import Candidate, Row


def _scaled(candidate: Candidate) -> None:
    model, plain = network(), network()
    torch.manual_seed(0)
    train(candidate.build(plain, rho=0.1, momentum=0.9), plain, batches(3))
    torch.manual_seed(0)
    subject = candidate.build(model, rho=0.1, momentum=0.9)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    for x, y in batches(3):

        def differentiate(index: int, x: Tensor = x, y: Tensor = y) -> Tensor:
            loss = F.cross_entropy(model(x), y)
            backward(scaler.scale(loss))
            return loss

        subject.scaled_step(differentiate, scaler)
    what = "with the loss scaled by 65536, after 3 steps, weights differ from those without"
    expect_close(weights(model), weights(plain), TOLERANCE, what)


class Vector(nn.Module):
    """A loss that is linear in one vector of weights, whose gradient is therefore known."""

    def __init__(self, weight: Tensor, gradient: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.gradient = gradient

    def forward(self) -> Tensor:
        """The loss, written such that no sum can overflow."""
        return ((self.weight - self.weight.detach()) * self.gradient).sum()


def perturbed(candidate: Candidate, model: Vector, rho: float) -> Tensor | None:
    """The perturbation of a step at lr = 0, or None if such weights are refused in words."""
    found: list[Tensor] = []
    differentiate: Differentiate = lambda index: backward(model())  # noqa: E731

    def step() -> None:
        found.append(perturbation(candidate.build(model, lr=0.0, rho=rho), model, differentiate))

    error = attempt(step)
    if error is not None and not refused(error):
        raise error
    return found[0] if found else None


def _perturbs_by_gradient(candidate: Candidate) -> None:
    if candidate.claims.passes < 2:
        raise NotApplicable("its perturbation does not follow a gradient")


def _bfloat16(candidate: Candidate) -> None:
    _perturbs_by_gradient(candidate)
    generator = torch.Generator().manual_seed(3)
    gradient = torch.randn(10_000, generator=generator)
    weight = torch.randn(10_000, generator=generator)
    wide = perturbed(candidate, Vector(weight.clone(), gradient), 0.05)
    moved = perturbed(candidate, Vector(weight.bfloat16(), gradient.bfloat16()), 0.05)
    if moved is None or wide is None:
        return
    length = float(moved.norm() / wide.norm())
    cosine = float(F.cosine_similarity(moved, wide, dim=0))
    if not (abs(length - 1) < 0.05 and cosine > 0.95):
        raise Violation(
            f"with bf16 weights the perturbation has {length:.2f} of its float32 length, and cosine {cosine:.2f} to it"
        )


def _long_norm(candidate: Candidate) -> None:
    _perturbs_by_gradient(candidate)
    size, value = 1_000_000, 300.0
    model = Vector(torch.zeros(size).half(), torch.full((size,), value).half())
    wide = Vector(torch.zeros(size), torch.full((size,), value))
    moved = perturbed(candidate, model, 1.0)
    if moved is None:
        return
    expected = perturbed(candidate, wide, 1.0)
    assert expected is not None
    length = float(moved.norm() / expected.norm())
    if not abs(length - 1) < 0.01:
        raise Violation(
            f"with 1e6 fp16 gradients of 300 the perturbation has {length:.2f} of its float32 length: the norm 3.0e5 "
            "overflows fp16"
        )
    expect_finite(model, "after the step")


def _small_norm(candidate: Candidate) -> None:
    for dtype in (torch.float16, torch.bfloat16):
        model = Vector(torch.ones(100, dtype=dtype), torch.zeros(100, dtype=dtype))
        moved = perturbed(candidate, model, 0.05)
        if moved is None:
            continue
        expect_finite(model, f"after a step with a gradient of zeros in {dtype}")
        if not moved.isfinite().all():
            raise Violation(f"a gradient of zeros in {dtype} gives a perturbation that is not finite")


ROWS = (
    Row(
        "56",
        "Under a GradScaler training is the same",
        "fp16 training takes other steps than fp32, or none.",
        _scaled,
    ),
    Row(
        "57",
        "bf16 weights: perturbed as in float32, or refused in words",
        "Rounding swallows most of the perturbation: what is left is noise of another direction, at twice the cost.",
        _bfloat16,
    ),
    Row(
        "58",
        "Norms of fp16 gradients do not overflow (or fp16 weights are refused)",
        "A large model in fp16 has an infinite norm: its perturbation is zero, and SAM is plain training.",
        _long_norm,
    ),
    Row(
        "59",
        "A gradient of zeros in half precision (or half weights are refused)",
        "The constant that shall save a division by zero is itself zero in fp16: NaN.",
        _small_norm,
    ),
)
