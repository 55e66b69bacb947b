"""compare(): what runs, what is kept, what is refused, and that seeds are paired in truth."""

import hashlib
import json
import re
import shlex

import joblib
import pytest
import torch

from samnesia.data import loader
from samnesia.perturb.errors import ConfigurationError, RunStopped
from samnesia.study import compare as module
from samnesia.study import report
from samnesia.study.compare import compare, override, plan
from samnesia.train import config as train_config
from samnesia.train import loop, recipes
from samnesia.train.log import locked
from tests.study.study_files import write_run


@pytest.fixture(autouse=True)
def no_image_files(monkeypatch):
    """The report is written, but for its image files, which cost most of its time."""
    monkeypatch.setattr(report, "_write_files", lambda directory, panels, judged: None)


@pytest.fixture
def trained(monkeypatch):
    """Cells that were trained, in order, by a trainer that only writes down a made-up result."""
    cells = []

    def train(cell):
        cells.append((cell.method, cell.seed))
        write_run(cell.directory, cell.config, cell.method)

    monkeypatch.setattr(module, "_train", train)
    return cells


def run(out, methods=("sgd", "sam"), seeds=range(2), **options):
    return compare("digits-noisy", methods, out=out, seeds=seeds, workers=1, **options)


def test_every_cell_runs_seed_by_seed_and_the_files_are_written(trained, tmp_path, capsys):
    summary = run(tmp_path / "out")
    assert trained == [("sgd", 0), ("sam", 0), ("sgd", 1), ("sam", 1)]
    assert json.loads((tmp_path / "out" / "compare.json").read_text()) == summary
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000
    assert summary["command"].startswith("samnesia compare digits-noisy --methods sgd sam --seeds 2 --out ")
    output = capsys.readouterr().out
    assert "1/4 SGD, seed 0: last epoch " in output
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
    def fails_once(cell):
        if (cell.method, cell.seed) == ("sam", 0):
            raise RuntimeError("too hot")
        write_run(cell.directory, cell.config, cell.method)

    monkeypatch.setattr(module, "_train", fails_once)
    summary = run(tmp_path)
    assert summary["failures"] == [{"method": "sam", "seed": 0, "reason": "RuntimeError: too hot"}]
    assert summary["methods"][1]["score"]["last"]["per_seed"][0] is None
    assert "SAM, seed 0, failed: RuntimeError: too hot" in capsys.readouterr().out
    assert "RuntimeError: too hot" in (tmp_path / "report.html").read_text()

    monkeypatch.setattr(module, "_train", lambda cell: write_run(cell.directory, cell.config, cell.method))
    assert run(tmp_path, progress=False)["failures"] == []
    assert capsys.readouterr().out == ""


def test_when_every_run_fails_the_reason_is_in_the_error(monkeypatch, tmp_path):
    def fails(cell):
        raise RuntimeError("too hot")

    monkeypatch.setattr(module, "_train", fails)
    with pytest.raises(ConfigurationError, match="sgd with seed 0: RuntimeError: too hot"):
        run(tmp_path)


def test_an_interruption_says_what_is_kept(monkeypatch, tmp_path):
    def interrupted(cell):
        if cell.seed == 1:
            raise KeyboardInterrupt
        write_run(cell.directory, cell.config, cell.method)

    monkeypatch.setattr(module, "_train", interrupted)
    with pytest.raises(KeyboardInterrupt, match="interrupted: 2 of 4 runs are finished and kept"):
        run(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"methods": ()}, "cannot compare with methods"),
        ({"methods": ("sgd", "sgd")}, "methods sgd sgd"),
        ({"seeds": ()}, "cannot compare with seeds"),
        ({"seeds": (1, 1)}, "seeds 1 1"),
        ({"seeds": (-1,)}, "seed -1"),
        ({"methods": ("sgd", "samm")}, "did you mean 'sam'"),
        ({"overrides": {"epochs": 3}}, "cannot compare digits-noisy-sam over 3 epochs, because a perturbation after 4"),
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
    monkeypatch.setattr(module, "_train", None)  # every run is finished
    exec(call, {})
    assert json.loads((tmp_path / "compare.json").read_text()) == summary


