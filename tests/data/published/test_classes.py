"""Which class of a model a folder stands for."""

import json

import numpy as np
import pytest
import torch

from samnesia.data.problem import Problem, TensorSplit
from samnesia.data.published.classes import classes_of, imagenet_classes, imagenet_part, read_classes
from samnesia.data.published.labelled import NONE, answers_of, some
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.parts.data import Images
from samnesia.train.parts.sources import Folder
from tests.data.image_files import folders


def problem(root, **options):
    return Images(Folder(str(root), test=None), image_size=8, **options).load(0)


def without_folders(outputs):
    split = TensorSplit(torch.zeros(2, 3, 8, 8), torch.tensor([0, 1]))
    return Problem(split, None, None, num_outputs=outputs, shape=(3, 8, 8))


def test_names_are_those_of_the_folders_trained_on_in_the_order_of_the_model(tmp_path):
    # natural order, which is that of the classes in training: class10 comes after class2
    classes = classes_of(problem(folders(tmp_path, classes=("class2", "class10", "class1"), each=2)))
    assert dict(classes.numbers) == {"class1": (0,), "class2": (1,), "class10": (2,)}
    with pytest.raises(ConfigurationError, match="its folder 'class3' is none of the 3 classes of the data of the"):
        classes.of("class3", "DIR")


def test_wnids_are_imagenets_for_a_model_of_1000_classes_without_folders():
    classes = classes_of(without_folders(1000))
    assert classes.of("n01440764", "x") == (0,) and classes.of("n15075141", "x") == (999,)
    assert classes.of_imagenet(7, "x") == (7,) and len(classes.imagenet) == 1000
    with pytest.raises(ConfigurationError, match="has a class 1000, and ImageNet's are numbered from 0 to 999"):
        classes.of_imagenet(1000, "x")
    with pytest.raises(ConfigurationError, match=r"which of the 10 classes.*; give a file of class numbers"):
        classes_of(without_folders(10))


def test_imagenets_numbers_go_through_the_names_of_the_model(tmp_path):
    known = imagenet_classes()
    wnids = sorted((known[30], known[4], known[999]))
    classes = classes_of(problem(folders(tmp_path, classes=wnids, each=1)))
    assert [classes.of_imagenet(number, "x") for number in (4, 30, 999)] == [(0,), (1,), (2,)]
    assert classes.imagenet == tuple(wnids)
    with pytest.raises(ConfigurationError, match="is none of the 3 classes"):
        classes.of_imagenet(5, "x")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.json", json.dumps({"n1": 3, "tools": [0, 2], "other": None})),
        ("classes.csv", "folder,class\nn1,3\ntools,0,2\nother,\n"),
        ("classes.csv", "n1, 3\n\ntools, 0, 2\nother\n"),
    ],
)
def test_files_of_class_numbers(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert read_classes(tmp_path / name, 4) == {"n1": (3,), "tools": (0, 2), "other": ()}
    with pytest.raises(ConfigurationError, match=r"the class 3 of 'n1' in .*, because the model has 3 classes"):
        read_classes(tmp_path / name, 3)
    classes = classes_of(without_folders(1000), tmp_path / name)
    assert classes.of("tools", "x") == (0, 2) and classes.of("n01440764", "x") == (0,)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.json", "[1, 2]", "it holds no object"),
        ("a.json", '{"a": "b"}', "'a' has 'b'"),
        ("a.json", '{"a": 1', "delimiter"),
        ("a.json", '{"a": true}', "'a' has True"),
        ("a.csv", "a,b\nc,d\n", "invalid literal"),
        ("a.csv", "a,1\na,2\n", "'a' stands there twice"),
        ("a.csv", "", "it is empty"),
    ],
)
def test_bad_files_of_class_numbers(tmp_path, name, text, why):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigurationError, match=rf"cannot read class numbers from .*{why}.*; write"):
        read_classes(tmp_path / name, 4)
    with pytest.raises(ConfigurationError, match="No such file"):
        read_classes(tmp_path / "missing.json", 4)


def test_lists_are_those_of_the_authors():
    """What is known of them: counts, first and last of the sorted identifiers, and that the parts are of the whole."""
    whole = imagenet_classes()
    assert len(set(whole)) == 1000 and list(whole) == sorted(whole)
    r, a = imagenet_part("r"), imagenet_part("a")
    assert len(set(r)) == len(set(a)) == 200 and set(r) | set(a) <= set(whole)
    assert (whole.index(r[0]), whole.index(a[0])) == (1, 6)  # goldfish, stingray


def test_answers_and_lists_of_names():
    np.testing.assert_array_equal(answers_of([(4,), (1, 2), ()]), [[4, NONE], [1, 2], [NONE, NONE]])
    assert some("a") == "a is" and some("abc") == "a, b, c are" and some("abcdefg") == "a, b, c, d, e and 2 more are"
