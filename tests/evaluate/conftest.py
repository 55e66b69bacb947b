"""Runs to evaluate."""

from dataclasses import replace

import pytest

from samnesia.train.config import Evaluation
from samnesia.train.loaded import load
from samnesia.train.recipes import find
from tests.train.small import trained as trained_in


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Directories of two short runs on digits with wrong labels, by method: sgd and sam."""
    found = {}
    for method in ("sgd", "sam"):
        out = tmp_path_factory.mktemp("trained") / method
        trained_in(replace(find(f"digits-noisy-{method}"), epochs=6, evaluation=Evaluation(every_epochs=6)), out)
        found[method] = out
    return found


@pytest.fixture(scope="session")
def loaded(trained):
    """The last checkpoint of the run with SAM."""
    return load(trained["sam"])


@pytest.fixture(scope="session")
def imagenet_run(tmp_path_factory):
    """The directory of a run on made images of ImageNet's 1000 classes, each of which it knows by its colour."""
    from tests.data.published_sets import imagenet
    from tests.evaluate.colours import run

    return run(imagenet(tmp_path_factory.mktemp("imagenet")), tmp_path_factory.mktemp("runs") / "colours")


@pytest.fixture(scope="session")
def seeing(imagenet_run):
    """Its last checkpoint."""
    return load(imagenet_run)
