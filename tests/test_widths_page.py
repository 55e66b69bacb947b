"""The page about widths shows the numbers of a committed study, judged by the rule that stood before it."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from samnesia.study.named.peaks import STEP
from samnesia.study.named.widths import FAMILIES, GEOMETRIES, PLAIN, widths

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(ROOT / "scripts" / "update_widths.py"))


@pytest.fixture(scope="module")
def stored():
    return json.loads((ROOT / "docs" / "findings" / "widths.json").read_text())


def test_the_results_are_those_that_the_script_makes_of_the_committed_study(script, stored):
    page = (ROOT / "docs" / "widths.md").read_text()
    assert script["section"](stored) in page
    assert script["with_section"](page, stored) == page


def test_the_study_is_the_named_one_and_whole(stored):
    design = widths().design
    assert stored["seeds"] == list(design.seeds)
    for measure in ("test", "validation"):
        assert set(stored[measure]) == set(design.factor("net").levels)
        for row in stored[measure].values():
            assert set(row) == set(design.factor("method").levels)
            assert {len(of) for of in row.values()} == {len(design.seeds)}
    assert [one["claim"] for one in stored["verdicts"]] == [one.claim for one in design.primary]


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("family", FAMILIES)
def test_whether_a_radius_holds_is_seen_from_the_accuracies_alone(script, stored, family, geometry):
    """The rule once more, in its own words."""
    radii, best = GEOMETRIES[geometry].radii, []
    for width in FAMILIES[family].widths:
        row = stored["test"][f"{family}-{width}"]
        means = np.array([np.mean(row[f"{geometry}-{rho:g}"]) for rho in radii])
        plain, top = np.mean(row[PLAIN]), means.max()
        if top - plain < 2.0 or top in (means[0], means[-1]):
            best.append(None)
            continue
        above = [(value - (plain + top) / 2, np.log(rho)) for value, rho in zip(means, radii, strict=True)]
        above = [(value, log) for value, log in above if value > 0]
        best.append(np.exp(sum(value * log for value, log in above) / sum(value for value, _ in above)))
    holds = None not in best and max(best) <= STEP * min(best)
    (row,) = [
        line
        for line in script["section"](stored).splitlines()
        if line.lower().startswith(f"| `{geometry}` | {family} |")
    ]
    assert ("**yes**" in row) == holds


def test_no_number_serves_all_nets(script, stored):
    """If one did, there would be a `rho="auto"` to build."""
    rows = [line for line in script["section"](stored).splitlines() if "| all 15 nets |" in line]
    assert len(rows) == len(GEOMETRIES) and all("| no (of one radius) |" in row for row in rows)
    for geometry, of in GEOMETRIES.items():
        found = [script["Results"](stored).peak(net, geometry).rho for net in stored["test"]]
        assert max(found) > STEP**2 * min(found) and min(of.radii) < min(found) and max(found) < max(of.radii)
