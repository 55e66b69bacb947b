"""Runs that torchrun itself starts, on one machine and on two; they are killed, ended by SIGTERM, and resumed."""

import json
from dataclasses import replace

import pytest

from samnesia.train.checkpoint import Position, Store
from samnesia.train.config import EMA, GSAM, SAM, AdamW, Hardware, OwnModel
from tests.train.distributed import jobs, problem
from tests.train.distributed.configs import SMALL, fsdp
from tests.train.distributed.ranks import LIMIT, free_port, torchrun
from tests.train.killing import what_is_left

NORMED = replace(SMALL, model=OwnModel(problem.normed), method=SAM(0.1), average=EMA(0.9))
CONFIGS = {
    "ddp": replace(NORMED, hardware=Hardware(accelerator="cpu"), micro_batch=4, drop_last=True),
    "fsdp": fsdp(replace(NORMED, method=GSAM(0.1), optimizer=AdamW(lr=0.01))),
}
ONE_MACHINE = ("--standalone", "--nproc-per-node=2")


@pytest.fixture(scope="module")
def unbroken(ranks, tmp_path_factory):
    """What the runs leave that nobody interrupts."""
    outs = {name: tmp_path_factory.mktemp("unbroken") / name for name in CONFIGS}
    ranks.run(jobs.train_or_go_on, [*CONFIGS.values()], [*outs.values()])
    return {name: what_is_left(out) for name, out in outs.items()}


def start(tmp_path, runs, *options):
    """An agent that is at work on these runs."""
    request = tmp_path / f"request{len(list(tmp_path.glob('request*')))}.json"
    request.write_text(json.dumps(runs))
    return torchrun(*(options or ONE_MACHINE), module="tests.train.distributed.script", arguments=[request])


def ended(agent):
    """(exit code, output)"""
    output, _ = agent.communicate(timeout=LIMIT)
    return agent.returncode, output


def request(tmp_path, name, **when):
    out = tmp_path / name
    return {"config": CONFIGS[name].to_json(), "out": str(out), "resume": (out / "config.json").exists(), **when}


def test_killed_and_resumed(ranks, unbroken, tmp_path):
    """All that torchrun has started is killed in the second run; the first is finished then."""
    code, output = ended(start(tmp_path, [request(tmp_path, "ddp"), request(tmp_path, "fsdp", kill=6)]))
    assert code == -9, output
    assert what_is_left(tmp_path / "ddp") == unbroken["ddp"]
    assert not (tmp_path / "fsdp/result.json").exists()
    ranks.run(jobs.train_or_go_on, [*CONFIGS.values()], [tmp_path / name for name in CONFIGS])
    for name in CONFIGS:
        assert what_is_left(tmp_path / name) == unbroken[name]


@pytest.mark.slow
def test_killed_and_resumed_by_torchrun(unbroken, tmp_path):
    runs = [request(tmp_path, "fsdp"), request(tmp_path, "ddp", kill=6)]
    assert ended(start(tmp_path, runs))[0] == -9
    code, output = ended(start(tmp_path, [request(tmp_path, name) for name in CONFIGS]))
    assert code == 0, output
    for name in CONFIGS:
        assert what_is_left(tmp_path / name) == unbroken[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ddp", "fsdp"])
def test_sigterm_keeps_a_checkpoint_of_one_step(ranks, unbroken, tmp_path, name):
    code, output = ended(start(tmp_path, [request(tmp_path, name, terminate=2)]))
    assert code not in (0, -9), output
    out = tmp_path / name
    assert Store(out).positions() == [Position(0), Position(0, 2)]
    assert len((out / "steps.jsonl").read_text().splitlines()) == 2
    ranks.run(jobs.train_or_go_on, [CONFIGS[name]], [out])
    assert what_is_left(out) == unbroken[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ddp", "fsdp"])
def test_two_machines_are_one(unbroken, tmp_path, name):
    port = free_port()
    nodes = [
        ("--nnodes=2", f"--node-rank={rank}", "--nproc-per-node=1", "--master-addr=127.0.0.1", f"--master-port={port}")
        for rank in range(2)
    ]
    agents = [start(tmp_path, [request(tmp_path, name)], *node) for node in nodes]
    for code, output in map(ended, agents):
        assert code == 0, output
    assert what_is_left(tmp_path / name) == unbroken[name]
    assert json.loads((tmp_path / name / "result.json").read_text())["environment"]["processes"] == 2
