"""ImageNet-C and CIFAR-C in their own layouts, whole and incomplete."""

import pickle
import shutil

import numpy as np
import pytest

from samnesia.data.corruptions import EXTRA, MAIN
from samnesia.data.published.cifar_c import open_cifar_c
from samnesia.data.published.classes import ClassNumbers, imagenet_classes
from samnesia.data.published.imagenet_c import FOLDERS, open_imagenet_c
from samnesia.perturb.errors import ConfigurationError
from tests.data.published_sets import cifar_c, colour, imagenet_c

WNIDS = sorted(imagenet_classes()[number] for number in (5, 70, 300))
CLASSES = ClassNumbers({name: (number,) for number, name in enumerate(WNIDS)}, 3, "the data of the model")
SOME = ("gaussian-noise", "jpeg")
LABELS = [3, 1, 0, 2]


def shows(corruption, severity, what):
    """A class of ImageNet's that tells corruption, severity and class apart."""
    number = WNIDS.index(what) if what in WNIDS else int(what)
    return 100 * MAIN.index(corruption) % 1000 + 10 * severity + number


def colour_of(labelled, index):
    return np.asarray(labelled.samples.image(index)).mean((0, 1)).round()


@pytest.fixture
def root(tmp_path):
    return imagenet_c(tmp_path / "imagenet-c", SOME, WNIDS, shows)


@pytest.fixture
def arrays(tmp_path):
    return cifar_c(tmp_path / "CIFAR-10-C", SOME, LABELS, shows)


def test_families_have_their_names_on_disk():
    assert FOLDERS["jpeg"] == "jpeg_compression" and FOLDERS["elastic-transform"] == "elastic_transform"
    assert len({FOLDERS[name] for name in (*MAIN, *EXTRA)}) == 19


def test_imagenet_c_has_a_folder_for_each_corruption_severity_and_class(root):
    found = open_imagenet_c(root, CLASSES, corruptions=SOME)
    assert list(found.places) == list(SOME) and found.severities["jpeg"] == (1, 2, 3, 4, 5) and not found.missing
    for corruption in SOME:
        for severity in (1, 5):
            labelled = found.open(corruption, severity)
            assert labelled.answers.tolist() == [[0], [1], [2]] and labelled.among is None
            for index, name in enumerate(WNIDS):
                wanted = colour(shows(corruption, severity, name))
                np.testing.assert_allclose(colour_of(labelled, index), wanted, atol=3)


def test_archives_unpacked_into_a_folder_each(root):
    for name, group in (("gaussian_noise", "noise"), ("jpeg_compression", "digital")):
        (root / group).mkdir()
        shutil.move(root / name, root / group / name)
    found = open_imagenet_c(root, CLASSES, corruptions=SOME)
    assert found.places["jpeg"] == root / "digital" / "jpeg_compression"
    assert len(found.open("gaussian-noise", 3).samples) == 3


def test_what_is_missing_of_imagenet_c_is_named_and_the_rest_read_when_told_to(root):
    shutil.rmtree(root / "jpeg_compression" / "2")
    shutil.rmtree(root / "jpeg_compression" / "4" / WNIDS[1])
    next((root / "jpeg_compression" / "5" / WNIDS[0]).iterdir()).unlink()
    with pytest.raises(
        ConfigurationError,
        match=rf"it is incomplete: jpeg_compression/2, jpeg_compression/4/{WNIDS[1]}, snow are missing; .*skip",
    ):
        open_imagenet_c(root, CLASSES, corruptions=(*SOME, "snow"))
    found = open_imagenet_c(root, CLASSES, corruptions=(*SOME, "snow"), skip=True)
    assert found.severities == {"gaussian-noise": (1, 2, 3, 4, 5), "jpeg": (1, 3, 4, 5)}
    assert found.missing == ("jpeg_compression/2", f"jpeg_compression/4/{WNIDS[1]}", "snow")
    assert found.open("jpeg", 4).answers.tolist() == [[0], [2]]
    assert found.open("jpeg", 5).missing == (f"jpeg_compression/5/{WNIDS[0]} (empty)",)


def test_severities_that_are_not_evaluated_need_not_be_there(root):
    for severity in (1, 2, 4):
        shutil.rmtree(root / "jpeg_compression" / str(severity))
    found = open_imagenet_c(root, CLASSES, corruptions=SOME, severities=(3, 5))
    assert found.severities == dict.fromkeys(SOME, (3, 5)) and not found.missing


def test_an_empty_class_of_a_complete_set_is_named(root):
    next((root / "jpeg_compression" / "5" / WNIDS[0]).iterdir()).unlink()
    with pytest.raises(
        ConfigurationError, match=rf"jpeg_compression/5, because it is incomplete: {WNIDS[0]} \(empty\) is missing"
    ):
        open_imagenet_c(root, CLASSES, corruptions=SOME).open("jpeg", 5)
    found = open_imagenet_c(root, CLASSES, corruptions=SOME, skip=True)
    assert not found.missing and found.open("jpeg", 5).answers.tolist() == [[1], [2]]


