"""A run read back: its weights, its data in order, its loss, its perturbation; and in words what cannot be."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from samnesia.data.problem import Problem, SecondLabel, TensorSplit
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.parts.ascents import GradientAscent, RandomAscent
from samnesia.perturb.parts.ball import Ball, ElementScaling
from samnesia.perturb.parts.objectives import OutputBiasForgetting
from samnesia.train.checkpoint import Position
from samnesia.train.config import (
    ASAM,
    EMA,
    OBF,
    SAM,
    BinaryCrossEntropy,
    Checkpoints,
    CrossEntropy,
    Linear,
    OwnData,
    OwnModel,
    Perturbed,
    Random,
    Unperturbed,
)  # fmt: skip
from samnesia.train.loaded import SavedRun, find, load
from samnesia.train.log import read_result
from tests.train.small import BATCH, CLASSES, STEPS, TRAIN, clouds, config, net, smooth, trained

KEPT = Checkpoints(last=1, keep_epochs=(0, 1, 2))


def files(directory):
    """Everything in a directory, with its content and when it was written."""
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(directory.rglob("*")) if path.is_file()
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Trained for three epochs with an average, with checkpoints from the first weights on."""
    out = tmp_path_factory.mktemp("loaded") / "run"
    trained(config(checkpoints=KEPT, average=EMA(decay=0.5), loss=CrossEntropy(smoothing=0.2), method=SAM(0.1)), out)
    return out


@pytest.fixture
def copied(run, tmp_path):
    """The same, to be damaged."""
    return shutil.copytree(run, tmp_path / "run", symlinks=True)


def test_the_figures_of_a_run_come_out_again(run):
    """Accuracy and loss of the last epoch, of each split, of the weights and of their average."""
    last = read_result(run).last
    for averaged, prefix in ((False, ""), (True, "average_")):
        loaded = load(run, averaged=averaged, device="cpu")
        assert not any(module.training for module in loaded.model.modules())
        for name in ("train", "validation", "test"):
            subject = Subject(loaded.model, loaded.criterion, loaded.samples(name, batch_size=7))
            assert subject.loss() == pytest.approx(last[f"{prefix}{name}_loss"], rel=1e-6)
            assert subject.describe()["criterion"] == "mean_cross_entropy"
        hits = [(loaded.model(x).argmax(1) == y).float() for x, y in loaded.samples("test")]
        assert 100 * torch.cat(hits).mean().item() == pytest.approx(last[f"{prefix}test_accuracy"], rel=1e-6)


def test_each_checkpoint_has_its_own_weights_and_place(run):
    saved = SavedRun(run)
    assert saved.positions == (Position(0), Position(1), Position(2), Position(3))
    for position in saved.positions:
        loaded = load(run / "checkpoints" / position.name, device="cpu")
        assert loaded.position == position
        expected = load_file(run / "checkpoints" / position.name / "model.safetensors")
        assert all(torch.equal(value, expected[name]) for name, value in loaded.model.state_dict().items())
    assert find(run)[1] == find(run / "result.json")[1] == find(str(run / "config.json"))[1] == Position(3)
    best = load(run / "checkpoints" / "best", device="cpu")
    assert best.position == Position(read_result(run).best["epoch"] + 1)


def test_digests_are_those_of_weights_and_configuration(run, copied):
    saved = SavedRun(run)
    digests = [saved.digest(p, averaged=averaged) for p in saved.positions[1:] for averaged in (False, True)]
    assert len(set(digests)) == 6
    assert saved.load(Position(2), device="cpu").digest == digests[2]
    assert SavedRun(copied).digest(Position(2)) == digests[2]
    content = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**content, "seed": 5}))
    assert SavedRun(copied).digest(Position(2)) != digests[2]


def test_reading_writes_nothing_and_leaves_the_generators_alone(run):
    before, state = files(run), torch.get_rng_state()
    loaded = load(run, device="cpu")
    loaded.samples("train", 20)
    assert loaded.describe()["perturbation"]["rho"] == 0.1
    assert files(run) == before
    assert torch.equal(torch.get_rng_state(), state)


def test_samples_are_in_order_and_the_same_on_every_pass(run):
    loaded = load(run, device="cpu")
    split = clouds(0).train
    everything = loaded.samples("train", batch_size=10)
    assert [len(y) for _, y in everything] == [10] * 5 + [3]
    assert torch.equal(torch.cat([x for x, _ in everything]), split.inputs)
    assert everything.drawn == f"all {TRAIN} in order"
    some = loaded.samples("train", 20, seed=4, batch_size=8)
    assert len(some) == 20 and some.rows.tolist() == sorted(set(some.rows.tolist()))
    for _ in range(2):
        assert torch.equal(torch.cat([x for x, _ in some]), split.inputs[some.rows])
        assert torch.equal(torch.cat([y for _, y in some]), split.labels[some.rows])
    assert torch.equal(some.targets, split.labels[some.rows])
    assert not torch.equal(some.rows, loaded.samples("train", 20, seed=5).rows)
    assert len(loaded.samples("train", 1000)) == TRAIN


