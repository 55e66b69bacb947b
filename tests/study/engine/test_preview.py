"""What is said before a study runs."""

import pytest

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.design import Study
from samnesia.study.engine.preview import claims, power, preview, with_seeds_there
from samnesia.study.engine.run import run_study
from samnesia.study.hypotheses import Difference
from samnesia.study.seeds import with_seeds
from tests.study import tiny_study
from tests.study.tiny_study import CLAIM, Draw, study


def test_a_plan_says_what_is_varied_and_what_runs():
    assert preview(study(), None, workers=2) == [
        "tiny: Does it run?",
        "  method: sgd, sam",
        "  budget: steps, gradients",
        "  seeds: 0, 1; tuned on 1000",
        "4 design cells x 2 seeds: 8 runs",
    ]
    shared = Study(tiny_study.design(), lambda levels, seed: Draw({"method": levels["method"]}, seed))
    assert preview(shared, None, workers=2)[-1] == "4 design cells x 2 seeds: 4 runs (4 share a run of equal settings)"


def test_of_a_directory_it_says_what_is_missing_and_how_long_that_takes(tmp_path):
    assert preview(study(), tmp_path / "new", workers=2)[-1].endswith("new: 0 finished, 8 missing")
    run_study(study(before=tiny_study.too_hot), tmp_path, workers=1, progress=False)
    more = with_seeds(study(), 3)
    found, time = preview(more, tmp_path, workers=2)[-2:]
    assert found == f"in {tmp_path}: 7 finished, 5 missing, 1 of them had failed"
    assert time == "time: about 6 s with 2 workers, by the finished runs"
    assert preview(study(), tmp_path, workers=1)[3].startswith("  seeds: 0, 1;")
    with pytest.raises(ConfigurationError, match="its definition has changed"):
        with_seeds_there(study(alpha=0.1), tmp_path)


def test_seeds_that_are_there_are_counted(tmp_path):
    run_study(with_seeds(study(), 4), tmp_path, workers=1, progress=False)
    there = with_seeds_there(study(), tmp_path)
    assert preview(there, tmp_path, workers=2)[3].startswith("  seeds: 0 to 3;")
    assert "4 seeds;" in power(there.design)[0]


def test_hypotheses_are_named_with_direction_and_smallest_effect():
    assert claims(tiny_study.design(primary=())) == ["no hypotheses: everything is exploratory"]
    head, line = claims(tiny_study.design())
    assert head == "1 hypothesis, error 5 % over all of them:"
    assert line.startswith("  sam is higher (higher, smallest effect of interest 0")


def test_power_that_several_share_is_said_once():
    def claim(budget, smallest):
        return Difference(
            claim=f"sam is higher in {budget}", measure="figure", treatment={"method": "sam"},
            control={"method": "sgd"}, where={"budget": budget}, smallest=smallest,
        )  # fmt: skip

    seeds = tuple(range(10))
    same = power(tiny_study.design(seeds=seeds, primary=(claim("steps", 1.0), claim("gradients", 1.0))))
    other = power(tiny_study.design(seeds=seeds, primary=(claim("steps", 1.0), claim("gradients", 2.0))))
    assert same[0].startswith("Power: 2 hypotheses, 10 seeds")
    assert all(line.startswith("  ") for line in same[1:])
    assert [line for line in other if not line.startswith("  ")][1:] == [
        "sam is higher in steps", "sam is higher in gradients",
    ]  # fmt: skip
    assert len(other) > len(same)
    assert power(tiny_study.design(primary=())) != []


def test_more_seeds_go_on_after_a_studys_own_but_for_those_it_was_tuned_on():
    some = study(tuning_seeds=(3, 4), seeds=(2, 0))
    for number, seeds in ((None, (2, 0)), (1, (2,)), (2, (2, 0)), (4, (2, 0, 5, 6))):
        assert with_seeds(some, number).design.seeds == seeds
    with pytest.raises(ConfigurationError, match="cannot run with 0 seeds"):
        with_seeds(some, 0)


def test_the_claim_of_the_tests_is_the_one_that_is_shown():
    assert CLAIM.claim in "\n".join(claims(tiny_study.design()))
