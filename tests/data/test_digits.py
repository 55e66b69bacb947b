"""The digits and their splits."""

import hashlib

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from samnesia.data.digits import digits, digits_noisy, training_images
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.config import Digits, Mixing

SEEDS = [0, 1, 1000]


@pytest.mark.parametrize("seed", SEEDS)
def test_splits_are_a_partition_of_all_digits(seed):
    splits = digits(seed)
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [800, 200, 797]
    found = torch.cat([part.inputs for part in (splits.train, splits.validation, splits.test)])
    wanted = (load_digits().images - 4.8842) / 6.0168
    assert np.array_equal(_sorted(found.flatten(1).numpy()), _sorted(wanted.reshape(1797, 64).astype(np.float32)))


def _sorted(rows):
    return rows[np.lexsort(rows.T)]


def test_images_keep_their_labels():
    bunch = load_digits()
    label_of = {
        image.tobytes(): label for image, label in zip(bunch.images.astype(np.uint8), bunch.target, strict=True)
    }
    test = digits(0).test
    pixels = (test.inputs[:, 0].double() * 6.0168 + 4.8842).round().numpy().astype(np.uint8)
    assert [label_of[image.tobytes()] for image in pixels] == test.labels.tolist()


def test_pixels_are_left_as_they_are_where_asked():
    raw, normal = (Digits(train=400, normalized=on).load(2) for on in (False, True))
    for split in ("train", "validation", "test"):
        one, other = (getattr(problem, split) for problem in (raw, normal))
        assert (float(one.inputs.min()), float(one.inputs.max())) == (0.0, 16.0)
        assert torch.allclose((one.inputs - 4.8842) / 6.0168, other.inputs, atol=1e-5)
        assert torch.equal(one.labels, other.labels)


def test_shapes_types_and_standardisation():
    train = digits(0).train
    assert train.inputs.shape == (800, 1, 8, 8)
    assert train.inputs.dtype == torch.float32
    assert train.labels.dtype == train.clean_labels.dtype == torch.int64
    everything = torch.cat([part.inputs for part in (train, digits(0).validation, digits(0).test)])
    assert abs(float(everything.mean())) < 1e-4
    assert abs(float(everything.std()) - 1) < 1e-4


@pytest.mark.parametrize("seed", SEEDS)
def test_noisy_labels_are_exactly_forty_percent_and_the_test_is_clean(seed):
    splits = digits_noisy(seed)
    wrong = [int((part.labels != part.clean_labels).sum()) for part in (splits.train, splits.validation, splits.test)]
    assert wrong == [320, 80, 0]


def test_noise_leaves_images_and_true_classes_alone():
    clean, noisy = digits(3), digits_noisy(3)
    for name in ("train", "validation", "test"):
        assert torch.equal(getattr(clean, name).inputs, getattr(noisy, name).inputs)
        assert torch.equal(getattr(clean, name).labels, getattr(noisy, name).clean_labels)


def test_seed_decides():
    assert torch.equal(digits_noisy(5).train.labels, digits_noisy(5).train.labels)
    assert not torch.equal(digits(5).train.inputs, digits(6).train.inputs)


def test_only_training_images_are_shifted_and_only_in_training():
    plain, shifted = digits(0), digits(0, shift=2)
    indices = list(range(200))
    for name in ("train", "validation", "test"):
        assert torch.equal(getattr(shifted, name).batch(indices)[0], getattr(plain, name).batch(indices)[0])
    for name, same in (("train", False), ("validation", True), ("test", True)):
        assert torch.equal(getattr(shifted, name).batch(indices, 0)[0], getattr(plain, name).batch(indices)[0]) == same


@pytest.mark.parametrize("seed", SEEDS)
def test_fewer_training_images_are_among_the_more_and_validation_stays_200(seed):
    few, many = digits(seed, train=400), digits(seed)
    assert [len(part) for part in (few.train, few.validation, few.test)] == [400, 200, 1197]
    assert torch.equal(few.train.inputs, many.train.inputs[:400])
    found = torch.cat([part.inputs for part in (few.train, few.validation, few.test)])
    wanted = torch.cat([part.inputs for part in (many.train, many.validation, many.test)])
    assert torch.equal(found, wanted)  # in the order of the seed


@pytest.mark.parametrize(("flipped", "digest"), [(0.0, "a63c77a1f12eec5c"), (0.4, "d601810d1325cdd2")])
def test_the_default_is_the_digits_of_all_results_so_far(flipped, digest):
    """Frozen once: the demo's numbers, and all others on digits, are of these bits."""
    assert digest_of(digits(7, flipped)) == digest


