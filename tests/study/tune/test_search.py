"""The search: what it tries, what it gives up and saves by that, and what happens when things go wrong."""

import json
import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.engine.pool import Here, Processes
from samnesia.study.tune import tune
from samnesia.study.tune.journal import JOURNAL, Journal
from samnesia.study.tune.plan import make_plan
from samnesia.study.tune.search import Search
from samnesia.study.tune.space import make_space
from samnesia.study.tune.trial import TrialWork, read_ended
from samnesia.train.config import OwnModel
from samnesia.train.log import read_config
from tests.study.tune.planted import BEST, EPOCHS, SEARCH, Breaks, expected_score, planted

ROOT = Path(__file__).parents[3]


def plan_of(config=None, *, search=SEARCH, budget=8, tuned=1):
    return make_plan(make_space(config or planted(), search), budget=budget, tuned=tuned, confirmed=0)


def searched(out, plan, pool=None):
    """The search in ``out``, done."""
    out.mkdir(exist_ok=True)
    search = Search(plan, out)
    search.run(pool or Here())
    return search


def trained_epochs(out, number):
    """Epochs that the runs of a trial have logged."""
    return sum(len(path.read_text().splitlines()) for path in out.glob(f"trials/{number:04}/seed*/metrics.jsonl"))


def test_what_is_tried(tuned):
    first, *others = tuned.trials
    assert (first.number, first.values, first.ending) == (0, {"optimizer.lr": 0.02}, "finished")
    assert all(0.005 <= trial.values["optimizer.lr"] <= 0.5 for trial in others)
    assert len({trial.values["optimizer.lr"] for trial in tuned.trials}) == len(tuned.trials) > 6
    early = sorted(math.log10(trial.values["optimizer.lr"] / 0.005) for trial in others[:4])
    assert early[1] < 1.0 < early[2], "the first settings are spread over the range"
    late = [trial.values["optimizer.lr"] for trial in others[4:]]
    assert min(abs(math.log(rate / BEST)) for rate in late) < 0.2, "what follows is near the best"


def test_scores_are_those_of_the_runs_and_paired(tuned):
    seeds = tuned.plan.seeds
    for trial in tuned.trials:
        if trial.ending != "finished":
            continue
        expected = [expected_score(trial.values["optimizer.lr"], seed) for seed in seeds]
        assert trial.scores == pytest.approx(expected, abs=1e-5)
        assert trial.score == pytest.approx(sum(expected) / 2, abs=1e-5)
    for trial in tuned.trials:
        runs = [path.name for path in (tuned.out / "trials" / f"{trial.number:04}").glob("seed*")]
        assert sorted(runs) == [f"seed{seed}" for seed in seeds[: len(runs)]]


def test_the_budget_holds_and_giving_up_saves_runs(tuned):
    given_up = [trial for trial in tuned.trials if trial.ending == "pruned"]
    assert given_up and tuned.spent <= 17.0 < tuned.spent + 2.0
    for trial in tuned.trials:
        assert trained_epochs(tuned.out, trial.number) == round(trial.runs * EPOCHS)
        if trial.ending == "pruned":
            assert trial.runs < 2.0 and (trial.epoch == 0 or trial.epoch >= EPOCHS / 2)
    trained = sum(trained_epochs(tuned.out, trial.number) for trial in tuned.trials)
    assert trained == round(tuned.spent * EPOCHS)
    assert tuned.saved == pytest.approx(2 * len(tuned.trials) - trained / EPOCHS)
    assert len(tuned.trials) > 17 / 2, "what is saved is spent on more settings"


