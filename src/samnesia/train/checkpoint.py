"""Checkpoints on disk: whole or not there, checked when read, and the one before is kept.

::

    RUN/checkpoints/epoch0012-step000000/    after 12 epochs and no step of the next one
        model.safetensors                    weights and buffers
        average.safetensors                  those of the average, where there is one
        state.pt                             everything else a run goes on from; read with weights_only=True
        manifest.json                        size and SHA-256 of each file
    RUN/checkpoints/best                     link to the best one
    RUN/checkpoints/damaged-epoch0012-…      what a resumed run could not read, moved out of the way

A checkpoint is written into a directory of another name, flushed to disk, and renamed. Whenever the process is killed
or the disk is full, what was there before is still there.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from samnesia.extras import require
from samnesia.perturb.errors import ConfigurationError, DamagedCheckpointWarning

DIRECTORY = "checkpoints"
MODEL, AVERAGE, STATE, MANIFEST, BEST = (
    "model.safetensors",
    "average.safetensors",
    "state.pt",
    "manifest.json",
    "best",
)
VERSION = 1
_NAME = re.compile(r"epoch(\d{4,})-step(\d{6,})")
_WRITING, _DAMAGED = ".writing-", "damaged-"


@dataclass(frozen=True, order=True)
class Position:
    """A place in training: epochs done, and steps done in the epoch under way."""

    epoch: int
    step: int = 0

    @property
    def name(self) -> str:
        """The name of the checkpoint made there."""
        return f"epoch{self.epoch:04d}-step{self.step:06d}"


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint."""

    position: Position
    model: dict[str, Tensor]
    average: dict[str, Tensor] | None
    state: dict[str, Any]


class Store:
    """The checkpoints of a run directory."""

    def __init__(self, run: Path) -> None:
        self.directory = run / DIRECTORY

    def positions(self) -> list[Position]:
        """The places of training at which checkpoints exist, whole or damaged, in order."""
        if not self.directory.is_dir():
            return []
        matches = (_NAME.fullmatch(path.name) for path in self.directory.iterdir())
        return sorted(Position(int(found[1]), int(found[2])) for found in matches if found)

    def path(self, position: Position) -> Path:
        """The directory of a checkpoint."""
        return self.directory / position.name

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint; when this returns it is on disk.

        Raises:
            ConfigurationError: where the system refuses, because the disk is full, say; nothing else is touched then.
        """
        safetensors = require("safetensors.torch", extra="train")
        target = self.path(checkpoint.position)
        if target.exists():  # the run was stopped where it had begun: this is what it began from
            return
        writing = self.directory / f"{_WRITING}{os.getpid()}"
        try:
            shutil.rmtree(writing, ignore_errors=True)
            writing.mkdir(parents=True)
            entries = {MODEL: _write(writing / MODEL, safetensors.save(checkpoint.model))}
            if checkpoint.average is not None:
                entries[AVERAGE] = _write(writing / AVERAGE, safetensors.save(checkpoint.average))
            entries[STATE] = _write(writing / STATE, _saved(checkpoint.state))
            _write(writing / MANIFEST, json.dumps({"version": VERSION, "files": entries}, indent=1).encode())
            _flush(writing)
            os.rename(writing, target)
            _flush(self.directory)
        except OSError as error:
            shutil.rmtree(writing, ignore_errors=True)
            kept = self.positions()
            survives = f"{kept[-1].name}, made before it, is whole" if kept else "there was none before it"
            raise ConfigurationError(
                f"cannot save the checkpoint {target}, because the system refused: {error.strerror or error}; "
                f"{survives}; make room and go on with: samnesia resume {self.directory.parent}"
            ) from error

    def newest(self) -> Checkpoint | None:
        """Return the latest checkpoint that is whole, or None; damaged ones are said and moved out of the way.

        Warns:
            DamagedCheckpointWarning: for each that is truncated, altered, or otherwise unreadable.
        """
        positions = self.positions()
        for i in reversed(range(len(positions))):
            position = positions[i]
            try:
                return self.read(position)
            except ConfigurationError as error:
                instead = "the one before it is used" if i else "there is none before it, and the run starts again"
                warnings.warn(f"{error}; {instead}", DamagedCheckpointWarning, stacklevel=2)
                damaged = self.directory / f"{_DAMAGED}{position.name}"
                shutil.rmtree(damaged, ignore_errors=True)
                os.rename(self.path(position), damaged)
        return None

    def read(self, position: Position) -> Checkpoint:
        """Read a checkpoint, and check every byte of it.

        Raises:
            ConfigurationError: if a file is missing or is not as it was written.
        """
        safetensors, unreadable = require("safetensors.torch", extra="train"), require("safetensors", extra="train")
        path = self.path(position)
        try:
            manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
            if manifest["version"] != VERSION:
                raise _DamagedFile(f"it is of version {manifest['version']}, and this release reads version {VERSION}")
            files = {name: _read(path / name, entry) for name, entry in manifest["files"].items()}
            return Checkpoint(
                position,
                model=safetensors.load(files[MODEL]),
                average=safetensors.load(files[AVERAGE]) if AVERAGE in files else None,
                state=_loaded(files[STATE]),
            )
        except OSError as error:
            reason = f"{Path(error.filename or path).name} cannot be read ({error.strerror})"
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            reason = str(error) if isinstance(error, _DamagedFile) else f"{MANIFEST} is not as it was written"
        except (UnpicklingError, EOFError, RuntimeError, unreadable.SafetensorError) as error:
            # checksums agree, and yet it is nothing that was saved here: code, say, which is not run
            reason = f"it holds what no checkpoint does ({type(error).__name__})"
        raise ConfigurationError(f"cannot use the checkpoint {path}, because {reason}")

    def mark_best(self, position: Position) -> None:
        """Let ``best`` lead to this checkpoint."""
        link = self.directory / f"{_WRITING}best"
        link.unlink(missing_ok=True)
        link.symlink_to(position.name)
        os.replace(link, self.directory / BEST)

    @property
    def best(self) -> Position | None:
        """The place of the best checkpoint, if one is marked."""
        link = self.directory / BEST
        found = _NAME.fullmatch(os.readlink(link)) if link.is_symlink() else None
        return Position(int(found[1]), int(found[2])) if found else None

    def prune(self, *, last: int, keep: Iterable[Position]) -> None:
        """Remove all but the latest ``last``, the best, and those to keep."""
        positions = self.positions()
        kept = {*positions[-last:], *keep, self.best}
        for position in positions:
            if position not in kept:
                shutil.rmtree(self.path(position))

    def tidy(self) -> None:
        """Remove what a killed process has left half written."""
        if self.directory.is_dir():
            for left in self.directory.glob(f"{_WRITING}*"):
                left.unlink() if left.is_symlink() else shutil.rmtree(left)


class _DamagedFile(ValueError):
    """What is wrong with a file, as the end of a sentence."""


def _saved(state: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getvalue()


def _loaded(content: bytes) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Detected pickle protocol")  # it is refused, then
        state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return state


def _write(path: Path, content: bytes) -> dict[str, Any]:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _read(path: Path, entry: Mapping[str, Any]) -> bytes:
    content = path.read_bytes()
    if len(content) != entry["bytes"]:
        raise _DamagedFile(f"{path.name} has {len(content)} bytes where {entry['bytes']} were written")
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise _DamagedFile(f"{path.name} was altered: its checksum is not that of what was written")
    return content


def _flush(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
