"""The commands of ``samnesia``: a dataclass each, whose fields are its options and whose ``run`` does the work."""

import json
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from samnesia.perturb.errors import ConfigurationError
from samnesia.train.config import RunConfig
from samnesia.train.log import claim
from samnesia.train.recipes import find, listing, starting_with

if TYPE_CHECKING:
    from samnesia.train.log import Row, RunResult


@dataclass(frozen=True)
class Train:
    """Train one run of a recipe; write its configuration, curves and result.

    Every field of the recipe's configuration can be overridden after its name, as in
    `samnesia train digits-noisy-sam --seed 3 --method.rho 0.1 --epochs 5 --out DIR`;
    `samnesia train RECIPE --help` explains them.
    """

    recipe: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")]
    """Name of the recipe, see `samnesia recipes`."""
    out: Path
    """Directory of the run; must be empty, or not exist."""

    def run(self) -> int:
        """Train the recipe as it is."""
        return TrainRecipe(find(self.recipe), self.out).run()


@dataclass(frozen=True)
class TrainRecipe:
    """Train one run; write its configuration, curves and result."""

    config: Annotated[RunConfig, tyro.conf.arg(name="")]
    out: Path
    """Directory of the run; must be empty, or not exist."""

    def run(self) -> int:
        """Train."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from samnesia.train.loop import train

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[accuracy]}"),
        )
        bar = Progress(*columns)
        task = bar.add_task(self.config.recipe, total=self.config.epochs, accuracy="")

        def progress(row: "Row") -> None:
            bar.start()  # not before there is progress: what cannot be trained is refused without a bar
            bar.update(task, advance=1, accuracy=f"test {row['test_accuracy']:.1f} %")

        try:
            result = train(self.config, self.out, progress=progress)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(_interrupted(self.out)) from None
        finally:
            if bar.live.is_started:
                bar.stop()
        print(_summary(result, self.out))
        return 0


def _interrupted(out: Path) -> str:
    from samnesia.train.log import CONFIG, METRICS

    if (out / METRICS).exists():
        kept = f"the curves of the finished epochs are kept in {out / METRICS}"
        return f"interrupted: {kept}; start again with another --out"
    if (out / CONFIG).exists():
        return f"interrupted before the end of the first epoch; start again with another --out, or remove {out}"
    return "interrupted before anything was written"


def _summary(result: "RunResult", out: Path) -> str:
    def line(what: str, row: "Row") -> str:
        fitted = "" if row["flipped_fitted"] is None else f", flipped labels fitted {row['flipped_fitted']:.1f} %"
        return f"{what} (epoch {row['epoch']}): test accuracy {row['test_accuracy']:.1f} %{fitted}"

    skipped: tuple[str, ...] = ()
    if result.skipped_steps:
        attempted = result.steps + result.skipped_steps
        skipped = (f"{result.skipped_steps} of {attempted} steps were skipped, not being finite",)
    return "\n".join(
        (
            line("last epoch", result.last),
            line("best validation epoch", result.best),
            *skipped,
            f"{result.gradient_evaluations} gradient evaluations, {result.seconds:.1f} s, written to {out}",
        )
    )


@dataclass(frozen=True)
class Compare:
    """Train several methods on one problem over paired seeds, and report whether they differ."""

    problem: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PROBLEM")]
    """First part of the recipes' names, such as digits-noisy."""
    out: Path
    """Directory of the comparison; runs that have finished in it are kept."""
    methods: tuple[str, ...] = ("sgd", "sam", "asam", "gsam", "obf")
    """Second parts of the recipes' names; the others are compared to the first."""
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
        overrides: dict[str, Any] = {"epochs": self.epochs, "threads": self.threads}
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
class Recipes:
    """List the recipes: the families, or those whose names begin with PREFIX, a line each."""

    prefix: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PREFIX")] = ""
    """How the names of those to list begin, such as vani-vit-s32."""
    long: bool = False
    """Say of each what it reproduces, its published number where known, and an estimate of its GPU-hours."""
    out: Path | None = None
    """Also write the whole configuration of each into this directory, as RECIPE.json."""

    def run(self) -> int:
        """List them."""
        found = starting_with(self.prefix)
        if self.out is not None:
            claim(self.out, what="the recipes")
            for recipe in found:
                (self.out / f"{recipe.name}.json").write_text(json.dumps(recipe().to_json(), indent=1) + "\n")
        lines = listing.long if self.long else listing.short if self.prefix else listing.families
        print("\n".join(lines(found)))
        return 0


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


@dataclass(frozen=True)
class Conformance:
    """Check a SAM-like optimizer of anybody's against the conformance suite, and print its card.

    FILE.py:FUNCTION names a function that builds it, as in `def make(setup): return Closure(MySAM(setup.params,
    setup.optimizer, rho=setup.rho, **setup.options))` with `from samnesia.conformance import Closure`; adapters and
    everything else are explained in docs/conformance.md. The file is imported and runs with your rights.
    """

    optimizer: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="FILE.py:FUNCTION")] = None
    """Where the optimizer is built."""
    rows: tuple[str, ...] = ()
    """Check these rows only: 47 is all of 47a to 47d."""
    out: Path | None = None
    """Also write the card to this file, as JSON (.json) or Markdown (.md)."""
    list: bool = False
    """Print what the suite checks, and check nothing."""

    def run(self) -> int:
        """Print the card; 1 where a row fails."""
        from samnesia.conformance import card
        from samnesia.conformance.subject import load
        from samnesia.conformance.terminal import print_card, print_rows, progress

        if self.list:
            print_rows()
            return 0
        if self.optimizer is None:
            raise ConfigurationError(
                "cannot check an optimizer before it is known how to build it; name the function that does, as in "
                "samnesia conformance my_sam.py:make"
            )
        rows = card.choose(self.rows)
        if self.out is not None:
            card.check_out(self.out)
        words = ("samnesia", "conformance", self.optimizer, *(("--rows", *self.rows) if self.rows else ()))
        with load(self.optimizer) as candidate, progress(len(rows)) as show:
            found = card.run(candidate, subject=self.optimizer, rows=rows, command=shlex.join(words), progress=show)
        print_card(found)
        if self.out is not None:
            card.write(found, self.out)
        return int(not found.conforms)


Command = Train | TrainRecipe | Compare | Demo | Recipes | Report | Conformance

COMMANDS: dict[str, type[Command]] = {
    "demo": Demo,
    "train": Train,
    "compare": Compare,
    "report": Report,
    "recipes": Recipes,
    "conformance": Conformance,
}
"""Every command by its name, in the order of the overview."""
