"""Nets along a subspace against nets whose weights are mixed by hand, in float64."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import update_bn

import samnesia
from samnesia.models.small import mlp, small_cnn
from samnesia.models.subspaces.shapes import Curve, Line, Simplex
from samnesia.models.subspaces.subspace import Penalised, Subspace
from samnesia.perturb.errors import ConfigurationError


class Tied(nn.Module):
    """One module under two names, and one weight in two modules."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.again = self.first
        self.last = nn.Linear(6, 6, bias=False)
        self.last.weight = self.first.weight

    def forward(self, x):
        return self.last(torch.tanh(self.again(torch.tanh(self.first(x.flatten(1)[:, :6])))))


def vit():
    import timm

    return timm.create_model(
        "vit_tiny_patch16_224", img_size=8, patch_size=4, in_chans=1, embed_dim=12, depth=2, num_heads=2, num_classes=6
    )


NETS = {
    "cnn": lambda: small_cnn(1, 6, channels=(3, 4), hidden=5),
    "mlp": lambda: mlp(64, 6, hidden=(5,), norm=False),
    "vit": vit,
    "lstm": lambda: Sequence(),
    "tied": Tied,
}
SHAPES = {"line": Line(), "curve": Curve(), "simplex": Simplex(n=3), "layerwise": Line(layerwise=True)}
ANY_NET = partial(pytest.mark.parametrize, "net", NETS)
ANY_SHAPE = partial(pytest.mark.parametrize, "shape", SHAPES)


class Sequence(nn.Module):
    """Which keeps a list of its weights beside them."""

    def __init__(self):
        super().__init__()
        self.rows, self.head = nn.LSTM(8, 4, batch_first=True), nn.Linear(4, 6)

    def forward(self, x):
        return self.head(self.rows(x[:, 0])[0][:, -1])


def subspace_of(net="cnn", shape="line", seed=0):
    torch.manual_seed(seed)
    made = Subspace.of(NETS[net], SHAPES[shape] if isinstance(shape, str) else shape).double()
    made.draw(torch.Generator().manual_seed(seed + 1))
    return made


def batch(seed=2):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(7, 1, 8, 8, dtype=torch.float64, generator=generator), torch.arange(7) % 6


def ends(subspace):
    """The parameters of each endpoint, by name."""
    return [dict(end.named_parameters()) for end in subspace.endpoints]


def by_hand(subspace, shares_of):
    """A plain copy of the first endpoint with mixed weights: sum_i shares_of(name)[i] * w_i."""
    net = copy.deepcopy(subspace.endpoints[0])
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            mixed = sum(s * end[name] for s, end in zip(shares_of(name), ends(subspace), strict=True))
            parameter.copy_(mixed)
    return net


def layers(net):
    return list(dict.fromkeys(name.rpartition(".")[0] for name, _ in net.named_parameters()))


def drawn_shares(subspace):
    """(name) -> the shares that were drawn for it."""
    places = subspace.position.tolist()
    order = layers(subspace.endpoints[0])
    return lambda name: places[order.index(name.rpartition(".")[0]) if len(places) > 1 else 0]


