"""``samnesia compare`` and ``demo``."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from samnesia.perturb.errors import ConfigurationError


@dataclass(frozen=True)
class Compare:
    """Train several methods on one problem over paired seeds, and report whether they differ."""

    problem: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PROBLEM")]
    """First part of the recipes' names, such as digits-noisy; or a Python file, FILE.py."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Directory of the comparison; runs that have finished in it are kept."""
    methods: Annotated[tuple[str, ...], tyro.conf.arg(metavar="METHOD ...")] = ("sgd", "sam", "asam", "gsam", "obf")
    """Second parts of the recipes' names, or functions of the file; the others are compared to the first. `all` stands
    for all others that the problem has."""
    except_: Annotated[tuple[str, ...], tyro.conf.arg(name="except", metavar="METHOD ...")] = ()
    """Methods to leave out of them."""
    seeds: Annotated[int, tyro.conf.arg(metavar="N")] = 5
    """Number of seeds: 0, 1, ..."""
    equal: Literal["steps", "gradients", "seconds"] = "steps"
    """What every method gets as much of. For gradient evaluations or seconds, cheaper methods train more epochs."""
    smallest: float = 0.0
    """Smallest difference that would matter, in the unit of the measure: verdicts are about it."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Processes that train at the same time; None is one per CPU."""
    ray: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS")] = None
    """Run on a Ray cluster: HOST:PORT of its head, auto on one of its machines, or local for one on this machine."""
    epochs: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Epochs of every run; None is as in the recipe."""
    threads: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """CPU threads of every run; None is as in the recipe."""
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=VALUE")] = ()
    """Another value for a field of every run, such as data.source.root=/data, or of one method's runs, such as
    swa:average.start_epoch=10; may be given several times."""

    def run(self) -> int:
        """Compare, and print the table; 1 where a run has failed."""
        from samnesia.study.comparison.arms import all_named
        from samnesia.study.comparison.budgets import EqualGradients, EqualSeconds, EqualSteps
        from samnesia.study.comparison.compare import compare

        for name in ("seeds", "workers"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise ConfigurationError(
                    f"cannot compare with {count} {name}, because nothing would run; use --{name} 1 or more"
                )
        if not 0.0 <= self.smallest < float("inf"):
            raise ConfigurationError(
                f"cannot compare with --smallest {self.smallest:g}, because a difference that matters is 0 or more; "
                "which direction is the better one is known of the measure"
            )
        options: dict[str, Any] = {"epochs": self.epochs, "hardware.threads": self.threads}
        overrides = {name: value for name, value in options.items() if value is not None}
        for text in self.set:
            name, value = _assignment(text)
            if name in overrides:
                raise ConfigurationError(f"cannot set {name} twice, because one value would be lost; give it once")
            overrides[name] = value
        summary = compare(
            self.problem,
            all_named(self.problem, self.methods, self.except_),
            out=self.out,
            seeds=range(self.seeds),
            workers=self.workers,
            ray=self.ray,
            overrides=overrides,
            equal={budget.name: budget for budget in (EqualSteps(), EqualGradients(), EqualSeconds())}[self.equal],
            smallest=self.smallest,
        )
        return incomplete(summary)


def _assignment(text: str) -> tuple[str, Any]:
    """The name and the value of NAME=VALUE; what is no JSON is a text."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ConfigurationError(
            f"cannot set {text!r}, because that is not of the form NAME=VALUE; write it as in --set optimizer.lr=0.1"
        )
    try:
        return _field(name), json.loads(value)
    except ValueError:
        return _field(name), value


def _field(name: str) -> str:
    """The name of a field as in Python; that of a method before it is left as it is."""
    method, colon, field = name.strip().rpartition(":")
    return method + colon + field.replace("-", "_")


def incomplete(summary: Mapping[str, Any]) -> int:
    """The exit code of a study: 1 where a run that was asked for has failed or is missing."""
    return int(bool(summary["failures"] or summary["missing"]))


@dataclass(frozen=True)
class Demo:
    """See what the methods do: five of them on digits with 40 % wrong labels, over five seeds."""

    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("runs/demo")
    """Directory of the demo; runs that have finished in it are kept."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Processes that train at the same time; None is one per CPU."""

    def run(self) -> int:
        """Compare on digits-noisy, with the defaults of `samnesia compare`."""
        if self.out.is_dir() and any(self.out.iterdir()):
            print(f"continuing in {self.out}: runs that have finished are kept; remove the directory to start anew")
        return Compare("digits-noisy", self.out, workers=self.workers).run()
