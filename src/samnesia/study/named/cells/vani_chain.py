"""Train, measure, test on other images and fine-tune, as the work of one cell.

::

    CELL/pretraining/    the run and what was measured of it, as a Measured leaves them
    CELL/plain/          pretraining without a perturbation, where something is fine-tuned from it
    CELL/NAME/           fine-tuning of this name
    CELL/result.json     what came out of all of them, written last

What has finished in a cell that was killed is not run again.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.measured import TRAINING, Look, Measured
from samnesia.study.training import Training
from samnesia.study.work import Outcome, Work
from samnesia.train.config import RunConfig
from samnesia.train.log import RESULT, write_json
from samnesia.train.parts.checks import require
from samnesia.train.plain import differences

PRETRAINING, PLAIN = "pretraining", "plain"
KEPT = ("last.test_accuracy", "last.test_loss", "best.test_accuracy", "seconds")
"""What is kept of a fine-tuning, behind its name."""


@dataclass(frozen=True)
class Tuning:
    """A run that starts from the weights of another, with a new head."""

    name: str
    """Of its directory, and before its values: ``after.last.test_accuracy``."""
    config: RunConfig
    """The run, as if it began with random weights."""
    plain: RunConfig | None = None
    """The run that it starts from; None is the pretraining of the cell."""

    def starting_from(self, directory: Path) -> RunConfig:
        """The run from the final weights in this directory."""
        model: Any = self.config.model
        return replace(self.config, model=replace(model, weights=str(directory), new_head=True))


@dataclass(frozen=True)
class Scratch(Tuning):
    """The same run from random weights: what is left without a pretraining."""

    def starting_from(self, directory: Path) -> RunConfig:
        """The run as it is."""
        return self.config


@dataclass(frozen=True)
class Chain:
    """Pretrain, measure the final weights, test them on images of other kinds, and fine-tune on other data.

    Values are those of the pretraining (:class:`samnesia.study.measured.Measured`), those of the test sets
    (:mod:`samnesia.study.named.cells.vani_robustness`), and of each fine-tuning some behind its name.
    """

    pretraining: Measured
    """The first run, and what is measured of it."""
    robustness: tuple[Look, ...] = ()
    """Test sets of images that are not as those of training."""
    tunings: tuple[Tuning, ...] = ()
    """What follows."""

    @property
    def config(self) -> RunConfig:
        """The first run."""
        return self.pretraining.config

    @property
    def runs(self) -> list[RunConfig]:
        """All runs of the cell, those that several need once."""
        runs = [self.config, *(one.plain for one in self.tunings if one.plain), *(one.config for one in self.tunings)]
        return [run for place, run in enumerate(runs) if run not in runs[:place]]

    @property
    def settings(self) -> dict[str, Any]:
        """All runs, what is measured, and the test sets."""
        robustness = {type(one).__name__: asdict(one) for one in self.robustness}
        return {
            **self.pretraining.settings,
            "robustness": json.loads(json.dumps(robustness)),  # as they are read back: lists for tuples
            "tunings": {
                one.name: {"run": one.config.to_json(), "plain": None if one.plain is None else one.plain.to_json()}
                for one in self.tunings
            },
        }

    def run(self, directory: Path) -> None:
        """Do it, or go on there."""
        from samnesia.train.loaded import load

        first = directory / PRETRAINING
        _do(self.pretraining, first)
        found = self.pretraining.read(first)
        began = time.perf_counter()
        values, notes = dict(found.values), list(found.notes)
        for test in self.robustness:
            more, said = test.of(load(first / TRAINING))
            values, notes = values | more, notes + said
        seconds = found.seconds + time.perf_counter() - began
        for one in self.tunings:
            start = first / TRAINING
            if one.plain is not None:
                start = directory / PLAIN
                seconds += _do(Training(one.plain), start).seconds
            tuned = _do(Training(one.starting_from(start)), directory / one.name)
            values |= {f"{one.name}.{name}": tuned.values[name] for name in KEPT}
            seconds += tuned.seconds
        content = {"settings": self.settings, "seconds": seconds, "values": values, "notes": notes}
        write_json(directory / RESULT, content | {"environment": dict(found.environment)})

    def read(self, directory: Path) -> Outcome:
        """Read what came out; raises ConfigurationError when the file is damaged, or of other settings."""
        path = directory / RESULT
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            outcome = Outcome(
                content["values"], {}, content["seconds"], content["environment"], tuple(content["notes"])
            )
            settings = content["settings"]
        except (OSError, ValueError, KeyError, TypeError):
            raise ConfigurationError(
                f"cannot read {path}, because it is damaged; remove it; the same command goes on from what has finished"
            ) from None
        found = differences(settings, self.settings)
        require(
            not found,
            f"cannot use the result in {directory}, because it was run with other settings ({'; '.join(found)}); use "
            "another --out, or the settings of the first run",
        )
        return outcome

    def done(self, directory: Path) -> float:
        """The share of its runs that have finished, the first by its epochs."""
        others = [PLAIN] if any(one.plain for one in self.tunings) else []
        others += [one.name for one in self.tunings]
        finished = sum((directory / name / RESULT).exists() for name in others)
        return (self.pretraining.done(directory / PRETRAINING) + finished) / (1 + len(others))


def _do(work: Work, directory: Path) -> Outcome:
    """What comes out of work that is done in this directory, or done now."""
    try:
        return work.read(directory)
    except ConfigurationError:
        if (directory / RESULT).exists():  # damaged, or from where the cell was before: its starting weights are named
            shutil.rmtree(directory)
        directory.mkdir(parents=True, exist_ok=True)
        work.run(directory)
        return work.read(directory)