def test_a_drawn_subset_is_that_of_a_subject(run):
    loaded = load(run, device="cpu")
    data = torch.utils.data.TensorDataset(clouds(0).train.inputs, clouds(0).train.labels)
    loader = torch.utils.data.DataLoader(data, batch_size=9)
    theirs = Subject(loaded.model, loaded.criterion, loader, samples=20, seed=3)
    ours = Subject(loaded.model, loaded.criterion, loaded.samples("train", 20, seed=3))
    assert ours.loss() == pytest.approx(theirs.loss(), rel=1e-6)


def test_what_does_not_fit_into_memory_is_read_in_every_pass(run, monkeypatch):
    loaded = load(run, device="cpu")
    kept = list(loaded.samples("train", 20, batch_size=6))
    monkeypatch.setattr("samnesia.train.drawn.IN_MEMORY", 1000)
    streamed = loaded.samples("train", 20, batch_size=6)
    for _ in range(2):
        for (x, y), (z, t) in zip(streamed, kept, strict=True):
            assert torch.equal(x, z) and torch.equal(y, t)
    assert streamed._kept is None


def test_flipped_labels_are_a_group_and_the_true_ones_a_second_label(run):
    samples = load(run, device="cpu").samples("train", 30)
    split = clouds(0).train
    flipped = (split.labels != split.clean_labels)[samples.rows]
    assert list(samples.groups) == ["flipped", "clean"] and 0 < int(flipped.sum()) < 30
    assert torch.equal(samples.groups["flipped"], flipped)
    assert torch.equal(samples.groups["clean"], ~flipped)
    assert torch.equal(samples.second_labels["true"], split.clean_labels[samples.rows])
    assert load(run, device="cpu").samples("test").groups == {}


def marked(seed):
    """Images whose mark is that of the next class for every third one."""
    labels = torch.arange(30) % CLASSES
    mark = torch.where(torch.arange(30) % 3 == 0, (labels + 1) % CLASSES, labels)
    names = {"followed": "train_mark_followed", "resisted": "train_mark_wrong_accuracy"}
    split = TensorSplit(
        torch.randn(30, 1, 4, 4, generator=torch.Generator().manual_seed(seed)),
        labels,
        second_labels=(SecondLabel(mark, **names, agreed="train_mark_right_accuracy"),),
    )
    return Problem(split, None, None, num_outputs=CLASSES, shape=(1, 4, 4))


def test_shortcuts_are_groups_too(tmp_path):
    trained(config(data=OwnData(marked), epochs=1), tmp_path / "run")
    samples = load(tmp_path / "run", device="cpu").samples("train", 20, seed=1)
    assert list(samples.groups) == ["mark wrong", "mark right"]
    assert torch.equal(samples.groups["mark wrong"], samples.rows % 3 == 0)
    assert torch.equal(samples.groups["mark right"], samples.rows % 3 != 0)
    assert list(samples.second_labels) == ["mark"]
    with pytest.raises(ConfigurationError, match="'test' split.*have train only"):
        load(tmp_path / "run", device="cpu").samples("test")


def test_a_run_in_double_precision_is_measured_in_it(tmp_path):
    trained(smooth(epochs=1), tmp_path / "run")
    loaded = load(tmp_path / "run", device="cpu")
    subject = Subject(loaded.model, loaded.criterion, loaded.samples())
    assert subject.describe()["dtype"] == "float64"
    assert subject.loss() == pytest.approx(read_result(tmp_path / "run").last["train_loss"], rel=1e-12)


def test_the_loss_of_nets_with_binary_cross_entropy_is_that(tmp_path):
    trained(config(loss=BinaryCrossEntropy(smoothing=0.1), epochs=1), tmp_path / "run")
    loaded = load(tmp_path / "run", device="cpu")
    subject = Subject(loaded.model, loaded.criterion, loaded.samples("test"))
    assert subject.loss() == pytest.approx(read_result(tmp_path / "run").last["test_loss"], rel=1e-6)
    assert loaded.left_out() == ["augmentation", "label smoothing of 0.1"]


METHODS = [
    (SAM(0.3), GradientAscent(), Ball(), None),
    (ASAM(0.3, eta=0.1), GradientAscent(), Ball(scaling=ElementScaling(eta=0.1)), None),
    (OBF(0.3, gamma=0.5), GradientAscent(), Ball(), OutputBiasForgetting(gamma=0.5)),
    (Random(0.3), RandomAscent(), Ball(), None),
]


@pytest.mark.parametrize(("method", "ascent", "ball", "objective"), METHODS, ids=lambda p: type(p).__name__)
def test_its_own_perturbation_is_that_of_training(tmp_path, method, ascent, ball, objective):
    when = Perturbed(start_epoch=1)
    trained(config(method=method, micro_batch=5, when=when, epochs=2, checkpoints=KEPT), tmp_path / "run")
    saved = SavedRun(tmp_path / "run")
    found = saved.load(Position(1), device="cpu").perturbation()
    assert (found.ascent, found.ball, found.rho, found.m, found.fires) == (ascent, ball, 0.3, 5, True)
    first = saved.load(Position(0), device="cpu")
    assert not first.perturbation().fires
    assert first.perturbation().objective == objective


