"""A batch cut into parts: nothing is lost, nothing counts twice, and all ranks have as many parts."""

import pytest
import torch

from samnesia.train.cutting import cut


def piece(*numbers):
    return torch.tensor(numbers).reshape(-1, 1) * 1.0, torch.tensor(numbers, dtype=torch.int64)


def numbers(chunks):
    return [[part.targets.tolist() for part in parts] for parts in chunks]


def counts(chunks):
    return [[part.samples for part in parts] for parts in chunks]


def test_the_whole_batch_is_one_chunk():
    assert numbers(cut([piece(1, 2, 3, 4, 5)], chunk=None, device_batch=None)) == [[[1, 2, 3, 4, 5]]]
    assert numbers(cut([piece(1, 2, 3), piece(4, 5)], chunk=None, device_batch=2)) == [[[1, 2], [3], [4, 5]]]


def test_chunks_stay_inside_their_piece_and_parts_inside_their_chunk():
    found = cut([piece(1, 2, 3, 4, 5, 6), piece(7, 8)], chunk=3, device_batch=2)
    assert numbers(found) == [[[1, 2], [3]], [[4, 5], [6]], [[7, 8]]]
    assert counts(found) == [[2, 1], [2, 1], [2]]


def test_a_rank_with_fewer_parts_repeats_a_sample_that_does_not_count():
    [parts] = cut([piece(1, 2), piece(3)], chunk=None, device_batch=2, least=4)
    assert numbers([parts]) == [[[1, 2], [3], [1], [1]]] and counts([parts]) == [[2, 1, 0, 0]]
    assert parts[-1].inputs.tolist() == [[1.0]]


@pytest.mark.parametrize("chunk", [None, 2])
def test_a_rank_without_samples_of_its_own_counts_nothing(chunk):
    assert {samples for parts in cut([piece(1, 2, 3)], chunk=chunk, device_batch=2, counts=False)
            for samples in [part.samples for part in parts]} == {0}  # fmt: skip


@pytest.mark.parametrize("chunk", [None, 2])
def test_pieces_of_damaged_samples_are_left_out(chunk):
    assert numbers(cut([piece(), piece(1, 2)], chunk=chunk, device_batch=None)) == [[[1, 2]]]
    assert cut([piece(), piece()], chunk=chunk, device_batch=None, least=2) == []


def test_inputs_may_be_nested():
    nested = {"ids": torch.arange(4), "masks": (torch.arange(4), [torch.arange(4)])}
    _, [second] = [parts for parts in cut([(nested, torch.arange(4))], chunk=3, device_batch=None)]
    assert second.inputs["ids"].tolist() == [3] and second.inputs["masks"][1][0].tolist() == [3]
    assert isinstance(second.inputs["masks"], tuple)
