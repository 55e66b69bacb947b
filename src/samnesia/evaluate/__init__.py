"""What generalizes: accuracy beyond the test split, of runs, checkpoints and pretrained models.

Every function takes a :class:`Loaded`: a run read back by :func:`load`, or a pretrained model. Names are imported on
first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from samnesia.evaluate.accuracy import CleanAccuracy, clean_accuracy
    from samnesia.evaluate.adversaries import Robustness, Strength, robustness
    from samnesia.evaluate.corruptions import (
        Baseline,
        CorruptionErrors,
        corruption_error,
        corruption_errors,
        mce,
        relative_corruption_error,
        relative_mce,
    )
    from samnesia.evaluate.entrants import Elsewhere, Pretrained, image_folder
    from samnesia.evaluate.memory import Memorization, memorization
    from samnesia.evaluate.noisy_weights import NoisyAccuracy, noisy_accuracy
    from samnesia.evaluate.predictions import Predictions, Sampled, batches, predict, predict_of, together
    from samnesia.evaluate.published import PublishedErrors, published_errors
    from samnesia.evaluate.selection import Selective, selective
    from samnesia.evaluate.shifts import Shift, shift_accuracies
    from samnesia.evaluate.weight_noise import Absolute, ElementRelative, FilterRelative
    from samnesia.train.loaded import Loaded, load

_HOMES = {  # what is public, by the module it lives in
    "samnesia.evaluate.accuracy": ("CleanAccuracy", "clean_accuracy"),
    "samnesia.evaluate.adversaries": ("Robustness", "Strength", "robustness"),
    "samnesia.evaluate.corruptions": (
        "Baseline",
        "CorruptionErrors",
        "corruption_error",
        "corruption_errors",
        "mce",
        "relative_corruption_error",
        "relative_mce",
    ),
    "samnesia.evaluate.entrants": ("Elsewhere", "Pretrained", "image_folder"),
    "samnesia.evaluate.memory": ("Memorization", "memorization"),
    "samnesia.evaluate.noisy_weights": ("NoisyAccuracy", "noisy_accuracy"),
    "samnesia.evaluate.predictions": ("Predictions", "Sampled", "batches", "predict", "predict_of", "together"),
    "samnesia.evaluate.published": ("PublishedErrors", "published_errors"),
    "samnesia.evaluate.selection": ("Selective", "selective"),
    "samnesia.evaluate.shifts": ("Shift", "shift_accuracies"),
    "samnesia.evaluate.weight_noise": ("Absolute", "ElementRelative", "FilterRelative"),
    "samnesia.train.loaded": ("Loaded", "load"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Absolute",
    "Baseline",
    "CleanAccuracy",
    "CorruptionErrors",
    "ElementRelative",
    "Elsewhere",
    "FilterRelative",
    "Loaded",
    "Memorization",
    "NoisyAccuracy",
    "Predictions",
    "Pretrained",
    "PublishedErrors",
    "Robustness",
    "Sampled",
    "Selective",
    "Shift",
    "Strength",
    "batches",
    "clean_accuracy",
    "corruption_error",
    "corruption_errors",
    "image_folder",
    "load",
    "mce",
    "memorization",
    "noisy_accuracy",
    "predict",
    "predict_of",
    "published_errors",
    "relative_corruption_error",
    "relative_mce",
    "robustness",
    "selective",
    "shift_accuracies",
    "together",
]


def __getattr__(name: str) -> Any:
    """Import a public name where it lives."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'samnesia.evaluate' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return list(__all__)
