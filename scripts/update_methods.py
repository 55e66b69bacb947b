"""Count anew what a step of each method costs, and put it into docs/methods.md: `python scripts/update_methods.py`.

Counts, not times: they are the same on every machine, and `tests/test_methods_page.py` counts again and compares. The
rows, what their steps are held against and the counting are those of the step-cost benchmark.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))

if TYPE_CHECKING:
    from benchmarks.stepcost.floors import Row
    from benchmarks.stepcost.meters import Counts

PAGE = ROOT / "docs" / "methods.md"
START, END = "<!-- costs -->", "<!-- /costs -->"
STEPS = 4
"""At least; else a whole cycle of the method."""
GRAIN = 0.05
"""Copies are rounded to it: activations and numbers on the way are less."""
HEAD = "| method | in the trainer | gradients | other forwards | copies | kept | peak |"


def called() -> dict[str, str]:
    """The options that make the trainer train by a preset, by its name."""
    from samnesia.train.parts.methods import METHODS
    from samnesia.train.parts.names import preset_name

    names: dict[str, list[str]] = {}
    for name in METHODS:
        names.setdefault(preset_name(name), []).append(f"`--method {name}`")
    return {preset: ", ".join(options) for preset, options in names.items()}


def counted() -> list[tuple[str, ...]]:
    """A row of the table for each row of the family."""
    from benchmarks.stepcost.family import FAMILY
    from benchmarks.stepcost.floors import TWO, rows_of
    from benchmarks.stepcost.measure import Settings, record
    from benchmarks.stepcost.problems import counted_problem

    problem, settings = counted_problem(), Settings(device=torch.device("cpu"))
    size = sum(p.numel() * p.element_size() for p in problem.build().parameters())

    def memory(row: Row) -> tuple[list[Counts], tuple[int, int, int]]:
        steps, kept = record(problem, row, settings, max(STEPS, row.cycle))
        return steps, (max(step.live_bytes for step in steps), kept, max(step.peak_bytes for step in steps))

    _, plain = memory(rows_of([TWO])[0])
    table, names = [], called()
    for row in FAMILY:
        steps, found = memory(row)
        copies = [_copies((own - base) / size) for own, base in zip(found, plain, strict=True)]
        forwards = mean(step.forwards - step.gradients for step in steps)
        table.append((f"`{row.name}`", names[row.preset], _gradients(row, steps), f"{forwards:g}", *copies))
    return table


def _gradients(row: Row, steps: list[Counts]) -> str:
    """The mean over a cycle, and what is special about them."""
    found = [step.gradients for step in steps]
    of_floors = {floor.gradients: floor for floor in row.floors}
    if not set(found) <= of_floors.keys() or (row.cycle > 1 and len(set(found)) < len(of_floors)):
        raise SystemExit(f"cannot count {row.name}, because its steps took {found} gradient evaluations; mend its row")
    if row.cycle == 1 and len(of_floors) > 1:
        return f"{min(of_floors)} to {max(of_floors)}, by the data"
    floor = of_floors[found[0]]
    words = [f"{mean(found):g}"]
    if floor.last_share < 1.0:
        words.append(f"the last of {floor.last_share:g} of the samples")
    if floor.base_steps > 1:
        words.append(f"with {floor.base_steps} steps of the optimizer")
    return ", ".join(words)


def _copies(value: float) -> str:
    return f"{round(round(value / GRAIN) * GRAIN, 2) + 0.0:g}"


def section() -> str:
    """What stands between the markers."""
    rows = [HEAD, "|---" * 7 + "|", *(f"| {' | '.join(cells)} |" for cells in counted())]
    return "\n".join([START, "", *rows, "", END])


def with_section(page: str) -> str:
    """The page with the section in place of the one it has."""
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    return before + section() + after


def main() -> None:
    """Count and rewrite."""
    PAGE.write_text(with_section(PAGE.read_text()))


if __name__ == "__main__":
    main()
