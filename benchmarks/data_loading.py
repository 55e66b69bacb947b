"""Whether a run waits for its images: a folder of JPEG files, loaded by our splits and by timm's data set and loader.

    python benchmarks/data_loading.py [--images 1024] [--rounds 7] [--workers 0 1 2] [--net resnet50] [--device cpu]

Makes a folder of smooth random photographs of 500 x 375 pixels (ImageNet's usual size, and about its bytes per file),
which both load as a random part of the image, resized to 224 pixels, mirrored by chance and normalised, in batches of
32. In a round, each makes one pass over all images, worker processes started anew as a run does it; the figure is
images per second, the median over rounds, and the ratio ours / timm's per round with its distribution-free interval.

Then the net named takes training steps of SGD on batches as they come from the most workers that are asked for: the
share of the time that it waits for them is what loading costs a run. Where the net computes on the processors that
load, the two compete, as they do in such a run. Writes ``benchmarks/results/data_loading.json``, for a GPU with its
kind in the name.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import timm
import timm.data
import torch
from PIL import Image

from samnesia.data.draws import SHUFFLE, permutation
from samnesia.data.loader import TrainingView, training_loader
from samnesia.data.problem import Problem
from samnesia.train.log import environment, write_json
from samnesia.train.parts.data import IMAGENET_MEAN, IMAGENET_STD, Folder, Images, RandomResizedCropFlip

RESULTS = Path(__file__).resolve().parent / "results" / "data_loading.json"
WIDTH, HEIGHT, SIZE, BATCH, CLASSES, QUALITY = 500, 375, 224, 32, 4, 96
SCALE = (0.08, 1.0)
STEPS = 12

Load = Callable[[int, int], Iterable[Any]]
"""(workers, epoch) -> batches of all images."""


def photographs(root: Path, count: int) -> int:
    """Write JPEG files of smooth noise in class folders; return their bytes."""
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = np.zeros((HEIGHT, WIDTH, 3))
        for cells in (4, 16, 64, 256):  # details of every size, the finer the fainter
            noise = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
            pixels += np.asarray(Image.fromarray(noise).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)) / cells**0.5
        pixels *= 255 / pixels.max()
        folder = root / "train" / f"class{number % CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.jpg", quality=QUALITY)
    return sum(file.stat().st_size for file in root.rglob("*.jpg"))


def problem_of(root: Path) -> Problem:
    data = Images(Folder(str(root), test=None), num_classes=CLASSES, augmentation=RandomResizedCropFlip(scale=SCALE))
    return data.load(0)


def ours(problem: Problem) -> Load:
    def load(workers: int, epoch: int) -> Iterable[Any]:
        order = permutation(len(problem.train), key=(0, SHUFFLE, epoch)).tolist()
        keys = [[(epoch, index) for index in order[i : i + BATCH]] for i in range(0, len(order), BATCH)]
        return training_loader(TrainingView(problem, None), keys, workers=workers, pin=False)

    return load


def timms(root: Path) -> Load:
    def load(workers: int, epoch: int) -> Iterable[Any]:
        return timm.data.create_loader(
            timm.data.ImageDataset(str(root / "train")),
            input_size=(3, SIZE, SIZE),
            batch_size=BATCH,
            is_training=True,
            scale=SCALE,
            color_jitter=None,
            interpolation="bilinear",
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
            num_workers=workers,
            use_prefetcher=False,
            persistent_workers=False,
        )

    return load


def images_per_second(batches: Iterable[Any]) -> float:
    begin, count = time.perf_counter(), 0
    for inputs, _ in batches:
        assert inputs.shape[1:] == (3, SIZE, SIZE) and inputs.dtype == torch.float32
        count += len(inputs)
    return count / (time.perf_counter() - begin)


def compare(contenders: dict[str, Load], workers: int, rounds: int) -> dict[str, Any]:
    """Images per second of each, one round after the other, and the ratio of ours to timm's."""
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for epoch in range(1 + rounds):  # the first pass brings the files into memory
        for name, load in contenders.items():
            rates[name].append(images_per_second(load(workers, epoch)))
    ratios = [a / b for a, b in zip(rates["ours"][1:], rates["timm"][1:], strict=True)]
    low, high = interval_of_the_median(ratios)
    return {
        "workers": workers,
        **{name: round(statistics.median(values[1:]), 1) for name, values in rates.items()},
        "ratio": round(statistics.median(ratios), 3),
        "low": round(low, 3),
        "high": round(high, 3),
    }


