"""Methods that cost less than two passes: an old direction, an ascent that may end early, a part of one, momentum."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import samnesia
from samnesia.perturb.errors import ConfigurationError, ObjectiveNotUsedError, UnsupportedError
from samnesia.perturb.parts.point import Need
from samnesia.perturb.tensors import Weights
from tests.problems import (
    assert_close,
    assert_same,
    batch,
    batches,
    differentiate,
    flat,
    gradients,
    network,
    observed,
    sgd,
    train,
    train_plainly,
    weights,
)

X, Y = batch()
LOSS = {"loss": F.cross_entropy}
ALWAYS, NEVER = {"lambda_1": -1e6, "lambda_2": -1e6}, {"lambda_1": 1e6, "lambda_2": 1e6}


def looksam(model, optimizer, **options):
    return samnesia.looksam(model, optimizer, **{"rho": 0.1, "k": 3, **LOSS, **options})


def ae_sam(model, optimizer, **options):
    return samnesia.ae_sam(model, optimizer, **{"rho": 0.1, "total_steps": 8, "delta": 0.6, **LOSS, **options})


def esam(model, optimizer, **options):
    return samnesia.esam(model, optimizer, **{"rho": 0.1, **LOSS, **options})


def momentum_sam(model, optimizer, **options):
    return samnesia.momentum_sam(model, optimizer, **{"rho": 0.3, **LOSS, **options})


BUILDERS = [looksam, ae_sam, esam, momentum_sam]


def backward(method, model, x, y, scale=1.0):
    """The loop for all of them."""
    for p in method.passes():
        x_p, y_p = p.batch(x, y)
        loss = scale * p.loss(model(x_p), y_p)
        if p.needs_gradient:
            loss.backward()


def step(method, model, x, y, scale=1.0):
    backward(method, model, x, y, scale)
    method.optimizer.step()
    method.optimizer.zero_grad()


def trained(build, data, *, optimizer=sgd, run=step, **options):
    model = network()
    method = build(model, optimizer(model), **options)
    for x, y in data:
        run(method, model, x, y)
    return weights(model)


# ---------------------------------------------------------------------------------------------------------- all of them
@pytest.mark.parametrize("build", BUILDERS)
def test_it_is_neither_sam_nor_the_base_optimizer(build):
    result = trained(build, batches(4))
    for other in (
        lambda *two, **kw: samnesia.sam(*two, rho=0.1, **LOSS),
        lambda *two, **kw: samnesia.unperturbed(*two),
    ):
        model = network()
        method = other(model, sgd(model))
        for x, y in batches(4):
            for _ in method.passes():
                F.cross_entropy(model(x), y).backward()
            method.optimizer.step()
            method.optimizer.zero_grad()
        assert (flat(result) - flat(weights(model))).norm() > 1e-6


@pytest.mark.parametrize("build", BUILDERS)
def test_closures_are_the_loop(build):
    def by_closure(method, model, x, y):
        def closure():
            method.optimizer.zero_grad()
            x_p, y_p = method.batch(x, y)
            loss = method.criterion(model(x_p), y_p)
            loss.backward()
            return loss

        method.step(closure)

    assert_same(trained(build, batches(6), run=by_closure), trained(build, batches(6)))


@pytest.mark.parametrize("build", BUILDERS)
def test_a_gradient_scaler_changes_nothing(build):
    """Not the decisions of AE-SAM either: what it averages is unscaled."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=2)

    def scaled(method, model, x, y):
        for p in method.passes():
            x_p, y_p = p.batch(x, y)
            scaler.scale(p.loss(model(x_p), y_p)).backward()
        scaler.step(method.optimizer)
        scaler.update()
        method.optimizer.zero_grad()

    result = trained(build, batches(8), run=scaled, epsilon=1e-20)
    assert scaler.get_scale() > 2.0**10, "it has grown on the way"
    assert_close(result, trained(build, batches(8), epsilon=1e-20))


