"""Which samples a rank loads: every sample once, in whole chunks, and the same wherever one begins."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from samnesia.data.loader import (
    EvaluationView,
    Plan,
    TrainingKeys,
    TrainingView,
    evaluation_loader,
    training_loader,
)
from samnesia.data.problem import Problem, TensorSplit
from samnesia.perturb.errors import ConfigurationError


def plan(samples=37, batch=10, chunk=None, piece=None, drop_last=False, seed=0, ranks=2):
    return Plan(samples, batch, chunk, piece, drop_last, seed, ranks)


@st.composite
def plans(draw):
    batch = draw(st.integers(2, 40))
    chunk = draw(st.none() | st.integers(1, batch))
    ranks = draw(st.integers(1, -(-batch // (chunk or 1))))
    samples, piece = draw(st.integers(batch, 100)), draw(st.none() | st.integers(1, 50))
    return plan(samples, batch, chunk, piece, draw(st.booleans()), draw(st.integers(0, 3)), ranks)


@given(plans())
def test_every_sample_counts_once(plan):
    order = plan.order(3)
    counted = []
    for step in range(plan.steps):
        batch = plan.batch_of(3, step)
        shares = [plan.share(batch, rank) for rank in range(plan.ranks)]
        assert all(len(share) for share in shares)  # every rank has something to do
        counted += [i for rank, share in enumerate(shares) if plan.counts(step, rank) for i in share]
    assert counted == order[: len(counted)].tolist()
    dropped = plan.samples % plan.batch if plan.drop_last else 0
    assert len(counted) == plan.samples - dropped


@given(plans())
def test_ranks_have_about_as_much_and_the_first_most(plan):
    unit = plan.chunk or 1
    for step in range(plan.steps):
        batch = plan.batch_of(0, step)
        chunks = [-(-len(plan.share(batch, rank)) // unit) * plan.counts(step, rank) for rank in range(plan.ranks)]
        assert max(chunks) - min(chunks) <= 1 and chunks[0] == max(chunks)


@given(plans())
def test_chunks_are_those_of_one_rank(plan):
    """However many ranks there are, the same samples share a perturbation."""
    if plan.chunk is None:
        return
    for step in range(plan.steps):
        batch = plan.batch_of(0, step).tolist()
        together = [batch[i : i + plan.chunk] for i in range(0, len(batch), plan.chunk)]
        found = []
        for rank in range(plan.ranks):
            if plan.counts(step, rank):
                for piece in plan.pieces(plan.batch_of(0, step), rank):
                    found += [piece[i : i + plan.chunk].tolist() for i in range(0, len(piece), plan.chunk)]
        assert found == together


@given(plans())
def test_pieces_are_the_share_and_no_larger_than_asked(plan):
    for step in range(plan.steps):
        batch = plan.batch_of(0, step)
        for rank in range(plan.ranks):
            pieces = plan.pieces(batch, rank)
            assert [i for piece in pieces for i in piece] == plan.share(batch, rank).tolist()
            if plan.piece is not None:
                assert max(map(len, pieces)) <= max(plan.piece, plan.chunk or 1)
            if plan.chunk is None:
                assert len(pieces) <= plan.parts(step)
                assert rank or len(pieces) == plan.parts(step)


def test_a_rank_without_samples_repeats_the_first_ones():
    one_left = plan(samples=21, batch=10)
    assert one_left.steps == 3
    batch = one_left.batch_of(0, 2)
    assert [one_left.share(batch, rank).tolist() for rank in range(2)] == [batch.tolist()] * 2
    assert [one_left.counts(2, rank) for rank in range(2)] == [True, False]
    assert [one_left.counts(1, rank) for rank in range(2)] == [True, True]


def test_orders_differ_by_epoch_and_seed():
    orders = {tuple(plan(seed=seed).order(epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9 and all(sorted(order) == list(range(37)) for order in orders)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"samples": 9, "drop_last": True}, r"cannot train on 9 samples with batches of 10, because .*at most 9$"),
        ({"ranks": 11}, r"cannot share batches of 10 samples among 11 processes, because"),
        (
            {"chunk": 6, "ranks": 3},
            r"cannot share batches of 10 in perturbations of 6 .*; use a micro_batch of at most 3,",
        ),
    ],
)
def test_what_cannot_be_shared_is_refused(changes, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        plan(**changes)


def split(count):
    return TensorSplit(torch.arange(count), torch.arange(count))


def keys_of(plan, rank, start=0):
    return list(TrainingKeys(plan, rank, range(5, 6), start))


def test_keys_go_on_where_they_were_left():
    cut = plan(piece=3)
    for rank in range(2):
        done = sum(len(pieces) for pieces in list(TrainingKeys(cut, rank, range(5, 6)).steps())[:2])
        assert keys_of(cut, rank)[done:] == keys_of(cut, rank, start=2)
        assert {epoch for keys in keys_of(cut, rank) for epoch, _ in keys} == {5}


def test_keys_of_several_epochs_follow_each_other():
    cut = plan(piece=3)
    together = list(TrainingKeys(cut, 1, range(4, 7), 2))
    apart = [list(TrainingKeys(cut, 1, range(epoch, epoch + 1), 2 * (epoch == 4))) for epoch in range(4, 7)]
    assert together == sum(apart, [])
    assert len(together) > len(apart[0])


def add_their_number(inputs, targets, epoch, indices):
    return inputs + 1000 * len(indices) + 100_000 * epoch, targets


@pytest.mark.parametrize(("group", "sizes"), [(None, {10}), (4, {4, 2})])
def test_samples_are_mixed_with_those_that_share_their_perturbation(group, sizes):
    problem = Problem(split(37), None, None, 2, (), mix=add_their_number)
    view = TrainingView(problem, group)
    inputs, targets = view.__getitems__([(2, index) for index in range(10)])
    assert {(int(x) - 200_000) // 1000 for x in inputs} == sizes
    assert targets.tolist() == list(range(10))


@pytest.mark.parametrize("workers", [0, 1])
def test_loading_draws_nothing_of_this_process(workers):
    before = torch.get_rng_state()
    problem = Problem(split(37), None, None, 2, ())
    keys = TrainingKeys(plan(), 1, range(1))
    batches = list(training_loader(TrainingView(problem, None), keys, workers=workers, pin=False))
    assert [y.tolist() for _, y in batches] == [[index for _, index in piece] for piece in keys]
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("count", [1, 2, 5, 13])
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_evaluation_sees_every_sample_once(count, ranks):
    seen = []
    for rank in range(ranks):
        for (inputs, _), indices in evaluation_loader(
            split(count), batch=4, rank=rank, ranks=ranks, workers=0, pin=False
        ):
            assert inputs.tolist() == indices and len(indices) <= 4
            seen += indices
    assert sorted(seen) == list(range(count))


class Damaged(TensorSplit):
    damaged = frozenset({2})

    def batch(self, indices, epoch=None):
        return super().batch([index for index in indices if index not in self.damaged], epoch)


def test_evaluation_leaves_damaged_samples_out():
    data = Damaged(torch.arange(5), torch.arange(5))
    (inputs, _), indices = EvaluationView(data).__getitems__([1, 2, 3])
    assert inputs.tolist() == indices == [1, 3]
