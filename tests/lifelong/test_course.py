"""Tasks one after the other: what a sequence is made of, and that it can be killed."""

import json
import os
import shutil
from dataclasses import replace

import pytest
import torch

from samnesia.lifelong.config import EWC, LifelongConfig, read
from samnesia.lifelong.course import AFTER, ANCHORS, RUN, TASKS, learn, resume
from samnesia.lifelong.recipes import RECIPES, find
from samnesia.perturb.errors import ConfigurationError, RunStopped
from samnesia.train.checkpoint import Store
from samnesia.train.config import (
    EMA,
    MLP,
    SAM,
    SGD,
    AdamW,
    Balanced,
    ByClasses,
    Checkpoints,
    CifarResNet,
    Constant,
    Digits,
    Folder,
    Headed,
    Images,
    Line,
    Logging,
    Lookbehind,
    OwnLoss,
    OwnModel,
    PadCropFlip,
    Permuted,
    Reservoir,
    RunConfig,
    Task,
)
from samnesia.train.log import read_config, read_result
from samnesia.train.loop import train
from tests.data.image_files import folders
from tests.train.small import After, last_weights, net, quietly


def training(**changes):
    """A run of six steps of a task of split digits."""
    defaults = {
        "data": Digits(train=160),
        "model": MLP(hidden=(12,)),
        "optimizer": SGD(lr=0.05, momentum=0.9),
        "schedule": Constant(),
        "epochs": 2,
        "batch_size": 10,
        "checkpoints": Checkpoints(every_epochs=1, last=1, best=False),
        "logging": Logging(every_steps=1),
    }
    return RunConfig("tiny", **(defaults | changes))


def sequence(**changes):
    """Two tasks of five classes, or what is asked for."""
    own = {name: changes.pop(name) for name in (*changes,) if name in LifelongConfig.__dataclass_fields__}
    return LifelongConfig(**({"recipe": "tiny", "training": training(**changes), "tasks": ByClasses(2)} | own))


def run_of(out, number):
    return out / TASKS / f"{number:03d}" / RUN


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("permuted", "together")]


@pytest.mark.parametrize("shape", ["unknown", "known", *SLOW])
def test_one_task_is_central_training_bit_by_bit(shape, tmp_path):
    plain = training(method=SAM(0.1))
    changes = {
        "unknown": {"known": False}, "known": {}, "permuted": {"tasks": Permuted(1)},
        "together": {"together": True, "known": False},
    }[shape]  # fmt: skip
    config = sequence(**({"tasks": ByClasses(1), "method": SAM(0.1)} | changes))
    central = quietly(train, plain, tmp_path / "central")
    result = quietly(learn, config, tmp_path / "sequence")
    weights, expected = last_weights(run_of(tmp_path / "sequence", 0)), last_weights(tmp_path / "central")
    for name, value in expected.items():
        assert torch.equal(weights[name if f"net.{name}" not in weights else f"net.{name}"], value), name
    assert len(weights) == len(expected)
    assert result.last["test_accuracy"] == central.last["test_accuracy"]
    assert result.gradient_evaluations == central.gradient_evaluations


def test_a_task_begins_where_the_one_before_has_ended(tmp_path):
    quietly(learn, sequence(epochs=1), tmp_path / "out")
    second = read_config(run_of(tmp_path / "out", 1))
    started = second.model.build((1, 8, 8), 5).state_dict()
    ended = last_weights(run_of(tmp_path / "out", 0))
    assert started.keys() == ended.keys() and all(torch.equal(started[name], ended[name]) for name in ended)
    assert second.optimizer.state is None and second.seed != 0 and second.data.seed == 0
    assert not second.optimizer.build(second.model.build((1, 8, 8), 5)).state_dict()["state"]


@pytest.mark.parametrize("optimizer", [SGD(lr=0.05), pytest.param(AdamW(lr=0.01), marks=pytest.mark.slow)])
def test_one_optimizer_may_serve_all_tasks(optimizer, tmp_path):
    quietly(learn, sequence(epochs=1, optimizer=optimizer, fresh_optimizer=False), tmp_path / "out")
    store = Store(run_of(tmp_path / "out", 0))
    kept = store.read(store.positions()[-1]).state["optimizer"]["state"]
    second = read_config(run_of(tmp_path / "out", 1))
    changed = replace(second.optimizer, lr=0.5, weight_decay=0.25)
    built = changed.build(second.model.build((1, 8, 8), 5))
    for index, state in built.state_dict()["state"].items():
        assert all(torch.equal(value, kept[index][name]) for name, value in state.items())
    assert {(group["lr"], group["weight_decay"]) for group in built.param_groups} <= {(0.5, 0.25), (0.5, 0.0)}
    fresh = tmp_path / "fresh"
    quietly(learn, sequence(epochs=1, optimizer=optimizer), fresh)
    ends = [last_weights(run_of(out, 1))["net.1.weight"] for out in (tmp_path / "out", fresh)]
    assert not torch.equal(*ends)


