"""DistributedDataParallel equals one process: on the whole batch, or on one chunk per rank (m-sharpness)."""

from dataclasses import replace

import numpy as np
import pytest

from tests.battery import BY_NAME, DRIVING, METHODS
from tests.distributed import jobs, problems

NAMES = [method.name for method in METHODS if method.spreads]
STEPPING = [method.name for method in DRIVING]
# Under scope "rank" what is remembered would differ, and each rank draws its own noise: no single process has chunks
# with those perturbations.
FOUND = [name for name in NAMES if not (BY_NAME[name].draws or BY_NAME[name].remembers)]
NOISE = ["random", "random clean statistics", "adaptive noise"]
SOME = ["sam", "sam 3 steps", "asam filter", "gsam normalized", "obf", "sign ascent"]
LAYOUTS = {"copied": {}, "bucket views": {"gradient_as_bucket_view": True}}


def assert_ranks_agree(results):
    for key in ("gradients", "weights"):
        np.testing.assert_array_equal(results[0][key], results[1][key])


@pytest.mark.parametrize("name", NAMES + STEPPING)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_batch_scope_is_one_process_on_the_whole_batch(pair, layout, name):
    results = pair.run(jobs.ddp_train, name, sync="batch", ddp=LAYOUTS[layout])
    expected = problems.alone(BY_NAME[name], problems.together(jobs.HALVES))
    assert_ranks_agree(results)
    problems.assert_equal(results[0], expected)
    for result in results:
        np.testing.assert_allclose(result["perturbation_norm"], expected["perturbation_norm"], rtol=1e-12)
        np.testing.assert_allclose(result["gradient_norm"], expected["gradient_norm"], rtol=1e-12)
        np.testing.assert_array_equal(result["evaluations"], expected["evaluations"])


@pytest.mark.parametrize("name", FOUND)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_rank_scope_is_one_process_on_a_chunk_per_rank(pair, layout, name):
    results = pair.run(jobs.ddp_train, name, sync="rank", ddp=LAYOUTS[layout])
    expected = problems.alone(BY_NAME[name], problems.together(jobs.HALVES, scope="rank"))
    assert_ranks_agree(results)
    problems.assert_equal(results[0], expected)
    norms = np.mean([result["perturbation_norm"] for result in results], axis=0)
    np.testing.assert_allclose(norms, expected["perturbation_norm"], rtol=1e-12)


@pytest.mark.parametrize("name", ["sam", "gsam", "gsam normalized", "obf"])
@pytest.mark.parametrize("scope", ["batch", "rank"])
def test_ranks_of_unequal_size_weight_their_losses(pair, scope, name):
    results = pair.run(jobs.ddp_train, name, sync=scope, sizes=(5, 3))
    assert_ranks_agree(results)
    problems.assert_equal(results[0], problems.alone(BY_NAME[name], problems.together((5, 3), scope=scope)))


@pytest.mark.parametrize(
    ("name", "no_sync"), [(name, True) for name in NAMES] + [(name, False) for name in SOME], ids=str
)
def test_accumulation_over_flows_under_batch_scope(pair, name, no_sync):
    results = pair.run(jobs.ddp_train, name, sync="batch", flows=2, no_sync=no_sync)
    assert_ranks_agree(results)
    problems.assert_equal(results[0], problems.alone(BY_NAME[name], problems.together(jobs.HALVES, flows=2)))


@pytest.mark.parametrize(
    ("name", "no_sync"), [(name, True) for name in FOUND] + [(name, False) for name in SOME], ids=str
)
def test_accumulation_over_flows_under_rank_scope(pair, name, no_sync):
    results = pair.run(jobs.ddp_train, name, sync="rank", flows=2, no_sync=no_sync)
    expected = problems.alone(BY_NAME[name], problems.together(jobs.HALVES, flows=2, scope="rank"))
    assert_ranks_agree(results)
    problems.assert_equal(results[0], expected)


@pytest.mark.parametrize("name", ["sam", "gsam normalized"])
@pytest.mark.parametrize("scope", ["batch", "rank"])
def test_accumulation_over_flows_with_bucket_views(pair, scope, name):
    results = pair.run(jobs.ddp_train, name, sync=scope, flows=2, ddp=LAYOUTS["bucket views"])
    expected = problems.alone(BY_NAME[name], problems.together(jobs.HALVES, flows=2, scope=scope))
    assert_ranks_agree(results)
    problems.assert_equal(results[0], expected)


@pytest.mark.parametrize("name", ["sam", "gsam"])
def test_a_gradient_of_the_users_own_that_was_not_synced(pair, name):
    results = pair.run(jobs.ddp_after_plain, name, sync="batch")
    steps = problems.together(jobs.HALVES, flows=2)
    plain = [step.pop(0) for step in steps]
    assert_ranks_agree(results)
    problems.assert_equal(results[0], problems.alone(BY_NAME[name], steps, plain=plain))


@pytest.mark.parametrize("name", FOUND)
@pytest.mark.parametrize("scope", ["batch", "rank"])
def test_accumulation_inside_a_pass(pair, scope, name):
    results = pair.run(jobs.ddp_train, name, sync=scope, pieces=2)
    assert_ranks_agree(results)
    problems.assert_equal(results[0], problems.alone(BY_NAME[name], problems.together(jobs.HALVES, scope=scope)))


@pytest.mark.parametrize("name", FOUND)
@pytest.mark.parametrize("scope", ["batch", "rank"])
def test_parameters_that_one_rank_or_no_rank_uses(pair, scope, name):
    results = pair.run(jobs.ddp_branches, name, sync=scope)
    ranks = [problems.of_rank(rank, jobs.HALVES) for rank in range(2)]
    steps = []
    for of_ranks in zip(*ranks, strict=True):
        pieces = [replace(p, weight=p.weight / 2, branch=rank) for rank, [[p]] in enumerate(of_ranks)]
        steps.append([pieces] if scope == "batch" else [[p] for p in pieces])
    assert_ranks_agree(results)
    problems.assert_equal(results[0], problems.alone(BY_NAME[name], steps, branches=True))


@pytest.mark.parametrize("name", NOISE)
def test_noise_is_shared_by_the_batch_and_drawn_by_each_rank(pair, name):
    together, apart = (pair.run(jobs.ddp_noise, name, scope) for scope in ("batch", "rank"))
    np.testing.assert_array_equal(together[0]["perturbation"], together[1]["perturbation"])
    assert (apart[0]["perturbation"] != apart[1]["perturbation"]).mean() > 0.9
    for result in together + apart:
        np.testing.assert_allclose(result["norm"], np.linalg.norm(result["perturbation"]), rtol=1e-10)
    if name != "adaptive noise":  # whose size is rho in its own ball
        np.testing.assert_allclose([result["norm"] for result in together + apart], 0.1, rtol=1e-10)


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("flows", [1, 2])
def test_a_static_graph_under_batch_scope(pair, flows, name):
    results = pair.run(jobs.ddp_train, name, sync="batch", flows=flows, no_sync=False, ddp={"static_graph": True})
    assert_ranks_agree(results)
    problems.assert_equal(results[0], problems.alone(BY_NAME[name], problems.together(jobs.HALVES, flows=flows)))
