"""From the JSON file of a run to its figures: estimates with intervals, and tables in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy.stats import bootstrap

from .rows import AGAIN

RESAMPLES = 9_999
CONFIDENCE = 0.95
Result = dict[str, Any]


def file_name(result: Result) -> str:
    """Of its files, without suffix."""
    return f"{result.get('suite', 'step_cost')}_{result['device']}"


@dataclass(frozen=True)
class Estimate:
    """A median with its 95 % interval."""

    median: float
    low: float
    high: float

    def text(self, digits: int) -> str:
        """As ``median [low, high]``."""
        return f"{self.median:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


def estimate(values: Iterable[float]) -> Estimate:
    """Median and 95 % percentile-bootstrap interval over the rounds; the same for the same numbers."""
    return _estimate(tuple(map(float, values)))


@cache
def _estimate(values: tuple[float, ...]) -> Estimate:
    median = float(np.median(values))
    if len(values) < 2:
        return Estimate(median, median, median)
    interval = bootstrap(
        (np.asarray(values),), np.median, n_resamples=RESAMPLES, confidence_level=CONFIDENCE, method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return Estimate(median, float(interval.low), float(interval.high))


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row of a table.

    ratio: time over that of the floor with as many passes, round by round. outside: time outside of forward, loss,
    backward and base step, in milliseconds. share: the same in percent of the floor, round by round. copies: bytes over
    those of the parameters. live, peak, kept: copies beyond what the floor holds at the same place. floor: what it is
    held against, in words.
    """

    name: str
    kind: str
    passes: float
    floor: str
    milliseconds: float
    ratio: Estimate
    outside: Estimate
    share: Estimate
    operators: float
    host_reads: float
    copies_moved: float
    live: float
    peak: float
    kept: float | None
    device_peak_mib: float | None


def lines(problem: dict[str, Any]) -> list[Line]:
    """The rows of one problem of a result."""
    rows = {row["name"]: row for row in problem["rows"]}
    return [_line(row, rows, problem["parameter_bytes"]) for row in problem["rows"]]


def _line(row: dict[str, Any], rows: dict[str, dict[str, Any]], parameter_bytes: int) -> Line:
    floor, shares = rows[row["floor"]], _shares(row)
    times, outside = np.array(row["seconds"]), np.array(row["outside_seconds"])
    floors = np.array(
        [sum(share * rows[name]["seconds"][number] for name, share in of.items()) for number, of in enumerate(shares)]
    )
    device_peak = row["device_peak_bytes"]

    def beyond(entry: str) -> float:
        return (row[entry] - floor[entry]) / parameter_bytes

    return Line(
        name=row["name"],
        kind=row["kind"],
        passes=row["passes"],
        floor=_in_words(shares),
        milliseconds=1e3 * float(np.median(times)),
        ratio=estimate(times / floors),
        outside=estimate(1e3 * outside),
        share=estimate(100 * outside / floors),
        operators=row["operators"],
        host_reads=row["host_reads"],
        copies_moved=row["bytes_moved"] / parameter_bytes,
        live=beyond("live_bytes"),
        peak=beyond("peak_bytes"),
        kept=beyond("kept_bytes") if "kept_bytes" in row else None,
        device_peak_mib=None if device_peak is None else device_peak / 2**20,
    )


def _shares(row: dict[str, Any]) -> list[dict[str, float]]:
    """Of every round, what share of the steps is held against which floor; runs of before have one floor per row."""
    return row.get("floor_shares") or [{row["floor"]: 1.0}] * len(row["seconds"])


def _in_words(shares: Sequence[dict[str, float]]) -> str:
    names = sorted({name for of in shares for name in of}, reverse=True)
    means = {name: float(np.mean([of.get(name, 0.0) for of in shares])) for name in names}
    words = [name.removeprefix("floor, ") for name in names]
    if len(names) == 1:
        return words[0]
    return "; ".join(f"{100 * means[name]:.0f} % {word}" for name, word in zip(names, words, strict=True))


def spread(problem_lines: Sequence[Line]) -> Estimate:
    """The floor against itself: what the machine makes of two equal rows."""
    return next(line.ratio for line in problem_lines if line.name == AGAIN[0].name)


def is_floor(line: Line) -> bool:
    """Whether the row is what others are held against."""
    return line.kind == "floor" and not line.name.endswith(", again")


COLUMNS: list[tuple[str, Callable[[Line], str]]] = [
    ("row", lambda line: f"`{line.name}`" if line.kind == "samnesia" else line.name),
    ("passes", lambda line: f"{round(line.passes, 2):g}"),
    ("time, ms", lambda line: f"{line.milliseconds:.1f}"),
    ("time / floor", lambda line: "1" if is_floor(line) else line.ratio.text(3)),
    ("outside, ms", lambda line: line.outside.text(2)),
    ("outside, % of floor", lambda line: line.share.text(2)),
    ("operators", lambda line: f"{round(line.operators, 1):g}"),
    ("host reads", lambda line: f"{round(line.host_reads, 1):g}"),
    ("moved, P", lambda line: f"{line.copies_moved:.1f}"),
    ("live, P", lambda line: f"{_positive_zero(line.live, 2):.2f}"),
    ("peak, P", lambda line: f"{_positive_zero(line.peak, 2):.2f}"),
]
KEPT: tuple[str, Callable[[Line], str]] = (
    "kept, P",
    lambda line: "" if line.kept is None else f"{_positive_zero(line.kept, 2):.2f}",
)
DEVICE_PEAK: tuple[str, Callable[[Line], str]] = (
    "device peak, MiB",
    lambda line: "" if line.device_peak_mib is None else f"{line.device_peak_mib:.0f}",
)
HELD_AGAINST: tuple[str, Callable[[Line], str]] = ("held against", lambda line: "" if is_floor(line) else line.floor)
PLAIN = {"2 passes", "1 pass"}


