"""Measure all rows and write them: ``results/verdict_errors.json`` and ``.md``."""

from __future__ import annotations

import argparse
import datetime
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from samnesia.train.log import environment, write_json

from . import rivals, verdicts

RESULTS = Path(__file__).resolve().parent.parent / "results" / "verdict_errors.json"
LEVEL, TAIL = 0.025, 0.005


def measure_verdicts(studies: int) -> list[dict[str, Any]]:
    """The rows of planted truths."""
    found = []
    for row in verdicts.rows():
        shares = verdicts.measure(row, studies)
        found.append({"kind": row.kind, "what": row.what, "effect": row.effect, "smallest": row.smallest,
                      "right": row.right, "errors": list(row.wrong), **shares})  # fmt: skip
        print(json.dumps(found[-1]), flush=True)
    return found


def measure_intervals(studies: int) -> list[dict[str, Any]]:
    """One-sided errors of each interval, at 2.5 % and at 0.5 %."""
    found = []
    for setting in rivals.settings():
        generator = np.random.default_rng(0)
        chances = [setting.chances(generator, number) for number in range(studies)]
        shares = {}
        for name in chances[0]:
            tails = np.array([one[name] for one in chances])
            above, below = (tails <= LEVEL).mean(axis=0).tolist()
            shares[name] = {"above": above, "below": below, "far": float((tails <= TAIL).any(axis=1).mean())}
        found.append({"what": setting.what, "intervals": shares})
        print(json.dumps(found[-1]), flush=True)
    return found


def measure_naive(studies: int) -> list[dict[str, Any]]:
    """How often a true null is rejected at 5 %."""
    found = []
    for row in rivals.naive():
        generator = np.random.default_rng(0)
        share = float(np.mean([row.chance(generator) <= 0.05 for _ in range(studies)]))
        found.append({"what": row.what, "how": row.how, "rejected": share})
        print(json.dumps(found[-1]), flush=True)
    return found


def page(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    versions = results["environment"]
    studies = results["studies"]
    lines = [
        "# How often verdicts are wrong",
        "",
        f"Simulated studies with a planted truth, {studies} per row (the standard error of a rate of 5 % is "
        f"{100 * (0.05 * 0.95 / studies) ** 0.5:.1f} points). Every study has random effects of its design cells, "
        "which the seeds of a cell share, and of its seeds, which all cells share. Made by "
        f"`python benchmarks/verdict_errors.py` in {results['minutes']:.0f} minutes of one core on {results['date']}, "
        f"Python {versions['python']}, NumPy {versions['numpy']}.",
        "",
        "## Verdicts",
        "",
        "`judge` on tidy tables, alpha 5 %, one hypothesis per study but in the last row. Wrong is: supported although "
        "there is no effect, contradicted although the effect is as large as claimed. Differences are in standard "
        "deviations of the paired difference over seeds; seeds move runs as much as cells do.",
        "",
        "| hypothesis | studies | true effect | smallest of interest | supported | contradicted | undecided | wrong |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in results["verdicts"]:
        shares = [f"{100 * row[name]:.1f}" for name in verdicts.RULINGS]
        shares = [
            f"**{share}**" if name == row["right"] else share
            for name, share in zip(verdicts.RULINGS, shares, strict=True)
        ]
        wrong = f"{100 * row['wrong']:.1f} %" if row["errors"] else "none possible"
        cells = [row["kind"], row["what"], f"{row['effect']:.2g}", f"{row['smallest']:.2g}", *shares, wrong]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "Shares in percent; bold is the verdict that is the truth. At a true effect of exactly zero or exactly the "
        "smallest one, undecided is all that can be hoped for.",
        "",
        "## Which interval",
        "",
        "One-sided errors in percent at nominal 2.5 % (the truth lies below the interval / above it), and in brackets "
        "both together at nominal 0.5 % each (1 % in all), which is what Holm's procedure asks of the first hypothesis "
        "of five. All but the permutation resample whole cells.",
        "",
    ]
    names = list(dict.fromkeys(name for row in results["intervals"] for name in row["intervals"]))
    lines += ["| studies | " + " | ".join(names) + " |", "|---" * (1 + len(names)) + "|"]
    for row in results["intervals"]:
        cells = [row["what"]]
        for name in names:
            one = row["intervals"].get(name)
            cells.append("" if one is None else
                         f"{100 * one['above']:.1f} / {100 * one['below']:.1f} ({100 * one['far']:.1f})")  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "## What goes wrong otherwise",
        "",
        "How often a null that is true is rejected at nominal 5 % by other ways to read runs. (The unpaired test errs "
        "to the other side: it finds nothing that is true either.)",
        "",
        "| studies | read by | rejected |",
        "|---|---|---|",
    ]
    lines += [f"| {row['what']} | {row['how']} | {100 * row['rejected']:.1f} % |" for row in results["naive"]]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=900, help="per row")
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSON file; the page is written beside it")
    arguments = parser.parse_args()
    begin = time.process_time()
    results: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "studies": arguments.studies,
        "environment": environment(),
        "naive": measure_naive(arguments.studies),
        "intervals": measure_intervals(arguments.studies),
        "verdicts": measure_verdicts(arguments.studies),
    }
    results["minutes"] = (time.process_time() - begin) / 60
    write_json(arguments.out, results)
    arguments.out.with_suffix(".md").write_text(page(results))
    print(page(results))
