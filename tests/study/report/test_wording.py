"""The sentences of a report: what the intervals allow to say, in one vocabulary."""

import re

import pytest

from samnesia.study.judging import numbers
from samnesia.study.report import wording

ACCURACY = {
    "name": "test accuracy", "unit": "%", "higher_is_better": True, "key": "test_accuracy", "decimals": 1,
    "columns": {"last": "last.test_accuracy", "best": "best.test_accuracy"},
    "points": {"last": "last epoch", "best": "best validation epoch"},
}  # fmt: skip


def estimate(mean, low=None, high=None, n=5):
    return {"n": n, "mean": mean, "low": low, "high": high, "per_seed": [0.0] * 5}


def rows_of(*differences):
    """Rows in which the methods m1, m2 … differ from the baseline by (last, best)."""
    rows = [("sgd", estimate(0.0, 0.0, 0.0), estimate(0.0, 0.0, 0.0))]
    rows += [(f"m{index}", last, best) for index, (last, best) in enumerate(differences, start=1)]
    level = estimate(80.0, 79.0, 81.0)
    return [
        {"method": name, "score": {"last": level, "best": level}, "difference": {"last": last, "best": best}}
        for name, last, best in rows
    ]


def summary_of(*differences):
    return {
        "baseline": "sgd", "compared": "method", "judged_by": ACCURACY, "contexts": [],
        "methods": rows_of(*differences),
    }  # fmt: skip


UP, DOWN, UNCLEAR = estimate(9.0, 8.0, 10.0), estimate(-3.0, -4.0, -2.0), estimate(0.4, -1.0, 1.8)


@pytest.mark.parametrize(
    ("differences", "sentence"),
    [
        ([], "SGD reaches 80.0 (79.0 to 81.0) % test accuracy at the last epoch and 80.0"),
        (
            [(UP, UP)],
            "M1 ends above SGD at the last epoch by +9.0 (8.0 to 10.0) points; .* +9.0",
        ),
        (
            [(UNCLEAR, UNCLEAR), (UP, UNCLEAR)],
            "M2 ends above SGD .* at the best validation epoch m2 is not told",
        ),
        ([(UP, DOWN)], "at the best validation epoch m1 is below, by −3.0 (−4.0 to −2.0)."),
        ([(estimate(7.0, 6.0, 8.0), UP), (UP, UP)], "M2 and m1 end above SGD at the last epoch, m2 by most: +9.0"),
        ([(UNCLEAR, UP), (DOWN, DOWN)], "At the last epoch, no method is above SGD beyond chance: "),
        (
            [(estimate(9.0, n=2), estimate(1.0, n=2))],
            "Fewer than three seeds give no interval: at the last epoch m1 differs from SGD by +9.0",
        ),
        (
            [(estimate(9.0), estimate(1.0))],
            "All seeds differ equally, which gives no interval: at the last epoch m1 differs from SGD by +9.0",
        ),
        (
            [(UP, estimate(1.0))],
            "+9.0 (8.0 to 10.0) points; at the best validation epoch m1 has no interval, because all seeds differ",
        ),
        ([(estimate(None), estimate(None))], "SGD reaches 80.0"),
        ([(estimate(20.0, n=2), estimate(20.0, n=2)), (UP, UP)], "M2 ends above SGD at the last epoch by +9.0 (8.0 to"),
    ],
)
def test_the_headline_says_what_the_intervals_allow(differences, sentence):
    pattern = re.escape(sentence).replace(r"\.\*", ".*")
    assert re.search(pattern, wording.headline(summary_of(*differences)))


def test_findings_sort_methods_by_side():
    last, best = wording.findings(summary_of((UP, DOWN), (UNCLEAR, UP), (DOWN, UP)))
    assert last.startswith(
        "At the last epoch SGD reaches 80.0 (79.0 to 81.0) %; above it: m1 +9.0 (8.0 to 10.0); not told"
    )
    assert "below it: m3 −3.0 (−4.0 to −2.0)." in last
    assert best.startswith("At the best validation epoch SGD") and "below it: m1" in best


def test_findings_claim_no_side_without_an_interval():
    last, _ = wording.findings(summary_of((estimate(9.0), UP), (estimate(-9.0, n=2), UP)))
    assert last.endswith(
        "; differing from it, without an interval: m1 +9.0 (all seeds equal), m2 \N{MINUS SIGN}9.0 (n = 2)."
    )


def several(*contexts):
    """A summary over contexts; each is given by its differences, and the first are those of the means."""
    blocks = [{"name": f"c{place}", "levels": {}, "methods": rows_of(*one)} for place, one in enumerate(contexts)]
    return summary_of(*contexts[0]) | {"contexts": blocks}


@pytest.mark.parametrize(
    ("contexts", "sentence"),
    [
        (
            [[(UP, UP), (UNCLEAR, UP)], [(UP, DOWN), (UP, UP)], [(UNCLEAR, UNCLEAR), (DOWN, UP)]],
            "M1 is above SGD at the last epoch in 2 of 3 contexts, by +9.0 (8.0 to 10.0) points on average; at the "
            "best validation epoch in 1 of 3 contexts and below it in 1, by +9.0 (8.0 to 10.0) points on average.",
        ),
        (
            [[(UP, UNCLEAR)] * 3, [(UP, UNCLEAR)] * 3],
            "M1 is above SGD at the last epoch in 2 of 2 contexts, as are m2 and m3, by +9.0",
        ),
        (
            [[(UP, UP), (UP, UP)], [(UP, UP)]],
            "M1 is above SGD at the last epoch in 2 of 2 contexts, by +9.0 (8.0 to 10.0) points on average over the 1 "
            "where all were run; ",
        ),
        (
            [[(DOWN, UP)], [(UNCLEAR, UP)]],
            "No method is above SGD beyond chance at the last epoch in any of 2",
        ),
    ],
)
def test_the_headline_over_contexts_counts_them(contexts, sentence):
    assert wording.headline(several(*contexts)).startswith(sentence)
    assert wording.findings(several(*contexts)) == []


def test_the_headline_of_one_method_over_contexts_is_its_mean():
    assert wording.headline(several([], [])).startswith(
        "On average over 2 contexts SGD reaches 80.0 (79.0 to 81.0) % test accuracy at the last epoch and 80.0"
    )


def test_numbers_of_things_are_spoken_of_in_the_plural():
    nouns = ("seed", "labels", "capacity", "hypothesis", "array")
    assert [numbers.plural(noun) for noun in nouns] == ["seeds", "labels", "capacities", "hypotheses", "arrays"]
    assert (numbers.counted(1, "hypothesis"), numbers.counted(2, "seed")) == ("1 hypothesis", "2 seeds")
    assert numbers.ranges([4, 0, 1, 2, 7, 8]) == "0 to 2, 4, 7, 8"
    told = [numbers.measured(value, unit) for value, unit in ((1.0, "points"), (0.5, "points"), (1.0, ""), (1.0, "mm"))]
    assert told == ["1 point", "0.5 points", "1", "1 mm"]


def test_intervals_are_not_broken_over_lines():
    assert wording.unbroken("by +9.0 (8.0 to 10.0) points") == "by +9.0 (8.0\xa0to\xa010.0) points"
    assert wording.unbroken("a 95 % interval") == "a 95\xa0% interval"