def table(problem: dict[str, Any]) -> str:
    """All rows and columns of one problem, in Markdown."""
    rows = lines(problem)
    columns = [
        *COLUMNS,
        *([KEPT] if all(line.kept is not None for line in rows) else []),
        *([DEVICE_PEAK] if any(line.device_peak_mib is not None for line in rows) else []),
        *([HELD_AGAINST] if any(line.floor not in PLAIN for line in rows) else []),
    ]
    return _markdown([name for name, _ in columns], [[cell(line) for _, cell in columns] for line in rows])


def report(result: Result) -> str:
    """The page that is written beside the JSON file."""
    parts = ["# Step cost", "", about(result), "", "How to read it: [benchmarks/README.md](../README.md)."]
    for problem in result["problems"]:
        two = spread(lines(problem))
        parts += [
            "",
            f"## {problem['title']}, batch {problem['batch']}",
            "",
            f"P = {problem['parameters']:,} parameters in {problem['tensors']} tensors "
            f"({problem['parameter_bytes'] / 2**20:.1f} MiB); {precision(problem)}; "
            f"{problem['steps_per_measurement']} steps per measurement. "
            f"The floor against itself: {two.text(3)}.",
            "",
            table(problem),
        ]
    if result["scaled_training"]:
        parts += ["", "## float16 with a gradient scaler", "", scaled_table(result["scaled_training"])]
    return "\n".join(parts) + "\n"


def scaled_table(training: dict[str, Any]) -> str:
    """What training in float16 came to, in Markdown."""
    head = ["row", "first loss", "last loss", "skipped steps", "scale at the end", "weights finite"]
    rows = [
        [row["name"], f"{row['first_loss']:.3f}", f"{row['last_loss']:.3f}", str(row["skipped_steps"]),
         f"{row['scale']:.0f}", "yes" if row["finite_weights"] else "no"]
        for row in training["rows"]
    ]  # fmt: skip
    where = f"{training['title']}, batch {training['batch']}, {training['steps']} steps on one batch."
    return f"{where}\n\n{_markdown(head, rows)}"


def about(result: Result) -> str:
    """Where, when, with what and how the figures were made."""
    environment, settings = result["environment"], result["settings"]
    versions = ", ".join(f"{name} {environment[key]}" for name, key in VERSIONS if environment.get(key))
    threads = f"{result['threads']} thread{'s' if result['threads'] > 1 else ''}"
    return (
        f"Medians [95 % bootstrap intervals] over {settings['rounds']} interleaved rounds, paired by round; SGD with "
        f"momentum 0.9. Made by `{result['command']}` at commit {environment['commit']} on {result['started']} with "
        f"{versions}; {environment['hardware']}, {threads}; the allocator {environment['allocator']}, load average "
        f"{environment['load']:.1f} at the start." + (BUSY if settings.get("clock") == "cpu" else "")
    )


BUSY = (
    " The machine was busy: times are those of the process, which stand still while others run, who still displace its "
    "data from the caches."
)


VERSIONS = [
    ("Python", "python"),
    ("torch", "torch"),
    ("CUDA", "cuda"),
    ("pytorch-optimizer", "pytorch_optimizer"),
    ("timm", "timm"),
]


def precision(problem: dict[str, Any]) -> str:
    """The type of weights and of the passes."""
    return "float32" if problem["autocast"] is None else f"float32 weights, {problem['autocast']} autocast"


START, END = "<!-- step cost: made by benchmarks/step_cost.py -->", "<!-- /step cost -->"


def with_section(text: str, result: Result) -> str:
    """`text` with the section of `result` in place of what stands between the marks.

    Raises ValueError if the marks are missing.
    """
    if START not in text or END not in text:
        raise ValueError(f"cannot place the table, because the file has no lines {START!r} and {END!r}; add them")
    before, _, rest = text.partition(START)
    return before + section(result) + rest.partition(END)[2]


def section(result: Result) -> str:
    """What a README shows of a run: all networks side by side, between marks."""
    problems = [(problem["title"], lines(problem)) for problem in result["problems"]]
    head = ["", *(f"{title}: time / floor" for title, _ in problems)]
    head += [*(f"{title}: outside" for title, _ in problems), "extra memory"]
    rows = []
    for same in zip(*(found for _, found in problems), strict=True):
        if is_floor(same[0]):
            continue
        rows.append(
            [f"`{same[0].name}`" if same[0].kind == "samnesia" else same[0].name]
            + [line.ratio.text(2) for line in same]
            + [f"{line.share.median:.1f} %" for line in same]
            + [f"{_positive_zero(max(line.live for line in same), 1):.1f} P"]
        )
    return "\n".join([START, "", _markdown(head, rows), "", about(result), "", END])


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    body = ["| " + " | ".join(cells) + " |" for cells in [head, *rows]]
    return "\n".join([body[0], "|" + "---|" * len(head), *body[1:]])


def _positive_zero(value: float, digits: int) -> float:
    return round(value, digits) + 0.0
