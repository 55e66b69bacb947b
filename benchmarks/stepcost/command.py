"""The command `python benchmarks/step_cost.py`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import torch

from samnesia.extras import MissingExtraError, require
from samnesia.train.log import environment, write_json

from . import problems
from .family import FAMILY_ROWS
from .figure import draw
from .floors import Row
from .measure import Settings, measure, train_scaled
from .meters import CLOCKS
from .problems import Problem
from .rows import FLOORS, OURS, ROWS
from .summary import Result, file_name, report, with_section

ROOT = Path(__file__).resolve().parents[2]
RESULTS, FIGURES = ROOT / "benchmarks" / "results", ROOT / "docs" / "step_cost"
SCHEMA = 1
SCALED_STEPS = 20
# glibc gives memory back to the system when more than a threshold lies free, and gets it again page by page. Two copies
# of the MLP's weights pass its threshold and one does not, so that the floor alone would be spared.
KEEPING = {"MALLOC_TRIM_THRESHOLD_": str(1 << 34), "MALLOC_MMAP_THRESHOLD_": str(1 << 25)}


@dataclass(frozen=True)
class Suite:
    """What is measured on what. rounds: of a run that may be committed."""

    name: str
    problems: Callable[[], list[Problem]]
    tiny: Callable[[], list[Problem]]
    rows: tuple[Row, ...] = ROWS
    device: str = "cpu"
    rounds: int = 15


SUITES = {
    "cpu": Suite("step_cost", problems.cpu_suite, problems.tiny_cpu_suite),
    "gpu": Suite("step_cost", problems.gpu_suite, problems.tiny_gpu_suite, device="cuda"),
    "family": Suite("step_cost_family", problems.family_suite, problems.tiny_family_suite, FAMILY_ROWS, rounds=3),
}


class _Parser(argparse.ArgumentParser):
    """One sentence for a mistake, without the usage in front of it."""

    def error(self, message: str) -> NoReturn:
        sys.exit(f"cannot measure step cost: {message}; see --help")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    own = _Parser(
        prog="benchmarks/step_cost.py",
        description="What a step of each method costs, against the passes it is made of.",
    )
    own.add_argument("--suite", choices=tuple(SUITES), default="cpu", help="networks and rows (default: cpu)")
    own.add_argument("--models", nargs="+", metavar="NAME", help="only these networks of the suite")
    own.add_argument("--methods", nargs="+", metavar="ROW", help="only these rows; the floors are always measured")
    own.add_argument("--rounds", type=int, help="interleaved rounds (default: 15, of the family 3)")
    own.add_argument("--seconds", type=float, default=0.5, help="of one measurement of the floor (default: 0.5)")
    own.add_argument("--threads", type=int, default=1, help="of torch on the CPU (default: 1)")
    own.add_argument(
        "--clock",
        choices=tuple(CLOCKS),
        default="wall",
        help="cpu: that of the process, which stands still while others run, for busy machines (default: wall)",
    )
    own.add_argument("--device", choices=("cpu", "cuda"), help="default: that of the suite")
    own.add_argument("--seed", type=int, default=0, help="of weights, data and order (default: 0)")
    own.add_argument("--tiny", action="store_true", help="networks of no size: only shows that the command works")
    own.add_argument(
        "--allocator",
        choices=("keeping", "system"),
        default="keeping",
        help="whether glibc keeps freed memory, or gives it back as it does by itself (default: keeping)",
    )
    own.add_argument("--out", type=Path, help="directory of JSON file and table (default: benchmarks/results)")
    own.add_argument("--figures", type=Path, help="directory of the figure (default: docs/step_cost, or --out)")
    own.add_argument("--from", type=Path, dest="source", metavar="FILE", help="table and figure of this JSON file")
    own.add_argument("--readme", type=Path, metavar="FILE", help="also put the table between the marks of this file")
    return own


def main(argv: Sequence[str] | None = None) -> None:
    """Measure or read, write what is asked for, print the table."""
    words = sys.argv[1:] if argv is None else list(argv)
    options = parser().parse_args(words)
    suite = SUITES[options.suite]
    options.rounds = suite.rounds if options.rounds is None else options.rounds
    options.device = options.device or suite.device
    _check(options, suite)
    if argv is None and not options.source:
        _settle(options.allocator)
    out = options.out or (options.source.parent if options.source else RESULTS)
    figures = options.figures or (FIGURES if out.resolve() == RESULTS else out)
    if options.source:
        result = read(options.source)
    else:
        result = run(options, command=shlex.join(["python", "benchmarks/step_cost.py", *words]))
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / f"{file_name(result)}.json", result)
    write(result, out, figures)
    if options.readme:
        _put_into(options.readme, result)
    print(report(result))


def _settle(allocator: str) -> None:
    """Start anew with glibc's allocator told to keep what is freed: it reads that only when a process begins."""
    if allocator == "keeping" and platform.libc_ver()[0] == "glibc" and not KEEPING.keys() <= os.environ.keys():
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **KEEPING})


