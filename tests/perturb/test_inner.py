"""The second flow: several steps of the optimizer on one batch. That it equals its oracle is tested with the family."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import samnesia
from samnesia.perturb.errors import ConfigurationError, PassesError, PassesOpenError
from tests.problems import assert_close, assert_same, batch, batches, network, observed, sgd, train, weights

X, Y = batch()


def adam(model):
    return torch.optim.AdamW(model.parameters(), lr=0.01)


def lookbehind(model, optimizer, **options):
    return samnesia.lookbehind(model, optimizer, **{"rho": 0.1, "k": 3, "loss": F.cross_entropy, **options})


def step_through(method, model, data):
    for x, y in data:
        for p in method.stepping():
            p.loss(model(x), y).backward()
        method.optimizer.zero_grad()


def state_of(optimizer):
    return copy.deepcopy(optimizer.state_dict()["state"])


def assert_same_state(actual, expected):
    assert actual.keys() == expected.keys()
    for key in expected:
        assert_same(actual[key], expected[key])


@pytest.mark.parametrize("build", [sgd, adam])
def test_one_round_that_is_kept_whole_is_sam_bit_by_bit(build):
    ours, plain = network(), network()
    step_through(lookbehind(ours, build(ours), k=1, alpha=1.0), ours, batches(5))
    train(samnesia.sam(plain, build(plain), rho=0.1, loss=F.cross_entropy), plain, batches(5))
    assert_same(weights(ours), weights(plain))


def test_one_round_has_nothing_to_disagree_with():
    """The adaptive share is 1 where the first step is all there is."""
    ours, plain = network(), network()
    step_through(lookbehind(ours, sgd(ours), k=1), ours, batches(3))
    train(samnesia.sam(plain, sgd(plain), rho=0.1, loss=F.cross_entropy), plain, batches(3))
    assert_close(weights(ours), weights(plain))


def test_a_radius_of_zero_steps_one_gradient_several_times():
    """The fast weights move; where gradients are taken does not, as nothing perturbs it."""
    ours, plain = network(), network()
    optimizer = sgd(plain)
    step_through(lookbehind(ours, sgd(ours), rho=0.0, alpha=1.0), ours, batches(2))
    for x, y in batches(2):
        F.cross_entropy(plain(x), y).backward()
        for _ in range(3):
            optimizer.step()
        optimizer.zero_grad()
    assert_same(weights(ours), weights(plain))


@pytest.mark.parametrize("alpha", [0.3, None])
def test_the_form_of_fewer_evaluations_is_the_same_without_dropout(alpha):
    twice, once = network(), network()
    methods = [lookbehind(m, sgd(m), alpha=alpha, reuse=m is once) for m in (twice, once)]
    for method, model in zip(methods, (twice, once), strict=True):
        step_through(method, model, batches(4))
    assert_same(weights(twice), weights(once))
    assert [method.last_step.gradient_evaluations for method in methods] == [6, 4]


def test_clipping_in_the_step_does_not_bend_the_next_ascent():
    """`reuse` perturbs along the gradient as it was computed."""
    results = []
    for reuse in (False, True):
        model = network()
        optimizer = sgd(model)
        method = lookbehind(model, optimizer, alpha=0.5, reuse=reuse)

        def clipped(model=model, optimizer=optimizer):
            nn.utils.clip_grad_norm_(model.parameters(), 0.05)
            optimizer.step()

        for x, y in batches(3):
            for p in method.stepping(clipped):
                p.loss(model(x), y).backward()
            optimizer.zero_grad()
        results.append(weights(model))
    assert_same(*results)


@pytest.mark.parametrize("per_tensor", [True, False])
def test_the_share_follows_the_agreement_of_the_steps(per_tensor):
    tensors = [torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0]), torch.zeros(2)]
    parameters = [nn.Parameter(t) for t in tensors]
    along = samnesia.Weights.of(["a", "b", "c"], parameters)
    across = [torch.tensor([0.0, 1.0]), torch.tensor([0.0, 5.0]), torch.zeros(2)]
    shares = samnesia.Aligned(per_tensor=per_tensor).shares(along, tensors, across)
    joint = (1 + 10 / (5**0.5 * 26**0.5)) / 2
    expected = [0.5, 1.0, 0.5] if per_tensor else [joint] * 3
    torch.testing.assert_close(torch.stack(shares), torch.tensor(expected))


def test_rounds_are_one_step_for_schedules_and_none_of_them_is_when_skipped():
    model = network()
    method = lookbehind(model, sgd(model), when=samnesia.every(2))
    counts = []
    for x, y in batches(4):
        passes = 0
        for p in method.stepping():
            p.loss(model(x), y).backward()
            passes += 1
        method.optimizer.zero_grad()
        counts.append((passes, method.steps))
    assert counts == [(6, 1), (1, 2), (6, 3), (1, 4)]


def test_a_warm_up_at_rate_zero_counts():
    model = network()
    method = lookbehind(model, sgd(model, lr=0.0))
    step_through(method, model, batches(2))
    assert method.steps == 2


@pytest.mark.parametrize("build", [sgd, adam])
@pytest.mark.parametrize("place", range(6))
def test_an_exception_in_any_pass_leaves_everything_as_it_was(place, build):
    model = network(norm=nn.BatchNorm2d, dropout=0.2)
    method = lookbehind(model, build(model))
    step_through(method, model, batches(2))
    before, state = observed(model), state_of(method.optimizer)
    with pytest.raises(KeyboardInterrupt):
        for p in method.stepping():
            loss = p.loss(model(X), Y)
            if p.index == place:
                raise KeyboardInterrupt
            loss.backward()
    assert_same(observed(model), before)
    assert_same_state(state_of(method.optimizer), state)
    assert method.steps == 2
    step_through(method, model, [batch()])
    assert method.steps == 3


def test_the_step_itself_may_fail():
    model = network()
    method = lookbehind(model, sgd(model))
    step_through(method, model, batches(1))
    before, state, calls = observed(model), state_of(method.optimizer), []

    def failing():
        calls.append(1)
        method.optimizer.step()
        if len(calls) == 2:
            raise RuntimeError("of the user's")

    with pytest.raises(RuntimeError, match="of the user's"):
        for p in method.stepping(failing):
            p.loss(model(X), Y).backward()
    assert_same(observed(model), before)
    assert_same_state(state_of(method.optimizer), state)


def test_buffers_move_once():
    model, plain = network(norm=nn.BatchNorm2d), network(norm=nn.BatchNorm2d)
    step_through(lookbehind(model, sgd(model)), model, [batch()])
    plain(X)
    buffers = [{name: b.clone() for name, b in m.named_buffers()} for m in (model, plain)]
    assert_same(*buffers)


def test_a_closure_drives_it_too():
    by_loop, by_closure = network(), network()
    step_through(lookbehind(by_loop, sgd(by_loop)), by_loop, batches(3))
    method = lookbehind(by_closure, sgd(by_closure))
    optimizer = samnesia.as_optimizer(method)
    for x, y in batches(3):

        def closure(x=x, y=y):
            optimizer.zero_grad()
            loss = method.criterion(by_closure(x), y)
            loss.backward()
            return loss

        optimizer.step(closure)
    assert_same(weights(by_closure), weights(by_loop))


def test_resuming_goes_on_bit_by_bit():
    whole, first, second = network(), network(), network()
    step_through(lookbehind(whole, adam(whole), when=samnesia.every(3)), whole, batches(6))
    before = lookbehind(first, adam(first), when=samnesia.every(3))
    step_through(before, first, batches(6)[:4])
    second.load_state_dict(first.state_dict())
    after = lookbehind(second, adam(second), when=samnesia.every(3))
    after.optimizer.load_state_dict(before.optimizer.state_dict())
    after.load_state_dict(before.state_dict())
    step_through(after, second, batches(6)[4:])
    assert_same(weights(second), weights(whole))


def test_a_gradient_scaler_steps_each_round():
    """A power of two scales exactly; a step at which the gradients overflow is no step."""
    scaled, plain = network(), network()
    method = lookbehind(scaled, sgd(scaled))
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)

    def step():
        scaler.step(method.optimizer)
        scaler.update()

    for x, y in batches(2):
        for p in method.stepping(step):
            scaler.scale(p.loss(scaled(x), y)).backward()
        method.optimizer.zero_grad()
    step_through(lookbehind(plain, sgd(plain)), plain, batches(2))
    assert_close(weights(scaled), weights(plain))
    before = weights(scaled)
    for p in method.stepping(step):
        scaler.scale(p.loss(scaled(X), Y) * float("inf")).backward()
    assert_same(weights(scaled), before)
    assert method.steps == 2


@pytest.mark.parametrize("reuse", [False, True])
def test_clipping_and_a_scaler_stand_in_the_step(reuse):
    """As docs/loops.md has it: unscale, clip, step, update in every round; powers of two scale exactly."""
    found = []
    for scale in (2.0**10, None):
        model = network()
        method = lookbehind(model, sgd(model), reuse=reuse)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale or 1.0, enabled=scale is not None)

        def step(model=model, method=method, scaler=scaler):
            assert method.last_step.finite
            scaler.unscale_(method.optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 0.05)
            scaler.step(method.optimizer)
            scaler.update()

        for x, y in batches(3):
            for p in method.stepping(step):
                scaler.scale(p.loss(model(x), y)).backward()
            method.optimizer.zero_grad()
        assert method.steps == 3
        found.append(weights(model))
    assert_close(*found)


def test_what_is_not_finite_is_not_stepped():
    model = network()
    method = lookbehind(model, sgd(model))
    step_through(method, model, batches(1))
    before = weights(model)
    for p in method.stepping():
        (p.loss(model(X), Y) * float("nan")).backward()
    assert_same(weights(model), before)
    assert not method.last_step.finite and method.steps == 1


def test_the_objective_is_ascended_and_the_loss_descended():
    """Output-bias forgetting in every round, worked out by hand for one round."""
    ours, plain = network(), network()
    objective = samnesia.OutputBiasForgetting()
    step_through(lookbehind(ours, sgd(ours), k=1, alpha=1.0, objective=objective), ours, batches(3))
    train(samnesia.obf(plain, sgd(plain), rho=0.1, loss=F.cross_entropy), plain, batches(3))
    assert_same(weights(ours), weights(plain))


def test_updates_follow_once_for_all_rounds():
    model = network()
    method = lookbehind(model, sgd(model), updates=[samnesia.Lookahead(k=1, alpha=0.5)])
    plain = network()
    start = weights(model)
    step_through(method, model, [batch()])
    step_through(lookbehind(plain, sgd(plain)), plain, [batch()])
    assert_close(weights(model), {name: (start[name] + w) / 2 for name, w in weights(plain).items()})


def test_the_user_does_not_step_in_between():
    model = network()
    method = lookbehind(model, sgd(model))
    with pytest.raises(PassesError, match="loop over method.stepping"):
        method.passes()
    with pytest.raises(PassesOpenError):
        for p in method.stepping():
            p.loss(model(X), Y).backward()
            method.optimizer.step()


@pytest.mark.parametrize(
    "wrong",
    [
        {"k": 0},
        {"k": 1.5},
        {"alpha": 0.0},
        {"alpha": 1.1},
        {"rule": samnesia.SurrogateGap()},
        {"sync": "rank"},
        {"keep_gradient_buffers": True},
        {"reuse": True, "objective": samnesia.OutputBiasForgetting()},
        {"remainder": F.cross_entropy},
    ],
    ids=lambda wrong: ", ".join(wrong),
)
def test_what_cannot_be_run_is_refused(wrong):
    model = network()
    with pytest.raises(ConfigurationError, match=r"^cannot .*, because .*; "):
        if "rule" in wrong:
            inner = samnesia.InnerSteps()
            samnesia.PerturbedGradient(model, sgd(model), inner=inner, loss=F.cross_entropy, **wrong)
        else:
            lookbehind(model, sgd(model), **wrong)


def test_it_needs_an_ascent_of_one_direction():
    model = network()
    for ascent in (samnesia.RandomAscent(), samnesia.GradientAscent(steps=2)):
        with pytest.raises(ConfigurationError, match="each round perturbs by one move"):
            samnesia.PerturbedGradient(model, sgd(model), ascent=ascent, inner=samnesia.InnerSteps())


def test_every_method_can_be_stepped_through():
    """Also those without rounds: the passes, then the step."""
    ours, plain = network(), network()
    step_through(samnesia.sam(ours, sgd(ours), rho=0.1, loss=F.cross_entropy), ours, batches(3))
    train(samnesia.sam(plain, sgd(plain), rho=0.1, loss=F.cross_entropy), plain, batches(3))
    assert_same(weights(ours), weights(plain))
