"""Images per second of each family of corruptions at 8, 32 and 224 pixels a side, on one thread.

    python benchmarks/corruptions.py [--seconds 1.0] [--out FILE]

Seconds are those of the processor, so that other work on the machine matters little. Each family takes batches of noise
with some structure (grey at 8 pixels, in colour above) at the severities 1 to 5, as often as fills the time; what a
first batch has to build is not counted. Also the time of all families at all severities on 797 images of 8 pixels, the
digits' test split. `scripts/update_corruptions.py` puts the table into docs/corruptions.md.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from samnesia.data.corruptions import FAMILIES, SEVERITIES, Corrupted, Family
from samnesia.train.log import environment, write_json

RESULT = Path(__file__).resolve().parent / "results" / "corruptions.json"
BATCHES = {"8": (797, 1, 8, 8), "32": (64, 3, 32, 32), "224": (4, 3, 224, 224)}


def images(shape: tuple[int, int, int, int]) -> torch.Tensor:
    """Noise on a slope."""
    drawn = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    return 0.4 * drawn + 0.6 * torch.linspace(0.0, 1.0, shape[3])


def once(family: Family, pixels: torch.Tensor) -> float:
    """Seconds of all severities."""
    begun = time.process_time()
    for severity in SEVERITIES:
        Corrupted(family, severity)(pixels, range(len(pixels)))
    return time.process_time() - begun


def per_second(family: Family, pixels: torch.Tensor, seconds: float) -> float:
    """Images a second."""
    once(family, pixels)
    spent, rounds = 0.0, 0
    while spent < seconds:
        spent, rounds = spent + once(family, pixels), rounds + 1
    return rounds * len(SEVERITIES) * len(pixels) / spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="of each family and size")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, dict[str, float]] = {}
    for name, family in FAMILIES.items():
        found[name] = {
            side: round(per_second(family, images(shape), options.seconds), 1)
            for side, shape in BATCHES.items()
            if family.against(shape[1]) is None
        }
        print(
            f"{name:18}", "  ".join(f"{side} px {speed:>11,.0f}/s" for side, speed in found[name].items()), flush=True
        )
    digits = images(BATCHES["8"])
    total = sum(once(family, digits) for family in FAMILIES.values() if family.against(1) is None)
    print(f"all on 797 images of 8 pixels: {total:.1f} s")
    content = {"images_per_second": found, "digits_seconds": round(total, 2), "environment": environment()}
    write_json(options.out, content)


if __name__ == "__main__":
    main()
