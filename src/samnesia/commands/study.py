"""``samnesia study`` and ``report``."""

import shlex
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from samnesia.commands.compare import incomplete
from samnesia.extras import require
from samnesia.perturb.errors import ConfigurationError, SamnesiaError

if TYPE_CHECKING:
    from samnesia.study.design import Study as Defined


@dataclass(frozen=True)
class Study:
    """Run a study of many cells, its hypotheses said before, and report its verdicts; without a name, list them.

    Of a name (`samnesia study` lists them), or of a function in a file of your own that returns a Study:

    samnesia study problems --out DIR

    samnesia study my_study.py:radii --out DIR --workers 8

    All that have a name, in their small forms, one after the other, each into DIR/NAME:

    samnesia study --all --quick --out DIR

    Cells that have finished in DIR are kept: the same command goes on after an interruption, and with more --seeds runs
    only those. A definition that has changed since its first result is refused. docs/studies.md explains all of it.
    """

    study: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="STUDY")] = None
    """Name of the study, or FILE.py:FUNCTION, which returns a Study."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Directory of the study; cells that have finished in it are kept."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Cells that run at the same time; None is one per CPU."""
    ray: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS")] = None
    """Run on a Ray cluster: HOST:PORT of its head, auto on one of its machines, or local for one on this machine."""
    seeds: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Number of reported seeds; None is as the study says. More go on after its own, but for those it was tuned on."""
    quick: bool = False
    """Run the study's small form, for a look."""
    tiny: bool = False
    """The same as --quick."""
    all: bool = False
    """Run all studies that have a name, each into its own directory of --out; one that fails does not stop the rest."""
    plan: bool = False
    """Print what would run, what is missing, the hypotheses, notes, and what can be told from it; run nothing."""

    def run(self) -> int:
        """Run it; 1 where a cell has failed or is missing."""
        from samnesia.study.named import STUDIES, find_study
        from samnesia.study.seeds import with_seeds

        if self.all:
            return self._all(list(STUDIES))
        if self.study is None:
            width = max(map(len, STUDIES)) + 2
            print("\n".join(f"{name:{width}}{one.says}" for name, one in STUDIES.items()))
            return 0
        require("pandas", extra="train")
        if self.workers is not None and self.workers < 1:
            raise ConfigurationError(
                f"cannot run with {self.workers} workers, because somebody has to do the work; use 1 or more, or leave "
                "it out"
            )
        found = with_seeds(find_study(self.study, quick=self.quick or self.tiny), self.seeds)
        if self.plan:
            print("\n".join(self._preview(found, claimed=True)))
            return 0
        if self.out is None:
            raise ConfigurationError(
                f"cannot run the study {self.study}, because it is not known where to; name a directory with --out, or "
                "see what it would do with --plan"
            )
        return self._run(found, self.out)

    def _all(self, names: list[str]) -> int:
        if self.study is not None:
            raise ConfigurationError(
                f"cannot run the study {self.study} and --all, because it is one of all of them; leave one out"
            )
        failed = []
        for name in names:
            try:
                one = replace(self, study=name, all=False, out=None if self.out is None else self.out / name)
                failed += [name] * (one.run() != 0)
            except SamnesiaError as error:
                print(f"{name}: {error}")
                failed.append(name)
        rest = f"; not so: {', '.join(failed)}" if failed else ""
        print(f"{len(names) - len(failed)} of {len(names)} studies are complete{rest}")
        return int(bool(failed))

    def _run(self, study: "Defined", out: Path) -> int:
        from samnesia.study.engine.run import check_place, run_study
        from samnesia.study.judging.verdicts import judge
        from samnesia.study.report import PACKAGES, write_report_of

        for module in PACKAGES:  # now, and not when all cells have run
            require(module, extra="train")
        check_place(out)
        print("\n".join(self._preview(study, claimed=False)), flush=True)
        results = run_study(study, out, workers=self.workers, ray=self.ray, command=self._command(out))
        results.check_some()
        verdicts = judge(results.design, results.table)
        write_report_of(results, verdicts)
        said = [verdict.sentence for verdict in verdicts]
        print("\n".join((*said, *results.failures(), f"Report: {out / 'report.html'}")))
        return int(not results.complete)

    def _preview(self, study: "Defined", *, claimed: bool) -> list[str]:
        from samnesia.study.engine.preview import claims, notes, power, preview, with_seeds_there

        study = with_seeds_there(study, self.out)
        lines = preview(study, self.out, workers=self.workers)
        said = [*claims(study.design), *notes(study.design)] if claimed else []
        return [*lines, *said, *power(study.design)]

    def _command(self, out: Path) -> str:
        words = ["samnesia", "study", str(self.study), *(["--quick"] if self.quick or self.tiny else [])]
        words += [] if self.seeds is None else ["--seeds", str(self.seeds)]
        return shlex.join([*words, "--out", str(out)])


@dataclass(frozen=True)
class Report:
    """Rebuild the report of a study or a comparison from what is in its directory."""

    directory: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """Directory of the study."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
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
        return incomplete(summary)
