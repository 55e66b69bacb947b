"""Put the figures of a finished study into docs/findings.md: `python scripts/update_problems.py runs/problems`.

Copies the study's `compare.json`, without its configurations, and its figure of error reduction to `docs/findings/`,
and rewrites what stands between the markers. `tests/test_problems_page.py` holds the page against the committed file.
"""

import json
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE, DATA = ROOT / "docs" / "findings.md", ROOT / "docs" / "findings"
START, END = "<!-- problems: made by scripts/update_problems.py -->", "<!-- /problems -->"
FIGURE = "error_reduction.svg"
DASH = "\N{EN DASH}"


def section(summary: dict) -> str:
    """Verdicts, and a table for each problem."""
    environment = summary["environments"][0]
    seeds = f"{len(summary['seeds'])} seeds ({summary['seeds'][0]} to {summary['seeds'][-1]})"
    about = (
        f"Test accuracy in percent, mean [95 % t-interval] over n = {seeds}; differences are paired by seed. Intervals "
        f"are not widened for their number, verdicts are, by Holm over all {len(summary['verdicts'])} hypotheses. Made "
        f"by `{summary['command']}` at commit {environment['commit']} with torch {environment['torch']} on "
        f"{environment['hardware']}, {environment['threads']} thread a run."
    )
    problems = list(dict.fromkeys(context["levels"]["problem"] for context in summary["contexts"]))
    parts = [START, "", about, "", "### Verdicts", "", verdicts(summary, problems)]
    for problem in problems:
        parts += ["", f"### {problem}", "", table(summary, problem)]
    return "\n".join([*parts, "", END])


def verdicts(summary: dict, problems: list[str]) -> str:
    """A row per problem and a column per method: the verdict, with the effect at equal gradient evaluations."""
    found = {
        (one["hypothesis"]["where"]["problem"], one["hypothesis"]["treatment"]["method"]): one
        for one in summary["verdicts"]
    }
    methods = list(dict.fromkeys(method for _, method in found))
    lines = [
        "| better than SGD by a point or more, at equal gradient evaluations, last epoch | "
        + " | ".join(method.upper() for method in methods) + " |",
        "|---" * (len(methods) + 1) + "|",
    ]  # fmt: skip
    for problem in problems:
        cells = [found[problem, method] for method in methods]
        shown = [
            f"**{one['verdict']}** {change(one['estimate'] | {'mean': one['estimate']['effect']})}" for one in cells
        ]
        lines.append(f"| {problem} | {' | '.join(shown)} |")
    return "\n".join(lines)


def table(summary: dict, problem: str) -> str:
    """A row per method: accuracy at both epochs and both budgets, and the paired differences at equal gradients."""
    steps, gradients = (
        next(one for one in summary["contexts"] if one["levels"] == {"problem": problem, "budget": budget})
        for budget in ("steps", "gradients")
    )
    extra = next((name for name in ("flipped", "mark") if has(gradients, name)), None)
    says = {"flipped": "flipped labels fitted, %", "mark": "misleading marks followed, %", None: "training accuracy"}
    lines = [
        "| method | last epoch, equal steps | last epoch, equal gradients | to SGD | best epoch, equal steps | "
        f"best epoch, equal gradients | to SGD | {says[extra]} | gradient evaluations, seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for own, equal in zip(steps["methods"], gradients["methods"], strict=True):
        cells = [own["method"]]
        for point in ("last", "best"):
            difference = equal["difference"][point] if equal["method"] != summary["baseline"] else None
            cells += [level(own["score"][point]), level(equal["score"][point]), change(difference)]
        cells += [level(equal["measures"][extra or "train"])]
        cells += [f"{equal['gradient_evaluations']:.0f}, {equal['seconds']:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def has(context: dict, name: str) -> bool:
    return any(row["measures"][name]["mean"] is not None for row in context["methods"])


def level(value: dict) -> str:
    """Mean and interval, to one decimal."""
    if value["mean"] is None:
        return DASH
    ends = f" [{value['low']:.1f}, {value['high']:.1f}]" if value["low"] is not None else ""
    return f"{value['mean']:.1f}{ends}"


def change(value: dict | None) -> str:
    """The same of a difference, with its sign."""
    if value is None or value["mean"] is None:
        return ""
    ends = f" [{value['low']:+.1f}, {value['high']:+.1f}]" if value["low"] is not None else ""
    return f"{value['mean']:+.1f}{ends}"


def without_configurations(summary: dict) -> dict:
    """What the page needs, and what anybody needs to check it; the configurations are those of the recipes."""
    contexts = [
        {**context, "methods": [{**row, "config": {}} for row in context["methods"]]} for context in summary["contexts"]
    ]
    return {**summary, "contexts": contexts}


def with_section(page: str, summary: dict) -> str:
    """The page with the section of `summary` in place of the one it has."""
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    return before + section(summary) + after


def main() -> None:
    """Copy and rewrite."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/problems")
    summary = without_configurations(json.loads((out / "compare.json").read_text()))
    DATA.mkdir(parents=True, exist_ok=True)
    (DATA / "problems.json").write_text(json.dumps(summary, indent=1) + "\n")
    shutil.copy(out / "figures" / FIGURE, DATA / FIGURE)
    PAGE.write_text(with_section(PAGE.read_text(), summary))


if __name__ == "__main__":
    main()
