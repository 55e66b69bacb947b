"""`as_optimizer`: everything that holds an optimizer can hold this one, as long as it passes closures."""

import copy
import io
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import samnesia
from samnesia.perturb.errors import PassesError
from tests.battery import BY_NAME, METHODS
from tests.problems import batches, criterion_of, differentiate, flat, network, sgd, weights

METHOD_ROWS = [BY_NAME[name] for name in ("sam", "sam 3 steps", "gsam", "obf", "random clean statistics")]


def wrapped(row=BY_NAME["sam"], optimizer=sgd, **options):
    model = network(norm=nn.BatchNorm2d)
    return model, samnesia.as_optimizer(row(model, optimizer(model), **options))


def adamw(model):
    return torch.optim.AdamW(model.parameters(), lr=0.01)


def closure_over(model, optimizer, x, y, losses=None):
    def closure():
        optimizer.zero_grad()
        loss = criterion_of(optimizer.method, model, x, y)
        loss.backward()
        if losses is not None:
            losses.append(loss)
        return loss

    return closure


def train(model, optimizer, data):
    return [optimizer.step(closure_over(model, optimizer, x, y)) for x, y in data]


@pytest.mark.parametrize("row", METHODS, ids=str)
def test_closures_and_passes_train_alike(row):
    model, optimizer = wrapped(row)
    train(model, optimizer, batches(4))
    other = network(norm=nn.BatchNorm2d)
    method = row(other, sgd(other))
    for x, y in batches(4):
        differentiate(method, other, x, y)
        method.optimizer.step()
        method.optimizer.zero_grad()
    assert torch.equal(flat(weights(model)), flat(weights(other)))
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), other.buffers(), strict=True))


@pytest.mark.parametrize("row", METHOD_ROWS, ids=str)
def test_the_closure_runs_first_and_its_first_loss_is_returned(row):
    model, optimizer = wrapped(row)
    (x, y), losses = batches(1)[0], []
    assert all(p.grad is None for p in model.parameters())
    returned = optimizer.step(closure_over(model, optimizer, x, y, losses))
    assert returned is losses[0]
    assert len(losses) == row.passes


def test_the_closure_differentiates_even_if_the_caller_does_not():
    model, optimizer = wrapped()
    with torch.no_grad():
        train(model, optimizer, batches(1))
    assert optimizer.method.steps == 1


def test_without_a_closure_it_is_refused():
    model, optimizer = wrapped()
    before = weights(model)
    with pytest.raises(PassesError, match=r"cannot step without a closure, because .*; call step\(closure\)"):
        optimizer.step()
    assert torch.equal(flat(weights(model)), flat(before))


def test_it_is_an_optimizer_with_the_groups_and_state_of_the_base():
    model, optimizer = wrapped(optimizer=adamw)
    base = optimizer.method.optimizer
    assert isinstance(optimizer, torch.optim.Optimizer)
    train(model, optimizer, batches(1))
    assert optimizer.param_groups is base.param_groups
    assert optimizer.state is base.state
    assert optimizer.defaults is base.defaults
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert optimizer.param_groups is base.param_groups
    assert optimizer.state is base.state
    optimizer.param_groups[0]["lr"] = 0.5
    assert base.param_groups[0]["lr"] == 0.5
    assert "lr: 0.5" in repr(optimizer)


@pytest.mark.filterwarnings("ignore::samnesia.perturb.errors.UnperturbedParametersWarning")
def test_a_group_added_later_is_perturbed_and_stepped():
    model = network()
    optimizer = samnesia.as_optimizer(samnesia.sam(model, sgd(model[1]), loss=F.cross_entropy))
    train(model, optimizer, batches(1))
    optimizer.add_param_group({"params": list(model[-1].parameters()), "lr": 0.2, "rho": 0.3})
    before = model[-1].weight.detach().clone()
    train(model, optimizer, batches(1))
    assert len(optimizer.method.optimizer.param_groups) == 2
    assert optimizer.method.last_step.radii == (0.05, 0.3)
    assert not torch.equal(model[-1].weight, before)


def test_hooks_see_one_step_per_step():
    model, optimizer = wrapped(BY_NAME["sam 3 steps"])
    seen = []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    optimizer.method.optimizer.register_step_post_hook(lambda *_: seen.append("base"))
    train(model, optimizer, batches(2))
    assert seen == ["before", "base", "after"] * 2


def test_hooks_on_state_dicts():
    model, optimizer = wrapped()
    seen = []
    optimizer.register_state_dict_pre_hook(lambda o: seen.append("save"))
    optimizer.register_state_dict_post_hook(lambda o, state: {**state, "note": 1})
    optimizer.register_load_state_dict_pre_hook(lambda o, state: {k: v for k, v in state.items() if k != "note"})
    optimizer.register_load_state_dict_post_hook(lambda o: seen.append("loaded"))
    state = optimizer.state_dict()
    assert state["note"] == 1
    optimizer.load_state_dict(state)
    assert seen == ["save", "loaded"]


