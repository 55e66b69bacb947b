"""Errors on corrupted images, and how they compare with a baseline's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from samnesia.evaluate.suites.suite import Score, Suite
from samnesia.examine.parts.part import Entry, Task, Values, latest
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from samnesia.evaluate.corruptions import Baseline, CorruptionErrors
    from samnesia.examine.bench import Bench
    from samnesia.examine.chosen import Chosen, Place
    from samnesia.train.loaded import Loaded

Known = dict[str, "CorruptionErrors"]
"""What was found of checkpoints in this process, by their digests: baselines are not evaluated again for each run."""


@dataclass(frozen=True)
class Corruptions(Suite):
    """Corrupted images: the families of ImageNet-C on the model's own data, at five severities."""

    families: tuple[str, ...] = ()
    """Which, by name; none is all that apply to the images."""
    severities: tuple[int, ...] = (1, 2, 3, 4, 5)
    """At which severities."""
    baseline: str | None = None
    """Run that corruption errors are relative to, or group of runs that differ by their seed: its name in the table."""

    def __post_init__(self) -> None:
        require(
            bool(self.severities) and set(self.severities) <= {1, 2, 3, 4, 5},
            f"cannot corrupt images with severities {', '.join(map(str, self.severities)) or 'of none'}, because there "
            "are 1 to 5; use some of them",
        )

    @property
    def name(self) -> str:
        """On the command line."""
        return "corruptions"

    def against(self, loaded: Loaded) -> str | None:
        """It is for classifiers of images."""
        from samnesia.evaluate.corruptions import against

        return against(loaded)

    def tasks(self, chosen: Sequence[Chosen]) -> Iterator[Task]:
        """Each checkpoint, with the baseline's."""
        bases, known = self._bases(chosen), Known()
        for one in chosen:
            for place in one.places:
                measure = partial(self._compared, place=place, bases=bases, known=known)
                others = tuple(base for base in bases if base is not place)
                yield Task(self.name, one.label, (*others, place), self.options, measure, self.against)

    def _bases(self, chosen: Sequence[Chosen]) -> tuple[Place, ...]:
        from samnesia.examine.groups import groups_of

        if self.baseline is None:
            return ()
        groups = groups_of(chosen)
        found = [one for one in chosen if self.baseline in (one.label, groups[one.label])]
        if not found:
            names = dict.fromkeys([*groups.values(), *groups])
            raise ConfigurationError(
                f"cannot compare corruption errors with the baseline {self.baseline!r}, because no run is called so; "
                f"use one of {', '.join(names)}"
            )
        return tuple(one.places[-1] for one in found)

    def measure(self, bench: Bench, place: Place) -> Values:
        """Errors by family and severity, of the split that is looked at."""
        return self._compared(bench, place=place, bases=(), known={})

    def _compared(self, bench: Bench, *, place: Place, bases: Sequence[Place], known: Known) -> Values:
        from samnesia.evaluate.corruptions import Baseline

        values = self._errors(bench, place, bench.loaded(place), known).as_dict()
        if bases:
            found = []
            for base in bases:
                if (digest := base.digest) not in known:
                    known[digest] = self._errors(bench, base, bench.another(base), known)
                found.append(known[digest])
            assert self.baseline is not None  # else there are no bases
            values["baseline"] = Baseline.of(self.baseline, found).as_dict()
        return values

    def _errors(self, bench: Bench, place: Place, loaded: Loaded, known: Known) -> CorruptionErrors:
        from samnesia.evaluate.corruptions import corruption_errors
        from samnesia.evaluate.predictions import sampled_by

        if (digest := place.digest) not in known:
            known[digest] = corruption_errors(
                loaded,
                sampled_by(bench.look),
                families=self.families or None,
                severities=self.severities,
                seed=bench.look.seed,
                progress=bench.progress,
            )
        return known[digest]

    def scores(self, values: Values) -> Mapping[str, Score]:
        """Errors: the mean, mCE, by severity, by family."""
        from samnesia.evaluate.corruptions import mce, relative_mce
        from samnesia.measure.estimate import plain

        found, baseline = _found(values), _baseline(values)
        scores = {f"error, mean of {len(found.counted)} corruptions": Score(found.mean, main=True)}
        if baseline is not None:
            scores[f"mCE, {baseline.name} is 100"] = Score(plain(mce(found, baseline)), main=True)
            scores[f"relative mCE, {baseline.name} is 100"] = Score(plain(relative_mce(found, baseline)))
        scores["clean error"] = Score(found.clean)
        for severity, error in zip(found.severities, found.by_severity, strict=True):
            scores[f"error at severity {severity}"] = Score(error)
        for name, error in found.means.items():
            scores[f"error under {name}"] = Score(error)
        return scores

    def notes(self, values: Values) -> Iterator[str]:
        """What was left out."""
        for name, reason in _found(values).left_out.items():
            yield f"the corruption {name} is left out, because {reason}"

    def captions(self) -> Mapping[str, str]:
        """How to read the figures."""
        return {
            "corruptions": "Error under each corruption, mean over severities: a dot for each run, a bar at the mean "
            "of those that differ by their seed.",
            "corruptions-severity": "Error over severity, 0 being the images as they are: a line for each run.",
            "corruptions-parallel": "Each row has a scale of its own, from the least error of all runs to the largest; "
            "a line is a run. Where the lines of two colours keep apart, the difference is larger than that of seeds.",
        }

    def figures(self, entries: Sequence[Entry]) -> Iterator[tuple[str, Figure]]:
        """Errors by family, errors over severity, and parallel axes where there are several groups of runs."""
        from samnesia.evaluate.suites import corruption_figures as drawn

        found = {label: _found(entry.values) for label, entry in latest(entries).items()}
        groups: dict[str, list[CorruptionErrors]] = {}
        for label, entry in latest(entries).items():
            groups.setdefault(entry.group or label, []).append(found[label])
        yield "corruptions", drawn.by_family(groups)
        yield "corruptions-severity", drawn.over_severity(groups)
        if len(groups) > 1:
            yield "corruptions-parallel", drawn.parallel(groups)


def _found(values: Values) -> CorruptionErrors:
    from samnesia.evaluate.corruptions import CorruptionErrors

    return CorruptionErrors.from_dict(values)


def _baseline(values: Values) -> Baseline | None:
    from samnesia.evaluate.corruptions import Baseline

    return Baseline(**values["baseline"]) if "baseline" in values else None
