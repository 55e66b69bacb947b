"""Which checkpoints paths mean, and what they are called."""

import os
import shutil

import pytest

from samnesia.examine.chosen import choose
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.checkpoint import Position
from samnesia.train.config import Checkpoints
from tests.train.small import config, trained


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("chosen") / "one"
    trained(config(epochs=2, checkpoints=Checkpoints(last=1, every_steps=3, keep_epochs=(0, 1))), out)
    return out


def positions(chosen):
    return [place.position for place in chosen.places]


def test_a_run_is_its_last_checkpoint_and_along_all_that_it_kept(run):
    (last,) = choose([run])
    assert positions(last) == [Position(2)] and last.label == "one"
    assert [place.position for place in last.kept] == [Position(0), Position(1), Position(2)]
    (along,) = choose([run], along=True)
    assert positions(along) == [Position(0), Position(1), Position(2)]
    (until,) = choose([run / "checkpoints" / "epoch0001-step000000"], along=True)
    assert positions(until) == [Position(0), Position(1)]
    assert [place.epoch for place in along.places] == [0.0, 1.0, 2.0]


def test_an_epoch_under_way_counts_by_its_steps(tmp_path):
    trained(config(epochs=1, checkpoints=Checkpoints(last=9, every_steps=2)), tmp_path / "run")
    (along,) = choose([tmp_path / "run"], along=True)
    assert [place.epoch for place in along.places] == pytest.approx([0.4, 0.8, 1.0])
    assert along.places[0].name == "run, epoch 0 and 2 steps"


def test_names_are_the_shortest_ends_that_differ(run, tmp_path):
    for where in ("a/one", "b/one", "b/two"):
        shutil.copytree(run, tmp_path / where, symlinks=True)
    paths = [tmp_path / where for where in ("a/one", "b/one", "b/two")]
    assert [one.label for one in choose(paths)] == ["a/one", "b/one", "b/two"]
    assert [one.label for one in choose(paths[1:])] == ["one", "two"]
    checkpoints = [run / "checkpoints" / name for name in ("epoch0001-step000000", "epoch0002-step000000")]
    assert [one.label for one in choose(checkpoints)] == ["one epoch 1", "one epoch 2"]
    assert [one.label for one in choose(paths[1:], labels=("x", "y"))] == ["x", "y"]


def test_a_directory_may_be_named_from_inside(run, monkeypatch):
    monkeypatch.chdir(run)
    assert choose(["."])[0].label == "one"


def test_what_cannot_be_told_apart_is_refused(run):
    for paths in ([run, run], [run, run / "result.json"], [run, run / "checkpoints" / "epoch0002-step000000"]):
        with pytest.raises(ConfigurationError, match="twice"):
            choose(paths)
    other = run / "checkpoints" / "epoch0001-step000000"
    for labels in (("x",), ("x", "x"), ("x", "y", "z")):
        with pytest.raises(ConfigurationError, match="as many --labels as runs"):
            choose([run, other], labels=labels)
    with pytest.raises(ConfigurationError, match="cannot look at no run"):
        choose([])
    with pytest.raises(ConfigurationError, match="no such file"):
        choose([run.parent / "none"])


def test_a_link_to_a_run_is_that_run(run, tmp_path):
    os.symlink(run, tmp_path / "link")
    with pytest.raises(ConfigurationError, match="twice"):
        choose([run, tmp_path / "link"])
