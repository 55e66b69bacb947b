"""What a run leaves on disk, and how to read it again.

A run directory holds:

``config.json``     the whole configuration (:meth:`RunConfig.to_json`): the run can be repeated from it alone.
``environment.json``  what the run was started with: versions, commit, hardware, precision, processes.
``metrics.jsonl``   grows by one JSON object per epoch (the rows of ``curves`` below), for looking at a run as it goes.
``steps.jsonl``     grows by one JSON object per so many optimizer steps (:class:`Logging`), as the method measures.
``records.jsonl``   grows by one JSON object on each of a few steps, where measures are recorded (:class:`Recording`).
``checkpoints/``    states to resume from and to measure (:mod:`samnesia.train.checkpoint`).
``result.json``     written last: a directory with a ``result.json`` is a finished run.

A line of ``steps.jsonl``: ``step`` (optimizer steps before it, skipped ones included), ``epoch``, ``loss`` (of the
first pass, before the step, on this process's samples; null where the first pass has no loss), ``learning_rate``,
``rho`` (of each parameter group; empty on plain steps), ``perturbation_norm``, ``cosine``, ``gradient_norm`` (before
clipping), ``gradient_evaluations``, ``finite``.

``config.json`` and ``result.json`` are written to a temporary file first and moved into place, so that a reader sees
either nothing or the whole, whenever the run is killed.

``result.json`` (accuracies and shares in percent of 0 to 100, losses in nats, ``null`` where a figure does not exist)::

    {
      "schema": 2,
      "recipe": "digits-noisy-sam",             # name of the recipe the configuration started from
      "method": "sam",                          # sgd | sam | asam | gsam | obf | random
      "seed": 0,
      "config": {...},                          # as in config.json
      "environment": {"python", "torch", "numpy", "samnesia", "hardware", "threads", "commit", "started", "device",
                      "precision", "processes"},
                                                # commit: null outside a git checkout; started: UTC, ISO 8601
      "parameters": 22650,                      # trainable weights of the model
      "curves": {                               # lists of one number per epoch
        "epoch": [0, 1, ...],
        "learning_rate": [...],                 # at the last step of the epoch
        "train_loss": [...],                    # cross-entropy at the end of the epoch, against the (noisy) labels
        "train_accuracy": [...],                # that were trained on; all curves: evaluation mode, no augmentation
        "validation_accuracy": [...],           # against the validation labels as given: noisy on a noisy problem
        "validation_loss": [...],
        "test_accuracy": [...],                 # clean labels
        "test_loss": [...],
        "train_top5_accuracy": [...],           # where there are more than five classes; likewise of the other splits
        "validation_top5_accuracy": [...],
        "test_top5_accuracy": [...],
        "flipped_fitted": [...],                # % of flipped training labels that are predicted as flipped
        "flipped_recovered": [...],             # % of flipped training labels predicted as their true class
                                                # (both are null without flipped labels)
        "test_mark_followed": [...],            # where marks are planted (Digits.marks), likewise of train and
        "test_mark_wrong_accuracy": [...],      # validation, in %: of the images whose mark is another class's, those
        "test_mark_right_accuracy": [...]       # predicted as the mark's class, and as their own; accuracy on others
      },                                        # (any split's second_labels add figures so); with an average of the
                                                # weights also average_train_loss, ...; null while there is none
      "last": {"epoch": 79, "test_accuracy": ..., ...},   # every curve at the last epoch
      "best": {"epoch": 12, "test_accuracy": ..., ...},   # every curve at the earliest epoch of the highest
                                                          # validation accuracy
      "steps": 800,                             # optimizer steps taken
      "skipped_steps": 0,                       # steps not taken because loss or gradient were not finite
      "perturbed_steps": 760,                   # steps on which the method perturbed, skipped ones included; null in
                                                # results that were written before it was counted
      "skipped_perturbed_steps": 0,             # of these, steps that were skipped; null likewise
      "gradient_evaluations": 1600,             # forward-backward passes over a batch
      "seconds": 4.2,                           # wall time of training and evaluation, without imports and data
      "report": {                               # means over the steps, as the method measured them
        "perturbation_norm": 0.2,               # realised ||e||, null where nothing was perturbed
        "cosine": 1.0,                          # between intended and realised perturbation, null where not measured
        "gradient_norm": 1.3                    # of the gradient that the optimizer saw
      },
      "weight_norm": 14.2,                      # ||w|| over the trained weights at the end, null if not finite
      "collapsed": null,                        # or the sentence of TrainingCollapsedWarning
      "judged_by": {"split": "test", "measure": "accuracy", "unit": "%", "higher_is_better": true},
                                                # the figure that the run is reported by: curve test_accuracy
      "chosen_on": "validation"                 # the split whose measure decides which epoch is the best
    }
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import MISSING, dataclass, field, fields
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TextIO

from samnesia.perturb.errors import ConfigurationError
from samnesia.train.config import RunConfig

CONFIG, METRICS, RESULT = "config.json", "metrics.jsonl", "result.json"
SCHEMA = 2
ENVIRONMENT, STEPS, RECORDS, LOCK = "environment.json", "steps.jsonl", "records.jsonl", ".lock"
ACCURACY = {"split": "test", "measure": "accuracy", "unit": "%", "higher_is_better": True}
_CONTAINERS = {"config": dict, "environment": dict, "curves": dict, "last": dict, "best": dict, "report": dict,
               "judged_by": dict}  # fmt: skip

Row = dict[str, Any]


@dataclass(frozen=True)
class RunResult:
    """What came out of a run; the fields are the keys of ``result.json``, explained in :mod:`samnesia.train.log`."""

    recipe: str
    method: str
    seed: int
    config: RunConfig
    environment: dict[str, Any]
    parameters: int
    curves: dict[str, list[float | int | None]]
    last: Row
    best: Row
    steps: int
    skipped_steps: int
    gradient_evaluations: int
    seconds: float
    report: dict[str, float | None]
    weight_norm: float | None
    collapsed: str | None
    perturbed_steps: int | None = None
    skipped_perturbed_steps: int | None = None
    judged_by: dict[str, Any] = field(default_factory=lambda: dict(ACCURACY))
    chosen_on: str = "validation"

    @property
    def figure(self) -> str:
        """The name of the curve that the run is judged by, such as ``test_accuracy``."""
        return f"{self.judged_by['split']}_{self.judged_by['measure']}"

    def score(self, point: Literal["last", "best"]) -> float:
        """Return the figure that the run is judged by, at its last or its best epoch; NaN where it is not finite."""
        value = (self.last if point == "last" else self.best)[self.figure]
        return math.nan if value is None else float(value)

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``result.json``."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"schema": SCHEMA, **values, "config": self.config.to_json()}

    @staticmethod
    def from_json(plain: Any) -> RunResult:
        """Return the result that :meth:`to_json` wrote.

        Raises:
            ConfigurationError: if it is of another schema, incomplete, or its configuration is not valid.
        """
        if not isinstance(plain, dict):
            raise ConfigurationError("cannot read a result that is no object, because it is damaged; repeat the run")
        if plain.get("schema") != SCHEMA:
            raise ConfigurationError(
                f"cannot read a result of schema {plain.get('schema')!r}, because this version writes and reads schema "
                f"{SCHEMA}; repeat the run"
            )
        for entry in fields(RunResult):
            if entry.name not in plain and entry.default is MISSING and entry.default_factory is MISSING:
                raise ConfigurationError(
                    f"cannot read a result without {entry.name!r}, because it is damaged; repeat the run"
                )
            kind = _CONTAINERS.get(entry.name)
            if kind is not None and entry.name in plain and not isinstance(plain[entry.name], kind):
                raise ConfigurationError(
                    f"cannot read a result whose {entry.name!r} is {plain[entry.name]!r}, because it is damaged; "
                    "repeat the run"
                )
        values = {entry.name: plain[entry.name] for entry in fields(RunResult) if entry.name in plain}
        judged_by = values.get("judged_by", ACCURACY)
        if not {"split", "measure", "unit", "higher_is_better"} <= judged_by.keys():
            raise ConfigurationError("cannot read a result that does not say what it is judged by; repeat the run")
        figure = f"{judged_by['split']}_{judged_by['measure']}"
        for part in ("last", "best"):
            if figure not in values[part]:
                raise ConfigurationError(
                    f"cannot read a result without a {figure} under {part!r}, because it is damaged; repeat the run"
                )
        if not all(isinstance(curve, list) for curve in values["curves"].values()):
            raise ConfigurationError(
                "cannot read a result with a curve that is no list, because it is damaged; repeat the run"
            )
        return RunResult(**{**values, "config": RunConfig.from_json(plain["config"])})


def claim(out: Path, *, what: str = "a run") -> None:
    """Create the directory ``out`` for ``what``.

    Raises:
        ConfigurationError: if it exists and is not an empty directory.
    """
    if out.exists() and not out.is_dir():
        raise ConfigurationError(f"cannot write {what} to {out}, because it is a file; choose another --out")
    if out.is_dir() and any(out.iterdir()):
        raise ConfigurationError(
            f"cannot write {what} to {out}, because the directory is not empty and nothing in it may be overwritten; "
            "choose another --out, or remove it"
        )
    out.mkdir(parents=True, exist_ok=True)


@contextmanager
def locked(out: Path, *, what: str) -> Iterator[None]:
    """Hold a directory for this process; the lock ends with the process, however it ends.

    Processes that it forks, such as those that load data, do not hold it: they may outlive a killed one for a moment.

    Raises:
        ConfigurationError: when another process holds it.
    """
    with open(out / LOCK, "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                f"cannot work on the {what} in {out}, because another process is at work on it; wait for its end, or "
                "use another --out"
            ) from None
        _locks.append(file)
        try:
            yield
        finally:
            with suppress(ValueError):  # in a forked process, which holds none
                _locks.remove(file)


_locks: list[TextIO] = []


def _let_go() -> None:
    while _locks:
        _locks.pop().close()


os.register_at_fork(after_in_child=_let_go)


def write_json(path: Path, content: Any) -> None:
    """Write JSON to ``path`` so that a reader, or a killed process, leaves either the old file or the whole new one.

    Raises:
        ConfigurationError: where the system refuses, because the disk is full, say; the old file is left then.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1, allow_nan=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {path}, because the system refused: {error.strerror or error}; make room, or mend the place"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def tidy(out: Path) -> None:
    """Remove what a process that was killed in :func:`write_json` has left half written."""
    for name in (CONFIG, ENVIRONMENT, RESULT):
        for temporary in out.glob(f".{name}.*"):
            temporary.unlink(missing_ok=True)