def test_what_is_given_up_was_worse_than_the_median(tuned):
    for trial in tuned.trials:
        if trial.ending == "pruned" and trial.epoch:
            same = [expected_course(other, trial.epoch, tuned.plan.seeds) for other in tuned.trials[: trial.number]]
            same = sorted(value for value in same if value is not None)
            middle = (same[(len(same) - 1) // 2] + same[len(same) // 2]) / 2
            assert trial.score > middle


def expected_course(trial, epoch, seeds):
    """The score of a trial as it was in its first seed after so many epochs; None if it did not come as far."""
    from tests.study.tune.planted import STEPS, hill

    if not trial.scores and trial.epoch < epoch:
        return None
    targets = hill(seeds[0]).validation.labels
    rate = trial.values["optimizer.lr"]
    return sum(float((rate * STEPS * e - targets).abs().mean()) for e in (epoch - 1, epoch)) / 2


def test_nothing_of_a_trial_is_kept_to_go_on_from(tuned):
    assert not list(tuned.out.glob("trials/*/seed*/checkpoints"))


def test_the_own_values_are_trained_to_the_end_however_bad(tmp_path):
    search = searched(tmp_path / "out", plan_of(planted(rate=0.5), budget=7))
    own = search.trials[0]
    assert (own.values, own.ending) == ({"optimizer.lr": 0.5}, "finished")
    assert own.score == max(trial.score for trial in search.trials if trial.ending == "finished")


@pytest.mark.parametrize(("prunable", "ending"), [(True, "pruned"), (False, "finished")])
def test_only_the_own_values_may_not_be_given_up(tmp_path, whole, prunable, ending):
    """Among others that have come as far, as with several workers."""
    shutil.copytree(whole.out, tmp_path / "out")
    plan = plan_of()
    journal = Journal(tmp_path / "out", higher_is_better=False, evaluations=EPOCHS)
    trial = journal.ask()
    plan.space.suggest(trial)
    values = {"optimizer.lr": 0.5}
    work = TrialWork(tmp_path / "out", trial.number, values, plan.space.apply(values), plan.seeds, plan.score, prunable)
    work.run(tmp_path / "trial")
    assert read_ended(tmp_path / "trial").ending == ending
    numbered = [Search(plan, tmp_path)._job(number, values).work for number in (0, 1)]
    assert [work.prunable for work in numbered] == [False, True]


def test_the_seed_of_the_configuration_decides(tmp_path):
    plan = plan_of(budget=6)
    first, again = (searched(tmp_path / name, plan).trials for name in "ab")
    assert first == again
    other = plan_of(planted(seed=1), budget=3)
    assert not {*plan.seeds} & {*other.seeds}
    assert [t.values for t in searched(tmp_path / "c", other).trials[1:]] != [t.values for t in first[1:3]]


KILLED = """
import os, signal, sys
from pathlib import Path
from samnesia.study.engine.pool import Here
from samnesia.study.tune.search import Search
from samnesia.train.observers import Journal
from tests.study.tune.test_search import plan_of, written

def search(out, stops):
    operations = iter(range(stops))

    def counted(function):
        def call(*arguments, **options):
            if next(operations, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)
        return call

    os.fsync, Journal.epoch = counted(lambda file: None), counted(Journal.epoch)
    out.mkdir(exist_ok=True)
    Search(plan_of(), out).run(Here())

out, kept = Path(sys.argv[1]), {}
for after in map(int, sys.argv[2:]):
    child = os.fork()
    if not child:
        search(out, after)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "it came to its end before"
    now = written(out)
    assert kept.items() <= now.items(), "a trial that had ended was trained again"
    kept = now
"""


def written(out):
    """When each result of a trial was written."""
    return {path: path.stat().st_mtime_ns for path in out.glob("trials/*/result.json")}


def assert_goes_on(out, undisturbed, kills):
    """A search that is killed again and again ends as the undisturbed one, and trains no finished trial again."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", KILLED, str(out), *map(str, kills)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    kept = written(out)
    search = searched(out, plan_of())
    assert kept and kept.items() <= written(out).items()
    assert search.trials == undisturbed.trials
    for trial in search.trials:
        assert trained_epochs(out, trial.number) == round(trial.runs * EPOCHS)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A search that nothing has happened to."""
    return searched(tmp_path_factory.mktemp("whole") / "out", plan_of())


def test_a_killed_search_goes_on(tmp_path, whole):
    assert_goes_on(tmp_path / "killed", whole, [75, 60])


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1, 40, 3))
def test_a_search_that_is_killed_anywhere_goes_on(tmp_path, whole, first):
    assert_goes_on(tmp_path / "killed", whole, [100 + first, 50 + first, 40])


