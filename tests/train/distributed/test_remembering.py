"""What methods remember is saved whole by several processes and taken up again, as copies and in parts."""

from dataclasses import replace

import pytest
import torch

from samnesia.perturb.errors import ConfigurationError
from samnesia.train import loop
from samnesia.train.config import (
    AESAM,
    MESA,
    WSAM,
    FriendlySAM,
    Hardware,
    Lookahead,
    Lookbehind,
    LookSAM,
    OwnModel,
    SparseSAM,
)
from tests.train.distributed import jobs, problem
from tests.train.distributed.configs import SMALL, fsdp
from tests.train.killing import what_is_left

NORMED = replace(SMALL, model=OwnModel(problem.normed), hardware=Hardware(accelerator="cpu"))
METHODS = {
    "friendly-sam": FriendlySAM(0.1),
    "looksam": LookSAM(0.1, k=2),
    "ae-sam": AESAM(0.1),
    "wsam": WSAM(0.05),
    "sparse-sam": SparseSAM(0.1, refresh=4),
    "lookahead": Lookahead(k=2),
    "mesa": MESA(),
    "lookbehind": Lookbehind(0.1),
}


def copied(config):
    return config


@pytest.mark.parametrize(
    ("spread", "names"),
    [
        (copied, ("looksam", "mesa")),
        (fsdp, ("friendly-sam", "wsam", "mesa")),
        pytest.param(copied, tuple(METHODS), marks=pytest.mark.slow),
        pytest.param(fsdp, tuple(METHODS), marks=pytest.mark.slow),
    ],
)
def test_a_stopped_run_ends_as_the_unbroken_one(ranks, tmp_path, spread, names):
    configs = [spread(replace(NORMED, method=METHODS[name])) for name in names]
    outs = {kind: [tmp_path / kind / name for name in names] for kind in ("unbroken", "broken")}
    ranks.run(jobs.train_or_go_on, configs, outs["unbroken"])
    for said in ranks.run(jobs.stopped_each, configs, outs["broken"], after=3):
        assert all(sentence.startswith("RunStopped: stopped in epoch 0 after step 4; ") for sentence in said)
    ranks.run(jobs.train_or_go_on, configs, outs["broken"])
    for name, broken, unbroken in zip(names, outs["broken"], outs["unbroken"], strict=True):
        assert what_is_left(broken) == what_is_left(unbroken), name


def test_what_is_remembered_in_parts_is_saved_whole(ranks, tmp_path):
    ranks.run(jobs.stopped, fsdp(replace(NORMED, method=FriendlySAM(0.1))), tmp_path / "run", 3)
    (path,) = (tmp_path / "run" / "checkpoints").glob("epoch0000-step000004/state.pt")
    memory = torch.load(path, weights_only=True)["method"]["memory"]
    shapes = {
        name: value.shape for name, value in NORMED.model.build((problem.FEATURES,), problem.CLASSES).named_parameters()
    }
    for entry in memory.values():
        assert {name: value.shape for name, value in entry.items()} == shapes


def test_what_would_differ_from_rank_to_rank_is_refused(ranks, tmp_path):
    config = replace(NORMED, method=FriendlySAM(0.1), micro_batch=3)
    for answer in ranks.run(jobs.refused, config, tmp_path / "run"):
        assert answer.startswith("ConfigurationError: cannot perturb with sync='rank'") and "\n" not in answer
    assert not (tmp_path / "run").exists()


def test_rounds_on_chunks_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot perturb for 3 of 10 samples with lookbehind, because"):
        loop.train(replace(NORMED, method=Lookbehind(), micro_batch=3), tmp_path / "run")
    assert not (tmp_path / "run").exists()
