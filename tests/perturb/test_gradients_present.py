"""Every method: parameters that have a gradient in some passes only, in none, or are not the optimizer's."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import samnesia
from samnesia.perturb.errors import UnperturbedParametersWarning, UnsupportedError
from tests.battery import METHODS
from tests.problems import (
    assert_close,
    assert_same,
    batch,
    batches,
    differentiate,
    gradients,
    loss_of,
    network,
    observed,
    sgd,
    train,
    train_plainly,
    weights,
)

MANY = [row for row in METHODS if row.gradients > 1]


class TwoHeads(nn.Module):
    """A second head that the body of a test uses in some passes only."""

    def __init__(self):
        super().__init__()
        self.trunk = network()
        torch.manual_seed(2)
        self.extra = nn.Linear(4, 3).double()
        self.use_extra = True

    def forward(self, x):
        return self.trunk(x) + self.extra(x) if self.use_extra else self.trunk(x)


def two_heads(row, **options):
    model = TwoHeads()
    return row(model, sgd(model), **options), model


def run(method, model, used_in):
    """One flow in which the second head takes part in the passes of `used_in`; returns the weights of each pass."""
    seen = []
    for p in method.passes():
        seen.append(weights(model))
        model.use_extra = p.index in used_in
        loss = loss_of(p, model, batch()[0], batch()[1])
        if p.needs_gradient:
            loss.backward()
    return seen


@pytest.mark.parametrize("row", MANY, ids=str)
def test_gradient_only_before_the_last_pass(row):
    method, model = two_heads(row)
    before = weights(model)
    seen = run(method, model, set(range(row.passes - 1)))
    assert (seen[-1]["extra.bias"] != before["extra.bias"]).any(), "it was perturbed"
    assert_same(weights(model), before)
    if method.remainder is None and (method.rule is None or not method.rule.needs_clean):
        assert model.extra.weight.grad is None
    else:
        assert model.extra.weight.grad.isfinite().all(), "a rule reads the clean gradient too"


@pytest.mark.parametrize("row", MANY, ids=str)
def test_gradient_only_in_the_last_pass(row):
    method, model = two_heads(row)
    before = weights(model)
    seen = run(method, model, {row.passes - 1})
    if not row.blind:
        extra = [name for name in before if "extra" in name]
        assert_same({name: seen[-1][name] for name in extra}, {name: before[name] for name in extra})
    assert_same(weights(model), before)
    assert model.extra.weight.grad.norm() > 0 or method.updates


@pytest.mark.parametrize("row", METHODS, ids=str)
def test_gradient_never(row):
    """As if the parameter were not there, and no gradient of zeros: momentum and decay would move it."""
    (method, model), plain = two_heads(row), network()
    run(method, model, set())
    other = row(plain, sgd(plain))
    differentiate(other, plain, *batch())
    assert model.extra.weight.grad is None and model.extra.bias.grad is None
    if not (row.draws or row.counts):
        assert_same({f"trunk.{n}": g for n, g in gradients(plain).items()}, present(model))


def present(model):
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("row", METHODS, ids=str)
def test_used_then_unused_leaves_no_stale_record(row):
    """The step in which a parameter is not used is that of a method that has just been built."""
    method, model = two_heads(row)
    run(method, model, set(range(9)))
    method.optimizer.step()
    method.optimizer.zero_grad()
    fresh, copy = two_heads(row)
    copy.load_state_dict(model.state_dict())
    fresh.load_state_dict(method.state_dict())
    fresh.optimizer.load_state_dict(method.optimizer.state_dict())
    run(method, model, set())
    run(fresh, copy, set())
    assert_same(present(model), present(copy))


@pytest.mark.parametrize("row", METHODS, ids=str)
def test_frozen_then_thawed(row):
    """A frozen part is not perturbed and gets no gradient; thawed, it takes part at once."""
    model, plain = network(), network()
    method = row(model, sgd(model))
    model[1].requires_grad_(False)
    frozen = weights(model[1])
    for p in method.passes():
        assert_same(weights(model[1]), frozen)
        loss = loss_of(p, model, batch()[0], batch()[1])
        if p.needs_gradient:
            loss.backward()
    assert model[1].weight.grad is None
    method.optimizer.zero_grad()
    model[1].requires_grad_(True)
    differentiate(method, model, *batch())
    differentiate(row(plain, sgd(plain)), plain, *batch())
    if not row.draws:  # which differs by the micro-batch it is drawn for
        assert_same(gradients(model), gradients(plain))
    assert model[1].weight.grad.norm() > 0


@pytest.mark.parametrize("row", METHODS, ids=str)
def test_zero_gradient_is_finite_and_does_not_perturb(row):
    model = network()
    before = weights(model)
    method = row(model, sgd(model))
    for p in method.passes():
        if not row.blind:
            assert_same(weights(model), before)
        (0.0 * loss_of(p, model, batch()[0], batch()[1])).backward()
    assert_same(gradients(model), {name: torch.zeros_like(w) for name, w in before.items()})
    assert_same(weights(model), before)
    assert method.last_step.finite


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.first, self.second, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
        self.second.weight = self.first.weight
        self.double()

    def forward(self, x):
        return self.head(torch.tanh(self.second(torch.tanh(self.first(x)))))


class Once(nn.Module):
    """The same function of the same parameters, with the shared weight in one place."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 4), nn.Module(), nn.Linear(4, 3)
        self.second.bias = nn.Parameter(torch.zeros(4))
        self.double()

    def forward(self, x):
        x = torch.tanh(self.first(x))
        return self.head(torch.tanh(F.linear(x, self.first.weight, self.second.bias)))