@pytest.mark.parametrize("written", [0, 1])
def test_a_kill_between_two_fields_changes_neither(tmp_path, written):
    """Of a trial that is sampled by TPE: what one field is does not depend on what was written down before."""
    plan = plan_of(search=(*SEARCH, "optimizer.weight_decay=0:0.01"), budget=9)
    searched(tmp_path / "out", plan)
    journal = Journal(tmp_path / "out", higher_is_better=False, evaluations=EPOCHS)
    journal.begin(plan.space, 0)
    trial = journal.ask()
    assert trial.number > 6, "the settings that were put down beforehand are over"
    shutil.copytree(tmp_path / "out", tmp_path / "killed")
    expected = plan.space.suggest(trial)
    again = Journal(tmp_path / "killed", higher_is_better=False, evaluations=EPOCHS)
    again.begin(plan.space, 0)
    for one in plan.space.searched[:written]:
        one.suggest(again.trial(trial.number), None)
    resumed = Journal(tmp_path / "killed", higher_is_better=False, evaluations=EPOCHS)
    resumed.begin(plan.space, 0)
    assert plan.space.suggest(resumed.trial(trial.number)) == expected


def test_half_a_line_of_a_killed_worker_does_not_spoil_the_next(tmp_path):
    journal = Journal(tmp_path, higher_is_better=False, evaluations=EPOCHS)
    journal.begin(plan_of().space, 0)
    first = journal.ask().number
    with open(tmp_path / JOURNAL, "ab") as file:
        file.write(b'{"op_code": 4, "worker')
    assert journal.ask().number == first + 1
    again = Journal(tmp_path, higher_is_better=False, evaluations=EPOCHS)
    assert [trial.state.name for trial in again.trials[:3]] == ["RUNNING", "RUNNING", "WAITING"]


def test_what_another_worker_is_training_is_not_trained_beside_it(tmp_path):
    plan = plan_of(search=("optimizer.momentum=0.0|0.5",), budget=50)
    (tmp_path / "out").mkdir()
    search = Search(plan, tmp_path / "out")
    jobs = search._jobs()
    assert [next(jobs).work.values["optimizer.momentum"] for _ in range(2)] == [0.0, 0.5]
    assert next(jobs, None) is None


def test_a_smaller_budget_begins_nothing(tmp_path):
    """Nor does it go on with what was open."""
    plan = plan_of(budget=4)
    (tmp_path / "out").mkdir()
    search = Search(plan, tmp_path / "out")
    next(search._jobs())
    search.run(Here())
    assert len(searched(tmp_path / "out", plan_of(budget=2)).trials) == len(search.trials)


def test_half_a_line_of_the_journal_is_dropped(tmp_path, whole):
    out = tmp_path / "out"
    first = searched(out, plan_of(budget=2)).trials
    journal = out / JOURNAL
    journal.write_bytes(journal.read_bytes() + b'{"op_code": 4, "worker')
    assert searched(out, plan_of(budget=3)).trials[:2] == first == whole.trials[:2]


def test_a_larger_budget_searches_on_as_if_it_had_been_so(tmp_path, whole):
    searched(tmp_path / "out", plan_of(budget=4))
    assert searched(tmp_path / "out", plan_of()).trials == whole.trials


def test_several_workers(tmp_path):
    search = searched(tmp_path / "out", plan_of(tuned=2, budget=8), Processes(2))
    trials = sorted(search.trials, key=lambda trial: trial.number)
    assert search.spent <= 8.0 and len(trials) >= 4
    assert [trial.number for trial in trials] == list(range(len(trials)))
    for trial in trials:
        if trial.ending == "finished":
            expected = [expected_score(trial.values["optimizer.lr"], seed) for seed in (10_000, 10_001)]
            assert trial.scores == pytest.approx(expected, abs=1e-5)


