"""The same m gives the same gradients through micro-batches, accumulation and ranks: in float64, to rounding."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from samnesia.data.loader import Plan
from samnesia.train.config import ASAM, GSAM, OBF, SAM, ASAMAfterNorm, OwnData, Random, Unperturbed
from tests.train.distributed import jobs, problem
from tests.train.distributed.configs import SMALL, fsdp

pytestmark = pytest.mark.filterwarnings("ignore::samnesia.perturb.errors.TrainingCollapsedWarning")

METHODS = {
    "sgd": Unperturbed(),
    "sam": SAM(0.1),
    "asam": ASAM(0.5),
    "asam after": ASAMAfterNorm(0.5),
    "gsam": GSAM(0.1),
    "gsam normalized": GSAM(0.1, backup="normalized"),
    "obf": OBF(0.1),
}
WHOLE = {"whole": {}, "in parts of 3": {"device_batch": 3}, "odd": {"batch_size": 9}, "clipped": {"clip_norm": 0.5}}
WHOLE |= {"m is the batch": {"micro_batch": 10}, "one by one": {"device_batch": 1, "batch_size": 11}}
CHUNKS = {
    "3 of 10, 10, 10, 7": {"micro_batch": 3},  # 3 chunks in the last: one rank has two, the other has one
    "in parts of 2": {"micro_batch": 3, "device_batch": 2},
    "one each": {"micro_batch": 5, "drop_last": True},
    "single samples": {"micro_batch": 1, "batch_size": 9},
}


def varied(method, changes):
    return replace(SMALL, method=METHODS[method], **changes)


def assert_same_weights(found, expected, *, rtol=1e-12):
    """To `rtol` of the largest weight of each tensor."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=rtol * np.abs(value).max(), err_msg=name)


def assert_same(found, expected, *, rtol=1e-12):
    """Weights and figures."""
    assert_same_weights(found["weights"], expected["weights"], rtol=rtol)
    assert found["norm"] == pytest.approx(expected["norm"], rel=rtol)
    for name, values in expected["curves"].items():
        assert found["curves"][name] == [value if value is None else pytest.approx(value, rel=1e-9) for value in values]


def same_on_all_ranks(answers):
    for found in zip(*answers, strict=True):
        assert found[0]["curves"] == found[1]["curves"] and found[0]["norm"] == found[1]["norm"]
    return answers[0]


def by_hand(config):
    """The weights after SAM: each chunk's gradient where its own ascent leads, weighted by its share of the batch."""
    data, rho = problem.data(config.seed), config.method.rho
    torch.manual_seed(config.seed)
    model = problem.net((problem.FEATURES,), problem.CLASSES).double()
    optimizer = torch.optim.SGD(model.parameters(), **{"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4})
    weights = list(model.parameters())
    plan = Plan(len(data.train), config.batch_size, config.micro_batch, None, False, config.seed)
    for step in range(config.epochs * plan.steps):
        order = torch.as_tensor(plan.batch_of(*divmod(step, plan.steps)))
        mean = [torch.zeros_like(w) for w in weights]
        for chunk in order.split(config.micro_batch or len(order)):
            x, y = data.train.inputs[chunk].double(), data.train.labels[chunk]
            gradient = torch.autograd.grad(F.cross_entropy(model(x), y), weights)
            length = torch.stack([g.square().sum() for g in gradient]).sum().sqrt()
            there = copy.deepcopy(model)
            with torch.no_grad():
                for w, g in zip(there.parameters(), gradient, strict=True):
                    w += rho * g / length
            for m, g in zip(
                mean, torch.autograd.grad(F.cross_entropy(there(x), y), list(there.parameters())), strict=True
            ):
                m += g * len(chunk) / len(order)
        for w, m in zip(weights, mean, strict=True):
            w.grad = m
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate(step, plan.steps)
        optimizer.step()
    return {name: value.tolist() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("changes", [{}, {"micro_batch": 3}, {"micro_batch": 3, "device_batch": 2}, {"batch_size": 37}])
def test_sam_is_that_by_hand(changes):
    config = varied("sam", changes)
    assert_same_weights(jobs.trained(config)["weights"], by_hand(config))


@pytest.mark.parametrize("method", METHODS)
def test_accumulation_changes_nothing(method):
    for chunk in (None, 3):
        expected = jobs.trained(varied(method, {"micro_batch": chunk}))
        assert_same(jobs.trained(varied(method, {"micro_batch": chunk, "device_batch": 2})), expected)


FAST = ("sam", "gsam normalized")


@pytest.mark.parametrize("method", [m if m in FAST else pytest.param(m, marks=pytest.mark.slow) for m in METHODS])
def test_two_ranks_are_one_process(ranks, method):
    """The batch perturbed as a whole, under DDP and FSDP2; and in chunks, under DDP."""
    whole = [varied(method, changes) for changes in WHOLE.values()]
    chunks = [varied(method, changes) for changes in CHUNKS.values()]
    expected = [jobs.trained(config) for config in whole + chunks]
    found = same_on_all_ranks(ranks.run(jobs.several, [*whole, *chunks, *map(fsdp, whole)]))
    names = [f"{name}, {strategy}" for strategy, name in
             [*(("ddp", name) for name in [*WHOLE, *CHUNKS]), *(("fsdp", name) for name in WHOLE)]]  # fmt: skip
    for name, run, reference in zip(names, found, expected + expected[: len(whole)], strict=True):
        try:
            assert_same(run, reference)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None


def test_noise_is_the_same_for_the_whole_batch(ranks):
    """In chunks it is not: each rank draws numbers of its own."""
    config = replace(SMALL, method=Random(0.1))
    expected = jobs.trained(config)
    for run in same_on_all_ranks(ranks.run(jobs.several, [config, fsdp(config)])):
        assert_same(run, expected)


def broken(seed):
    """A sample whose gradient is not finite: every process has to skip its step, and no other one."""
    good = problem.data(seed)
    good.train.inputs[11] = float("nan")
    return good


def test_what_is_not_finite_on_one_rank_is_skipped_by_all(ranks):
    whole, chunks = varied("sam", {}), varied("sam", CHUNKS["3 of 10, 10, 10, 7"])
    whole, chunks = (replace(config, data=OwnData(broken)) for config in (whole, chunks))
    expected = [jobs.trained(config) for config in (whole, chunks, whole)]
    assert [run["skipped"] for run in expected] == [2] * 3
    for run, reference in zip(
        same_on_all_ranks(ranks.run(jobs.several, [whole, chunks, fsdp(whole)])), expected, strict=True
    ):
        assert run["skipped"] == 2
        assert_same(run, reference)
