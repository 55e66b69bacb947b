"""Patches of photographs: equally many of each, from regions that lie apart, the same for a seed wherever it runs."""

import hashlib
import itertools
import sys

import numpy as np
import pytest
import torch
from skimage import data as bundled

from samnesia.data.photographs import KNOWN, photographs, split_places
from samnesia.extras import MissingExtraError
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.parts.data import PHOTOGRAPHS

SEEDS = [0, 1, 1000]
SIDE = 16


def grey(name):
    image = getattr(bundled, name)()
    return (image if image.ndim == 2 else image[:, :, 1]).astype(np.int64)


def places(seed, names=PHOTOGRAPHS, **sizes):
    sizes = {"side": SIDE, "per_region": 12} | sizes
    return split_places(seed, [grey(name).shape for name in names], names, **sizes)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_class_has_its_patches_in_every_split(seed):
    problem = photographs(seed, PHOTOGRAPHS)
    assert (problem.num_outputs, problem.shape) == (8, (1, 16, 16))
    for split, regions in ((problem.train, 8), (problem.validation, 3), (problem.test, 5)):
        assert split.inputs.shape == (8 * 12 * regions, 1, 16, 16) and split.inputs.dtype == torch.float32
        assert split.labels.dtype == torch.int64
        assert split.labels.bincount().tolist() == [12 * regions] * 8


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", range(8))
def test_no_pixel_is_in_two_patches_and_splits_lie_eight_pixels_apart(seed, name):
    """Pixel by pixel: each is painted by one patch at most, and none grown by 7 pixels meets another split."""
    height, width = grey(PHOTOGRAPHS[name]).shape
    painted, grown = [], []
    for split in places(seed):
        own = split.photograph == name
        patches, around = np.zeros((2, height, width), dtype=np.int64)
        for top, left in zip(split.top[own], split.left[own], strict=True):
            assert 0 <= top <= height - SIDE and 0 <= left <= width - SIDE
            patches[top : top + SIDE, left : left + SIDE] += 1
            around[max(0, top - 7) : top + SIDE + 7, max(0, left - 7) : left + SIDE + 7] += 1
        assert patches.max() == 1
        painted.append(patches)
        grown.append(around)
    for one, other in itertools.permutations(range(3), 2):
        assert not (grown[one] * painted[other]).any()


@pytest.mark.parametrize("seed", SEEDS)
def test_regions_are_dealt_out_whole_and_otherwise_for_every_photograph(seed):
    dealt = set()
    for name in range(8):
        regions = [set(split.region[split.photograph == name].tolist()) for split in places(seed)]
        assert [len(part) for part in regions] == [8, 3, 5]
        assert set.union(*regions) == set(range(16))
        dealt.add(tuple(sorted(regions[2])))
    assert len(dealt) > 6


def test_over_seeds_every_region_is_tested():
    tested = [set(places(seed)[2].region[places(seed)[2].photograph == 0].tolist()) for seed in range(12)]
    assert set.union(*tested) == set(range(16))


def test_patches_are_those_of_their_places_standardised_by_themselves():
    problem = photographs(3, PHOTOGRAPHS)
    images = [grey(name) for name in PHOTOGRAPHS]
    for split, where in zip((problem.train, problem.validation, problem.test), places(3), strict=True):
        for index in range(0, len(split), 37):
            top, left = where.top[index], where.left[index]
            patch = images[where.photograph[index]][top : top + SIDE, left : left + SIDE].astype(float)
            wanted = (patch - patch.mean()) / max(patch.std(), 1.0)
            assert np.allclose(split.inputs[index, 0].numpy(), wanted, atol=1e-6)
            assert split.labels[index] == where.photograph[index]


def test_brightness_and_contrast_give_nothing_away():
    """But for patches that are all but flat, which stay weaker than others."""
    inputs = photographs(0, PHOTOGRAPHS).train.inputs.flatten(1)
    assert inputs.mean(1).abs().max() < 1e-6
    assert inputs.std(1, correction=0).max() < 1 + 1e-6
    assert (inputs.std(1, correction=0) > 1 - 1e-6).float().mean() > 0.97


def test_the_same_patches_for_a_seed_on_every_machine():
    """Frozen once: another hash means that results made before cannot be compared with new ones."""
    digest = hashlib.sha256()
    problem = photographs(7, PHOTOGRAPHS)
    for split in (problem.train, problem.validation, problem.test):
        digest.update(split.inputs.numpy().tobytes() + split.labels.numpy().tobytes())
    assert digest.hexdigest()[:16] == "f71797d51dbe3454"
    assert not torch.equal(photographs(8, PHOTOGRAPHS).train.inputs, problem.train.inputs)


def test_photographs_are_in_the_package_and_need_no_download(monkeypatch):
    """Without pooch, by which scikit-image would fetch others; any warning would be an error here."""
    monkeypatch.setitem(sys.modules, "pooch", None)
    for name in KNOWN:
        assert min(grey(name).shape) >= 172


def test_other_photographs_and_sizes():
    problem = photographs(0, ("camera", "astronaut"), side=8, per_region=3)
    assert problem.num_outputs == 2 and problem.test.inputs.shape == (30, 1, 8, 8)


@pytest.mark.parametrize(
    ("names", "sizes", "sentence"),
    [
        (("brick", "rocket"), {}, "cannot cut patches from rocket, because .* use some of astronaut, brick"),
        (("brick",), {}, "cannot tell patches of brick apart, because two or more .*; name others"),
        (("brick", "grass", "brick"), {}, "cannot tell patches of brick, grass, brick apart, because .* once; name"),
        ((), {}, "cannot tell patches of no photograph apart, because"),
        (
            PHOTOGRAPHS,
            {"per_region": 13},
            "cannot cut 13 patches .* of text, because 12 fit .* at most 12",
        ),
        (PHOTOGRAPHS, {"side": 40}, "cannot cut 12 patches of 40 pixels from each region of .*, because .* fit"),
        (("brick", "text"), {"side": 400}, "of brick, because 0 fit beside each other"),
        (PHOTOGRAPHS, {"side": 1}, "cannot cut 12 patches of 1 pixels, because .*; use 12 of 16"),
        (PHOTOGRAPHS, {"per_region": 0}, "cannot cut 0 patches of 16 pixels, because"),
    ],
)
def test_what_does_not_fit_is_one_sentence(names, sizes, sentence):
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        photographs(0, names, **sizes)
    assert ". " not in str(caught.value)


def test_without_scikit_image_the_extra_is_named(monkeypatch):
    from samnesia.data import photographs as module

    monkeypatch.setitem(sys.modules, "skimage", None)
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    module._photograph.cache_clear()
    with pytest.raises(MissingExtraError, match=r"cannot continue without skimage, .* pip install samnesia\[study\]"):
        photographs(0, PHOTOGRAPHS)
