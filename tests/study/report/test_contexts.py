"""Cells of a study by context: what varies, what is held against what, and means over what all levels have."""

import math

import pytest

from samnesia.study.design import Factor
from samnesia.study.report.contexts import Grid
from tests.study import synthetic


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    left_out = ({"method": "gsam", "problem": "textures"},)
    results = synthetic.problems(tmp_path_factory.mktemp("grid"), contexts=3, arms=4, seeds=3, left_out=left_out)
    return Grid(results.design, results.table)


def test_contexts_are_the_levels_of_all_factors_but_the_compared_one(grid):
    assert [context.levels for context in grid.contexts] == [
        {"problem": name} for name in ("digits-noisy", "digits-few", "textures")
    ]
    assert [context.name for context in grid.contexts] == ["digits-noisy", "digits-few", "textures"]
    assert grid.contexts[2].arms == ("sgd", "sam", "asam")
    assert grid.arms == ("sgd", "sam", "asam", "gsam")


def test_one_context_has_no_name(tmp_path):
    results = synthetic.comparison(tmp_path, ("sgd", "sam"), seeds=1)
    grid = Grid(results.design, results.table)
    assert [(context.name, context.levels) for context in grid.contexts] == [("", {})]
    assert grid.varied() == ["method"]


@pytest.mark.parametrize(
    ("factor", "levels", "names"),
    [
        ("noise", ("0", "0.4"), ["noise 0", "noise 0.4"]),
        ("dropout", ("yes", "no"), ["dropout yes", "dropout no"]),
        ("problem", ("table", "digits-noisy"), ["table", "digits-noisy"]),
    ],
)
def test_levels_that_say_nothing_alone_are_named_with_their_factor(tmp_path, factor, levels, names):
    factors = (Factor(factor, levels), Factor("method", ("sgd", "sam")))
    design = synthetic.replace(synthetic.comparison(tmp_path, ("sgd",), seeds=1).design, factors=factors)
    results = synthetic.results_of(design, lambda levels, seed: synthetic.forgetting_run(levels, seed), tmp_path)
    assert [context.name for context in Grid(design, results.table).contexts] == names


def test_values_are_those_of_finished_runs(grid):
    first, _, textures = grid.contexts
    assert list(grid.values(grid.cell(first, "sam"), "last.test_accuracy")) == [100, 101, 102]
    assert grid.values(grid.cell(first, "sam"), "no such column") == {}
    assert grid.finished(grid.cell(textures, "gsam")) == {}


def test_values_that_are_not_finite_are_left_out(tmp_path):
    results = synthetic.comparison(tmp_path, ("sgd",), seeds=3)
    results = synthetic.changed(results, lambda row: {"seconds": math.nan} if row["seed"] == 1 else None)
    grid = Grid(results.design, results.table)
    assert list(grid.values({"method": "sgd"}, "seconds")) == [0, 2]


def test_means_over_cells_need_a_seed_in_all_of_them(tmp_path):
    results = synthetic.problems(tmp_path, contexts=3, arms=4, seeds=4)  # one run of seed 103 has failed
    grid = Grid(results.design, results.table)
    cells = [grid.cell(context, "gsam") for context in grid.contexts]
    means = grid.mean_over(cells, "seconds")
    assert list(means) == [100, 101, 102]
    assert means[101] == pytest.approx(sum(grid.values(cell, "seconds")[101] for cell in cells) / 3)


def test_levels_are_held_against_each_other_over_what_all_of_them_have(grid):
    matched = grid.matched("problem")
    assert {cell["method"] for cell in matched["digits-noisy"]} == {"sgd", "sam", "asam"}
    assert [cell["problem"] for cell in grid.matched("method")["gsam"]] == ["digits-noisy", "digits-few"]
    assert [cell["problem"] for cell in grid.matched("method")["sgd"]] == ["digits-noisy", "digits-few"]
