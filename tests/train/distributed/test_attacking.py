"""Adversarial training on two processes is that on one: attacks begin where the sample's number says."""

from dataclasses import replace

import pytest

from samnesia.train.config import SAM
from tests.train.attacked import EUCLIDEAN, SMALL, config
from tests.train.distributed import jobs
from tests.train.distributed.configs import fsdp
from tests.train.distributed.test_same_gradients import assert_same, same_on_all_ranks

pytestmark = pytest.mark.filterwarnings("ignore::samnesia.perturb.errors.TrainingCollapsedWarning")

RUNS = {
    "linf": config(adversary=SMALL),
    "l2 and sam": config(adversary=EUCLIDEAN, method=SAM(0.1)),
    "late, in parts": config(adversary=replace(SMALL, start_epoch=1.5), method=SAM(0.1), device_batch=3),
    "micro-batches": config(method=SAM(0.1), micro_batch=3),
}


def test_two_ranks_are_one_process(ranks):
    """Images are float32: to the rounding of what the attack adds to them."""
    found = same_on_all_ranks(ranks.run(jobs.several, list(RUNS.values())))
    for name, run in zip(RUNS, found, strict=True):
        try:
            assert_same(run, jobs.trained(RUNS[name]), rtol=1e-6)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None


def test_a_model_in_parts_is_refused(ranks, tmp_path):
    sentence = "cannot train against an adversary here, because each process holds a part of the model"
    for answer in ranks.run(jobs.refused, fsdp(RUNS["linf"]), tmp_path / "run"):
        assert answer.startswith(f"ConfigurationError: {sentence}")
    assert not (tmp_path / "run").exists()
