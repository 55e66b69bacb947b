"""Parameters sharded by `fully_shard` (FSDP2) equal one process."""

import numpy as np
import pytest

from tests.battery import BY_NAME, DRIVING, METHODS
from tests.distributed import jobs, problems

NAMES = [method.name for method in METHODS + DRIVING if method.spreads]


def assert_one_process(results, name, *, sizes=jobs.HALVES, flows=1):
    expected = problems.alone(BY_NAME[name], problems.together(sizes, flows=flows))
    for result in results:
        problems.assert_equal(result, expected)
        for norm in ("perturbation_norm", "gradient_norm"):
            np.testing.assert_allclose(result[norm], expected[norm], rtol=1e-12)
        np.testing.assert_array_equal(result["evaluations"], expected["evaluations"])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("nested", [True, False], ids=["nested", "root only"])
def test_sharded_is_one_process(pair, nested, name):
    assert_one_process(pair.run(jobs.fsdp_train, name, nested=nested), name)


@pytest.mark.parametrize("name", ["sam", "gsam normalized"])
def test_ranks_of_unequal_size_weight_their_losses(pair, name):
    assert_one_process(pair.run(jobs.fsdp_train, name, sizes=(5, 3)), name, sizes=(5, 3))


@pytest.mark.parametrize("name", ["unperturbed", "sam", "asam filter", "gsam normalized", "random", "sign ascent"])
def test_accumulation_over_flows(pair, name):
    assert_one_process(pair.run(jobs.fsdp_train, name, flows=2), name, flows=2)


@pytest.mark.parametrize("name", ["sam", "gsam", "random"])
def test_accumulation_inside_a_pass(pair, name):
    assert_one_process(pair.run(jobs.fsdp_train, name, pieces=2), name)


@pytest.mark.parametrize("name", ["unperturbed", "sam", "gsam", "random"])
@pytest.mark.parametrize("nested", [True, False], ids=["nested", "root only"])
def test_weights_kept_gathered_after_backward(pair, nested, name):
    assert_one_process(pair.run(jobs.fsdp_train, name, nested=nested, reshard_after_backward=False), name)


@pytest.mark.parametrize("name", ["unperturbed", "sam", "random"])
@pytest.mark.parametrize("nested", [True, False], ids=["nested", "root only"])
def test_evaluation_between_steps(pair, nested, name):
    assert_one_process(pair.run(jobs.fsdp_train, name, nested=nested, evaluate=True), name)


@pytest.mark.parametrize("name", ["sam", "asam filter", "asam layer", "gsam normalized", "random", "sign ascent"])
@pytest.mark.parametrize("mesh", [(2, 1), (1, 2)], ids=["replicas", "shards"])
def test_hybrid_sharding(pair, mesh, name):
    assert_one_process(pair.run(jobs.fsdp_train, name, mesh=mesh), name)
