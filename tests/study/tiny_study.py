"""A study of milliseconds: its cells draw a number, and may do something before."""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.design import Design, Factor, Measure, Study
from samnesia.study.hypotheses import Difference
from samnesia.study.work import Outcome
from samnesia.train.log import write_json
from samnesia.train.plain import differences


def nothing(draw, directory):
    """What a cell does before its draw, unless a test says otherwise."""


@dataclass(frozen=True)
class Draw:
    """Levels and seed give the number."""

    levels: dict[str, str]
    seed: int
    scale: float = 1.0
    before: Callable[["Draw", Path], None] = nothing

    @property
    def settings(self):
        return {"levels": self.levels, "seed": self.seed, "scale": self.scale}

    def run(self, directory):
        self.before(self, directory)
        slope = 2 if self.levels.get("method") == "sam" else 1
        value = self.scale * (len("".join(self.levels.values())) + slope * self.seed / 8)
        write_json(directory / "result.json", {**self.settings, "value": value})

    def read(self, directory):
        try:
            found = json.loads((directory / "result.json").read_text())
            value = found.pop("value")
        except (ValueError, KeyError) as error:
            raise ConfigurationError(f"cannot read the result in {directory}: {error}; remove the directory") from None
        if changed := differences(found, self.settings):
            raise ConfigurationError(f"cannot use the result in {directory}: {'; '.join(changed)}")
        values = {"value": value, "nothing": None, "infinite": float("inf"), "steps": 3}
        return Outcome(values, {"course": [0.5, value]}, 2.0 + self.seed, {"python": "3"}, ("drawn",))

    def done(self, directory):
        return 0.5


MEASURES = (Measure("figure", "value", "figure drawn", "%", True), Measure("other", "nothing", "nothing at all"))
CLAIM = Difference(claim="sam is higher", measure="figure", treatment={"method": "sam"}, control={"method": "sgd"})


def design(**changes):
    """Two methods, two budgets, two seeds, one hypothesis."""
    whole = {
        "name": "tiny",
        "question": "Does it run?",
        "factors": (Factor("method", ("sgd", "sam")), Factor("budget", ("steps", "gradients"))),
        "measures": MEASURES,
        "seeds": (0, 1),
        "primary": (CLAIM,),
        "tuning_seeds": (1000,),
    }
    return Design(**(whole | changes))


def study(*, scale=1.0, before=nothing, **changes):
    """A study of draws."""
    return Study(design(**changes), lambda levels, seed: Draw(levels, seed, scale, before))


def without_time(table):
    """A table but for its seconds."""
    return table.drop(columns="seconds")


def killed_once(draw, directory):
    """The process of one cell is ended from outside, the first time."""
    accident = directory.parent / "accident"
    if (draw.levels["method"], draw.seed) == ("sam", 0) and not accident.exists():
        accident.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def always_killed(draw, directory):
    """The process of one cell is ended from outside, every time."""
    if (*draw.levels.values(), draw.seed) == ("sam", "steps", 0):
        os.kill(os.getpid(), signal.SIGKILL)


def held_until_killed(draw, directory):
    """The second half of the cells waits to be killed, the first time."""
    held = directory.parent / "held"
    if draw.seed == 1 and not held.exists():
        held.touch()
        time.sleep(600)


def too_hot(draw, directory):
    """One cell fails."""
    if (*draw.levels.values(), draw.seed) == ("sam", "steps", 1):
        raise ValueError("too hot")
