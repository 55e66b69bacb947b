"""What an epoch of each arm takes on this machine: measured before a study of equal seconds, and written down in it.

Of each arm one epoch is measured in which every step is perturbed, and one in which none is: the seconds of any
schedule follow from its number of perturbed steps. Arms are measured in turn, round after round, so that a machine that
becomes slower is slower for all of them, and medians are taken. Saving is left out.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from samnesia.perturb.errors import IdleScheduleWarning, RunStopped, TrainingCollapsedWarning
from samnesia.train.config import RunConfig
from samnesia.train.log import Row
from samnesia.train.observers import Observer
from samnesia.train.parts.checks import MOST_EPOCHS
from samnesia.train.parts.methods import Unperturbed
from samnesia.train.parts.saving import Logging
from samnesia.train.parts.when import Perturbed

Probe = Callable[[RunConfig], float]
"""Trains a while and returns the seconds of one epoch, evaluation included."""

ROUNDS = 5
LEAST_SECONDS = 0.3
"""Epochs are measured until so much time is over, one at least."""


@dataclass(frozen=True)
class Calibration:
    """Seconds per epoch of arms.

    Attributes:
        arms: what each arm was when it was measured, as plain JSON values without the seed.
        perturbed: seconds of an epoch in which every step is perturbed, a number per round.
        plain: those of an epoch without perturbation.
    """

    arms: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    perturbed: Mapping[str, list[float]] = field(default_factory=dict)
    plain: Mapping[str, list[float]] = field(default_factory=dict)

    @staticmethod
    def of(memory: Mapping[str, Any]) -> Calibration:
        """What was measured before; nothing, of an empty memory."""
        return Calibration(**{name: memory[name] for name in ("arms", "perturbed", "plain") if name in memory})

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {"arms": dict(self.arms), "perturbed": dict(self.perturbed), "plain": dict(self.plain)}

    def extended(self, arms: Mapping[str, RunConfig], probe: Probe) -> Calibration:
        """With the arms that are not there yet measured as well."""
        missing = {name: config for name, config in arms.items() if name not in self.arms}
        if not missing:
            return self
        probes = {_probed(config, plain=plain): list[float]() for config in missing.values() for plain in (True, False)}
        for _ in range(ROUNDS):
            for probed, seconds in probes.items():
                seconds.append(probe(probed))
        return Calibration(
            {**self.arms, **{name: _without_seed(config) for name, config in missing.items()}},
            {**self.perturbed, **{name: probes[_probed(config, plain=False)] for name, config in missing.items()}},
            {**self.plain, **{name: probes[_probed(config, plain=True)] for name, config in missing.items()}},
        )

    def knows_others(self, arms: Mapping[str, RunConfig]) -> list[str]:
        """Names of the arms that were something else when they were measured."""
        return [name for name in self.arms if name in arms and self.arms[name] != _without_seed(arms[name])]

    def seconds(self, name: str, config: RunConfig, steps_per_epoch: int) -> float:
        """Seconds of a whole run of an arm."""
        plain, perturbed = statistics.median(self.plain[name]), statistics.median(self.perturbed[name])
        share = config.perturbed_steps(steps_per_epoch) / (config.epochs * steps_per_epoch)
        return config.epochs * (plain + share * (perturbed - plain))


def _probed(config: RunConfig, *, plain: bool) -> RunConfig:
    """What is trained for the seconds of an epoch: arms that differ in nothing else share the one without."""
    return replace(
        config,
        recipe="calibration",
        method=Unperturbed() if plain and not isinstance(config.method, Unperturbed) else config.method,
        when=Perturbed(),
        epochs=MOST_EPOCHS,  # it is stopped
        logging=Logging(every_steps=config.logging.every_steps),
    )


def _without_seed(config: RunConfig) -> dict[str, Any]:
    return {name: value for name, value in config.to_json().items() if name != "seed"}


def seconds_per_epoch(config: RunConfig, *, clock: Callable[[], float] = time.perf_counter) -> float:
    """Train until an epoch is measured, after one that is not: it has first-time costs in it."""
    from samnesia.train.loop import train

    watch = _Watch(clock)
    with warnings.catch_warnings():
        for category in (TrainingCollapsedWarning, IdleScheduleWarning):
            warnings.simplefilter("ignore", category)
        try:
            train(config, observers=[watch], stop=watch.enough)
        except RunStopped:
            pass
    return watch.seconds


class _Watch(Observer):
    """Looks at the clock whenever an epoch has ended and was evaluated."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._ends = clock, list[tuple[int, float]]()

    def epoch(self, row: Row) -> None:
        self._ends.append((row["epoch"], self._clock()))

    def enough(self) -> bool:
        return len(self._ends) > 1 and self._ends[-1][1] - self._ends[0][1] >= LEAST_SECONDS

    @property
    def seconds(self) -> float:
        (first, start), (last, end) = self._ends[0], self._ends[-1]
        return (end - start) / (last - first)
