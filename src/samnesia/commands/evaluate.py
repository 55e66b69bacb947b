"""``samnesia evaluate``."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, make_dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from samnesia.evaluate.suites import SUITES, Suite
from samnesia.perturb.errors import ConfigurationError
from samnesia.processes import alone
from samnesia.train.config import OwnData
from samnesia.train.parts.data import Data

if TYPE_CHECKING:
    from samnesia.examine.bench import Look
    from samnesia.examine.company import Company

EVALUATED = "evaluated"
"""Where the evaluation of a single run goes, in its directory."""


@dataclass(frozen=True)
class Options:
    """Evaluate what generalizes: clean, corrupted and shifted data, noisy weights, adversaries; into a page.

    A run, at its last checkpoint, by all suites that apply:

    samnesia evaluate runs/sam

    Several beside each other; those that differ by their seed alone are averaged, with intervals:

    samnesia evaluate runs/sgd-* runs/sam-* --suite clean corruptions --out runs/evaluated

    A pretrained model of timm, on a folder of images per class:

    samnesia evaluate timm:resnet50.a1_in1k --data /data/imagenet --out runs/resnet50

    What has been evaluated with the same options is not evaluated again, also after an interruption. Several processes:
    `torchrun --nproc-per-node 2 -m samnesia.cli evaluate runs/sam --out DIR`.
    """

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN|CHECKPOINT|timm:NAME...")]
    """Directories of runs (their last checkpoint is taken), or of checkpoints; or pretrained models of timm."""
    suite: tuple[str, ...] = ()
    """What to evaluate; none is all that apply."""
    out: Path | None = None
    """Directory for it; None is RUN/evaluated, where a single run is evaluated."""
    data: Data | OwnData | None = None
    """Data to evaluate on in place of the run's own: --data DIR with a folder of images per class (in train and val, or
    at once), or in the words of a configuration, as in --data.kind Digits --data.flipped 0.2."""
    weights: Path | None = None
    """A file of weights for the one model of timm that is named; None takes timm's own."""
    average: bool = False
    """The averages of the weights (EMA, SWA) in their place."""
    labels: tuple[str, ...] = ()
    """What to call the runs; none names them after their directories."""
    split: Literal["train", "validation", "test"] = "test"
    """The split whose samples are looked at."""
    samples: int | None = None
    """How many samples to look at, drawn by --seed; None, or more than there are, takes all."""
    seed: int = 0
    """Which samples are drawn, and all else that is drawn: corruptions, noise, starts of attacks."""
    batch_size: int = 256
    """Samples in a forward."""
    device: str | None = None
    """cpu or cuda; None is a GPU where there is one."""
    threads: int | None = None
    """CPU threads of torch; None is as the first run was trained with."""
    workers: int | None = None
    """Processes that load data; None is as the run was trained with."""

    def run(self) -> int:
        """Evaluate, and print the table; 1 where something that was asked for cannot be evaluated."""
        from rich.console import Console

        from samnesia.evaluate.entrants import Finder
        from samnesia.evaluate.purpose import EVALUATING
        from samnesia.evaluate.report import write_report
        from samnesia.evaluate.summary import summary
        from samnesia.evaluate.table import show
        from samnesia.examine.bench import Look
        from samnesia.examine.chosen import choose
        from samnesia.examine.run import examine
        from samnesia.examine.store import Store
        from samnesia.examine.watch import watch

        suites = self._suites()
        look = Look(
            self.split, self.samples, self.seed, self.batch_size, False, self.device, self.threads, self.workers
        )
        find = Finder(self.data, self.weights)
        find.check(self.runs)
        chosen = choose(self.runs, averaged=self.average, labels=self.labels, find=find)
        out = self.out or self._own(chosen[0].run.directory)
        purpose = replace(EVALUATING, named=bool(self.suite), summary=partial(summary, suites=suites))
        Store(out, purpose)  # what all processes refuse is refused before they meet
        company, look = _met(look)
        console = Console()
        try:
            examined = examine(chosen, suites, look, out, watch(console, purpose), replace(purpose, company=company))
        except KeyboardInterrupt:
            kept = f"; what has been evaluated is kept in {out}, and the same command goes on from there"
            raise KeyboardInterrupt(f"interrupted{kept}") from None
        if company.leads:
            write_report(examined, suites)
            show(examined, suites, console)
        company.part()
        return int(bool(examined.refused))

    def _suites(self) -> list[Suite]:
        from samnesia.train.plain import nearest

        for name in self.suite:
            if name not in SUITES:
                raise ConfigurationError(
                    f"cannot evaluate {name!r}, because there is no such suite; {nearest(name, list(SUITES))} "
                    "(runs come before the options)"
                )
        wanted = self.suite or tuple(SUITES)
        return [getattr(self, _field(name)) for name in SUITES if name in wanted]

    def _own(self, run: Path) -> Path:
        if len(self.runs) > 1:
            raise ConfigurationError(
                "cannot evaluate several runs without --out, because what is about all of them belongs into none of "
                "them; say --out DIR"
            )
        if not run.is_dir():
            raise ConfigurationError(
                f"cannot evaluate {run} without --out, because it has no directory of its own; say --out DIR"
            )
        return run / EVALUATED


def _field(suite: str) -> str:
    return suite.replace("-", "_")


Evaluate: Any = make_dataclass(
    "Evaluate",
    [(_field(name), kind, field(default_factory=kind)) for name, kind in SUITES.items()],
    bases=(Options,),
    frozen=True,
    namespace={"__doc__": Options.__doc__},
)
"""The command, with the options of each suite."""


def _met(look: Look) -> tuple[Company, Look]:
    """The processes that torchrun has started, if it has, and what is looked at on the device of this one."""
    from samnesia.examine.company import Company, Several

    if alone():
        return Company(), look
    from samnesia.extras import require
    from samnesia.train.config import Hardware
    from samnesia.train.engine import Engine

    require("lightning.fabric", extra="train")
    for name in ("lightning.fabric", "lightning.pytorch"):  # they announce every process
        logging.getLogger(name).setLevel(logging.WARNING)
    company = Several(Engine(Hardware(accelerator="cpu" if str(look.device).startswith("cpu") else "auto")))
    return company, replace(look, device=company.device)
