"""Losses weighted by class."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

import samnesia
from samnesia.perturb.errors import ConfigurationError, UnsupportedError

WEIGHTS = (0.2, 1.0, 0.0)


def outputs(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_by_hand():
    x, y = outputs(4, 3), torch.tensor([0, 1, 2, 1])
    log_p = x.log_softmax(1)
    expected = -(0.2 * log_p[0, 0] + log_p[1, 1] + log_p[3, 1]) / 4
    torch.testing.assert_close(samnesia.ClassWeighted(WEIGHTS)(x, y), expected, rtol=1e-14, atol=0)


@given(seed=st.integers(0, 1000), share=st.floats(-2, 2))
def test_parts_add_up_to_the_loss(seed, share):
    """Whatever classes are there: divided by the size of the batch, not by the sum of the weights."""
    x, y = outputs(6, 3, seed=seed), torch.randint(3, (6,), generator=torch.Generator().manual_seed(seed))
    part, rest = (share, 0.5, 1.0), (1 - share, 0.5, 0.0)
    total = samnesia.ClassWeighted(part)(x, y) + samnesia.ClassWeighted(rest)(x, y)
    torch.testing.assert_close(total, F.cross_entropy(x, y), rtol=1e-12, atol=1e-12)


@given(seed=st.integers(0, 1000))
def test_distributions_of_one_class_are_its_index(seed):
    x, y = outputs(6, 3, seed=seed), torch.randint(3, (6,), generator=torch.Generator().manual_seed(seed))
    weighted = samnesia.ClassWeighted(WEIGHTS)
    torch.testing.assert_close(weighted(x, F.one_hot(y, 3).double()), weighted(x, y), rtol=1e-12, atol=1e-12)


def test_a_mixed_label_has_the_mixed_weight():
    x, soft = outputs(1, 3), torch.tensor([[0.5, 0.25, 0.25]], dtype=torch.float64)
    expected = (0.5 * 0.2 + 0.25 * 1.0) * F.cross_entropy(x, soft)
    torch.testing.assert_close(samnesia.ClassWeighted(WEIGHTS)(x, soft), expected, rtol=1e-14, atol=0)


def test_maps_of_classes_and_samples_that_do_not_count():
    x, y = outputs(2, 3, 4, 4), torch.randint(3, (2, 4, 4), generator=torch.Generator().manual_seed(1))
    y[0, 0] = -100
    ones = samnesia.ClassWeighted((1.0, 1.0, 1.0))
    torch.testing.assert_close(ones(x, y), F.cross_entropy(x, y), rtol=1e-14, atol=0)


def test_losses_of_another_kind():
    smooth = partial(F.cross_entropy, label_smoothing=0.1)
    x, y = outputs(5, 3), torch.tensor([0, 1, 2, 1, 0])
    ones = samnesia.ClassWeighted((1.0, 1.0, 1.0), partial(smooth, reduction="none"))
    torch.testing.assert_close(ones(x, y), smooth(x, y), rtol=1e-14, atol=0)


def test_what_cannot_be_weighed_is_refused():
    for weights in ((), (1.0, float("inf"))):
        with pytest.raises(ConfigurationError, match=r"^cannot weigh classes by.*because.*; "):
            samnesia.ClassWeighted(weights)
    x, y = outputs(4, 3), torch.tensor([0, 1, 2, 1])
    with pytest.raises(UnsupportedError, match=r"^cannot weigh the classes of an output of shape \(4, 3\).*2 weights"):
        samnesia.ClassWeighted((1.0, 1.0))(x, y)
    by_class = samnesia.ClassWeighted(WEIGHTS, lambda output, target: F.softplus(output))
    with pytest.raises(UnsupportedError, match=r"^cannot weigh losses of shape \(4, 3\).*because.*; "):
        by_class(x, y)


@pytest.mark.parametrize("weights", [3, "12", {0: 1.0}, torch.tensor([1.0, 2.0]), ["a"], [None]], ids=str)
def test_weights_of_another_kind_are_refused(weights):
    with pytest.raises(ConfigurationError, match=r"^cannot weigh classes by .*, because each needs a number; give a "):
        samnesia.ClassWeighted(weights)


def groups(preset, **options):
    model = torch.nn.Linear(4, 3)
    return preset(model, torch.optim.SGD(model.parameters(), lr=0.1), **options)


@pytest.mark.parametrize(
    ("tail", "sentence"),
    [
        (3, r"^cannot take tail=3, because it stands for several classes; give a list, as in tail=\[7, 8, 9\]$"),
        (torch.tensor(1), r"^cannot take tail=tensor\(1\), because it stands for several"),
        ("12", r"^cannot take tail='12', because it stands for several"),
        ([0.5], r"^cannot perturb for the classes \[0.5\], because the tail names classes by their indices; give"),
        (torch.tensor([True, False, True]), r"^cannot perturb for the classes \[True, False, True\], because the tail"),
        ([3], r"^cannot perturb for the classes \[3\], because there are num_classes=3"),
    ],
    ids=str,
)
def test_a_tail_that_names_no_classes_is_refused(tail, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        groups(samnesia.imbsam, tail=tail, num_classes=3)


@pytest.mark.parametrize("count", [0, 2.5, "3", None])
def test_a_number_of_classes_that_is_none_is_refused(count):
    with pytest.raises(ConfigurationError, match=r"^cannot perturb for some of num_classes=.*; give a whole number"):
        groups(samnesia.imbsam, tail=[1], num_classes=count)


@pytest.mark.parametrize("shares", [3, "123", [], [0, 0], [1, -1], ["1", "2"], {0: 1}], ids=str)
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(ConfigurationError, match=r"^cannot (take|weigh classes by) class_shares=.*, because .*; give "):
        groups(samnesia.focal_sam, class_shares=shares)


def test_tensors_name_classes_too():
    tail = groups(samnesia.imbsam, tail=torch.tensor([0, 2]), num_classes=3).remainder
    assert tail.weights == groups(samnesia.imbsam, tail=(0, 2), num_classes=3).remainder.weights == (0.0, 1.0, 0.0)
    counts = groups(samnesia.focal_sam, class_shares=torch.tensor([4, 2, 2])).remainder
    assert counts.weights == groups(samnesia.focal_sam, class_shares=[4, 2, 2]).remainder.weights
