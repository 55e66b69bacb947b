"""What the workers run: methods whose passes differ from step to step, select samples or ask a teacher."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

import samnesia
from benchmarks.communication import Watch, backward, recording, summary
from samnesia.perturb.errors import UnsupportedError
from tests.distributed import communication_jobs, jobs, problems

Build = Callable[..., samnesia.PerturbedGradient]
STEPS = 6
METHODS: dict[str, tuple[Build, dict[str, Any]]] = {
    "looksam": (samnesia.looksam, {"rho": 0.3, "k": 2}),
    "ae-sam": (samnesia.ae_sam, {"rho": 0.3, "total_steps": STEPS, "delta": 0.5, "lambda_1": 0.2, "lambda_2": 0.2}),
    "esam": (samnesia.esam, {"rho": 0.3, "share": 0.5}),
    "esam by tensor": (samnesia.esam, {"rho": 0.3, "share": 1.0, "per": "tensor"}),
    "momentum sam": (samnesia.momentum_sam, {"rho": 0.3}),
    "mesa": (samnesia.mesa, {"weight": 2.0, "temperature": 2.0, "decay": 0.7}),
}


def build(name: str, model: Any, optimizer: Any, **options: Any) -> samnesia.PerturbedGradient:
    preset, settings = METHODS[name]
    return preset(model, optimizer, loss=F.cross_entropy, **problems.OPTIONS, **{**settings, **options})


def steps_of(rank: int) -> list[problems.Step]:
    """Each batch twice, so that there are twice as many steps."""
    return [step for step in problems.of_rank(rank, jobs.HALVES) for _ in range(2)]


def train(model: Any, method: Any, steps: list[problems.Step], **around: Any) -> dict[str, Any]:
    """`problems.train`, with `p.batch` in the body, and buffers."""
    evaluations, norms, buffers, weights = [], [], [], []
    for step in steps:
        for i, flow in enumerate(step):
            with around.get("around_flow", problems.loud)(i, len(step)):
                for p in method.passes():
                    for piece in flow:
                        x, y = p.batch(piece.x, piece.y)
                        loss = p.loss(model(x), y) * piece.weight
                        if p.needs_gradient:
                            loss.backward()
        method.optimizer.step()
        method.optimizer.zero_grad()
        evaluations.append(method.last_step.gradient_evaluations)
        norms.append(method.last_step.perturbation_norm)
        weights.append(problems.weights(method.optimizer))
        buffers.append(problems.buffers(model))
    return {"weights": weights, "evaluations": evaluations, "norms": norms, "buffers": buffers}


def ddp_train(name: str, *, flows: int = 1, batch_norm: bool = False, **options: Any) -> dict[str, Any]:
    ddp = options.pop("ddp", {})
    model = DistributedDataParallel(problems.network(batch_norm=batch_norm), **ddp)
    method = build(name, model, problems.optimizer_of(model), **options)
    steps = steps_of(dist.get_rank())
    if flows > 1:
        steps = [[flow for [flow] in steps[i : i + flows]] for i in range(0, len(steps), flows)]
        for step in steps:
            step[:] = [[problems.Piece(p.x, p.y, p.weight / flows) for p in flow] for flow in step]
    return train(model, method, steps, around_flow=jobs.unsynced(model, True))


def fsdp_train(name: str, *, resume_at: int | None = None) -> dict[str, Any]:
    """`resume_at`: the method is saved and built anew after so many steps."""
    model = jobs.shard(problems.network())
    method = build(name, model, problems.optimizer_of(model))
    steps = steps_of(dist.get_rank())
    if resume_at is None:
        return train(model, method, steps)
    train(model, method, steps[:resume_at])
    again = build(name, model, method.optimizer)
    again.load_state_dict(method.state_dict())
    return train(model, again, steps[resume_at:])


def sent(name: str | None) -> communication_jobs.Collectives:
    """Collectives of a fifth step by kind, with a backward in every pass; without a name, of plain training."""
    model = communication_jobs.ddp()
    optimizer = problems.optimizer_of(model)
    method = None if name is None else build(name, model, optimizer)
    for [[piece]] in steps_of(dist.get_rank())[: communication_jobs.COUNTED_STEP + 1]:
        with Watch(), recording() as found:
            for p in [None] if method is None else method.passes():
                loss = F.cross_entropy if p is None else p.loss
                backward(loss(model(piece.x), piece.y))
            optimizer.step()
            optimizer.zero_grad()
    return summary(found)


def saf_refused() -> str:
    model = DistributedDataParallel(problems.network())
    try:
        samnesia.saf(model, problems.optimizer_of(model), num_samples=8, loss=F.cross_entropy)
    except UnsupportedError as error:
        return str(error)
    return ""
