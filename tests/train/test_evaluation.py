"""Evaluation is exact: as if the whole split went through the model at once."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from samnesia.data.digits import digits
from samnesia.data.problem import Problem, SecondLabel, TensorSplit
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.config import MLP, BinaryCrossEntropy, Digits, Evaluation, Hardware, RunConfig
from samnesia.train.engine import Engine
from samnesia.train.evaluation import Evaluator
from tests.train.small import clouds, config, net, smooth_net


def figures(model, problem, batch_size=512, *, train=True, **options):
    run_config = config(evaluation=Evaluation(batch_size=batch_size, train=train), **options)
    return Evaluator(run_config, Engine(run_config.hardware), problem).row(model)


def at_once(model, split, sums=False):
    """Loss, accuracy and top-5 accuracy over the whole split, in float64."""
    model.eval()
    with torch.no_grad():
        logits = model(split.inputs).detach()
    if sums:
        one_hot = nn.functional.one_hot(split.labels, logits.shape[1]).to(logits.dtype)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, one_hot, reduction="none").sum(1).double().mean()
    else:
        loss = nn.functional.cross_entropy(logits, split.labels, reduction="none").double().mean()
    top = logits.topk(5, dim=1).indices
    return {
        "loss": float(loss),
        "accuracy": 100 * float((logits.argmax(1) == split.labels).double().mean()),
        "top5_accuracy": 100 * float((top == split.labels[:, None]).any(1).double().mean()),
    }


@pytest.mark.parametrize("batch_size", [1, 7, 17, 512])
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_ragged_batches_give_the_figures_of_the_whole_split(batch_size, workers):
    torch.manual_seed(3)
    problem, model = clouds(0), net((1, 4, 4), 6)
    row = figures(model, problem, batch_size, hardware=Hardware(workers=workers))
    for name in ("train", "validation", "test"):
        for key, value in at_once(model, getattr(problem, name)).items():
            assert row[f"{name}_{key}"] == pytest.approx(value, rel=1e-6, abs=1e-9), (name, key)
    assert not model.training


def test_the_loss_of_a_double_run_does_not_depend_on_the_batches():
    model = smooth_net((1, 4, 4), 6).double()
    double = Hardware(precision="64-true")
    rows = [figures(model, clouds(1), size, hardware=double) for size in (1, 7, 512)]
    for row in rows[1:]:
        assert row == pytest.approx(rows[0], rel=1e-14, nan_ok=False)


def test_binary_cross_entropy_is_evaluated_as_such():
    problem, model = clouds(0), net((1, 4, 4), 6)
    row = figures(model, problem, 7, loss=BinaryCrossEntropy(smoothing=0.1))
    assert row["test_loss"] == pytest.approx(at_once(model, problem.test, sums=True)["loss"], rel=1e-6)


class Constant(nn.Module):
    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, x):
        return self.logits.expand(len(x), -1)


def test_ties_are_broken_as_by_topk():
    """A model that finds all classes alike is right about one of six, and has five of six among its top five."""
    problem, model = clouds(0), Constant([0.0] * 6)
    row = figures(model, problem, 7)
    expected = at_once(model, problem.test)
    assert row["test_accuracy"] == pytest.approx(expected["accuracy"])
    assert row["test_top5_accuracy"] == pytest.approx(expected["top5_accuracy"])
    assert row["test_top5_accuracy"] < 100


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_none(value):
    row = figures(Constant([value] + [0.0] * 5), clouds(0))
    assert row["test_loss"] is None
    assert row["test_accuracy"] is not None


def test_shares_of_flipped_labels_are_counted_among_them_alone():
    """Eight of the 53 labels are wrong; they are fitted, recovered, or neither."""
    problem = clouds(0)
    flipped = problem.train.labels != problem.train.clean_labels
    assert int(flipped.sum()) == 8
    torch.manual_seed(1)
    model = net((1, 4, 4), 6).eval()
    predicted = model(problem.train.inputs).argmax(1)
    for size in (1, 7, 512):
        row = figures(model, problem, size)
        assert row["flipped_fitted"] == 100 * float((predicted == problem.train.labels)[flipped].sum()) / 8
        assert row["flipped_recovered"] == 100 * float((predicted == problem.train.clean_labels)[flipped].sum()) / 8


def second(split, names):
    """The next class for every third sample, its own for the others."""
    labels = split.labels
    other = torch.where(torch.arange(len(labels)) % 3 == 0, (labels + 1) % 6, labels)
    return SecondLabel(other, **names)


def slowly(model, split, other):
    """Sample by sample: (followed, resisted, agreed) in percent."""
    counts = {"followed": [0, 0], "resisted": [0, 0], "agreed": [0, 0]}
    for index in range(len(split)):
        with torch.no_grad():
            predicted = int(model(split.inputs[index : index + 1]).argmax())
        label, apart = int(split.labels[index]), int(split.labels[index]) != int(other[index])
        for name, counted, hit in (
            ("followed", apart, predicted == int(other[index])),
            ("resisted", apart, predicted == label),
            ("agreed", not apart, predicted == label),
        ):
            counts[name][0] += counted and hit
            counts[name][1] += counted
    return {name: 100 * hit / of for name, (hit, of) in counts.items()}


@pytest.mark.parametrize("batch_size", [1, 7, 10, 512])
def test_second_labels_are_measured_as_by_hand_in_every_split(batch_size):
    problem, seconds = clouds(0), {}
    for name in ("train", "validation", "test"):
        split = getattr(problem, name)
        seconds[name] = second(split, {key: f"{name}_{key}" for key in ("followed", "resisted", "agreed")})
        split.second_labels = (seconds[name],)
    torch.manual_seed(1)
    model = net((1, 4, 4), 6).eval()
    row = figures(model, problem, batch_size)
    for name in ("train", "validation", "test"):
        wanted = slowly(model, getattr(problem, name), seconds[name].classes)
        assert len(set(wanted.values())) > 1
        assert {key: row[f"{name}_{key}"] for key in wanted} == pytest.approx(wanted)
    assert row["flipped_fitted"] is not None  # the true classes of the same training samples are measured beside


def test_figures_without_a_name_are_not_measured_and_without_members_are_none():
    problem = clouds(0)
    problem.test.second_labels = (SecondLabel(problem.test.labels, followed="followed", agreed="agreed"),)
    plain = figures(net((1, 4, 4), 6), clouds(0))
    row = figures(net((1, 4, 4), 6), problem)
    assert row.keys() - plain.keys() == {"followed", "agreed"}
    assert row["followed"] is None and row["agreed"] is not None


def test_marked_digits_are_measured_in_two_batches_as_by_their_pixels():
    problem = digits(0, marks=0.9)
    model = MLP(hidden=(8,)).build(problem.shape, 10)
    row = figures(model, problem, 400)  # 797 test images: 400 and 397
    names = {f"{split}_mark_{figure}" for split in ("train", "validation", "test")
             for figure in ("followed", "wrong_accuracy", "right_accuracy")}  # fmt: skip
    assert names <= row.keys()
    model.eval()
    for name in ("train", "test"):
        split = getattr(problem, name)
        wanted = slowly(model, split, split.second_labels[0].classes)
        found = [row[f"{name}_mark_{figure}"] for figure in ("followed", "wrong_accuracy", "right_accuracy")]
        assert found == pytest.approx([wanted[key] for key in ("followed", "resisted", "agreed")])


@pytest.mark.parametrize("names", [{"followed": "test_loss"}, {"followed": "x", "agreed": "x"}])
def test_a_figure_needs_a_name_of_its_own(names):
    problem = clouds(0)
    problem.test.second_labels = (second(problem.test, names),)
    with pytest.raises(ConfigurationError, match=r"^cannot measure (test_loss|x) by a second label, because .*; use"):
        figures(net((1, 4, 4), 6), problem)


@pytest.mark.parametrize("classes", [torch.zeros(18, dtype=torch.int64), torch.zeros(19), torch.zeros(19, 1).long()])
def test_second_labels_are_one_class_per_sample(classes):
    test = clouds(0).test
    with pytest.raises(ConfigurationError, match=r"^cannot measure x with .* for labels of shape \[19\], because"):
        TensorSplit(test.inputs, test.labels, second_labels=(SecondLabel(classes, followed="x"),))


def test_where_no_label_was_flipped_the_shares_are_none():
    train = clouds(0).train
    unknown, none_wrong = TensorSplit(train.inputs, train.labels), TensorSplit(train.inputs, train.labels, train.labels)
    for split in (unknown, none_wrong):
        row = figures(net((1, 4, 4), 6), replace(clouds(0), train=split))
        assert row["flipped_fitted"] is None and row["flipped_recovered"] is None


def test_training_samples_are_seen_without_augmentation():
    problem = digits(0, shift=3)
    model = MLP(hidden=(8,)).build(problem.shape, 10)
    run_config = RunConfig("x", data=Digits(shift=3))
    row = Evaluator(run_config, Engine(run_config.hardware), problem).row(model)
    assert row["train_loss"] == pytest.approx(at_once(model, problem.train)["loss"], rel=1e-6)


def test_splits_that_are_missing_or_not_wanted_have_no_figures():
    problem, model = clouds(0), net((1, 4, 4), 6)
    assert not [name for name in figures(model, problem, train=False) if name.startswith(("train", "flipped"))]
    alone = Problem(problem.train, None, None, num_outputs=6, shape=(1, 4, 4))
    row = figures(model, alone, train=False)  # which is what it is judged on, then
    assert {name.partition("_")[0] for name in row} == {"train", "flipped"}
    assert (alone.judged_on, alone.chosen_on) == ("train", "train")
    held_out = Problem(problem.train, problem.validation, None, num_outputs=6, shape=(1, 4, 4))
    assert (held_out.judged_on, held_out.chosen_on) == ("validation", "validation")
    assert (problem.judged_on, problem.chosen_on) == ("test", "validation")


def test_evaluation_leaves_weights_statistics_and_generators_alone():
    model = net((1, 4, 4), 6)
    before, generator = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    figures(model, clouds(0), 7)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)
