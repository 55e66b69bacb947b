"""A batch in pieces, and the gradient clipped."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from samnesia.conformance.outcome import Violation
from samnesia.conformance.problems import (
    TOLERANCE,
    backward,
    batches,
    distance,
    expect_close,
    network,
    pass_over,
    train,
    weights,
)
from samnesia.conformance.subject import Candidate, Row

RHO = 0.1


def accumulation(candidate: Candidate) -> None:
    """Uneven pieces inside each pass, weighted by their share of the samples."""
    whole, pieces = network(), network()
    torch.manual_seed(0)
    train(candidate.build(whole, rho=RHO), whole, batches(3))
    torch.manual_seed(0)
    subject = candidate.build(pieces, rho=RHO)
    for x, y in batches(3):

        def differentiate(index: int, x: Tensor = x, y: Tensor = y) -> Tensor:
            total = torch.zeros((), dtype=torch.float64)
            for rows in (slice(0, 3), slice(3, 8)):
                share = len(y[rows]) / len(y)
                total += backward(share * F.cross_entropy(pieces(x[rows]), y[rows])).detach()
            return total

        subject.step(differentiate)
    what = "with each pass in pieces of 3 and 5 samples, after 3 steps, weights differ from those by whole batches"
    expect_close(weights(pieces), weights(whole), TOLERANCE, what)


def _clipping(candidate: Candidate) -> None:
    limit, updates = 1e-3, []
    for clipped in (False, True):
        model = network()
        torch.manual_seed(0)
        subject = candidate.build(model, rho=RHO, lr=1.0)
        before = weights(model)

        def clip(model: torch.nn.Module = model) -> None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), limit)

        batch = batches(1)[0]
        subject.step(pass_over(model, batch), **({"final": clip} if clipped else {}))
        updates.append(weights(model) - before)
    plain, clipped_update = updates
    norm = float(clipped_update.norm())
    if abs(norm - limit) > 1e-3 * limit:  # torch divides by norm + 1e-6
        raise Violation(f"with lr = 1 and the gradient clipped to norm {limit}, the step has norm {norm:.3e}")
    turned = distance(clipped_update / norm, plain / plain.norm())
    if turned > 1e-6:
        raise Violation(f"clipping turned the step: its direction differs by {turned:.1e} from the unclipped one's")


ROWS = (
    Row(
        "42",
        "Accumulation inside the passes equals the whole batch",
        "Large batches that do not fit into memory train another method.",
        accumulation,
    ),
    Row(
        "45",
        "Clipping acts once, on the gradient that is stepped",
        "The bound that keeps training stable does not hold for the step that is taken, or changes its direction.",
        _clipping,
    ),
)
