"""``samnesia train`` and ``samnesia resume``."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from samnesia.commands.federate import go_on, is_federated
from samnesia.commands.lifelong import go_on as go_on_learning
from samnesia.commands.lifelong import is_lifelong
from samnesia.commands.termination import Termination
from samnesia.extras import require
from samnesia.perturb.errors import ConfigurationError
from samnesia.processes import alone
from samnesia.train.config import RunConfig
from samnesia.train.log import CONFIG, RESULT, read_result
from samnesia.train.recipes import find

if TYPE_CHECKING:
    from samnesia.train.log import Row, RunResult


@dataclass(frozen=True)
class Train:
    """Train one run; write its configuration, checkpoints, curves and result.

    Of a recipe (see `samnesia recipes`), of a function in a file of your own, or once more what a run has written down:

    samnesia train digits-noisy-sam --out DIR

    samnesia train my_run.py:sam --out DIR

    samnesia train --config RUN/config.json --out DIR

    Every field of the configuration can be overridden, as in `--seed 3 --method.rho 0.1 --hardware.workers 2`, and a
    part exchanged for another kind of it, with that kind's defaults, as in `--average.kind EMA --average.decay 0.99` or
    `--average.kind None`. `--method lookbehind --method.k 3` names a method as results do, and `--record forgetting
    sharpness` measures along the way. `samnesia train RECIPE --help` explains the fields. Several devices: `torchrun
    --nproc-per-node 8 -m samnesia.cli train RECIPE --out DIR`.
    """

    recipe: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")]
    """Name of the recipe, or FILE.py:FUNCTION, which returns a RunConfig."""
    out: Path
    """Directory of the run; must be empty, or not exist."""
    config: Path | None = None
    """In place of RECIPE: a configuration that a run, or `samnesia recipes --out`, has written."""
    start_from: Path | None = None
    """Transfer: take model and weights of this run, or of one of its checkpoints, with a new head; all else is that of
    RECIPE."""
    log_wandb: str | None = None
    """Log to this project on Weights & Biases: short for --logging.wandb."""

    def run(self) -> int:
        """Train the recipe as it is."""
        return TrainRecipe(find(self.recipe), self.out).run()


@dataclass(frozen=True)
class TrainRecipe:
    """Train one run; write its configuration, checkpoints, curves and result.

    A part is exchanged for another kind of it by name, as in `--average.kind EMA --average.decay 0.99`.
    """

    config: Annotated[RunConfig, tyro.conf.arg(name="")]
    out: Path
    """Directory of the run; must be empty, or not exist."""

    def run(self) -> int:
        """Train."""
        vacant = not self.out.is_dir() or not any(self.out.iterdir())
        with Termination() as termination:
            from samnesia.train.loop import train

            return _run(
                partial(train, self.config, self.out),
                self.out,
                termination.asked,
                ours=lambda: vacant and (self.out / CONFIG).exists(),
            )


@dataclass(frozen=True)
class Resume:
    """Go on with a run that was stopped or killed, from its latest checkpoint, as if nothing had happened."""

    directory: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Directory of the run: what was given to `samnesia train` as --out."""

    def run(self) -> int:
        """Go on; a run that has finished is left as it is."""
        if is_lifelong(self.directory):
            return go_on_learning(self.directory)
        if is_federated(self.directory) and not (self.directory / RESULT).exists():
            return go_on(self.directory)
        if (self.directory / RESULT).exists():
            result = read_result(self.directory)
            print(f"the run in {self.directory} has finished: there is nothing left to do")
            print(summary(result, self.directory))
            return 0
        with Termination() as termination:
            from samnesia.train.loop import resume

            return _run(partial(resume, self.directory), self.directory, termination.asked, ours=lambda: True)


def _run(start: "Callable[..., RunResult]", out: Path, stop: Callable[[], bool], *, ours: Callable[[], bool]) -> int:
    """Start or resume a run and report how it ended; ``ours`` says whether what lies in ``out`` belongs to it."""
    from samnesia.train.progress import progress

    require("lightning.fabric", extra="train")
    for name in ("lightning.fabric", "lightning.pytorch"):  # they announce every process, and what they grant
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        result = start(observers=[progress()], stop=stop)
    except KeyboardInterrupt:
        words = _interrupted(out) if ours() else "interrupted before anything was written"
        raise KeyboardInterrupt(words) from None
    except OSError as error:
        if not ours():
            raise
        place = f" {error.filename}" if error.filename else ""
        raise ConfigurationError(
            f"cannot go on with the run in {out}, because the system refused{place}: {error.strerror or error}; see to "
            f"it, and go on with: samnesia resume {out}"
        ) from error
    _leave_the_others()
    print(summary(result, out))
    return 0


def _leave_the_others() -> None:
    """End the connection to the other processes: all have finished."""
    if not alone():
        import torch.distributed as dist

        if dist.is_initialized():
            dist.destroy_process_group()


def _interrupted(out: Path) -> str:
    from samnesia.train.checkpoint import Store

    store = Store(out)
    made = store.positions()
    kept = f"; the last checkpoint is {store.path(made[-1])}" if made else " before the first checkpoint"
    return f"interrupted{kept}; go on with: samnesia resume {out}"


def summary(result: "RunResult", out: Path) -> str:
    """What came out of a run, in a few lines."""
    skipped: tuple[str, ...] = ()
    if result.skipped_steps:
        attempted = result.steps + result.skipped_steps
        skipped = (f"{result.skipped_steps} of {attempted} steps were skipped, not being finite",)
    return "\n".join(
        (
            _line("last epoch", result, result.last),
            _line(f"best {result.chosen_on} epoch", result, result.best),
            *skipped,
            f"{result.gradient_evaluations} gradient evaluations, {result.seconds:.1f} s, written to {out}",
        )
    )


def _line(what: str, result: "RunResult", row: "Row") -> str:
    from samnesia.train.progress import figure_text

    judged_by, averaged = result.judged_by, f"average_{result.figure}"
    figures = [
        f"{judged_by['split']} {judged_by['measure']} {figure_text(row[result.figure], judged_by['unit'])}",
    ]
    if row.get(averaged) is not None:
        figures.append(f"of the averaged weights {figure_text(row[averaged], judged_by['unit'])}")
    if row.get("flipped_fitted") is not None:
        figures.append(f"flipped labels fitted {row['flipped_fitted']:.1f} %")
    return f"{what} (epoch {row['epoch']}): {', '.join(figures)}"