def test_what_a_sequence_leaves(tmp_path):
    config = sequence(memory=Reservoir(10), ewc=EWC(5.0), method=Lookbehind(rho=0.01, k=2), seed=3)
    result = quietly(learn, config, tmp_path / "out")
    out = tmp_path / "out"
    assert read(out) == config == LifelongConfig.from_json(config.to_json())
    back = read_result(out)
    assert back == result and back.method == "lookbehind" and back.seed == 3 and back.best == back.last
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [0, 1] and rows[-1] == result.last
    matrix = json.loads((out / "result.json").read_text())["lifelong"]["matrix"]
    assert {*matrix} == {"validation", "test"} and [len(row) for row in matrix["test"]] == [2, 2]
    last = result.last
    assert last["test_accuracy"] == pytest.approx(sum(matrix["test"][1]) / 2)
    assert last["test_forgetting"] == pytest.approx(matrix["test"][0][0] - matrix["test"][1][0])
    assert last["test_backward_transfer"] == pytest.approx(-last["test_forgetting"])
    assert last["test_learning_accuracy"] == pytest.approx((matrix["test"][0][0] + matrix["test"][1][1]) / 2)
    assert rows[0]["test_accuracy"] == matrix["test"][0][0] and rows[0]["test_forgetting"] is None
    assert rows[0]["test_accuracy_task1"] == matrix["test"][0][1]
    own = read_result(run_of(out, 0))  # its test is that of its task alone
    assert own.last["test_accuracy"] == matrix["test"][0][0] and own.last["test_loss"] == rows[0]["test_loss"]
    runs = [read_result(run_of(out, number)) for number in range(2)]
    sizes = len(Task(Digits(train=160), ByClasses(2)).load(3).train)
    assert result.gradient_evaluations == sum(run.gradient_evaluations for run in runs) + -(-sizes // 10)
    assert read_config(run_of(out, 1)).consolidation.strength == 5.0


def test_training_together_is_one_training_of_all(tmp_path):
    result = quietly(learn, sequence(tasks=ByClasses(5), together=True), tmp_path / "out")
    assert [*(tmp_path / "out" / TASKS).iterdir()] == [tmp_path / "out" / TASKS / "000"]
    matrix = json.loads((tmp_path / "out" / "result.json").read_text())["lifelong"]["matrix"]["test"]
    assert [len(row) for row in matrix] == [5]
    assert result.last["test_accuracy"] == pytest.approx(sum(matrix[0]) / 5)
    assert result.last["test_forgetting"] is None and result.last["test_learning_accuracy"] is None


def test_without_the_test_it_is_judged_on_validation(tmp_path):
    config = sequence()
    config = replace(
        config, training=replace(config.training, evaluation=replace(config.training.evaluation, test=False))
    )
    result = quietly(learn, config, tmp_path / "out")
    assert result.figure == "validation_accuracy" and not any(name.startswith("test") for name in result.last)


# Resuming.


class Killed(BaseException):
    """As if the process had ended."""


def what_is_left(out):
    """All that a sequence has written, but for times and where it lies."""
    left = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if path.suffix in (".json", ".jsonl") and path.name not in ("environment.json", "manifest.json"):
            text = path.read_text().replace(str(out), "OUT")
            content = [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else json.loads(text)
            if path.name == "result.json":
                content = {key: value for key, value in content.items() if key not in ("environment", "seconds")}
            left[name] = content
        elif path.suffix == ".safetensors":
            left[name] = path.read_bytes()
        elif path.is_file() and path.name not in (".lock", "state.pt", "environment.json", "manifest.json"):
            left[name] = None
    return left


def killed_everywhere(config, tmp_path, monkeypatch, every):
    """Kill it at one operation on files of so many, go on, and compare with the unbroken one."""
    whole = tmp_path / "whole"
    count = {"left": 10**9, "seen": 0}

    def counted(operation):
        def act(*arguments, **options):
            count["seen"] += 1
            count["left"] -= 1
            if count["left"] == 0:
                raise Killed
            return operation(*arguments, **options)

        return act

    for name in ("rename", "replace", "fsync"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    quietly(learn, config, whole)
    expected, total = what_is_left(whole), count["seen"]
    assert total > 20
    for place in range(1, total + 1, every):
        out = tmp_path / "killed"
        shutil.rmtree(out, ignore_errors=True)
        count["left"] = place
        with pytest.raises(Killed):
            quietly(learn, config, out)
        count["left"] = 10**9
        if (out / "lifelong.json").exists():
            quietly(resume, out)
        else:
            shutil.rmtree(out)
            quietly(learn, config, out)
        assert what_is_left(out) == expected, place


FULL = {"memory": Balanced(10), "ewc": EWC(5.0, decay=0.5), "fresh_optimizer": False, "method": SAM(0.05)}


def test_a_sequence_that_is_killed_ends_as_if_nothing_had_happened(tmp_path, monkeypatch):
    killed_everywhere(sequence(epochs=1, **FULL), tmp_path, monkeypatch, every=13)


@pytest.mark.slow
def test_a_sequence_may_be_killed_at_every_operation(tmp_path, monkeypatch):
    killed_everywhere(sequence(**FULL), tmp_path, monkeypatch, every=1)


def test_a_sequence_that_is_stopped_in_a_task_goes_on_there(tmp_path):
    config = sequence(**FULL)
    quietly(learn, config, tmp_path / "whole")
    with pytest.raises(RunStopped, match="stopped in task 1; go on with: samnesia resume"):
        quietly(learn, config, tmp_path / "out", stop=After(20))
    assert not (run_of(tmp_path / "out", 1).parent / AFTER).exists()
    assert (run_of(tmp_path / "out", 0).parent / ANCHORS).exists()
    result = quietly(resume, tmp_path / "out")
    assert result.last == read_result(tmp_path / "whole").last
    left, expected = what_is_left(tmp_path / "out"), what_is_left(tmp_path / "whole")
    weights = [name for name in expected if name.endswith(".safetensors")]
    assert len(weights) == 3 and all(left[name] == expected[name] for name in weights if name in left)
    assert quietly(resume, tmp_path / "out") == result  # a finished one is returned as it is


# Other data, recipes, and what is refused.


def test_images_in_files_make_tasks(tmp_path):
    """As in the recipes of CIFAR, of which only the images, the net and the length are others."""
    root = folders(tmp_path / "data", splits=("train", "val"), classes=("ant", "bee", "cat", "dog"), each=3, height=16,
                   width=16)  # fmt: skip
    recipe = find("split-cifar10-sam-replay")
    data = Images(source=Folder(str(root)), num_classes=4, image_size=16, augmentation=PadCropFlip(padding=2))
    config = replace(
        recipe,
        tasks=ByClasses(2),
        memory=Reservoir(3),
        training=replace(recipe.training, data=data, model=CifarResNet(depth=8, width=4), epochs=1, batch_size=3),
    )
    result = quietly(learn, config, tmp_path / "out")
    assert result.config.method == SAM(rho=0.05) and len(result.curves["epoch"]) == 2
    second = read_config(run_of(tmp_path / "out", 1))
    assert isinstance(second.model, Headed) and len(second.data.load(0).train) == 6 + 3


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_says_what_it_is_called_and_goes_through_json(name):
    config = find(name)
    assert config.recipe == name and LifelongConfig.from_json(config.to_json()) == config
    assert config.runs == (1 if name.endswith("joint") else config.tasks.count)
    assert (config.memory is not None) == name.endswith("replay") and (config.ewc is not None) == name.endswith("ewc")
    assert config.known == name.startswith("split")


def lower_is_better():
    return OwnLoss(f"{__file__}:criterion")


def criterion(output, target):
    return torch.nn.functional.cross_entropy(output, target)


REFUSED = {
    "a task of tasks": (lambda: sequence(data=Task()), "cannot make tasks of a run that is one of a sequence itself"),
    "heads of heads": (lambda: sequence(model=Headed()), "cannot make tasks of a run that is one"),
    "an average": (lambda: sequence(average=EMA()), "cannot learn tasks with an average"),
    "a subspace": (lambda: sequence(subspace=Line()), "cannot learn tasks along a subspace"),
    "weights for a function": (lambda: sequence(model=OwnModel(net), known=False), "a model of your own"),
    "the state of another": (lambda: sequence(optimizer=SGD(state="x")), "the state of another run's optimizer"),
    "remembering nothing": (lambda: sequence(together=True, memory=Reservoir()), "cannot remember earlier tasks"),
    "no heads": (lambda: Headed(heads=0), "cannot build a model of 0 heads"),
    "an unknown recipe": (lambda: find("split-digits-sm"), "did you mean 'split-digits-s"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_sequence_is_refused_in_a_sentence(case):
    act, words = REFUSED[case]
    with pytest.raises(ConfigurationError, match=words):
        act()


def test_what_cannot_be_learned_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    for config, words in (
        (sequence(tasks=ByClasses(3)), "cannot divide 10 classes into 3 tasks"),
        (sequence(loss=lower_is_better()), "cannot judge a sequence of tasks by a loss"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            learn(config, tmp_path / "out")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigurationError, match="cannot learn a sequence of tasks with several processes"):
        learn(sequence(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_directories_that_are_none_are_refused(tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("")
    with pytest.raises(ConfigurationError, match="the directory is not empty"):
        learn(sequence(), tmp_path / "taken")
    with pytest.raises(ConfigurationError, match=r"there is no lifelong\.json"):
        resume(tmp_path / "taken")
    (tmp_path / "taken" / "lifelong.json").write_text("{")
    with pytest.raises(ConfigurationError, match="it is no valid JSON"):
        resume(tmp_path / "taken")


def test_an_optimizer_cannot_begin_with_a_state_that_is_not_there_or_of_another(tmp_path):
    model = MLP().build((1, 8, 8), 10)
    with pytest.raises(ConfigurationError, match="it has no checkpoint"):
        SGD(state=str(tmp_path)).build(model)
    quietly(train, training(epochs=1, optimizer=SGD(decayed="matrices")), tmp_path / "run")
    with pytest.raises(ConfigurationError, match="it is of another model or optimizer"):
        SGD(state=str(tmp_path / "run")).build(model)
