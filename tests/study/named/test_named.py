"""The studies that have names, and how a study is found by one."""

from dataclasses import replace

import pytest

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.design import Study
from samnesia.study.engine.plan import make_plan
from samnesia.study.engine.run import run_study
from samnesia.study.named import STUDIES, find_study, registry
from samnesia.study.named import problems as module
from samnesia.study.named.problems import BUDGETS, METHODS, PROBLEMS, problems
from samnesia.train.log import read_result
from samnesia.train.recipes import find
from tests.study import tiny_study


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("quick", [False, True])
def test_every_named_study_has_hypotheses_and_work_for_all_of_its_cells(name, quick, tmp_path):
    study = find_study(name, quick=quick)
    assert STUDIES[name].says.endswith((".", "?"))
    assert study.design.name == (f"{name}-quick" if quick else name)
    assert study.design.primary
    assert make_plan(study, tmp_path).jobs
    assert study.design == type(study.design).from_json(study.design.to_json())


def test_the_problems_are_asked_as_they_were_announced():
    design = problems().design
    assert design.seeds == tuple(range(10)) and design.tuning_seeds == tuple(range(1000, 1005))
    assert [factor.levels for factor in design.factors] == [METHODS, PROBLEMS, BUDGETS]
    claimed = {(one.where["problem"], one.treatment["method"]) for one in design.primary}
    assert claimed == {(problem, method) for problem in PROBLEMS for method in ("sam", "asam", "gsam", "obf")}
    for one in design.primary:
        assert (one.measure, one.control, one.smallest) == ("last", {"method": "sgd"}, 1.0)
        assert (one.direction, one.where["budget"]) == ("higher", "gradients")
    assert set(problems(quick=True).design.factor("problem").levels) < set(PROBLEMS)
    assert len(problems(quick=True).design.seeds) == 3


@pytest.mark.parametrize("problem", PROBLEMS)
def test_at_equal_gradients_the_cheap_arm_trains_longer_and_the_dear_ones_share_their_runs(problem, tmp_path):
    study = problems()

    def epochs(method, budget):
        return study.work({"method": method, "problem": problem, "budget": budget}, 3).config.epochs

    recipe = find(f"{problem}-sgd")
    assert all(epochs(method, "steps") == recipe.epochs for method in METHODS)
    assert epochs("sam", "gradients") == recipe.epochs
    assert 1.5 * recipe.epochs < epochs("sgd", "gradients") <= 2 * recipe.epochs
    plan = make_plan(study, tmp_path)
    shared = {name for name in plan.shared if f",{problem},gradients-" in name}
    assert {f"sam,{problem},gradients-seed{seed}" for seed in range(10)} <= shared
    assert not any(name.startswith("sgd,") for name in shared)


def test_settings_are_those_of_the_recipes_but_for_seed_and_epochs():
    work = problems().work({"method": "obf", "problem": "digits-noisy", "budget": "steps"}, 7)
    plain = find("digits-noisy-obf").to_json()
    assert work.settings == plain | {"seed": 7}


def test_a_study_of_recipes_runs(tmp_path, monkeypatch):
    """One problem, two methods, one seed and one epoch of it, at both budgets."""

    def short(name):
        config = find(name)
        return replace(config, epochs=2, when=replace(config.when, start_epoch=0.0))

    monkeypatch.setattr(module, "METHODS", ("sgd", "sam"))
    monkeypatch.setattr(module, "CLAIMED", ("sam",))
    monkeypatch.setattr(module, "PROBLEMS", ("digits-noisy",))
    monkeypatch.setattr(module, "find", short)
    module._arms.cache_clear()
    results = run_study(module.problems(), tmp_path, workers=1, progress=False, seeds=(0,))
    module._arms.cache_clear()
    assert list(results.table["status"]) == ["finished"] * 4
    assert list(results.table["gradient_evaluations"]) == [20.0, 40.0, 40.0, 40.0]
    for measure in results.design.measures:
        assert measure.value in results.table.columns
    assert results.table["last.test_mark_followed"].isna().all()  # digits-noisy has no marks
    assert read_result(tmp_path / results.table["directory"][1]).config.epochs == 4


def test_studies_are_found_by_name_or_in_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "STUDIES", {})
    registry.named(a_study_of_tests)
    assert find_study("a-study-of-tests").design.name == "tiny"
    with pytest.raises(ConfigurationError, match="its function takes no quick"):
        find_study("a-study-of-tests", quick=True)
    with pytest.raises(ConfigurationError, match="did you mean 'a-study-of-tests'?"):
        find_study("a-study-of-test")
    assert isinstance(find_study(f"{__file__}:a_study_of_tests"), Study)


def a_study_of_tests():
    """A study."""
    return tiny_study.study()
