"""What a run needs to go on after it was killed: when its checkpoints are written, and how they are taken up."""

from __future__ import annotations

from pathlib import Path

from samnesia.train import log
from samnesia.train.checkpoint import Position, Store
from samnesia.train.observers import Journal
from samnesia.train.results import best_row, environment
from samnesia.train.run import Run


class Keeper:
    """Keeps what a run needs to go on after it was killed; without a directory, nothing."""

    def __init__(self, run: Run, out: Path | None) -> None:
        self._run, self._out = run, out
        self._store = None if out is None else Store(out)
        self.journals = [] if out is None else [Journal(out)]

    def take_up(self) -> None:
        """Set the run, and what it has written, back to its latest checkpoint, or to the start."""
        if self._store is None:
            return
        newest = None
        if self._run.engine.leads and self._out is not None:
            log.tidy(self._out)
            self._store.tidy()
            if not (self._out / log.ENVIRONMENT).exists():
                log.write_json(self._out / log.ENVIRONMENT, environment(self._run))
            newest = self._store.newest()
            if newest is not None:
                self._run.check(newest)  # before anything is cut
            for journal in self.journals:
                journal.cut(newest.state["journal"] if newest is not None else {})
        found = self._run.engine.share(None if newest is None else newest.position)
        if found is not None:
            self._run.restore(newest or self._store.read(found))
            if self._is_best():  # it may have been killed between saving this one and marking it
                self._mark_best()
        elif 0 in self._run.config.checkpoints.keep_epochs:
            self.save()

    def save(self) -> None:
        """Write a checkpoint of where the run is."""
        if self._store is None:
            return
        checkpoint = self._run.checkpoint(self.journals[0].sizes())
        if self._run.engine.leads:
            self._store.save(checkpoint)
            self._prune()
        self._run.engine.wait()

    def after_step(self) -> None:
        """Save if it is time, inside an epoch."""
        every, step = self._run.config.checkpoints.every_steps, self._run.position.step
        if every is not None and step % every == 0 and step < self._run.plan.steps:
            self.save()

    def after_epoch(self) -> None:
        """Save if it is time, after an epoch and its evaluation."""
        config, epoch = self._run.config.checkpoints, self._run.position.epoch
        best = self._is_best()
        due = config.every_epochs is not None and epoch % config.every_epochs == 0
        if due or best or epoch in config.keep_epochs or epoch == self._run.config.epochs:
            self.save()
        if best:
            self._mark_best()

    def _is_best(self) -> bool:
        """Whether the run stands behind the epoch that is the best so far, and that is to be kept."""
        position, rows = self._run.position, self._run.rows
        evaluated = bool(rows) and position == Position(rows[-1]["epoch"] + 1)
        return self._run.config.checkpoints.best and evaluated and best_row(self._run) is rows[-1]

    def _mark_best(self) -> None:
        if self._store is not None and self._run.engine.leads:
            self._store.mark_best(self._run.position)
            self._prune()

    def _prune(self) -> None:
        config = self._run.config.checkpoints
        if self._store is not None:
            self._store.prune(last=config.last, keep=(Position(epoch) for epoch in config.keep_epochs))

    def where(self) -> str:
        """How to go on, for a run that was stopped."""
        return "nothing was kept" if self._out is None else f"go on with: samnesia resume {self._out}"
