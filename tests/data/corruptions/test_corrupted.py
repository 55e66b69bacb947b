"""What holds of every family: determinism, independence of the batch, range, sizes, refusals, order of severities."""

import hashlib
import pickle
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

from samnesia.data.corruptions import EXTRA, FAMILIES, MAIN, SEVERITIES, Corrupted
from samnesia.perturb.errors import ConfigurationError, UnsupportedError
from tests.data.corruptions.pictures import picture

SIZES = {"8x8x1": picture(6, 1, 8), "32x32x3": picture(3, 3, 32), "224x224x3": picture(1, 3, 224)}
REFERENCE = Path(__file__).with_name("reference.npz")
CONSTRAINTS = (Path(__file__).parents[3] / "constraints.txt").read_text().splitlines()
PINNED = dict(line.split("==") for line in CONSTRAINTS if line.startswith(("numpy==", "pillow==", "scipy==")))
DIGESTS = {
    "8x8x1": "ecdad6b5388e9b68911499018a513bbe0f75bef0155a94d5a051e7095b384d10",
    "32x32x3": "fdc9ef0b936a60f359646a706feb6baae7acd73516fc0fe7f6f04b7be8eea27b",
    "224x224x3": "b372720556318cf97297063a0faa0ff098eb17f361fd62c39dcf8caddb2e9f97",
}
FALLING = {("elastic-transform", "32x32x3"), ("elastic-transform", "112x112x3")}
"""Whose published constants move pixels less far at severity 5 than at 1, but each its own way."""


def fitting(images):
    return [family for family in FAMILIES.values() if family.against(images.shape[1]) is None]


def levels(pixels):
    return (pixels * 255).round().to(torch.uint8)


def at_severity(images, severity, seed=0):
    """Every family that applies, as levels; shape [families, n, channels, height, width]."""
    return np.stack(
        [levels(Corrupted(family, severity, seed)(images, range(len(images)))).numpy() for family in fitting(images)]
    )


@pytest.mark.parametrize("size", SIZES)
def test_the_same_bytes_on_the_pinned_stack_and_nearly_the_same_elsewhere(size):
    found = at_severity(SIZES[size], 3)
    if size != "224x224x3":  # its file would be large
        known = np.load(REFERENCE)[size].astype(float)
        assert np.abs(found[:, : known.shape[1]] - known).mean(axis=(1, 2, 3, 4)).max() <= 1.0
    assert len(PINNED) == 3
    if {name: version(name) for name in PINNED} == PINNED:
        assert hashlib.sha256(found.tobytes()).hexdigest() == DIGESTS[size]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("severity", [1, 5])
def test_pixels_are_those_of_stored_images(size, severity):
    images = SIZES[size]
    before = images.clone()
    for family in fitting(images):
        found = Corrupted(family, severity)(images, range(len(images)))
        assert found.shape == images.shape and found.dtype == torch.float32, family
        assert 0.0 <= found.min() and found.max() <= 1.0, family
        assert torch.equal(found, levels(found) / torch.tensor(255.0)), family
        assert not torch.equal(found, images), family
    assert torch.equal(images, before)


@pytest.mark.parametrize("size", ["8x8x1", "32x32x3"])
def test_an_image_hangs_on_its_number_and_not_on_its_batch(size):
    images = SIZES[size]
    for family in fitting(images):
        change = Corrupted(family, 4, seed=7)
        whole = change(images, [5 + number for number in range(len(images))])
        for number in reversed(range(len(images))):
            assert torch.equal(change(images[number : number + 1], [5 + number])[0], whole[number]), family
        assert torch.equal(pickle.loads(pickle.dumps(change))(images[:2], [5, 6]), whole[:2]), family


def test_large_batches_are_worked_on_in_pieces(monkeypatch):
    images = SIZES["32x32x3"]
    whole = at_severity(images, 2)
    monkeypatch.setattr("samnesia.data.corruptions.corrupted._AT_ONCE", 1)
    np.testing.assert_array_equal(at_severity(images, 2), whole)


def test_draws_differ_by_seed_number_severity_and_family():
    grey = torch.full((2, 1, 32, 32), 0.5)
    noise, shot = FAMILIES["gaussian-noise"], FAMILIES["speckle-noise"]
    first = Corrupted(noise, 3)(grey, [0, 1])
    assert not torch.equal(first[0], first[1])
    for other in (Corrupted(noise, 3, seed=1), Corrupted(noise, 4), Corrupted(shot, 3)):
        assert abs(np.corrcoef((first - 0.5).ravel(), (other(grey, [0, 1]) - 0.5).ravel())[0, 1]) < 0.1
    assert torch.equal(Corrupted(noise, 3)(grey, [1, 0]), first.flip(0))


@pytest.mark.parametrize("size", ["8x8x1", "32x32x3", "112x112x3"])
def test_severities_rise_on_average(size):
    images = SIZES.get(size, picture(2, 3, 112))  # with the constants of 224
    near = {family.name: [] for family in fitting(images)}
    for severity in SEVERITIES:
        for family in fitting(images):
            found = Corrupted(family, severity)(images, range(len(images)))
            near[family.name].append((found - images).abs().mean().item())
    means = np.mean(list(near.values()), axis=0)
    assert (np.diff(means) > 0).all(), means
    for name, distances in near.items():
        assert (distances[-1] > distances[0]) == ((name, size) not in FALLING), (name, distances)


def test_families_are_fifteen_and_four_with_numbers_of_their_own():
    assert len(MAIN) == 15 and EXTRA == ("speckle-noise", "gaussian-blur", "spatter", "saturate")
    assert [family.number for family in FAMILIES.values()] == list(range(19))  # random draws hang on them
    for family in FAMILIES.values():
        assert all(len(five) == 5 and len(set(five)) == 5 for five in (family.at_8, family.at_32, family.at_224))
    assert FAMILIES["jpeg"].words == "JPEG" and FAMILIES["shot-noise"].words == "Shot noise"


@pytest.mark.parametrize(
    ("side", "meant"), [(8, 8), (15, 8), (16, 32), (28, 32), (84, 32), (85, 224), (224, 224), (384, 224)]
)
def test_constants_are_those_of_the_nearest_side_and_lengths_are_scaled(side, meant):
    family = FAMILIES["gaussian-blur"]
    corruption, scale = family.at(2, side)
    assert corruption is getattr(family, f"at_{meant}")[1] and scale == side / meant


def test_any_size_from_8_pixels_also_not_square():
    for shape in ((1, 9, 12), (3, 28, 40)):
        images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
        assert at_severity(images, 5).shape == (18 + (shape[0] == 3), 2, *shape)
    assert Corrupted(FAMILIES["fog"], 1)(torch.zeros(0, 1, 8, 8), []).shape == (0, 1, 8, 8)


def test_what_cannot_be_corrupted_is_refused():
    with pytest.raises(ConfigurationError, match="with severity 6, because there are the severities 1 to 5"):
        Corrupted(FAMILIES["snow"], 6)
    for shape in ((2, 8, 8), (1, 8, 7), (8, 8)):
        with pytest.raises(UnsupportedError, match="with 1 or 3 channels and 8 pixels a side or more; use"):
            Corrupted(FAMILIES["snow"], 1)(torch.zeros(1, *shape), [0])
    with pytest.raises(UnsupportedError, match="saturate, because grey images have no colours; leave it out"):
        Corrupted(FAMILIES["saturate"], 1)(torch.zeros(1, 1, 8, 8), [0])
