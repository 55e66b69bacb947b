"""compare(): what runs, what is kept, what is refused, and that seeds are paired in truth."""

import contextlib
import hashlib
import json
import re
import shlex

import joblib
import pytest
import torch

from samnesia.data import loader
from samnesia.perturb.errors import ConfigurationError, RunStopped
from samnesia.study import report
from samnesia.study.comparison.arms import all_named, arms_of, override
from samnesia.study.comparison.budgets import EqualGradients, EqualSeconds
from samnesia.study.comparison.compare import compare, comparison
from samnesia.study.engine.run import read_results
from samnesia.study.training import Training
from samnesia.train import config as train_config
from samnesia.train import loop, recipes
from samnesia.train.log import locked, read_config
from samnesia.train.parts.averages import SWA
from samnesia.train.parts.methods import METHODS, method_name
from tests.study.study_files import write_run


@pytest.fixture(autouse=True)
def no_image_files(monkeypatch):
    """The report is written, but for its image files, which cost most of its time."""
    monkeypatch.setattr(report, "_write_files", lambda *files: None)


@pytest.fixture
def trained(monkeypatch):
    """Cells that were trained, in order, by a trainer that only writes down a made-up result."""
    cells = []

    def train(work, directory):
        cells.append((method_name(work.config.method), work.config.seed))
        write(work, directory)

    monkeypatch.setattr(Training, "run", train)
    return cells


def write(work, directory):
    write_run(directory, work.config, method_name(work.config.method))


def run(out, methods=("sgd", "sam"), seeds=range(2), **options):
    return compare("digits-noisy", methods, out=out, seeds=seeds, workers=1, **options)


def test_every_cell_runs_seed_by_seed_and_the_files_are_written(trained, tmp_path, capsys):
    summary = run(tmp_path / "out")
    assert trained == [("sgd", 0), ("sam", 0), ("sgd", 1), ("sam", 1)]
    assert json.loads((tmp_path / "out" / "compare.json").read_text()) == summary
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000
    assert summary["command"].startswith("samnesia compare digits-noisy --methods sgd sam --seeds 2 --out ")
    output = capsys.readouterr().out
    assert "1/4 sgd, seed 0: test accuracy, last epoch " in output
    assert max(map(len, output.split("Report:")[0].splitlines())) <= 80
    assert "report.html" in output


def test_a_second_call_runs_only_what_is_missing(trained, tmp_path, capsys):
    run(tmp_path)
    (tmp_path / "cells" / "sam-seed1" / "result.json").unlink()
    trained.clear()
    run(tmp_path)
    assert trained == [("sam", 1)]
    assert "3 of 4 runs are finished already" in capsys.readouterr().out
    trained.clear()
    run(tmp_path, methods=("sgd", "sam", "obf"), seeds=range(3))
    assert trained == [("obf", 0), ("obf", 1), ("sgd", 2), ("sam", 2), ("obf", 2)]


def test_another_configuration_is_refused_and_nothing_is_touched(trained, tmp_path):
    run(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ConfigurationError, match=re.escape("epochs: 80 -> 5")):
        run(tmp_path, seeds=range(3), overrides={"epochs": 5})
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_failed_run_is_reported_the_rest_goes_on_and_the_next_call_tries_again(monkeypatch, tmp_path, capsys):
    def fails_once(work, directory):
        if (work.config.recipe, work.config.seed) == ("digits-noisy-sam", 0):
            raise RuntimeError("too hot")
        write(work, directory)

    monkeypatch.setattr(Training, "run", fails_once)
    summary = run(tmp_path)
    assert summary["failures"] == [{"method": "sam", "seed": 0, "reason": "RuntimeError: too hot"}]
    assert summary["methods"][1]["score"]["last"]["per_seed"][0] is None
    assert "SAM, seed 0, failed: RuntimeError: too hot" in capsys.readouterr().out
    assert "RuntimeError: too hot" in (tmp_path / "report.html").read_text()

    monkeypatch.setattr(Training, "run", write)
    assert run(tmp_path, progress=False)["failures"] == []
    assert capsys.readouterr().out == ""


