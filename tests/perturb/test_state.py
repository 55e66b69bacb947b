"""Every method: saving, resuming, copying, and what is left behind."""

import copy
import inspect
import io
import math
import pickle
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import samnesia
from samnesia.perturb.errors import ConfigurationError, UnsupportedError
from tests import problems
from tests.battery import BY_NAME, DRIVING, METHODS
from tests.problems import (
    assert_same,
    differentiate,
    network,
    observed,
    same_bits,
    sgd,
    step_inside,
    train,
    train_plainly,
    weights,
)

OPTIMIZERS = {
    "SGD": {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    "Adam": {"lr": 0.01, "amsgrad": True},
    "AdamW": {"lr": 0.01},
    "Adamax": {"lr": 0.01},
    "NAdam": {"lr": 0.01},
    "RAdam": {"lr": 0.01},
    "RMSprop": {"lr": 0.01, "momentum": 0.9, "centered": True},
    "Adagrad": {"lr": 0.01},
    "Adadelta": {"lr": 1.0},
    "Adafactor": {"lr": 0.01},
    "ASGD": {"lr": 0.1},
    "Rprop": {"lr": 0.01},
    "Muon": {"lr": 0.01},
}
# LBFGS evaluates its closure as it likes and SparseAdam takes sparse gradients only: both are refused.
REFUSED = {"LBFGS", "SparseAdam"}


def test_every_optimizer_of_torch_is_in_the_table():
    classes = {name for name, value in vars(torch.optim).items() if inspect.isclass(value)}
    optimizers = {name for name in classes if issubclass(getattr(torch.optim, name), torch.optim.Optimizer)}
    assert optimizers - {"Optimizer"} == set(OPTIMIZERS) | REFUSED


def batches(count):
    return [(x.float(), y) for x, y in problems.batches(count)]


class Session:
    """All that a training script holds, and saves.

    In float32: NAdam and ASGD keep numbers in it that loading casts to the type of the parameters.
    """

    def __init__(self, row, optimizer="SGD", **options):
        torch.manual_seed(1)
        self.model = (  # Muon is for matrices alone
            nn.Sequential(nn.Linear(4, 8, bias=False), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 3, bias=False))
            if optimizer == "Muon"
            else network(norm=nn.BatchNorm2d, dropout=0.5).float()
        )
        self.optimizer = getattr(torch.optim, optimizer)(self.model.parameters(), **OPTIMIZERS[optimizer])
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, 2, gamma=0.5)
        self.method = row(self.model, self.optimizer, **options)

    def train(self, data):
        for x, y in data:
            if self.method.inner is None:
                for rows in (slice(0, 5), slice(5, 8)):
                    differentiate(self.method, self.model, x[rows], y[rows], scale=0.5)
                self.optimizer.step()
                self.optimizer.zero_grad()
            else:
                step_inside(self.method, self.model, x, y)
            self.scheduler.step()

    def save(self):
        file = io.BytesIO()
        parts = (self.model, self.optimizer, self.scheduler, self.method)
        torch.save([*(part.state_dict() for part in parts), torch.get_rng_state()], file)
        file.seek(0)
        return file

    def load(self, file):
        *states, random_state = torch.load(file, weights_only=True)
        for part, state in zip((self.model, self.optimizer, self.scheduler, self.method), states, strict=True):
            part.load_state_dict(state)
        torch.set_rng_state(random_state)

    def everything(self):
        state = self.optimizer.state_dict()["state"]
        moments = {
            f"{i} {key}": torch.as_tensor(v) for i, slots in state.items() for key, v in slots.items() if v is not None
        }
        return {**observed(self.model), **moments}


def check_resuming(row, optimizer="SGD", **options):
    options = {
        "when": samnesia.randomly(0.6, seed=3),
        "rho": samnesia.proportional_to_lr(0.0, 0.2, 0.0, 0.1),
        **options,
    }
    data = batches(6)
    straight = Session(row, optimizer, **options)
    torch.manual_seed(8)
    straight.train(data)

    first = Session(row, optimizer, **options)
    torch.manual_seed(8)
    first.train(data[:3])
    file = first.save()
    torch.manual_seed(999)
    second = Session(row, optimizer, **options)
    for parameter in second.model.parameters():
        nn.init.ones_(parameter)
    second.load(file)
    second.train(data[3:])
    assert_same(second.everything(), straight.everything())


@pytest.mark.parametrize("row", METHODS + DRIVING, ids=str)
def test_resuming_is_bit_exact_for_every_method(row):
    """With a schedule that decides by chance, a radius that follows the rate, micro-batches, dropout and statistics."""
    check_resuming(row)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", ["sam", "gsam", "lookbehind"])
