"""A run that is killed, at any instant and as often as you like, ends as if nothing had happened."""

import dataclasses
import random
import shutil

import pytest

from samnesia.train.config import (
    CNN,
    EMA,
    SAM,
    Checkpoints,
    Digits,
    Folder,
    Hardware,
    Images,
    Logging,
    Mixing,
    Perturbed,
    Random,
    RandomResizedCropFlip,
    RunConfig,
)
from samnesia.train.loop import train
from tests.data.image_files import folders
from tests.train.killing import Killer, until_finished, what_is_left

TINY = RunConfig(
    "tiny",
    data=Digits(flipped=0.4, shift=1),
    model=CNN(channels=(4,), hidden=8),
    method=Random(rho=0.1),
    when=Perturbed(interval_steps=2),
    average=EMA(decay=0.9),
    epochs=2,
    batch_size=200,
    shrink_perturb=0.01,
    checkpoints=Checkpoints(every_steps=3, last=2, best=True, keep_epochs=(0, 1)),
    logging=Logging(every_steps=1),
)


@pytest.fixture(scope="module")
def killer():
    with Killer() as killer:
        yield killer


@pytest.fixture
def unbroken(tmp_path):
    def train_unbroken(config):
        train(config, tmp_path / "unbroken")
        return what_is_left(tmp_path / "unbroken")

    return train_unbroken


EVERY = 40
"""In `make test`, a run is killed at one operation of so many; in `make test-all`, at each."""


@pytest.mark.filterwarnings("ignore::samnesia.perturb.errors.TrainingCollapsedWarning")
@pytest.mark.parametrize("first", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in range(2, EVERY + 1))])
def test_killed_at_every_operation_on_files(killer, unbroken, tmp_path, first):
    """Before and after each, and in the middle of each write: so also while a checkpoint is renamed."""
    expected = unbroken(TINY)
    operation, run = first, tmp_path / "run"
    while killer.attempt(run, TINY, operation=operation)["killed"]:
        assert not killer.attempt(run, TINY)["killed"]
        assert what_is_left(run) == expected, f"killed at operation {operation}"
        shutil.rmtree(run)
        operation += EVERY
    assert what_is_left(run) == expected
    assert operation > 400  # there are that many


def photographs(root):
    """The configuration of issue's kill test: a folder of JPEGs, augmented, mixed, loaded by two workers, m = 4."""
    folders(root, classes=("ant", "bee", "cat"), each=10, width=24, height=20)
    return dataclasses.replace(
        TINY,
        data=Images(
            Folder(str(root)),
            image_size=16,
            augmentation=RandomResizedCropFlip(),
            mixing=Mixing(mixup=0.2, cutmix=1.0),
            flipped=0.2,
        ),
        method=SAM(rho=0.1),
        batch_size=10,
        micro_batch=4,
        drop_last=False,
        epochs=3,
        hardware=Hardware(workers=2),
    )


@pytest.mark.filterwarnings("ignore::samnesia.perturb.errors.TrainingCollapsedWarning")
@pytest.mark.parametrize("least", [6, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_killed_at_random_times(killer, unbroken, tmp_path, least):
    config = photographs(tmp_path / "photographs")
    expected = unbroken(config)
    rng, kills, run = random.Random(least), 0, tmp_path / "run"
    longest = 1.2 * killer.attempt(tmp_path / "timed", config)["seconds"]
    while kills < least:
        kills += until_finished(killer, run, config, rng, longest=longest)
        assert what_is_left(run) == expected
        shutil.rmtree(run)