@ANY_SHAPE()
@ANY_NET()
def test_a_forward_is_that_of_the_mixed_weights_in_training_and_in_evaluation(net, shape):
    subspace, (inputs, _) = subspace_of(net, shape), batch()
    expected = by_hand(subspace, drawn_shares(subspace)).train()(inputs)
    torch.testing.assert_close(subspace.train()(inputs), expected, rtol=1e-12, atol=1e-12)
    centre = by_hand(subspace, lambda _: subspace.shape.centre).eval()(inputs)
    torch.testing.assert_close(subspace.eval()(inputs), centre, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(subspace.net().eval()(inputs), centre, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", ["line", "curve", "simplex"])
def test_at_a_corner_the_net_is_the_endpoint_bit_by_bit(shape):
    subspace = subspace_of("cnn", shape)
    for corner, end in zip(subspace.shape.corners(), ends(subspace), strict=True):
        found = dict(subspace.net(corner).named_parameters())
        assert all(torch.equal(found[name], end[name]) for name in end)


def test_positions_hold_for_as_long_as_they_are_asked_for():
    subspace, (inputs, _) = subspace_of("mlp"), batch()
    drawn = subspace.position
    with subspace.at(0.25):
        there = subspace(inputs), subspace.eval()(inputs)
        with subspace.at():
            assert subspace.position.tolist() == [[0.5, 0.5]]
        assert subspace.position.tolist() == [[0.75, 0.25]]
    assert torch.equal(*there) and torch.equal(subspace.position, drawn)
    torch.testing.assert_close(there[0], by_hand(subspace, lambda _: (0.75, 0.25))(inputs))


@ANY_SHAPE()
@ANY_NET()
def test_the_gradient_of_an_endpoint_is_its_share_of_that_in_between(net, shape):
    subspace, (inputs, targets) = subspace_of(net, shape), batch()
    between, shares_of = by_hand(subspace, drawn_shares(subspace)).train(), drawn_shares(subspace)
    F.cross_entropy(between(inputs), targets).backward()
    F.cross_entropy(subspace.train()(inputs), targets).backward()
    for name, parameter in between.named_parameters():
        for i, end in enumerate(ends(subspace)):
            torch.testing.assert_close(end[name].grad, shares_of(name)[i] * parameter.grad, rtol=1e-10, atol=1e-12)


def matrices(end):
    """All that the penalty is about, as one vector of NumPy."""
    return np.concatenate([p.detach().numpy().ravel() for p in end.values() if p.ndim >= 2])


@pytest.mark.parametrize("beta", [0.5, 1.0])
def test_the_penalty_is_the_squared_cosine_of_the_pair_that_was_drawn(beta):
    subspace, seen = subspace_of("cnn", Simplex(n=3, beta=beta)), set()
    for seed in range(12):
        subspace.draw(torch.Generator().manual_seed(seed))
        one, other = (matrices(ends(subspace)[i]) for i in subspace.pair)
        cosine = one @ other / (np.linalg.norm(one) * np.linalg.norm(other))
        assert subspace.penalty().item() == pytest.approx(beta * cosine**2, rel=1e-10)
        seen.add(frozenset(subspace.pair))
    assert seen == {frozenset(pair) for pair in ((0, 1), (0, 2), (1, 2))}


def test_the_penalty_knows_no_normalization_and_no_bias_and_its_gradient_is_that_of_the_formula():
    subspace = subspace_of("cnn", "line")
    subspace.penalty().backward()
    one, other = (matrices(end) for end in ends(subspace))
    dot, ours, theirs = one @ other, one @ one, other @ other
    expected = 2 * dot / (ours * theirs) * (other - dot / ours * one)
    found = [p.grad for p in ends(subspace)[0].values() if p.ndim >= 2]
    np.testing.assert_allclose(np.concatenate([g.numpy().ravel() for g in found]), expected, rtol=1e-9, atol=1e-15)
    assert all(p.grad is None for p in ends(subspace)[0].values() if p.ndim < 2)


def test_places_and_pairs_are_those_of_the_seed_and_differ_from_step_to_step():
    one, other = subspace_of("mlp", "simplex", seed=0), subspace_of("mlp", "simplex", seed=5)
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    before = torch.get_rng_state()
    places = []
    for _ in range(4):
        for subspace, generator in zip((one, other), generators, strict=True):
            subspace.draw(generator)
        assert torch.equal(one.position, other.position) and one.pair == other.pair
        places.append(one.position)
    assert len({tuple(place[0].tolist()) for place in places}) == 4
    assert torch.equal(torch.get_rng_state(), before)  # a generator of its own leaves the global one alone


def test_layers_of_a_layerwise_shape_have_places_of_their_own():
    subspace = subspace_of("cnn", "layerwise")
    assert subspace.position.shape == (len(layers(subspace.endpoints[0])), 2)
    assert len({*subspace.position[:, 0].tolist()}) == len(subspace.position)


@pytest.mark.parametrize("shape", ["line", "simplex"])
def test_both_passes_of_sam_stand_at_one_place_and_the_perturbation_is_that_of_all_endpoints(shape):
    """e_i = rho * share_i * g / (sqrt(sum_j share_j^2) * |g|), without a penalty: then the net between is moved by
    rho * sqrt(sum_j share_j^2) along its own gradient g."""
    rho, (inputs, targets) = 0.3, batch()
    subspace = subspace_of("mlp", Line(beta=0.0) if shape == "line" else Simplex(n=3, beta=0.0))
    shares = subspace.position[0]
    plain = by_hand(subspace, drawn_shares(subspace))
    F.cross_entropy(plain(inputs), targets).backward()
    gradients = {name: p.grad for name, p in plain.named_parameters()}
    norm = torch.stack([g.norm() for g in gradients.values()]).norm()
    size = shares.square().sum().sqrt()
    method = samnesia.sam(subspace, torch.optim.SGD(subspace.parameters(), lr=0.1), rho=rho)
    before = copy.deepcopy(ends(subspace))
    for p in method.passes():
        assert torch.equal(subspace.position[0], shares)
        if p.last:
            for i, end in enumerate(ends(subspace)):
                for name, parameter in end.items():
                    expected = rho * shares[i] * gradients[name] / (size * norm)
                    torch.testing.assert_close(parameter - before[i][name], expected, rtol=1e-8, atol=1e-12)
            moved = by_hand(subspace, lambda _: shares.tolist())
            expected = {n: p + rho * size * gradients[n] / norm for n, p in plain.named_parameters()}
            torch.testing.assert_close(dict(moved.named_parameters()), expected, rtol=1e-8, atol=1e-12)
        F.cross_entropy(subspace(inputs), targets).backward()
    F.cross_entropy(moved(inputs), targets).backward()
    for i, end in enumerate(ends(subspace)):
        for name, parameter in moved.named_parameters():
            torch.testing.assert_close(end[name].grad, shares[i] * parameter.grad, rtol=1e-8, atol=1e-12)


def test_a_method_perturbs_the_loss_with_its_penalty():
    subspace, (inputs, targets) = subspace_of("mlp"), batch()
    criterion = Penalised(F.cross_entropy, subspace)
    loss = F.cross_entropy(subspace(inputs), targets) + subspace.penalty()
    assert torch.equal(criterion(subspace(inputs), targets), loss)
    gradients = torch.autograd.grad(loss, list(subspace.parameters()))
    norm = torch.stack([g.norm() for g in gradients]).norm()
    method = samnesia.sam(subspace, torch.optim.SGD(subspace.parameters(), lr=0.1), rho=0.1, loss=criterion)
    before = [p.detach().clone() for p in subspace.parameters()]
    for p in method.passes():
        if p.last:
            for parameter, old, gradient in zip(subspace.parameters(), before, gradients, strict=True):
                torch.testing.assert_close(parameter - old, 0.1 * gradient / norm, rtol=1e-8, atol=1e-12)
        p.loss(subspace(inputs), targets).backward()


def test_statistics_at_the_centre_are_the_means_over_its_batches():
    subspace = subspace_of("cnn")
    batches = [batch(seed)[0] for seed in range(3)]
    with subspace.at():
        update_bn(batches, subspace)
    plain = by_hand(subspace, lambda _: (0.5, 0.5)).train()
    update_bn(batches, plain)
    for name, value in plain.named_buffers():
        torch.testing.assert_close(dict(subspace.endpoints[0].named_buffers())[name], value, rtol=1e-12, atol=1e-12)
    first = [plain[0](one) for one in batches]  # before BatchNorm, by hand
    torch.testing.assert_close(plain[1].running_mean, torch.stack([x.mean((0, 2, 3)) for x in first]).mean(0))
    assert {name for name, _ in subspace.named_buffers() if not name.startswith("endpoints.0.")} == set()


def test_a_state_is_read_back_by_names_that_tell_endpoint_and_weight():
    subspace, other = subspace_of("cnn", "curve", seed=0), subspace_of("cnn", "curve", seed=9)
    assert {name.split(".")[1] for name in subspace.state_dict()} == {"0", "1", "2"}
    other.load_state_dict(subspace.state_dict())
    inputs, _ = batch()
    assert torch.equal(other.eval()(inputs), subspace.eval()(inputs))
    assert torch.equal(copy.deepcopy(subspace)(inputs), subspace(inputs))


def test_others_may_put_tensors_in_the_place_of_the_endpoints():
    """As teachers and measures do by functional_call."""
    subspace, (inputs, _) = subspace_of("mlp"), batch()
    twice = {name: 2 * value.detach() for name, value in subspace.named_parameters()}
    found = torch.func.functional_call(subspace, twice, (inputs,))
    doubled = copy.deepcopy(subspace)
    with torch.no_grad():
        for parameter in doubled.parameters():
            parameter.mul_(2)
    torch.testing.assert_close(found, doubled(inputs))


def test_frozen_parameters_are_those_of_the_first_endpoint():
    def build():
        net = NETS["mlp"]()
        net[1].requires_grad_(False)
        return net

    subspace, (inputs, _) = Subspace.of(build, Line()).double(), batch()
    assert len(list(subspace.parameters())) == 2 + 2 * 2
    with subspace.at(1.0):
        found = subspace(inputs)
    expected = subspace.net(1.0)
    assert torch.equal(expected[1].weight, subspace.endpoints[0][1].weight)
    torch.testing.assert_close(found, expected(inputs))


def test_sam_on_finds_the_normalization_of_all_endpoints():
    subspace, (inputs, targets) = subspace_of("cnn", Line(beta=0.0)), batch()
    method = samnesia.sam_on(subspace, torch.optim.SGD(subspace.parameters(), lr=0.1), rho=0.1)
    before = {name: p.detach().clone() for name, p in subspace.named_parameters()}
    for p in method.passes():
        if p.last:
            moved = {name for name, q in subspace.named_parameters() if not torch.equal(q, before[name])}
            assert moved == {f"endpoints.{i}.{j}.{w}" for i in (0, 1) for j in (1, 5) for w in ("weight", "bias")}
        F.cross_entropy(subspace(inputs), targets).backward()


def test_training_before_a_place_is_drawn_is_refused():
    subspace = Subspace.of(NETS["mlp"], Line()).double()
    subspace.eval()(batch()[0])
    with pytest.raises(ConfigurationError, match="call draw"):
        subspace.train()(batch()[0])


def equal():
    torch.manual_seed(0)
    return mlp(64, 6, hidden=(5,))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Subspace([equal(), equal()], Line()), "start equal, as endpoints 0 and 1 do"),
        (lambda: Subspace([equal()] * 2, Line()), "nets that share tensors"),
        (lambda: Subspace([equal()], Line()), "between 1 nets"),
        (lambda: Subspace([equal(), mlp(64, 6, hidden=(7,))], Line()), "endpoints 0 and 1"),
        (lambda: Subspace([equal().requires_grad_(False) for _ in "12"], Line()), "without trained parameters"),
    ],
)
def test_what_spans_nothing_is_refused_in_a_sentence(make, said):
    with pytest.raises(ConfigurationError, match=f"cannot span a line .*{said}.*because .*;"):
        make()


def test_a_compiled_subspace_is_traced_once_and_says_the_same():
    subspace, (inputs, _) = subspace_of("mlp"), batch()
    frames = []

    def counted(graph, _):
        frames.append(graph)
        return graph.forward

    compiled = torch.compile(subspace, backend=counted, fullgraph=True, dynamic=False)
    for seed in range(3):
        subspace.draw(torch.Generator().manual_seed(seed))
        torch.testing.assert_close(compiled(inputs), subspace(inputs), rtol=1e-12, atol=1e-12)
    assert len(frames) == 1
