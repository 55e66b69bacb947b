"""Output-bias forgetting: its gradient is that of the objective it states."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import samnesia
from samnesia.perturb.errors import ConfigurationError, ObjectiveNotUsedError, UnsupportedError
from tests import oracles as o
from tests.battery import METHODS
from tests.problems import assert_same, batch, network, observed, sgd

OBF = samnesia.OutputBiasForgetting
SETTINGS = [
    {},
    {"link": "sigmoid"},
    {"gamma": 0.0},
    {"gamma": 1e-12, "link": "sigmoid"},
    {"gamma": 0.5, "threshold": 0.2},
    {"threshold": 0.0},
    {"threshold": 0.9, "link": "sigmoid"},
]
settings = pytest.mark.parametrize("setting", SETTINGS, ids=str)
N, K = 6, 4


def logits(*shape, seed=0, size=3.0):
    generator = torch.Generator().manual_seed(seed)
    return (size * torch.randn(*shape, generator=generator, dtype=torch.float64)).requires_grad_()


def indices(*shape, seed=1):
    return torch.randint(K, shape, generator=torch.Generator().manual_seed(seed))


def soft(*shape, seed=2):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).softmax(1)


def gradient_of(value, x):
    return torch.autograd.grad(value, x)[0]


def stated(x, y, *, threshold=None, gamma=1.0, link="softmax"):
    """The docstring, sample by sample in NumPy: value with the given alphas, and the gradient stated in the logits."""
    threshold = 1 / x.shape[1] if threshold is None else threshold
    p = o.softmax(x) if link == "softmax" else o.sigmoid(x)
    p_y = (y * p).sum(1)
    alpha = gamma * np.maximum(0, (1 - threshold / p_y) / (1 - threshold))

    def value(x):
        q = o.softmax(x) if link == "softmax" else o.sigmoid(x)

        def cross_entropy(t):
            per_class = -t * np.log(q) - (0 if link == "softmax" else (1 - t) * np.log(1 - q))
            return per_class.sum(1)

        return ((1 - alpha) * cross_entropy(y) - cross_entropy(np.full_like(q, 1 / x.shape[1]))).mean()

    return value, (1 / x.shape[1] - alpha[:, None] * p - (1 - alpha)[:, None] * y) / len(x)


@pytest.mark.parametrize("target", [indices(N), soft(N, K)], ids=["indices", "mixup"])
@settings
def test_value_and_gradient_are_those_stated(setting, target):
    """By autograd, by the closed form, and by central differences of the value with alpha held constant."""
    x = logits(N, K)
    y = (F.one_hot(target, K) if target.ndim == 1 else target).double().numpy()
    value, closed_form = stated(x.detach().numpy(), y, **setting)
    objective = OBF(**setting)(x, target)
    gradient = gradient_of(objective, x).numpy()
    assert float(objective.detach()) == pytest.approx(value(x.detach().numpy()), rel=1e-12)
    np.testing.assert_allclose(gradient, closed_form, rtol=1e-10, atol=1e-14)
    for i in range(N):
        for k in range(K):
            step = np.zeros((N, K))
            step[i, k] = 1e-6
            here = x.detach().numpy()
            numeric = (value(here + step) - value(here - step)) / 2e-6
            assert gradient[i, k] == pytest.approx(numeric, abs=1e-8)


@settings
def test_agrees_with_the_oracle(setting):
    x, target = logits(N, K), indices(N)
    parts = {**setting, "link": o.sigmoid if setting.get("link") == "sigmoid" else o.softmax}
    value, gradient = o.obf(**parts)(x.detach().numpy(), target.numpy())
    objective = OBF(**setting)(x, target)
    assert float(objective.detach()) == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(gradient_of(objective, x), gradient, rtol=1e-10, atol=1e-14)


@settings
def test_one_hot_distributions_are_class_indices(setting):
    x, target = logits(N, K), indices(N)
    by_index = gradient_of(OBF(**setting)(x, target), x)
    by_distribution = gradient_of(OBF(**setting)(x, F.one_hot(target, K).double()), x)
    assert torch.equal(by_index, by_distribution)


@pytest.mark.parametrize("kind", ["indices", "mixup"])
@settings
def test_pixels_are_samples(setting, kind):
    """[N, K, H, W] is [N·H·W, K]."""
    x = logits(2, K, 3, 2)
    target = indices(2, 3, 2) if kind == "indices" else soft(2, K, 3, 2)
    flat_target = target.flatten() if kind == "indices" else target.movedim(1, -1).reshape(-1, K)
    flat = x.movedim(1, -1).reshape(-1, K)
    pixels, samples = OBF(**setting)(x, target), OBF(**setting)(flat, flat_target)
    torch.testing.assert_close(pixels, samples, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient_of(pixels, x), gradient_of(samples, x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("ignored", [-100, 2])
@settings
def test_ignored_samples_do_not_count(setting, ignored):
    x, target = logits(N, K), indices(N)
    target[[0, 3]] = ignored
    kept = target != ignored
    objective = OBF(**setting, ignore_index=ignored)
    value, expected = objective(x, target), OBF(**setting, ignore_index=-1)(x[kept], target[kept])
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)
    gradient = gradient_of(value, x)
    torch.testing.assert_close(gradient, gradient_of(expected, x), rtol=1e-12, atol=1e-12)
    assert torch.equal(gradient[~kept], torch.zeros_like(gradient[~kept]))


EXTREME = st.sampled_from([0.0, 1.0, -1.0, 30.0, -30.0, 1e3, -1e3, 1e6, -1e6])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings
@examples(max_examples=30)
@given(
    values=arrays.arrays(np.float64, (3, K), elements=EXTREME),
    labels=st.lists(st.integers(0, K - 1), min_size=3, max_size=3),
)
def test_finite_at_extreme_logits(setting, dtype, values, labels):
    x = torch.tensor(values, dtype=dtype, requires_grad=True)
    value = OBF(**setting)(x, torch.tensor(labels))
    gradient = gradient_of(value, x)
    assert value.isfinite() and gradient.isfinite().all()
    assert gradient.abs().max() <= 2.0


def test_at_chance_it_is_the_linear_margin_and_for_the_confident_it_pulls_to_uniform():
    """mean_k x_k - x_y where p_y <= 1/K; the label drops out as p_y goes to one."""
    unsure = torch.tensor([[-4.0, 2.0, 1.0, 0.5]], dtype=torch.float64, requires_grad=True)
    objective = OBF()(unsure, torch.tensor([0]))
    torch.testing.assert_close(objective, unsure.mean() - unsure[0, 0])
    sure = torch.tensor([[50.0, 2.0, 1.0, 0.5]], dtype=torch.float64, requires_grad=True)
    objective = OBF()(sure, torch.tensor([0]))
    torch.testing.assert_close(gradient_of(objective, sure), 0.25 - sure.detach().softmax(1), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_logits_of_half_precision_are_widened(dtype):
    x = logits(N, K).detach().to(dtype).requires_grad_()
    value = OBF()(x, indices(N))
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, OBF()(x.float(), indices(N)))
    assert gradient_of(value, x).dtype == dtype


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [{"threshold": -0.1}, {"threshold": 1.0}, {"threshold": math.nan}, {"gamma": -0.1}, {"gamma": 1.1}]
    + [{"gamma": math.nan}, {"link": "probit"}],
    ids=str,
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ConfigurationError, match="^cannot forget output bias with .*, because .*; choose"):
        OBF(**wrong)
    model = network()
    with pytest.raises(ConfigurationError):
        samnesia.obf(model, sgd(model), 0.1, F.cross_entropy, **wrong)


def test_wrong_shapes_are_refused():
    with pytest.raises(UnsupportedError, match="output of shape .*second dimension must be the classes"):
        OBF()(torch.zeros(4), torch.zeros(4, dtype=torch.long))
    with pytest.raises(UnsupportedError, match="soft targets of shape"):
        OBF()(torch.zeros(4, 3), torch.zeros(4, 2))


@pytest.mark.parametrize("row", [row for row in METHODS if "obf" in row.name], ids=str)
def test_an_ascent_pass_without_its_objective_is_refused(row):
    """In each ascent pass; in the last pass any loss will do."""
    for index in range(row.passes - 1):
        model = network()
        method = row(model, sgd(model))
        before = observed(model)
        with pytest.raises(ObjectiveNotUsedError, match="compute the loss of each pass with p.loss"):
            for p in method.passes():
                loss = F.cross_entropy if p.index == index else p.loss
                loss(model(batch()[0]), batch()[1]).backward()
        assert_same(observed(model), before)
    if method.rule is None:
        for p in method.passes():
            loss = F.cross_entropy if p.last else p.loss
            loss(model(batch()[0]), batch()[1]).backward()
        assert model[6].weight.grad is not None


@pytest.mark.parametrize("row", [row for row in METHODS if "obf" in row.name], ids=str)
def test_on_plain_steps_the_loss_of_a_pass_is_the_training_loss(row):
    model = network()
    method = row(model, sgd(model), when=samnesia.after(1))
    for p in method.passes():
        output = model(batch()[0])
        assert torch.equal(p.loss(output, batch()[1]), F.cross_entropy(output, batch()[1]))
        p.loss(output, batch()[1]).backward()


def test_any_callable_is_an_objective():
    """Ascending the entropy of the outputs, say."""
    model = network()

    def entropy(output, target):
        return -(output.softmax(1) * output.log_softmax(1)).sum(1).mean()

    method = samnesia.sam(model, sgd(model), rho=0.05, loss=F.cross_entropy, objective=entropy)
    values = []
    for p in method.passes():
        output = model(batch()[0])
        values.append(float(entropy(output, None).detach()))
        p.loss(output, batch()[1]).backward()
    assert values[1] > values[0]