@pytest.mark.parametrize("build", BUILDERS)
def test_a_step_that_the_scaler_skips_leaves_what_is_remembered(build):
    """The third step overflows; the others go on as if it had not been."""
    data, scaler = batches(6), torch.amp.GradScaler("cpu", init_scale=4.0)
    model = network()
    method = build(model, sgd(model), epsilon=1e-20)
    for number, (x, y) in enumerate([*data[:2], batch(seed=77), *data[2:]]):
        for p in method.passes():
            x_p, y_p = p.batch(x, y)
            loss = p.loss(model(x_p), y_p)
            scaler.scale(loss * float("inf") if number == 2 else loss).backward()
        scaler.step(method.optimizer)
        scaler.update()
        method.optimizer.zero_grad()
    assert method.steps == 6
    assert_close(weights(model), trained(build, data, epsilon=1e-20))


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("at", [1, 3])
def test_a_resumed_run_is_the_run(build, at, tmp_path):
    data = batches(7)
    model = network()
    optimizer = sgd(model)
    method = build(model, optimizer)
    for x, y in data[:at]:
        step(method, model, x, y)
    torch.save([model.state_dict(), optimizer.state_dict(), method.state_dict()], tmp_path / "run.pt")
    again = network()
    other = sgd(again)
    resumed = build(again, other)
    for part, state in zip((again, other, resumed), torch.load(tmp_path / "run.pt"), strict=True):
        part.load_state_dict(state)
    for x, y in data[at:]:
        step(resumed, again, x, y)
    assert_same(weights(again), trained(build, data))


@pytest.mark.parametrize("build", BUILDERS)
def test_a_run_saved_between_two_micro_batches_is_the_run(build):
    def accumulate(method, model, data, interrupt=lambda method: method):
        for (x, y), (x2, y2) in zip(data[::2], data[1::2], strict=True):
            backward(method, model, x, y, 0.5)
            method = interrupt(method)
            backward(method, model, x2, y2, 0.5)
            method.optimizer.step()
            method.optimizer.zero_grad()
        return weights(model)

    def reloaded(method):
        new = build(method.model, method.optimizer)
        new.load_state_dict(copy.deepcopy(method.state_dict()))
        return new

    results = []
    for interrupt in (lambda method: method, reloaded):
        model = network()
        results.append(accumulate(build(model, sgd(model)), model, batches(10), interrupt))
    assert_same(*results)


@pytest.mark.parametrize("build", BUILDERS)
def test_a_flow_that_is_left_changes_nothing(build):
    """Also what an ascent has noted on the way is dropped."""
    options = ALWAYS if build is ae_sam else {}
    model = network()
    method = build(model, sgd(model), **options)
    for x, y in batches(3):
        step(method, model, x, y)
    before = observed(model)
    for p in method.passes():
        if p.last:
            break
        x_p, y_p = p.batch(X, Y)
        p.loss(model(x_p), y_p).backward()
    assert_same(observed(model), before)
    step(method, model, X, Y)
    assert_same(weights(model), trained(build, [*batches(3), (X, Y)], **options))


@pytest.mark.parametrize("build", [looksam, ae_sam])
def test_what_remembers_belongs_to_the_batch_of_all_ranks(build):
    model = network()
    with pytest.raises(ConfigurationError, match="sync='rank'"):
        build(model, sgd(model), sync="rank")


# -------------------------------------------------------------------------------------------------------------- LookSAM
def test_looksam_takes_two_gradients_on_every_kth_step():
    model = network()
    method, counts = looksam(model, sgd(model)), []
    for x, y in batches(7):
        step(method, model, x, y)
        counts.append(method.last_step.gradient_evaluations)
    assert counts == [2, 1, 1, 2, 1, 1, 2]


def test_looksam_is_sam_where_it_perturbs_and_adds_a_vector_of_known_length_between():
    model = network()
    method, other = looksam(model, sgd(model, lr=0.0), alpha=0.7), samnesia.sam(model, sgd(model), rho=0.1)
    differentiate(samnesia.unperturbed(model, sgd(model), **LOSS), model, X, Y)
    g = flat(gradients(model))
    model.zero_grad()
    for _ in other.passes():
        F.cross_entropy(model(X), Y).backward()
    expected = gradients(model)
    model.zero_grad()
    backward(method, model, X, Y)
    assert_same(gradients(model), expected)
    method.optimizer.step()  # at rate zero: the weights stay
    model.zero_grad()
    backward(method, model, X, Y)
    added = flat(gradients(model)) - g
    torch.testing.assert_close(added.norm(), 0.7 * g.norm(), rtol=1e-9, atol=0)
    torch.testing.assert_close(added @ g, torch.zeros_like(g.norm()), rtol=0, atol=1e-12)


