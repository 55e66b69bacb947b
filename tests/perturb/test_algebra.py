"""Every method: what holds by arithmetic, whatever the data."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import samnesia
from tests.battery import BY_NAME, DRIVING, METHODS, PERTURBED, STEADY
from tests.problems import (
    assert_close,
    assert_same,
    batch,
    batches,
    differentiate,
    gradients,
    loss_of,
    network,
    sgd,
    train,
    train_plainly,
    weights,
)


@pytest.mark.parametrize("row", METHODS + DRIVING, ids=str)
def test_zero_learning_rate_leaves_the_weights_bit_for_bit(row):
    model = network()
    before = weights(model)
    train(row(model, sgd(model, lr=0.0)), model, batches(5))
    assert_same(weights(model), before)


@pytest.mark.parametrize("dropout", [0.0, 0.5], ids=["", "dropout replayed"])
@pytest.mark.parametrize("row", [row for row in METHODS if row.zero_radius_is_base], ids=str)
def test_zero_radius_is_the_base_optimizer(row, dropout):
    """Bit for bit; within 1e-12 where a rule divides by a norm and multiplies by it again, or the loss is split."""
    model, plain = network(dropout=dropout), network(dropout=dropout)
    method = row(model, sgd(model), rho=0.0, replay_dropout=True)
    torch.manual_seed(2)
    train(method, model, batches(5))
    random_state = torch.get_rng_state()
    torch.manual_seed(2)
    train_plainly(plain, sgd(plain), batches(5))
    if method.rule is method.remainder is None:
        assert_same(weights(model), weights(plain))
    else:
        assert_close(weights(model), weights(plain), 1e-12)
    assert torch.equal(random_state, torch.get_rng_state())


def test_zero_radius_of_the_others_is_not_the_base_optimizer():
    """So that `zero_radius_is_base=False` in the table is a fact and no excuse."""
    for row in METHODS:
        if not row.zero_radius_is_base:
            model, plain = network(), network()
            train(row(model, sgd(model), rho=0.0), model, batches(3))
            train_plainly(plain, sgd(plain), batches(3))
            with pytest.raises(AssertionError):
                assert_close(weights(model), weights(plain), 1e-6)


# -- one step on a quadratic ------------------------------------------------------------------------------------------

HESSIAN = torch.tensor([[3.0, 1.0, 0.5], [1.0, 2.0, -0.5], [0.5, -0.5, 1.0]], dtype=torch.float64)
START = torch.tensor([0.8, -1.5, 0.4], dtype=torch.float64)


class Quadratic(nn.Module):
    """``w'Hw / 2``; its only parameter is named "weight"."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(START.clone())

    def forward(self, x):
        return self.weight @ HESSIAN @ self.weight / 2


def scaled(t, g):
    return t**2 * g / (t * g).norm()


def gap(g, g_p, alpha=0.4):
    return g_p - alpha * (g - (g @ g_p) / (g_p @ g_p) * g_p)


def unit(g):
    return g / g.norm()