def test_settings_that_fail_are_told_and_not_fatal(tmp_path):
    """Batches of more than the eight samples cannot be trained with."""
    plan = plan_of(search=("batch_size=4|16|2|32",), budget=12)
    search = searched(tmp_path / "out", plan)
    by_size = {trial.values["batch_size"]: trial for trial in search.trials}
    assert {size: trial.ending for size, trial in by_size.items()} == {
        4: "finished", 2: "finished", 16: "failed", 32: "failed",
    }  # fmt: skip
    assert "cannot train on 8 samples with batches of 16" in by_size[16].reason
    assert by_size[16].runs == 1.0, "or it could be tried for ever"


def test_what_was_tried_is_not_trained_again_and_a_space_can_be_exhausted(tmp_path):
    search = searched(tmp_path / "out", plan_of(search=("optimizer.momentum=0.0|0.5",), budget=50))
    assert [trial.values["optimizer.momentum"] for trial in search.trials] == [0.0, 0.5]
    assert search.spent == 2.0


def test_scores_that_are_not_finite(tmp_path):
    config = planted(measure=Breaks, rate=0.05)
    search = searched(tmp_path / "out", plan_of(config, budget=12))
    diverged = [trial for trial in search.trials if trial.ending == "diverged"]
    assert diverged and all(trial.score is None for trial in diverged)
    assert any("validation_distance is not finite" in note for trial in diverged for note in trial.notes)
    assert all(trial.values["optimizer.lr"] > 0.08 for trial in diverged)
    assert json.loads((tmp_path / "out" / "trials" / f"{diverged[0].number:04}" / "result.json").read_text())


def test_a_run_that_was_begun_with_other_settings_is_not_taken(tmp_path, whole):
    run = tmp_path / "out" / "trials" / "0000" / "seed10000"
    run.mkdir(parents=True)
    (run / "config.json").write_text(json.dumps(planted(rate=0.3).to_json()))
    assert searched(tmp_path / "out", plan_of(budget=2)).trials == whole.trials[:2]
    assert read_config(run).optimizer.lr == 0.02


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"budget": 0}, "cannot tune with a budget of 0 runs, because .* over 1 seed take 2"),
        ({"budget": -3}, "cannot tune with a budget of -3 runs"),
        ({"budget": 5, "tuned": 3}, "over 3 seeds take 6; use a larger budget"),
        ({"tuned": 0}, "cannot tune over 0 seeds"),
    ],
)
def test_numbers_that_nothing_can_be_learned_from(changes, reason):
    with pytest.raises(ConfigurationError, match=reason):
        plan_of(**changes)


def test_a_confirmation_needs_an_interval():
    for confirmed in (1, 2, -1):
        with pytest.raises(ConfigurationError, match=f"cannot confirm over {confirmed} seeds"):
            make_plan(make_space(planted(), SEARCH), budget=8, tuned=1, confirmed=confirmed)


def test_processes_of_torchrun_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigurationError, match="cannot tune in several processes of torchrun"):
        plan_of()


def test_ctrl_c_keeps_what_has_ended(tmp_path, monkeypatch, whole):
    from samnesia.train import loop

    with monkeypatch.context() as patch:
        calls, train = iter(range(2)), loop.train

        def interrupted(*arguments, **options):
            if next(calls, None) is None:
                raise KeyboardInterrupt
            return train(*arguments, **options)

        patch.setattr(loop, "train", interrupted)
        with pytest.raises(
            KeyboardInterrupt, match="interrupted: 2 settings are done and kept; the same command goes on"
        ):
            tune(planted(), SEARCH, 4, tmp_path / "out", seeds=1, confirm=0, progress=False)
    content = json.loads((tmp_path / "out" / "tune.json").read_text())
    assert (len(content["trials"]), content["done"], content["recommended"]) == (2, False, None)
    tuning = tune(planted(), SEARCH, 4, tmp_path / "out", seeds=1, confirm=0, progress=False)
    assert list(tuning.trials) == whole.trials[:4]


def test_all_settings_can_fail(tmp_path):
    search = searched(tmp_path / "out", replace(plan_of(budget=3), space=make_space(broken(), SEARCH)))
    assert [trial.ending for trial in search.trials] == ["failed"] * 3


def broken():
    from tests.study.tune.planted import fails

    return planted(model=OwnModel(fails))
