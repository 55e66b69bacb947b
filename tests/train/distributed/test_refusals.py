"""What several processes cannot do is said in a sentence, before anything is on disk."""

from dataclasses import replace

import pytest
from safetensors.torch import load_file

from samnesia.perturb.errors import ConfigurationError
from samnesia.train import loop
from samnesia.train.config import CNN, SAM, Digits, Hardware
from samnesia.train.engine import Engine
from tests.train.distributed import jobs
from tests.train.distributed.configs import SMALL, fsdp

CHUNKED = replace(SMALL, method=SAM(0.1), micro_batch=3)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (fsdp(CHUNKED), "cannot perturb for 3 of 10 samples with strategy fsdp, because"),
        (replace(CHUNKED, micro_batch=8, batch_size=8), None),
        (replace(CHUNKED, micro_batch=8, batch_size=15), None),
        (replace(CHUNKED, batch_size=3, micro_batch=2, drop_last=True), None),
        (replace(fsdp(SMALL), hardware=Hardware("cpu", "16-mixed", "fsdp")), "cannot train in 16-mixed with strategy"),
        (replace(SMALL, hardware=Hardware("cpu", "16-mixed")), "cannot train in 16-mixed on the cpu, because"),
    ],
)
def test_refused_before_anything_is_on_disk(ranks, tmp_path, config, sentence):
    answers = ranks.run(jobs.refused, config, tmp_path / "run")
    if sentence is None:
        assert answers == [None, None]
        return
    for answer in answers:
        assert answer.startswith(f"ConfigurationError: {sentence}") and "\n" not in answer
    assert not (tmp_path / "run").exists()


def test_chunks_that_some_ranks_would_not_get():
    """Eight samples in chunks of five are two; four processes cannot share them."""
    with pytest.raises(ConfigurationError, match="cannot share batches of 8 .* among 4 processes, because"):
        jobs.plan_of(replace(SMALL, batch_size=8, micro_batch=5), ranks=4)


def test_machines_with_unequal_numbers_of_processes(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(ConfigurationError, match="cannot train with 2 of 3 processes on this machine, because"):
        Engine(Hardware())


@pytest.mark.parametrize("config", [CHUNKED, fsdp(replace(CHUNKED, micro_batch=None))], ids=["ddp", "fsdp"])
def test_stopped_at_one_step_and_refused_by_another_number_of_processes(ranks, tmp_path, config):
    """The last rank alone was told to stop."""
    out = tmp_path / "run"
    sentence = f"RunStopped: stopped in epoch 0 after step 3; go on with: samnesia resume {out}"
    assert ranks.run(jobs.stopped, config, out, 2) == [sentence] * 2
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name != ".lock"}
    with pytest.raises(ConfigurationError, match=r"cannot go on with 1 process, because .* begun with 2, [^\n]*$"):
        loop.resume(out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name != ".lock"} == before
    assert ranks.run(jobs.refused, config, out) == [None, None]
    assert (out / "result.json").exists()


def test_weights_of_all_strategies_are_in_one_format(ranks, tmp_path):
    """One process starts from what FSDP2 has saved."""
    on_parts = Hardware("cpu", strategy="fsdp")
    config = replace(SMALL, data=Digits(), model=CNN(channels=(4,), hidden=8), batch_size=400, hardware=on_parts)
    ranks.run(jobs.several, [config], [tmp_path / "run"])
    saved = load_file(tmp_path / "run/checkpoints/epoch0002-step000000/model.safetensors")
    model = CNN(channels=(4,), hidden=8, weights=str(tmp_path / "run")).build((1, 8, 8), 10)
    found = model.state_dict()
    assert found.keys() == saved.keys()
    assert all(found[name].equal(value) for name, value in saved.items())
