"""Data sets of torchvision, from small files in their true formats."""

import numpy as np
import pytest
import torch

from samnesia.perturb.errors import ConfigurationError
from samnesia.train.parts.data import CIFAR10_MEAN, CIFAR10_STD, Images, PadCropFlip, Torchvision
from tests.data import image_files


@pytest.mark.parametrize("classes", [10, 100])
def test_cifar_is_what_its_batches_hold(tmp_path, monkeypatch, classes):
    content = image_files.cifar(tmp_path, classes, monkeypatch)
    data = Images(
        Torchvision(f"CIFAR{classes}", str(tmp_path)),
        num_classes=classes,
        image_size=32,
        augmentation=PadCropFlip(),
        mean=CIFAR10_MEAN,
        std=CIFAR10_STD,
    )
    problem = data.load(0)
    batches = [f"data_batch_{number}" for number in range(1, 6)] if classes == 10 else ["train"]
    labels = {10: "labels", 100: "fine_labels"}[classes]
    for split, names in ((problem.train, batches), (problem.test, ["test_batch" if classes == 10 else "test"])):
        inputs, targets = split.batch(range(len(split)))
        pixels = np.concatenate([content[name]["data"] for name in names]).reshape(-1, 3, 32, 32)
        mean, std = (torch.tensor(values)[:, None, None] for values in (CIFAR10_MEAN, CIFAR10_STD))
        assert torch.equal(inputs, (torch.from_numpy(pixels).float() / 255 - mean) / std)
        assert targets.tolist() == sum((content[name][labels] for name in names), [])
    assert not torch.equal(problem.train.batch([0], 0)[0], problem.train.batch([0])[0])


def test_an_interrupted_download_is_said(tmp_path, monkeypatch):
    image_files.cifar(tmp_path, 10, monkeypatch)
    batch = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    batch.write_bytes(batch.read_bytes()[:-100])
    with pytest.raises(ConfigurationError, match="not all there or a download was interrupted.*data.source.download$"):
        Torchvision("CIFAR10", str(tmp_path)).open()


def colours(samples):
    return [np.asarray(samples.image(index)).mean() for index in range(len(samples))]


def expected(numbers):
    return [np.asarray(image_files.photograph(number)).mean() for number in numbers]


def check(samples, numbers, labels):
    assert samples.labels.tolist() == labels
    assert colours(samples) == pytest.approx(expected(numbers), abs=1.5)


def test_aircraft_joins_splits(tmp_path):
    image_files.aircraft(tmp_path)
    sets = Torchvision("FGVCAircraft", str(tmp_path), train="train+val").open()
    assert sets.num_classes == 3
    check(sets.train, range(8), [number % 3 for number in range(8)])
    check(sets.test, range(8, 12), [number % 3 for number in range(8, 12)])
    assert sets.train.name(5).endswith("images/0000005.jpg")


def test_flowers_has_a_validation_set(tmp_path, monkeypatch):
    image_files.flowers(tmp_path, monkeypatch)
    sets = Torchvision("Flowers102", str(tmp_path), validation="val").open()
    assert sets.num_classes == 102
    check(sets.train, (1, 4, 7), [101, 101, 101])
    check(sets.validation, (2, 5, 8), [0, 0, 0])
    check(sets.test, (3, 6, 9), [1, 1, 1])


def test_pets(tmp_path):
    image_files.pets(tmp_path)
    sets = Torchvision("OxfordIIITPet", str(tmp_path), train="trainval").open()
    assert sets.num_classes == 3
    check(sets.train, range(6), [0, 1, 2] * 2)
    check(sets.test, range(6, 12), [0, 1, 2] * 2)


def test_cars(tmp_path):
    image_files.cars(tmp_path)
    sets = Torchvision("StanfordCars", str(tmp_path)).open()
    assert sets.num_classes == 2
    check(sets.train, range(4), [0, 1, 0, 1])
    check(sets.test, range(4), [0, 1, 0, 1])


def test_food(tmp_path):
    image_files.food(tmp_path)
    sets = Torchvision("Food101", str(tmp_path)).open()
    assert sets.num_classes == 2
    check(sets.train, range(6), [0, 0, 0, 1, 1, 1])
    assert len(sets.test) == 6


def test_images_that_an_interrupted_download_left_out_are_said(tmp_path):
    image_files.aircraft(tmp_path)
    (tmp_path / "fgvc-aircraft-2013b" / "data" / "images" / "0000002.jpg").unlink()
    with pytest.raises(ConfigurationError, match=r"1 of its 4 images are not there, such as .*0000002.jpg"):
        Torchvision("FGVCAircraft", str(tmp_path)).open()
    (tmp_path / "fgvc-aircraft-2013b" / "data" / "variants.txt").unlink()
    with pytest.raises(ConfigurationError, match="not all there or a download was interrupted"):
        Torchvision("FGVCAircraft", str(tmp_path)).open()


@pytest.mark.parametrize(
    ("source", "match"),
    [
        ({"name": "CIFAR11"}, "no set of that name"),
        ({"name": "FakeData"}, "no set of that name"),
        ({"name": "utils"}, "no set of that name"),
        ({"train": "training"}, "the split 'training' of CIFAR10, because it has only 'train' and 'test'"),
        ({"name": "FGVCAircraft", "train": "most"}, r"'most' of FGVCAircraft, because torchvision refuses it \(.*"),
        ({"name": "Flowers102"}, "not all there or a download was interrupted"),
        ({"root": "/no/such"}, "from /no/such, because there is no such directory"),
    ],
)
def test_what_is_not_there_is_said_in_one_sentence(tmp_path, source, match):
    with pytest.raises(ConfigurationError, match=match) as caught:
        Torchvision(**{"name": "CIFAR10", "root": str(tmp_path), **source}).open()
    assert "\n" not in str(caught.value)
