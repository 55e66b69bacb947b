"""Outputs held to older ones: told by a forward at averaged weights (MESA), or remembered by sample (SAF)."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import samnesia
from samnesia.perturb.errors import ConfigurationError, ObjectiveNotUsedError, PassesError, UnsupportedError
from tests.problems import (
    assert_close,
    assert_same,
    batch,
    batches,
    flat,
    gradients,
    network,
    observed,
    sgd,
    train_plainly,
    weights,
)

X, Y = batch()
SAMPLES = torch.arange(8)
LOSS = {"loss": F.cross_entropy}
ALWAYS_NEW = {"weight": 2.0, "temperature": 3.0}


def mesa(model, optimizer, **options):
    return samnesia.mesa(model, optimizer, **{**LOSS, **ALWAYS_NEW, "decay": 0.7, **options})


def saf(model, optimizer, **options):
    return samnesia.saf(model, optimizer, **{**LOSS, **ALWAYS_NEW, "num_samples": 8, "epochs": 1, **options})


BUILDERS = [mesa, saf]


def differentiate(method, model, x, y, scale=1.0, samples=SAMPLES):
    for p in method.passes():
        loss = scale * p.loss(model(x), y, samples=samples)
        if p.needs_gradient:
            loss.backward()


def step(method, model, x, y):
    differentiate(method, model, x, y)
    method.optimizer.step()
    method.optimizer.zero_grad()


def trained(build, data, *, run=step, make=network, **options):
    model = make()
    method = build(model, sgd(model), **options)
    for x, y in data:
        run(method, model, x, y)
    return weights(model)


def mean_divergence(old, now, tau):
    """By hand, in NumPy."""
    p, q = (np.exp(v / tau) / np.exp(v / tau).sum(1, keepdims=True) for v in (old.numpy(), now.numpy()))
    return float((p * np.log(p / q)).sum(1).mean())


# ------------------------------------------------------------------------------------------------------- the divergence
def test_divergence_is_the_mean_over_samples():
    random = torch.Generator().manual_seed(0)
    old, now = (3.0 * torch.randn(6, 4, generator=random, dtype=torch.float64) for _ in range(2))
    teacher = samnesia.AverageTeacher(weight=1.0, temperature=3.0, decay=0.5)
    assert float(teacher.divergence(old, now)) == pytest.approx(mean_divergence(old, now, 3.0), rel=1e-12)
    assert float(teacher.divergence(old, old)) == 0.0
    assert float(teacher.divergence(old, now)) > 0.0
    pixels = [torch.stack([v, v.flip(0)], dim=2) for v in (old, now)]
    assert float(teacher.divergence(*pixels)) == pytest.approx(mean_divergence(old, now, 3.0), rel=1e-12)


def test_a_teacher_of_nothing_is_none():
    with pytest.raises(TypeError, match="abstract"):
        samnesia.Teacher(weight=1.0)


def test_unknown_samples_count_as_zero_and_have_no_gradient():
    random = torch.Generator().manual_seed(0)
    old, now = (torch.randn(4, 3, generator=random, dtype=torch.float64) for _ in range(2))
    teacher = samnesia.AverageTeacher(weight=1.0, decay=0.5)
    half = 0.5 * teacher.divergence(old[:2], now[:2])
    old[2:] = float("nan")
    now.requires_grad_(True)
    value = teacher.divergence(old, now)
    torch.testing.assert_close(value, half)
    value.backward()
    assert now.grad.isfinite().all() and not now.grad[2:].any() and now.grad[:2].any()


# --------------------------------------------------------------------------------------------------------- both of them
@pytest.mark.parametrize("build", BUILDERS)
def test_closures_are_the_loop_and_return_the_loss_of_the_model(build):
    losses = []

    def by_closure(method, model, x, y):
        def closure():
            method.optimizer.zero_grad()
            loss = method.criterion(model(x), y, SAMPLES)
            loss.backward()
            return loss

        plain = F.cross_entropy(model(x), y)
        losses.append((float(method.step(closure).detach()), float(plain.detach()), method.last_step.loss))

    assert_same(trained(build, batches(5), run=by_closure), trained(build, batches(5)))
    for returned, plain, reported in losses:
        assert reported == pytest.approx(plain, rel=1e-12)
        assert returned >= plain * (1 - 1e-12)
    assert returned > plain


@pytest.mark.parametrize("build", BUILDERS)
def test_a_gradient_scaler_changes_nothing_and_a_skipped_step_leaves_what_is_remembered(build):
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    model = network()
    method = build(model, sgd(model))
    data = batches(6)
    for number, (x, y) in enumerate([*data[:2], batch(seed=77), *data[2:]]):
        for p in method.passes():
            loss = p.loss(model(x), y, samples=SAMPLES)
            scaler.scale(loss * float("inf") if number == 2 else loss).backward()
        scaler.step(method.optimizer)
        scaler.update()
        method.optimizer.zero_grad()
    assert method.steps == 6
    assert_close(weights(model), trained(build, data))


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("at", [1, 3])
def test_a_resumed_run_is_the_run(build, at, tmp_path):
    data = batches(6)
    model = network()
    optimizer = sgd(model)
    method = build(model, optimizer)
    for x, y in data[:at]:
        step(method, model, x, y)
    state = [model.state_dict(), optimizer.state_dict(), method.state_dict()]
    torch.save(state, tmp_path / "run.pt")
    kept = copy.deepcopy(state[2])
    for x, y in data[at:]:
        step(method, model, x, y)
    for name, entry in kept["memory"].items():
        assert_same(state[2]["memory"][name], entry)  # what was saved is never written to
    again = network()
    other = sgd(again)
    resumed = build(again, other)
    for part, saved in zip((again, other, resumed), torch.load(tmp_path / "run.pt"), strict=True):
        part.load_state_dict(saved)
    for x, y in data[at:]:
        step(resumed, again, x, y)
    assert_same(weights(again), weights(model))
    assert_same(weights(model), trained(build, data))


@pytest.mark.parametrize("build", BUILDERS)
def test_every_part_of_a_batch_has_its_own_old_outputs(build):
    def in_parts(method, model, x, y):
        for p in method.passes():
            for rows in (slice(0, 3), slice(3, 8)):
                share = (rows.stop - rows.start) / 8
                loss = share * p.loss(model(x[rows]), y[rows], samples=SAMPLES[rows])
                if p.needs_gradient:
                    loss.backward()
        method.optimizer.step()
        method.optimizer.zero_grad()

    def in_flows(method, model, x, y):
        for rows in (slice(0, 3), slice(3, 8)):
            differentiate(method, model, x[rows], y[rows], (rows.stop - rows.start) / 8, SAMPLES[rows])
        method.optimizer.step()
        method.optimizer.zero_grad()

    whole = trained(build, batches(5))
    assert_close(trained(build, batches(5), run=in_parts), whole)
    assert_close(trained(build, batches(5), run=in_flows), whole)


@pytest.mark.parametrize("build", BUILDERS)
def test_before_its_start_it_is_the_base_optimizer_and_learns(build):
    model = network()
    train_plainly(model, sgd(model), batches(3))
    assert_same(trained(build, batches(3), start=3), weights(model))
    assert (flat(trained(build, batches(4), start=3)) - flat(trained(build, batches(4), start=4))).norm() > 1e-6


@pytest.mark.parametrize("build", BUILDERS)
def test_weight_zero_is_the_base_optimizer(build):
    model = network()
    train_plainly(model, sgd(model), batches(4))
    assert_close(trained(build, batches(4), weight=0.0), weights(model))


@pytest.mark.parametrize("build", BUILDERS)
def test_a_flow_that_is_left_changes_nothing(build):
    model = network()
    method = build(model, sgd(model))
    for x, y in batches(2):
        step(method, model, x, y)
    before, state = observed(model), method.state_dict()
    for p in method.passes():
        p.loss(model(X), Y, samples=SAMPLES)
        break  # of MESA in the pass at the teacher's weights
    assert_same(observed(model), before)
    for name, entry in method.state_dict()["memory"].items():
        assert_same(entry, state["memory"][name])


@pytest.mark.parametrize("build", BUILDERS)
def test_the_loss_has_to_come_from_the_method(build):
    model = network()
    method = build(model, sgd(model))
    before = observed(model)
    with pytest.raises(ObjectiveNotUsedError, match="divergence"):
        for _ in method.passes():
            F.cross_entropy(model(X), Y).backward()
    assert_same(observed(model), before)


# ----------------------------------------------------------------------------------------------------------------- MESA
def averages(method):
    return torch.cat(
        [t.flatten() for t in method.remembered.kept.tensors("average_teacher.average", method._weights())]
    )


def test_mesa_asks_the_average_of_the_weights_first():
    model = network()
    method = mesa(model, sgd(model))
    expected = flat(weights(model))
    plans = []
    for x, y in batches(3):
        plan = []
        for p in method.passes():
            plan.append((p.teacher, p.ascent, p.last, p.needs_gradient))
            if p.teacher:
                torch.testing.assert_close(flat(weights(model)), expected, rtol=1e-14, atol=0)
            loss = p.loss(model(x), y)
            if p.needs_gradient:
                loss.backward()
        plans.append(plan)
        assert method.last_step.gradient_evaluations == 1
        assert not method.last_step.perturbed
        method.optimizer.step()
        method.optimizer.zero_grad()
        expected = 0.7 * expected + 0.3 * flat(weights(model))
        torch.testing.assert_close(averages(method), expected, rtol=1e-14, atol=0)
    student, teacher = (False, False, True, True), (True, False, False, False)
    assert plans == [[student], [teacher, student], [teacher, student]]


def test_the_gradient_is_that_of_loss_and_divergence():
    model = network()
    method = mesa(model, sgd(model))
    for x, y in batches(3):
        step(method, model, x, y)
    differentiate(method, model, X, Y)
    actual = gradients(model)
    model.zero_grad()
    teacher = copy.deepcopy(model)
    nn.utils.vector_to_parameters(averages(method), teacher.parameters())
    now, old = model(X), teacher(X).detach()
    p = (old / 3.0).softmax(1)
    (F.cross_entropy(now, Y) + 2.0 * (p * (p.log() - (now / 3.0).log_softmax(1))).sum(1).mean()).backward()
    assert_close(actual, gradients(model))


def test_only_the_pass_of_the_model_moves_running_statistics():
    def with_norm():
        return network(norm=nn.BatchNorm2d)

    model, plain = with_norm(), with_norm()
    method = mesa(model, sgd(model))
    for x, y in batches(3):
        plain.load_state_dict(model.state_dict())
        plain(x)
        step(method, model, x, y)
        assert_same(dict(model.named_buffers()), dict(plain.named_buffers()))
        assert_same({k: v for k, v in observed(model).items() if "modes" in k}, {"modes": observed(plain)["modes"]})


@pytest.mark.parametrize("replay", [True, False])
def test_with_replay_the_teacher_has_the_dropout_of_the_model(replay):
    """With decay 0 the average is the model itself, from which nothing diverges but by dropout."""

    def with_dropout():
        return network(dropout=0.5)

    options = {"make": with_dropout, "decay": 0.0, "replay_dropout": replay}
    result, plain = (trained(mesa, batches(3), weight=weight, **options) for weight in (2.0, 0.0))
    distance = (flat(result) - flat(plain)).norm()
    assert distance < 1e-12 if replay else distance > 1e-3


def test_a_weight_that_is_thawed_joins_the_average_where_it_stands():
    model = network()
    method = mesa(model, sgd(model))
    head = list(model.parameters())[2:]
    for p in head:
        p.requires_grad_(False)
    step(method, model, X, Y)
    for p in head:
        p.requires_grad_(True)
    before = flat(weights(model))
    step(method, model, X, Y)
    after = flat(weights(model))
    size = sum(p.numel() for p in head)
    torch.testing.assert_close(averages(method)[-size:], (0.7 * before + 0.3 * after)[-size:])


def test_it_composes_with_an_ascent_whose_objective_has_no_divergence():
    teacher = samnesia.AverageTeacher(weight=2.0, decay=0.7)
    for objective in (None, samnesia.OutputBiasForgetting()):
        model = network()
        method = samnesia.PerturbedGradient(model, sgd(model), rho=0.1, teacher=teacher, objective=objective, **LOSS)
        step(method, model, X, Y)
        differentiate(method, model, X, Y)
        assert method.last_step.gradient_evaluations == 2
        assert method.last_step.perturbation_norm == pytest.approx(0.1)
    model.zero_grad()
    values, plain = [], samnesia.OutputBiasForgetting()(model(X), Y).detach()
    for p in method.passes():
        loss = p.loss(model(X), Y)
        loss.backward()
        values.append(loss.detach())
    assert float(values[1]) == pytest.approx(float(plain), rel=1e-12)


def test_passes_have_to_be_about_the_same_batch():
    model = network()
    method = mesa(model, sgd(model))
    step(method, model, X, Y)
    before = observed(model)
    with pytest.raises(PassesError, match="same batch"):
        for p in method.passes():
            rows = slice(0, 8 if p.teacher else 5)
            p.loss(model(X[rows]), Y[rows])
    with pytest.raises(PassesError, match="same batch"):
        for p in method.passes():
            for _ in range(1 if p.teacher else 2):
                p.loss(model(X), Y)
    assert_same(observed(model), before)


# ------------------------------------------------------------------------------------------------------------------ SAF
def test_saf_holds_a_sample_to_what_was_said_of_it_so_many_visits_before():
    model = network()
    method = saf(model, sgd(model), epochs=2)
    said = []
    for visit in range(4):
        x = X.flip(0) if visit % 2 else X  # in another order every other time
        samples = SAMPLES.flip(0) if visit % 2 else SAMPLES
        y = Y.flip(0) if visit % 2 else Y
        now = model(x).detach()
        ordered = now.flip(0) if visit % 2 else now
        for p in method.passes():
            value = p.loss(model(x), y, samples=samples)
            value.backward()
        extra = float(value.detach() - F.cross_entropy(now, y))
        expected = 2.0 * mean_divergence(said[-2], ordered, 3.0) if visit > 1 else 0.0
        assert extra == pytest.approx(expected, rel=1e-9, abs=1e-15)
        said.append(ordered)
        assert method.last_step.gradient_evaluations == 1
        method.optimizer.step()
        method.optimizer.zero_grad()


def test_saf_with_an_ascent_takes_the_outputs_at_the_weights_in_once():
    teacher = samnesia.PastTeacher(weight=1.0, num_samples=8, epochs=1)
    model = network()
    method = samnesia.PerturbedGradient(model, sgd(model), rho=0.1, teacher=teacher, **LOSS)
    said = model(X).detach()
    differentiate(method, model, X, Y)
    table, visits = (method.remembered.next.table(f"past_teacher.{name}") for name in ("outputs", "visits"))
    assert_same({"": table[:, 0]}, {"": said})
    assert visits.tolist() == [1] * 8


@pytest.mark.parametrize(
    ("samples", "error", "words"),
    [
        (None, ConfigurationError, "not named"),
        (list(range(8)), UnsupportedError, "cannot name samples by a list, because .*; give p.loss"),
        (torch.arange(7), UnsupportedError, r"\(7,\)"),
        (torch.arange(8.0), UnsupportedError, "float32"),
        (torch.arange(8) + 1, ConfigurationError, "samples 0 to 7"),
        (torch.arange(8) - 1, ConfigurationError, "samples 0 to 7"),
    ],
)
def test_saf_needs_to_know_the_samples(samples, error, words):
    model = network()
    method = saf(model, sgd(model))
    before = observed(model)
    with pytest.raises(error, match=words):
        differentiate(method, model, X, Y, samples=samples)
    assert_same(observed(model), before)


# ------------------------------------------------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("build", "options", "words"),
    [
        (mesa, {"weight": -1.0}, "weight=-1.0"),
        (mesa, {"temperature": 0.0}, "temperature=0.0"),
        (mesa, {"start": -1}, "start=-1"),
        (mesa, {"decay": 1.0}, "decay=1.0"),
        (mesa, {"loss": None}, "loss="),
        (mesa, {"remainder": F.cross_entropy}, "remainder"),
        (mesa, {"selection": samnesia.LargestRise()}, "selection"),
        (saf, {"num_samples": 0}, "num_samples=0"),
        (saf, {"epochs": 0}, "epochs=0"),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence(build, options, words):
    model = network()
    with pytest.raises(ConfigurationError, match=words) as error:
        build(model, sgd(model), **options)
    assert str(error.value).startswith("cannot ")


def test_where_a_teacher_cannot_be_asked_it_is_refused():
    model = network()
    method = mesa(model, sgd(model))
    with pytest.raises(ConfigurationError, match="two steps"):
        samnesia.two_step(method)
    with pytest.raises(ConfigurationError, match="teacher"):
        samnesia.Vectorized(method, 4)
    with pytest.raises(
        ConfigurationError, match="cannot combine inner=InnerSteps with teacher=AverageTeacher, because"
    ):
        samnesia.lookbehind(model, sgd(model), **LOSS, teacher=samnesia.AverageTeacher(weight=1.0, decay=0.5))
    step(method, model, X, Y)
    with pytest.raises(UnsupportedError, match="logits"):
        for p in method.passes():
            p.loss(model(X)[:, 0], Y.double())
