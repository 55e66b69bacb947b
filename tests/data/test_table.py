"""Tables with raw features."""

import hashlib

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_wine

from samnesia.data.table import table
from samnesia.perturb.errors import ConfigurationError

TABLES = {"wine": (load_wine, 13, 3), "breast_cancer": (load_breast_cancer, 30, 2)}


@pytest.mark.parametrize("seed", [0, 1, 1000])
@pytest.mark.parametrize("name", TABLES)
def test_splits_are_a_partition_of_the_rows_as_they_were_measured(name, seed):
    load, features, classes = TABLES[name]
    problem, bunch = table(seed, name, train=80, validation=40), load()
    assert (problem.shape, problem.num_outputs) == ((features,), classes)
    splits = (problem.train, problem.validation, problem.test)
    assert [len(split) for split in splits] == [80, 40, len(bunch.target) - 120]
    found = np.concatenate([np.column_stack([split.inputs.numpy(), split.labels.numpy()]) for split in splits])
    wanted = np.column_stack([bunch.data.astype(np.float32), bunch.target.astype(np.float32)])
    assert np.array_equal(found[np.lexsort(found.T)], wanted[np.lexsort(wanted.T)])


def test_features_differ_in_scale_by_orders_of_magnitude():
    means = table(0, "wine", train=80, validation=40).train.inputs.mean(0)
    assert means.max() / means.min() > 1000


@pytest.mark.parametrize("name", TABLES)
def test_normalised_features_are_so_by_the_training_rows_alone(name):
    raw, normal = (table(3, name, train=80, validation=40, normalized=on) for on in (False, True))
    seen = raw.train.inputs.double()
    mean, std = seen.mean(0), seen.std(0, correction=0)
    for split in ("train", "validation", "test"):
        before, after = (getattr(one, split) for one in (raw, normal))
        assert torch.equal(before.labels, after.labels)
        assert torch.allclose(after.inputs.double(), (before.inputs - mean) / std, atol=1e-5)
    assert float(normal.test.inputs.mean(0).abs().max()) > 1e-3


def test_a_feature_that_does_not_vary_is_only_centred(monkeypatch):
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    rows[:, 1] = 7.0
    monkeypatch.setattr("samnesia.data.table._rows", lambda name: (rows, np.arange(6) % 2))
    found = table(0, "wine", train=3, validation=1, normalized=True)
    assert torch.equal(found.test.inputs[:, 1], torch.zeros(2)) and bool(found.train.inputs.isfinite().all())


def test_seed_decides():
    one, again, other = (table(seed, "wine", train=80, validation=40) for seed in (5, 5, 6))
    assert torch.equal(one.train.inputs, again.train.inputs)
    assert not torch.equal(one.train.inputs, other.train.inputs)


def test_the_same_rows_for_a_seed_on_every_machine():
    digest = hashlib.sha256()
    problem = table(7, "wine", train=80, validation=40)
    for split in (problem.train, problem.validation, problem.test):
        digest.update(split.inputs.numpy().tobytes() + split.labels.numpy().tobytes())
    assert digest.hexdigest()[:16] == "d4e2f6ca53d8ea63"


@pytest.mark.parametrize(("train", "validation"), [(0, 40), (80, 0), (100, 78), (1000, 40), (-1, 40)])
def test_sizes_that_do_not_fit_are_refused(train, validation):
    with pytest.raises(ConfigurationError, match=r"^cannot split wine into .*, because .* of 178 rows .*; use fewer"):
        table(0, "wine", train=train, validation=validation)
