"""What a model sees of pixels, and back."""

import pytest
import torch

from samnesia.data.digits import digits
from samnesia.data.photographs import photographs
from samnesia.data.pixels import Standardised, StandardisedAlone
from samnesia.data.problem import Problem, TensorSplit
from samnesia.perturb.errors import ConfigurationError

NUMBERS = [3, 0, 7]


@pytest.mark.parametrize("normalized", [True, False])
def test_digits_are_seen_as_they_are_exposed(normalized):
    problem = digits(0, marks=0.5, normalized=normalized)
    inputs, _ = problem.test.batch(NUMBERS)
    pixels = problem.pixels(problem.test, NUMBERS)
    assert pixels.shape == (3, 1, 8, 8) and pixels.min() == 0.0 and pixels.max() == 1.0
    assert (pixels * 16 - (pixels * 16).round()).abs().max() < 1e-5
    torch.testing.assert_close(problem.exposure.inputs(pixels), inputs)


def test_patches_are_seen_as_they_are_exposed():
    problem = photographs(0, ("camera", "coins"))
    pixels = problem.pixels(problem.test, NUMBERS)
    assert pixels.shape == (3, 1, 16, 16) and 0.0 <= pixels.min() < pixels.max() <= 1.0
    torch.testing.assert_close(problem.exposure.inputs(pixels), problem.test.batch(NUMBERS)[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(ConfigurationError, match="cannot find the pixels"):
        problem.exposure.pixels(pixels)


def test_a_flat_image_is_not_blown_up():
    assert (StandardisedAlone(0.01).inputs(torch.full((1, 1, 4, 4), 0.3)).abs() < 1e-4).all()


def test_channels_have_their_own_constants():
    pixels = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    look = Standardised((0.1, 0.2, 0.3), (1.0, 2.0, 4.0))
    inputs = look.inputs(pixels)
    torch.testing.assert_close(inputs[:, 2], (pixels[:, 2] - 0.3) / 4.0)
    torch.testing.assert_close(look.pixels(inputs), pixels)


def test_a_table_has_no_pixels():
    split = TensorSplit(torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ConfigurationError, match="no images"):
        Problem(split, None, None, 2, (3,)).pixels(split, [0])
