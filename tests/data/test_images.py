"""The part of a configuration that says which images a run trains on."""

import json

import numpy as np
import pytest
import torch

from samnesia.data.loader import Plan, TrainingKeys, TrainingView, training_loader
from samnesia.data.relabel import write_labels
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.parts.data import TFDS, Folder, Hub, Images, Mixing, PadCropFlip, Plain, Shards, Torchvision
from samnesia.train.plain import from_plain, to_plain
from tests.data.image_files import folders


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Twenty training and twenty test images of two classes."""
    return str(folders(tmp_path_factory.mktemp("images"), classes=("ant", "bee"), each=10))


def images(root, **options):
    return Images(Folder(root), **{"image_size": 8, **options})


def refused(match, root, seed=0, **options):
    with pytest.raises(ConfigurationError, match=match) as caught:
        images(root, **options).load(seed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        Images(Folder("a", validation="dev", test=None), num_classes=7, augmentation=Plain(), mean=None, std=None),
        Images(Torchvision("CIFAR10", "a", download=True), image_size=32, augmentation=PadCropFlip(cutout=16)),
        Images(Hub("beans", label="labels"), interpolation="bicubic", mixing=Mixing(mixup=0.2), noise="all"),
        Images(Shards("a-{0..3}.tar"), flipped=0.4, relabel="b.npy", holdout=10, damaged="skip", mean=(0.1, 0.2, 0.3)),
        Images(TFDS("beans")),
    ],
)
def test_configurations_go_through_json(data):
    assert from_plain(Images, json.loads(json.dumps(to_plain(data)))) == data


def test_held_out_samples_are_drawn_by_seed(root):
    first, again, other = (images(root, holdout=6).load(seed) for seed in (0, 0, 1))
    parts = [set(split.numbers.tolist()) for split in (first.train, first.validation)]
    assert [len(part) for part in parts] == [14, 6]
    assert parts[0] | parts[1] == set(range(20))
    assert first.train.numbers.tolist() == sorted(parts[0])  # in the order of the source
    assert torch.equal(first.validation.numbers, again.validation.numbers)
    assert not torch.equal(first.validation.numbers, other.validation.numbers)
    whole = images(root).load(0).train
    for split in (first.train, first.validation):
        inputs, labels = split.batch([2, 0])
        wanted = whole.batch(split.numbers[[2, 0]].tolist())
        assert torch.equal(inputs, wanted[0]) and torch.equal(labels, wanted[1])
    assert first.chosen_on == "validation" and first.judged_on == "test"


def test_noise_moves_an_exact_share_of_training_and_validation_labels(root):
    problem, clean = (images(root, holdout=10, flipped=flipped).load(3) for flipped in (0.4, 0.0))
    for split, known in ((problem.train, clean.train), (problem.validation, clean.validation)):
        assert int((split.labels != split.clean_labels).sum()) == 4
        assert torch.equal(split.clean_labels, known.labels)
        assert torch.equal(split.batch(range(10))[1], split.labels)
        assert known.clean_labels is None
    assert problem.test.clean_labels is None
    assert problem.test.labels.tolist() == [0] * 10 + [1] * 10


def test_noise_over_all_classes_leaves_some_labels_right(root):
    wrong = [
        int((split.labels != split.clean_labels).sum())
        for split in (images(root, flipped=1.0, noise="all").load(seed).train for seed in range(20))
    ]
    assert 160 < sum(wrong) < 240  # half of the 400, where the other convention has them all


@pytest.mark.parametrize("kind", ["npy", "json"])
def test_labels_of_a_file_replace_those_of_training(root, tmp_path, kind):
    path, labels = tmp_path / f"labels.{kind}", [1, 0] * 10
    path.write_text(json.dumps(labels)) if kind == "json" else np.save(path, labels)
    problem = images(root, relabel=str(path), flipped=0.5).load(0)
    assert problem.train.labels.tolist() == labels
    assert problem.train.clean_labels.tolist() == [0] * 10 + [1] * 10
    assert problem.test.labels.tolist() == [0] * 10 + [1] * 10


def test_predicted_labels_return_to_their_samples_around_held_out_ones(root, tmp_path):
    path = str(tmp_path / "labels.npy")
    first = images(root, holdout=5).load(0).train
    write_labels(path, first, np.arange(15) % 2)
    again = images(root, holdout=5, relabel=path).load(0).train
    assert again.labels.tolist() == [number % 2 for number in range(15)]
    refused("training samples have no label in it, as if others had been held out", root, 1, holdout=5, relabel=path)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (None, "there is no such file"),
        ([0, 1], r"20 training samples require a whole number each, and it holds int64 of shape \[2\]"),
        ([0.5] * 20, "it holds float64"),
        ([2] * 20, "labels lie between 0 and 1, and it holds 2 to 2"),
        ([-2] * 20, "labels lie between 0 and 1"),
        ("no labels", "neither a .npy file nor a .json list"),
    ],
)
def test_files_of_other_labels_are_refused(root, tmp_path, content, match):
    for kind in ("npy", "json"):
        path = tmp_path / f"labels.{kind}"
        if isinstance(content, str):
            path.write_text(content)
        elif content is not None:
            path.write_text(json.dumps(content)) if kind == "json" else np.save(path, content)
        refused(match, root, relabel=str(path))


def test_another_number_of_classes_is_refused(root):
    refused("with num_classes 1000, because the data set has 2 classes; use 2", root, num_classes=1000)


def test_one_class_is_refused(tmp_path):
    folders(tmp_path, classes=("ant",))
    refused("nothing to tell apart", tmp_path)


def test_holding_out_what_is_not_there_is_refused(root):
    refused("cannot hold out 20 of 20 training samples, because none would be left", root, holdout=20)
    with pytest.raises(ConfigurationError, match="has a validation set of its own"):
        Images(Folder(root, validation="val"), holdout=3, image_size=8).load(0)


def test_a_validation_set_of_its_own_gets_the_noise_of_training(root):
    problem = Images(Folder(root, validation="val", test=None), image_size=8, flipped=0.5).load(0)
    assert int((problem.validation.labels != problem.validation.clean_labels).sum()) == 10
    assert problem.test is None and problem.judged_on == "validation"


def test_the_mixer_knows_classes_and_seed(root):
    problem = images(root, mixing=Mixing(mixup=1.0)).load(5)
    inputs, targets = problem.mix(*problem.train.batch([0, 19], 2), 2, [0, 19])
    assert targets.shape == (2, 2) and inputs.shape == (2, 3, 8, 8)
    other = images(root, mixing=Mixing(mixup=1.0)).load(6)
    assert not torch.equal(other.mix(*problem.train.batch([0, 19], 2), 2, [0, 19])[1], targets)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"flipped": 1.5}, "a share lies between 0 and 1"),
        ({"image_size": 0}, "image_size 0"),
        ({"num_classes": 1}, "num_classes 1"),
        ({"holdout": -1}, "holdout -1"),
        ({"crop_pct": 0.0}, "crop a share of 0.0"),
        ({"mean": (0.5,)}, r"mean \(0.5,\)"),
        ({"std": (0.5, 0.5, 0.0)}, "std a positive one"),
    ],
)
def test_impossible_values_are_refused(options, match):
    with pytest.raises(ConfigurationError, match=match):
        Images(Folder("nowhere"), **options)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_image_stops_the_run_in_one_sentence_whoever_loads_it(tmp_path, workers):
    root = folders(tmp_path)
    damaged = root / "train" / "bee" / "1.jpg"
    damaged.write_bytes(damaged.read_bytes()[:100])
    problem = Images(Folder(str(root)), image_size=8).load(seed=0)
    plan = Plan(samples=12, batch=6, chunk=None, piece=None, drop_last=True, seed=0)
    loaded = training_loader(TrainingView(problem, None), TrainingKeys(plan, 0, range(1)), workers=workers, pin=False)
    with pytest.raises(ConfigurationError, match=rf"cannot train with {damaged}, because the image") as raised:
        list(loaded)
    assert "\n" not in str(raised.value)
