"""Running statistics, and the randomness of a forward."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samnesia.conformance.outcome import NotApplicable, Violation
from samnesia.conformance.problems import HIDDEN, backward, batches, network, train
from samnesia.conformance.subject import Candidate, Row

RHO = 0.1


class Custom(nn.Module):
    """A norm layer that is no subclass of torch's, as many model libraries have one."""

    running: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("running", torch.zeros(HIDDEN))

    def forward(self, x: Tensor) -> Tensor:
        """Centre, by the batch in training."""
        if self.training:
            with torch.no_grad():
                self.running.mul_(0.9).add_(0.1 * x.mean(0))
        return x - (x.mean(0) if self.training else self.running)


class Instance(nn.Module):
    """InstanceNorm with statistics, over features split into two channels."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.InstanceNorm1d(2, track_running_stats=True)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each sample."""
        output: Tensor = self.inner(x.unflatten(1, (2, -1))).flatten(1)
        return output


def statistics(candidate: Candidate, make_norm: type[nn.Module], **options: None) -> None:
    """Three steps at lr = 0 move buffers as three forwards at the same weights do."""
    model, forwarded = network(norm=make_norm(**options)), network(norm=make_norm(**options))
    train(candidate.build(model, lr=0.0, rho=RHO), model, batches(3))
    for x, _ in batches(3):
        forwarded(x)
    for (name, actual), expected in zip(model.named_buffers(), forwarded.buffers(), strict=True):
        apart = float((actual.double() - expected.double()).abs().max())
        if not apart <= 1e-9:
            detail = f"is {int(actual)}, not {int(expected)}" if actual.dim() == 0 else f"is off by {apart:.1e}"
            raise Violation(f"after 3 steps buffer {name} {detail}, compared with one forward a step")


class BatchNorm(nn.BatchNorm1d):
    """BatchNorm on the hidden features."""

    def __init__(self, momentum: float | None = 0.1) -> None:
        super().__init__(HIDDEN, momentum=momentum)


def _batch_norm(candidate: Candidate) -> None:
    statistics(candidate, BatchNorm)


def _cumulative_batch_norm(candidate: Candidate) -> None:
    statistics(candidate, BatchNorm, momentum=None)


def _instance_norm(candidate: Candidate) -> None:
    statistics(candidate, Instance)


def _custom_norm(candidate: Candidate) -> None:
    statistics(candidate, Custom)


def masks(candidate: Candidate, *, replay: bool) -> list[Tensor]:
    """The dropout masks of the passes of one step."""
    model = network(dropout=0.5)
    seen: list[Tensor] = []
    model.dropout.register_forward_hook(lambda module, inputs, output: seen.append(output.detach() == 0))
    x, y = batches(1, samples=32)[0]
    subject = candidate.build(model, rho=0.0, replay_dropout=replay)
    subject.step(lambda index: backward(F.cross_entropy(model(x), y)))
    return seen


def _dropout(candidate: Candidate) -> None:
    candidate.needs_passes(2)
    if not candidate.claims.replays_dropout:
        raise NotApplicable("does not claim to replay random numbers; the passes draw masks of their own")
    replayed, fresh = masks(candidate, replay=True), masks(candidate, replay=False)
    if not torch.equal(replayed[0], replayed[-1]):
        share = float((replayed[0] != replayed[-1]).double().mean())
        raise Violation(f"with replay asked for, {share:.0%} of the dropout mask differ between the passes")
    if torch.equal(fresh[0], fresh[-1]):
        raise Violation("without replay asked for, both passes have the same dropout mask")


ROWS = (
    Row(
        "47a",
        "BatchNorm's buffers move once a step, num_batches_tracked included",
        "Evaluation uses statistics of the perturbed model, averaged over half as many steps.",
        _batch_norm,
    ),
    Row(
        "47b",
        "The same with momentum=None (cumulative average)",
        "The running mean is wrong by as much as the data vary: evaluation is useless.",
        _cumulative_batch_norm,
    ),
    Row(
        "47c",
        "The same for InstanceNorm with statistics",
        "Style and medical models evaluate with statistics of the perturbed model.",
        _instance_norm,
    ),
    Row(
        "47d",
        "The same for a norm layer of one's own",
        "Model libraries' own norm layers are overlooked, and evaluate with statistics of the perturbed model.",
        _custom_norm,
    ),
    Row(
        "48",
        "Dropout masks are replayed where that is claimed, and fresh otherwise",
        "A good part of the perturbation is the noise of another mask, not the gradient.",
        _dropout,
    ),
)