class Lines:
    """A file of JSON lines that a run adds to, and that a resumed run takes up where its checkpoint was made."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, line: Row) -> None:
        """Add a line.

        Raises:
            ConfigurationError: where the system refuses, because the disk is full, say.
        """
        try:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line, allow_nan=False) + "\n")
        except OSError as error:
            raise ConfigurationError(
                f"cannot write to {self._path}, because the system refused: {error.strerror or error}; make room and "
                f"go on with: samnesia resume {self._path.parent}"
            ) from error

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._path.stat().st_size if self._path.exists() else 0

    def cut(self, size: int) -> None:
        """Forget what was written after the first ``size`` bytes: by steps that are repeated now.

        Raises:
            ConfigurationError: if the file is shorter, so that lines are missing.
        """
        if self.size < size:
            raise ConfigurationError(
                f"cannot go on with {self._path}, because it has {self.size} bytes where the checkpoint requires "
                f"{size}; restore it, or start the run again in another directory"
            )
        if self.size:
            os.truncate(self._path, size)

    def flush(self) -> None:
        """Wait until what was written is on disk: a checkpoint that counts on it follows."""
        if self._path.exists():
            with open(self._path, "rb") as file:
                os.fsync(file.fileno())


def read_config(out: Path | str) -> RunConfig:
    """Read the configuration of the run in ``out``.

    Raises:
        ConfigurationError: if there is none, or it cannot be read.
    """
    out = Path(out)
    try:
        plain = json.loads((out / CONFIG).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigurationError(
            f"cannot find a run in {out}, because there is no {CONFIG}; name the directory that was given as --out"
        ) from None
    except ValueError as error:
        raise ConfigurationError(f"cannot read {out / CONFIG}, because it is no valid JSON ({error})") from None
    return RunConfig.from_json(plain)


def read_result(out: Path) -> RunResult:
    """Read the result of the finished run in ``out``.

    Raises:
        ConfigurationError: if there is none, or it cannot be read.
    """
    try:
        plain = json.loads((out / RESULT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"cannot read a result from {out}, because no run has finished there") from None
    except ValueError as error:
        raise ConfigurationError(
            f"cannot read {out / RESULT}, because it is no valid JSON ({error}); repeat the run"
        ) from None
    try:
        return RunResult.from_json(plain)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error} (it is {out / RESULT})") from None


@lru_cache(maxsize=1)
def environment() -> dict[str, Any]:
    """Return the versions, the hardware and the commit that a result carries."""
    return {
        "python": platform.python_version(),
        "torch": version("torch"),
        "numpy": version("numpy"),
        "samnesia": version("samnesia"),
        "hardware": f"{_processor()}, {len(os.sched_getaffinity(0))} CPUs",
        "commit": _commit(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> str | None:
    """Return the commit of the source this module was loaded from, ``-dirty`` if changed; None outside a checkout."""
    here = Path(__file__).resolve()
    try:
        # An installed package may lie in somebody else's checkout: only a file that git tracks counts.
        _git("ls-files", "--error-unmatch", here.name, at=here.parent)
        return _git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*", at=here.parent)
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str, at: Path) -> str:
    done = subprocess.run(["git", "-C", str(at), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()
