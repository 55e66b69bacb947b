"""Accuracy on shifted images: against hand-made tables, brute force, and the authors' rules."""

import numpy as np
import pytest
import torch
from timm.data import RealLabelsImagenet

from samnesia.data.published.classes import classes_of, imagenet_classes, imagenet_part
from samnesia.data.published.folders import open_own, open_part, open_v2
from samnesia.data.published.real import open_real
from samnesia.evaluate.predictions import Sampled, predict_of
from samnesia.evaluate.shifts import Shift, right, shift_accuracies, views_of
from samnesia.perturb.errors import ConfigurationError, DamagedSampleWarning, UnsupportedError
from tests.data.published_sets import folders, nearest, real

WNIDS = imagenet_classes()


@pytest.fixture(scope="module")
def validation(seeing):
    """Where its validation images lie."""
    return f"{seeing.config.data.source.root}/val"


def accuracy(found):
    return found.accuracy.value, found.accuracy.count


def test_right_is_the_largest_of_those_that_may_be_predicted():
    rng = np.random.default_rng(0)
    outputs = rng.normal(size=(200, 12))
    answers = np.where(rng.random((200, 3)) < 0.6, rng.integers(0, 12, (200, 3)), -1)
    among = np.array([1, 4, 5, 9])
    for allowed in (range(12), among):
        wanted = [max(allowed, key=lambda k: outputs[i, k]) in set(answers[i]) for i in range(200)]
        chosen = None if len(allowed) == 12 else torch.from_numpy(among)
        found = right(torch.from_numpy(outputs), torch.from_numpy(answers), chosen)
        assert found.tolist() == wanted and 0 < sum(wanted) < 200


def test_v2_is_a_share_of_right_images(seeing, tmp_path):
    # a tenth of the images show another class: 1, 11, 21, ... show 0
    names = [str(number) for number in range(1000)]
    shown = {name: [0 if int(name) % 10 == 1 else int(name)] for name in names}
    labelled = open_v2(folders(tmp_path, names, shown, ".jpeg"), classes_of(seeing.problem), skip=False)
    found = shift_accuracies(seeing, {"v2": labelled})["v2"]
    assert accuracy(found) == (0.9, 1000) and found.clean.value == 1.0 and found.clean.count == 1000
    assert found.accuracy.error == pytest.approx((0.9 * 0.1 / 999) ** 0.5)
    assert found.among is None and found.classes == 1000


def test_parts_are_judged_among_their_classes_and_so_are_the_own_images(seeing, tmp_path):
    """Images that show classes outside the part are right where the nearest colour of the part is."""
    part = imagenet_part("r")
    numbers = [WNIDS.index(name) for name in part]
    of_part = {one: found for one in range(0, 1000, 3) if (found := nearest(one, numbers)) is not None}
    images = np.random.default_rng(1).choice(list(of_part), (200, 3))
    shown = {name: row.tolist() for name, row in zip(part, images, strict=True)}
    for one, found in list(of_part.items())[::2]:  # the class is the nearest of the part, but not of all
        shown[WNIDS[found]].append(one)
    labelled = open_part(folders(tmp_path, part, shown, ".jpg"), "r", classes_of(seeing.problem), skip=False)
    pairs = [(WNIDS.index(name), one) for name in part for one in shown[name]]
    wanted = np.mean([of_part[one] == number for number, one in pairs])
    of_all = np.mean([one == number for number, one in pairs])
    found = shift_accuracies(seeing, {"r": labelled})["r"]
    assert accuracy(found) == (pytest.approx(wanted), len(pairs)) and 1 > wanted > of_all + 0.1
    assert (found.among, found.classes, found.clean.count, found.clean.value) == (200, 200, 200, 1.0)


def test_real_labels_against_a_table_and_against_timms(seeing, validation, tmp_path):
    rows = [[number] for number in range(1000)]
    rows[:4] = [[5], [1, 7], [], [2]]  # wrong; right, beside another; left out; wrong
    file = real(tmp_path / "real.json", rows)
    labelled = open_real(file, validation, classes_of(seeing.problem), skip=False)
    found = shift_accuracies(seeing, {"ReaL": labelled})["ReaL"]
    assert accuracy(found) == (pytest.approx(997 / 999), 999) and found.clean.value == 1.0

    names = [f"ILSVRC2012_val_{number + 1:08}.JPEG" for number in range(1000)]
    timms = RealLabelsImagenet(names, real_json=file, topk=(1,))
    test = seeing.problem.test
    timms.add_result(predict_of(seeing, test, Sampled()).outputs[torch.argsort(test.labels)])
    assert timms.get_accuracy(1) == pytest.approx(100 * found.accuracy.value)


def test_own_folders_and_their_own_images(seeing, tmp_path):
    tree = folders(tmp_path / "own", ["ants", "tools"], {"ants": [3, 4], "tools": [17, 18, 19]})
    (tmp_path / "classes.csv").write_text("ants,3\ntools,18,17\n")
    classes = classes_of(seeing.problem, tmp_path / "classes.csv")
    sets = {name: open_own(tree, classes, restrict=name == "restricted") for name in ("all", "restricted")}
    found = shift_accuracies(seeing, sets)
    assert accuracy(found["all"]) == (pytest.approx(3 / 5), 5)
    # 4 is nearer to 3 than to 17 and 18; 19 is nearest to 18
    assert accuracy(found["restricted"]) == (1.0, 5)
    assert [one.clean.count for one in found.values()] == [3, 3]


def test_samples_are_drawn_by_seed_whatever_the_batches(seeing, tmp_path):
    names = [str(number) for number in range(1000)]
    tree = folders(tmp_path, names, {name: [int(name) // 2 * 2] for name in names})
    labelled = open_v2(tree, classes_of(seeing.problem), skip=False)
    some = [
        shift_accuracies(seeing, {"v2": labelled}, Sampled(count=100, seed=seed, batch_size=size))["v2"]
        for seed, size in ((3, 7), (3, 100), (4, 7))
    ]
    assert some[0] == some[1] and some[0].accuracy.count == 100 and some[0].accuracy != some[2].accuracy


def test_without_own_images_of_the_classes_nothing_is_said_of_them(seeing, tmp_path):
    tree = folders(tmp_path, [WNIDS[3]], {WNIDS[3]: [3, 3]})
    labelled = open_own(tree, classes_of(seeing.problem), restrict=False)
    found = shift_accuracies(seeing, {"own": labelled}, Sampled(count=1, seed=0))["own"]
    assert found.clean is None
    assert found.as_dict()["clean"] is None and Shift.from_dict(found.as_dict()).clean is None


def test_damaged_images_are_counted(seeing, tmp_path):
    tree = folders(tmp_path, [WNIDS[3]], {WNIDS[3]: [3, 4, 3]})
    (tree / WNIDS[3] / "image 1.JPEG").write_bytes(b"broken")
    labelled = open_own(tree, classes_of(seeing.problem), restrict=False)
    with pytest.raises(ConfigurationError, match='damaged: .*damaged "skip"'):
        shift_accuracies(seeing, {"own": labelled})
    with pytest.warns(DamagedSampleWarning, match=r"image 1.JPEG"):
        found = shift_accuracies(seeing, {"own": labelled}, skip_damaged=True)["own"]
    assert accuracy(found) == (1.0, 2) and found.damaged == 1
    assert Shift.from_dict(found.as_dict()) == found


def test_models_of_other_data_are_refused(loaded):
    with pytest.raises(UnsupportedError, match=r"cannot evaluate on images in files .*; use a model that was trained"):
        views_of(loaded)
