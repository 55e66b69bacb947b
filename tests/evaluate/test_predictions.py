"""What a model says of samples, disturbed or as they are."""

import pytest
import torch

from samnesia.data.problem import TensorSplit
from samnesia.evaluate.predictions import Sampled, predict, predict_of
from samnesia.perturb.errors import ConfigurationError


def darker(pixels, rows):
    """A change that depends on the sample's number."""
    return pixels * torch.tensor([1.0 / (1 + row % 3) for row in rows])[:, None, None, None]


def test_outputs_are_those_of_the_model(loaded):
    found = predict(loaded, Sampled(batch_size=100))
    inputs, targets = loaded.problem.test.batch(range(len(loaded.problem.test)))
    with torch.no_grad():
        torch.testing.assert_close(found.outputs, loaded.model(inputs), rtol=1e-5, atol=1e-5)
    assert found.targets.equal(targets) and found.rows.tolist() == list(range(797))


def test_changes_are_made_where_images_are_images(loaded):
    found = predict(loaded, Sampled(count=50, seed=3, batch_size=7), darker)
    problem, rows = loaded.problem, found.rows.tolist()
    assert len(found) == 50 and rows == sorted(set(rows)) and rows != list(range(50))
    inputs = problem.exposure.inputs(darker(problem.pixels(problem.test, rows), rows))
    with torch.no_grad():
        torch.testing.assert_close(found.outputs, loaded.model(inputs), rtol=1e-5, atol=1e-5)


def test_other_splits_and_bad_ones(loaded):
    two = TensorSplit(loaded.problem.test.inputs[:2], loaded.problem.test.labels[:2])
    assert predict_of(loaded, two, Sampled()).outputs.shape == (2, 10)
    with pytest.raises(ConfigurationError, match="it is empty"):
        predict_of(loaded, TensorSplit(torch.zeros(0, 1, 8, 8), torch.zeros(0)), Sampled())
    with pytest.raises(ConfigurationError, match="'tset' split"):
        predict(loaded, Sampled("tset"))
