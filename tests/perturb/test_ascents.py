"""Ascents: where the perturbed weights are."""

import pytest
import torch
import torch.nn.functional as F

import samnesia
from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.parts.point import Need
from samnesia.perturb.tensors import Weights
from tests.battery import BY_NAME, METHODS
from tests.problems import batch, gradients, loss_of, network, sgd, weights

X, Y = batch()


def flow(method, model):
    """Flat weights at each pass, and the flat gradients taken there."""
    points, taken = [], []
    for p in method.passes():
        points.append(torch.cat([w.flatten() for w in weights(model).values()]))
        p.loss(model(X), Y).backward()
        taken.append(torch.cat([g.flatten() for g in gradients(model).values()]))
    return points, taken


@pytest.mark.parametrize("name", ["sam", "gsam", "obf", "asam before norm"])
def test_the_perturbation_has_length_rho(name):
    model = network()
    (start, end), _ = flow(BY_NAME[name](model, sgd(model), rho=0.37), model)
    assert float((end - start).norm()) == pytest.approx(0.37, rel=1e-9)


@pytest.mark.parametrize("clean", [False, True])
def test_noise_has_length_rho_exactly_and_takes_one_gradient(clean):
    for step in range(20):
        model = network()
        start = torch.cat([w.flatten() for w in weights(model).values()])
        method = samnesia.random_perturbation(
            model, sgd(model), 0.37, clean_statistics=clean, seed=step, loss=F.cross_entropy
        )
        points, _ = flow(method, model)
        assert float((points[-1] - start).norm()) == pytest.approx(0.37, rel=1e-12)
        assert method.last_step.gradient_evaluations == 1


def test_several_steps_follow_the_gradient_where_each_arrived():
    model = network()
    points, taken = flow(samnesia.sam(model, sgd(model), rho=0.3, steps=3, loss=F.cross_entropy), model)
    assert len(points) == 4
    for here, there, g in zip(points, points[1:], taken, strict=False):
        torch.testing.assert_close(there - here, 0.1 * g / g.norm(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scaling", ["element", "filter", "layer"])
def test_several_steps_stay_in_the_ball_of_the_unperturbed_weights(scaling):
    """The scaling is that of the start, so that the sizes of the steps add up to rho at most."""
    model = network()
    method = samnesia.asam(model, sgd(model), rho=0.6, steps=4, scaling=scaling, loss=F.cross_entropy)
    names, parameters = zip(*model.named_parameters(), strict=True)
    start = [p.detach().clone() for p in parameters]
    at_start = Weights(names, parameters, start)
    sizes = []
    for p in method.passes():
        moved = [w.detach() - s for w, s in zip(parameters, start, strict=True)]
        sizes.append(float(method.ball.measure(at_start, moved)))
        p.loss(model(X), Y).backward()
    assert sizes[0] == 0.0
    assert sizes[1] == pytest.approx(0.15, rel=1e-6)
    assert sizes == sorted(sizes)
    assert 0.5 < sizes[-1] <= 0.6 * (1 + 1e-9)


@pytest.mark.parametrize("row", [row for row in METHODS if row.gradients > 1], ids=str)
def test_a_small_perturbation_raises_what_it_ascends(row):
    model = network()
    method = row(model, sgd(model), rho=1e-3)
    objective = method.objective or F.cross_entropy
    values = []
    for p in method.passes():
        values.append(float(objective(model(X), Y).detach()))
        loss_of(p, model, X, Y).backward()
    assert values[-1] > values[0]


def test_the_once_scaled_forms_are_two_methods_and_neither_is_asam():
    results = {}
    for preset in (samnesia.asam_after_norm, samnesia.asam_before_norm, samnesia.asam):
        model = network()
        options = {"scaled": "all", "eta": 0.0} if preset is samnesia.asam else {}
        points, (g, _) = flow(preset(model, sgd(model), rho=0.5, loss=F.cross_entropy, **options), model)
        w, e = points[0], points[1] - points[0]
        results[preset.__name__] = e
        expected = {
            "asam_after_norm": 0.5 * w.abs() * g / g.norm(),
            "asam_before_norm": 0.5 * w.abs() * g / (w.abs() * g).norm(),
            "asam": 0.5 * w**2 * g / (w * g).norm(),
        }
        torch.testing.assert_close(e, expected[preset.__name__], rtol=1e-9, atol=1e-12)
    after, before, published = results.values()
    assert (after - before).norm() > 0.01 and (before - published).norm() > 0.01


@pytest.mark.parametrize(
    "ascent", [samnesia.GradientAscent, samnesia.AfterNormAscent, samnesia.BeforeNormAscent], ids=lambda a: a.__name__
)
@pytest.mark.parametrize("steps", [0, -1, 1.5])
def test_an_ascent_without_a_step_is_refused(ascent, steps):
    with pytest.raises(ConfigurationError, match="^cannot ascend in steps=.*; choose a whole number >= 1"):
        ascent(steps=steps)


def test_an_ascent_of_ones_own():
    """Half a radius along the signs, after a forward pass."""

    class Own(samnesia.Ascent):
        num_gradients = 1

        def climb(self, point):
            yield Need.FORWARD
            gradient = yield Need.GRADIENT
            point.move([torch.sign(g) for g in gradient], 0.5)

    model = network()
    start = weights(model)
    method = samnesia.PerturbedGradient(model, sgd(model), rho=0.1, ascent=Own(), loss=F.cross_entropy)
    needs = []
    for p in method.passes():
        needs.append(p.needs_gradient)
        if p.last:
            moved = weights(model)["6.bias"] - start["6.bias"]
        if p.needs_gradient:
            p.loss(model(X), Y).backward()
    assert needs == [False, True, True]
    torch.testing.assert_close(moved.abs(), torch.full((3,), 0.05, dtype=torch.float64))
