"""Running statistics under DistributedDataParallel.

Torch's SyncBatchNorm refuses CPU tensors, so that its row needs two devices; it has no state of its own beside the
buffers treated here, and its collectives run in every forward of every pass, on all ranks alike.
"""

import numpy as np
import pytest

from tests.distributed import jobs


def assert_same_buffers(left, right):
    for of_left, of_right in zip(left, right, strict=True):
        assert of_left.keys() == of_right.keys()
        for name in of_left:
            np.testing.assert_array_equal(of_left[name], of_right[name], err_msg=name)


@pytest.mark.parametrize("name", ["sam", "sam 3 steps", "asam layer", "random", "random clean statistics"])
@pytest.mark.parametrize("scope", ["batch", "rank"])
def test_without_radius_they_are_those_of_plain_training(pair, scope, name):
    plain = pair.run(jobs.ddp_buffers, None)
    results = pair.run(jobs.ddp_buffers, name, sync=scope, rho=0.0)
    for result, expected in zip(results, plain, strict=True):
        assert_same_buffers(result["entered"], expected["entered"])
        assert_same_buffers(result["after"], expected["after"])
        np.testing.assert_array_equal(result["weights"], expected["weights"])


@pytest.mark.parametrize("scope", ["batch", "rank"])
def test_accumulation_keeps_those_of_rank_0_as_plain_training_does(pair, scope):
    plain = pair.run(jobs.ddp_buffers, None, flows=2)
    results = pair.run(jobs.ddp_buffers, "sam", flows=2, sync=scope, rho=0.0)
    assert_same_buffers(results[0]["after"], plain[0]["after"])


@pytest.mark.parametrize("name", ["sam", "gsam", "sam 3 steps", "random", "random clean statistics"])
@pytest.mark.parametrize("scope", ["batch", "rank"])
def test_ranks_enter_a_step_with_those_of_rank_0_and_count_it_once(pair, scope, name):
    of_rank_0, of_rank_1 = pair.run(jobs.ddp_buffers, name, sync=scope)
    assert_same_buffers(of_rank_0["entered"], of_rank_1["entered"])
    assert_same_buffers(of_rank_0["entered"][1:], of_rank_0["after"][:-1])
    for result in (of_rank_0, of_rank_1):
        assert [after["norm.num_batches_tracked"] for after in result["after"]] == [1, 2, 3]


@pytest.mark.parametrize("name", ["sam", "gsam", "random clean statistics"])
def test_the_first_pass_alone_moves_them(pair, name):
    plain = pair.run(jobs.ddp_buffers, None)
    for result, expected in zip(pair.run(jobs.ddp_buffers, name), plain, strict=True):
        assert_same_buffers(result["after"][:1], expected["after"][:1])
