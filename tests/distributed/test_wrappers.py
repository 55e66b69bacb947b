"""Which wrappers are refused or warned of, in words, and that checkpoints hold the base optimizer's state alone."""

import pytest

from tests.distributed import checkpoint_jobs


@pytest.mark.parametrize(
    ("model", "scope", "text"),
    [
        ("fsdp", "rank", "UnsupportedError: cannot use sync='rank' with sharded parameters"),
        ("static graph", "rank", "UnsupportedError: cannot use sync='rank' with static_graph=True"),
        ("fsdp1", "batch", "UnsupportedError: cannot perturb a FullyShardedDataParallel (FSDP1) model"),
        ("fsdp1", "rank", "UnsupportedError: cannot perturb a FullyShardedDataParallel (FSDP1) model"),
        ("part sharded", "batch", "UnsupportedError: cannot perturb sharded and unsharded parameters together"),
        ("bare", "batch", "UnseenWrapperWarning: several processes are running"),
        ("bare", "both", "ConfigurationError: cannot perturb with sync='both'"),
    ],
)
def test_words(pair, model, scope, text):
    for answer in pair.run(checkpoint_jobs.words, model, scope):
        assert answer is not None and answer.startswith(text)
        assert "; " in answer  # what to do


@pytest.mark.parametrize(
    ("model", "scope"),
    [
        ("ddp", "batch"),
        ("ddp", "rank"),
        ("static graph", "batch"),
        ("fsdp", "batch"),
        ("part sharded, rest frozen", "batch"),
    ],
)
def test_no_words(pair, model, scope):
    assert pair.run(checkpoint_jobs.words, model, scope) == [None, None]


@pytest.mark.parametrize("base", ["SGD", "AdamW"])
def test_checkpoints_hold_the_base_state_alone_and_leave_the_count(pair, base):
    for result in pair.run(checkpoint_jobs.checkpointed, base):
        plain_state, plain_groups, state, groups = result["keys"]
        assert state == plain_state and groups == plain_groups
        assert result["counts"] == [0, 3, 3, 0, 3, 3]