def test_when_every_run_fails_the_reason_is_in_the_error(monkeypatch, tmp_path):
    def fails(work, directory):
        raise RuntimeError("too hot")

    monkeypatch.setattr(Training, "run", fails)
    with pytest.raises(
        ConfigurationError, match="the first failure: cells/sgd-seed0, .* failed: RuntimeError: too hot"
    ):
        run(tmp_path)


def test_an_interruption_says_what_is_kept(monkeypatch, tmp_path):
    def interrupted(work, directory):
        if work.config.seed == 1:
            raise KeyboardInterrupt
        write(work, directory)

    monkeypatch.setattr(Training, "run", interrupted)
    with pytest.raises(KeyboardInterrupt, match="interrupted: 2 of 4 runs are finished and kept"):
        run(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"methods": ()}, "cannot compare without methods"),
        ({"methods": ("sgd", "sgd")}, "methods sgd sgd"),
        ({"seeds": ()}, "cannot compare without seeds"),
        ({"seeds": (1, 1)}, "seeds 1 1"),
        ({"seeds": (-1,)}, "seed -1"),
        ({"methods": ("sgd", "samm")}, "did you mean 'sam'"),
        ({"overrides": {"epochs": 3}}, "cannot compare sam over 3 epochs, because a perturbation after 4"),
        ({"overrides": {"when.stop_epoch": 1.0}}, "falls on none of its steps"),
        ({"overrides": {"epoch": 3}}, "did you mean 'epochs'"),
        ({"overrides": {"optimizer.lt": 3}}, "did you mean 'lr'"),
        ({"overrides": {"epochs.lr": 3}}, "cannot set epochs.lr"),
        ({"overrides": {"seed": 3}}, "give seeds instead"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(trained, tmp_path, arguments, sentence):
    with pytest.raises(ConfigurationError, match=re.escape(sentence)):
        run(tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()
    assert trained == []


def test_a_second_process_is_refused(trained, tmp_path):
    run(tmp_path)
    with locked(tmp_path, what="study"), pytest.raises(ConfigurationError, match="another process is at work on it"):
        run(tmp_path)


def test_bad_workers_are_refused(trained, tmp_path):
    with pytest.raises(ConfigurationError, match="cannot run with 0 workers"):
        compare("digits-noisy", ("sgd",), out=tmp_path, seeds=range(1), workers=0)


def test_a_directory_that_holds_something_else_is_refused(trained, tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ConfigurationError, match="not empty and holds no study"):
        run(tmp_path)
    with pytest.raises(ConfigurationError, match="is a file"):
        run(tmp_path / "thesis.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_seeds_that_are_no_range_make_a_command_in_python(trained, monkeypatch, tmp_path):
    summary = run(tmp_path, seeds=(7, 3), overrides={"epochs": 5}, progress=False)
    *words, call = shlex.split(summary["command"])
    assert words == ["python", "-c"]
    monkeypatch.setattr(Training, "run", None)  # every run is finished
    exec(call, {})
    assert json.loads((tmp_path / "compare.json").read_text()) == summary


def test_overrides_are_said_on_the_command_line(trained, tmp_path):
    values = {"epochs": 5, "optimizer.lr": 0.1, "hardware.accelerator": "cpu"}
    command = run(tmp_path / "one", overrides=values, progress=False)["command"]
    assert shlex.split(command) == [
        *("samnesia", "compare", "digits-noisy", "--methods", "sgd", "sam", "--seeds", "2", "--epochs", "5"),
        *("--set", "optimizer.lr=0.1", "--set", 'hardware.accelerator="cpu"', "--out", str(tmp_path / "one")),
    ]
    more = {"equal": EqualGradients(), "smallest": 0.12345678}
    command = run(tmp_path / "two", progress=False, **more)["command"]
    assert command.startswith("samnesia compare digits-noisy --methods sgd sam --seeds 2 --equal gradients --smallest ")
    assert " --smallest 0.12345678 --out " in command
    call = shlex.split(run(tmp_path / "three", seeds=(4,), progress=False, **more)["command"])[-1]
    assert call.startswith(
        "from samnesia.study.comparison.compare import compare; from samnesia.study.comparison.budgets import EqualGrad"
    )
    assert call.endswith(", equal=EqualGradients(), smallest=0.12345678)")


def test_overrides_reach_every_run_and_nothing_else():
    values = {"epochs": 5, "optimizer.lr": 0.2}
    study = study_of(("sgd", "sam"), seeds=(4,), overrides=values)
    for method in ("sgd", "sam"):
        config = study.work({"method": method}, 4).config
        assert config == override(recipes.find(f"digits-noisy-{method}"), values | {"seed": 4})
        assert (config.epochs, config.optimizer.lr, config.seed) == (5, 0.2, 4)
        assert config.optimizer.momentum == 0.9


def study_of(methods, *, seeds=(0,), overrides=None, **options):
    arms = arms_of("digits-noisy", methods, seeds=seeds, overrides=overrides or {})
    return comparison("digits-noisy", arms, seeds, **options)


def test_methods_of_one_seed_share_data_initial_weights_and_order(monkeypatch, tmp_path):
    seen = []  # for each run, digests of the data, of the initial weights, and of the order of each epoch
    load, build, permutation = train_config.Digits.load, train_config.CNN.build, loader.permutation

    def recorded_load(data, seed):
        splits = load(data, seed)
        parts = (splits.train, splits.validation, splits.test)
        seen.append([digest(*(tensor for part in parts for tensor in (part.inputs, part.labels, part.clean_labels)))])
        return splits

    def recorded_build(model, *arguments):
        network = build(model, *arguments)
        seen[-1].append(digest(*network.state_dict().values()))
        return network

    def recorded_permutation(count, *, key):
        order = permutation(count, key=key)
        if (one := digest(torch.from_numpy(order))) not in seen[-1]:  # an order may be asked for again
            seen[-1].append(one)
        return order

    monkeypatch.setattr(train_config.Digits, "load", recorded_load)
    monkeypatch.setattr(train_config.CNN, "build", recorded_build)
    monkeypatch.setattr(loader, "permutation", recorded_permutation)
    methods = ("sgd", "sam", "asam", "gsam", "obf", "random")
    run(tmp_path, methods=methods, progress=False, overrides={"epochs": 2, "when.start_epoch": 0.0})
    seen = seen[1:]  # the first time, the data are only counted
    first, second = seen[: len(methods)], seen[len(methods) :]
    assert all(len(run) == 4 for run in seen)
    assert all(run == first[0] for run in first)
    assert all(run == second[0] for run in second)
    assert all(one != other for one, other in zip(first[0], second[0], strict=True))


def test_the_number_of_workers_changes_no_result(tmp_path):
    for workers in (1, 2):
        compare(
            "digits-noisy",
            ("sgd", "obf"),
            out=tmp_path / str(workers),
            seeds=(3,),
            workers=workers,
            progress=False,
            overrides={"epochs": 1, "when.start_epoch": 0.0},
        )
    joblib.externals.loky.get_reusable_executor().shutdown(wait=True)
    one, two = (
        {path.parent.name: json.loads(path.read_text())["curves"] for path in (tmp_path / name).glob("*/*/result.json")}
        for name in ("1", "2")
    )
    assert len(one) == 2
    assert one == two


@pytest.fixture
def own_file(tmp_path):
    path = tmp_path / "own_runs.py"
    path.write_text(
        """
from samnesia.train.config import Perturbed, RunConfig
from samnesia.train.parts.methods import SAM, Unperturbed

def run(method):
    return RunConfig("mine", method=method, epochs=6, when=Perturbed(start_epoch=4))

def sgd():
    return run(Unperturbed())

def wide_sam():
    return run(SAM(rho=0.3))
"""
    )
    return path


def test_the_functions_of_a_file_are_compared(trained_own, own_file, tmp_path):
    out = tmp_path / "out"
    summary = compare(str(own_file), ("sgd", "wide-sam"), out=out, seeds=range(2), workers=1, progress=False)
    assert trained_own == [("own_runs:sgd", 0), ("own_runs:wide_sam", 0), ("own_runs:sgd", 1), ("own_runs:wide_sam", 1)]
    assert (summary["recipe"], [row["method"] for row in summary["methods"]]) == ("own_runs", ["sgd", "wide-sam"])
    assert summary["command"] == f"samnesia compare {own_file} --methods sgd wide-sam --seeds 2 --out {out}"
    assert report.write_report(out)["recipe"] == "own_runs"


@pytest.fixture
def trained_own(monkeypatch):
    cells = []

    def train(work, directory):
        cells.append((work.config.recipe, work.config.seed))
        write_run(directory, work.config, "sgd")

    monkeypatch.setattr(Training, "run", train)
    return cells


@pytest.mark.parametrize(
    ("methods", "overrides", "sentence"),
    [
        (("sgd", "samm"), {}, "cannot make a run by 'samm', because"),
        (("sgd", "wide-sam"), {"epochs": 4}, "cannot compare wide-sam over 4 epochs, because a perturbation"),
    ],
)
def test_what_a_file_lacks_is_told_before_anything_runs(own_file, tmp_path, methods, overrides, sentence):
    with pytest.raises(ConfigurationError, match=re.escape(sentence)):
        compare(str(own_file), methods, out=tmp_path / "out", seeds=range(2), overrides=overrides)
    assert not (tmp_path / "out").exists()


def test_data_are_loaded_once_and_what_they_lack_is_told_first(monkeypatch):
    seen = []
    load = train_config.Digits.load
    monkeypatch.setattr(train_config.Digits, "load", lambda data, seed: seen.append(seed) or load(data, seed))
    study_of(("sgd", "sam", "obf"), seeds=(3, 4), equal=EqualGradients())
    assert seen == [3]


def test_an_incomplete_last_batch_is_a_step_where_it_is_kept():
    """800 samples in batches of 500: the second of two steps is perturbed; where the rest is dropped, there is one."""
    values = {"batch_size": 500, "epochs": 1, "when.start_epoch": 0.5}
    study_of(("sam",), overrides=values | {"drop_last": False})
    with pytest.raises(ConfigurationError, match="falls on none of its steps"):
        study_of(("sam",), overrides=values)


def test_an_interrupted_run_goes_on(tmp_path):
    """It was stopped after its first epoch; the second call makes the rest, to the same figures."""
    values = {"epochs": 3, "when.start_epoch": 0.0}
    config = study_of(("sam",), overrides=values).work({"method": "sam"}, 0).config
    directory = tmp_path / "cut" / "cells" / "sam-seed0"
    with pytest.raises(RunStopped):
        loop.train(config, directory, stop=iter([False] * 12 + [True]).__next__)
    before = (directory / "metrics.jsonl").read_text()
    for name in ("cut", "whole"):
        run(tmp_path / name, ("sam",), range(1), progress=False, overrides=values)
    cut, whole = (
        json.loads((tmp_path / name / "cells" / "sam-seed0" / "result.json").read_text())["curves"]
        for name in ("cut", "whole")
    )
    assert cut == whole
    assert (directory / "metrics.jsonl").read_text().startswith(before)
    assert before.count("\n") == 1


def test_threads_have_an_option_on_the_command_line(trained, tmp_path):
    command = run(tmp_path, overrides={"hardware.threads": 2}, progress=False)["command"]
    assert " --seeds 2 --threads 2 --out " in command


def digest(*tensors):
    return hashlib.sha256(b"".join(tensor.contiguous().numpy().tobytes() for tensor in tensors)).hexdigest()


def test_every_other_method_gets_a_verdict_by_holm(trained, tmp_path, capsys):
    """The made-up courses differ by 14 points at the end, with a spread of half a point."""
    run(tmp_path, ("sgd", "sam", "obf"), range(4))
    design = read_results(tmp_path).design
    assert [one.treatment["method"] for one in design.primary] == ["sam", "obf"]
    assert {(one.measure, one.direction, one.smallest) for one in design.primary} == {
        ("last test accuracy", "higher", 0.0)
    }
    text = " ".join(capsys.readouterr().out.split())
    assert "Ending above SGD in test accuracy, last epoch: supported for SAM and OBF (Holm over 2 methods, err" in text
    run(tmp_path / "other", ("sam", "sgd", "obf"), range(4), smallest=2.0)
    text = " ".join(capsys.readouterr().out.split())
    assert "Ending above SAM by 2 points or more in test accuracy, last epoch: contradicted for SGD and OBF (" in text


def test_what_is_measured_is_what_the_data_have():
    def values(problem, **overrides):
        arms = arms_of(problem, ("sgd",), seeds=(0,), overrides=overrides)
        return [measure.value for measure in comparison(problem, arms, (0,)).design.measures]

    costs = ["gradient_evaluations", "seconds"]
    accuracies = ["last.test_accuracy", "best.test_accuracy"]
    assert values("digits") == [*accuracies, *costs]
    assert values("digits-noisy") == [*accuracies, "last.flipped_fitted", "best.flipped_fitted", *costs]
    assert values("digits", **{"evaluation.test": False})[:2] == [
        "last.validation_accuracy",
        "best.validation_accuracy",
    ]
    marks = values("digits", **{"data.marks": 0.9})
    assert "last.test_mark_followed" in marks and "best.test_mark_wrong_accuracy" in marks


def test_measures_are_those_of_finished_runs(trained, tmp_path):
    run(tmp_path, progress=False)
    results = read_results(tmp_path)
    for measure in results.design.measures:
        assert results.table[measure.value].notna().all(), measure


def test_methods_that_differ_in_more_than_the_method_are_refused(trained, tmp_path):
    path = tmp_path / "unlike.py"
    path.write_text(
        """
from samnesia.train.config import SAM, RunConfig

def sgd():
    return RunConfig("mine")

def sam():
    return RunConfig("mine", method=SAM(), batch_size=40)
"""
    )
    with pytest.raises(ConfigurationError, match=re.escape("theirs differ (batch_size: 80 -> 40); make them equal")):
        compare(str(path), ("sgd", "sam"), out=tmp_path / "out", seeds=(0,))


UNEQUAL = """
from samnesia.train.config import SAM, RunConfig

def sgd():
    return RunConfig("mine", epochs=40)

def sam():
    return RunConfig("mine", method=SAM(), epochs=20)
"""


def test_all_stands_for_all_others_of_the_problem(trained, tmp_path):
    """Runs are made up: that each of them trains is tested elsewhere."""
    summary = run(tmp_path, ("sgd", "all"), (0,), progress=False)
    names = [row["method"] for row in summary["methods"]]
    assert names == [one.removeprefix("digits-noisy-") for one in recipes.RECIPES if one.startswith("digits-noisy-")]
    assert {*METHODS, "sam-steps", "obf-steps", "ema", "swa", "smoothing"} == {*names} and len(names) > 40
    assert {name for name, _ in trained} >= {*METHODS}
    assert " --methods sgd sam asam gsam obf random sam-steps " in summary["command"]
    assert len(read_results(tmp_path).design.primary) == len(names) - 1


@pytest.mark.parametrize(
    ("problem", "methods", "found"),
    [
        ("digits", ("all",), "sgd sam asam gsam obf random"),
        ("digits", ("random", "all"), "random sgd sam asam gsam obf"),
        ("digits", ("all", "sam"), "sgd asam gsam obf random sam"),
        ("kwon-wrn-28-10-cifar10", ("all",), "sgd sam asam asam-eta0"),
        ("zhou-wrn-16-8-cifar10", ("all",), "sgd sam asam"),
        ("vani-resnet-50", ("sgd", "obf"), "sgd obf"),
    ],
)
def test_all_are_those_of_the_problem_and_of_no_longer_one(problem, methods, found):
    assert " ".join(all_named(problem, methods)) == found


def test_all_of_a_file_or_of_no_problem_are_refused(own_file):
    with pytest.raises(ConfigurationError, match="cannot compare all methods of .*py, because not every function"):
        all_named(str(own_file), ("all",))
    with pytest.raises(ConfigurationError, match="cannot compare on problem 'digits-nosy', because .*'digits-noisy'"):
        all_named("digits-nosy", ("all",))


def test_an_average_is_judged_by_its_weights_and_the_report_says_so(tmp_path):
    values = {"epochs": 2, "when.start_epoch": 0.0, "data.train": 160}
    summary = run(tmp_path, ("sgd", "ema", "smoothing"), (0,), progress=False, overrides=values)
    rows = {row["method"]: row for row in summary["methods"]}
    for method, prefix in (("sgd", ""), ("ema", "average_"), ("smoothing", "")):
        curves = json.loads((tmp_path / "cells" / f"{method}-seed0" / "result.json").read_text())["curves"]
        assert rows[method]["score"]["last"]["per_seed"] == [curves[f"{prefix}test_accuracy"][-1]]
        assert rows[method]["flipped_fitted"]["last"]["per_seed"] == [curves[f"{prefix}flipped_fitted"][-1]]
    assert rows["ema"]["score"] != rows["sgd"]["score"] != rows["smoothing"]["score"]
    page = (tmp_path / "report.html").read_text()
    assert "Of EMA it is that of the average of the weights, also where the best epoch is chosen." in page


def test_an_average_that_would_not_begin_is_refused(trained, tmp_path):
    sentence = "cannot compare swa over 20 epochs, because it is judged by an average of its weights"
    with pytest.raises(ConfigurationError, match=f"^{sentence}") as caught:
        run(tmp_path / "out", ("sgd", "swa"), overrides={"epochs": 20})
    assert "(--set swa:average.start_epoch=10), or leave it out (--except swa)" in str(caught.value)
    assert trained == [] and not (tmp_path / "out").exists()
    run(tmp_path / "out", ("sgd", "swa"), overrides={"epochs": 20, "swa:average.start_epoch": 10}, progress=False)
    assert read_config(tmp_path / "out" / "cells" / "swa-seed0").average == SWA(start_epoch=10.0)


def test_a_perturbation_that_would_not_begin_is_refused_with_its_name(trained, tmp_path):
    with pytest.raises(ConfigurationError, match=r"^cannot compare sam over 3 epochs, .*\(--set when.start_epoch=0\)"):
        run(tmp_path / "out", overrides={"epochs": 3})
    own = {"epochs": 1, "when.start_epoch": 0, "data.train": 160}
    with pytest.raises(ConfigurationError, match=r"^cannot compare sam-late .*\(--set sam-late:method.start=0.5\)"):
        run(tmp_path / "out", ("sgd", "sam-late"), overrides=own)
    run(tmp_path / "out", ("sgd", "sam-late"), overrides={**own, "sam-late:method.start": 0.5}, progress=False)


def test_what_one_method_has_is_set_for_it_alone():
    values = {"epochs": 9, "sam:method.rho": 0.3, "gsam:method.rho": 0.1}
    arms = arms_of("digits-noisy", ("sgd", "sam", "gsam"), seeds=(0,), overrides=values)
    assert (arms["sam"].method.rho, arms["gsam"].method.rho) == (0.3, 0.1)
    assert {config.epochs for config in arms.values()} == {9}


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"average.start_epoch": 1}, "because sgd has no such setting; .* as in --set swa:average.start_epoch=1$"),
        ({"sawm:method.rho": 1}, "cannot set method.rho for 'sawm', because it is none of .*; did you mean 'sam'?"),
        ({"sgd:method.rho": 1}, "cannot set method.rho, because there is no such field; it has none"),
        ({"sam:seed": 1}, "cannot override seed in a comparison"),
        ({"sam:optimizer.lr": 1}, "because a comparison requires equal settings"),
    ],
)
def test_settings_that_methods_do_not_have_are_refused(overrides, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        arms_of("digits-noisy", ("sgd", "sam", "swa"), seeds=(0,), overrides=overrides)


def test_methods_are_left_out():
    everything = all_named("digits-noisy", ("sgd", "all"))
    assert all_named("digits-noisy", ("sgd", "all"), ("swa", "ema")) == tuple(
        one for one in everything if one not in ("swa", "ema")
    )
    with pytest.raises(ConfigurationError, match="cannot leave out 'swe', because .*; did you mean 'swa'?"):
        all_named("digits-noisy", ("sgd", "swa"), ("swe",))


def test_unequal_epochs_are_refused_at_equal_steps_and_made_equal_otherwise(trained_own, tmp_path):
    path = tmp_path / "unequal.py"
    path.write_text(UNEQUAL)
    with pytest.raises(
        ConfigurationError, match=re.escape("cannot compare sgd over 40 epochs (400 steps) with sam ov")
    ):
        compare(str(path), ("sgd", "sam"), out=tmp_path / "out", seeds=(0,))
    assert not (tmp_path / "out").exists()
    options = {"out": tmp_path / "out", "seeds": (0,), "workers": 1, "progress": False}
    summary = compare(str(path), ("sgd", "sam"), equal=EqualGradients(), **options)
    assert [row["config"]["epochs"] for row in summary["methods"]] == [40, 20]


def test_at_equal_gradients_every_method_takes_as_many(tmp_path):
    """Trained for real; the second call finds the same epochs, and everything finished."""
    values = {"epochs": 3, "when.start_epoch": 1.0, "batch_size": 200, "schedule.warmup_epochs": 0.5}
    options = {"progress": False, "overrides": values, "equal": EqualGradients()}
    summary = run(tmp_path, ("sgd", "sam", "random"), (0,), **options)
    assert {row["method"]: row["config"]["epochs"] for row in summary["methods"]} == {"sgd": 5, "sam": 3, "random": 5}
    assert [row["gradient_evaluations"] for row in summary["methods"]] == [20, 20, 20]
    note, _ = read_results(tmp_path).design.notes
    assert note == (
        "Every method gets as many gradient evaluations, to the nearest whole epoch: "
        "sgd 5 epochs instead of 3 (20), sam 3 epochs (20), random 5 epochs instead of 3 (20)."
    )
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")}
    run(tmp_path, ("sgd", "sam", "random"), (0,), **options)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")} == before
    with pytest.raises(ConfigurationError, match="epochs: 5 -> 3"):
        run(tmp_path, ("sgd", "sam", "random"), (0,), progress=False, overrides=values)


class Clock:
    """Seconds per epoch by the kind of method, and how often they were asked for."""

    def __init__(self, **seconds):
        self.seconds, self.asked = seconds, 0

    def __call__(self, config):
        self.asked += 1
        return self.seconds[type(config.method).__name__]


def epochs(summary):
    return {row["method"]: row["config"]["epochs"] for row in summary["methods"]}


def test_a_calibration_is_written_down_and_used_again(trained, tmp_path, capsys):
    first, later = Clock(Unperturbed=1.0, SAM=2.5), Clock(Unperturbed=9.0, SAM=9.0, OBF=4.0)
    found = epochs(run(tmp_path, equal=EqualSeconds(first)))
    assert capsys.readouterr().out.startswith("Measuring the seconds of an epoch of sgd, sam on this machine.\n1/4 ")
    assert found == {"sgd": 80 + round(76 * 1.5), "sam": 80} and first.asked
    kept = (tmp_path / "calibration.json").read_bytes()
    assert epochs(run(tmp_path, seeds=range(3), equal=EqualSeconds(later))) == found
    assert "Measuring" not in capsys.readouterr().out
    assert (later.asked, (tmp_path / "calibration.json").read_bytes()) == (0, kept)
    more = epochs(run(tmp_path, ("sgd", "sam", "obf"), range(3), progress=False, equal=EqualSeconds(later)))
    assert {**more, "obf": None} == {**found, "obf": None}
    assert more["obf"] < 80  # by its own clock, which is that of a slower machine
    assert [cell for cell in trained if cell[0] == "obf"] == [("obf", seed) for seed in range(3)]


def test_a_calibration_that_results_stand_on_stays(trained, tmp_path):
    """Other epochs are measured anew, refused for the results that are there, and leave the old calibration."""
    clock = Clock(Unperturbed=1.0, SAM=2.0)
    run(tmp_path, progress=False, equal=EqualSeconds(clock))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ConfigurationError, match="epochs: 156 -> 76"):
        run(tmp_path, progress=False, equal=EqualSeconds(clock), overrides={"epochs": 40})
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("held", [False, True])
def test_of_two_that_measure_in_one_directory_at_once_one_wins(trained, tmp_path, held):
    """The other one is at work there, or has written its numbers down and is about to begin."""
    out, clock = tmp_path / "out", Clock(Unperturbed=1.0, SAM=2.0)
    open_ = contextlib.ExitStack()

    def measured_by_another(config):
        if not out.exists():
            (out / "cells").mkdir(parents=True)
            (out / "calibration.json").write_text('{"target": 1.0}')
            if held:
                open_.enter_context(locked(out, what="study"))
        return clock(config)

    sentence = "another process is at work on it" if held else "another process has measured them there in the meantime"
    with open_, pytest.raises(ConfigurationError, match=sentence):
        run(out, equal=EqualSeconds(measured_by_another))
    assert (out / "calibration.json").read_text() == '{"target": 1.0}' and trained == []
    assert not list(out.glob(".calibration*"))


