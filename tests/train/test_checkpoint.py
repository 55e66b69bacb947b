"""Checkpoints: on disk whole or not at all, and no more of them than asked for."""

import builtins
import errno
import io
import os

import pytest
import torch

from samnesia.perturb.errors import ConfigurationError
from samnesia.train import log
from samnesia.train.checkpoint import Checkpoint, Position, Store
from samnesia.train.config import EMA, Checkpoints, Evaluation
from samnesia.train.loop import resume, train
from tests.train.small import config, lines, quietly, trained


def checkpoint(epoch, step=0, average=None):
    model = {"weight": torch.randn(3, 2, dtype=torch.float64), "count": torch.tensor(7)}
    state = {"rows": [{"epoch": 0, "loss": 0.1}], "optimizer": {"momentum": torch.randn(2)}, "journal": {}}
    return Checkpoint(Position(epoch, step), model, average, state)


def names(store):
    return sorted(path.name for path in store.directory.iterdir())


@pytest.mark.parametrize("average", [None, {"weight": torch.ones(3)}])
def test_what_is_saved_is_read_as_it_was(tmp_path, average):
    store, saved = Store(tmp_path), checkpoint(3, 12, average)
    store.save(saved)
    read = store.newest()
    assert read.position == saved.position
    for name, value in saved.model.items():
        assert torch.equal(read.model[name], value) and read.model[name].dtype == value.dtype
    assert (read.average is None) == (average is None)
    assert average is None or torch.equal(read.average["weight"], average["weight"])
    assert read.state["rows"] == saved.state["rows"]
    assert torch.equal(read.state["optimizer"]["momentum"], saved.state["optimizer"]["momentum"])
    expected = {"model.safetensors", "state.pt", "manifest.json"} | ({"average.safetensors"} if average else set())
    assert {path.name for path in store.path(saved.position).iterdir()} == expected


def test_where_there_is_none_there_is_none(tmp_path):
    assert (Store(tmp_path).newest(), Store(tmp_path).best, Store(tmp_path).positions()) == (None, None, [])


def test_the_newest_is_the_furthest_in_training(tmp_path):
    store = Store(tmp_path)
    for position in [(2, 0), (10, 1), (9, 99), (10, 0), (0, 123456)]:
        store.save(checkpoint(*position))
    assert store.newest().position == Position(10, 1)
    assert store.positions() == [Position(*p) for p in [(0, 123456), (2, 0), (9, 99), (10, 0), (10, 1)]]


def test_beyond_the_width_of_their_names_they_are_in_order(tmp_path):
    store = Store(tmp_path)
    for position in [(9_999, 0), (10_000, 0), (3, 1_000_000), (3, 999_999)]:
        store.save(checkpoint(*position))
    expected = [Position(3, 999_999), Position(3, 1_000_000), Position(9_999), Position(10_000)]
    assert store.positions() == expected


def test_the_name_appears_when_all_of_it_is_on_disk(tmp_path, monkeypatch):
    """Every file is flushed before the rename, and the directory that holds the name after it."""
    store, events = Store(tmp_path), []
    fsync, rename = os.fsync, os.rename

    def flushed(handle):
        events.append(os.readlink(f"/proc/self/fd/{handle}").rpartition("/")[2])
        assert not store.path(Position(1)).exists() or events[-1] == "checkpoints"
        fsync(handle)

    def renamed(source, target):
        assert {path.name for path in source.iterdir()} == {"model.safetensors", "state.pt", "manifest.json"}
        events.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "rename", renamed)
    store.save(checkpoint(1))
    writing = f".writing-{os.getpid()}"
    assert events == ["model.safetensors", "state.pt", "manifest.json", writing, "rename", "checkpoints"]


def test_what_a_killed_process_has_left_is_removed_and_nothing_else(tmp_path):
    store = Store(tmp_path)
    store.save(checkpoint(1))
    store.mark_best(Position(1))
    half = store.directory / ".writing-4711"
    half.mkdir()
    (half / "model.safetensors").write_text("half")
    (store.directory / ".writing-best").symlink_to("epoch0009-step000000")
    (store.directory / "damaged-epoch0002-step000000").mkdir()
    (store.directory / "notes.txt").write_text("mine")
    store.tidy()
    assert names(store) == ["best", "damaged-epoch0002-step000000", "epoch0001-step000000", "notes.txt"]


def test_pruning_keeps_the_last_the_best_and_those_to_keep(tmp_path):
    store = Store(tmp_path)
    for epoch in range(8):
        store.save(checkpoint(epoch))
        store.save(checkpoint(epoch, 5))
    store.mark_best(Position(3, 5))
    store.prune(last=3, keep=[Position(0), Position(5), Position(99)])
    expected = [Position(0), Position(3, 5), Position(5), Position(6, 5), Position(7), Position(7, 5)]
    assert store.positions() == expected
    assert store.best == Position(3, 5)
    store.mark_best(Position(7))
    store.prune(last=1, keep=[])
    assert store.positions() == [Position(7), Position(7, 5)]
    assert (store.directory / "best").resolve() == store.path(Position(7)).resolve()


