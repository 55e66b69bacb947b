"""Divisions among clients: every sample once, one class each, and the mixture that Dirichlet's shares say."""

import numpy as np
import pytest
import torch

from samnesia.data.problem import TensorSplit
from samnesia.federated.partitions import Subset, _dirichlet, participants
from samnesia.federated.parts import Partition
from samnesia.perturb.errors import ConfigurationError

LABELS = torch.arange(400) % 10
ALPHAS = (0.0, 0.01, 0.1, 1.0, 100.0)


@pytest.mark.parametrize("sizes", ["equal", "drawn"])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_every_sample_belongs_to_one_client(alpha, sizes):
    parts = Partition(alpha, sizes).divide(LABELS, 20, seed=3)
    assert len(parts) == 20
    assert sorted(np.concatenate(parts).tolist()) == list(range(400))
    assert all((np.diff(part) > 0).all() for part in parts)


@pytest.mark.parametrize("clients", [10, 15, 20])
def test_at_alpha_zero_a_client_has_one_class(clients):
    parts = Partition(0.0).divide(LABELS, clients, seed=0)
    classes = [set(LABELS[part].tolist()) for part in parts]
    assert all(len(one) == 1 for one in classes)
    assert set.union(*classes) == set(range(10))


def test_equal_sizes_are_equal():
    for clients in (7, 20):
        sizes = {len(part) for part in Partition(0.5).divide(LABELS, clients, seed=1)}
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("sizes", ["equal", "drawn"])
def test_proportions_converge_with_alpha(sizes):
    labels = torch.arange(2400) % 4

    def distance(alpha):
        parts = Partition(alpha, sizes).divide(labels, 8, seed=0)
        shares = [np.bincount(labels[part], minlength=4) / max(1, len(part)) for part in parts if len(part)]
        return float(np.abs(np.array(shares) - 0.25).sum(axis=1).mean())

    found = [distance(alpha) for alpha in (0.1, 10.0, 1e6)]
    assert found[0] > found[1] > found[2]
    assert found[0] > 0.5
    assert found[2] < 0.12  # what sampling without replacement leaves


def test_the_seed_decides():
    one, again, other = (Partition(0.3).divide(LABELS, 20, seed=seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_shares_are_those_of_a_dirichlet_distribution():
    """Mean and variance of q_k: p_k and p_k (1 - p_k) / (alpha_0 + 1)."""
    concentrations = np.array([0.3, 0.6, 1.1])
    drawn = np.array([_dirichlet(concentrations, key=(0, i)) for i in range(1200)])
    total = concentrations.sum()
    mean = concentrations / total
    assert drawn.sum(axis=1) == pytest.approx(np.ones(1200))
    assert drawn.mean(axis=0) == pytest.approx(mean, abs=0.03)
    assert drawn.var(axis=0) == pytest.approx(mean * (1 - mean) / (total + 1), rel=0.12)


def test_tiny_concentrations_do_not_underflow():
    shares = _dirichlet(np.full(10, 1e-5), key=(0,))
    assert shares.sum() == pytest.approx(1.0)
    assert np.isfinite(shares).all()


def test_drawn_sizes_may_leave_a_client_empty():
    assert min(len(part) for part in Partition(0.02, "drawn").divide(LABELS, 20, seed=0)) == 0


@pytest.mark.parametrize("alpha, clients, words", [
    (0.0, 9, "cannot give 9 clients one class each of 10, because the samples of 1 classes would be nobody's"),
    (1.0, 401, "cannot divide 400 samples among 401 clients"),
])  # fmt: skip
def test_impossible_divisions_are_refused(alpha, clients, words):
    with pytest.raises(ConfigurationError, match=words):
        Partition(alpha).divide(LABELS, clients, seed=0)


@pytest.mark.parametrize("alpha", [-1.0, float("inf"), float("nan")])
def test_an_alpha_that_is_none_is_refused(alpha):
    with pytest.raises(ConfigurationError, match="cannot divide samples with alpha"):
        Partition(alpha)


def test_participants_are_a_function_of_seed_and_round():
    drawn = [participants(range(20), 5, seed=0, round_=r) for r in range(200)]
    assert drawn == [participants(range(20), 5, seed=0, round_=r) for r in range(200)]
    assert drawn != [participants(range(20), 5, seed=1, round_=r) for r in range(200)]
    assert all(len(set(one)) == 5 and one == sorted(one) for one in drawn)
    counts = np.bincount(np.concatenate(drawn), minlength=20)
    assert counts.min() > 30 and counts.max() < 70  # 50 of 200 on average


def test_only_clients_with_samples_are_drawn():
    assert participants([2, 5, 7], 5, seed=0, round_=0) == [2, 5, 7]


def test_a_subset_is_some_samples_of_the_whole():
    split = TensorSplit(torch.arange(12.0).reshape(6, 2), torch.arange(6), augment=lambda x, epoch, at: x + epoch)
    part = Subset(split, np.array([1, 4, 5]))
    assert len(part) == 3
    assert part.labels.tolist() == [1, 4, 5]
    inputs, labels = part.batch([2, 0])
    assert inputs.tolist() == [[10.0, 11.0], [2.0, 3.0]] and labels.tolist() == [5, 1]
    assert part.batch([1], epoch=3)[0].tolist() == [[11.0, 12.0]]


def test_data_without_classes_are_refused():
    with pytest.raises(ConfigurationError, match="one known class for each sample"):
        Subset(TensorSplit(torch.zeros(3, 2), torch.zeros(3)), np.array([0]))
