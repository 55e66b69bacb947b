"""Whether a run holds more memory from epoch to epoch, in its own process and in those that load its data.

    python benchmarks/memory_over_epochs.py [--epochs 40] [--workers 2] [--images 512]

Trains a small net with SAM on a folder of JPEG files with mixup, checkpoints, an average of the weights and evaluation
in every epoch, and reads the resident memory (RSS) of the process after each epoch. Workers are started anew in every
epoch; the largest sum over those that were alive during it is noted beside it. The first quarter of the epochs is left
out of the slope: caches fill there. Prints both, and writes ``benchmarks/results/memory_over_epochs.json``.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import threading
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from samnesia.train.config import (
    EMA,
    SAM,
    CifarResNet,
    Folder,
    Hardware,
    Images,
    Mixing,
    RandomResizedCropFlip,
    RunConfig,
)
from samnesia.train.log import Row, environment, write_json
from samnesia.train.loop import train
from samnesia.train.observers import Observer

RESULTS = Path(__file__).resolve().parent / "results" / "memory_over_epochs.json"
MIB = 2**20


class Memory(Observer):
    """The resident memory after each epoch, and the most that its workers held during it."""

    def __init__(self) -> None:
        self.own: list[float] = []
        self.workers: list[float] = []
        self._process, self._most, self._over = psutil.Process(), 0, threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()

    def epoch(self, row: Row) -> None:
        """Note what is held now."""
        gc.collect()
        self.own.append(self._process.memory_info().rss / MIB)
        self.workers.append(self._most / MIB)
        self._most = 0

    def end(self) -> None:
        """Stop looking."""
        self._over.set()
        self._watch.join()

    def _look(self) -> None:
        while not self._over.wait(0.02):
            held = 0
            for child in self._process.children():
                try:
                    held += child.memory_info().rss
                except psutil.NoSuchProcess:  # it has ended since it was listed
                    continue
            self._most = max(self._most, held)


def images(root: Path, count: int) -> None:
    """Write JPEG files of noise in class folders."""
    rng = np.random.default_rng(0)
    for split, share in (("train", count), ("val", count // 4)):
        for number in range(share):
            folder = root / split / f"class{number % 4}"
            folder.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number:05}.jpg")


def slope(values: list[float]) -> float:
    """MiB per epoch, by least squares, without the first quarter."""
    later = values[len(values) // 4 :]
    return float(np.polyfit(np.arange(len(later)), later, 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    memory = Memory()
    with tempfile.TemporaryDirectory() as scratch:
        images(Path(scratch) / "images", options.images)
        config = RunConfig(
            "memory",
            data=Images(
                Folder(root=str(Path(scratch) / "images")),
                image_size=32,
                augmentation=RandomResizedCropFlip(),
                mixing=Mixing(mixup=0.2),
            ),
            model=CifarResNet(depth=8),
            method=SAM(),
            average=EMA(),
            epochs=options.epochs,
            batch_size=32,
            hardware=Hardware(accelerator="cpu", workers=options.workers),
        )
        train(config, Path(scratch) / "run", observers=[memory])
    result = {
        "environment": environment(),
        "epochs": options.epochs,
        "workers": options.workers,
        "images": options.images,
        "own_mib": [round(value, 2) for value in memory.own],
        "workers_mib": [round(value, 2) for value in memory.workers],
        "own_slope_mib_per_epoch": round(slope(memory.own), 4),
        "workers_slope_mib_per_epoch": round(slope(memory.workers), 4),
    }
    write_json(options.out, result)
    for name in ("own", "workers"):
        values = result[f"{name}_mib"]
        print(f"{name}: {values[0]:.1f} MiB after the first epoch, {values[-1]:.1f} after the last, "
              f"{result[f'{name}_slope_mib_per_epoch']:+.4f} MiB per epoch after the first quarter")  # fmt: skip


if __name__ == "__main__":
    main()
