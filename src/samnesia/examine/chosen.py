"""Which checkpoints of which runs are looked at, and what they are called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from samnesia.perturb.errors import ConfigurationError
from samnesia.train.checkpoint import Position
from samnesia.train.loaded import SavedRun, find
from samnesia.train.log import CONFIG

if TYPE_CHECKING:
    import torch

    from samnesia.train.config import RunConfig
    from samnesia.train.loaded import Loaded

CELLS = "cells"
"""Where a study has its runs."""


class Entrant(Protocol):
    """What is looked at: a run on disk (:class:`samnesia.train.loaded.SavedRun`), or what stands for one."""

    directory: Path
    config: RunConfig
    positions: tuple[Position, ...]

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of an epoch."""

    def stage(self, position: Position) -> str:
        """How far it had come there, in words."""

    def digest(self, position: Position, *, averaged: bool = False) -> str:
        """What stands for weights and configuration."""

    def load(self, position: Position, *, averaged: bool = False, device: str | torch.device | None = None) -> Loaded:
        """Read a checkpoint."""


@dataclass(frozen=True, eq=False)
class Place:
    """A checkpoint of a run."""

    label: str
    run: Entrant
    position: Position
    averaged: bool

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.label}, {self.run.stage(self.position)}"

    @property
    def epoch(self) -> float:
        """How many epochs it had been trained for, with the share of the one under way."""
        epoch, step = self.position.epoch, self.position.step
        return epoch + (step / self.run.steps_per_epoch if step else 0.0)

    @property
    def digest(self) -> str:
        """Of its weights and the configuration of the run."""
        return self.run.digest(self.position, averaged=self.averaged)


@dataclass(frozen=True, eq=False)
class Chosen:
    """A run, by what it is called in tables and figures."""

    label: str
    run: Entrant
    places: tuple[Place, ...]
    """The checkpoints to look at, in order; the last one stands for the run."""
    kept: tuple[Place, ...]
    """All that were kept until then: its trajectory."""


Find = Callable[[str | Path], tuple[Entrant, Position]]
"""From what a user names to the run and the checkpoint that it means."""


def choose(
    paths: Sequence[str | Path],
    *,
    along: bool = False,
    averaged: bool = False,
    labels: Sequence[str] = (),
    find: Find | None = None,
) -> list[Chosen]:
    """Find the runs and checkpoints that paths name.

    Args:
        paths: of runs (their last checkpoint) or checkpoints; checkpoints of one run may be given one by one.
        along: look at all checkpoints that each run has kept, until the one that is named.
        averaged: at the averages of the weights.
        labels: what to call them, one for each path; none names them after their directories.
        find: what a path means; None is a run or a checkpoint.

    Raises:
        ConfigurationError: for a path that is no run or checkpoint, one that is given twice, or labels that do not
            name each path by a name of its own.
    """
    if not paths:
        raise ConfigurationError(
            "cannot look at no run, because there would be nothing to look at; name the directory of a run, or "
            "one of its checkpoints"
        )
    found = [(find or find_run)(path) for path in paths]
    _check_once([(run.directory.resolve(), position) for run, position in found], paths)
    names = list(labels) or _names([(run.directory, position) for run, position in found])
    if len(names) != len(found) or len(set(names)) != len(names):
        raise ConfigurationError(
            f"cannot call {len(found)} runs {', '.join(names)}, because each requires a name of its own; give as many "
            "--labels as runs"
        )
    chosen = []
    for (run, last), label in zip(found, names, strict=True):
        kept = tuple(Place(label, run, p, averaged) for p in run.positions if p <= last)
        chosen.append(Chosen(label, run, kept if along else kept[-1:], kept))
    return chosen


def find_run(path: str | Path) -> tuple[SavedRun, Position]:
    """The run and the checkpoint; a study is pointed to its cells."""
    path = Path(path)
    cells = sorted(cell for cell in (path / CELLS).glob("*") if cell.is_dir())
    if cells and not (path / CONFIG).exists():
        raise ConfigurationError(
            f"cannot look at {path}, because it is a study, whose {len(cells)} runs are in {path / CELLS}; name those "
            f"that are meant, such as {cells[0]}"
        )
    return find(path)


def _check_once(found: Sequence[tuple[Path, Position]], paths: Sequence[str | Path]) -> None:
    for index, one in enumerate(found):
        if one in found[:index]:
            raise ConfigurationError(
                f"cannot look at {paths[index]} twice, because the second would say what the first does; name it once"
            )


def _names(found: Sequence[tuple[Path, Position]]) -> list[str]:
    """The shortest ends of the directories' paths that tell them apart; checkpoints of one run by their epochs."""
    directories = [directory.resolve() for directory, _ in found]
    different = list(dict.fromkeys(directories))
    length = 1
    while len({path.parts[-length:] for path in different}) < len(different):
        length += 1
    names = []
    for directory, (_, position) in zip(directories, found, strict=True):
        name = "/".join(directory.parts[-length:])
        several = directories.count(directory) > 1
        step = f" step {position.step}" if position.step else ""
        names.append(f"{name} epoch {position.epoch}{step}" if several else name)
    return names
