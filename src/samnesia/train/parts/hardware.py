"""Where and how precisely a run computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from samnesia.train.parts.checks import require


@dataclass(frozen=True)
class Hardware:
    """Device, precision and how a model is spread over several; the number of processes is torchrun's business."""

    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    """Kind of device; auto takes a GPU where there is one."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed", "64-true"] = "32-true"
    """Weights are kept in float32 (or float64); mixed computes the forward in half precision."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """Under torchrun: a copy of the model in every process, or a part of it (FSDP2)."""
    deterministic: bool = False
    """Let torch use deterministic algorithms only: on a GPU, exact repetition and resuming need it; may be slower."""
    compile: bool = False
    """Compile the model with torch.compile."""
    threads: int = 1
    """CPU threads of torch; another number may change the last bits of the results."""
    workers: int = 0
    """Processes that load data beside each process that trains."""

    def __post_init__(self) -> None:
        for name, least, most in (("threads", 1, 1024), ("workers", 0, 1024)):
            value = getattr(self, name)
            require(value >= least, f"cannot train with {name} {value}, because it must be {least} or more; change it")
            require(value <= most, f"cannot train with {name} {value}, because it must be {most} or less; change it")
