"""Tuning as a whole: on validation alone, confirmed on fresh seeds, and said plainly what it came to."""

import io
import json
import re
from dataclasses import replace
from unittest.mock import patch

import pandas as pd
import pytest

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.design import Design, Factor, Measure
from samnesia.study.hypotheses import Difference
from samnesia.study.judging.statistics import Interval, mean_interval, paired_interval
from samnesia.study.judging.verdicts import judge
from samnesia.study.tune import Origin, tune
from samnesia.study.tune.confirmation import Change, Confirmation
from samnesia.study.tune.plan import Plan
from samnesia.study.tune.result import Trial, best_of
from samnesia.study.tune.run import TUNING
from samnesia.study.tune.show import confirmation_table, line, trials_table
from samnesia.study.tune.trial import Score, tuning_run
from samnesia.study.tune.tuning import Tuning
from samnesia.train.config import EMA, SAM, SWA, Digits, Images, RunConfig
from samnesia.train.log import read_result
from samnesia.train.loop import train
from samnesia.train.recipes import find
from tests.study.tune.planted import (
    SEARCH,
    Noise,
    failing,
    perturbed,
    planted,
    sealed,
    without_test,
    without_validation,
)


def quick(config, out, search=SEARCH, budget=5, **options):
    with patch("samnesia.study.tune.figure.write_figures"):  # a second each
        return tune(config, search, budget, out, **({"seeds": 1, "confirm": 0, "progress": False} | options))


def test_a_planted_difference_is_found_and_confirmed(tuned):
    assert abs(tuned.best.values["optimizer.lr"] / 0.05 - 1.0) < 0.3
    assert tuned.helps.verdict == "better" and tuned.helps.interval.high < 0.0
    assert tuned.recommended == tuned.best.values
    assert tuned.line == f"samnesia train my.py:planted --optimizer.lr {tuned.recommended['optimizer.lr']} --out DIR"
    assert "It is better." in str(tuned) and str(tuned).endswith(f"Use: {tuned.line}")


def test_the_confirmation_is_the_paired_interval_of_its_runs(tuned):
    table = pd.read_parquet(next(tuned.out.glob("confirmation/*/table.parquet")))
    assert set(table["setting"]) == {"recipe", "tuned"} and set(table["seed"]) == set(range(15_000, 15_004))
    scores = {arm: dict(zip(rows["seed"], rows["score"], strict=True)) for arm, rows in table.groupby("setting")}
    assert tuned.confirmation.scores == scores
    assert tuned.helps.interval == paired_interval(scores["tuned"], scores["recipe"])
    for path in tuned.out.glob("confirmation/*/cells/*"):
        run = read_result(path)
        assert run.judged_by["split"] == "test"
        last = run.curves["test_distance"][-2:]
        assert scores[path.name.partition("-")[0]][run.seed] == pytest.approx(sum(last) / 2)


def test_fresh_seeds_are_fresh(tuned):
    trained = {int(path.name.removeprefix("seed")) for path in tuned.out.glob("trials/*/seed*")}
    confirmed = {read_result(path).seed for path in tuned.out.glob("confirmation/*/cells/*")}
    assert trained == set(tuned.plan.seeds) and confirmed == set(tuned.confirmation.seeds) < set(tuned.plan.fresh)
    assert not trained & confirmed and not (trained | confirmed) & {*range(100), *range(1000, 1010)}


def test_everything_is_written_down(tuned):
    content = json.loads((tuned.out / TUNING).read_text())
    assert content == json.loads(json.dumps(tuned.to_json(done=True)))
    assert content["done"] and content["command"] == "as it was" and content["best"] == tuned.best.number
    assert [Trial.from_json(one) for one in content["trials"]] == list(tuned.trials)
    assert RunConfig.from_json(content["definition"]["config"]) == planted()
    assert content["confirmation"]["changes"]["recipe"]["verdict"] == "better"
    assert content["recommended"] == {"values": tuned.recommended, "command": tuned.line}
    assert {"torch", "samnesia", "commit", "hardware"} <= content["environment"].keys()
    for name in ("tune.png", "tune.svg"):
        assert (tuned.out / name).stat().st_size > 5000
    drawn = (tuned.out / "tune.svg").read_text()
    for word in ("optimizer.lr", "validation distance (mm)", "the recipe's own", "best", "given up"):
        assert word in drawn