# (w, g) -> perturbation of radius 1; (clean, perturbed) -> gradient to step
FORMULAS = {
    "unperturbed": (lambda w, g: 0 * w, lambda g, g_p: g_p),
    "sam": (lambda w, g: unit(g), lambda g, g_p: g_p),
    "asam element": (lambda w, g: scaled(w.abs() + 0.01, g), lambda g, g_p: g_p),
    "asam filter": (lambda w, g: scaled(w.abs() + 0.01, g), lambda g, g_p: g_p),
    "asam layer": (lambda w, g: scaled(w.norm() + 0.01, g), lambda g, g_p: g_p),
    "asam all, eta 0": (lambda w, g: scaled(w.abs(), g), lambda g, g_p: g_p),
    "asam after norm": (lambda w, g: w.abs() * unit(g), lambda g, g_p: g_p),
    "asam before norm": (lambda w, g: unit(w.abs() * g), lambda g, g_p: g_p),
    "gsam": (lambda w, g: unit(g), gap),
    "gsam normalized": (lambda w, g: unit(g), lambda g, g_p: gap(unit(g), g_p)),
    "sign ascent": (lambda w, g: torch.sign(g), lambda g, g_p: g_p),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_one_step_on_a_quadratic_is_the_formula(name):
    """SAM: w - lr H (w + rho H w / |H w|)."""
    model, rho, lr = Quadratic(), 0.3, 0.2
    method = BY_NAME[name](model, sgd(model, lr=lr, momentum=0.0), rho=rho, loss=lambda output, target: output)
    train(method, model, [batch()])
    perturb, combine = FORMULAS[name]
    g = HESSIAN @ START
    g_p = HESSIAN @ (START + rho * perturb(START, g))
    torch.testing.assert_close(model.weight.detach(), START - lr * combine(g, g_p), rtol=1e-11, atol=1e-11)


def test_three_ascent_steps_on_a_quadratic_are_the_formula():
    model = Quadratic()
    train(samnesia.sam(model, sgd(model, 0.2, 0.0), rho=0.3, steps=3, loss=lambda output, _: output), model, [batch()])
    w = START
    for _ in range(3):
        w = w + 0.1 * unit(HESSIAN @ w)
    torch.testing.assert_close(model.weight.detach(), START - 0.2 * HESSIAN @ w, rtol=1e-11, atol=1e-11)


# -- limits -----------------------------------------------------------------------------------------------------------

LIMITS = {
    "GSAM with alpha 0": ((samnesia.gsam, {"alpha": 0.0}), (samnesia.sam, {})),
    "normalized GSAM with alpha 0": ((samnesia.gsam, {"alpha": 0.0, "backup": "normalized"}), (samnesia.sam, {})),
    "one ascent step": ((samnesia.sam, {"steps": 1}), (samnesia.sam, {})),
    "every step": ((samnesia.sam, {"when": samnesia.every(1)}), (samnesia.sam, {})),
    "after step 0": ((samnesia.sam, {"when": samnesia.after(0)}), (samnesia.sam, {})),
    "before the end": ((samnesia.sam, {"when": samnesia.before(4)}), (samnesia.sam, {})),
    "with probability 1": ((samnesia.sam, {"when": samnesia.randomly(1.0)}), (samnesia.sam, {})),
    "never": ((samnesia.sam, {"when": lambda step: False}), (samnesia.unperturbed, {})),
    "a constant law": ((samnesia.sam, {"rho": samnesia.proportional_to_lr(0.05, 0.05, 0, 1)}), (samnesia.sam, {})),
    "the loss as objective": ((samnesia.sam, {"objective": F.cross_entropy}), (samnesia.sam, {})),
    "ASAM as parts": (
        (samnesia.PerturbedGradient, {"rho": 0.5, "ball": samnesia.Ball(scaling=samnesia.ElementScaling())}),
        (samnesia.asam, {}),
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limit_is_the_parent_bit_for_bit(name):
    results = []
    for preset, options in LIMITS[name]:
        model = network()
        train(preset(model, sgd(model), **{"loss": F.cross_entropy, **options}), model, batches(4))
        results.append(weights(model))
    assert_same(*results)


# -- homogeneity ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [row for row in METHODS if row.scales], ids=str)
@settings(max_examples=8)
@given(power=st.integers(-40, 40))
def test_scaling_the_loss_scales_the_result_exactly(row, power):
    """Of degree zero in the ascent, one in the rule. An epsilon far below the norms: it alone is not homogeneous."""
    results = []
    for scale in (1.0, 2.0**power):
        model = network()
        differentiate(row(model, sgd(model), epsilon=1e-300), model, *batch(), scale=scale)
        results.append({name: g / scale for name, g in gradients(model).items()})
    assert_same(*results)


@pytest.mark.parametrize("row", [row for row in METHODS if row.scales], ids=str)
def test_loss_scale_of_a_gradient_scaler_changes_nothing_beyond_epsilon(row):
    results = []
    for scale in (1.0, 2.0**16):
        model = network()
        differentiate(row(model, sgd(model)), model, *batch(), scale=scale)
        results.append({name: g / scale for name, g in gradients(model).items()})
    assert_close(results[1], results[0], 1e-10)


# -- invariance of ASAM -----------------------------------------------------------------------------------------------


class Rectifier(nn.Module):
    """conv - relu - linear: a filter and its bias times a > 0, the weights that read it over a, is no change."""

    def __init__(self, factors):
        super().__init__()
        torch.manual_seed(3)
        self.conv = nn.Conv2d(1, len(factors), 2).double()
        self.head = nn.Linear(len(factors), 3).double()
        with torch.no_grad():
            self.conv.weight.mul_(factors[:, None, None, None])
            self.conv.bias.mul_(factors)
            self.head.weight.div_(factors)

    def forward(self, x):
        return self.head(F.relu(self.conv(x.view(-1, 1, 2, 2))).flatten(1))


FACTORS = st.floats(0.05, 20.0)


@pytest.mark.parametrize("scaling", ["element", "filter", "layer"])
@settings(max_examples=15)
@given(data=st.data())
def test_asam_is_invariant_under_the_rescaling_it_is_named_for(scaling, data):
    """With eta = 0. A gradient of rescaled weights is the gradient, rescaled the other way round."""
    own = data.draw(st.lists(FACTORS, min_size=4, max_size=4))
    factors = torch.tensor([own[0]] * 4 if scaling == "layer" else own, dtype=torch.float64)
    ones = torch.ones_like(factors)
    results = []
    for a in (ones, factors):
        model = Rectifier(a)
        method = samnesia.asam(
            model, sgd(model), rho=0.5, eta=0.0, scaling=scaling, scaled="all", loss=F.cross_entropy, epsilon=1e-300
        )
        differentiate(method, model, *batch())
        g = gradients(model)
        g["conv.weight"] *= a[:, None, None, None]
        g["conv.bias"] *= a
        g["head.weight"] /= a
        results.append(g)
    assert_close(results[1], results[0], 1e-12)


def test_sam_is_not_invariant_under_rescaling():
    """Or the test above would show nothing."""
    results = []
    for a in (1.0, 5.0):
        model = Rectifier(torch.full((4,), a, dtype=torch.float64))
        differentiate(samnesia.sam(model, sgd(model), rho=0.5, loss=F.cross_entropy), model, *batch())
        results.append(model.head.bias.grad)
    assert (results[1] - results[0]).norm() > 1e-3 * results[0].norm()


@pytest.mark.parametrize(("eta", "moves"), [(0.0, False), (0.01, True)])
@pytest.mark.parametrize(("scaling", "zeroed"), [("element", (0, 0, 0)), ("filter", 0), ("layer", slice(None))])
def test_zero_weights_move_if_eta_is_positive(scaling, zeroed, eta, moves):
    """A row of zeros, a filter of zeros, a tensor of zeros."""
    model = network()
    convolution = model[1].weight
    with torch.no_grad():
        convolution[zeroed] = 0.0
    method = samnesia.asam(model, sgd(model), eta=eta, scaling=scaling, loss=F.cross_entropy)
    for p in method.passes():
        if p.last:
            assert bool((convolution[zeroed] != 0).any()) == moves
        loss_of(p, model, batch()[0], batch()[1]).backward()


# -- weight decay, pass counts, descent -------------------------------------------------------------------------------


@pytest.mark.parametrize("row", METHODS, ids=str)
def test_weight_decay_is_no_part_of_the_perturbation(row):
    """The perturbed point and the gradient left there are those of the loss alone."""
    results = []
    for decay in (0.0, 0.5):
        model = network()
        method = row(model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=decay))
        for p in method.passes():
            point = weights(model)
            loss = loss_of(p, model, batch()[0], batch()[1])
            if p.needs_gradient:
                loss.backward()
        results.append((point, gradients(model)))
    assert_same(results[0][0], results[1][0])
    assert_same(results[0][1], results[1][1])


def count_passes(method, model, steps=12):
    counted = 0
    for x, y in batches(steps):
        for p in method.passes():
            counted += 1
            loss = loss_of(p, model, x, y)
            if p.needs_gradient:
                loss.backward()
        method.optimizer.step()
        method.optimizer.zero_grad()
    return counted


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, 24), ({"when": samnesia.every(3)}, 16), ({"when": samnesia.after(9)}, 15), ({"steps": 3}, 48)],
    ids=["always", "every third", "after nine", "three ascents"],
)
def test_passes_of_twelve_steps_of_sam(options, expected):
    model = network()
    assert count_passes(samnesia.sam(model, sgd(model), loss=F.cross_entropy, **options), model) == expected