@pytest.mark.parametrize("row", METHODS, ids=str)
def test_tied_parameters_are_perturbed_and_counted_once(row):
    tied, once = Tied(), Once()
    once.load_state_dict({name: t for name, t in tied.state_dict().items() if name != "second.weight"})
    for model in (tied, once):
        train(row(model, sgd(model)), model, batches(2))
    assert_close(weights(tied), weights(once))


class Sparse(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 4, sparse=True, dtype=torch.float64)
        self.head = nn.Linear(4, 3).double()

    def forward(self, x):
        return self.head(self.embedding(x))


@pytest.mark.parametrize("row", METHODS, ids=str)
def test_sparse_gradients_are_refused_by_name(row):
    model = Sparse()
    before = observed(model)
    method = row(model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
    with pytest.raises(UnsupportedError, match="sparse gradient of parameter 'embedding.weight', .*sparse=False"):
        differentiate(method, model, torch.arange(5), torch.zeros(5, dtype=torch.long))
    assert_same(observed(model), before)


# -- groups -----------------------------------------------------------------------------------------------------------


def test_groups_have_their_own_radius_and_share_the_norm():
    """Also a group with rho = 0: not perturbed, and its gradient still part of the norm."""
    model = network()
    before = weights(model)
    groups = [{"params": model[1].parameters(), "rho": 0.0}, {"params": model[6].parameters(), "lr": 0.01}]
    method = samnesia.sam(model, torch.optim.SGD(groups, lr=0.1), rho=0.3, loss=F.cross_entropy)
    for p in method.passes():
        if p.last:
            perturbed = weights(model)
        loss_of(p, model, batch()[0], batch()[1]).backward()
        if not p.last:
            g = gradients(model)
    norm = torch.cat([t.flatten() for t in g.values()]).norm()
    for name in ("1.weight", "1.bias"):
        assert torch.equal(perturbed[name], before[name])
    for name in ("6.weight", "6.bias"):
        torch.testing.assert_close(perturbed[name] - before[name], 0.3 * g[name] / norm, rtol=1e-10, atol=1e-12)
    assert method.last_step.radii == (0.0, 0.3)


@pytest.mark.parametrize("row", METHODS, ids=str)
def test_splitting_the_parameters_into_groups_changes_nothing(row):
    model, split = network(), network()
    parameters = list(split.parameters())
    optimizer = torch.optim.SGD([{"params": parameters[2:]}, {"params": parameters[:2]}], lr=0.1, momentum=0.9)
    train(row(model, sgd(model)), model, batches(3))
    train(row(split, optimizer), split, batches(3))
    assert_same(weights(model), weights(split))


@pytest.mark.filterwarnings("ignore::samnesia.perturb.errors.UnperturbedParametersWarning")
def test_a_group_added_later_takes_part():
    model, plain = TwoHeads(), TwoHeads()
    optimizer = sgd(model.trunk)
    method = samnesia.sam(model, optimizer, rho=0.3, loss=F.cross_entropy)
    optimizer.add_param_group({"params": model.extra.parameters()})
    differentiate(method, model, *batch())
    differentiate(samnesia.sam(plain, sgd(plain), rho=0.3, loss=F.cross_entropy), plain, *batch())
    assert_same(gradients(model), gradients(plain))


@pytest.mark.parametrize("row", METHODS, ids=str)
def test_a_parameter_the_optimizer_does_not_hold_gets_the_last_gradient_and_no_perturbation(row):
    model = TwoHeads()
    with pytest.warns(UnperturbedParametersWarning, match=r"parameters of the model are not in the optimizer"):
        method = row(model, sgd(model.trunk))
    before, parts = weights(model.extra), []
    for p in method.passes():
        assert_same(weights(model.extra), before)
        loss = loss_of(p, model, batch()[0], batch()[1])
        if p.needs_gradient:
            loss.backward()
            if not p.ascent:  # the last pass, and before it that of a remainder
                parts.append(gradients(model.extra))
    assert_close(gradients(model.extra), {name: sum(part[name] for part in parts) for name in parts[-1]}, 1e-15)


def test_a_parameter_the_model_does_not_hold_is_an_error_with_its_place():
    model, other = network(), nn.Linear(2, 7)
    groups = [{"params": list(model.parameters())}, {"params": [*model[6].parameters(), other.weight][2:]}]
    with pytest.raises(
        UnsupportedError, match=r"parameter 0 of optimizer group 1 \(shape \(7, 2\)\), because it is not"
    ):
        samnesia.sam(model, torch.optim.SGD(groups, lr=0.1))


def test_a_parameter_swapped_after_construction_is_noticed():
    model = network()
    method = samnesia.sam(model, sgd(model))
    model[6] = nn.Linear(45, 3).double()
    with pytest.raises(UnsupportedError, match="parameter 2 of optimizer group 0"):
        next(method.passes())


# -- after construction -----------------------------------------------------------------------------------------------


def assign(model):
    """Swaps every parameter, so that the optimizer has to be built again; in place for all others."""
    model.load_state_dict({name: t.clone() for name, t in model.state_dict().items()}, assign=True)


@pytest.mark.parametrize("row", METHODS, ids=str)
@pytest.mark.parametrize(
    "change", [lambda m: m.double(), lambda m: m.to("cpu"), lambda m: m.load_state_dict(m.state_dict())]
)
def test_moving_the_model_after_construction(row, change):
    moved, plain = network().float(), network().float().double()
    method = row(moved, sgd(moved))
    change(moved.double())
    train(method, moved, batches(2))
    train(row(plain, sgd(plain)), plain, batches(2))
    assert_same(weights(moved), weights(plain))


def test_an_assigning_load_after_construction_is_refused_until_the_optimizer_holds_the_new_parameters():
    """The optimizer would step the old tensors in silence."""
    model, plain = network(), network()
    optimizer = sgd(model)
    method = samnesia.sam(model, optimizer, loss=F.cross_entropy)
    assign(model)
    with pytest.raises(UnsupportedError, match="not a parameter of the model; build the optimizer"):
        differentiate(method, model, *batch())
    optimizer.param_groups[0]["params"] = list(model.parameters())
    train(method, model, batches(2))
    train(samnesia.sam(plain, sgd(plain), loss=F.cross_entropy), plain, batches(2))
    assert_same(weights(model), weights(plain))


# -- frozen parts and adapters ----------------------------------------------------------------------------------------


class LowRank(nn.Module):
    """A frozen layer and a trainable correction of rank 2, as in LoRA."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer.requires_grad_(False)
        self.down_weight = nn.Parameter(torch.randn(2, layer.in_features, dtype=torch.float64))
        self.up_weight = nn.Parameter(torch.zeros(layer.out_features, 2, dtype=torch.float64))

    def forward(self, x):
        return self.layer(x) + x @ self.down_weight.T @ self.up_weight.T


@pytest.mark.parametrize("held", ["trainable parameters", "all parameters"])
@pytest.mark.parametrize("row", METHODS, ids=str)
def test_adapters_over_frozen_weights(row, held):
    """Only the adapters move, in the passes and in the step; they learn, though `up` starts at zero."""
    model = network()
    model.requires_grad_(False)
    model[6] = LowRank(model[6])
    frozen = {n: w for n, w in weights(model).items() if "down" not in n and "up" not in n}
    parameters = [p for p in model.parameters() if p.requires_grad or held == "all parameters"]
    method = row(model, torch.optim.SGD(parameters, lr=0.1, momentum=0.5))
    losses = []
    for _ in range(15):
        for p in method.passes():
            assert_same({n: w for n, w in weights(model).items() if n in frozen}, frozen)
            loss = loss_of(p, model, batch()[0], batch()[1])
            if p.needs_gradient:
                loss.backward()
        method.optimizer.step()
        method.optimizer.zero_grad()
        losses.append(method.last_step.loss)
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("row", METHODS, ids=str)
def test_activation_checkpointing_changes_nothing(row):
    """The forward that is repeated inside backward sees the weights and the masks of its pass."""
    results = []
    for checkpointed in (False, True):
        model = network(dropout=0.5)
        trunk, head = model[:5], model[5:]

        def run_trunk(x, trunk=trunk, checkpointed=checkpointed):
            return torch.utils.checkpoint.checkpoint(trunk, x, use_reentrant=False) if checkpointed else trunk(x)

        method = row(model, sgd(model))
        torch.manual_seed(6)
        for x, y in batches(3):
            for p in method.passes():
                loss = loss_of(p, lambda x, run_trunk=run_trunk, head=head: head(run_trunk(x)), x, y)
                if p.needs_gradient:
                    loss.backward()
            method.optimizer.step()
            method.optimizer.zero_grad()
        results.append(weights(model))
    assert_same(*results)


def test_parametrized_weights():
    """The method sees the originals."""
    model = network()
    nn.utils.parametrizations.weight_norm(model[6])
    before = weights(model)
    method = samnesia.asam(model, sgd(model), loss=F.cross_entropy)
    train(method, model, batches(1))
    plain = network()
    nn.utils.parametrizations.weight_norm(plain[6])
    train_plainly(plain, sgd(plain), batches(1))
    assert "6.parametrizations.weight.original0" in before
    with pytest.raises(AssertionError):
        assert_close(weights(model), weights(plain), 1e-4)
