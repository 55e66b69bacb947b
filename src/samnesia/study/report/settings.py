"""The settings of a study's runs: what all share, and which factor decides the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from samnesia.study.measured import TRAINING
from samnesia.study.report.contexts import Grid
from samnesia.train.plain import flatten

NAMES = ("kind", "recipe", "seed")
"""Settings that name a run and do not decide it."""
ABSENT = object()


@dataclass(frozen=True)
class Settings:
    """Settings with dotted names.

    Attributes:
        shared: what all runs have in common.
        by_factor: by factor and level, what the level alone decides.
        mixed: names of what several factors decide together.
    """

    shared: Mapping[str, Any] = field(default_factory=dict)
    by_factor: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    mixed: tuple[str, ...] = ()


def settings_of(grid: Grid) -> Settings:
    """The settings of the finished cells, whose runs differ by their seed alone."""
    cells = [(levels, _flat(row["config"])) for levels in grid.design.cells()
             for row in list(grid.finished(levels).values())[:1]]  # fmt: skip
    names = list(dict.fromkeys(name for _, config in cells for name in config))
    shared = {name: config[name] for _, config in cells[:1] for name in config
              if all(other.get(name, ABSENT) == config[name] for _, other in cells)}  # fmt: skip
    factors = [grid.design.compared, *(name for name in grid.varied() if name != grid.design.compared)]
    by_factor: dict[str, dict[str, dict[str, Any]]] = {}
    mixed = []
    for name in names:
        if name in shared:
            continue
        decides = next((factor for factor in factors if _decides(factor, name, cells)), None)
        if decides is None:
            mixed.append(name)
            continue
        for levels, config in cells:
            level = by_factor.setdefault(decides, {}).setdefault(levels[decides], {})
            if name in config:
                level[name] = config[name]
    return Settings(shared, by_factor, tuple(mixed))


def run_settings(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration of a cell's training, in the settings of work that does more; else the settings."""
    found: Mapping[str, Any] = settings.get(TRAINING, settings)
    return found if isinstance(found, Mapping) else settings


def _flat(text: str) -> dict[str, Any]:
    plain = json.loads(text)
    run = run_settings(plain)
    others = {} if run is plain else {name: value for name, value in plain.items() if name != TRAINING}
    return {name: value for name, value in flatten({**run, **others}).items() if name not in NAMES}


def _decides(factor: str, name: str, cells: Sequence[tuple[Mapping[str, str], Mapping[str, Any]]]) -> bool:
    found: dict[str, Any] = {}
    return all(
        found.setdefault(levels[factor], config.get(name, ABSENT)) == config.get(name, ABSENT)
        for levels, config in cells
    )
