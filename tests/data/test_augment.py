"""Shifts of images."""

import torch

from samnesia.data.augment import shift


def test_every_image_is_one_of_its_shifts():
    images = torch.rand(50, 2, 8, 8)
    moved = shift(images, 1, key=(0,))
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1), mode="replicate")
    candidates = [padded[..., i : i + 8, j : j + 8] for i in range(3) for j in range(3)]
    hits = torch.stack([(moved == candidate).flatten(1).all(dim=1) for candidate in candidates])
    assert hits.any(dim=0).all()
    assert (hits.sum(dim=1) > 0).sum() >= 7  # nearly all displacements occur among 50 images


def test_key_decides():
    images = torch.rand(20, 1, 8, 8)
    assert torch.equal(shift(images, 1, key=(0, 1)), shift(images, 1, key=(0, 1)))
    assert not torch.equal(shift(images, 1, key=(0, 1)), shift(images, 1, key=(0, 2)))
