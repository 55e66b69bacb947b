"""More or fewer reported seeds than a study has of its own."""

from __future__ import annotations

from dataclasses import replace
from itertools import count, islice

from samnesia.study.design import Study
from samnesia.train.parts.checks import require


def with_seeds(study: Study, number: int | None) -> Study:
    """The study with so many reported seeds: its own first, then those after the highest that it was not tuned on.

    Raises:
        ConfigurationError: for a number below 1.
    """
    if number is None:
        return study
    require(number >= 1, f"cannot run with {number} seeds, because nothing would run; use 1 or more")
    design = study.design
    more = (seed for seed in count(max(design.seeds) + 1) if seed not in design.tuning_seeds)
    seeds = (*design.seeds, *islice(more, max(number - len(design.seeds), 0)))[:number]
    return replace(study, design=replace(design, seeds=seeds))