def write(result: Result, out: Path, figures: Path) -> None:
    """Table and figure."""
    for directory in (out, figures):
        directory.mkdir(parents=True, exist_ok=True)
    (out / f"{file_name(result)}.md").write_text(report(result), encoding="utf-8")
    for name, document in draw(result).items():
        (figures / name).write_text(document, encoding="utf-8")


def _put_into(readme: Path, result: Result) -> None:
    try:
        readme.write_text(with_section(readme.read_text(encoding="utf-8"), result), encoding="utf-8")
    except (OSError, ValueError) as error:
        sys.exit(f"cannot write the table into {readme}: {error}")


def read(path: Path) -> Result:
    """A result from its file; exits with one sentence if there is none."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sys.exit(f"cannot read {path}, because it is no JSON file of a run ({error}); measure first")
    if not isinstance(result, dict) or result.get("schema") != SCHEMA:
        sys.exit(f"cannot read {path}, because this version reads results of schema {SCHEMA}; measure again")
    return result


def run(options: argparse.Namespace, *, command: str) -> Result:
    """Measure everything that is asked for; the content of the JSON file."""
    suite, device = SUITES[options.suite], torch.device(options.device)
    torch.set_num_threads(options.threads)
    settings = Settings(
        device=device, rounds=options.rounds, seconds=options.seconds, seed=options.seed, clock=options.clock
    )
    started = datetime.now(UTC).isoformat(timespec="seconds")
    rows = _rows(suite, options.methods)
    return {
        "schema": SCHEMA,
        "suite": suite.name,
        "command": command,
        "started": started,
        "device": device.type,
        "threads": options.threads,
        "environment": _environment(device, timm=options.suite == "gpu"),
        "settings": {name: getattr(settings, name) for name in ("rounds", "seconds", "seed", "clock")},
        "problems": [measure(problem, rows, settings, _say) for problem in _problems(suite, options)],
        "scaled_training": _scaled(options, rows, settings),
    }


def _scaled(options: argparse.Namespace, rows: Sequence[Row], settings: Settings) -> dict[str, Any] | None:
    if options.suite != "gpu":
        return None
    problem = problems.tiny_scaled_problem() if options.tiny else problems.scaled_problem()
    # the peers step inside of their own step, where no gradient scaler reaches
    scalable = [row for row in rows if row in FLOORS + OURS]
    return train_scaled(problem, scalable, settings, steps=SCALED_STEPS)


def _check(options: argparse.Namespace, suite: Suite) -> None:
    """Exit with one sentence if the options cannot be measured."""
    if not options.source:
        _check_packages(options, suite)
    networks = [problem.name for problem in _of(suite, options)()] if options.models else []
    names = [row.name for row in suite.rows if row.kind != "floor"]
    if unknown := sorted(set(options.models or []) - set(networks)):
        sys.exit(f"cannot measure {', '.join(unknown)}, because the suite has only {', '.join(networks)}")
    if unknown := sorted(set(options.methods or []) - set(names)):
        sys.exit(f"cannot measure {', '.join(unknown)}, because the rows are {', '.join(map(repr, names))}")
    if options.rounds < 1 or options.threads < 1 or options.seconds < 0:
        sys.exit(
            "cannot measure without a round, a thread or time; choose --rounds >= 1, --threads >= 1, --seconds >= 0"
        )
    if options.device == "cuda" and options.clock != "wall":
        sys.exit("cannot take the CPU's time on CUDA, because the device computes beside it; leave --clock out")
    if not options.source and options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("cannot measure on CUDA, because torch sees no CUDA device here; choose --device cpu (with --tiny)")
    partial = options.tiny or options.models or options.methods or options.rounds < suite.rounds
    if partial and not options.source and (options.out or RESULTS).resolve() == RESULTS:
        sys.exit("cannot put a part of a run into benchmarks/results, because the whole one stands there; give --out")


def _check_packages(options: argparse.Namespace, suite: Suite) -> None:
    try:
        if options.suite == "gpu":
            require("timm", extra="vision")
        if any(row.kind == "peer" for row in _rows(suite, options.methods)):
            require("pytorch_optimizer", extra="dev")
    except MissingExtraError as error:
        sys.exit(str(error))


def _of(suite: Suite, options: argparse.Namespace) -> Callable[[], list[Problem]]:
    return suite.tiny if options.tiny else suite.problems


def _problems(suite: Suite, options: argparse.Namespace) -> list[Problem]:
    return [p for p in _of(suite, options)() if not options.models or p.name in options.models]


def _rows(suite: Suite, methods: Sequence[str] | None) -> list[Row]:
    return [row for row in suite.rows if row.kind == "floor" or not methods or row.name in methods]


def _environment(device: torch.device, *, timm: bool) -> dict[str, Any]:
    found = {**environment(), "scipy": version("scipy"), "load": round(os.getloadavg()[0], 2)}
    found["allocator"] = "keeps freed memory" if KEEPING.keys() <= os.environ.keys() else "as the system has it"
    if find_spec("pytorch_optimizer"):
        found["pytorch_optimizer"] = version("pytorch-optimizer")
    if timm:
        found["timm"] = version("timm")
    if device.type == "cuda":
        found["hardware"] = torch.cuda.get_device_name(device)
        found["cuda"] = torch.version.cuda
    return found


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