@pytest.mark.parametrize(
    ("when", "perturbed"),
    [(samnesia.always, 12), (samnesia.every(3), 4), (samnesia.after(9), 3), (samnesia.before(5), 5)],
)
@pytest.mark.parametrize("row", STEADY, ids=str)
def test_passes_of_twelve_steps(row, when, perturbed):
    model = network()
    assert count_passes(row(model, sgd(model), when=when), model) == perturbed * row.passes + 12 - perturbed


@pytest.mark.parametrize("row", METHODS + DRIVING, ids=str)
def test_gradient_evaluations_of_twelve_steps(row):
    model = network()
    method, counted = row(model, sgd(model)), 0
    for data in batches(12):
        train(method, model, [data])
        counted += method.last_step.gradient_evaluations
    fewest, most = row.evaluations or (12 * row.gradients,) * 2
    assert fewest <= counted <= most


SCHEDULES = {
    "always": samnesia.always,
    "every": samnesia.every(3),
    "after": samnesia.after(9),
    "before": samnesia.before(5),
    "randomly": samnesia.randomly(0.5),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("row", METHODS + DRIVING, ids=str)
def test_the_loss_falls_under_every_schedule(row, schedule):
    model = network()
    method = row(model, sgd(model, lr=0.05), when=SCHEDULES[schedule])
    losses = []
    for _ in range(12):
        train(method, model, [batch()])
        losses.append(method.last_step.loss)
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("row", PERTURBED + DRIVING, ids=str)
def test_the_method_is_not_the_base_optimizer(row):
    """Each row has a radius that matters, so that the tests of the table can fail."""
    model, plain = network(), network()
    train(row(model, sgd(model)), model, batches(2))
    train_plainly(plain, sgd(plain), batches(2))
    with pytest.raises(AssertionError):
        assert_close(weights(model), weights(plain), 1e-4)
