"""How long what is missing of a study takes, by what has finished."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

from samnesia.study.engine.jobs import Job


class Clock:
    """Expects a job to take as long as those of its design cell did, or else of its compared level, or else all."""

    def __init__(self, compared: str) -> None:
        self._compared = compared
        self._seconds: dict[tuple[str, ...], list[float]] = defaultdict(list)

    def note(self, job: Job, seconds: float) -> None:
        """Take note of how long a job has taken."""
        for key in self._keys(job):
            self._seconds[key].append(seconds)

    def expects(self, job: Job) -> float | None:
        """Seconds that a job is expected to take; None as long as none has finished."""
        for key in self._keys(job):
            if known := self._seconds.get(key):
                return sum(known) / len(known)
        return None

    def left(self, jobs: Iterable[tuple[Job, float]], workers: int) -> float | None:
        """Seconds until all are done.

        Args:
            jobs: those that have not ended, each with the share of it that is done, 0 to 1.
            workers: how many are done at a time.

        Returns:
            The larger of the work over the workers and the longest single job; None as long as no job has finished.
        """
        work = longest = 0.0
        for job, done in jobs:
            expected = self.expects(job)
            if expected is None:
                return None
            own = expected * (1.0 - done)
            work, longest = work + own, max(longest, own)
        return max(work / workers, longest)

    def _keys(self, job: Job) -> list[tuple[str, ...]]:
        return [tuple(job.levels.values()), (self._compared, job.levels[self._compared]), ()]


def spoken(seconds: float | None) -> str:
    """A time as a person would say it: 40 s, 12 min, 3 h 20 min; nothing for None."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