def test_folders_that_are_no_imagenet_c(root, tmp_path):
    with pytest.raises(ConfigurationError, match="folders CORRUPTION/SEVERITY/CLASS.*, and none is there"):
        open_imagenet_c(root / "jpeg_compression", CLASSES)
    with pytest.raises(ConfigurationError, match="is no directory that can be read"):
        open_imagenet_c(tmp_path / "missing", CLASSES)
    with pytest.raises(ConfigurationError, match="'mist', because there is no such family; use some of gaussian-noise"):
        open_imagenet_c(root, CLASSES, corruptions=["mist"])
    other = ClassNumbers({"n02": (0,)}, 1, "other data")
    with pytest.raises(ConfigurationError, match="because ImageNet-C is in folders"):
        open_imagenet_c(root, other, corruptions=SOME)


def test_cifar_c_has_five_blocks_by_severity(arrays):
    found = open_cifar_c(arrays, 4, corruptions=SOME)
    assert found.severities == dict.fromkeys(SOME, (1, 2, 3, 4, 5))
    for corruption in SOME:
        for severity in (1, 2, 5):
            labelled = found.open(corruption, severity)
            assert labelled.answers[:, 0].tolist() == LABELS
            for index, label in enumerate(LABELS):
                np.testing.assert_array_equal(colour_of(labelled, index), colour(shows(corruption, severity, label)))
    assert found.open("jpeg", 2).samples.name(1) == f"image 5 of {arrays / 'jpeg_compression.npy'}"


def test_arrays_stay_on_disk_and_are_opened_by_each_process(arrays):
    samples = open_cifar_c(arrays, 4, corruptions=SOME).open("jpeg", 3).samples
    before = samples.image(0)
    assert isinstance(samples._pixels, np.memmap)
    written = pickle.dumps(samples)
    assert len(written) < 2000  # the path, and not the images
    assert pickle.loads(written).image(0) == before


def test_what_is_missing_of_cifar_c_is_named_and_the_rest_read_when_told_to(arrays):
    with pytest.raises(ConfigurationError, match=r"incomplete: shot_noise.npy, impulse_noise.npy, .* and 8 more are"):
        open_cifar_c(arrays, 4)
    found = open_cifar_c(arrays, 4, skip=True)
    assert tuple(found.severities) == SOME and len(found.missing) == 13
    with pytest.raises(ConfigurationError, match="and none is there"):
        open_cifar_c(arrays, 4, corruptions=["snow"], skip=True)


@pytest.mark.parametrize(
    ("array", "why"),
    [
        (np.zeros((20, 32, 32, 3), np.float32), r"float32 of shape \[20, 32, 32, 3\], and 20 images"),
        (np.zeros((20, 32, 32), np.uint8), r"uint8 of shape \[20, 32, 32\]"),
        (np.zeros((20, 3, 32, 32), np.uint8), r"uint8 of shape \[20, 3, 32, 32\]"),
        (np.zeros((19, 32, 32, 3), np.uint8), r"uint8 of shape \[19, 32, 32, 3\]"),
    ],
)
def test_images_of_wrong_sizes(arrays, array, why):
    np.save(arrays / "jpeg_compression.npy", array)
    with pytest.raises(ConfigurationError, match=rf"cannot evaluate on .*jpeg_compression.npy, because it holds {why}"):
        open_cifar_c(arrays, 4, corruptions=SOME)


def test_arrays_that_cannot_be_read(arrays):
    whole = (arrays / "jpeg_compression.npy").read_bytes()
    for part in (whole[: len(whole) // 2], b"", b"not an array"):
        (arrays / "jpeg_compression.npy").write_bytes(part)
        with pytest.raises(ConfigurationError, match=r"n.npy, because it cannot be read as an array"):
            open_cifar_c(arrays, 4, corruptions=SOME)
    (arrays / "labels.npy").unlink()
    with pytest.raises(ConfigurationError, match=r"labels.npy, because it cannot be read .*No such file"):
        open_cifar_c(arrays, 4, corruptions=SOME)


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (np.append(np.tile(LABELS, 4), LABELS[::-1]), r"the 20 labels in .*, five times over"),
        (np.tile([3, 1, 0], 7), r"the 21 labels"),
        (np.zeros(0, np.int64), r"the 0 labels"),
        (np.tile([3, 1, 0, -2], 5), "requires one class per image"),
        (np.tile([3.0, 1.0], 5), "requires one class per image"),
        (np.tile([3, 1, 0, 4], 5), "a model of 4 classes on .*, because its labels are of 5 classes"),
        (np.tile([2, 1, 0, 1], 5), "a model of 4 classes on .*, because its labels are of 3 classes"),
    ],
)
def test_bad_labels(arrays, labels, why):
    np.save(arrays / "labels.npy", labels)
    with pytest.raises(ConfigurationError, match=why):
        open_cifar_c(arrays, 4, corruptions=SOME)