def test_a_directory_of_something_else_is_refused_before_anything_is_measured(tmp_path):
    (tmp_path / "thesis.tex").touch()
    clock = Clock(Unperturbed=1.0, SAM=2.0)
    with pytest.raises(ConfigurationError, match="not empty and holds no study"):
        run(tmp_path, equal=EqualSeconds(clock))
    assert clock.asked == 0


def test_another_smallest_difference_is_refused_once_there_are_results(trained, tmp_path):
    run(tmp_path, progress=False)
    with pytest.raises(ConfigurationError, match=re.escape("smallest: 0.0 -> 1.0")):
        run(tmp_path, progress=False, smallest=1.0)


def test_what_is_added_is_written_down(trained, tmp_path):
    run(tmp_path, progress=False)
    run(tmp_path, ("sgd", "sam", "obf"), range(3), progress=False)
    says = [change.says for change in read_results(tmp_path).history]
    assert says[0] == "defined" and {"seed 2 added", "level 'obf' added to the factor method"} <= {*says}
    with pytest.raises(ConfigurationError, match="its definition has changed since its first result"):
        run(tmp_path, ("sam", "sgd", "obf"), progress=False)


def test_the_runs_of_an_earlier_version_are_kept(trained, tmp_path):
    """Of one whose study.json held no design: that file is to be removed, and nothing runs again."""
    study = study_of(("sgd", "sam"), seeds=(0, 1))
    for seed in (0, 1):
        for method in ("sgd", "sam"):
            write(study.work({"method": method}, seed), tmp_path / "cells" / f"{method}-seed{seed}")
    asked = {"recipe": "digits-noisy", "methods": ["sgd", "sam"], "seeds": [0, 1], "command": "samnesia compare it"}
    (tmp_path / "study.json").write_text(json.dumps(asked))
    with pytest.raises(ConfigurationError, match="remove this one file and run the same command again, which keeps"):
        run(tmp_path)
    (tmp_path / "study.json").unlink()
    assert run(tmp_path, progress=False)["failures"] == []
    assert trained == []
