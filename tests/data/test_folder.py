"""Image folders, and what is wrong with them."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from samnesia.perturb.errors import ConfigurationError
from samnesia.train.parts.data import Folder, Images, Plain
from tests.data.image_files import encoded, folders, jpeg


def test_images_and_labels_are_those_of_the_folders(tmp_path):
    folders(tmp_path, height=32, width=32)
    problem = Images(Folder(str(tmp_path)), image_size=32, mean=None, std=None, augmentation=Plain()).load(0)
    assert problem.num_outputs == 3
    assert problem.shape == (3, 32, 32)
    assert problem.validation is None
    inputs, labels = problem.train.batch(range(12))
    assert labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    pixels = [np.asarray(Image.open(io.BytesIO(encoded(number, height=32, width=32)))) for number in range(12)]
    assert torch.equal(inputs, torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255)
    assert problem.test.batch([5])[1].tolist() == [1]


def test_classes_are_numbered_alike_in_all_splits_and_in_natural_order(tmp_path):
    folders(tmp_path, ("train", "dev", "val"), ("class10", "class9", "class1"), each=2)
    sets = Folder(str(tmp_path), validation="dev").open()
    assert sets.num_classes == 3
    for samples in (sets.train, sets.validation, sets.test):
        names = [samples.name(index).split("/")[-2] for index in range(len(samples))]
        assert dict(zip(names, samples.labels.tolist(), strict=True)) == {"class1": 0, "class9": 1, "class10": 2}


def test_other_modes_and_formats_become_rgb(tmp_path):
    folders(tmp_path, each=1)
    Image.new("L", (8, 8), 100).save(tmp_path / "train" / "ant" / "0.png")
    Image.new("RGBA", (8, 8), (100, 100, 100, 7)).save(tmp_path / "train" / "bee" / "0.webp", lossless=True)
    Image.new("CMYK", (8, 8), (0, 0, 0, 155)).save(tmp_path / "train" / "cat" / "cmyk.jpg")
    samples = Folder(str(tmp_path)).open().train
    colours = {
        samples.name(index).rpartition("/")[2]: samples.image(index).getpixel((3, 3)) for index in range(len(samples))
    }
    assert colours["0.png"] == colours["0.webp"] == (100, 100, 100)
    assert colours["cmyk.jpg"] == pytest.approx((100, 100, 100), abs=2)


def refused(match, root, **splits):
    with pytest.raises(ConfigurationError, match=match) as caught:
        Folder(str(root), **splits).open()
    assert "\n" not in str(caught.value)


def test_a_missing_directory_is_named(tmp_path):
    refused(r"from .*/nowhere, because there is no such directory", tmp_path / "nowhere")


def test_a_missing_split_is_named_with_those_that_are_there(tmp_path):
    folders(tmp_path)
    refused(r"the split 'test' from .* no such folder; there are train, val$", tmp_path, test="test")


def test_an_empty_class_folder_is_named(tmp_path):
    folders(tmp_path)
    (tmp_path / "train" / "dodo").mkdir()
    (tmp_path / "val" / "dodo").mkdir()
    refused("every class folder must hold images, and 'dodo' has none", tmp_path)


def test_a_folder_without_any_image_is_refused(tmp_path):
    (tmp_path / "train" / "ant").mkdir(parents=True)
    refused("no folder in it has any", tmp_path, test=None)


def test_images_outside_a_class_are_refused(tmp_path):
    folders(tmp_path)
    jpeg(tmp_path / "train" / "stray.jpg", 0)
    refused("some lie outside a class folder", tmp_path)


def test_splits_of_other_classes_are_refused(tmp_path):
    folders(tmp_path)
    (tmp_path / "val" / "cat").rename(tmp_path / "val" / "cow")
    refused(r"must have the same class folders, and 'cat' is in one of them alone \(2 of this kind\)", tmp_path)