def test_a_run_leaves_the_checkpoints_that_were_asked_for(tmp_path):
    saving = Checkpoints(every_epochs=2, every_steps=2, last=2, best=False, keep_epochs=(0, 1, 3))
    trained(config(epochs=5, checkpoints=saving), tmp_path / "run")
    # 1 and 3 because they are kept, 5 because it is the end; the steps 2 and 4 of epochs, but only the last ones
    expected = [Position(0), Position(1), Position(3), Position(4, 4), Position(5)]
    assert Store(tmp_path / "run").positions() == expected
    assert Store(tmp_path / "run").best is None


def test_the_best_checkpoint_is_that_of_the_best_epoch(tmp_path):
    result = trained(config(epochs=6, checkpoints=Checkpoints(every_epochs=None, last=1)), tmp_path / "run")
    store = Store(tmp_path / "run")
    assert store.best == Position(result.best["epoch"] + 1)
    assert store.positions() == sorted({store.best, Position(6)})
    rows = store.read(store.best).state["rows"]
    assert rows[-1] == result.best


def test_only_evaluated_epochs_can_be_best(tmp_path):
    run_config = config(epochs=5, evaluation=Evaluation(every_epochs=2), checkpoints=Checkpoints(last=9))
    result = trained(run_config, tmp_path / "run")
    assert result.curves["epoch"] == [1, 3, 4]
    assert Store(tmp_path / "run").best.epoch in (2, 4, 5)


def test_the_average_is_saved_beside_the_weights(tmp_path):
    trained(config(average=EMA(decay=0.9, start_epoch=1.5)), tmp_path / "run")
    store = Store(tmp_path / "run")
    assert [store.read(Position(epoch)).average is None for epoch in (1, 2, 3)] == [True, False, False]
    last = store.read(Position(3))
    assert last.average.keys() == last.model.keys()
    assert not torch.equal(last.average["5.weight"], last.model["5.weight"])


class Limited(io.BufferedWriter):
    """A file that takes half of what is written, once its disk is full."""

    left = 0

    def write(self, content):
        Limited.left -= 1
        if Limited.left < 0:
            super().write(bytes(content)[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(content)


@pytest.fixture
def full_after(monkeypatch):
    """Let writes to files whose paths contain a text fail, from the n-th on."""
    plain_open = builtins.open

    def fill(text, writes):
        Limited.left = writes

        def limited(file, mode="r", *arguments, **options):
            if "r" in mode or str(text) not in str(file):
                return plain_open(file, mode, *arguments, **options)
            writer = Limited(io.FileIO(file, mode.replace("b", "")))
            return writer if "b" in mode else io.TextIOWrapper(writer, encoding="utf-8", write_through=True)

        monkeypatch.setattr(builtins, "open", limited)

    return fill


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_full_disk_is_said_and_the_checkpoint_before_is_whole(tmp_path, full_after, writes):
    store, first = Store(tmp_path), checkpoint(1)
    store.save(first)
    full_after(tmp_path, writes)
    with pytest.raises(ConfigurationError) as caught:
        store.save(checkpoint(2))
    sentence = str(caught.value)
    assert sentence.startswith(f"cannot save the checkpoint {store.path(Position(2))}, because the system refused: No ")
    assert "epoch0001-step000000, made before it, is whole; make room and go on with: samnesia resume" in sentence
    assert names(store) == ["epoch0001-step000000"]
    assert torch.equal(store.newest().model["weight"], first.model["weight"])


def test_a_full_disk_before_the_first_checkpoint_is_said(tmp_path, full_after):
    full_after(tmp_path, 0)
    with pytest.raises(ConfigurationError, match="there was none before it; make room"):
        Store(tmp_path).save(checkpoint(1))
    assert names(Store(tmp_path)) == []


def test_a_directory_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(ConfigurationError, match="^cannot save the checkpoint .*, because the system refused"):
        Store(tmp_path).save(checkpoint(1))


PLACES = [("steps.jsonl", 0), ("steps.jsonl", 7), ("metrics.jsonl", 0), ("metrics.jsonl", 1), ("manifest", 0),
          ("state", 1), ("result.json", 0), ("result.json", 30)]  # fmt: skip


@pytest.mark.parametrize(("name", "writes"), PLACES)
def test_a_run_on_a_disk_that_fills_up_goes_on_when_there_is_room(tmp_path, full_after, monkeypatch, name, writes):
    run_config = config(epochs=2)
    whole = trained(run_config, tmp_path / "whole")
    run = tmp_path / "run"
    full_after(name, writes)
    with pytest.raises(ConfigurationError, match=r"^cannot .*, because the system refused: No space left on device; "):
        train(run_config, run)
    monkeypatch.undo()
    assert not (run / "result.json").exists()
    result = quietly(resume, run)
    assert result.curves == whole.curves
    assert lines(run / "steps.jsonl") == lines(tmp_path / "whole" / "steps.jsonl")
    assert lines(run / "metrics.jsonl") == lines(tmp_path / "whole" / "metrics.jsonl")
    assert log.read_result(run) == result
