"""Shifts of images."""

import torch

from samnesia.data.augment import Shift


def test_every_image_is_one_of_its_shifts():
    images = torch.rand(50, 2, 8, 8)
    moved = Shift(1, seed=0)(images, 0, range(50))
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1), mode="replicate")
    candidates = [padded[..., i : i + 8, j : j + 8] for i in range(3) for j in range(3)]
    hits = torch.stack([(moved == candidate).flatten(1).all(dim=1) for candidate in candidates])
    assert hits.any(dim=0).all()
    assert (hits.sum(dim=1) > 0).sum() >= 7  # nearly all displacements occur among 50 images


def test_an_image_is_shifted_alike_in_any_batch():
    images = torch.rand(20, 1, 8, 8)
    whole = Shift(1, seed=3)(images, 5, range(20))
    some = [17, 2, 9]
    assert torch.equal(Shift(1, seed=3)(images[some], 5, some), whole[some])


def test_seed_and_epoch_decide():
    images = torch.rand(20, 1, 8, 8)
    assert not torch.equal(Shift(1, seed=3)(images, 5, range(20)), Shift(1, seed=3)(images, 6, range(20)))
    assert not torch.equal(Shift(1, seed=3)(images, 5, range(20)), Shift(1, seed=4)(images, 5, range(20)))
