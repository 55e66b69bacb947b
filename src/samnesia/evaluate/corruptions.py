"""Errors of a classifier on corrupted images, and how they compare with those of another one.

D. Hendrycks and T. Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations",
ICLR 2019, section 4: with the error ``E`` of a classifier ``f`` on images with corruption ``c`` at severity ``s``,

- corruption error: ``CE(f, c) = sum_s E(f, c, s) / sum_s E(b, c, s)`` for a baseline ``b``, AlexNet in the paper;
- relative corruption error: the same with ``E(f, c, s) - E(f, clean)`` and ``E(b, c, s) - E(b, clean)``;
- mCE and relative mCE: their means over corruptions.

Here all are in percent. The images are corrupted on the fly (:mod:`samnesia.data.corruptions`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from samnesia.data.corruptions import FAMILIES, LEAST_SIDE, MAIN, SEVERITIES, Corrupted
from samnesia.evaluate.predictions import Change, Sampled, predict
from samnesia.measure.progress import Progress, Silent
from samnesia.perturb.errors import ConfigurationError, UnsupportedError

if TYPE_CHECKING:
    from samnesia.train.loaded import Loaded


@dataclass(frozen=True)
class CorruptionErrors:
    """Errors of a classifier, in percent of the samples.

    Attributes:
        split: whose samples.
        samples: how many.
        clean: on the samples as they are.
        severities: at which they were corrupted.
        errors: by family, at each of the severities.
        left_out: families that do not apply to the images, and why.
    """

    split: str
    samples: int
    clean: float
    severities: tuple[int, ...]
    errors: Mapping[str, tuple[float, ...]]
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def means(self) -> dict[str, float]:
        """By family, the mean over severities."""
        return {name: _mean(errors) for name, errors in self.errors.items()}

    @property
    def counted(self) -> tuple[str, ...]:
        """The families that means are over: those of the paper's 15; if there is none of them, all."""
        return tuple(name for name in self.errors if name in MAIN) or tuple(self.errors)

    @property
    def mean(self) -> float:
        """The mean over families and severities."""
        return _mean([self.means[name] for name in self.counted])

    @property
    def by_severity(self) -> tuple[float, ...]:
        """The mean over families, at each severity."""
        return tuple(map(_mean, zip(*(self.errors[name] for name in self.counted), strict=True)))

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "split": self.split,
            "samples": self.samples,
            "clean": self.clean,
            "severities": list(self.severities),
            "errors": {name: list(errors) for name, errors in self.errors.items()},
            "left_out": dict(self.left_out),
            "mean": self.mean,
            "by_severity": list(self.by_severity),
        }

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> CorruptionErrors:
        """What :meth:`as_dict` has written."""
        return cls(
            written["split"],
            written["samples"],
            written["clean"],
            tuple(written["severities"]),
            {name: tuple(errors) for name, errors in written["errors"].items()},
            written["left_out"],
        )


@dataclass(frozen=True)
class Baseline:
    """What corruption errors are relative to.

    Attributes:
        name: of the model, or of several whose errors are averaged.
        clean: error on clean samples, in percent.
        means: by family, the mean error over severities, in percent.
    """

    name: str
    clean: float
    means: Mapping[str, float]

    @classmethod
    def of(cls, name: str, found: Sequence[CorruptionErrors]) -> Baseline:
        """The mean of several, such as of seeds."""
        means = {family: _mean([one.means[family] for one in found]) for family in found[0].errors}
        return cls(name, _mean([one.clean for one in found]), means)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"name": self.name, "clean": self.clean, "means": dict(self.means)}


ALEXNET = Baseline(
    "AlexNet",
    43.5,
    {
        "gaussian-noise": 88.6428, "shot-noise": 89.4468, "impulse-noise": 92.2640, "defocus-blur": 81.9880,
        "glass-blur": 82.6268, "motion-blur": 78.5948, "zoom-blur": 79.8360, "snow": 86.6816, "frost": 82.6572,
        "fog": 81.9324, "brightness": 56.4592, "contrast": 85.3204, "elastic-transform": 64.6056,
        "pixelate": 71.7840, "jpeg": 60.6500,
    },
)  # fmt: skip
"""Errors of AlexNet on the published files of ImageNet-C, by the authors: for models that are evaluated on these files.
On images that are corrupted here it would be another set's baseline."""


