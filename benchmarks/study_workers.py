"""Whether two workers finish a study faster than one, on a machine with two idle CPUs.

    python benchmarks/study_workers.py [--seeds 6] [--epochs 80] [--rounds 3] [--workers 2]

A study of SGD and SAM on digits with 40 % wrong labels is run from nothing by one worker and by several, each run with
one thread, in turn (one, several, several, one, ...), every time by a process of its own. What is timed is the whole
command: imports, starting the workers, training, writing the table. The figure is the ratio of the two times of a
round, in the median over rounds; the tables of all of them are compared and must be equal but for times.

Writes ``benchmarks/results/study_workers.json``. Other work on the machine spoils the figure: its load average at the
start of each command is written down beside it.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from samnesia.study.design import Design, Factor, Measure, Study
from samnesia.study.engine.run import read_results, run_study
from samnesia.study.training import Training
from samnesia.train.log import environment, write_json
from samnesia.train.recipes import find

RESULTS = Path(__file__).resolve().parent / "results" / "study_workers.json"
TIMES = ("seconds",)


def study(seeds: int, epochs: int) -> Study:
    """SGD and SAM on digits with wrong labels."""
    design = Design(
        "workers",
        "How long does it take?",
        (Factor("method", ("sgd", "sam")),),
        (Measure("last", "last.test_accuracy", "test accuracy, last epoch", "%", True),),
        tuple(range(seeds)),
    )

    def work(levels: Any, seed: int) -> Training:
        config = find(f"digits-noisy-{levels['method']}")
        when = replace(config.when, start_epoch=min(config.when.start_epoch, epochs / 2))
        return Training(replace(config, epochs=epochs, seed=seed, when=when))

    return Study(design, work)


def timed(workers: int, seeds: int, epochs: int, out: Path) -> dict[str, Any]:
    """Run the study in a new process; return its seconds, and the load before it."""
    load = os.getloadavg()[0]
    script = [sys.executable, __file__, "--seeds", str(seeds), "--epochs", str(epochs)]
    began = time.perf_counter()
    subprocess.run([*script, "--run", str(workers), "--out", str(out)], check=True)
    return {"seconds": round(time.perf_counter() - began, 2), "load": round(load, 2)}


def measure(workers: int, seeds: int, epochs: int, rounds: int) -> list[dict[str, Any]]:
    """Time one worker and several in each round, in alternating order, and check that their tables agree."""
    found = []
    for number in range(rounds):
        order = (1, workers) if number % 2 == 0 else (workers, 1)
        with tempfile.TemporaryDirectory() as folder:
            times = {count: timed(count, seeds, epochs, Path(folder) / str(count)) for count in order}
            tables = [read_results(Path(folder) / str(count)).table.drop(columns=list(TIMES)) for count in order]
        if not tables[0].equals(tables[1]):
            raise SystemExit("the tables differ: the number of workers has changed a result")
        one, several = times[1], times[workers]
        found.append({"one": one, "several": several, "ratio": round(one["seconds"] / several["seconds"], 3)})
        print(f"round {number + 1}: {one['seconds']:.1f} s by one, {several['seconds']:.1f} s by {workers}, "
              f"ratio {found[-1]['ratio']:.2f}", flush=True)  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--run", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run is not None:
        run_study(study(asked.seeds, asked.epochs), asked.out, workers=asked.run, progress=False)
        return
    rounds = measure(asked.workers, asked.seeds, asked.epochs, asked.rounds)
    ratio = statistics.median(one["ratio"] for one in rounds)
    content = {
        "schema": 1,
        "command": shlex.join(["python", "benchmarks/study_workers.py", *sys.argv[1:]]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": environment(),
        "settings": {"seeds": asked.seeds, "epochs": asked.epochs, "workers": asked.workers, "threads": 1},
        "rounds": rounds,
        "ratio": ratio,
    }
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(asked.out, content)
    print(
        f"{asked.workers} workers are {ratio:.2f} times as fast as one (median of {len(rounds)}); written: {asked.out}"
    )


if __name__ == "__main__":
    main()