@pytest.mark.parametrize("where", ["wrapper", "base"])
@pytest.mark.parametrize(
    "schedule",
    [
        lambda o: torch.optim.lr_scheduler.StepLR(o, 1, 0.5),
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=0.5, total_steps=5),
        lambda o: torch.optim.lr_scheduler.SequentialLR(
            o,
            [torch.optim.lr_scheduler.LinearLR(o, total_iters=2), torch.optim.lr_scheduler.CosineAnnealingLR(o, 3)],
            milestones=[2],
        ),
    ],
    ids=["StepLR", "OneCycleLR", "SequentialLR"],
)
def test_schedulers_act_on_either_without_a_warning(schedule, where):
    model, optimizer = wrapped()
    scheduler = schedule(optimizer if where == "wrapper" else optimizer.method.optimizer)
    plain = network()
    expected_optimizer = sgd(plain)
    expected = schedule(expected_optimizer)
    for x, y in batches(4):
        optimizer.step(closure_over(model, optimizer, x, y))
        expected_optimizer.step()
        scheduler.step()
        expected.step()
        assert optimizer.param_groups[0]["lr"] == expected_optimizer.param_groups[0]["lr"]
        assert optimizer.param_groups[0]["momentum"] == expected_optimizer.param_groups[0]["momentum"]


def test_a_scheduler_that_runs_before_the_first_step_still_warns():
    model, optimizer = wrapped()
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    with pytest.warns(UserWarning, match=r"lr_scheduler\.step\(\)` before `optimizer\.step\(\)"):
        scheduler.step()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
@pytest.mark.parametrize("base", [sgd, adamw])
def test_copies_go_on_by_themselves(base, duplicate):
    model, optimizer = wrapped(BY_NAME["gsam"], base, when=samnesia.every(2))
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)  # replaces `step` on the instance
    train(model, optimizer, batches(3))
    scheduler.step()
    twin, twin_optimizer = duplicate((model, optimizer))
    before = weights(model)
    train(twin, twin_optimizer, batches(2))
    assert torch.equal(flat(weights(model)), flat(before))
    train(model, optimizer, batches(2))
    assert torch.equal(flat(weights(twin)), flat(weights(model)))
    assert twin_optimizer.method.steps == optimizer.method.steps == 5
    assert twin_optimizer.method.last_step.perturbed == optimizer.method.last_step.perturbed


@pytest.mark.parametrize("base", [sgd, adamw])
@pytest.mark.parametrize("row", METHOD_ROWS, ids=str)
def test_resuming_from_a_file_is_exact(row, base):
    def fresh():
        return wrapped(row, base, when=samnesia.every(2))

    model, optimizer = fresh()
    train(model, optimizer, batches(3))
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    train(model, optimizer, batches(3))

    resumed, resumed_optimizer = fresh()
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed.load_state_dict(saved["model"])
    resumed_optimizer.load_state_dict(saved["optimizer"])
    assert resumed_optimizer.method.steps == 3
    train(resumed, resumed_optimizer, batches(3))
    assert torch.equal(flat(weights(resumed)), flat(weights(model)))


def test_a_state_dict_of_the_base_optimizer_can_be_loaded_and_the_other_way_round():
    model, optimizer = wrapped(optimizer=adamw)
    train(model, optimizer, batches(2))
    base_state = optimizer.method.optimizer.state_dict()
    assert base_state.keys() == {"state", "param_groups"}

    _, other = wrapped(optimizer=adamw)
    other.load_state_dict(base_state)
    assert other.method.steps == 0
    assert other.state_dict()["state"].keys() == base_state["state"].keys()

    plain = adamw(network(norm=nn.BatchNorm2d))
    plain.load_state_dict(optimizer.state_dict())
    assert plain.state_dict()["state"].keys() == base_state["state"].keys()


def test_distributed_checkpoint_takes_the_base_optimizer():
    """It fills an optimizer without state by a step at rate zero and without a closure; that is no step."""
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

    def fresh():
        return wrapped(optimizer=adamw, when=samnesia.every(2))

    model, optimizer = fresh()
    train(model, optimizer, batches(3))
    saved = copy.deepcopy(get_optimizer_state_dict(model, optimizer.method.optimizer))
    assert saved["state"].keys() == dict(model.named_parameters()).keys()
    through_wrapper = get_optimizer_state_dict(model, optimizer)
    assert through_wrapper["state"].keys() == saved["state"].keys()
    model_state, method_state = copy.deepcopy(model.state_dict()), optimizer.method.state_dict()
    train(model, optimizer, batches(3))

    resumed, resumed_optimizer = fresh()
    resumed.load_state_dict(model_state)
    set_optimizer_state_dict(resumed, resumed_optimizer.method.optimizer, saved)
    assert resumed_optimizer.method.steps == 0
    resumed_optimizer.method.load_state_dict(method_state)
    train(resumed, resumed_optimizer, batches(3))
    assert torch.equal(flat(weights(resumed)), flat(weights(model)))

    empty, empty_optimizer = fresh()
    with pytest.raises(PassesError, match="cannot step without a closure"):
        set_optimizer_state_dict(empty, empty_optimizer, saved)


def test_weight_averaging_beside_it_copies_the_model_alone():
    model, optimizer = wrapped()
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.5))
    for x, y in batches(3):
        optimizer.step(closure_over(model, optimizer, x, y))
        average.update_parameters(model)
    assert average.n_averaged == 3
    assert average.module.state_dict().keys() == model.state_dict().keys()