def test_looksam_steps_plainly_before_there_is_a_direction():
    data = batches(2)
    result = trained(looksam, data, when=samnesia.every(3, phase=2))
    model = network()
    train_plainly(model, sgd(model), data)
    assert_same(result, weights(model))


def test_looksam_keeps_the_direction_of_all_micro_batches():
    """Of two halves of the loss on the same samples it is that of the whole."""

    def in_halves(method, model, x, y):
        backward(method, model, x, y, 0.5)
        backward(method, model, x, y, 0.5)
        method.optimizer.step()
        method.optimizer.zero_grad()

    assert_close(
        trained(looksam, batches(5), run=in_halves, epsilon=1e-20), trained(looksam, batches(5), epsilon=1e-20)
    )
    model = network()
    method = looksam(model, sgd(model))
    kept = []
    for x, y in batches(2):
        backward(method, model, x, y, 0.5)
        kept.append(method.remembered.next.tensors("reused_direction.direction", method._weights()))
    alone = looksam(model, sgd(model))
    model.zero_grad()
    backward(alone, model, *batches(2)[1], 0.5)
    second = alone.remembered.next.tensors("reused_direction.direction", alone._weights())
    for first, both, b in zip(*kept, second, strict=True):
        torch.testing.assert_close(both, first + b, rtol=1e-12, atol=1e-15)


def directions(method):
    return method.remembered.next.tensors("reused_direction.direction", method._weights())


@pytest.mark.parametrize("still", ["radius", "ascent"])
def test_looksam_keeps_its_direction_over_a_step_that_did_not_move(still):
    """In the first, the second or none of two micro-batches."""

    class Moved(samnesia.Ascent):
        num_gradients, moves = 1, True

        def climb(self, point):
            gradients = yield Need.GRADIENT
            if Moved.moves:
                point.move(point.ball.steepest(point.start, gradients, point.epsilon))

    radius = [0.1]

    def prepared():
        model = network()
        method = samnesia.PerturbedGradient(
            model,
            sgd(model, lr=0.0),
            rho=(lambda step, lr: radius[0]) if still == "radius" else 0.1,
            ascent=samnesia.GradientAscent() if still == "radius" else Moved(),
            rule=samnesia.ReusedDirection(),
            **LOSS,
        )
        return model, method

    def run(moves, data, method, model):
        radius[0], Moved.moves = (0.1 if moves else 0.0), moves
        backward(method, model, *data)

    first, second, third = batches(3)
    model, method = prepared()
    run(True, first, method, model)
    kept = directions(method)
    assert all(t.any() for t in kept)
    method.optimizer.step()
    model.zero_grad()
    for data in (second, third):  # of one step
        run(False, data, method, model)
        assert_same(dict(enumerate(directions(method))), dict(enumerate(kept)))
    method.optimizer.step()
    model.zero_grad()
    other, alone = prepared()
    run(True, second, alone, other)
    for order in ((False, True), (True, False)):
        for moves, data in zip(order, (second if order[0] else first, first if order[0] else second), strict=True):
            run(moves, data, method, model)
        method.optimizer.step()
        model.zero_grad()
        assert_close(dict(enumerate(directions(method))), dict(enumerate(directions(alone))), 1e-14)


def test_looksam_leaves_gradients_of_their_own():
    """What was one tensor for two parameters may be clipped in place."""
    model = nn.ParameterList([nn.Parameter(torch.ones(2)) for _ in range(2)])
    method = samnesia.looksam(model, sgd(model), rho=0.1)
    for _ in method.passes():
        model[0].grad = model[1].grad = torch.tensor([3.0, 4.0])
    assert model[0].grad.data_ptr() != model[1].grad.data_ptr()
    assert model[0].grad.tolist() == model[1].grad.tolist() == [3.0, 4.0]


def test_looksam_has_no_objective_of_its_own():
    """Its direction would be orthogonal to the gradient of another function than the one that is stepped."""
    model = network()
    with pytest.raises(ConfigurationError, match="cannot combine ReusedDirection.*with an objective"):
        looksam(model, sgd(model), objective=samnesia.OutputBiasForgetting())


