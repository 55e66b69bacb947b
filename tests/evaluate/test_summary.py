"""Scores of runs that differ by their seed: means with intervals."""

import pytest

from samnesia.evaluate.suites import Clean, Score
from samnesia.evaluate.summary import Mean, groups, means, missing, notes
from samnesia.study.judging.statistics import mean_interval


def content(**changes):
    """Of three runs of two groups."""
    runs = {"a0": {"group": "a", "seed": 0}, "a1": {"group": "a", "seed": 1}, "b": {"group": "b", "seed": 0}}
    values = {"a0": 1, "a1": 3, "b": 5}
    measures = [{"what": "one", "run": run, "stage": "epoch 3", "values": {"x": x}} for run, x in values.items()]
    return {"runs": runs, "measures": measures, "left_out": [], "refused": [], **changes}


class One(Clean):
    """Tells what it is given."""

    name = "one"

    def scores(self, values):
        return {"x": Score(values["x"], "%", 2)}

    def notes(self, values):
        yield "is one"
        if values["x"] > 2:
            yield "is large"


def test_a_mean_has_the_t_interval_of_a_study():
    values = [90.0, 92.0, 97.0]
    found, expected = Mean.of([Score(value) for value in values]), mean_interval(values)
    assert (found.score.value, found.low, found.high) == (expected.mean, expected.low, expected.high)
    assert found.text == f"93.0 ± {expected.high - 93.0:.1f}"
    assert found.as_dict()["per_run"] == values and found.as_dict()["n"] == 3


@pytest.mark.parametrize("values", [[90.0], [90.0, 92.0], [91.0, 91.0, 91.0]])
def test_few_or_equal_runs_have_no_interval(values):
    found = Mean.of([Score(value) for value in values])
    assert (found.low, found.high) == (None, None) and found.text == f"{sum(values) / len(values):.1f}"


def test_where_a_run_has_no_number_there_is_no_mean():
    assert Mean.of([Score(1.0), Score(None)]).text == "none"
    assert Score(None).text == "none" and Score(1.25, "nats", 2).text == "1.25 nats" and Score(3.0, "").text == "3.0"


def test_groups_are_averaged():
    found = means(content(), One())
    assert found["a"]["x"].score == Score(2.0, "%", 2) and found["b"]["x"].score.value == 5
    assert [group.head for group in groups(content())] == ["a\nepoch 3\n2 seeds", "b\nepoch 3"]


def test_what_was_not_evaluated_is_said_once():
    left = [{"what": "one", "run": run, "why": "so it is"} for run in ("a0", "a1", "b")]
    other = [{"what": "two", "run": "b", "why": "it is b"}]
    found = missing(content(left_out=left + other, refused=["b: cannot"]))
    assert found == [
        "one left out of all, because so it is", "two left out of b, because it is b", "not evaluated: b: cannot",
    ]  # fmt: skip
    assert notes(content(), [One()]) == ["one: is one", "a1, b: one: is large"]