def interval_of_the_median(values: list[float], level: float = 0.95) -> tuple[float, float]:
    """The narrowest pair of order statistics that is sure to cover the median with probability `level`."""
    ordered, n = sorted(values), len(values)
    below = 0
    while 1 - 2 * sum(math.comb(n, k) for k in range(below + 1)) / 2**n >= level:
        below += 1
    below = max(below, 1)  # with five rounds or fewer, the range: less than the level
    return ordered[below - 1], ordered[n - below]


def training(name: str, load: Load, workers: int, device: torch.device, steps: int) -> dict[str, Any]:
    """How fast a net is on batches in memory, and what share of its time it waits for those that are loaded."""
    model = timm.create_model(name, num_classes=CLASSES).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def step(inputs: torch.Tensor, targets: torch.Tensor) -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = torch.nn.functional.cross_entropy(model(inputs.to(device)), targets.to(device))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    batch = torch.randn(BATCH, 3, SIZE, SIZE), torch.randint(CLASSES, (BATCH,))
    step(*batch)
    begin = time.perf_counter()
    for _ in range(steps):
        step(*batch)
    alone = steps * BATCH / (time.perf_counter() - begin)
    waited, count, source = 0.0, 0, iter(load(workers, 0))
    inputs, targets = next(source)  # worker processes start once per epoch: not a matter of these few steps
    begin = time.perf_counter()
    for _ in range(steps):
        step(inputs, targets)
        count += len(inputs)
        asked = time.perf_counter()
        following = next(source, None)
        waited += time.perf_counter() - asked
        if following is None:
            break
        inputs, targets = following
    taken = time.perf_counter() - begin
    return {
        "net": name,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper(),
        "workers": workers,
        "from_memory": round(alone, 2),
        "as_loaded": round(count / taken, 2),
        "waiting_percent": round(100 * waited / taken, 2),
    }


def table(results: dict[str, Any]) -> str:
    """The measurements as a table, and the sentence on the net."""
    lines = ["| workers | ours, images/s | timm, images/s | ours / timm |", "|---|---|---|---|"]
    for row in results["rows"]:
        ratio = f"{row['ratio']:.2f} ({row['low']:.2f}–{row['high']:.2f})"
        lines.append(f"| {row['workers']} | {row['ours']:.0f} | {row['timm']:.0f} | {ratio} |")
    net = results["training"]
    lines += [
        "",
        f"{net['net']} on {net['device']} trains on {net['from_memory']:.1f} images/s from memory and on "
        f"{net['as_loaded']:.1f} as {net['workers']} workers load them; it waits {net['waiting_percent']:.1f} % of "
        "its time.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--net", default="resnet50", help="a model of timm")
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps of the net")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--threads", type=int, default=1, help="threads of the net and of what is loaded without workers"
    )
    parser.add_argument("--out", type=Path, help="where the JSON goes; default: benchmarks/results")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        size = photographs(root, arguments.images)
        contenders = {"ours": ours(problem_of(root)), "timm": timms(root)}
        rows = []
        for workers in arguments.workers:
            rows.append(compare(contenders, workers, arguments.rounds))
            print(json.dumps(rows[-1]), flush=True)
        net = training(arguments.net, contenders["ours"], max(arguments.workers), device, arguments.steps)
    results = {
        "date": datetime.date.today().isoformat(),
        "images": arguments.images,
        "bytes_per_image": size // arguments.images,
        "rounds": arguments.rounds,
        "threads": arguments.threads,
        "environment": {**environment(), **{name: version(name) for name in ("timm", "torchvision", "pillow")}},
        "rows": rows,
        "training": net,
    }
    print(table(results))
    path = RESULTS if device.type == "cpu" else RESULTS.with_stem(f"{RESULTS.stem}_{device.type}")
    write_json(arguments.out or path, results)


if __name__ == "__main__":
    main()
