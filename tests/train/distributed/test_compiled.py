"""torch.compile trains to about the same weights, and a compiled run resumes bit by bit."""

from dataclasses import replace

import pytest
import torch

from samnesia.perturb.errors import RunStopped
from samnesia.train import loop
from samnesia.train.config import EMA, GSAM, SAM, Hardware, OwnModel
from tests.train.distributed import jobs, problem
from tests.train.distributed.configs import SMALL
from tests.train.distributed.test_same_gradients import assert_same_weights
from tests.train.killing import what_is_left

NORMED = replace(SMALL, model=OwnModel(problem.normed), average=EMA(0.9))


def compiled(config):
    return replace(config, hardware=Hardware("cpu", compile=True))


@pytest.mark.slow
@pytest.mark.parametrize("method", [SAM(0.1), GSAM(0.1)], ids=["sam", "gsam"])
def test_close_to_eager_and_resumed(tmp_path, method):
    config = replace(NORMED, method=method)
    eager = jobs.trained(replace(config, hardware=Hardware("cpu")))
    unbroken = jobs.trained(compiled(config), tmp_path / "unbroken")
    assert_same_weights(unbroken["weights"], eager["weights"], rtol=1e-4)
    torch.compiler.reset()
    steps = iter(range(100))
    with pytest.raises(RunStopped):
        loop.train(compiled(config), tmp_path / "run", stop=lambda: next(steps) == 5)
    torch.compiler.reset()  # as in a process of its own, to which only the smaller batch of the epoch's end is new
    loop.resume(tmp_path / "run")
    assert what_is_left(tmp_path / "run") == what_is_left(tmp_path / "unbroken")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_ranks(ranks, strategy):
    config = replace(NORMED, method=SAM(0.1), hardware=Hardware("cpu", strategy=strategy))
    eager = ranks.run(jobs.trained, config)[0]
    found = ranks.run(jobs.trained, replace(config, hardware=replace(config.hardware, compile=True)))[0]
    assert_same_weights(found["weights"], eager["weights"], rtol=1e-4)
