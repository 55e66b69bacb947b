"""Which runs differ by their seed alone, and stand together in tables and figures."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence

from samnesia.examine.chosen import Chosen
from samnesia.train.parts.methods import method_name


def groups_of(chosen: Sequence[Chosen]) -> dict[str, str]:
    """The name of the group of each run, by its label, in order: its label, where it is the only one of its kind."""
    kinds: dict[str, list[Chosen]] = {}
    for one in chosen:
        kinds.setdefault(_kind(one), []).append(one)
    found: dict[str, str] = {}
    named: set[str] = set()
    for alike in kinds.values():
        seeds = {one.run.config.seed for one in alike}
        if len(alike) == 1 or len(seeds) < len(alike):
            found |= {one.label: one.label for one in alike}
            continue
        taken = named | {one.label for one in chosen if one not in alike}
        name = next(name for name in _names(alike) if name and name not in taken)
        named.add(name)
        found |= {one.label: name for one in alike}
    return {one.label: found[one.label] for one in chosen}


def _kind(one: Chosen) -> str:
    """All that decides its numbers but the seed."""
    last = one.places[-1]
    config = {name: value for name, value in one.run.config.to_json().items() if name != "seed"}
    return json.dumps([config, last.position.name, last.averaged], sort_keys=True)


def _names(alike: Sequence[Chosen]) -> Iterator[str]:
    config, labels = alike[0].run.config, [one.label for one in alike]
    yield method_name(config.method)
    yield re.sub(r"([-_ /]*(seed|s)?[-_ =]*\d*)$", "", os.path.commonprefix(labels))
    yield config.recipe
    number = 1
    while True:
        number += 1
        yield f"{method_name(config.method)} {number}"