def test_images_lie_in_memory_as_they_did_for_all_results_so_far():
    """Convolutions of another layout round otherwise, and are slower."""
    train = digits(0).train
    assert train.inputs.stride() == train.batch([3, 1, 2], 0)[0].stride() == (64, 1, 8, 1)


@pytest.mark.parametrize(
    ("options", "digest"), [({"train": 400}, "bf1c7216124847b5"), ({"marks": 0.9}, "56467715245af2c6")]
)
def test_the_same_bits_for_a_seed_on_every_machine(options, digest):
    assert digest_of(digits(7, **options)) == digest


def digest_of(problem):
    digest = hashlib.sha256()
    for split in (problem.train, problem.validation, problem.test):
        for values in (split.inputs, split.labels, split.clean_labels):
            digest.update(values.numpy().tobytes())
    return digest.hexdigest()[:16]


@pytest.mark.parametrize("train", [0, -1, 1597, 5000])
def test_a_training_set_that_leaves_no_test_is_refused(train):
    with pytest.raises(ConfigurationError, match=rf"^cannot train on {train} digits, because .*; use 1 to 1,596$"):
        digits(0, train=train)


def test_a_problem_says_what_models_are_built_for():
    problem = digits(0)
    assert (problem.num_outputs, problem.shape, problem.mix) == (10, (1, 8, 8), None)
    assert (problem.judged_on, problem.chosen_on) == ("test", "validation")


def test_labels_of_a_file_replace_those_of_training_alone(tmp_path):
    path, labels = tmp_path / "labels.npy", np.full(1797, -1)
    labels[training_images(3, 400)] = np.arange(400) % 10
    np.save(path, labels)
    problem, noisy = digits(3, 0.4, train=400, relabel=str(path)), digits(3, 0.4, train=400)
    assert problem.train.labels.tolist() == (np.arange(400) % 10).tolist()
    assert torch.equal(problem.train.clean_labels, noisy.train.clean_labels)
    assert torch.equal(problem.train.inputs, noisy.train.inputs)
    assert torch.equal(problem.validation.labels, noisy.validation.labels)
    with pytest.raises(ConfigurationError, match="have no label in it, as if others had been held out"):
        digits(4, 0.4, train=400, relabel=str(path))


def test_digits_are_mixed_in_training():
    problem = Digits(mixing=Mixing(mixup=1.0)).load(2)
    images, labels = problem.train.batch(range(6), 0)
    mixed, shares = problem.mix(images, labels, 0, range(6))
    assert shares.shape == (6, 10) and torch.allclose(shares.sum(1), torch.ones(6))
    own = shares[0, labels[0]]
    assert 0.0 < own < 1.0
    assert torch.allclose(mixed[0], images[0] * own + images[5] * (1 - own), atol=1e-6)


def test_some_of_the_digits_are_told_apart():
    low, high = (Digits(classes=tuple(range(first, first + 5)), train=100).load(3) for first in (0, 5))
    assert low.num_outputs == 5 and low.class_counts is not None and min(low.class_counts) > 5
    parts = [torch.cat([split.inputs for split in (one.train, one.validation, one.test)]) for one in (low, high)]
    assert sum(map(len, parts)) == 1797
    whole = digits(0)
    known = torch.cat([split.inputs for split in (whole.train, whole.validation, whole.test)])
    assert np.array_equal(*(_sorted(images.flatten(1).numpy()) for images in (torch.cat(parts), known)))
    labels = torch.cat([split.labels for split in (high.train, high.validation, high.test)])
    wanted = [int((load_digits().target == digit).sum()) for digit in range(5, 10)]
    assert torch.bincount(labels).tolist() == wanted  # places among the classes
    assert [len(one.validation) for one in (low, high)] == [200, 200]
    everything = Digits(classes=tuple(range(10))).load(3)
    assert torch.equal(everything.train.inputs, digits(3).train.inputs)
    assert torch.equal(everything.train.labels, digits(3).train.labels)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"classes": (3,)}, "two or more"),
        ({"classes": (3, 3)}, "each once"),
        ({"classes": (3, 10)}, "0 to 9"),
        ({"classes": (3, 4), "marks": 0.5}, "about all ten"),
        ({"classes": (3, 4), "train": 400}, "there are 364 images"),
    ],
)
def test_classes_that_cannot_be_told_apart_are_refused(changed, reason):
    with pytest.raises(ConfigurationError, match=reason):
        Digits(**changed).load(0)
