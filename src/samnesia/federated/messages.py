"""What server and clients say to each other, in Flower's records.

::

    train, to a client      weights (parameters), buffers (floating-point ones), config: server-round (from 1) and
                            federated (the whole configuration, as JSON)
    train, its answer       weights, buffers, metrics: num-examples, and totals of the steps that it took
    query, to a client      nothing
    query, its answer       config: partition-id, num-partitions

Integer buffers (the batches that BatchNorm has seen) stay where they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from samnesia.federated.keys import BUFFERS, METRICS, SAMPLES, WEIGHTS
from samnesia.train.totals import Totals

if TYPE_CHECKING:
    from flwr.app import ArrayRecord, Message, MetricRecord

COUNTED = ("steps", "skipped", "perturbed", "skipped_perturbed", "gradient_evaluations")
MEANS = ("gradient_norm", "perturbation_norm", "cosine")
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class State:
    """Parameters and floating-point buffers of a module, by name."""

    weights: Tensors
    buffers: Tensors

    @staticmethod
    def of(module: nn.Module) -> State:
        """A copy of what the module holds."""
        parameters = {name: value.detach().cpu().clone() for name, value in module.named_parameters()}
        buffers = {name: value.detach().cpu().clone() for name, value in module.named_buffers()}
        return State(parameters, {name: value for name, value in buffers.items() if value.is_floating_point()})

    @torch.no_grad()
    def put(self, module: nn.Module) -> None:
        """Let the module hold this."""
        for name, weight in module.named_parameters():
            weight.copy_(self.weights[name])
        for name, buffer in module.named_buffers():
            if name in self.buffers:
                buffer.copy_(self.buffers[name])

    def records(self) -> dict[str, ArrayRecord]:
        """As two records of arrays."""
        return {WEIGHTS: arrays(self.weights), BUFFERS: arrays(self.buffers)}

    @staticmethod
    def read(content: Mapping[str, Any]) -> State:
        """What :meth:`records` wrote."""
        return State(tensors(content[WEIGHTS]), tensors(content[BUFFERS]))


def arrays(values: Tensors) -> ArrayRecord:
    """Tensors as a record."""
    from flwr.app import Array, ArrayRecord

    return ArrayRecord({name: Array(value.numpy()) for name, value in values.items()})


def tensors(record: ArrayRecord) -> Tensors:
    """A record as tensors."""
    return {name: torch.from_numpy(array.numpy().copy()) for name, array in record.items()}


def metrics(samples: int, totals: Totals) -> MetricRecord:
    """What a client has done."""
    from flwr.app import MetricRecord

    found: dict[str, Any] = {SAMPLES: samples, **{name: getattr(totals, name) for name in COUNTED}}
    for name in MEANS:
        found |= {f"sum.{name}": totals.sums.get(name, 0.0), f"count.{name}": totals.counts.get(name, 0)}
    return MetricRecord(found)


def add(totals: Totals, record: MetricRecord) -> None:
    """Add what a client has done to what all have."""
    found: Mapping[str, Any] = record
    for name in COUNTED:
        setattr(totals, name, getattr(totals, name) + int(found[name]))
    for name in MEANS:
        if found[f"count.{name}"]:
            totals.sums[name] = totals.sums.get(name, 0.0) + float(found[f"sum.{name}"])
            totals.counts[name] = totals.counts.get(name, 0) + int(found[f"count.{name}"])


def fault(reply: Message | None, expected: State) -> str | None:
    """Why a reply cannot be averaged, as the end of a sentence; None if it can."""
    if reply is None:
        return "it did not answer in time"
    if reply.has_error():
        return f"it failed ({' '.join((reply.error.reason or 'no reason given').split())[:300]})"
    content: Mapping[str, Any] = reply.content
    if not {WEIGHTS, BUFFERS, METRICS} <= content.keys():
        return "its answer lacks a record"
    counted = content[METRICS]
    known = {SAMPLES, *COUNTED, *(f"{kind}.{name}" for name in MEANS for kind in ("sum", "count"))}
    if counted.keys() != known or not 0 < counted[SAMPLES] < float("inf"):
        return "it does not say on how many samples it has trained"
    for what, record, values in ((WEIGHTS, content[WEIGHTS], expected.weights),
                                 (BUFFERS, content[BUFFERS], expected.buffers)):  # fmt: skip
        if record.keys() != values.keys():
            return f"its {what} are of another model"
        for name, value in values.items():
            try:
                sent = record[name].numpy()
            except (ValueError, TypeError):
                return f"its {name} cannot be read"
            if sent.shape != tuple(value.shape) or sent.dtype != value.numpy().dtype:
                return (
                    f"its {name} has shape {tuple(sent.shape)} in {sent.dtype}, not {tuple(value.shape)} in "
                    f"{value.numpy().dtype}"
                )
            if not torch.from_numpy(sent.copy()).isfinite().all():
                return f"its {name} is not finite"
    return None