# --------------------------------------------------------------------------------------------------------------- AE-SAM
@pytest.mark.parametrize(("always", "evaluations"), [(True, 2), (False, 1)])
def test_ae_sam_between_its_extremes(always, evaluations):
    """SAM where every gradient is large enough, the base optimizer where none is."""
    model = network()
    method = ae_sam(model, sgd(model), **(ALWAYS if always else NEVER))
    other = network()
    expected = samnesia.sam(other, sgd(other), rho=0.1, **LOSS) if always else samnesia.unperturbed(other, sgd(other))
    for x, y in batches(4):
        step(method, model, x, y)
        assert method.last_step.gradient_evaluations == evaluations
        assert method.last_step.perturbed == always
        assert method.last_step.perturbation_norm == pytest.approx(0.1 * always)
        for _ in expected.passes():
            F.cross_entropy(other(x), y).backward()
        expected.optimizer.step()
        expected.optimizer.zero_grad()
    assert_same(weights(model), weights(other))


def test_ae_sam_decides_by_the_gradient():
    model = network()
    method = ae_sam(model, sgd(model), lambda_1=0.3, lambda_2=0.3)
    counts = []
    for x, y in batches(12, num_samples=2):
        step(method, model, x, y)
        counts.append(method.last_step.gradient_evaluations)
    assert set(counts) == {1, 2}


@pytest.mark.parametrize("reloaded", [False, True])
def test_ae_sam_decides_once_for_all_micro_batches(reloaded):
    """By the first of them, also if the others would decide otherwise; only it enters the averages."""
    model, alone = network(), network()
    method, reference = (ae_sam(m, sgd(m, lr=0.0), lambda_1=0.3, lambda_2=0.3) for m in (model, alone))
    counts = []
    for number, (x, y) in enumerate(batches(12, num_samples=2)):
        backward(method, model, x, y, 0.2)
        for other in batches(4, num_samples=2):
            if reloaded:
                state, method = method.state_dict(), ae_sam(model, method.optimizer, lambda_1=0.3, lambda_2=0.3)
                method.load_state_dict(state)
            backward(method, model, *other, 0.2)
        method.optimizer.step()
        method.optimizer.zero_grad()
        step(reference, alone, x, y)
        if not reloaded:
            counts.append(method.last_step.gradient_evaluations)
            assert counts[-1] == 5 * reference.last_step.gradient_evaluations, number
    for name in ("steep_enough.mean", "steep_enough.variance"):
        torch.testing.assert_close(*(m.remembered.next.number(name) for m in (method, reference)), rtol=1e-12, atol=0)
    assert reloaded or set(counts) == {5, 10}


def test_ae_sam_with_several_steps_a_rule_and_an_objective():
    """Parts that meet it for the first time: what ends early is the plain gradient of the loss."""
    for parts in (
        {"rule": samnesia.SurrogateGap(alpha=0.3)},
        {"objective": samnesia.OutputBiasForgetting()},
        {"remainder": lambda output, target: 0.3 * F.cross_entropy(output, target)},
    ):
        model = network()
        ascent = samnesia.SteepEnough(total_steps=5, ascent=samnesia.GradientAscent(steps=2), **NEVER)
        method = samnesia.PerturbedGradient(model, sgd(model), rho=0.1, ascent=ascent, **LOSS, **parts)
        backward(method, model, X, Y)
        actual = gradients(model)
        model.zero_grad()
        F.cross_entropy(model(X), Y).backward()
        assert_close(actual, gradients(model))
    model, other = network(), network()
    method = samnesia.PerturbedGradient(
        model,
        sgd(model),
        rho=0.1,
        ascent=samnesia.SteepEnough(total_steps=5, ascent=samnesia.GradientAscent(steps=3), **ALWAYS),
        **LOSS,
    )
    backward(method, model, X, Y)
    assert method.last_step.gradient_evaluations == 4
    differentiate(samnesia.sam(other, sgd(other), rho=0.1, steps=3, **LOSS), other, X, Y)
    assert_same(gradients(model), gradients(other))


def test_ae_sam_does_not_follow_a_gradient_that_is_not_finite():
    model = network()
    method = ae_sam(model, sgd(model))
    backward(method, model, X * float("inf"), Y)
    assert method.last_step.gradient_evaluations == 1 and not method.last_step.finite


# ----------------------------------------------------------------------------------------------------------------- ESAM
@pytest.mark.parametrize("each_entry", [True, False])
def test_masks_are_zeros_and_ones_with_the_share_of_ones(each_entry):
    parameters = [nn.Parameter(torch.zeros(40, 50)) for _ in range(400 if not each_entry else 2)]
    w = Weights.of([str(i) for i in range(len(parameters))], parameters)
    count = iter(range(10**6))
    masks = w.chosen(0.3, lambda device: torch.Generator(device).manual_seed(next(count)), each_entry=each_entry)
    drawn = torch.cat([m.flatten() for m in masks])
    assert set(drawn.tolist()) == {0.0, 1.0}
    assert len(drawn) == (4000 if each_entry else 400)
    assert float(drawn.mean()) == pytest.approx(0.3, abs=0.03 if each_entry else 0.08)