def test_resuming_is_bit_exact_for_every_optimizer(name, optimizer):
    check_resuming(BY_NAME[name], optimizer)


def test_the_rho_of_adadelta_is_no_radius():
    session = Session(BY_NAME["sam"], "Adadelta", rho=0.07)
    assert session.optimizer.param_groups[0]["rho"] == 0.9
    assert session.method.radii() == (0.07,)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_radius_of_zero_is_every_base_optimizer_bit_for_bit(optimizer):
    sessions = [Session(BY_NAME[name], optimizer, rho=0.0, replay_dropout=True) for name in ("sam", "unperturbed")]
    for session in sessions:
        torch.manual_seed(8)
        session.train(batches(4))
    assert_same(sessions[0].everything(), sessions[1].everything())


@pytest.mark.parametrize("name", ["sam", "random", "gsam", "looksam", "friendly sam", "wsam decoupled", "lookahead"])
def test_resuming_inside_an_accumulation(name):
    """Between two micro-batches, with the gradient so far saved as well."""
    row, (x, y) = BY_NAME[name], batches(1)[0]
    straight, first, second = (Session(row) for _ in range(3))
    for session in (straight, first):
        torch.manual_seed(8)
        session.train(batches(1))
        differentiate(session.method, session.model, x[:4], y[:4])
    file = first.save()
    second.load(file)
    for parameter, saved in zip(second.model.parameters(), first.model.parameters(), strict=True):
        parameter.grad = saved.grad.clone()
    for session in (straight, second):
        torch.manual_seed(9)
        differentiate(session.method, session.model, x[4:], y[4:])
        session.optimizer.step()
    assert_same(second.everything(), straight.everything())


@pytest.mark.parametrize("row", METHODS, ids=str)
def test_the_state_of_a_method_is_small(row):
    """Numbers, and what the method remembers; weights and moments are model's and optimizer's."""
    session = Session(row)
    keys = set(session.optimizer.state_dict()["param_groups"][0])
    session.train(batches(2))
    state = session.method.state_dict()
    assert state["steps"] == 2
    kept = {
        t.data_ptr(): t for name in ("memory", "next_memory") for e in state.pop(name, {}).values() for t in e.values()
    }
    assert all(type(part) is str for part in state.pop("parts", []))
    assert all(isinstance(value, int) for value in state.values())
    copies = sum(t.numel() for t in kept.values()) / sum(p.numel() for p in session.model.parameters())
    assert row.keeps <= copies <= math.ceil(row.keeps) + 0.05  # numbers, beside the copies
    assert set(session.optimizer.state_dict()["param_groups"][0]) == keys | {"initial_lr"}
    plain = network(norm=nn.BatchNorm2d, dropout=0.5).float()
    optimizer = torch.optim.SGD(plain.parameters(), **OPTIMIZERS["SGD"])
    train_plainly(plain, optimizer, batches(1))
    for slots in session.optimizer.state_dict()["state"].values():
        assert slots.keys() == optimizer.state_dict()["state"][0].keys()


@pytest.mark.parametrize("row", METHODS, ids=str)
def test_ranks_cannot_go_by_themselves_where_something_is_remembered(row):
    """A checkpoint holds it once."""
    model = network()
    assert row(model, sgd(model)).remembers is row.remembers
    if row.remembers:
        with pytest.raises(ConfigurationError, match="cannot perturb with sync='rank' .*; use sync='batch'"):
            row(model, sgd(model), sync="rank")
    else:
        row(model, sgd(model), sync="rank")


@pytest.mark.parametrize("state", [{}, {"version": 2, "steps": 1, "micro_batch": 0}, {"version": 1}], ids=str)
def test_a_state_of_another_kind_is_refused_and_changes_nothing(state):
    session = Session(BY_NAME["sam"])
    session.train(batches(2))
    before = session.method.state_dict()
    with pytest.raises(ConfigurationError, match="reads version 1; load it with the release that wrote it"):
        session.method.load_state_dict(state)
    assert session.method.state_dict() == before


# -- copies -----------------------------------------------------------------------------------------------------------

COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda value: pickle.loads(pickle.dumps(value))}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("row", METHODS + DRIVING, ids=str)
def test_a_copy_of_a_method_goes_on_alike_and_on_its_own(row, how):
    session = Session(row)
    session.train(batches(2))
    twin = COPIES[how](session.method)
    before = observed(twin.model)
    torch.manual_seed(8)
    train(session.method, session.model, batches(2))
    torch.manual_seed(8)
    assert_same(observed(twin.model), {**before, "random state": torch.get_rng_state()})
    assert twin.steps == 2
    train(twin, twin.model, batches(2))
    assert_same(weights(twin.model), weights(session.model))
    assert twin.steps == session.method.steps == 4


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_of_a_method_guards_its_own_optimizer_and_model(how):
    session = Session(BY_NAME["sam"])
    twin = COPIES[how](session.method)
    passes = twin.passes()
    next(passes)
    session.optimizer.step()
    session.model.state_dict()
    for refused in (twin.optimizer.step, twin.model.state_dict, twin.optimizer.state_dict):
        with pytest.raises(samnesia.perturb.errors.PassesOpenError):
            refused()
    passes.close()


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_of_the_model_carries_no_method(how):
    """As weight averaging copies it: nothing of the method goes along, nothing is refused on its behalf."""
    session = Session(BY_NAME["sam"])
    twin = COPIES[how](session.model)
    passes = session.method.passes()
    next(passes)
    twin.state_dict()
    passes.close()
    reached = weakref.ref(session.method)
    assert len(pickle.dumps(session.model)) < len(pickle.dumps(session.method))
    del session
    assert reached() is None, "the copy holds the method"


def test_a_method_dies_with_its_last_reference_and_takes_its_hooks_along():
    model = network()
    optimizer = sgd(model)
    method = samnesia.sam(model, optimizer, loss=F.cross_entropy)
    train(method, model, problems.batches(1))
    hooks = (
        optimizer._optimizer_step_pre_hooks,
        optimizer._optimizer_step_post_hooks,
        optimizer._optimizer_state_dict_pre_hooks,
        model._state_dict_pre_hooks,
    )
    assert all(len(table) == 1 for table in hooks)
    reached = weakref.ref(method)
    del method
    assert reached() is None
    assert all(len(table) == 0 for table in hooks)


# -- schedulers and hooks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", METHODS, ids=str)
def test_hooks_and_schedulers_see_one_step_per_step(row):
    """The scheduler sits on the user's optimizer and acts; torch warns of nothing."""
    model = network()
    optimizer = sgd(model)
    seen = []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    method = row(model, optimizer)
    for data in problems.batches(3):
        train(method, model, [data])
        scheduler.step()
    assert seen == ["before", "after"] * 3
    assert method.steps == 3
    assert method.optimizer is optimizer and optimizer.param_groups[0]["lr"] == 0.1 * 0.5**3


def test_weight_averaging_sees_the_true_weights():
    model, plain = network(), network()
    averaged = torch.optim.swa_utils.AveragedModel(model)
    method = samnesia.sam(model, sgd(model), rho=0.0, loss=F.cross_entropy)
    expected = torch.optim.swa_utils.AveragedModel(plain)
    optimizer = sgd(plain)
    for data in problems.batches(3):
        train(method, model, [data])
        averaged.update_parameters(model)
        train_plainly(plain, optimizer, [data])
        expected.update_parameters(plain)
    assert_same(weights(averaged), weights(expected))


# -- refused optimizers -----------------------------------------------------------------------------------------------


def test_lbfgs_is_refused():
    model = network()
    with pytest.raises(UnsupportedError, match="cannot perturb inside LBFGS, .*; use a first-order optimizer"):
        samnesia.sam(model, torch.optim.LBFGS(model.parameters()))


def test_an_optimizer_that_steps_during_backward_is_refused_by_its_hook():
    model = network()
    model[6].weight.register_post_accumulate_grad_hook(lambda p: None)
    with pytest.raises(UnsupportedError, match="'6.weight', because a hook acts on its gradient"):
        samnesia.sam(model, sgd(model))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("row", METHODS, ids=str)
def test_weights_of_half_precision_are_refused(row, dtype):
    model = network().to(dtype)
    with pytest.raises(UnsupportedError, match="'1.weight' of type .*; keep the weights in float32 and .*autocast"):
        row(model, sgd(model))
    model[1].requires_grad_(False)
    model[6].float()
    row(model, sgd(model))  # frozen weights may have any type


def test_same_bits_tells_apart_what_equality_does_not():
    """The comparison on which these tests rest."""
    zero, minus, nan = torch.tensor(0.0), torch.tensor(-0.0), torch.tensor(float("nan"))
    assert same_bits(nan, nan.clone()) and not same_bits(zero, minus) and not same_bits(zero, zero.double())
