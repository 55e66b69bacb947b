"""The page on tuning says what was measured, and it was measured with the rule that is in use."""

import json
import math
import runpy
import statistics
from pathlib import Path

import pytest

from samnesia.measure.radius import SHARE, SPREAD

ROOT = Path(__file__).resolve().parents[2]
BENCHMARK = runpy.run_path(str(ROOT / "benchmarks" / "suggest_rho.py"))
CONTENT = json.loads(BENCHMARK["RESULTS"].read_text())
PAGE = (ROOT / "docs" / "tuning.md").read_text()
WORDS = " ".join(PAGE.split())


def test_the_tables_of_the_page_are_those_of_the_results():
    for line in BENCHMARK["tables"](CONTENT):
        assert f"\n{line}\n" in PAGE
    assert CONTENT["summary"] == BENCHMARK["summary"](CONTENT["rows"])


def test_the_figures_in_the_text_are_those_of_the_results():
    rows = [row for row in CONTENT["rows"] if row["as_recipe"]]
    digits, others = (
        [row["rules"]["suggest_rho"] for row in rows if row["problem"].startswith("digits") == is_digits]
        for is_digits in (True, False)
    )
    factors = [math.exp(statistics.fmean(abs(math.log(one["ratio"])) for one in some)) for some in (digits, others)]
    lost = [statistics.fmean(one["lost"] for one in some) for some in (digits, others)]
    worst = max(max(one["ratio"], 1 / one["ratio"]) for one in digits)
    for words in (
        f"off by a factor of {factors[0]:.1f} (geometric mean; at most {worst:.1f}), "
        f"costs {lost[0]:.1f} points in the mean (at most {max(one['lost'] for one in digits):.1f})",
        f"in {sum(one['in_range'] for one in digits)} of {len(digits)} cases",
        f"it is off by {factors[1]:.0f} and costs {lost[1]:.1f} points",
    ):
        assert words in WORDS
    means = {one["warm_up"]: one["mean_lost"] for one in CONTENT["summary"] if one["rule"] == "suggest_rho"}
    said = [f"{means[warm_up]:.1f}" for warm_up in ("0", "1", "4", "16")]
    assert "costs {} points in the mean, after one {}, after four {}, after sixteen {}.".format(*said) in WORDS
    assert (
        min(one["mean_lost"] for one in CONTENT["summary"] if one["warm_up"] == "as the recipe")
        == (means["as the recipe"])
    ), "the rule in use costs least"


def test_they_are_of_the_rule_and_the_radii_in_use():
    tuned = json.loads(BENCHMARK["TUNED"].read_text())
    assert CONTENT["share"] == SHARE and SPREAD == 8.0
    expected = {(problem, method) for problem in tuned for method in BENCHMARK["METHODS"]}
    assert {(row["problem"], row["method"]) for row in CONTENT["rows"]} == expected
    for row in CONTENT["rows"]:
        grid = BENCHMARK["grid_of"](row["problem"], row["method"])
        assert row["best_score"] == max(grid.values()) == grid[row["tuned"]]


@pytest.mark.slow
def test_a_row_comes_out_again():
    """Wine trains in a second."""
    probes = BENCHMARK["probes_of"]("wine", 5, CONTENT["seeds"])
    for method, found in probes.items():
        (row,) = [r for r in CONTENT["rows"] if (r["problem"], r["method"], r["warm_up"]) == ("wine", method, 5)]
        assert BENCHMARK["row_of"]("wine", method, 5, found) == row