@pytest.mark.parametrize("per", ["entry", "tensor"])
def test_esam_moves_a_part_of_sams_perturbation(per):
    model = network()
    start = weights(model)
    moves = []
    for build in (
        lambda: samnesia.sam(model, sgd(model), rho=0.1, **LOSS),
        lambda: esam(model, sgd(model), beta=0.5, share=1.0, per=per, seed=3),
    ):
        for p in build().passes():
            moved = {name: value - start[name] for name, value in weights(model).items()}
            p.loss(model(X), Y).backward()
        moves.append(moved)
        model.zero_grad()
    whole, part = moves
    kept = {name: part[name] != 0 for name in part}
    assert_close({n: part[n] for n in part}, {n: 2.0 * whole[n] * kept[n] for n in part}, 1e-9)
    shares = [float(mask.double().mean()) for mask in kept.values()]
    if per == "tensor":
        assert set(shares) == {0.0, 1.0}
    else:
        assert 0.0 < shares[2] < 1.0


def test_esam_steps_on_the_samples_that_are_hurt_most():
    model = network()
    method, chosen, losses = esam(model, sgd(model), share=0.4), [], []
    for p in method.passes():
        x_p, y_p = p.batch(X, Y)
        chosen.append(x_p)
        losses.append(F.cross_entropy(model(X), Y, reduction="none").detach())
        loss = p.loss(model(x_p), y_p)
        if p.needs_gradient:
            loss.backward()
    clean, perturbed, _ = losses
    rows = (perturbed - clean).topk(4).indices  # ceil(0.4 · 8)
    assert len(chosen) == 3 and len(chosen[0]) == len(chosen[1]) == 8
    assert {tuple(row.tolist()) for row in chosen[2]} == {tuple(X[row].tolist()) for row in rows}
    assert method.last_step.gradient_evaluations == 2
    assert method.last_step.loss == pytest.approx(float(clean.mean()))


def test_a_share_that_is_whole_selects_as_many():
    """0.07 · 100 is more than 7 for a computer."""
    rises = torch.arange(100.0)
    chosen = samnesia.LargestRise(share=0.07).choose(torch.zeros(100), rises)
    assert chosen.tolist() == list(range(93, 100))


def test_nothing_is_selected_where_nothing_has_moved():
    """No loss has risen there."""
    model = network()
    method = samnesia.PerturbedGradient(
        model,
        sgd(model),
        rho=0.1,
        ascent=samnesia.SteepEnough(total_steps=5, **NEVER),
        objective=samnesia.OutputBiasForgetting(),
        selection=samnesia.LargestRise(share=0.25),
        **LOSS,
    )
    sizes = []
    for p in method.passes():
        x_p, y_p = p.batch(X, Y)
        sizes.append(len(x_p))
        p.loss(model(x_p), y_p).backward()
    assert sizes == [8, 8]
    actual = gradients(model)
    model.zero_grad()
    F.cross_entropy(model(X), Y).backward()
    assert_close(actual, gradients(model))


def test_each_part_of_a_batch_selects_among_its_own_samples():
    """Two calls of p.batch in each pass: two from either half."""
    model = network()
    method, sizes = esam(model, sgd(model), share=0.5), []
    for p in method.passes():
        for x, y in ((X[:5], Y[:5]), (X[5:], Y[5:])):
            x_p, y_p = p.batch(x, y)
            sizes.append(len(x_p))
            loss = p.loss(model(x_p), y_p)
            if p.needs_gradient:
                loss.backward()
    assert sizes == [5, 3, 5, 3, 3, 2]


def test_esam_without_a_selection_has_two_passes():
    model = network()
    assert sum(1 for p in passes_with_backward(esam(model, sgd(model), share=1.0), model)) == 2


def passes_with_backward(method, model):
    for p in method.passes():
        p.loss(model(X), Y).backward()
        yield p


