"""Layers with random backward passes: the true gradient in ascent passes, another one otherwise."""

import copy

import pytest
import torch
from torch import nn

import samnesia
from samnesia.models.ascent import AscentAware, Shake, ShakeDrop, aware_layers


class Drawn(nn.Module):
    """A layer whose draws are the same at each call, as a function of its inputs."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, *inputs):
        torch.manual_seed(3)
        return self.layer(*inputs)


def cases():
    return [(Shake(), 2), (ShakeDrop(0.3), 1)]


def inputs_of(count, images=6):
    return tuple(torch.randn(images, 2, 3, 3, dtype=torch.float64, requires_grad=True) for _ in range(count))


def gradients(layer, inputs):
    return torch.autograd.grad(Drawn(layer)(*inputs).sum(), inputs)


@pytest.mark.parametrize(("layer", "count"), cases(), ids=["shake", "shakedrop"])
def test_ascent_has_the_gradient_of_its_own_forward(layer, count):
    layer.ascending = True
    inputs = inputs_of(count)
    assert torch.autograd.gradcheck(Drawn(layer), inputs)
    assert torch.autograd.gradgradcheck(Drawn(layer), inputs)


@pytest.mark.parametrize(("layer", "count"), cases(), ids=["shake", "shakedrop"])
def test_other_passes_have_another_gradient_and_the_same_forward(layer, count):
    inputs = inputs_of(count)
    plain, value = gradients(layer, inputs), Drawn(layer)(*inputs)
    layer.ascending = True
    true, ascent_value = gradients(layer, inputs), Drawn(layer)(*inputs)
    torch.testing.assert_close(value, ascent_value)
    assert all(not torch.allclose(a, b) for a, b in zip(plain, true, strict=True))


@pytest.mark.parametrize(("layer", "count"), cases(), ids=["shake", "shakedrop"])
def test_ascent_and_other_passes_leave_the_same_random_state(layer, count):
    states = []
    for layer.ascending in (False, True):
        Drawn(layer)(*inputs_of(count))
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


@pytest.mark.parametrize(("layer", "count"), cases(), ids=["shake", "shakedrop"])
def test_evaluation_is_the_expectation_and_draws_nothing(layer, count):
    inputs = tuple(tensor.detach()[:1].expand(20_000, -1, -1, -1) for tensor in inputs_of(count))
    mean = layer(*inputs).mean(0)
    state = torch.get_rng_state()
    expected = layer.eval()(*inputs)[0]
    assert torch.equal(state, torch.get_rng_state())
    scale = max(tensor.abs().max() for tensor in inputs)
    assert (mean - expected).abs().max() < 0.02 * scale  # standard error of the mean: below 0.005


def test_shake_weights_branches_by_one_number_per_image_in_each_direction():
    left, right = inputs_of(2, images=500)
    ones, zeros = torch.ones_like(left), torch.zeros_like(right)
    forward = Shake()(ones, zeros)
    assert torch.equal(forward, forward[:, :1, :1, :1].expand_as(forward))
    assert 0 <= forward.min() < 0.05 and 0.95 < forward.max() <= 1
    backward_left, backward_right = torch.autograd.grad(Shake()(left, right).sum(), (left, right))
    torch.testing.assert_close(backward_left + backward_right, ones)
    assert torch.equal(backward_left, backward_left[:, :1, :1, :1].expand_as(left))
    assert len(backward_left.unique()) == 500


def test_shakedrop_keeps_a_share_of_images_and_shakes_the_others_in_the_papers_ranges():
    (x,) = inputs_of(1, images=4000)
    y = ShakeDrop(0.3)(x)
    (backward,) = torch.autograd.grad(y.sum(), x)
    forward, backward = (y / x)[:, 0, 0, 0].detach(), backward[:, 0, 0, 0]
    shaken = (forward - 1).abs() > 1e-9
    assert shaken.double().mean() == pytest.approx(0.7, abs=0.03)
    assert (backward[~shaken] == 1).all()
    assert -1 <= forward[shaken].min() < -0.98 and 0.98 < forward[shaken].max() <= 1
    assert 0 <= backward[shaken].min() < 0.02 and 0.98 < backward[shaken].max() <= 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_draws_do_not_depend_on_the_precision_of_the_images(dtype):
    x = torch.ones(100_000, 1, 1, 1)
    exact, rough = Drawn(ShakeDrop(0.997))(x), Drawn(ShakeDrop(0.997))(x.to(dtype))
    assert rough.dtype == dtype
    torch.testing.assert_close(rough.float(), exact, rtol=0.01, atol=0.01)
    assert (exact != 1).float().mean().item() == pytest.approx(0.003, abs=0.001)


def test_aware_layers_are_found_inside_wrappers_and_copies():
    net = nn.Sequential(nn.ReLU(), nn.Sequential(ShakeDrop(0.5), Shake()))
    assert [type(layer) for layer in aware_layers(nn.ModuleDict({"module": net}))] == [ShakeDrop, Shake]
    aware_layers(net)[0].ascending = True
    assert [layer.ascending for layer in aware_layers(copy.deepcopy(net))] == [True, False]
    assert not AscentAware.ascending


def test_a_sam_step_ascends_along_the_true_gradient():
    """SAM's perturbation is rho times the unit gradient of the realized forward."""
    net = nn.Sequential(nn.Linear(3, 4), ShakeDrop(0.4), nn.Linear(4, 2)).double()
    x, target = torch.randn(8, 3, dtype=torch.float64), torch.randint(2, (8,))
    method = samnesia.sam(net, torch.optim.SGD(net.parameters(), 0.1), rho=0.1)
    start = torch.nn.utils.parameters_to_vector(net.parameters()).detach()
    (layer,) = aware_layers(net)
    moves = []
    for p in method.passes():
        layer.ascending = p.ascent
        moves.append(torch.nn.utils.parameters_to_vector(net.parameters()).detach() - start)
        torch.manual_seed(1)
        nn.functional.cross_entropy(net(x), target).backward()
    expected = true_gradient(net, start, x, target)
    torch.testing.assert_close(moves[1], 0.1 * expected / expected.norm())


def true_gradient(net, at, x, target, step=1e-6):
    """Central differences of the realized forward."""
    columns = []
    for i in range(len(at)):
        values = []
        for sign in (1, -1):
            moved = at.clone()
            moved[i] += sign * step
            torch.nn.utils.vector_to_parameters(moved, net.parameters())
            torch.manual_seed(1)
            values.append(nn.functional.cross_entropy(net(x), target).item())
        columns.append((values[0] - values[1]) / (2 * step))
    return torch.tensor(columns, dtype=torch.float64)
