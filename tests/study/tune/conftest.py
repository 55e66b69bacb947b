"""Searches that are shared by tests which only read."""

import os

import pytest

from samnesia.study.tune import Origin, tune
from tests.study.tune.planted import SEARCH, planted


@pytest.fixture(scope="session", autouse=True)
def without_waiting_for_the_disk():
    """Runs of milliseconds would wait for it most of the time; processes that are killed are not of this one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session")
def tuned(tmp_path_factory):
    """A search for the learning rate, with a confirmation."""
    out = tmp_path_factory.mktemp("tuned") / "out"
    origin = Origin("my.py:planted", planted())
    return tune(planted(), SEARCH, 17, out, seeds=2, confirm=4, progress=False, origin=origin, command="as it was")
