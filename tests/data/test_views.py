"""How images look, against timm's transforms and by definition."""

import random
from functools import partial

import numpy as np
import pytest
import timm.data
import torch
import torch.nn.functional as F
from PIL import Image

from samnesia.data.views import Appearance, Cutout
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.parts.data import IMAGENET_MEAN, IMAGENET_STD, PadCropFlip, Plain, RandomResizedCropFlip
from tests.data.image_files import photograph

LOOK = Appearance(32, IMAGENET_MEAN, IMAGENET_STD, 0.875, "bicubic")
RAW = Appearance(32, (0.0,) * 3, (1 / 255,) * 3, 0.875, "bilinear")


def seeded(seed, view, image):
    random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)
    return view(image)


def test_evaluation_is_timms():
    image = photograph(0, 70, 90)
    theirs = timm.data.create_transform(
        32, interpolation="bicubic", crop_pct=0.875, mean=IMAGENET_MEAN, std=IMAGENET_STD
    )
    torch.testing.assert_close(LOOK.evaluation()(image), theirs(image))


def test_an_image_of_the_size_is_not_resized():
    image = photograph(0, 32, 32)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float()
    assert torch.equal(RAW.evaluation()(image).round(), pixels)
    assert not torch.equal(RAW.evaluation()(photograph(0, 32, 33)).round(), pixels)


def test_pixels_without_normalisation_run_from_0_to_1():
    image = Image.new("RGB", (32, 32), (0, 51, 255))
    view = Appearance(32, (0.0,) * 3, (1.0,) * 3, 0.875, "bilinear").evaluation()
    assert view(image)[:, 0, 0].tolist() == pytest.approx([0, 0.2, 1])
    assert RAW.evaluation()(image)[:, 0, 0].tolist() == pytest.approx([0, 51, 255])


@pytest.mark.parametrize(
    "options", [{}, {"color_jitter": 0.4}, {"autoaugment": "rand-m9-mstd0.5-inc1"}, {"erasing": 1.0}]
)
@pytest.mark.parametrize("seed", range(3))
def test_resized_crops_are_timms(options, seed):
    image = photograph(0, 70, 90)
    names = {"color_jitter": "color_jitter", "autoaugment": "auto_augment", "erasing": "re_prob"}
    theirs = timm.data.create_transform(
        32,
        is_training=True,
        scale=(0.05, 1.0),
        interpolation="bicubic",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        **{"color_jitter": None, **{names[name]: value for name, value in options.items()}},
    )
    ours = RandomResizedCropFlip(scale=(0.05, 1.0), **options).view(LOOK)
    torch.testing.assert_close(seeded(seed, ours, image), seeded(seed, theirs, image))


@pytest.mark.parametrize(("fill", "mode"), [("reflect", "reflect"), ("constant", "constant")])
def test_a_crop_is_one_of_the_padded_image_or_its_mirror(fill, mode):
    image = photograph(3, 32, 32)
    view = PadCropFlip(padding=2, fill=fill).view(RAW)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float()
    candidates = [
        F.pad(turned[None], (2,) * 4, mode=mode)[0][:, top : top + 32, left : left + 32]
        for turned in (pixels, pixels.flip(2))
        for top in range(5)
        for left in range(5)
    ]
    found = set()
    for seed in range(150):
        crop = seeded(seed, view, image).round()
        hits = [number for number, candidate in enumerate(candidates) if torch.equal(candidate, crop)]
        assert len(hits) == 1
        found.update(hits)
    assert len(found) > 40


def test_images_of_another_size_are_resized_before_the_crop():
    assert PadCropFlip().view(RAW)(photograph(0, 50, 70)).shape == (3, 32, 32)
    without = PadCropFlip(padding=0).view(RAW)
    evaluated = RAW.evaluation()(photograph(0, 50, 70))
    crop = without(photograph(0, 50, 70))
    assert torch.equal(crop, evaluated) or torch.equal(crop, evaluated.flip(2))


def test_cutout_is_a_square_around_a_uniform_centre():
    centres = torch.zeros(10, 10)
    for _ in range(3000):
        image = Cutout(3, 1.0)(torch.ones(2, 10, 10))
        holes = image[0] == 0
        assert torch.equal(image[0], image[1])
        rows, columns = holes.any(1).nonzero().flatten(), holes.any(0).nonzero().flatten()
        assert holes.sum() == len(rows) * len(columns)
        assert len(rows) in (2, 3) and len(columns) in (2, 3)
        # where a border cuts the square, its centre is at the border
        row = 0 if len(rows) == 2 and rows[0] == 0 else 9 if len(rows) == 2 else int(rows[1])
        column = 0 if len(columns) == 2 and columns[0] == 0 else 9 if len(columns) == 2 else int(columns[1])
        centres[row, column] += 1
    assert centres.min() > 5 and centres.max() < 65  # 30 each, six standard deviations


def test_cutout_by_chance():
    cut = sum(bool((Cutout(4, 0.25)(torch.ones(1, 8, 8)) == 0).any()) for _ in range(1000))
    assert 180 < cut < 320


def test_the_policy_of_cifar_changes_images():
    image, view = photograph(0, 32, 32), PadCropFlip(padding=0, autoaugment=True).view(RAW)
    plain = RAW.evaluation()(image)
    changed = [seeded(seed, view, image) for seed in range(20)]
    assert sum(not (torch.equal(one, plain) or torch.equal(one, plain.flip(2))) for one in changed) > 10


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (partial(PadCropFlip, padding=-1), "with padding -1"),
        (partial(PadCropFlip, cutout=-1), "with cutout -1"),
        (partial(PadCropFlip, cutout_probability=1.1), "a share lies between 0 and 1"),
        (partial(RandomResizedCropFlip, scale=(0.5, 0.1)), "scale"),
        (partial(RandomResizedCropFlip, scale=(0.5,)), "scale"),
        (partial(RandomResizedCropFlip, ratio=(0.0, 1.0)), "ratio"),
        (partial(RandomResizedCropFlip, color_jitter=-0.1), "not negative"),
        (partial(RandomResizedCropFlip, erasing=2.0), "a share lies between 0 and 1"),
        (lambda: RandomResizedCropFlip(autoaugment="best").view(LOOK), "timm has no such policy"),
        (lambda: PadCropFlip(padding=32).view(LOOK), "narrower than the image"),
    ],
)
def test_impossible_augmentations_are_refused(make, match):
    with pytest.raises(ConfigurationError, match=match):
        make()


def test_plain_is_evaluation():
    image = photograph(0)
    assert torch.equal(Plain().view(LOOK)(image), LOOK.evaluation()(image))


@pytest.mark.parametrize("policy", ["rand-m10-inc1-n8", "original", "v0r", "augmix-m9"])
def test_the_strongest_posterizing_keeps_a_bit(policy):
    """timm asks Pillow for none at the highest magnitude, and Pillow refuses: a run would end there."""
    view = RandomResizedCropFlip(autoaugment=policy).view(RAW)
    assert all(seeded(seed, view, photograph(0)).shape == (3, 32, 32) for seed in range(60))
