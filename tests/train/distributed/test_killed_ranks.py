"""Two processes that are killed, at any instant and as often as you like, end as if nothing had happened."""

import random
import shutil
import time
from dataclasses import replace

import pytest

from samnesia.train.config import CNN, EMA, GSAM, SAM, SWA, AdamW, Digits, Hardware, OwnModel, Perturbed, Random
from tests.train.distributed import jobs, problem
from tests.train.distributed.configs import SMALL, fsdp
from tests.train.killing import what_is_left

NORMED = replace(SMALL, model=OwnModel(problem.normed), hardware=Hardware(accelerator="cpu"))
ADAM = AdamW(lr=0.01, weight_decay=0.1)
DDP = {
    "ddp sam": replace(NORMED, method=SAM(0.1), average=EMA(0.9), hardware=Hardware(accelerator="cpu")),
    "ddp gsam": replace(SMALL, method=GSAM(0.1), micro_batch=3, optimizer=ADAM, clip_norm=0.5, shrink_perturb=0.01),
    "ddp random": replace(NORMED, method=Random(0.1), micro_batch=4, average=SWA(), when=Perturbed(interval_steps=2)),
}
FSDP = {
    "fsdp sam": fsdp(replace(NORMED, method=SAM(0.1), optimizer=ADAM, average=EMA(0.9), device_batch=4)),
    "fsdp gsam": fsdp(replace(NORMED, method=GSAM(0.1), clip_norm=0.5, shrink_perturb=0.01, average=SWA())),
    "fsdp random": fsdp(replace(SMALL, method=Random(0.1), average=EMA(0.9))),
}
IMAGES = replace(
    NORMED, data=Digits(flipped=0.2, shift=1), model=CNN(channels=(4,), hidden=8), method=SAM(0.1), epochs=3,
    batch_size=201, micro_batch=20, average=EMA(0.9), hardware=Hardware(accelerator="cpu"),
)  # fmt: skip


def killed_until_finished(ranks, configs, outs, rng, *, longest):
    """Start them again after random times, until all have ended; return how often they were killed."""
    kills = 0
    while True:
        for out in outs:
            if not (out / "config.json").exists():  # killed before it had begun: nothing of it counts
                shutil.rmtree(out, ignore_errors=True)
        attempt = ranks.start(jobs.train_or_go_on, configs, outs)
        if attempt.ended(rng.uniform(0.0, longest)):
            attempt.results()
            return kills
        kills += attempt.kill()
        assert kills < 400, "no progress"


def assert_nothing_happened(ranks, configs, tmp_path, *, kills, seed=0):
    unbroken = [tmp_path / "unbroken" / str(i) for i in range(len(configs))]
    started = time.monotonic()
    ranks.run(jobs.train_or_go_on, configs, unbroken)
    longest, rng, count = 1.2 * (time.monotonic() - started), random.Random(seed), 0
    expected = [what_is_left(out) for out in unbroken]
    while count < kills:
        outs = [tmp_path / "run" / str(i) for i in range(len(configs))]
        count += killed_until_finished(ranks, configs, outs, rng, longest=longest)
        for config, out, unbroken_one in zip(configs, outs, expected, strict=True):
            assert what_is_left(out) == unbroken_one, config
        shutil.rmtree(tmp_path / "run")


@pytest.mark.parametrize("configs", [DDP, FSDP], ids=["ddp", "fsdp"])
def test_killed_at_random_times(ranks, tmp_path, configs):
    assert_nothing_happened(ranks, list(configs.values()), tmp_path, kills=1)


# Loading processes are forked from a process with gloo's threads: not in the fast rows, see docs/training.md.
LOADED = replace(IMAGES, hardware=Hardware(accelerator="cpu", workers=1))


@pytest.mark.slow
@pytest.mark.parametrize(
    "configs", [DDP, FSDP, {"images": LOADED}, {"images": fsdp(replace(IMAGES, micro_batch=None))}]
)
def test_killed_often(ranks, tmp_path, configs):
    assert_nothing_happened(ranks, list(configs.values()), tmp_path, kills=15, seed=1)
