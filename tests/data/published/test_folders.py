"""ImageNet-V2, -R, -A, -Sketch, ReaL and folders of a user's own, on made images in the layout of each."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from samnesia.data.published.classes import ClassNumbers, imagenet_classes, imagenet_part
from samnesia.data.published.folders import open_own, open_part, open_sketch, open_v2
from samnesia.data.published.real import open_real, own_images, read_real
from samnesia.data.sample_split import Views
from samnesia.data.views import Appearance
from samnesia.perturb.errors import ConfigurationError, DamagedSampleWarning
from samnesia.train.parts.data import Images
from samnesia.train.parts.sources import Folder
from tests.data.published_sets import COLOURS, folders, image, imagenet, real

WNIDS = imagenet_classes()
CLASSES = ClassNumbers({name: (number,) for number, name in enumerate(WNIDS)}, 1000, "ImageNet")
LOOK = Appearance(8, (0.0,) * 3, (1.0,) * 3, 0.875, "bilinear")
VIEWS = Views(LOOK.evaluation(), LOOK.evaluation(), (3, 8, 8))


def shown(labelled):
    """Which class each image shows, by its colour."""
    found = [np.asarray(labelled.samples.image(index)).mean((0, 1)) for index in range(len(labelled.samples))]
    return [int(((COLOURS - one) ** 2).sum(1).argmin()) for one in found]


@pytest.fixture(scope="module")
def v2(tmp_path_factory):
    names = [str(number) for number in range(1000)]
    return folders(tmp_path_factory.mktemp("v2"), names, {name: [int(name)] for name in names}, ".jpeg")


def test_v2_goes_by_the_number_and_not_by_the_order_of_names(v2):
    found = open_v2(v2, CLASSES, skip=False)
    assert found.answers.shape == (1000, 1) and found.among is None and not found.missing
    assert shown(found) == found.answers[:, 0].tolist()
    assert found.answers[:4, 0].tolist() == [0, 1, 10, 100]  # as folders are listed: this is the trap


def test_v2_goes_through_the_names_of_the_model(v2):
    turned = ClassNumbers({name: (999 - number,) for number, name in enumerate(WNIDS)}, 1000, "a turned folder")
    assert open_v2(v2, turned, skip=False).answers[:4, 0].tolist() == [999, 998, 989, 899]


def test_v2_in_other_forms(v2, tmp_path):
    part = folders(tmp_path / "part", ["0", "7"], {"0": [0], "7": [7, 7]})
    with pytest.raises(ConfigurationError, match=r"incomplete: 1, 2, 3, 4, 5 and 993 more are missing; .*skip"):
        open_v2(part, CLASSES, skip=False)
    found = open_v2(part, CLASSES, skip=True)
    assert found.answers[:, 0].tolist() == [0, 7, 7] and len(found.missing) == 998
    with pytest.raises(ConfigurationError, match="folders of ImageNet-V2 are 0 to 999, and 'part' is there"):
        open_v2(tmp_path, CLASSES, skip=False)
    image(tmp_path / "more" / "1000" / "a.jpeg", 0)
    with pytest.raises(ConfigurationError, match="has a class 1000"):
        open_v2(tmp_path / "more", CLASSES, skip=False)


@pytest.mark.parametrize("letter", ["r", "a"])
def test_parts_have_200_classes_among_which_predictions_are(letter, tmp_path):
    names = imagenet_part(letter)
    numbers = [WNIDS.index(name) for name in names]
    root = folders(tmp_path / "set", names, {name: [0] for name in names}, ".jpg")
    (root / "README.txt").write_text("images of others")
    (root / names[0] / "._image 0.jpg").write_bytes(b"not an image, but what an archive leaves behind")
    found = open_part(root, letter, CLASSES, skip=False)
    assert found.answers[:, 0].tolist() == found.among.tolist() == sorted(numbers)
    shutil.rmtree(root / names[5])
    for path in (root / names[6]).iterdir():
        path.unlink()
    with pytest.raises(ConfigurationError, match=rf"incomplete: {names[5]}, {names[6]} \(empty\) are missing"):
        open_part(root, letter, CLASSES, skip=False)
    rest = open_part(root, letter, CLASSES, skip=True)
    assert len(rest.samples) == 198 and len(rest.among) == 200  # the rule stays that of the whole set
    stranger = next(name for name in WNIDS if name not in names)
    image(root / stranger / "a.jpg", 0)
    with pytest.raises(ConfigurationError, match=f"{stranger} is there, and none of the 200 folders of the set"):
        open_part(root, letter, CLASSES, skip=True)


def test_sketch_has_all_classes(tmp_path):
    root = folders(tmp_path, WNIDS, {name: [number] for number, name in enumerate(WNIDS)})
    found = open_sketch(root, CLASSES, skip=False)
    assert found.answers[:, 0].tolist() == list(range(1000)) and found.among is None
    few = ClassNumbers({name: (number,) for number, name in enumerate(WNIDS[:100])}, 100, "the data of the model")
    with pytest.raises(ConfigurationError, match=r"none of the 100 classes of the data of the model .* give a file"):
        open_sketch(root, few, skip=False)


def test_own_folders_with_several_right_classes_and_some_left_out(tmp_path):
    root = folders(tmp_path, ["chair", "other", "tools"], {"chair": [1, 2], "other": [3], "tools": [4]})
    classes = ClassNumbers({"chair": (5,), "tools": (8, 2), "other": ()}, 10, "classes.json")
    found = open_own(root, classes, restrict=False)
    assert found.answers.tolist() == [[5, -1], [5, -1], [8, 2]] and found.among is None
    assert found.covered.tolist() == [2, 5, 8]
    assert open_own(root, classes, restrict=True).among.tolist() == [2, 5, 8]
    with pytest.raises(ConfigurationError, match="its folder 'other' is none of the 1 classes of x"):
        open_own(root, ClassNumbers({"chair": (5,)}, 10, "x"), restrict=False)
    with pytest.raises(ConfigurationError, match="no folder in it has images"):
        open_own(root / "chair", classes, restrict=False)
    with pytest.raises(ConfigurationError, match="is no directory that can be read"):
        open_own(root / "missing", classes, restrict=False)


def test_damaged_images_are_named_or_left_out(tmp_path):
    root = folders(tmp_path, ["a", "b"], {"a": [1, 2], "b": [3]})
    (root / "a" / "image 1.JPEG").write_bytes(b"\xff\xd8\xff broken")
    found = open_own(root, ClassNumbers({"a": (0,), "b": (1,)}, 2, "x"), restrict=False)
    with pytest.raises(
        ConfigurationError, match=r'cannot evaluate on .*image 1.JPEG, .* damaged: .*; .* damaged "skip"'
    ):
        found.split(VIEWS, skip_damaged=False).batch([0, 1, 2])
    split = found.split(VIEWS, skip_damaged=True)
    with pytest.warns(DamagedSampleWarning, match="image 1.JPEG"):
        inputs, answers = split.batch([0, 1, 2])
    assert inputs.shape == (2, 3, 8, 8) and answers.tolist() == [[0], [1]] and split.damaged == {1}


@pytest.fixture(scope="module")
def validation(tmp_path_factory):
    return imagenet(tmp_path_factory.mktemp("imagenet")) / "val"


def test_real_labels_belong_to_the_numbers_in_names(validation, tmp_path):
    # one image for each class, so that image n + 1 is of class n; folders are in the order of wnids
    rows = [[number, (number + 3) % 1000] if number % 4 else [] for number in range(1000)]
    found = open_real(real(tmp_path / "real.json", rows), validation, CLASSES, skip=False)
    assert len(found.samples) == 750 and found.among is None
    assert [sorted(row) for row in found.answers.tolist()] == [sorted(row) for row in rows if row]
    assert shown(found) == [number for number in range(1000) if number % 4]


def test_real_images_in_one_folder_and_missing_ones(validation, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for file in list(validation.glob("*/*"))[:500]:
        shutil.copy(file, flat)
    labels = real(tmp_path / "real.json", [[0]] * 1000)
    with pytest.raises(ConfigurationError, match=r"incomplete: ILSVRC2012_val_\d{8}.JPEG, .* and 495 more are missing"):
        open_real(labels, flat, CLASSES, skip=False)
    assert len(open_real(labels, flat, CLASSES, skip=True).samples) == 500
    with pytest.raises(ConfigurationError, match="they are of 10 images, and .* has a higher number"):
        open_real(real(tmp_path / "few.json", [[0]] * 10), validation, CLASSES, skip=False)
    with pytest.raises(ConfigurationError, match="has a class 1000"):
        open_real(real(tmp_path / "far.json", [[1000]] + [[0]] * 999), validation, CLASSES, skip=False)
    (tmp_path / "none").mkdir()
    with pytest.raises(ConfigurationError, match="it has no image that they are of"):
        open_real(labels, tmp_path / "none", CLASSES, skip=True)


def test_own_images_of_real_labels(validation):
    problem = Images(Folder(str(validation.parent)), image_size=8).load(0)
    assert own_images(problem) == validation
    with pytest.raises(ConfigurationError, match=r"own test images, because .*; name the folder .*real_images DIR"):
        own_images(replace(problem, test=None))


def test_real_labels_that_come_with_timm_are_the_published_ones():
    rows = read_real("timm")
    assert len(rows) == 50_000 and sum(map(bool, rows)) == 46_837  # as their authors count them


@pytest.mark.parametrize("text", ['{"a": 1}', "[1, 2]", '[["a"]]', "[", "[]"])
def test_files_that_hold_no_real_labels(tmp_path, text):
    (tmp_path / "real.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"cannot read ReaL labels from .*; use real.json"):
        read_real(tmp_path / "real.json")
