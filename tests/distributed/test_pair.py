"""The pair of processes itself: it answers, it survives what jobs do, and it leaves nothing behind."""

import os
import signal

import pytest
import torch
import torch.distributed as dist

from tests.distributed.pair import JobFailed, Pair


def identity():
    return dist.get_rank(), dist.get_world_size(), torch.get_num_threads(), os.getpid()


def mean(value):
    tensor = torch.tensor(float(value + dist.get_rank()))
    dist.all_reduce(tensor)
    return tensor.item() / 2


def fail_on(rank):
    if dist.get_rank() == rank:
        raise ValueError(f"as asked, on rank {rank}")
    dist.barrier()


def never_end():
    signal.pause()


def die_on(rank):
    if dist.get_rank() == rank:
        os.kill(os.getpid(), signal.SIGKILL)
    dist.barrier()


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_both_ranks_answer_in_one_group(pair):
    (rank_0, *same_0, pid_0), (rank_1, *same_1, pid_1) = pair.run(identity)
    assert (rank_0, rank_1) == (0, 1) and same_0 == same_1 == [2, 1]
    assert len({pid_0, pid_1, os.getpid()}) == 3
    assert pair.run(mean, 3) == [3.5, 3.5]


def test_the_pair_stays_the_same_from_job_to_job(pair):
    assert [answer[-1] for answer in pair.run(identity)] == [answer[-1] for answer in pair.run(identity)]


def test_a_failure_is_reported_and_does_not_reach_the_next_job(pair):
    with pytest.raises(JobFailed, match="as asked, on rank 1"):
        pair.run(fail_on, 1)
    assert pair.run(mean, 0) == [0.5, 0.5]


def test_the_death_of_a_process_is_reported():
    pair = Pair()
    with pytest.raises(JobFailed, match="rank 0: the process died"):
        pair.run(die_on, 0)
    pair.close()


def test_a_job_over_its_time_is_ended_and_closing_leaves_no_process(pair):
    pids = [answer[-1] for answer in pair.run(identity)]
    with pytest.raises(JobFailed, match=r"no answer within 0.1 s"):
        pair.run(never_end, limit=0.1)
    assert not any(alive(pid) for pid in pids)
