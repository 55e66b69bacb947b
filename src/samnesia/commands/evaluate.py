"""``samnesia evaluate``."""

from __future__ import annotations

from dataclasses import dataclass, field, make_dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from samnesia.evaluate.suites import SUITES, Suite
from samnesia.perturb.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.console import Console

    from samnesia.examine.run import Examined

EVALUATED = "evaluated"
"""Where the evaluation of a single run goes, in its directory."""


@dataclass(frozen=True)
class Options:
    """Evaluate what generalizes: clean, corrupted and shifted data, noisy weights, adversaries; into a page.

    A run, at its last checkpoint, by all suites that apply:

    samnesia evaluate runs/sam

    Several beside each other; those that differ by their seed alone are averaged, with intervals:

    samnesia evaluate runs/sgd-* runs/sam-* --suite clean corruptions --out runs/evaluated

    What has been evaluated with the same options is not evaluated again, also after an interruption. Several processes:
    `torchrun --nproc-per-node 2 -m samnesia.cli evaluate runs/sam --out DIR`.
    """

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN|CHECKPOINT...")]
    """Directories of runs (their last checkpoint is taken), or of checkpoints."""
    suite: tuple[str, ...] = ()
    """What to evaluate; none is all that apply."""
    out: Path | None = None
    """Directory for it; None is RUN/evaluated, where a single run is evaluated."""
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

        from samnesia.evaluate.bench import EvaluationBench
        from samnesia.evaluate.summary import summary
        from samnesia.examine.bench import Look
        from samnesia.examine.chosen import choose
        from samnesia.examine.purpose import Purpose
        from samnesia.examine.run import examine
        from samnesia.examine.watch import watch

        suites = self._suites()
        look = Look(
            self.split, self.samples, self.seed, self.batch_size, False, self.device, self.threads, self.workers
        )
        chosen = choose(self.runs, averaged=self.average, labels=self.labels)
        out = self.out or self._own(chosen[0].run.directory)
        purpose = Purpose(
            "evaluate", "evaluated", "evaluations", "evaluate.json", ("evaluate", "measure", "perturb", "data"),
            EvaluationBench, named=bool(self.suite), summary=partial(summary, suites=suites),
        )  # fmt: skip
        console = Console()
        try:
            examined = examine(chosen, suites, look, out, watch(console), purpose)
        except KeyboardInterrupt:
            kept = f"; what has been evaluated is kept in {out}, and the same command goes on from there"
            raise KeyboardInterrupt(f"interrupted{kept}") from None
        _show(examined, suites, console)
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


def _show(examined: Examined, suites: list[Suite], console: Console) -> None:
    """Print the table, and below it what has to be said of it."""
    from samnesia.evaluate.summary import groups, means
    from samnesia.examine.store import FIGURES
    from samnesia.examine.table import print_columns

    content = examined.content
    found = groups(content)
    cells = {}
    for suite in suites:
        of_group = means(content, suite)
        cells[suite.name] = [{name: one.text for name, one in of_group[group.name].items()} for group in found]
    print_columns([group.head for group in found], cells, console)
    if any(len(group.runs) > 1 for group in found):
        _say(f"of several seeds: mean [{100 * content['confidence']:g} % t-interval, from 3 seeds on]", console)
    for suite in suites:
        for one in content["measures"]:
            if one["what"] == suite.name:
                for note in suite.notes(one["values"]):
                    _say(f"{one['run']}: {note}", console)
    reasons = dict.fromkeys((one["what"], one["why"]) for one in content["left_out"])
    for what, why in reasons:
        who = ", ".join(one["run"] for one in content["left_out"] if (one["what"], one["why"]) == (what, why))
        _say(f"{what} left out of {who}, because {why}", console)
    for sentence in examined.refused:
        _say(f"not evaluated: {sentence}", console)
    figures = f", {examined.out / FIGURES}" if examined.figures else ""
    _say(f"written: {examined.out / 'evaluate.json'}{figures}", console)


def _say(sentence: str, console: Console) -> None:
    console.print(sentence, highlight=False, markup=False, soft_wrap=True)
