"""``samnesia measure``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from samnesia.examine.parts import (
    PARTS,
    USUAL,
    Calibration,
    Curvature,
    Forgetting,
    Landscape,
    Part,
    Sharpness,
    Subspace,
)
from samnesia.perturb.errors import ConfigurationError
from samnesia.processes import alone

MEASURED = "measured"
"""Where measurements of a single run go, in its directory."""


@dataclass(frozen=True)
class Measure:
    """Measure trained runs: calibration, curvature, sharpness, landscape, forgetting; into JSON and figures.

    A run, at its last checkpoint:

    samnesia measure runs/sam

    Two beside each other, along training, over all checkpoints that they have kept:

    samnesia measure runs/sgd runs/sam --what curvature sharpness --along --out runs/measured

    A checkpoint: samnesia measure runs/sam/checkpoints/best

    What has been measured with the same options is not measured again, also after an interruption.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN|CHECKPOINT...")]
    """Directories of runs (their last checkpoint is taken), or of checkpoints."""
    what: tuple[str, ...] = USUAL
    """What to measure: calibration, curvature, sharpness, landscape, forgetting; where it is named, subspace."""
    out: Path | None = None
    """Directory for it; None is RUN/measured, where a single run is measured."""
    along: bool = False
    """At all checkpoints that the runs have kept, until the one that is named."""
    average: bool = False
    """The averages of the weights (EMA, SWA) in their place."""
    labels: tuple[str, ...] = ()
    """What to call the runs; none names them after their directories."""
    split: Literal["train", "validation", "test"] = "train"
    """The split whose samples are looked at."""
    samples: int | None = 1000
    """How many samples to look at, drawn by --seed; None, or more than there are, takes all."""
    seed: int = 0
    """Which samples are drawn, and all else that is drawn."""
    batch_size: int = 100
    """Samples in a forward and backward. Errors over batches need several of them; by batch statistics, another size is
    another function."""
    batch_statistics: bool = False
    """Normalize by the statistics of each batch, as in training, and not by running ones."""
    device: str | None = None
    """cpu or cuda; None is a GPU where there is one."""
    threads: int | None = None
    """CPU threads of torch; None is as the first run was trained with."""
    calibration: Calibration = field(default_factory=Calibration)
    curvature: Curvature = field(default_factory=Curvature)
    sharpness: Sharpness = field(default_factory=Sharpness)
    landscape: Landscape = field(default_factory=Landscape)
    forgetting: Forgetting = field(default_factory=Forgetting)
    subspace: Subspace = field(default_factory=Subspace)

    def run(self) -> int:
        """Measure, and print the table; 1 where something of it cannot be measured."""
        from rich.console import Console

        from samnesia.examine.bench import Look
        from samnesia.examine.chosen import choose
        from samnesia.examine.purpose import MEASURING
        from samnesia.examine.run import examine
        from samnesia.examine.store import FIGURES
        from samnesia.examine.table import show
        from samnesia.examine.watch import watch

        if not alone():
            raise ConfigurationError(
                "cannot measure in several processes, because one writes the measurements; start one, or measure in "
                "Python with Subject(..., distributed=True)"
            )
        parts = self._parts()
        look = Look(
            self.split, self.samples, self.seed, self.batch_size, self.batch_statistics, self.device, self.threads
        )
        chosen = choose(self.runs, along=self.along, averaged=self.average, labels=self.labels)
        out = self.out or self._own(chosen[0].run.directory)
        console = Console()
        try:
            examined = examine(chosen, parts, look, out, watch(console))
        except KeyboardInterrupt:
            kept = f"; what has been measured is kept in {out}, and the same command goes on from there"
            raise KeyboardInterrupt(f"interrupted{kept}") from None
        show(examined, parts, console)
        for sentence in examined.refused:
            console.print(f"not measured: {sentence}", highlight=False, markup=False, soft_wrap=True)
        where = f"written: {out / MEASURING.result}" + (f", {out / FIGURES}" if examined.figures else "")
        console.print(where, highlight=False, markup=False, soft_wrap=True)
        return int(bool(examined.refused))

    def _parts(self) -> list[Part]:
        from samnesia.train.plain import nearest

        for name in self.what:
            if name not in PARTS:
                raise ConfigurationError(
                    f"cannot measure {name!r}, because there is no such measurement; {nearest(name, list(PARTS))} "
                    "(runs come before the options)"
                )
        if not self.what:
            raise ConfigurationError(f"cannot measure nothing, because that is no figure; name {', '.join(PARTS)}")
        return [getattr(self, name) for name in PARTS if name in self.what]

    def _own(self, run: Path) -> Path:
        if len(self.runs) > 1:
            raise ConfigurationError(
                "cannot measure several runs without --out, because what is about all of them belongs into none of "
                "them; say --out DIR"
            )
        return run / MEASURED
