"""Where the vectorized form of m-sharpness wins over the loop, and where it loses.

    python benchmarks/m_sharpness.py [NET ...] [--rounds 15] [--threads 1] [--device cpu]

For every net and every micro-batch m in 1, 2, 4 ... 64, one training step of SAM on a batch of 128 (passes, step of SGD
with momentum, zero_grad) in three forms: the loop over micro-batches, `samnesia.Vectorized` with all micro-batches at
once, and with 16 at a time. A round runs each form once, one after the other on the same machine; the figure is the
loop's time over the other's, per round: the median over rounds with its distribution-free 95 % interval (order
statistics). Above 1, the vectorized form is faster.

Memory is counted in a step of its own: the most bytes of tensors alive at once (every operator's results), less the
same of the loop, in copies of the parameters; so are the operators launched. The forms' gradients are compared in the
same step. Writes ``benchmarks/results/m_sharpness.json`` and the table of ``docs/m_sharpness.md``.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

import samnesia
from samnesia.train.log import environment, write_json

ROOT = Path(__file__).resolve().parent.parent
RESULTS, DOCUMENT = ROOT / "benchmarks" / "results" / "m_sharpness.json", ROOT / "docs" / "m_sharpness.md"
BEGIN, END = "<!-- table: benchmarks/m_sharpness.py -->", "<!-- end of table -->"
SAMPLES, CLASSES, SIDE = 128, 10, 8
MICRO_BATCHES = (1, 2, 4, 8, 16, 32, 64)
AT_A_TIME = 16
FORMS = ("loop", "all at once", f"{AT_A_TIME} at a time")
WARM_UP_ROUNDS = 2


def mlp(width: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(SIDE * SIDE, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, CLASSES),
    )


def cnn() -> nn.Module:
    """Convolutions with GroupNorm: running statistics are what the vectorized form cannot have."""
    layers: list[nn.Module] = []
    for before, after in ((1, 16), (16, 32)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.GroupNorm(4, after), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, CLASSES))


class ViT(nn.Module):
    """Sixteen patches of 2 x 2 pixels and a class token, width 64, two pre-norm layers with four heads."""

    def __init__(self, width: int = 64, depth: int = 2, patch: int = 2) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(0.02 * torch.randn(1, (SIDE // patch) ** 2 + 1, width))
        self.layers = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.0, batch_first=True, norm_first=True)
                for _ in range(depth)
            )
        )
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.embed(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), patches], 1) + self.position
        return self.head(self.layers(tokens)[:, 0])


NETS: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "mlp-small": ("MLP 64-128-128-10", partial(mlp, 128)),
    "cnn": ("CNN 16-32, GroupNorm", cnn),
    "vit": ("ViT 64 x 2, 17 tokens", ViT),
    "mlp-large": ("MLP 64-960-960-10", partial(mlp, 960)),
}


class Form:
    """One training step of a net of its own; all forms begin from the same weights."""

    def __init__(self, name: str, make: Callable[[], nn.Module], m: int, device: torch.device) -> None:
        torch.manual_seed(0)
        self.name, self.m = name, m
        self.model = make().to(device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)
        self.method = samnesia.sam(self.model, self.optimizer, rho=0.05, loss=F.cross_entropy)
        self.vectorized = samnesia.Vectorized(self.method, m, max_chunks=None if name == FORMS[1] else AT_A_TIME)

    def differentiate(self, x: Tensor, y: Tensor) -> None:
        if self.name != FORMS[0]:
            self.vectorized.backward(x, y)
            return
        for rows_x, rows_y in zip(x.split(self.m), y.split(self.m), strict=True):
            for p in self.method.passes():
                (p.loss(self.model(rows_x), rows_y) * len(rows_x) / len(x)).backward()

    def step(self, x: Tensor, y: Tensor) -> None:
        self.differentiate(x, y)
        self.optimizer.step()
        self.optimizer.zero_grad()


class Ledger(TorchDispatchMode):
    """Counts operators, and the most bytes of their results that are alive at once."""

    def __init__(self) -> None:
        super().__init__()
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = self.operators = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        self.operators += 1
        for value in tree_iter(result):
            if isinstance(value, Tensor):
                storage = value.untyped_storage()
                self._alive[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self._alive = {key: entry for key, entry in self._alive.items() if not entry[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self._alive.values()))
        return result


def count(form: Form, x: Tensor, y: Tensor) -> tuple[int, int, list[Tensor]]:
    """Peak bytes and operators of one gradient, and the gradient."""
    form.step(x, y)
    with Ledger() as ledger:
        form.differentiate(x, y)
    gradients = [p.grad.clone() for p in form.model.parameters() if p.grad is not None]
    form.optimizer.zero_grad()
    return ledger.peak, ledger.operators, gradients


def seconds(form: Form, x: Tensor, y: Tensor) -> float:
    begin = time.perf_counter()
    form.step(x, y)
    if x.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def interval_of_the_median(values: list[float], level: float = 0.95) -> tuple[float, float]:
    """The narrowest pair of order statistics that is sure to cover the median with probability `level`."""
    ordered, n = sorted(values), len(values)
    below = 0
    while 1 - 2 * sum(math.comb(n, k) for k in range(below + 1)) / 2**n >= level:
        below += 1
    below = max(below, 1)  # with five rounds or fewer, the range: less than the level
    return ordered[below - 1], ordered[n - below]


def compare(make: Callable[[], nn.Module], m: int, rounds: int, device: torch.device) -> dict[str, Any]:
    """All forms at one micro-batch."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(SAMPLES, 1, SIDE, SIDE, generator=generator).to(device)
    y = torch.randint(CLASSES, (SAMPLES,), generator=generator).to(device)
    # all at once and so many at a time are one form where there are not more micro-batches than that
    forms = [Form(name, make, m, device) for name in FORMS if name != FORMS[2] or SAMPLES // m > AT_A_TIME]
    size = sum(p.numel() * p.element_size() for p in forms[0].model.parameters())
    counted = {form.name: count(form, x, y) for form in forms}
    taken: dict[str, list[float]] = {form.name: [] for form in forms}
    for _ in range(WARM_UP_ROUNDS + rounds):
        for form in forms:
            taken[form.name].append(seconds(form, x, y))
    measured = {name: values[WARM_UP_ROUNDS:] for name, values in taken.items()}
    loop_peak, loop_operators, expected = counted[FORMS[0]]
    result: dict[str, Any] = {
        "m": m,
        "loop": {"milliseconds": round(1e3 * statistics.median(measured["loop"]), 2), "operators": loop_operators},
    }
    for form in forms[1:]:
        peak, operators, gradients = counted[form.name]
        ratios = [a / b for a, b in zip(measured["loop"], measured[form.name], strict=True)]
        low, high = interval_of_the_median(ratios)
        difference = math.sqrt(sum(float((a - b).square().sum()) for a, b in zip(gradients, expected, strict=True)))
        result[form.name] = {
            "milliseconds": round(1e3 * statistics.median(measured[form.name]), 2),
            "ratio": round(statistics.median(ratios), 3),
            "low": round(low, 3),
            "high": round(high, 3),
            "extra_copies": round((peak - loop_peak) / size, 1),
            "operators": operators,
            "relative_difference": difference / math.sqrt(sum(float(g.square().sum()) for g in expected)),
        }
    return result


def table(results: dict[str, Any]) -> str:
    """The measurements as they stand in the documentation."""
    lines = [
        "| net (weights) | m | loop, ms | all at once | copies | 16 at a time | copies |",
        "|---|---|---|---|---|---|---|",
    ]
    for net in results["nets"]:
        for row in net["rows"]:
            cells = [f"{net['title']} ({net['parameters']:,})" if row["m"] == MICRO_BATCHES[0] else "", str(row["m"])]
            cells.append(f"{row['loop']['milliseconds']:.1f}")
            for name in FORMS[1:]:
                if name in row:
                    value = row[name]
                    ratio = f"{value['ratio']:.2f} ({value['low']:.2f}–{value['high']:.2f})"
                    cells += [f"**{ratio}**" if value["low"] > 1 else ratio, f"{value['extra_copies']:.0f}"]
                else:
                    cells += ["", ""]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def caption(results: dict[str, Any]) -> str:
    """What the table was measured on."""
    machine = results["environment"]
    return (
        f"SAM, batch of {SAMPLES}, {results['device']}, {results['threads']} thread(s) of {machine['hardware']}, torch "
        f"{machine['torch']}, {results['date']}, {results['rounds']} rounds; `python benchmarks/m_sharpness.py`."
    )


def with_table(document: str, results: dict[str, Any]) -> str:
    """`document` with the table between its marks."""
    before, _, rest = document.partition(BEGIN)
    return f"{before}{BEGIN}\n{caption(results)}\n\n{table(results)}\n{END}{rest.partition(END)[2]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", metavar="NET", help=f"of {', '.join(NETS)}; none: all")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="results of other devices go to a file of their own")
    arguments = parser.parse_args()
    if unknown := set(arguments.nets) - set(NETS):
        parser.error(f"no such net: {', '.join(sorted(unknown))}")
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    nets = []
    for key in arguments.nets or NETS:
        title, make = NETS[key]
        rows = []
        for m in MICRO_BATCHES:
            rows.append(compare(make, m, arguments.rounds, device))
            print(title, json.dumps(rows[-1]), flush=True)
        nets.append({"title": title, "parameters": sum(p.numel() for p in make().parameters()), "rows": rows})
    results = {
        "date": datetime.date.today().isoformat(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper(),
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "environment": environment(),
        "nets": nets,
    }
    print(table(results))
    if not arguments.nets:
        path = RESULTS if device.type == "cpu" else RESULTS.with_stem(f"{RESULTS.stem}_{device.type}")
        write_json(path, results)
        if path == RESULTS and DOCUMENT.exists():
            DOCUMENT.write_text(with_table(DOCUMENT.read_text(), results))


if __name__ == "__main__":
    main()
