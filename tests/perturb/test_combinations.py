"""Parts that would train something else together than each of them says."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import samnesia
from samnesia.perturb.errors import ConfigurationError, ObjectiveNotUsedError, StaleGradientError
from tests.problems import assert_same, batch, batches, differentiate, network, observed, sgd, weights

X, Y = batch()


@pytest.mark.parametrize(
    "parts",
    [
        {"rule": samnesia.Mixture(share=0.5), "selection": samnesia.LargestRise()},
        {"rule": samnesia.SurrogateGap(), "selection": samnesia.LargestRise()},
        {"rule": samnesia.ReusedDirection(), "remainder": F.cross_entropy},
        {"rule": samnesia.KeptDifference()},
        {"updates": [samnesia.DifferenceStep(factor=1.0)]},
    ],
    ids=["mixture, selection", "gap, selection", "reused, remainder", "difference kept", "difference stepped"],
)
def test_parts_that_do_not_fit_are_refused(parts):
    model = network()
    with pytest.raises(ConfigurationError, match=r"^cannot .*, because .*; "):
        samnesia.PerturbedGradient(model, sgd(model), loss=F.cross_entropy, **parts)


def test_lookbehind_is_not_vectorized():
    model = network()
    with pytest.raises(ConfigurationError, match="steps of its own"):
        samnesia.Vectorized(samnesia.lookbehind(model, sgd(model), loss=F.cross_entropy), 4)


@pytest.mark.parametrize(
    ("preset", "options", "says"),
    [
        (samnesia.obf, {"rho": 0.1}, "ascend the loss"),
        (samnesia.imbsam, {"tail": [0], "num_classes": 3}, "perturb the remainder"),
        (samnesia.esam, {"loss": F.cross_entropy}, "select samples without their losses"),
        (samnesia.mesa, {"loss": F.cross_entropy}, "divergence"),
    ],
    ids=["obf", "imbsam", "esam", "mesa"],
)
def test_each_criterion_that_was_not_asked_for_is_named(preset, options, says):
    model = network()
    method = preset(model, sgd(model), **{"loss": F.cross_entropy, **options})
    before = observed(model)
    with pytest.raises(ObjectiveNotUsedError, match=says):
        for p in method.passes():
            loss = F.cross_entropy(model(X), Y)
            if p.needs_gradient:
                loss.backward()
    assert_same(observed(model), before)


def test_stepping_through_refuses_what_was_accumulated():
    model = network()
    method = samnesia.sam(model, sgd(model), loss=F.cross_entropy)
    differentiate(method, model, X[:4], Y[:4])
    before = observed(model)
    with pytest.raises(StaleGradientError, match=r"stepping\(\)"):
        for p in method.stepping():
            p.loss(model(X[4:]), Y[4:]).backward()
    assert_same(observed(model), before)


def test_one_round_that_fails_puts_the_optimizer_back():
    model = network()
    optimizer = sgd(model)
    method = samnesia.lookbehind(model, optimizer, k=1, alpha=1.0, loss=F.cross_entropy)
    for p in method.stepping():
        p.loss(model(X), Y).backward()
    momentum = {p: s["momentum_buffer"].clone() for p, s in optimizer.state.items()}

    def step():
        optimizer.step()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        for p in method.stepping(step):
            p.loss(model(X), Y).backward()
    assert all(torch.equal(optimizer.state[p]["momentum_buffer"], m) for p, m in momentum.items())


class Frozen:
    """Parameters of a network that are frozen for a while."""

    def __init__(self, model: nn.Module, method: samnesia.PerturbedGradient) -> None:
        self.model, self.method = model, method
        self.first = next(model.parameters())

    def step(self, *, frozen: bool) -> None:
        self.first.requires_grad_(not frozen)
        self.method.optimizer.zero_grad()
        differentiate(self.method, self.model, X, Y)
        self.method.optimizer.step()


def test_what_was_frozen_meanwhile_is_remembered():
    """The initial weights are those before the first step, also of a weight that was frozen on some steps."""
    model = network()
    start = weights(model)
    method = samnesia.shrink_and_perturb(model, sgd(model), share=0.5, loss=F.cross_entropy)
    run = Frozen(model, method)
    for frozen in (False, True, False):
        run.step(frozen=frozen)
    remembered = method.state_dict()["memory"]["shrink.initial"]
    assert_same(dict(remembered), start)


def test_a_state_saved_while_something_is_frozen_can_be_loaded():
    model = network()
    method = samnesia.lookahead(model, sgd(model), k=100, loss=F.cross_entropy)
    run = Frozen(model, method)
    for frozen in (False, False, True):
        run.step(frozen=frozen)
    state = method.state_dict()
    method.load_state_dict(state)
    assert_same(method.state_dict()["memory"]["lookahead.slow"], state["memory"]["lookahead.slow"])


def test_what_is_remembered_is_held_once_after_loading():
    model, other = network(), network()
    method = samnesia.vasso(model, sgd(model), loss=F.cross_entropy)
    for x, y in batches(2):
        differentiate(method, model, x, y)
        method.optimizer.step()
        method.optimizer.zero_grad()
    state = method.state_dict()
    assert "next_memory" not in state
    again = samnesia.vasso(other, sgd(other), loss=F.cross_entropy)
    again.load_state_dict(state)
    assert again.remembered.next is again.remembered.kept


def test_a_step_that_the_method_has_taken_is_not_taken_again():
    """A loop that was written for passes() and now loops over stepping() would step each gradient twice."""
    model = network()
    method = samnesia.sam(model, sgd(model), loss=F.cross_entropy)
    for x, y in batches(2):
        for p in method.stepping():
            p.loss(model(x), y).backward()
        with pytest.raises(StaleGradientError, match=r"^cannot step the optimizer with a gradient .* leave optimizer"):
            method.optimizer.step()
    method.optimizer.zero_grad()
    differentiate(method, model, *batches(1)[0])
    method.optimizer.step()  # one of passes() is the user's
    assert method.steps == 3


def test_the_state_of_other_parts_is_refused():
    model, other = network(), network()
    method = samnesia.vasso(model, sgd(model), loss=F.cross_entropy)
    differentiate(method, model, *batches(1)[0])
    method.optimizer.step()
    for preset in (samnesia.friendly_sam, samnesia.sam):
        loading = preset(other, sgd(other), loss=F.cross_entropy)
        with pytest.raises(ConfigurationError, match="cannot load what a method of AveragedAscent remembers"):
            loading.load_state_dict(method.state_dict())
    plain = samnesia.sam(model, sgd(model)).state_dict()  # one that remembers nothing is any method's
    loading.load_state_dict(plain)
