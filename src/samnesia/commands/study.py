"""``samnesia compare``, ``demo`` and ``report``."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from samnesia.perturb.errors import ConfigurationError


@dataclass(frozen=True)
class Compare:
    """Train several methods on one problem over paired seeds, and report whether they differ."""

    problem: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PROBLEM")]
    """First part of the recipes' names, such as digits-noisy; or a Python file, FILE.py."""
    out: Path
    """Directory of the comparison; runs that have finished in it are kept."""
    methods: tuple[str, ...] = ("sgd", "sam", "asam", "gsam", "obf")
    """Second parts of the recipes' names, or functions of the file; the others are compared to the first."""
    seeds: int = 5
    """Number of seeds: 0, 1, ..."""
    workers: int | None = None
    """Processes that train at the same time; None is one per CPU."""
    epochs: int | None = None
    """Epochs of every run; None is as in the recipe."""
    threads: int | None = None
    """CPU threads of every run; None is as in the recipe."""

    def run(self) -> int:
        """Compare, and print the table; 1 where a run has failed."""
        from samnesia.study.compare import compare

        for name in ("seeds", "workers"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise ConfigurationError(
                    f"cannot compare with {count} {name}, because nothing would run; use --{name} 1 or more"
                )
        overrides: dict[str, Any] = {"epochs": self.epochs, "hardware.threads": self.threads}
        summary = compare(
            self.problem,
            self.methods,
            out=self.out,
            seeds=range(self.seeds),
            workers=self.workers,
            overrides={name: value for name, value in overrides.items() if value is not None},
        )
        return _incomplete(summary)


def _incomplete(summary: Mapping[str, Any]) -> int:
    """The exit code of a comparison: 1 where a run that was asked for has failed or is missing."""
    return int(bool(summary["failures"] or summary["missing"]))


@dataclass(frozen=True)
class Demo:
    """See what the methods do: five of them on digits with 40 % wrong labels, over five seeds."""

    out: Path = Path("runs/demo")
    """Directory of the demo; runs that have finished in it are kept."""
    workers: int | None = None
    """Processes that train at the same time; None is one per CPU."""

    def run(self) -> int:
        """Compare on digits-noisy, with the defaults of `samnesia compare`."""
        if self.out.is_dir() and any(self.out.iterdir()):
            print(f"continuing in {self.out}: runs that have finished are kept; remove the directory to start anew")
        return Compare("digits-noisy", self.out, workers=self.workers).run()


@dataclass(frozen=True)
class Report:
    """Rebuild the report of a comparison from the results of its runs."""

    directory: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """Directory of the comparison."""
    out: Path | None = None
    """Also put a copy of the report, which is one file, and of compare.json into this directory."""

    def run(self) -> int:
        """Write compare.json, figures and report.html; 1 where a run has failed or is missing."""
        from samnesia.study.report import write_report

        summary = write_report(self.directory)
        for name in ("compare.json", "report.html"):
            if self.out is not None and self.out.resolve() != self.directory.resolve():
                self.out.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.directory / name, self.out / name)
        print(f"written: {(self.out or self.directory) / 'report.html'}")
        return _incomplete(summary)
