"""How many products with the Hessian do five leading eigenpairs take, and the first alone?

    python benchmarks/eigenpairs.py [--seeds 3] [--samples 256] [--cap 1000] [--epochs 20]

Three networks are trained on digits by the script itself: an MLP by SGD, a CNN with BatchNorm by SAM, a small vision
transformer by AdamW. On each, over several start vectors:

- ``samnesia.measure.eigenpairs``, until the five pairs of largest magnitude have a residual ‖Hv - λv‖ / |λ| of at most
  1e-3; the same for the first alone; and for five pairs at each end of the spectrum;
- deflated power iteration (``power_iteration(residual=1e-3)``), one pair after the other, each until the residual
  beside the earlier pairs is as small, or ``--cap`` products are spent on it: then what it took is a lower bound;
- SciPy's ``eigsh`` (ARPACK, restarted Lanczos with the basis it chooses), to the same tolerance;
- power iteration by the protocol of PyHessian, for its value and its residual.

Every residual that counts is checked by a product of its own. Writes ``benchmarks/results/eigenpairs.json``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import samnesia
from samnesia.data.digits import digits
from samnesia.measure.curvature.operators import Hessian, Operator
from samnesia.measure.curvature.pairs import Eigenpairs
from samnesia.measure.curvature.power import power_iteration
from samnesia.measure.curvature.spectrum import eigenpairs
from samnesia.measure.subject import Subject
from samnesia.models.small import mlp, small_cnn
from samnesia.train.log import environment, write_json

RESULTS = Path(__file__).resolve().parent / "results" / "eigenpairs.json"
PAIRS, TOLERANCE = 5, 1e-3


def vit() -> nn.Module:
    """16 patches of 2 x 2 pixels, width 24, two blocks."""
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=8, patch_size=2, in_chans=1, num_classes=10, embed_dim=24, depth=2, num_heads=3, mlp_ratio=2
    )


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module], torch.optim.Optimizer], float]] = {
    "MLP, SGD": (lambda: mlp(64, 10, hidden=(64, 64), norm=False), sgd, 0.0),
    "CNN with BatchNorm, SAM": (lambda: small_cnn(1, 10, channels=(8, 16), hidden=32), sgd, 0.1),
    "ViT, AdamW": (vit, adamw, 0.0),
}


def trained(name: str, data: TensorDataset, epochs: int) -> nn.Module:
    """The network after so many epochs in batches of 64."""
    make, optimizer_of, rho = NETWORKS[name]
    torch.manual_seed(0)
    model = make()
    optimizer = optimizer_of(model)
    sam = samnesia.sam(model, optimizer, rho=rho)
    loader = DataLoader(data, 64, shuffle=True, generator=torch.Generator().manual_seed(0))
    for _ in range(epochs):
        for inputs, targets in loader:
            for _ in sam.passes():
                nn.functional.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
            optimizer.zero_grad()
    return model


class Counted:
    """SciPy's view of an operator."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        size = operator.space.dimension
        self.linear = LinearOperator((size, size), matvec=self._multiply, dtype=np.float64)
        self.products = 0

    def _multiply(self, vector: np.ndarray) -> np.ndarray:
        self.products += 1
        return self._operator(torch.from_numpy(vector.reshape(-1)).to(self._operator.space.dtype)).double().numpy()


def by_eigsh(operator: Operator, count: int, seed: int) -> dict[str, Any]:
    """Products and residuals of SciPy's eigsh for the pairs of largest magnitude."""
    counted = Counted(operator)
    start = operator.space.gaussian(seed).double().numpy()
    try:
        values, vectors = eigsh(counted.linear, k=count, which="LM", tol=TOLERANCE, v0=start)
    except ArpackNoConvergence:
        return {"products": counted.products, "residual": None}
    rows = [torch.from_numpy(column.copy()).to(operator.space.dtype) for column in vectors.T]
    return {"products": counted.products, "residual": max(map(partial(residual, operator), map(float, values), rows))}


def residual(operator: Operator, value: float, vector: Tensor) -> float:
    """‖Hv - λv‖ / |λ| by a product."""
    return operator.space.norm(operator(vector) - value * vector) / abs(value)


def summary(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def compared(subject: Subject, seeds: int, cap: int) -> dict[str, Any]:
    """All ways, from each start vector."""
    operator = Operator(subject, Hessian())
    runs: list[dict[str, Any]] = []
    for seed in range(seeds):
        five = eigenpairs(subject, PAIRS, ends="magnitude", tolerance=TOLERANCE, seed=seed)
        first = eigenpairs(subject, 1, ends="magnitude", tolerance=TOLERANCE, seed=seed)
        both = eigenpairs(subject, PAIRS, tolerance=TOLERANCE, seed=seed)
        power = power_iteration(subject, PAIRS, change=None, residual=TOLERANCE, steps=cap, seed=seed)
        power_first = power_iteration(subject, 1, change=None, residual=TOLERANCE, steps=cap, seed=seed)
        protocol = power_iteration(subject, seed=seed)
        runs.append(
            {
                "seed": seed,
                "lanczos": {"five": five.products, "first": first.products, "five_at_each_end": both.products},
                "power": {"five": power.products, "first": power_first.products, "finished": power.converged},
                "eigsh": {"five": by_eigsh(operator, PAIRS, seed), "first": by_eigsh(operator, 1, seed)},
                "pyhessian": _plain(protocol),
                "certified": max(pair.residual for pair in five.pairs + first.pairs + both.pairs),
                "checked": max(
                    residual(operator, pair.value, operator.space.join(pair.vector))
                    for pair in five.pairs + first.pairs
                ),
                "all_converged": five.converged and first.converged and both.converged,
                "five_over_power": five.products / power.products,
                "first_over_power": first.products / power_first.products,
            }
        )
        print(runs[-1], flush=True)
    return {
        "parameters": operator.space.dimension,
        "loss": subject.loss(),
        "values": [pair.value for pair in five.pairs],
        "lowest": both.smallest[0].value,
        "ratio_1_2": five.pairs[0].value / five.pairs[1].value,
        "ratio_1_5": five.pairs[0].value / five.pairs[4].value,
        "subject": subject.describe(),
        "five_over_power": summary([run["five_over_power"] for run in runs]),
        "first_over_power": summary([run["first_over_power"] for run in runs]),
        "runs": runs,
    }


def _plain(found: Eigenpairs) -> dict[str, Any]:
    pair = found.dominant
    return {"value": pair.value, "residual": pair.residual, "products": found.products}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--cap", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    began, split = time.perf_counter(), digits(0).train
    data = TensorDataset(split.inputs, split.labels)
    networks = {}
    for name in NETWORKS:
        model = trained(name, data, arguments.epochs)
        subject = Subject(model, nn.CrossEntropyLoss(), DataLoader(data, 100), samples=arguments.samples)
        networks[name] = compared(subject, arguments.seeds, arguments.cap)
        print(name, {key: value for key, value in networks[name].items() if key != "runs"}, flush=True)
    content = {
        "environment": {**environment(), "scipy": version("scipy")},
        "seeds": arguments.seeds,
        "tolerance": TOLERANCE,
        "cap_per_pair": arguments.cap,
        "epochs": arguments.epochs,
        "seconds": round(time.perf_counter() - began, 1),
        "networks": networks,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out, content)


if __name__ == "__main__":
    main()