def test_the_tables(tuned):
    from rich.console import Console

    console = Console(width=100, record=True, file=io.StringIO())
    console.print(trials_table(tuned))
    console.print(confirmation_table(tuned.confirmation))
    text = console.export_text()
    rows = text.splitlines()
    assert rows[0].split()[:2] == ["trial", "optimizer.lr"]
    assert rows[1].split()[0] == str(tuned.best.number) and rows[1].rstrip().endswith("best")
    assert "the recipe's own" in text and re.search(r" given up *\n", text)
    assert re.search(r"tuned +0\.\d+ ±0\.\d+ +4 of 4", text)
    lines = [line(tuned.plan, trial) for trial in tuned.trials]
    assert any(re.search(r", given up in seed [12] of 2 (after epoch \d+ of 10|at its end)$", one) for one in lines)
    assert line(tuned.plan, tuned.trials[0]).startswith("trial 0 (the recipe's own): optimizer.lr 0.02: 0.")


def test_the_same_call_again_trains_nothing(tuned, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a run was trained again")

    monkeypatch.setattr("samnesia.train.loop.train", refuse)
    monkeypatch.setattr("samnesia.train.loop.resume", refuse)
    again = tune(planted(), SEARCH, 17, tuned.out, seeds=2, confirm=4, progress=False, origin=tuned.origin,
                 command="as it was")  # fmt: skip
    assert again == tuned


def test_a_planted_null_is_within_noise(tmp_path, capsys):
    """The best of several looks better on the tuning seeds; on fresh ones it is not."""
    config = planted(measure=Noise)
    tuning = quick(config, tmp_path / "out", budget=6, confirm=4, progress=True)
    best, own = tuning.best, tuning.trials[0]
    assert best.number != 0 and best.score < own.score - 0.2
    assert tuning.helps.verdict == "noise" and tuning.recommended == tuning.plan.space.own
    said = capsys.readouterr().out
    assert "The difference is within noise." in said and ", where 0.025 is asked for)" in said
    assert "Keep the recipe's own values." in said


def test_where_nothing_matters_the_own_values_are_the_best(tmp_path):
    tuning = quick(planted(), tmp_path / "out", search=("clip_norm=None|1e6|1e7",), confirm=3)
    assert {trial.score for trial in tuning.trials} == {tuning.trials[0].score} and len(tuning.trials) == 3
    assert tuning.best.number == 0 and tuning.helps is None and tuning.recommended == {"clip_norm": None}
    assert "Nothing that was tried beats the recipe's own values, clip_norm None, on the tuning seeds." in str(tuning)


def test_a_perturbation_is_held_against_the_base_optimizer(tmp_path):
    tuning = quick(perturbed(), tmp_path / "out", search=(), budget=2, confirm=3)
    (space,) = tuning.plan.space.searched
    assert (space.name, space.low, space.high) == ("method.rho", 0.0125, 0.8)
    assert set(tuning.confirmation.scores) == {"tuned", "unperturbed"}, (
        "the best is the own: nothing else to hold it to"
    )
    assert tuning.confirmation.change("unperturbed").interval == Interval(0.0, None, None)
    assert "within noise, so that the perturbation is not shown to help here" in str(tuning)
    moved = quick(perturbed(), tmp_path / "more", search=("method.rho=0.05:0.2", *SEARCH), budget=4, confirm=3)
    assert set(moved.confirmation.scores) == {"recipe", "tuned", "unperturbed"}
    assert moved.confirmation.change("recipe").verdict == "better"
    runs = {path.name: read_result(path).config for path in tmp_path.glob("more/confirmation/*/cells/*")}
    for name, config in runs.items():
        rate = 0.02 if name.startswith("recipe") else moved.best.values["optimizer.lr"]
        assert config.optimizer.lr == rate
        assert isinstance(config.method, SAM) != name.startswith("unperturbed")


def test_the_test_split_is_not_looked_at(tmp_path):
    """It refuses to be; the search does not notice, a run that is evaluated on it does."""
    tuning = quick(planted(data=sealed), tmp_path / "out")
    assert {trial.ending for trial in tuning.trials} == {"finished"} and len(tuning.trials) == 5
    for path in tmp_path.glob("out/trials/*/seed*"):
        run = read_result(path)
        assert run.judged_by["split"] == "validation" and not any("test" in name for name in run.curves)
    with pytest.raises(AssertionError, match="the test split was looked at"):
        train(planted(data=sealed))
    failures = quick(planted(data=sealed), tmp_path / "out", confirm=3).confirmation.failures
    assert len(failures) == 6 and "the test split was looked at" in next(iter(failures.values()))


def test_a_run_without_the_test_split_is_that_run_otherwise():
    config = planted(seed=3)
    with_it, without = train(config), train(tuning_run(config, 3))
    assert with_it.curves["validation_distance"] == without.curves["validation_distance"]
    assert with_it.weight_norm == without.weight_norm
    assert [name for name in without.curves if "test" in name or "train" in name] == []


def test_without_a_test_split_it_is_said(tmp_path):
    tuning = quick(planted(data=without_test), tmp_path / "out", confirm=3)
    assert tuning.confirmation.score.curve == "validation_distance"
    assert "Judged on validation, because there is no test split" in str(tuning)


@pytest.mark.parametrize(
    ("data", "remedy"),
    [
        (None, "return one from the function of --data.function"),
        (Images(holdout=0), "as by --data.holdout 1000"),
    ],
)
def test_without_a_validation_split_it_refuses(tmp_path, monkeypatch, data, remedy):
    config = planted(data=without_validation)
    if data is not None:
        problem = config.data.load(0)
        monkeypatch.setattr(Images, "load", lambda self, seed: problem)
        config = replace(config, data=data)
    with pytest.raises(ConfigurationError, match=f"settings are chosen on validation, never on the test set.*{remedy}"):
        quick(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unconfirmed_it_says_so(tmp_path):
    tuning = quick(planted(), tmp_path / "out")
    assert tuning.confirmation is None and tuning.recommended == tuning.best.values != tuning.plan.space.own
    assert "It is not confirmed: the best of several looks better than it is." in str(tuning)
    assert tuning.line is None and "Use:" not in str(tuning), "nobody said where the configuration comes from"
    confirmed = quick(planted(), tmp_path / "out", confirm=3)
    assert confirmed.trials == tuning.trials and confirmed.helps.verdict == "better"


def test_when_everything_fails(tmp_path):
    with pytest.raises(ConfigurationError, match=r"no setting was trained to the end \(the first: .*no such luck"):
        quick(failing(), tmp_path / "out")


def test_another_search_in_the_same_place_is_refused(tmp_path):
    out = tmp_path / "out"
    first = quick(planted(), out, budget=2)
    before = (out / TUNING).read_bytes()
    for config, search, options in (
        (planted(rate=0.03), SEARCH, {}),
        (planted(), ("optimizer.lr=0.005:0.4:log",), {}),
        (planted(), SEARCH, {"seeds": 2}),
        (planted(seed=1), SEARCH, {}),
    ):
        with pytest.raises(ConfigurationError, match=r"because another one was begun there \(.* -> "):
            quick(config, out, search, **options)
    assert (out / TUNING).read_bytes() == before
    assert quick(planted(), out, budget=2) == first


def test_other_places_are_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigurationError, match="because it is a file"):
        quick(planted(), tmp_path / "file")
    with pytest.raises(ConfigurationError, match="the directory is not empty and holds no search"):
        quick(planted(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    with pytest.raises(ConfigurationError, match="cannot tune with 0 workers"):
        quick(planted(), tmp_path / "out", workers=0)


def test_the_score_of_a_run():
    score = Score("validation_accuracy", "%", True, 80)
    assert (score.averaged, Score("", "", True, 10).averaged, Score("", "", True, 1).averaged) == (5, 2, 1)
    assert score.after([50.0] * 75 + [60.0, 61.0, 62.0, 63.0, 64.0]) == 62.0
    assert score.after([10.0, 20.0]) == 15.0
    assert score.after([1.0, None, *[1.0] * 4]) != score.after([1.0] * 6) == 1.0
    assert score.words == "validation accuracy, mean of the last 5 evaluated epochs"


def test_an_average_is_what_a_run_is_scored_by():
    score = Score("validation_accuracy", "%", True, 80)
    ema, swa = (score.of(find(f"digits-noisy-{name}")) for name in ("ema", "swa"))
    assert (ema.averaged, swa.averaged, score.of(find("digits-noisy-sam"))) == (5, 1, score)
    late = replace(find("digits-noisy-ema"), average=EMA(start_epoch=78.0))
    assert score.of(late).averaged == 3, "after epochs 78, 79 and 80"
    assert swa.words == "validation accuracy of the average of the weights"
    average = {"average_validation_accuracy": [None, 5.0, 6.0]}
    curves = {"epoch": [0, 1, 2], "validation_accuracy": [1.0, 2.0, 3.0], **average}
    assert ema.figures(curves) == [1.0, 5.0, 6.0]
    never = {**curves, "average_validation_accuracy": [None] * 3}
    assert ema.figures(never) == [1.0, 2.0, None], "an average that never began is no score"


@pytest.mark.parametrize("average", [EMA(decay=0.5), EMA(decay=0.5, start_epoch=9.0), SWA(start_epoch=5.0)])
def test_trials_and_confirmation_are_scored_by_the_average(tmp_path, average):
    """In numbers that the weights do not have; SWA has figures after the last epoch alone, and nothing is given up."""
    tuning = quick(replace(planted(), average=average), tmp_path, budget=4, confirm=3)
    assert len(tuning.trials) >= 3 and tuning.best is not None
    last = 1 if isinstance(average, SWA) else 2
    finished = [trial for trial in tuning.trials if trial.ending == "finished"]
    for one in finished:
        (path,) = tmp_path.glob(f"*/*{one.number:04}*/seed*/result.json")
        run = read_result(path.parent)
        figures = run.curves["average_validation_distance"][-last:]
        assert one.score == pytest.approx(sum(figures) / last, rel=1e-12)
        assert figures[-1] != run.curves["validation_distance"][-1]
    for path in tmp_path.glob("confirmation/*/cells/*"):
        run = read_result(path)
        (arm, scores) = next(it for it in tuning.confirmation.scores.items() if path.name.startswith(it[0]))
        figures = run.curves["average_test_distance"][-last:]
        assert scores[run.seed] == pytest.approx(sum(figures) / last, rel=1e-12)
    assert all(len(scores) == 3 for scores in tuning.confirmation.scores.values())


def trial(number, score, ending="finished"):
    return Trial(number, {"x": number}, ending, score, (score,), 1.0, 0)


def test_the_best_is_the_first_of_equals_and_was_trained_to_the_end():
    trials = [trial(2, 0.5), trial(0, 0.5), trial(1, 0.9, "pruned"), trial(3, 0.4)]
    assert best_of(trials, higher_is_better=True).number == 0
    assert best_of(trials, higher_is_better=False).number == 3
    assert best_of([trial(1, 0.9, "pruned")], higher_is_better=True) is None


TUNED = {seed: 90.0 + 0.1 * seed for seed in range(6)}
NOTHING = {seed: 90.0 + 0.5 * (seed % 2) for seed in range(6)}


def changes_of(scores, *, higher=True):
    """What is said of these scores by arm and seed."""
    arms = tuple(scores)
    rows = [
        {"setting": arm, "seed": seed, "status": "finished", "directory": f"{arm}{seed}", "score": value}
        for arm, by in scores.items() for seed, value in by.items()
    ]  # fmt: skip
    primary = tuple(
        Difference(claim=f"better than {arm}", measure="score", treatment={"setting": "tuned"},
                   control={"setting": arm}, direction="higher" if higher else "lower")
        for arm in arms if arm != "tuned"
    )  # fmt: skip
    design = Design("tune", "?", (Factor("setting", arms),), (Measure("score", "score", "score"),), tuple(range(6)),
                    primary, compared="setting")  # fmt: skip
    columns = ["setting", "seed", "status", "directory", "score"]
    return [Change.of(one) for one in judge(design, pd.DataFrame(rows, columns=columns))]


@pytest.mark.parametrize(
    ("other", "higher", "verdict"),
    [
        ({seed: 88.0 + 0.12 * seed for seed in range(6)}, True, "better"),
        ({seed: 88.0 + 0.12 * seed for seed in range(6)}, False, "worse"),
        ({seed: 92.0 + 0.12 * seed for seed in range(6)}, True, "worse"),
        (NOTHING, True, "noise"),
        (TUNED, True, "noise"),
        ({0: 80.0, 1: 81.0}, True, "unknown"),
        ({}, True, "unknown"),
        ({seed: value - 1.0 for seed, value in TUNED.items()}, True, "unknown"),
    ],
)
def test_the_verdict(other, higher, verdict):
    (change,) = changes_of({"recipe": other, "tuned": TUNED}, higher=higher)
    assert (change.to, change.verdict) == ("recipe", verdict)
    assert change.interval == paired_interval(TUNED, other)


def test_the_verdict_is_that_of_the_study_with_all_its_hypotheses():
    """An interval that leaves zero out by little is noise where two claims are made, as in any other study."""
    gains = (0.1, 0.9, 0.3, 0.5, 0.0, 0.2)
    half = mean_interval(gains).high - mean_interval(gains).mean
    shift = mean_interval(gains).mean - 1.05 * half
    barely = {seed: TUNED[seed] - gain + shift for seed, gain in enumerate(gains)}
    (alone,) = changes_of({"recipe": barely, "tuned": TUNED})
    both = changes_of({"recipe": barely, "tuned": TUNED, "unperturbed": NOTHING})
    assert alone.verdict == "better" and alone.interval.excludes_zero
    assert both[0].interval == alone.interval and both[0].verdict == "noise"
    assert both[0].p == pytest.approx(2 * alone.p) and alone.p < 0.025 < both[0].p


def test_further_attempts_have_other_seeds_and_are_told(tmp_path):
    first = quick(planted(), tmp_path / "out", budget=2, confirm=3)
    again = quick(planted(), tmp_path / "out", budget=2, confirm=3)
    assert again.confirmation == first.confirmation and first.confirmation.seeds == (15_000, 15_001, 15_002)
    assert first.confirmation.notes == ()
    more = quick(planted(), tmp_path / "out", budget=9, confirm=3)
    assert more.best.number != first.best.number
    assert more.confirmation.seeds == (15_003, 15_004, 15_005)
    note = f"Trial {first.best.number} was confirmed before, on seeds 15000 to 15002. This is a further attempt"
    assert note in str(more) and json.loads((tmp_path / "out" / TUNING).read_text())["confirmation"]["notes"]
    larger = quick(planted(), tmp_path / "out", budget=9, confirm=4).confirmation
    assert larger.seeds == (15_003, 15_004, 15_005, 15_006)
    assert larger.notes[1].startswith("Seed 15006 came later, when 6 of these runs could be seen")
    fewer = quick(planted(), tmp_path / "out", budget=9, confirm=3).confirmation
    assert fewer == larger, "no seed that was looked at is left out"
    assert {len(scores) for scores in fewer.scores.values()} == {4}


def test_fresh_seeds_can_be_used_up(tmp_path):
    quick(planted(), tmp_path / "out", budget=2, confirm=3)
    with (
        patch.object(Plan, "fresh", range(15_000, 15_004)),
        pytest.raises(ConfigurationError, match="cannot confirm over 3 seeds, because earlier .* have left 1 fresh"),
    ):
        quick(planted(), tmp_path / "out", budget=9, confirm=3)


@pytest.mark.parametrize(
    ("verdict", "says", "uses"),
    [("better", "It is better.", "Use"), ("worse", "It is worse.", "Keep"), ("noise", "is within noise.", "Keep"),
     ("unknown", "Nothing can be said", "Keep")],
)  # fmt: skip
def test_what_is_recommended(tuned, verdict, says, uses):
    change = Change("recipe", Interval(1.0, -1.0, 3.0), verdict, 0.3)
    confirmation = replace(tuned.confirmation, changes=(change,))
    assert isinstance(confirmation, Confirmation)
    tuning = Tuning(tuned.out, tuned.plan, tuned.trials, confirmation, tuned.origin)
    assert " Test distance, mean of the last 2 evaluated epochs: +1.0 mm (95 % interval " in str(tuning)
    assert "adjusted p = 0.3, where 0.025 is asked for" in str(tuning)
    assert says in str(tuning) and f"\n{uses}: samnesia train my.py:planted" in str(tuning)
    assert ("--optimizer.lr" in tuning.line) == (uses == "Use")


def test_no_perturbation_is_recommended_where_it_hurts(tuned):
    changes = tuple(Change(to, Interval(1.0, 0.5, 1.5), "worse", 0.01) for to in ("recipe", "unperturbed"))
    tuning = Tuning(tuned.out, tuned.plan, tuned.trials, replace(tuned.confirmation, changes=changes), tuned.origin)
    end = str(tuning).splitlines()[-1]
    assert end.startswith("Rather train without one (--method.kind Unperturbed); of those that perturb, keep: samnesia")


def test_a_best_at_the_end_of_its_range_is_said(tuned):
    for rate, said in ((0.49, True), (0.3, False), (0.0051, True)):
        trials = (tuned.trials[0], Trial(1, {"optimizer.lr": rate}, "finished", 0.0, (0.0,), 1.0, 0))
        text = str(Tuning(tuned.out, tuned.plan, trials))
        assert (f"optimizer.lr {rate:g} is at the end of what was searched; search further." in text) == said


def test_commands_that_are_recommended_make_the_configuration():
    base = find("digits-noisy-sam")
    config = replace(
        base, data=Digits(flipped=0.2), method=SAM(rho=0.17), optimizer=replace(base.optimizer, nesterov=True),
        model=replace(base.model, channels=(8, 16)), clip_norm=1.0,
    )  # fmt: skip
    words = Origin("digits-noisy-sam", base).options(config)
    assert " ".join(words) == (
        "--data.flipped 0.2 --model.channels 8 16 --optimizer.nesterov --method.rho 0.17 --clip-norm 1"
    )
    assert Origin("digits-noisy-sam", base).command(base) == "samnesia train digits-noisy-sam --out DIR"
