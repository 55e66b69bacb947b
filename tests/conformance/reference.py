"""A small right SAM, written apart from the library: a loop over `passes()` in plain torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from samnesia.conformance import Setup


class Reference:
    """SAM with a bound method per decision, so that a mutant replaces one."""

    def __init__(self, setup: Setup) -> None:
        self.model, self.optimizer, self.rho = setup.model, setup.base(), setup.rho
        self.open = False
        self.check(setup)
        self.guard()

    def check(self, setup: Setup) -> None:
        if self.rho < 0:
            raise ValueError("cannot perturb by a negative radius")
        if any(p.dtype in (torch.float16, torch.bfloat16) for p in self.parameters()):
            raise TypeError("cannot perturb weights of half precision; keep them in float32 and use autocast")

    def guard(self) -> None:
        self.optimizer.register_step_pre_hook(self.refuse)
        self.model.register_state_dict_pre_hook(self.refuse)

    def refuse(self, *_: Any) -> None:
        if self.open:
            raise RuntimeError("cannot do this inside passes(), because weights are perturbed")

    def parameters(self) -> list[nn.Parameter]:
        return [p for group in self.optimizer.param_groups for p in group["params"] if p.requires_grad]

    def with_gradient(self) -> list[nn.Parameter]:
        return [p for p in self.parameters() if p.grad is not None]

    def refuse_sparse(self, parameters: list[nn.Parameter]) -> None:
        if any(p.grad.is_sparse for p in parameters):
            raise TypeError("cannot perturb along sparse gradients; make the embedding dense")

    def radius(self, p: Tensor) -> float:
        group = next(g for g in self.optimizer.param_groups if any(q is p for q in g["params"]))
        return group.get("rho", self.rho)

    def norm(self, p: Tensor, gradients: list[Tensor]) -> float:
        return float(whole(torch.nn.utils.get_total_norm(gradients)))

    def direction(self, p: Tensor) -> Tensor:
        return p.grad

    def epsilon(self) -> float:
        return 1e-12

    def save(self, parameters: list[nn.Parameter]) -> dict[Tensor, Tensor]:
        return {p: p.detach().clone() for p in parameters}

    @torch.no_grad()
    def perturb(self, saved: dict[Tensor, Tensor]) -> bool:
        """Whether the gradient was finite; nothing moves otherwise."""
        gradients = [self.direction(p) for p in saved]
        lengths = [self.norm(p, gradients) + self.epsilon() for p in saved]
        if not all(torch.isfinite(torch.tensor(lengths))):
            return False
        for p, g, length in zip(saved, gradients, lengths, strict=True):
            p.add_(g, alpha=self.radius(p) / length) if length else p.add_(g / length)
        return True

    @torch.no_grad()
    def restore(self, saved: dict[Tensor, Tensor]) -> None:
        for p, value in saved.items():
            p.copy_(value)

    def statistics(self) -> list[Tensor]:
        return [buffer.clone() for buffer in self.model.buffers()]

    def put_back(self, statistics: list[Tensor]) -> None:
        for buffer, value in zip(self.model.buffers(), statistics, strict=True):
            buffer.copy_(value)

    def passes(self) -> Iterator[int]:
        self.optimizer.zero_grad()
        yield 0
        perturbed = self.with_gradient()
        self.refuse_sparse(perturbed)
        saved, statistics = self.save(perturbed), self.statistics()
        finite = self.perturb(saved)
        self.open = True
        try:
            self.optimizer.zero_grad()
            yield 1
        finally:
            self.open = False
            self.restore(saved)
            self.put_back(statistics)
        if not finite:
            self.spoil()

    def spoil(self) -> None:
        """So that a scaler sees the overflow of the first pass."""
        for p in self.with_gradient():
            p.grad.fill_(float("nan"))

    def step(self, closure: Callable[[], Any]) -> Any:
        losses = [closure() for _ in self.passes()]
        self.optimizer.step()
        return losses[0]

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
