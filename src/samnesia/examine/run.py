"""Measure runs: each task once, written down as soon as it is done; then the figures and the table.

``measure.json`` holds what was asked for last::

    {
      "schema": 1,
      "samnesia": "...",
      "look": {"split": "train", "samples": 1000, ...},
      "runs": {"sam": {"directory": "runs/sam", "recipe": ..., "method": ..., "seed": ...}},
      "measures": [
        {
          "what": "curvature", "run": "sam", "checkpoints": ["epoch0080-step000000"], "epoch": 80.0,
          "options": {...},                     # of the part
          "checkpoint": {...},                  # of the run: method, seed, radius, what of training is left out
          "looked_at": {...},                   # mode, statistics, samples, order, criterion, precision
          "seconds": 3.2, "passes": 210,
          "values": {...}                       # what was measured; null for what is no finite number
        }, ...
      ],
      "figures": ["figures/curvature.png", ...]
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

from samnesia.examine.bench import Bench, Look
from samnesia.examine.chosen import Chosen
from samnesia.examine.parts import Part
from samnesia.examine.parts.part import Entry, Task
from samnesia.examine.store import FIGURES, SCHEMA, Store, code
from samnesia.perturb.errors import SamnesiaError
from samnesia.train.log import locked

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


def examine(chosen: Sequence[Chosen], parts: Sequence[Part], look: Look, out: Path, watch: Watch) -> Examined:
    """Measure runs, and write down what was found.

    Args:
        chosen: the runs.
        parts: what to measure of them.
        look: which samples are looked at, and how.
        out: directory for it; what has been measured there with the same options is kept.
        watch: who is told how far it is.

    Raises:
        ConfigurationError: for what cannot be read, measured or written.
        SamnesiaError: if nothing that was asked for can be measured of these models; else it is said in ``refused``.
    """
    with _threads(look.threads or chosen[0].run.config.hardware.threads):
        return _examine(chosen, parts, look, out, watch)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _examine(chosen: Sequence[Chosen], parts: Sequence[Part], look: Look, out: Path, watch: Watch) -> Examined:
    store = Store(out)
    tasks = _in_order([task for part in parts for task in part.tasks(chosen)], chosen)
    bench = Bench(look, watch)
    _check_any(chosen, bench)
    store.open()
    measures: list[dict[str, Any]] = []
    refused: list[SamnesiaError] = []
    reused = 0
    with locked(out, what="measurements"):
        watch.start(len(tasks))
        try:
            for task in tasks:
                found, known = _done(task, bench, store, watch, refused)
                reused += known
                measures += [] if found is None else [found]
                content = _content(chosen, look, measures, refused)
                store.write(content)
        finally:
            watch.stop()
        if refused and not measures:
            raise refused[0]
        order = {part.name: number for number, part in enumerate(parts)}
        measures.sort(key=lambda one: order[one["what"]])
        figures = _draw(parts, measures, out)
        content = {
            **_content(chosen, look, measures, refused),
            "figures": [str(path.relative_to(out)) for path in figures],
        }
        store.write(content)
    return Examined(out, content, tuple(map(str, refused)), tuple(figures), reused)


def _check_any(chosen: Sequence[Chosen], bench: Bench) -> None:
    """Where no checkpoint can be looked at, the first one's reason is raised, before anything is written."""
    first: SamnesiaError | None = None
    for place in (place for one in chosen for place in one.places):
        try:
            bench.subject(place)
            return
        except SamnesiaError as error:
            first = first or type(error)(f"{place.name}: {error}")
    if first is not None:
        raise first


def _done(
    task: Task, bench: Bench, store: Store, watch: Watch, refused: list[SamnesiaError]
) -> tuple[dict[str, Any] | None, bool]:
    """The measurement of a task, and whether it was there before; None where it is refused."""
    place = task.places[-1]
    name = f"{task.what} of {task.label if len(task.places) > 1 else place.name}"
    watch.measure(name)
    begun = time.perf_counter()
    about = place.name  # what is wrong with the checkpoint is said once, and not of each measurement
    try:
        key = _key(task, bench.look)
        kept = store.find(task.what, key)
        known = kept is not None
        if kept is None:
            bench.subject(place)
            about, before = name, bench.passes
            values = task.measure(bench)
            seconds, passes = time.perf_counter() - begun, bench.passes - before
            content = {"seconds": seconds, "passes": passes, **bench.describe(place), "values": values}
            kept = store.keep(task.what, key, content)
    except SamnesiaError as error:
        sentence = f"{about}: {error}"
        if sentence not in map(str, refused):
            refused.append(type(error)(sentence))
        watch.refused()
        return None, False
    watch.measured(None if known else time.perf_counter() - begun)
    return {
        "what": task.what,
        "run": task.label,
        "checkpoints": [one.position.name for one in task.places],
        "epoch": place.epoch,
        "options": kept["key"]["options"],
        **{name: value for name, value in kept.items() if name != "key"},
    }, known


def _key(task: Task, look: Look) -> dict[str, Any]:
    """Everything that decides the numbers of a task."""
    return {
        "what": task.what,
        "options": task.options,
        "look": look.decisive,
        "weights": [one.digest for one in task.places],
        "code": code(),
    }


def _in_order(tasks: Sequence[Task], chosen: Sequence[Chosen]) -> list[Task]:
    """Checkpoint by checkpoint, so that each is read once; what is about several comes after its last one."""
    places = {place: number for number, place in enumerate(place for one in chosen for place in one.kept)}
    return sorted(tasks, key=lambda task: max(places[place] for place in task.places))


def _content(
    chosen: Sequence[Chosen], look: Look, measures: Sequence[Mapping[str, Any]], refused: Sequence[SamnesiaError]
) -> dict[str, Any]:
    runs = {
        one.label: {
            "directory": str(one.run.directory),
            "recipe": one.run.config.recipe,
            "seed": one.run.config.seed,
            "config": one.run.config.to_json(),
        }
        for one in chosen
    }
    return {
        "schema": SCHEMA,
        "samnesia": version("samnesia"),
        "look": look.decisive,
        "runs": runs,
        "measures": list(measures),
        "refused": [str(error) for error in refused],
    }


def _draw(parts: Sequence[Part], measures: Sequence[Mapping[str, Any]], out: Path) -> list[Path]:
    from samnesia.measure.figures import save, style

    paths = []
    with style():
        for part in parts:
            entries = [_entry(one) for one in measures if one["what"] == part.name]
            for name, figure in part.figures(entries) if entries else ():
                paths += save(figure, out / FIGURES, name)
    return paths


def _entry(measure: Mapping[str, Any]) -> Entry:
    return Entry(measure["run"], measure["epoch"], measure["values"])
