"""Every method: what a forward pass moves besides gradients (running statistics, dropout masks), and names."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import samnesia
from samnesia.perturb.modules import innermost, parameter_name
from tests.battery import BY_NAME, METHODS, STEADY
from tests.problems import assert_same, batch, batches, differentiate, loss_of, network, observed, sgd, train, weights


class InPlace(nn.Module):
    """Counts its calls and keeps a running mean, both in place."""

    def __init__(self, features):
        super().__init__()
        self.register_buffer("mean", torch.zeros(features, dtype=torch.float64))
        self.register_buffer("calls", torch.zeros((), dtype=torch.long), persistent=False)

    def forward(self, x):
        self.calls += 1
        self.mean.lerp_(x.detach().mean((0, 2, 3)), 0.3)
        return x - self.mean.clone()[:, None, None]


class Rebinding(InPlace):
    """The same with new tensors."""

    def forward(self, x):
        self.calls = self.calls + 1
        self.mean = self.mean.lerp(x.detach().mean((0, 2, 3)), 0.3)
        return x - self.mean[:, None, None]


class Late(nn.Module):
    """Takes its statistics from the first batch it sees."""

    def __init__(self, features):
        super().__init__()
        self.register_buffer("mean", None)

    def forward(self, x):
        if self.mean is None:
            self.mean = x.detach().mean((0, 2, 3))
        return x - self.mean[:, None, None]


NORMS = {
    "batch": nn.BatchNorm2d,
    "batch, cumulative": lambda n: nn.BatchNorm2d(n, momentum=None),
    "instance": lambda n: nn.InstanceNorm2d(n, track_running_stats=True, affine=True),
    "in place": InPlace,
    "rebinding": Rebinding,
    "late": Late,
}


def buffers(model):
    return {name: b.clone() for name, b in model.named_buffers()}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("row", METHODS, ids=str)
def test_buffers_move_on_the_first_pass_only(row, norm):
    """After each step they are what one forward at the weights of the first pass leaves, call counts included."""
    model = network(norm=NORMS[norm])
    method = row(model, sgd(model))
    for x, y in batches(3):
        clean, once = weights(model), None
        for p in method.passes():
            if once is None and not p.teacher:
                once = copy_of(model)
                once(x)
                if not row.starts_moved:
                    assert_same(weights(model), clean)
            loss = loss_of(p, model, x, y)
            if p.needs_gradient:
                loss.backward()
        assert_same(buffers(model), buffers(once))
        method.optimizer.step()
        method.optimizer.zero_grad()


def copy_of(model):
    """Not deepcopy, which is refused inside passes()."""
    twin = network(norm=lambda _: copy.deepcopy(model[2]))
    twin.load_state_dict(dict(model.named_parameters()), strict=False)
    return twin


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("index", [0, 1])
def test_buffers_of_a_flow_that_was_left_are_the_very_tensors_they_were(norm, index):
    model = network(norm=NORMS[norm])
    before, held = observed(model), list(model.buffers())
    passes = samnesia.sam(model, sgd(model), loss=F.cross_entropy).passes()
    for _ in range(index + 1):
        p = next(passes)
        loss = loss_of(p, model, batch()[0], batch()[1])
        if p.index < index:
            loss.backward()
    passes.close()
    assert_same(observed(model), before)
    assert all(now is old for now, old in zip(model.buffers(), held, strict=True))


def test_statistics_of_noise_are_those_of_the_perturbed_weights_unless_asked_for_clean_ones():
    """As under SAM: `clean_statistics` spends a forward on them."""
    x, y = batch()
    forward = network(norm=nn.BatchNorm2d)
    forward(x)
    results = {}
    for clean in (False, True):
        model = network(norm=nn.BatchNorm2d)
        method = samnesia.random_perturbation(model, sgd(model), 2.0, clean_statistics=clean, loss=F.cross_entropy)
        differentiate(method, model, x, y)
        results[clean] = buffers(model)
    assert_same(results[True], buffers(forward))
    assert (results[False]["2.running_mean"] - results[True]["2.running_mean"]).norm() > 1e-3


def test_evaluation_mode_moves_nothing():
    model = network(norm=nn.BatchNorm2d, dropout=0.5).eval()
    before = buffers(model)
    train(samnesia.sam(model, sgd(model), loss=F.cross_entropy), model, batches(2))
    assert_same(buffers(model), before)


# -- dropout ----------------------------------------------------------------------------------------------------------

WHOLE = [row for row in STEADY if not row.selects]  # every pass is over the batch


def masks_of_a_flow(row, *, replay_dropout):
    model = network(dropout=0.5)
    method = row(model, sgd(model), replay_dropout=replay_dropout)
    masks = []
    model[4].register_forward_hook(lambda module, inputs, output: masks.append(output == 0))
    torch.manual_seed(7)
    differentiate(method, model, *batch())
    return masks


@pytest.mark.parametrize("row", WHOLE, ids=str)
def test_dropout_masks_are_fresh_in_each_pass(row):
    masks = masks_of_a_flow(row, replay_dropout=False)
    after = torch.get_rng_state()
    assert len(masks) == row.passes
    assert all((a != b).any() for a, b in zip(masks, masks[1:], strict=False))
    forward_often(row.passes)
    assert torch.equal(after, torch.get_rng_state())


@pytest.mark.parametrize("row", WHOLE, ids=str)
def test_dropout_masks_are_replayed_on_request(row):
    """And the random state is then as one pass leaves it."""
    masks = masks_of_a_flow(row, replay_dropout=True)
    after = torch.get_rng_state()
    assert len(masks) == row.passes
    assert all(torch.equal(mask, masks[0]) for mask in masks)
    forward_often(1)
    assert torch.equal(after, torch.get_rng_state())


def test_replay_leaves_the_random_state_of_the_first_pass_even_if_others_draw_more():
    model = network(dropout=0.5)
    method = BY_NAME["sam"](model, sgd(model), replay_dropout=True)
    torch.manual_seed(7)
    for p in method.passes():
        loss_of(p, model, batch()[0], batch()[1]).backward()
        torch.rand(p.index)
    after = torch.get_rng_state()
    forward_often(1)
    assert torch.equal(after, torch.get_rng_state())


def forward_often(times):
    model = network(dropout=0.5)
    torch.manual_seed(7)
    for _ in range(times):
        model(batch()[0])


def test_noise_leaves_the_random_state_alone_and_differs_by_seed_step_and_micro_batch():
    model = network()
    before = torch.get_rng_state()
    points = []
    for seed in (0, 1):
        method = BY_NAME["random"](model, sgd(model, lr=0.0), seed=seed)
        for _ in range(2):
            for _ in range(2):
                for p in method.passes():
                    points.append(weights(model)["1.weight"])
                    loss_of(p, model, batch()[0], batch()[1]).backward()
            method.optimizer.step()
            method.optimizer.zero_grad()
    assert torch.equal(before, torch.get_rng_state())
    assert len({tuple(point.flatten().tolist()) for point in points}) == 8


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrapped", "plain"),
    [
        ("weight", "weight"),
        ("0.weight", "0.weight"),
        ("module.0.weight", "0.weight"),
        ("_orig_mod.module.0.weight", "0.weight"),
        ("_forward_module.module.layer.bias", "layer.bias"),
        ("layer._checkpoint_wrapped_module.weight", "layer.weight"),
        ("layer._orig_mod.weight", "layer.weight"),
        ("block.module.weight", "block.module.weight"),
        ("module", "module"),
    ],
)
def test_wrapper_prefixes_are_no_part_of_a_name(wrapped, plain):
    assert parameter_name(wrapped) == plain


def test_the_innermost_module_is_the_users():
    model = network()
    wrapper = nn.Module()
    wrapper.module = model
    outer = nn.Module()
    outer._orig_mod = wrapper
    assert innermost(outer) is model
    assert innermost(model) is model


def test_a_model_with_a_child_called_module_and_weights_of_its_own_is_no_wrapper():
    model = nn.Linear(2, 2)
    model.module = nn.Linear(2, 2)
    assert innermost(model) is model


def test_a_wrapper_changes_no_result():
    class Wrapper(nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, x):
            return self.module(x)

    model, inside = network(), network()
    wrapped = Wrapper(inside)
    train(samnesia.asam(model, sgd(model), loss=F.cross_entropy), model, batches(3))
    train(samnesia.asam(wrapped, sgd(wrapped), loss=F.cross_entropy), wrapped, batches(3))
    assert_same(weights(model), weights(inside))


def test_a_module_made_in_the_first_forward_counts_one_batch():
    class Late(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3).double()

        def forward(self, x):
            if not hasattr(self, "norm"):
                self.norm = nn.BatchNorm1d(3, affine=False).double()
            return self.norm(self.layer(x))

    model, (x, y) = Late(), batch()
    differentiate(samnesia.sam(model, sgd(model), loss=F.cross_entropy), model, x, y)
    assert int(model.norm.num_batches_tracked) == 1
