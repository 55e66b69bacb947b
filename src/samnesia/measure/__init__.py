"""What a model is like: curvature, sharpness, landscape, forgetting, calibration; and which measure ranks models.

Every measure takes a :class:`Subject` (model, criterion, batches) and leaves the model as it was. Names are imported on
first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from samnesia.measure.calibration.calibration import Calibration, calibration_of
    from samnesia.measure.calibration.figures import draw_margins, draw_reliability, reliability_and_margins
    from samnesia.measure.calibration.links import Sigmoid, Softmax
    from samnesia.measure.estimate import Estimate
    from samnesia.measure.progress import Bar
    from samnesia.measure.radius import suggest_rho
    from samnesia.measure.statistics import BatchStatistics, RunningStatistics
    from samnesia.measure.subject import Subject

_HOMES = {  # what is public, by the module it lives in
    "samnesia.measure.calibration.calibration": ("Calibration", "calibration_of"),
    "samnesia.measure.calibration.figures": ("draw_margins", "draw_reliability", "reliability_and_margins"),
    "samnesia.measure.calibration.links": ("Sigmoid", "Softmax"),
    "samnesia.measure.estimate": ("Estimate",),
    "samnesia.measure.progress": ("Bar",),
    "samnesia.measure.radius": ("suggest_rho",),
    "samnesia.measure.statistics": ("BatchStatistics", "RunningStatistics"),
    "samnesia.measure.subject": ("Subject",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Bar",
    "BatchStatistics",
    "Calibration",
    "Estimate",
    "RunningStatistics",
    "Sigmoid",
    "Softmax",
    "Subject",
    "calibration_of",
    "draw_margins",
    "draw_reliability",
    "reliability_and_margins",
    "suggest_rho",
]


def __getattr__(name: str) -> Any:
    """Import a public name where it lives."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'samnesia.measure' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return list(__all__)
