"""Make the lists of all studies, in docs/findings.md and in README: `python scripts/update_index.py`.

What a study says in short is the paragraph of the hand-written part of its page, `docs/findings/NAME.md`, that begins
with `**In short:**`; how many of its claims have which verdict comes from `docs/findings/NAME.json`.
"""

import json
import re
from collections import Counter
from pathlib import Path

from samnesia.study.named import find_study

ROOT = Path(__file__).resolve().parent.parent
DATA, INDEX, README = ROOT / "docs" / "findings", ROOT / "docs" / "findings.md", ROOT / "README.md"
START, END = "<!-- studies: made by scripts/update_index.py -->", "<!-- /studies -->"
SHORT = "**In short:**"
ELSEWHERE = {
    "problems": (
        "findings.md",
        "with wrong labels SAM, ASAM, GSAM and OBF are better than SGD of the same cost by far; on four other problems "
        "none is shown to be",
    ),
    "widths": (
        "widths.md",
        "one radius for five widths of a net mostly beats plain training, but no radius is right for all kinds of nets",
    ),
}
"""Studies whose numbers stand on pages of their own make: where, and what they say in short."""


def studies() -> dict[str, tuple[str, str, dict]]:
    """By name: the page from docs/, what it says in short, and what is kept of the study."""
    found = {name: (page, says, kept(name)) for name, (page, says) in ELSEWHERE.items()}
    for path in sorted(DATA.glob("*.json")):
        study = kept(path.stem)
        if "form" in study:
            found[path.stem] = (f"findings/{path.stem}.md", in_short((DATA / f"{path.stem}.md").read_text()), study)
    return found


def kept(name: str) -> dict:
    return json.loads((DATA / f"{name}.json").read_text())


def in_short(page: str) -> str:
    """The paragraph on one line; nothing where the page has none yet."""
    found = re.search(rf"^{re.escape(SHORT)} (.+?)(?:\n\n|\Z)", page, re.MULTILINE | re.DOTALL)
    return " ".join(found[1].split()) if found else ""


def verdicts(study: dict) -> str:
    """How many claims have which verdict: ``3 supported, 1 undecided``."""
    counts = Counter(one["verdict"] for one in study["verdicts"])
    return ", ".join(f"{counts[one]} {one}" for one in ("supported", "contradicted", "undecided") if counts[one])


def table(found: dict) -> str:
    """A row per study, for docs/findings.md."""
    lines = ["| study | asks | in short | claims |", "|---|---|---|---|"]
    for name, (page, says, study) in found.items():
        asks = study.get("question") or find_study(name).design.question
        told = [one.replace("|", "\\|") for one in (asks, says)]
        lines.append(f"| [`{name}`]({page}) | {' | '.join(told)} | {verdicts(study)} |")
    return "\n".join(lines)


def bullets(found: dict) -> str:
    """A line per study, for README."""
    return "\n".join(
        f"- [`{name}`](docs/{page}): {says.rstrip('.')} ({verdicts(study)})."
        for name, (page, says, study) in found.items()
    )


def with_part(page: str, part: str) -> str:
    """The page with the part in place of the one it has."""
    before, _, rest = page.partition(START)
    return f"{before}{START}\n\n{part}\n\n{END}{rest.partition(END)[2]}"


def main() -> None:
    """Rewrite both."""
    found = studies()
    for page, part in ((INDEX, table(found)), (README, bullets(found))):
        page.write_text(with_part(page.read_text(), part))


if __name__ == "__main__":
    main()