def test_selected_samples_have_to_be_used():
    model = network()
    method = esam(model, sgd(model))
    before = observed(model)
    with pytest.raises(ObjectiveNotUsedError, match="p.batch"):
        list(passes_with_backward(method, model))
    assert_same(observed(model), before)
    with pytest.raises(ObjectiveNotUsedError, match="call each once"):
        for p in method.passes():
            x_p, y_p = p.batch(X)[0], p.batch(Y)[0]
            p.loss(model(x_p), y_p).backward()
    assert_same(observed(model), before)


# ----------------------------------------------------------------------------------------------------------------- MSAM
ADAM = {
    "sgd": (sgd, "momentum_buffer"),
    "adamw": (lambda model: torch.optim.AdamW(model.parameters(), lr=0.01), "exp_avg"),
}


@pytest.mark.parametrize("optimizer", ADAM)
def test_momentum_sam_takes_its_gradient_where_momentum_is_going(optimizer):
    build, name = ADAM[optimizer]
    model = network()
    method = momentum_sam(model, build(model), rho=0.3, epsilon=1e-20)
    step(method, model, *batch(seed=5))
    assert not method.last_step.perturbed
    start = flat(weights(model))
    v = torch.cat([method.optimizer.state[p][name].flatten() for p in model.parameters()])
    passes = []
    for p in method.passes():
        torch.testing.assert_close(flat(weights(model)), start - 0.3 * v / v.norm(), rtol=1e-12, atol=1e-14)
        p.loss(model(X), Y).backward()
        passes.append(p)
    assert len(passes) == method.last_step.gradient_evaluations == 1
    assert method.last_step.perturbation_norm == pytest.approx(0.3)


def test_momentum_sam_begins_as_the_base_optimizer():
    model = network()
    train_plainly(model, sgd(model), batches(1))
    assert_same(trained(momentum_sam, batches(1)), weights(model))


def test_momentum_sam_refuses_an_optimizer_without_momentum():
    model = network()
    for without in (sgd(model, momentum=0.0), torch.optim.RMSprop(model.parameters())):
        with pytest.raises(ConfigurationError, match="with momentum=0, because it keeps none; use SGD with momentum"):
            momentum_sam(model, without, when=samnesia.every(100))  # known before the step that would need it
    ascent = samnesia.MomentumAscent()
    method = samnesia.PerturbedGradient(model, sgd(model, momentum=0.0), ascent=ascent, rho=0.3, **LOSS)
    step(method, model, X, Y)
    before = observed(model)
    with pytest.raises(UnsupportedError, match="use SGD with momentum > 0"):
        step(method, model, X, Y)
    assert_same(observed(model), before)


# ------------------------------------------------------------------------------------------------ interval and late SAM
@pytest.mark.parametrize(
    ("preset", "options", "when"),
    [
        (samnesia.interval_sam, {"k": 3}, samnesia.every(3)),
        (samnesia.late_sam, {"start": 2}, samnesia.after(2)),
    ],
)
def test_presets_of_when(preset, options, when):
    results = []
    for build, own in ((preset, options), (samnesia.sam, {"when": when})):
        model = network()
        method = build(model, sgd(model), rho=0.2, **LOSS, **own)
        train(method, model, batches(5))
        results.append(weights(model))
    assert_same(*results)


# ------------------------------------------------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("build", "options", "words"),
    [
        (looksam, {"alpha": float("nan")}, "alpha=nan"),
        (looksam, {"k": 0}, "k=0"),
        (ae_sam, {"total_steps": None}, "total_steps="),
        (ae_sam, {"total_steps": 0}, "total_steps=0"),
        (ae_sam, {"delta": 1.0}, "delta=1.0"),
        (ae_sam, {"lambda_1": float("inf")}, "lambda_1=inf"),
        (esam, {"beta": 0.0}, "beta=0.0"),
        (esam, {"per": "layer"}, "'layer'"),
        (esam, {"share": 0.0}, "share=0.0"),
        (esam, {"share": 1.5}, "share=1.5"),
        (momentum_sam, {"selection": samnesia.LargestRise()}, "LargestRise"),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence(build, options, words):
    model = network()
    with pytest.raises(ConfigurationError, match=words) as error:
        build(model, sgd(model), **options)
    assert str(error.value).startswith("cannot ")


def test_ae_sam_needs_an_ascent_with_a_gradient():
    with pytest.raises(ConfigurationError, match="RandomAscent"):
        samnesia.SteepEnough(total_steps=3, ascent=samnesia.RandomAscent())
