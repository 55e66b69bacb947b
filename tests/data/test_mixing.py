"""Mixup and CutMix, by definition, and the same for a sample wherever it is."""

import numpy as np
import pytest
import torch
from scipy.stats import beta, kstest

from samnesia.data.mixing import Mixer
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.parts.data import Mixing

LABELS = torch.arange(8)


def images(count=8, size=16):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def mix(inputs, targets, epoch=0, indices=None, *, classes=8, seed=0, **options):
    indices = list(range(len(inputs))) if indices is None else indices
    return Mixing(**options).mixer(classes, seed)(inputs, targets, epoch, indices)


def test_mixup_is_the_same_average_of_images_and_targets():
    inputs = images()
    mixed, soft = mix(inputs, LABELS, mixup=0.4)
    own = soft[LABELS, LABELS]
    assert torch.equal(soft.sum(1), torch.ones(8))
    assert len(own.unique()) == 8
    share = own[:, None, None, None]
    torch.testing.assert_close(mixed, share * inputs + (1 - share) * inputs.flip(0))
    torch.testing.assert_close(soft[LABELS, 7 - LABELS], 1 - own)


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_shares_of_mixup_are_beta(alpha):
    count = 3000
    _, soft = mix(torch.zeros(count, 1, 1, 1), torch.arange(count) % 2, mixup=alpha, classes=2)
    own = soft[torch.arange(count), torch.arange(count) % 2].double().numpy()
    assert kstest(own, beta(alpha, alpha).cdf).pvalue > 0.01


def test_cutmix_takes_a_box_from_the_partner_and_its_share_of_the_target():
    inputs = images(64)
    labels = torch.arange(64)
    mixed, soft = mix(inputs, labels, cutmix=1.0, classes=64)
    boxes = (mixed == inputs.flip(0)).all(dim=1)
    assert torch.equal(mixed, torch.where(boxes[:, None], inputs.flip(0), inputs))
    for number, box in enumerate(boxes):
        rows, columns = box.any(1).nonzero().flatten(), box.any(0).nonzero().flatten()
        assert int(box.sum()) == len(rows) * len(columns)
        assert len(rows) == 0 or int(rows[-1] - rows[0]) == len(rows) - 1
        assert soft[number, number] == pytest.approx(1 - float(box.double().mean()))
        assert soft[number, 63 - number] == pytest.approx(float(box.double().mean()))
    assert boxes.flatten(1).any(1).sum() > 50


def test_box_areas_follow_the_share():
    count = 3000
    inputs = torch.arange(count, dtype=torch.float32)[:, None, None, None].expand(-1, 1, 32, 32)
    _, soft = mix(inputs, torch.arange(count) % 2, cutmix=1.0, classes=2)
    own = soft[torch.arange(count), torch.arange(count) % 2]
    # a box of share 1 - s around a uniform centre keeps, of each side a, a (1 - a / 4) on average inside the image
    sides = np.sqrt(1 - np.linspace(0, 1, 2001))
    expected = 1 - np.mean((sides * (1 - sides / 4)) ** 2)
    assert float(own.mean()) == pytest.approx(expected, abs=0.03)


def test_either_by_chance():
    inputs = images(400)
    mixed, _ = mix(inputs, torch.arange(400) % 8, mixup=1.0, cutmix=1.0, switch=0.25)
    kept = ((mixed == inputs) | (mixed == inputs.flip(0))).flatten(1).all(1)
    assert 70 < int(kept.sum()) < 130


def test_by_chance_not_at_all():
    inputs = images(400)
    mixed, soft = mix(inputs, torch.arange(400) % 8, mixup=1.0, probability=0.25)
    left = (mixed == inputs).flatten(1).all(1)
    assert 260 < int(left.sum()) < 340
    assert torch.equal(soft[left].max(1).values, torch.ones(int(left.sum())))


@pytest.mark.parametrize(
    "options", [{"mixup": 0.3}, {"cutmix": 1.0}, {"mixup": 0.3, "cutmix": 1.0, "probability": 0.7}]
)
def test_how_a_sample_is_mixed_does_not_depend_on_its_group(options):
    inputs = images()

    def own(batch, epoch=4, seed=0):
        _, soft = mix(inputs[batch], LABELS[batch], epoch, batch, seed=seed, **options)
        return dict(zip(batch, soft[torch.arange(len(batch)), LABELS[batch]].tolist(), strict=True))

    whole = own(list(range(8)))
    assert own([5, 2, 0, 7]) == {index: whole[index] for index in (5, 2, 0, 7)}
    assert own(list(range(8)), epoch=5) != whole
    assert own(list(range(8)), seed=1) != whole


def test_the_middle_of_an_odd_group_and_a_single_sample_stay():
    inputs = images(3)
    mixed, soft = mix(inputs, LABELS[:3], mixup=1.0)
    torch.testing.assert_close(mixed[1], inputs[1])
    assert soft[1].tolist() == pytest.approx([0, 1, 0, 0, 0, 0, 0, 0])


@pytest.mark.parametrize("options", [{"mixup": 0.3}, {"cutmix": 1.0}])
def test_a_group_of_which_nothing_is_left(options):
    """All of it damaged, say."""
    mixed, soft = mix(torch.empty(0, 3, 16, 16), torch.empty(0, dtype=torch.int64), **options)
    assert mixed.shape == (0, 3, 16, 16) and soft.shape == (0, 8)


def test_soft_targets_stay_distributions():
    soft = torch.softmax(torch.randn(8, 8), 1)
    _, mixed = mix(images(), soft, mixup=1.0)
    torch.testing.assert_close(mixed.sum(1), torch.ones(8))


def test_shares_are_those_of_every_version():
    """Frozen: results were made with them."""
    _, soft = mix(torch.zeros(2, 1, 1, 1), LABELS[:2], 1, [3, 4], mixup=0.5, seed=7)
    assert soft[[0, 1], [0, 1]].tolist() == pytest.approx([0.97751182, 0.99558508], rel=1e-6)


@pytest.mark.parametrize("options", [{}, {"mixup": -1.0, "cutmix": 2.0}, {"mixup": float("nan")}])
def test_no_mixing_and_negative_mixing_are_refused(options):
    with pytest.raises(ConfigurationError, match="one alpha at least is positive"):
        Mixing(**options)


def test_shares_outside_0_to_1_are_refused():
    for options in ({"switch": 1.5}, {"probability": -0.1}):
        with pytest.raises(ConfigurationError, match="a share lies between 0 and 1"):
            Mixing(mixup=1.0, **options)


def test_a_mixer_is_a_value():
    assert Mixing(mixup=1.0).mixer(3, 0) == Mixer(3, 0, 1.0, 0.0, 0.5, 1.0)
