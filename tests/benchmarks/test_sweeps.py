"""The sweeps of SAM's step, timed one by one."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "sweeps.py"


def test_every_sweep_is_timed():
    run = subprocess.run(
        [sys.executable, str(SCRIPT), "--steps", "5", "--batch", "2"], capture_output=True, text=True, check=True
    )
    floor, *sweeps, total = run.stdout.splitlines()
    assert floor.startswith("floor ") and [line[:20].rstrip() for line in sweeps] == [
        "norm", "copy", "move", "norm of the result", "put back",
    ]  # fmt: skip
    sizes = [int(line[20:].split()[0]) for line in (*sweeps, total)]
    assert total.startswith("in all") and sizes[-1] == sum(sizes[:-1]) == 9