def corruption_errors(
    loaded: Loaded,
    sampled: Sampled | None = None,
    *,
    families: Sequence[str] | None = None,
    severities: Sequence[int] = SEVERITIES,
    seed: int = 0,
    progress: Progress | None = None,
) -> CorruptionErrors:
    """Errors of a run or pretrained model on corrupted images of its own data.

    Args:
        loaded: the model and its data.
        sampled: which samples of which split; None is all of the test split.
        families: names of :data:`samnesia.data.corruptions.FAMILIES`; None is all that apply to the images.
        severities: of 1 to 5.
        seed: of what is drawn; runs that get the same seed get the same images.
        progress: who is told how far it is.

    Raises:
        UnsupportedError: for data that are no images, or no classes, and for a named family that does not apply.
        ConfigurationError: for a family that is not known, or no severity.
    """
    sampled, progress = sampled or Sampled(), progress or Silent()
    if reason := against(loaded):
        raise UnsupportedError(
            f"cannot corrupt the samples of {loaded.directory}, because {reason}; use a classifier of images"
        )
    left_out = _left_out(loaded, families)
    chosen = [name for name in (families or FAMILIES) if name not in left_out]
    changes = {name: [Corrupted(FAMILIES[name], severity, seed) for severity in severities] for name in chosen}
    if not changes or not severities:
        raise ConfigurationError(
            "cannot evaluate no corruption, because there would be nothing to average; name families and severities"
        )
    progress.begin("corruptions", 1 + len(changes) * len(severities))
    try:
        clean, samples = _error(loaded, sampled, None, progress)
        errors = {
            name: tuple(_error(loaded, sampled, change, progress)[0] for change in of_family)
            for name, of_family in changes.items()
        }
    finally:
        progress.end()
    return CorruptionErrors(sampled.split, samples, clean, tuple(severities), errors, left_out)


def against(loaded: Loaded) -> str | None:
    """Why images cannot be corrupted for this model, in words; None if they can."""
    problem = loaded.problem
    targets = problem.train.batch([0])[1]
    if problem.exposure is None:
        return "the data are no images"
    if targets.ndim != 1 or targets.is_floating_point() or problem.num_outputs < 2:
        return "the targets are no classes"
    channels, *sides = problem.shape
    if channels not in (1, 3) or min(sides) < LEAST_SIDE:
        return f"the images have {channels} channels of {' x '.join(map(str, sides))} pixels"
    return None


def corruption_error(found: CorruptionErrors, baseline: Baseline) -> dict[str, float]:
    """The corruption error of each family in percent; NaN where the baseline makes no error."""
    return {name: _ratio(found.means[name], baseline.means[name]) for name in _common(found, baseline)}


def relative_corruption_error(found: CorruptionErrors, baseline: Baseline) -> dict[str, float]:
    """The relative corruption error of each family in percent; NaN where the baseline is not worse than when clean."""
    return {
        name: _ratio(found.means[name] - found.clean, baseline.means[name] - baseline.clean)
        for name in _common(found, baseline)
    }


def mce(found: CorruptionErrors, baseline: Baseline) -> float:
    """The mean corruption error in percent."""
    return _mean(list(corruption_error(found, baseline).values()))


def relative_mce(found: CorruptionErrors, baseline: Baseline) -> float:
    """The relative mean corruption error in percent."""
    return _mean(list(relative_corruption_error(found, baseline).values()))


def _common(found: CorruptionErrors, baseline: Baseline) -> tuple[str, ...]:
    missing = [name for name in found.counted if name not in baseline.means]
    if missing:
        raise ConfigurationError(
            f"cannot compare with the baseline {baseline.name}, because its errors under {', '.join(missing)} are not "
            "known; evaluate it with the same corruptions"
        )
    return found.counted


def _error(loaded: Loaded, sampled: Sampled, change: Change | None, progress: Progress) -> tuple[float, int]:
    """In percent of the samples, and how many there are."""
    found = predict(loaded, sampled, change)
    progress.advance(1)
    wrong = found.outputs.argmax(1) != found.targets
    return 100.0 * wrong.double().mean().item(), len(found)


def _left_out(loaded: Loaded, families: Sequence[str] | None) -> dict[str, str]:
    """Families that do not apply; those that were asked for by name are refused."""
    for name in families or ():
        if name not in FAMILIES:
            raise ConfigurationError(
                f"cannot corrupt images with {name!r}, because there is no such family; use some of "
                f"{', '.join(FAMILIES)}"
            )
    channels = loaded.problem.shape[0]
    reasons = {name: reason for name, family in FAMILIES.items() if (reason := family.against(channels))}
    refused = [name for name in families or () if name in reasons]
    if refused:
        raise UnsupportedError(
            f"cannot corrupt these images with {refused[0]}, because {reasons[refused[0]]}; leave it out"
        )
    return {} if families else reasons


def _ratio(share: float, of: float) -> float:
    return 100.0 * share / of if of > 0.0 else math.nan


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
