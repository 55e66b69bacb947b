"""Communicated bytes of a step, counted on two processes, against those of plain training."""

import numpy as np
import pytest

from tests.battery import BY_NAME
from tests.distributed import communication_jobs as jobs

PER_RANK = ["unperturbed", "sam", "sam 3 steps", "asam layer", "obf", "random", "random clean statistics"]
IN_BATCH = ["unperturbed", "sam", "sam 3 steps", "asam filter", "gsam", "obf", "sign ascent"]
SHARDED = ["unperturbed", "sam", "asam filter", "asam layer", "gsam normalized", "random"]
WRAPPERS = {
    "default": {},
    "bucket views": {"gradient_as_bucket_view": True},
    "find unused": {"find_unused_parameters": True},
}
GRADIENT = 8 * (27 + 3 + 3 + 3 + 27 * 7 + 7 + 1 + 7 * 5 + 5)  # conv, norm, middle, gain and head in float64
PARAMETERS = 9


def same_on_both(pair, *arguments, **named):
    first, second = pair.run(jobs.counts, *arguments, **named)
    assert first == second
    return first


def times(collectives, factor, *, kinds):
    return {kind: [factor * n for n in collectives[kind]] for kind in kinds}


@pytest.fixture(scope="module")
def plain(pair):
    counted = {name: same_on_both(pair, jobs.ddp, None, options) for name, options in WRAPPERS.items()}
    counted["static graph"] = same_on_both(pair, jobs.ddp, None, {"static_graph": True})
    return counted


def test_plain_training_sends_its_gradient_once_in_several_buckets(plain):
    for name in ("default", "bucket views", "static graph"):
        buckets, sent = plain[name]["all_reduce"]
        assert buckets >= 2 and sent == GRADIENT
        assert plain[name].keys() == {"all_reduce", "broadcast"}


@pytest.mark.parametrize("name", PER_RANK)
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_rank_scope_sends_what_plain_training_sends(pair, plain, wrapper, name):
    counted = same_on_both(pair, jobs.ddp, name, WRAPPERS[wrapper], sync="rank")
    assert counted == plain[wrapper]


@pytest.mark.parametrize("name", IN_BATCH)
@pytest.mark.parametrize("wrapper", ["default", "bucket views", "static graph"])
def test_batch_scope_sends_it_in_every_pass(pair, plain, wrapper, name):
    options = {"static_graph": True} if wrapper == "static graph" else WRAPPERS[wrapper]
    counted = same_on_both(pair, jobs.ddp, name, options, sync="batch")
    assert counted == times(plain[wrapper], BY_NAME[name].passes, kinds=plain[wrapper])


def test_a_normalized_rule_sends_the_scale_of_the_loss_in_addition(pair, plain):
    counted = same_on_both(pair, jobs.ddp, "gsam normalized", sync="batch")
    assert counted.pop("scalar") == [1, 8]
    assert counted == times(plain["default"], 2, kinds=plain["default"])


@pytest.mark.parametrize("name", ["gsam", "gsam normalized"])
def test_a_rule_under_rank_scope_sends_one_vector_of_what_it_made(pair, plain, name):
    counted = same_on_both(pair, jobs.ddp, name, sync="rank")
    assert counted == {
        "broadcast": plain["default"]["broadcast"],
        "all_reduce_after_backward": [1, GRADIENT + 8 * PARAMETERS],
    }


@pytest.mark.parametrize("name", ["sam", "gsam"])
def test_accumulation_sends_the_sum_once(pair, plain, name):
    accumulated = same_on_both(pair, jobs.ddp, None, flows=2)
    assert accumulated["all_reduce"] == plain["default"]["all_reduce"]
    counted = same_on_both(pair, jobs.ddp, name, flows=2, sync="rank")
    assert counted == {
        # each flow of a rule averages what it made, so that the second holds only its own
        "all_reduce_after_backward": [1, GRADIENT + 8 * PARAMETERS],
        "broadcast": accumulated["broadcast"],
    }


@pytest.mark.parametrize("name", ["sam", "gsam"])
@pytest.mark.parametrize("scope", ["batch", "rank"])
def test_an_evaluation_after_a_step_begins_with_the_buffers_of_rank_0_as_after_plain_training(pair, scope, name):
    plain = same_on_both(pair, jobs.ddp, None, evaluate=True)
    without, counted = (same_on_both(pair, jobs.ddp, name, sync=scope, evaluate=e) for e in (False, True))
    more = [after - before for after, before in zip(counted["broadcast"], without["broadcast"], strict=True)]
    assert [2 * n for n in more] == plain["broadcast"]


@pytest.mark.parametrize(
    ("wrapper", "name"),
    [
        *(({}, name) for name in SHARDED),
        ({"nested": False}, "sam"),
        ({"reshard_after_forward": True}, "sam"),
        ({"reshard_after_forward": False}, "sam"),
        ({"mesh": (2, 1)}, "sam"),
        ({"mesh": (1, 2)}, "gsam normalized"),
    ],
    ids=str,
)
def test_sharded_weights_are_gathered_once_a_pass_as_in_plain_training(pair, wrapper, name):
    plain = same_on_both(pair, jobs.fsdp, None, wrapper)
    counted = same_on_both(pair, jobs.fsdp, name, wrapper)
    numbers, sent = counted.pop("scalar", [0, 0])
    assert counted == times(plain, BY_NAME[name].passes, kinds=plain)
    assert sent <= 8 * numbers


def test_sharded_weights_that_stay_after_the_backward_are_gathered_no_more_often(pair):
    plain = same_on_both(pair, jobs.fsdp, None)
    counted = same_on_both(pair, jobs.fsdp, "sam", {"reshard_after_backward": False})
    assert counted["all_gather"] == times(plain, 2, kinds=["all_gather"])["all_gather"]


@pytest.mark.parametrize("name", ["sam", "asam filter", "random"])
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_the_last_pass_sends_buckets_while_its_backward_runs(pair, wrapper, name):
    plain = pair.run(jobs.overlap, None, WRAPPERS[wrapper])
    for of_plain, of_method in zip(plain, pair.run(jobs.overlap, name, WRAPPERS[wrapper], sync="rank"), strict=True):
        assert of_method == of_plain
        assert of_method[0] < PARAMETERS == of_method[-1]


@pytest.mark.parametrize("branches", [False, True], ids=["one graph", "a branch per rank"])
@pytest.mark.parametrize("wrapper", [{}, {"gradient_as_bucket_view": True}], ids=["copied", "bucket views"])
def test_a_mark_on_one_rank_reaches_all_without_a_collective(pair, wrapper, branches):
    wrapper = {**wrapper, "find_unused_parameters": branches}
    results = pair.run(jobs.marked, wrapper, branches=branches, flag_on=1)
    unmarked = pair.run(jobs.marked, wrapper, branches=branches, flag_on=None)
    for result, other in zip(results, unmarked, strict=True):
        assert [result[f"finite {i}"] for i in range(3)] == [True, False, True]
        assert [result[f"collectives {i}"] for i in range(3)] == [other[f"collectives {i}"] for i in range(3)]
        assert "scalar" not in result["collectives 1"]
        assert all(other[f"finite {i}"] for i in range(3)) and result["hooks left"] == 0
        np.testing.assert_array_equal(result["bits 2"], other["bits 2"])
