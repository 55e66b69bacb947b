"""Examine runs: each task once, written down as soon as it is done; then the figures and the table.

``measure.json``, or ``evaluate.json``, holds what was asked for last::

    {
      "schema": 1,
      "samnesia": "...",
      "look": {"split": "train", "samples": 1000, ...},
      "runs": {"sam": {"directory": "runs/sam", "recipe": ..., "method": ..., "seed": ...}},
      "measures": [
        {
          "what": "curvature", "run": "sam", "checkpoints": ["epoch0080-step000000"], "epoch": 80.0,
          "group": "sam",                       # its label, or what it is called with the others of its seeds
          "options": {...},                     # of the part
          "checkpoint": {...},                  # of the run: method, seed, radius, what of training is left out
          "looked_at": {...},                   # mode, statistics, samples, order, criterion, precision
          "seconds": 3.2, "passes": 210,
          "values": {...}                       # what was measured; null for what is no finite number
        }, ...
      ],
      "left_out": [],                           # what does not apply, and why
      "refused": [],                            # what could not be done, in sentences
      "figures": ["figures/curvature.png", ...],
      "drawn": {"curvature": ["curvature"]}     # names of the figures of each part
    }
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samnesia.examine.bench import Look
from samnesia.examine.chosen import Chosen
from samnesia.examine.groups import groups_of
from samnesia.examine.parts import Part
from samnesia.examine.parts.part import Entry, Task
from samnesia.examine.purpose import MEASURING, Purpose
from samnesia.examine.store import FIGURES, SCHEMA, Store, code, plain
from samnesia.perturb.errors import ConfigurationError, SamnesiaError

if TYPE_CHECKING:
    from samnesia.examine.watch import Watch


@dataclass(frozen=True)
class Examined:
    """What was measured.

    Attributes:
        out: where it lies.
        content: of ``measure.json``.
        refused: what cannot be measured of these models, a sentence each.
        figures: files that were drawn.
        reused: how many of the measurements had been there before.
    """

    out: Path
    content: dict[str, Any]
    refused: tuple[str, ...]
    figures: tuple[Path, ...]
    reused: int

    def entries(self, what: str) -> list[Entry]:
        """What was measured of a kind."""
        return [_entry(one) for one in self.content["measures"] if one["what"] == what]


def examine(
    chosen: Sequence[Chosen],
    parts: Sequence[Part],
    look: Look,
    out: Path,
    watch: Watch,
    purpose: Purpose = MEASURING,
) -> Examined:
    """Examine runs, and write down what was found.

    Args:
        chosen: the runs.
        parts: what to measure of them.
        look: which samples are looked at, and how.
        out: directory for it; what has been measured there with the same options is kept.
        watch: who is told how far it is.
        purpose: what it is done for.

    Raises:
        ConfigurationError: for what cannot be read, measured or written.
        SamnesiaError: if nothing that was asked for can be measured of these models; else it is said in ``refused``.
    """
    with _threads(look.threads or chosen[0].run.config.hardware.threads):
        return _Round(chosen, parts, look, out, watch, purpose).done()


@contextmanager
def _threads(count: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Round:
    """One call of the command: what it has found so far."""

    def __init__(
        self, chosen: Sequence[Chosen], parts: Sequence[Part], look: Look, out: Path, watch: Watch, purpose: Purpose
    ) -> None:
        self.chosen, self.parts, self.look, self.out, self.watch = chosen, parts, look, out, watch
        self.purpose = purpose
        self.store, self.bench = Store(out, purpose), purpose.bench(look, watch)
        self.groups = groups_of(chosen)
        self.measures: list[dict[str, Any]] = []
        self.refused: list[SamnesiaError] = []
        self.left_out: list[dict[str, str]] = []
        self.reused = 0

    def done(self) -> Examined:
        """Do each task, and draw what was found."""
        tasks = _in_order([task for part in self.parts for task in part.tasks(self.chosen)], self.chosen)
        self._check_any()
        self.store.open()
        with self.store.held():
            self.watch.start(len(tasks))
            try:
                for task in tasks:
                    self._do(task)
                    self.store.write(self._content())
            finally:
                self.watch.stop()
            if not self.measures:
                self._refuse_nothing()
            order = {part.name: number for number, part in enumerate(self.parts)}
            self.measures.sort(key=lambda one: order[one["what"]])
            content = self._content()
            drawn = _drawn(self.parts, self.measures, self.out) if self.purpose.company.leads else {}
            paths = [path for found in drawn.values() for path in found]
            content |= {
                "figures": [str(path.relative_to(self.out)) for path in paths],
                "drawn": {name: list(dict.fromkeys(path.stem for path in found)) for name, found in drawn.items()},
                **self.purpose.summary(content),
            }
            self.store.write(content)
        return Examined(self.out, plain(content), tuple(map(str, self.refused)), tuple(paths), self.reused)

    def _check_any(self) -> None:
        """Where no checkpoint can be looked at, the first one's reason is raised, before anything is written."""
        first: SamnesiaError | None = None
        for place in (place for one in self.chosen for place in one.places):
            try:
                self.bench.prepare(place)
                return
            except SamnesiaError as error:
                first = first or type(error)(f"{place.name}: {error}")
        if first is not None:
            raise first

    def _refuse_nothing(self) -> None:
        if self.refused:
            raise self.refused[0]
        why = "; ".join(dict.fromkeys(f"{one['what']}: {one['why']}" for one in self.left_out))
        raise ConfigurationError(
            f"cannot {self.purpose.verb} {', '.join(one.label for one in self.chosen)}, because nothing applies to "
            f"this model and its data ({why}); choose another run"
        )

    def _do(self, task: Task) -> None:
        """The measurement of a task, if it was not there before."""
        place = task.places[-1]
        name = f"{task.what} of {task.label if len(task.places) > 1 else place.name}"
        self.watch.measure(name)
        begun = time.perf_counter()
        about = place.name  # what is wrong with the checkpoint is said once, and not of each measurement
        try:
            key = self._key(task)
            kept = self.store.find(task.what, key)
            known = kept is not None
            if kept is None:
                self.bench.prepare(place)
                about, before = name, self.bench.passes
                if self._leave_out(task):
                    return
                values = task.measure(self.bench)
                seconds, passes = time.perf_counter() - begun, self.bench.passes - before
                content = {"seconds": seconds, "passes": passes, **self.bench.describe(place), "values": values}
                kept = self.store.keep(task.what, key, content)
        except SamnesiaError as error:
            sentence = f"{about}: {error}"
            if sentence not in map(str, self.refused):
                self.refused.append(type(error)(sentence))
            self.watch.refused(f"cannot be {self.purpose.done}")
            return
        self.watch.measured(None if known else time.perf_counter() - begun)
        self.reused += known
        self.measures.append(self._measure(task, kept))

    def _leave_out(self, task: Task) -> bool:
        """Whether it does not apply; raises ConfigurationError where it was asked for by name."""
        why = task.against(self.bench.loaded(task.places[-1]))
        if why is None:
            return False
        if self.purpose.named:
            raise ConfigurationError(
                f"cannot {self.purpose.verb} {task.what}, because {why}; leave {task.what} out, or choose another run"
            )
        self.left_out.append({"what": task.what, "run": task.label, "why": why})
        self.watch.refused(f"left out, because {why}")
        return True

    def _measure(self, task: Task, kept: Mapping[str, Any]) -> dict[str, Any]:
        place = task.places[-1]
        return {
            "what": task.what,
            "run": task.label,
            "group": self.groups.get(task.label, task.label),
            "checkpoints": [one.position.name for one in task.places],
            "epoch": place.epoch,
            "stage": place.run.stage(place.position),
            "options": kept["key"]["options"],
            **{name: value for name, value in kept.items() if name != "key"},
        }

    def _key(self, task: Task) -> dict[str, Any]:
        """Everything that decides the numbers of a task."""
        return {
            "what": task.what,
            "options": task.options,
            "look": self.look.decisive,
            "weights": [one.digest for one in task.places],
            "code": code(self.purpose.rooms),
        }

    def _content(self) -> dict[str, Any]:
        runs = {
            one.label: {
                "directory": str(one.run.directory),
                "recipe": one.run.config.recipe,
                "seed": one.run.config.seed,
                "group": self.groups[one.label],
                "config": one.run.config.to_json(),
            }
            for one in self.chosen
        }
        return {
            "schema": SCHEMA,
            "samnesia": version("samnesia"),
            "look": self.look.decisive,
            "runs": runs,
            "measures": list(self.measures),
            "left_out": list(self.left_out),
            "refused": [str(error) for error in self.refused],
        }


def _in_order(tasks: Sequence[Task], chosen: Sequence[Chosen]) -> list[Task]:
    """Checkpoint by checkpoint, so that each is read once; what is about several comes after its last one."""
    places = {place: number for number, place in enumerate(place for one in chosen for place in one.kept)}
    return sorted(tasks, key=lambda task: max(places[place] for place in task.places))


def _drawn(parts: Sequence[Part], measures: Sequence[Mapping[str, Any]], out: Path) -> dict[str, list[Path]]:
    from samnesia.measure.figures import save, style

    paths: dict[str, list[Path]] = {}
    with style():
        for part in parts:
            entries = [_entry(one) for one in measures if one["what"] == part.name]
            for name, figure in part.figures(entries) if entries else ():
                paths.setdefault(part.name, []).extend(save(figure, out / FIGURES, name))
    return paths


def _entry(measure: Mapping[str, Any]) -> Entry:
    return Entry(measure["run"], measure["epoch"], measure["values"], measure["group"])
