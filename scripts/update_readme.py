"""Put the figures of a finished demo into README: `python scripts/update_readme.py runs/demo`.

Copies the overview figures and `compare.json` to `docs/demo/` and rewrites the table between the markers of README.
`tests/test_readme.py` holds README against the committed `compare.json`, so that neither can drift.
"""

import json
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START, END = "<!-- demo: made by scripts/update_readme.py -->", "<!-- /demo -->"
FILES = ("compare.json", "figures/overview.svg", "figures/overview-dark.svg")


def section(summary: dict) -> str:
    """The table of a comparison in Markdown, with what is needed to judge it."""
    lines = [
        "| method | test accuracy, last epoch | best validation epoch | to SGD, last | to SGD, best "
        "| flipped labels fitted | gradient evaluations | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in summary["methods"]:
        own = row["method"] != summary["baseline"]
        lines.append(
            f"| `{row['method']}` | {estimate(row['score']['last'])} | {estimate(row['score']['best'])} "
            f"| {estimate(row['difference']['last'], '+') if own else ''} "
            f"| {estimate(row['difference']['best'], '+') if own else ''} "
            f"| {row['flipped_fitted']['last']['mean']:.0f} % | {row['gradient_evaluations']:.0f} "
            f"| {row['seconds']:.1f} |"
        )
    environment = summary["environments"][0]
    about = (
        f"Clean test accuracy in percent, mean [95 % t-interval] over n = {len(summary['seeds'])} seeds; differences "
        f"are paired by seed. Made by `{summary['command']}` at commit {environment['commit']} with torch "
        f"{environment['torch']} on {environment['hardware']}, {environment['threads']} thread a run."
    )
    return "\n".join([START, "", *lines, "", about, "", END])


def estimate(value: dict, sign: str = "") -> str:
    """Mean and interval, to one decimal."""
    low, high = (f"{value[end]:{sign}.1f}" for end in ("low", "high"))
    return f"{value['mean']:{sign}.1f} [{low}, {high}]"


def with_section(readme: str, summary: dict) -> str:
    """README with the section of `summary` in place of the one it has."""
    before, _, rest = readme.partition(START)
    _, _, after = rest.partition(END)
    return before + section(summary) + after


def main() -> None:
    """Copy and rewrite."""
    demo = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/demo")
    target = ROOT / "docs" / "demo"
    target.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copy(demo / name, target / Path(name).name)
    readme = ROOT / "README.md"
    readme.write_text(with_section(readme.read_text(), json.loads((demo / "compare.json").read_text())))


if __name__ == "__main__":
    main()
