"""The suite of shifts, from the command's options to JSON, table, notes and figure."""

import shutil

import pytest

from samnesia.data.published.classes import imagenet_classes, imagenet_part
from samnesia.evaluate.suites.shifts import Shifts
from samnesia.examine.bench import Look
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.loaded import load
from tests.data.published_sets import folders, real
from tests.examine.small import examined

WNIDS = imagenet_classes()
PART = imagenet_part("a")
LOOK = Look(split="test", samples=None, batch_size=100)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """A quarter of ImageNet-V2 wrong; ImageNet-A with what each class shows of itself and of class 0; ReaL labels."""
    root = tmp_path_factory.mktemp("sets")
    names = [str(number) for number in range(1000)]
    folders(root / "v2", names, {name: [int(name) if int(name) % 4 else 999] for name in names}, ".jpeg")
    folders(root / "a", PART, {name: [WNIDS.index(name)] for name in PART}, ".jpg")
    real(root / "real.json", [[number, 0] if number < 10 else [] for number in range(1000)])
    return root


def test_accuracies_in_json_table_notes_and_figure(imagenet_run, sets, tmp_path):
    suite = Shifts(v2=str(sets / "v2"), a=str(sets / "a"), real=str(sets / "real.json"))
    runs = shutil.copytree(imagenet_run, tmp_path / "one"), shutil.copytree(imagenet_run, tmp_path / "two")
    found = examined(runs, tmp_path / "out", [suite], LOOK, draw=True)
    assert not found.refused
    entries = found.entries("shifts")
    assert [entry.label for entry in entries] == ["one", "two"]
    values = entries[0].values
    assert {name: (one["accuracy"]["value"], one["accuracy"]["count"]) for name, one in values["sets"].items()} == {
        "ImageNet-V2": (0.75, 1000),
        "ImageNet-A": (1.0, 200),
        "ReaL": (1.0, 10),
    }
    rows = suite.rows(values)
    assert rows["ImageNet-V2"] == "75.0 %" and rows["ImageNet-V2: lower by"] == "25.0 points"
    assert rows["ImageNet-A: own images by the same rule"] == "100.0 %"
    assert list(suite.notes(values)) == ["ImageNet-A: predictions are among 200 classes"]
    assert [path.name for path in found.figures] == ["shifts.png", "shifts.svg"]
    assert [score.main for score in suite.scores(values).values()].count(True) == 1


def test_an_incomplete_set_is_refused_and_skipped_when_told_to(imagenet_run, sets, tmp_path):
    some = folders(tmp_path / "r", PART[:20], {name: [0] for name in PART[:20]})
    with pytest.raises(ConfigurationError, match=r'incomplete: .* 175 more are missing; .* missing "skip"'):
        examined([imagenet_run], tmp_path / "out", [Shifts(a=str(some))], LOOK)
    suite = Shifts(a=str(some), missing="skip")
    (entry,) = examined([imagenet_run], tmp_path / "out", [suite], LOOK).entries("shifts")
    assert entry.values["sets"]["ImageNet-A"]["accuracy"]["count"] == 20
    notes = list(suite.notes(entry.values))
    assert notes[0].endswith("among 200 classes") and notes[1].startswith("ImageNet-A is incomplete: n")
    assert notes[1].endswith("and 175 more are missing")


def test_what_it_does_not_apply_to(imagenet_run, trained):
    assert Shifts().against(load(imagenet_run)) == "no data set is named, such as --shifts.v2 FOLDER"
    assert Shifts(v2="x").against(load(imagenet_run)) is None
    assert Shifts(v2="x").against(load(trained["sam"])) == "the model's own data are not images in files"
    assert "not images in files" in Shifts().against(load(trained["sam"]))


def test_options_that_cannot_be_meant():
    with pytest.raises(ConfigurationError, match=r"set real to real.json, or to timm"):
        Shifts(real_images="val")
    with pytest.raises(ConfigurationError, match="cannot tell the folders a/x, b/x apart"):
        Shifts(folders=("a/x", "b/x"))
