"""Errors on published corrupted images, against what the made images show."""

import shutil

import pytest

from samnesia.data.corruptions import EXTRA, MAIN
from samnesia.data.published import classes as known
from samnesia.data.published.cifar_c import open_cifar_c
from samnesia.data.published.classes import classes_of, imagenet_classes
from samnesia.data.published.imagenet_c import open_imagenet_c
from samnesia.evaluate.corruptions import ALEXNET, mce
from samnesia.evaluate.predictions import Sampled
from samnesia.evaluate.published import PublishedErrors, published_errors
from samnesia.evaluate.suites.published import Published
from samnesia.examine.bench import Look
from samnesia.perturb.errors import ConfigurationError, DamagedSampleWarning
from samnesia.train.loaded import load
from tests.data.published_sets import cifar_c, folders, imagenet_c
from tests.evaluate.colours import run
from tests.examine.small import examined

WNIDS = imagenet_classes()[:4]
FAMILIES = (*MAIN, "saturate")
LOOK = Look(split="test", samples=None)


def shows(family, severity, what):
    """Of four classes, one less is shown at each severity; fog harms nothing."""
    number = WNIDS.index(what) if what in WNIDS else what
    return number if family == "fog" or number >= severity - 1 else (number + 1) % 4


@pytest.fixture(scope="module")
def trained_on_four(tmp_path_factory):
    """A run on images of four classes, one of which is wrong."""
    root = tmp_path_factory.mktemp("four")
    folders(root / "train", WNIDS, {name: [number] for number, name in enumerate(WNIDS)})
    folders(root / "val", WNIDS, {name: [number, 3] for number, name in enumerate(WNIDS)})
    return run(root, tmp_path_factory.mktemp("run") / "four")


@pytest.fixture(scope="module")
def four(trained_on_four):
    return load(trained_on_four)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return imagenet_c(tmp_path_factory.mktemp("imagenet-c"), FAMILIES, WNIDS, shows)


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    return cifar_c(tmp_path_factory.mktemp("cifar"), FAMILIES, [3, 1, 0, 2, 2, 0, 1, 3], shows)


def measured(path, suite, out):
    return examined([path], out, [suite], LOOK).entries("published")


@pytest.fixture(params=["files", "arrays"])
def opened(request, four, files, arrays):
    if request.param == "files":
        return open_imagenet_c(files, classes_of(four.problem))
    return open_cifar_c(arrays, 4)


WANTED = (0.0, 25.0, 50.0, 75.0, 100.0)


def test_errors_are_those_of_the_images(four, opened):
    found = published_errors(four, opened)
    assert tuple(found.errors) == MAIN
    assert {name: one for name, one in found.errors.items() if name != "fog"} == dict.fromkeys(
        (name for name in MAIN if name != "fog"), WANTED
    )
    assert found.errors["fog"] == (0.0,) * 5
    assert found.clean == 37.5 and found.mean == pytest.approx(50 * 14 / 15) and found.whole
    assert PublishedErrors.from_dict(found.as_dict()) == found


def test_samples_and_severities(four, arrays):
    found = published_errors(four, open_cifar_c(arrays, 4, severities=(5, 2)), Sampled(count=3), severities=(5, 2))
    assert found.samples == 3 and found.errors["snow"][0] == 100.0 and not found.whole


def test_families_in_part_are_left_out_and_damaged_images_are_counted(four, files, tmp_path):
    part = shutil.copytree(files, tmp_path / "part")
    shutil.rmtree(part / "snow" / "3")
    shutil.rmtree(part / "frost" / "3" / WNIDS[0])
    next((part / "fog" / "4" / WNIDS[1]).iterdir()).write_bytes(b"broken")
    opened = open_imagenet_c(part, classes_of(four.problem), corruptions=("fog", "snow", "frost"), skip=True)
    with pytest.warns(DamagedSampleWarning):
        found = published_errors(four, opened, skip_damaged=True)
    assert found.left_out == {"snow": "severity 3 of snow is missing"}
    assert found.missing == ("snow/3", f"frost/3/{WNIDS[0]}")
    assert found.damaged == 1 and found.samples == 3 and found.errors["fog"] == (0.0,) * 5
    assert found.errors["frost"][2] == pytest.approx(100 / 3)  # of three classes, 1 is wrong
    with pytest.raises(ConfigurationError, match="no family has all of the severities 1, 2, 3, 4, 5"):
        published_errors(four, open_imagenet_c(part, classes_of(four.problem), corruptions=["snow"], skip=True))


def test_mean_corruption_error_is_against_alexnet_on_the_whole_set(trained_on_four, files, tmp_path, monkeypatch):
    suite = Published(imagenet_c=str(files))
    (entry,) = measured(trained_on_four, suite, tmp_path / "a")
    assert "baseline" not in entry.values  # AlexNet knows 1000 classes
    monkeypatch.setattr(known, "IMAGENET", 4)
    (entry,) = measured(trained_on_four, suite, tmp_path / "b")
    rows = suite.rows(entry.values)
    wanted = sum(50 / ALEXNET.means[name] for name in MAIN if name != "fog") / 15 * 100
    assert mce(PublishedErrors.from_dict(entry.values), ALEXNET) == pytest.approx(wanted)
    assert rows["mCE, AlexNet is 100"] == f"{wanted:.1f} %"
    names = [name for name, _ in suite.figures([entry])]
    assert names == ["published-corruptions", "published-corruptions-severity"]  # beside those of corruptions made here
    assert not list(suite.notes(entry.values))


def test_notes_say_what_is_missing(trained_on_four, arrays, tmp_path):
    (tmp_path / "part").mkdir()
    for name in ("labels", "fog", "snow"):
        shutil.copy(arrays / f"{name}.npy", tmp_path / "part")
    with pytest.raises(ConfigurationError, match=r'incomplete: gaussian_noise.npy, .* 8 more are missing; .*"skip"'):
        measured(trained_on_four, Published(cifar_c=str(tmp_path / "part")), tmp_path / "a")
    suite = Published(cifar_c=str(tmp_path / "part"), missing="skip")
    (entry,) = measured(trained_on_four, suite, tmp_path / "b")
    assert list(entry.values["errors"]) == ["snow", "fog"]
    assert next(suite.notes(entry.values)).startswith("the set is incomplete: gaussian_noise.npy, shot_noise.npy")


def test_extra_families_are_evaluated_by_name(four, files):
    found = published_errors(four, open_imagenet_c(files, classes_of(four.problem), corruptions=["saturate"]))
    assert found.errors == {"saturate": WANTED} and "saturate" in EXTRA and not found.whole


def test_what_it_does_not_apply_to(four, loaded):
    assert "no data set is named" in Published().against(four)
    assert Published(cifar_c="x").against(four) is None
    assert "not images in files" in Published(cifar_c="x").against(loaded)
    with pytest.raises(ConfigurationError, match="set either imagenet_c or cifar_c"):
        Published(cifar_c="x", imagenet_c="y")
