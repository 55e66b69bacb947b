"""A cell that is to run: done in whatever process, it ends with its outcome or the reason of its failure on disk."""

from __future__ import annotations

import pickle
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from samnesia.perturb.errors import ConfigurationError, TrainingCollapsedWarning
from samnesia.sentences import warnings_told
from samnesia.sources import import_file
from samnesia.study.design import COLUMNS
from samnesia.study.engine import store
from samnesia.study.work import Work
from samnesia.train.log import RESULT
from samnesia.train.plain import nearest


@dataclass(frozen=True)
class Job:
    """One cell, and what it does."""

    directory: Path
    """Where it leaves its result."""
    levels: dict[str, str]
    """The level of each factor."""
    seed: int
    """Its seed."""
    work: Work
    """What it does."""
    needed: tuple[str, ...] = ()
    """Values that its outcome must have, because hypotheses are about them."""

    @property
    def name(self) -> str:
        """As it is spoken of: sam, steps, seed 3."""
        return f"{', '.join(self.levels.values())}, seed {self.seed}"

    @property
    def ended(self) -> bool:
        """Whether its outcome, or the reason of its failure, is on disk."""
        return (self.directory / store.OUTCOME).exists() or (self.directory / store.ERROR).exists()

    def read(self) -> None:
        """Take the outcome of the result that is there.

        Raises:
            ConfigurationError: when it is damaged, of other settings, lacks a value that a hypothesis is about, or has
                one that is named like a factor.
        """
        outcome = self.work.read(self.directory)
        if taken := sorted(outcome.values.keys() & {*self.levels, *COLUMNS}):
            raise ConfigurationError(
                f"cannot use {taken[0]!r} as a value of {self.name}, because the table has another column of this "
                "name; give the factor or the value another name"
            )
        for name in self.needed:
            if name not in outcome.values:
                raise ConfigurationError(
                    f"cannot find {name!r} in what came out of {self.name}, because there is no such value, and a "
                    f"hypothesis is about it; {nearest(name, list(outcome.values))}"
                )
        store.write_outcome(self.directory, self.work.settings, outcome)

    def do(self) -> tuple[str, ...]:
        """Run it, and leave its outcome or the reason of its failure; return the sentences that it warned with."""
        self.directory.mkdir(parents=True, exist_ok=True)
        store.clear(self.directory)
        with _collected() as sentences:
            try:
                if not (self.directory / RESULT).exists():
                    self.work.run(self.directory)
                self.read()
            except (Exception, SystemExit) as error:
                self.fail(f"{type(error).__name__}: {error}", traceback.format_exc())
        return tuple(sentences)

    def fail(self, reason: str, trace: str | None = None) -> None:
        """Leave the reason of its failure."""
        store.write_failure(self.directory, self.work.settings, reason, trace)


def pack(job: Job) -> bytes:
    """A job as bytes for :func:`do_packed` in another process, perhaps on another machine.

    What is defined in a script that is being run travels along; what is defined in another file is found there again.

    Raises:
        ConfigurationError: when it cannot be sent.
    """
    from joblib.externals.loky.backend.reduction import dumps  # by cloudpickle

    try:
        return pickle.dumps((_own_file(job), bytes(dumps(job))))
    except Exception as error:
        raise ConfigurationError(
            f"cannot send the work of {job.name} to another process, because it cannot be pickled "
            f"({type(error).__name__}: {error}); keep open files, locks and the like out of it, or use one worker"
        ) from error


def do_packed(packed: bytes) -> tuple[str, ...]:
    """Do a job that :func:`pack` has packed."""
    file, job = pickle.loads(packed)
    if file is not None:
        import_file(Path(file))
    done: tuple[str, ...] = pickle.loads(job).do()
    return done


def _own_file(job: Job) -> str | None:
    """The user's file that defines the work; None for what is installed, and for a script that is being run."""
    name = type(job.work).__module__
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None or name == "__main__" or name.startswith("samnesia.") or "site-packages" in Path(file).parts:
        return None
    return str(Path(file).resolve())


@contextmanager
def _collected() -> Iterator[list[str]]:
    """Collect warnings of ours as sentences; whoever started the job shows them, above its table."""
    sentences: list[str] = []
    with warnings_told(lambda sentence, _: sentences.append(sentence)):
        # The outcome says that it collapsed, and the report with it.
        warnings.simplefilter("ignore", TrainingCollapsedWarning)
        yield sentences