def test_overrides_that_the_command_line_lacks_make_a_command_in_python(trained, tmp_path):
    command = run(tmp_path / "one", overrides={"epochs": 5, "optimizer.lr": 0.1}, progress=False)["command"]
    assert command.startswith('python -c \'from samnesia.study.compare import compare; compare("digits-noisy", ')
    assert command.endswith('overrides={"epochs": 5, "optimizer.lr": 0.1})\'')
    command = run(tmp_path / "two", overrides={"epochs": 5}, progress=False)["command"]
    assert command.startswith("samnesia compare digits-noisy --methods sgd sam --seeds 2 --epochs 5 --out ")


def test_overrides_reach_every_run_and_nothing_else(tmp_path):
    values = {"epochs": 5, "optimizer.lr": 0.2}
    for cell in plan("digits-noisy", ("sgd", "sam"), out=tmp_path, seeds=(4,), overrides=values):
        expected = override(recipes.find(f"digits-noisy-{cell.method}"), values | {"seed": 4})
        assert cell.config == expected
        assert (cell.config.epochs, cell.config.optimizer.lr, cell.config.seed) == (5, 0.2, 4)
        assert cell.config.optimizer.momentum == 0.9


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
    (out / "study.json").unlink()
    assert report.write_report(out)["recipe"] == "own_runs"


@pytest.fixture
def trained_own(monkeypatch):
    cells = []

    def train(cell):
        cells.append((cell.config.recipe, cell.seed))
        write_run(cell.directory, cell.config, "sgd")

    monkeypatch.setattr(module, "_train", train)
    return cells


@pytest.mark.parametrize(
    ("methods", "overrides", "sentence"),
    [
        (("sgd", "samm"), {}, "cannot make a run by 'samm', because"),
        (("sgd", "wide-sam"), {"epochs": 4}, "cannot compare own_runs:wide_sam over 4 epochs, because a perturbation"),
    ],
)
def test_what_a_file_lacks_is_told_before_anything_runs(own_file, tmp_path, methods, overrides, sentence):
    with pytest.raises(ConfigurationError, match=re.escape(sentence)):
        compare(str(own_file), methods, out=tmp_path / "out", seeds=range(2), overrides=overrides)
    assert not (tmp_path / "out").exists()


def test_data_are_loaded_once_and_what_they_lack_is_told_first(monkeypatch, tmp_path):
    seen = []
    load = train_config.Digits.load
    monkeypatch.setattr(train_config.Digits, "load", lambda data, seed: seen.append(seed) or load(data, seed))
    plan("digits-noisy", ("sgd", "sam", "obf"), out=tmp_path, seeds=(3, 4), overrides={})
    assert seen == [3]


def test_an_incomplete_last_batch_is_a_step_where_it_is_kept(tmp_path):
    """800 samples in batches of 500: the second of two steps is perturbed; where the rest is dropped, there is one."""
    values = {"batch_size": 500, "epochs": 1, "when.start_epoch": 0.5}
    plan("digits-noisy", ("sam",), out=tmp_path, seeds=(0,), overrides=values | {"drop_last": False})
    with pytest.raises(ConfigurationError, match="falls on none of its steps"):
        plan("digits-noisy", ("sam",), out=tmp_path, seeds=(0,), overrides=values)


def test_an_interrupted_run_goes_on(tmp_path):
    """It was stopped after its first epoch; the second call makes the rest, to the same figures."""
    values = {"epochs": 3, "when.start_epoch": 0.0}
    (cell,) = plan("digits-noisy", ("sam",), out=tmp_path / "cut", seeds=(0,), overrides=values)
    with pytest.raises(RunStopped):
        loop.train(cell.config, cell.directory, stop=iter([False] * 12 + [True]).__next__)
    before = (cell.directory / "metrics.jsonl").read_text()
    for name in ("cut", "whole"):
        run(tmp_path / name, ("sam",), range(1), progress=False, overrides=values)
    cut, whole = (
        json.loads((tmp_path / name / "cells" / "sam-seed0" / "result.json").read_text())["curves"]
        for name in ("cut", "whole")
    )
    assert cut == whole
    assert (cell.directory / "metrics.jsonl").read_text().startswith(before)
    assert before.count("\n") == 1


def test_threads_have_an_option_on_the_command_line(trained, tmp_path):
    command = run(tmp_path, overrides={"hardware.threads": 2}, progress=False)["command"]
    assert " --seeds 2 --threads 2 --out " in command


def digest(*tensors):
    return hashlib.sha256(b"".join(tensor.contiguous().numpy().tobytes() for tensor in tensors)).hexdigest()
