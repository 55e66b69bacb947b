"""An exception on both ranks undoes the step; an overflow on one rank skips it on both."""

import numpy as np
import pytest

from tests.battery import BY_NAME
from tests.distributed import failure_jobs, jobs, problems

INTERRUPTED = ["unperturbed", "sam", "asam filter", "gsam", "random clean statistics"]
OVERFLOWING = ["sam", "asam layer", "gsam normalized", "obf", "sign ascent"]
PLACES = [
    ("ddp", "batch"),
    ("ddp", "rank"),
    ("ddp bucket views", "batch"),
    ("ddp bucket views", "rank"),
    ("ddp batch norm", "batch"),
    ("ddp batch norm", "rank"),
    ("fsdp", "batch"),
]


@pytest.mark.parametrize("name", INTERRUPTED)
@pytest.mark.parametrize("after_backward", [False, True], ids=["before backward", "after backward"])
@pytest.mark.parametrize(("wrapper", "scope"), PLACES)
def test_an_exception_in_the_last_pass_undoes_it(pair, wrapper, scope, after_backward, name):
    results = pair.run(failure_jobs.interrupted, wrapper, name, sync=scope, after_backward=after_backward)
    for key in ("gradients", "weights"):
        np.testing.assert_array_equal(results[0][key], results[1][key])
    if wrapper != "ddp batch norm" and (scope == "batch" or not name.startswith("random")):
        expected = problems.alone(BY_NAME[name], problems.together(jobs.HALVES, flows=2, scope=scope))
        problems.assert_equal(results[0], expected)


@pytest.mark.parametrize("name", OVERFLOWING)
@pytest.mark.parametrize("in_pass", [0, 1])
@pytest.mark.parametrize(("wrapper", "scope"), [("ddp", "batch"), ("ddp", "rank"), ("fsdp", "batch")])
@pytest.mark.parametrize("scaled", [False, True], ids=["closure", "scaler"])
def test_an_overflow_on_one_rank_skips_the_step_on_both(pair, scaled, wrapper, scope, in_pass, name):
    results = pair.run(failure_jobs.overflow, wrapper, name, sync=scope, in_pass=in_pass, scaled=scaled)
    for first, skipped, last in results:
        np.testing.assert_array_equal(skipped["weights"], first["weights"])
        assert np.isfinite(last["weights"]).all() and (last["weights"] != first["weights"]).any()
        assert [record["finite"] for record in (first, skipped, last)] == [True, False, True]
        assert [record["steps"] for record in (first, skipped, last)] == [1, 1, 2]
        assert [record["scale"] for record in (first, skipped, last)] == ([4, 2, 2] if scaled else [1, 1, 1])
    for of_rank_0, of_rank_1 in zip(*results, strict=True):
        np.testing.assert_array_equal(of_rank_0["weights"], of_rank_1["weights"])
