"""How much of a worst case is found: by SAM's single step, by equal steps, by auto-PGD, and by more climbs.

    python benchmarks/sharpness_climbs.py [--seeds 6]

A small convolutional net is trained on 1,024 of scikit-learn's digits with a fifth of the labels redrawn, plainly and
by SAM with rho 0.1. Then its worst case is looked for in SAM's ball over the same samples, in batches of 128. The
highest point that any of the climbs found counts as the top.

Writes ``benchmarks/results/sharpness_climbs.json``; takes minutes.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import samnesia
from samnesia.measure import ProjectedAscent, Subject, worst_case
from samnesia.train.log import environment, write_json

RESULTS = Path(__file__).parent / "results" / "sharpness_climbs.json"
SAMPLES, BATCH, EPOCHS, REDRAWN = 1024, 64, 15, 0.2
RADII = (0.1, 0.2)
TRAINED = {"SGD": 0.0, "SAM": 0.1}
STEPS, RESTARTS = 20, 4


def data(seed: int) -> tuple[Tensor, Tensor]:
    digits, generator = load_digits(), torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(digits.target), generator=generator)[:SAMPLES]
    y = torch.tensor(digits.target)[chosen]
    redrawn = torch.rand(SAMPLES, generator=generator) < REDRAWN
    y[redrawn] = torch.randint(10, (int(redrawn.sum()),), generator=generator)
    return torch.tensor(digits.images, dtype=torch.float32)[chosen, None] / 16, y


def trained(seed: int, rho: float, x: Tensor, y: Tensor) -> nn.Module:
    torch.manual_seed(seed)
    model = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10)),
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    method = samnesia.sam(model, optimizer, rho=rho)
    for _ in range(EPOCHS):
        for rows in torch.randperm(SAMPLES).split(BATCH):
            for _ in method.passes():
                nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
            optimizer.zero_grad()
        scheduler.step()
    return model


def climbed(model: nn.Module, x: Tensor, y: Tensor) -> list[dict[str, Any]]:
    subject = Subject(model, nn.CrossEntropyLoss(), list(zip(x.split(128), y.split(128), strict=True)))
    rows = []
    for rho in RADII:
        step = worst_case(subject, rho, steps=1, restarts=0)
        equal = worst_case(subject, rho, steps=STEPS, restarts=0, climb=ProjectedAscent())
        auto = worst_case(subject, rho, steps=STEPS, restarts=RESTARTS)
        rises = {
            "one step": step.value,
            "projected": equal.value,
            "auto-PGD": auto.values[0],
            "and the opposite side": max(auto.values[:2]),
            f"and {RESTARTS - 1} random points": auto.value,
        }
        rows.append({"rho": rho, "loss": auto.loss, "rises": rises, "climbs": auto.values})
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The mean rise over seeds, and in how many of them it stays more than 1 % below the highest found."""
    names = list(rows[0]["rises"])
    lines = [f"| trained by | rho | {' | '.join(names)} |", "|---" * (2 + len(names)) + "|"]
    for trained_by, rho in sorted({(row["trained_by"], row["rho"]) for row in rows}, reverse=True):
        found = [row["rises"] for row in rows if (row["trained_by"], row["rho"]) == (trained_by, rho)]
        cells = []
        for name in names:
            low = sum(rises[name] < 0.99 * max(rises.values()) for rises in found)
            cells.append(f"{sum(rises[name] for rises in found) / len(found):.3f} ({low})")
        lines.append(f"| {trained_by} | {rho:g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=6)
    seeds = range(parser.parse_args().seeds)
    rows = []
    for seed in seeds:
        x, y = data(seed)
        for name, rho in TRAINED.items():
            for row in climbed(trained(seed, rho, x, y), x, y):
                rows.append({"seed": seed, "trained_by": name, **row})
                print(seed, name, row["rho"], {k: round(v, 4) for k, v in row["rises"].items()}, flush=True)
    write_json(RESULTS, {"environment": environment(), "epochs": EPOCHS, "samples": SAMPLES, "rows": rows})
    print(table(rows))


if __name__ == "__main__":
    main()
