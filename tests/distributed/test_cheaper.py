"""Cheaper methods and teachers over two ranks equal one process: their decisions, masks, directions and averages."""

import numpy as np
import pytest
import torch

from samnesia.perturb.errors import ConfigurationError
from tests.distributed import cheaper_jobs as jobs
from tests.distributed import problems

WHOLE = [name for name in jobs.METHODS if name != "esam"]  # which selects on each rank among its own samples


def alone(name, *, pieces=False, flows=1, steps=None):
    """The same batches in one process; `pieces`: those of the ranks as two calls of p.loss in each pass."""
    ranks = [jobs.steps_of(rank) for rank in range(2)] if steps is None else steps
    merged = []
    for of_ranks in zip(*ranks, strict=True):
        parts = [problems.Piece(p.x, p.y, p.weight / 2) for [[p]] in of_ranks]
        if not pieces:
            x, y = torch.cat([p.x for p in parts]), torch.cat([p.y for p in parts])
            parts = [problems.Piece(x, y, sum(p.weight for p in parts))]
        merged.append([parts])
    if flows > 1:
        merged = [
            [[problems.Piece(p.x, p.y, p.weight / flows) for p in flow] for [flow] in merged[i : i + flows]]
            for i in range(0, len(merged), flows)
        ]
    model = problems.network()
    return jobs.train(model, jobs.build(name, model, problems.optimizer_of(model)), merged)


def assert_equal(results, expected):
    for result in results:
        np.testing.assert_allclose(result["weights"], expected["weights"], rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(result["norms"], expected["norms"], rtol=1e-10, atol=1e-13)
        assert result["evaluations"] == expected["evaluations"]
    np.testing.assert_array_equal(results[0]["weights"], results[1]["weights"])


@pytest.mark.parametrize("name", jobs.METHODS)
def test_two_ranks_are_one_process(pair, name):
    expected = alone(name, pieces=name == "esam")
    assert_equal(pair.run(jobs.ddp_train, name), expected)
    if name in ("looksam", "ae-sam"):
        assert set(expected["evaluations"]) == {1, 2}, "or nothing is decided"


@pytest.mark.parametrize("name", ["ae-sam", "esam", "mesa"])
@pytest.mark.parametrize("ddp", [{"find_unused_parameters": True}, {"gradient_as_bucket_view": True}], ids=str)
def test_two_ranks_are_one_process_in_other_settings_of_ddp(pair, name, ddp):
    """A forward without a backward must not leave DDP waiting for it."""
    assert_equal(pair.run(jobs.ddp_train, name, ddp=ddp), alone(name, pieces=name == "esam"))


@pytest.mark.parametrize("name", ["looksam", "ae-sam", "momentum sam", "mesa"])
def test_two_micro_batches_on_two_ranks(pair, name):
    """The first under no_sync: passes that end early must be averaged none the less."""
    assert_equal(pair.run(jobs.ddp_train, name, flows=2), alone(name, flows=2))


@pytest.mark.parametrize("name", WHOLE)
def test_shards_are_one_process(pair, name):
    results = pair.run(jobs.fsdp_train, name)
    assert_equal(results, alone(name))
    resumed = pair.run(jobs.fsdp_train, name, resume_at=3)
    np.testing.assert_array_equal(resumed[0]["weights"], results[0]["weights"][3:])


@pytest.mark.parametrize("scope", ["batch", "rank"])
def test_running_statistics_are_those_of_plain_training(pair, scope):
    """A teacher of no weight: its forward neither moves buffers nor takes rank 0's from the others."""
    plain = pair.run(jobs.ddp_train, "mesa", batch_norm=True, start=jobs.STEPS)
    taught = pair.run(jobs.ddp_train, "mesa", batch_norm=True, weight=0.0, sync=scope)
    for result, expected in zip(taught, plain, strict=True):
        for after, wanted in zip(result["buffers"], expected["buffers"], strict=True):
            for name in wanted:
                np.testing.assert_array_equal(after[name], wanted[name], err_msg=name)


@pytest.mark.parametrize("name", ["momentum sam", "mesa"])
def test_one_gradient_is_sent(pair, name):
    """As in plain training, and buffers once; what a closure does with a teacher's loss is not sent."""
    assert pair.run(jobs.sent, name) == pair.run(jobs.sent, None)


def test_what_remembers_has_no_perturbation_per_rank():
    model = problems.network()
    with pytest.raises(ConfigurationError, match="sync='rank'"):
        jobs.build("looksam", model, problems.optimizer_of(model), sync="rank")


def test_saf_belongs_to_one_process(pair):
    assert all("use mesa" in words for words in pair.run(jobs.saf_refused))
