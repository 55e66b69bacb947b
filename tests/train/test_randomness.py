"""Global generators: seeded for a run, and given back as they were."""

import random

import numpy as np
import pytest
import torch

from samnesia.train import randomness


def states():
    return random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()


def draws():
    return random.random(), float(np.random.random()), float(torch.rand(()))


@pytest.mark.parametrize("seed", [0, 2**40, 2**63 - 1])
def test_isolated_gives_all_three_generators_back_as_they_were(seed):
    random.seed(5), np.random.seed(6), torch.manual_seed(7)
    draws()
    np.random.randn()  # leaves a second normal number for later, which is part of the state
    before = states()
    with randomness.isolated(seed):
        draws()
        assert all(a != b for a, b in zip(before, states(), strict=True))
    assert states() == before


def test_isolated_gives_them_back_after_an_error():
    before = states()
    with pytest.raises(KeyboardInterrupt):
        with randomness.isolated(3):
            draws()
            raise KeyboardInterrupt
    assert states() == before


def test_inside_the_draws_are_those_of_the_seed():
    found = []
    for outside in (1, 2):
        random.seed(outside), np.random.seed(outside), torch.manual_seed(outside)
        with randomness.isolated(9):
            found.append(draws())
    with randomness.isolated(10):
        other = draws()
    assert found[0] == found[1]
    assert all(a != b for a, b in zip(found[0], other, strict=True))


def test_a_step_seeds_python_and_numpy_and_leaves_torch_alone():
    found = {}
    for key in [(0, 0, 4), (0, 0, 5), (0, 1, 4), (1, 0, 4)]:
        before = torch.get_rng_state()
        randomness.seed_step(*key)
        assert torch.equal(torch.get_rng_state(), before)
        found[key] = draws()[:2]
        draws()
        randomness.seed_step(*key)
        assert draws()[:2] == found[key]
    assert len(set(found.values())) == 4
    assert len({first for first, _ in found.values()}) == len({second for _, second in found.values()}) == 4


def test_ranks_draw_other_numbers_and_the_first_goes_on():
    found = []
    for rank in range(3):
        torch.manual_seed(0)
        randomness.seed_rank(0, rank)
        found.append(float(torch.rand(())))
    torch.manual_seed(0)
    assert found[0] == float(torch.rand(()))
    assert len(set(found)) == 3


def test_torchs_state_is_restored_as_saved():
    saved = randomness.torch_state()
    first = torch.rand(3)
    randomness.restore_torch(saved)
    assert torch.equal(torch.rand(3), first)