def test_a_radius_with_a_course_is_that_of_the_checkpoint(tmp_path):
    method, schedule = SAM(0.4, rho_min=0.1), Linear()
    trained(config(method=method, schedule=schedule, checkpoints=KEPT), tmp_path / "run")
    saved = SavedRun(tmp_path / "run")
    rates = [saved.config.learning_rate(min(epoch * STEPS, 3 * STEPS - 1), STEPS) for epoch in range(4)]
    expected = [0.1 + 0.3 * rate / saved.config.optimizer.lr for rate in rates]
    found = [saved.load(position, device="cpu").perturbation() for position in saved.positions]
    assert [one.rho for one in found] == pytest.approx(expected)
    assert found[0].m == BATCH and expected[0] > expected[1] > expected[2] > expected[3]


def test_the_base_optimizer_has_none(tmp_path):
    trained(config(method=Unperturbed(), epochs=1), tmp_path / "run")
    loaded = load(tmp_path / "run", device="cpu")
    assert loaded.perturbation() is None
    assert loaded.describe()["perturbation"] is None
    assert json.loads(json.dumps(loaded.describe()))["epoch"] == 1


def test_weights_that_a_run_started_from_need_not_be_there_any_more(tmp_path):
    from samnesia.train.config import CNN, Digits

    first = config(data=Digits(), model=CNN(channels=(2, 2), hidden=4), epochs=1, batch_size=400)
    trained(first, tmp_path / "first")
    second = config(
        data=Digits(), model=CNN(channels=(2, 2), hidden=4, weights=str(tmp_path / "first")), epochs=1, batch_size=400
    )
    trained(second, tmp_path / "second")
    shutil.rmtree(tmp_path / "first")
    assert load(tmp_path / "second", device="cpu").position == Position(1)


def refused(path, expected, **options):
    with pytest.raises(ConfigurationError, match=expected) as caught:
        load(path, device="cpu", **options)
    assert str(caught.value).count("because") == 1, "one sentence"


def test_what_is_no_run_is_refused(tmp_path, copied):
    refused(tmp_path / "nowhere", "cannot find .*nowhere, because there is no such file")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "cannot find a run in .*empty, because there is no config.json")
    refused(copied / "checkpoints", "cannot find a run in")
    refused(copied / "checkpoints" / "epoch0009-step000000", "no such file or directory")
    (copied / "checkpoints" / "other").mkdir()
    refused(copied / "checkpoints" / "other", "no checkpoint of .*there are .*epoch0003-step000000, best")
    shutil.rmtree(copied / "checkpoints")
    refused(copied, "it has no checkpoint; let it train on")


@pytest.mark.parametrize(
    ("file", "damage", "expected"),
    [
        ("model.safetensors", lambda content: content[:-10], "has .* bytes where .* were written"),
        ("model.safetensors", lambda content: bytes([content[0] ^ 1]) + content[1:], "was altered"),
        ("state.pt", lambda content: content[:100], "state.pt has 100 bytes"),
        ("manifest.json", lambda content: content[:50], "manifest.json cannot be read"),
        ("model.safetensors", None, "model.safetensors cannot be read"),
        ("manifest.json", None, "manifest.json cannot be read"),
    ],
)
def test_a_damaged_checkpoint_is_refused_and_another_named(copied, file, damage, expected):
    path = copied / "checkpoints" / "epoch0003-step000000" / file
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage(path.read_bytes()))
    before = files(copied)
    refused(copied, f"epoch0003-step000000, because .*{expected}.*; name another one .*epoch0002-step000000")
    assert files(copied) == before
    assert load(copied / "checkpoints" / "epoch0002-step000000", device="cpu").position == Position(2)


def wider(shape, num_outputs):
    return nn.Sequential(*net(shape, num_outputs)[:-1], nn.Linear(12, num_outputs + 1))


def test_another_configuration_is_refused(copied):
    content = json.loads((copied / "config.json").read_text())
    content["model"] = json.loads(json.dumps(config(model=OwnModel(wider)).to_json()["model"]))
    (copied / "config.json").write_text(json.dumps(content))
    refused(copied, "it is of another model than config.json says .*size mismatch")


def test_an_average_that_is_not_there_is_refused(run, tmp_path):
    refused(run / "checkpoints" / "epoch0000-step000000", "it begins after epoch 0", averaged=True)
    trained(config(epochs=1), tmp_path / "run")
    refused(tmp_path / "run", "the run has none; take the weights themselves", averaged=True)


def test_counts_devices_and_splits_are_checked(run):
    loaded = load(run, device="cpu")
    with pytest.raises(ConfigurationError, match="samples 0"):
        loaded.samples("train", 0)
    with pytest.raises(ConfigurationError, match="batch_size 0"):
        loaded.samples("train", batch_size=0)
    with pytest.raises(ConfigurationError, match="'dev' split.*train, validation, test"):
        loaded.samples("dev")
    for device in ("toaster", *([] if torch.cuda.is_available() else ["cuda"])):
        with pytest.raises(ConfigurationError, match=f"cannot use the device .*{device}"):
            load(run, device=device)
