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
    from samnesia.measure.curvature.density import SpectralDensity, spectral_density
    from samnesia.measure.curvature.figures import density_along_figure, density_figure, draw_density, draw_eigenvalues
    from samnesia.measure.curvature.finite import DifferenceHessian
    from samnesia.measure.curvature.operators import GaussNewton, Hessian
    from samnesia.measure.curvature.pairs import Eigenpairs
    from samnesia.measure.curvature.power import power_iteration
    from samnesia.measure.curvature.spectrum import eigenpairs
    from samnesia.measure.curvature.trace import Moments, frobenius_norm, moments, trace
    from samnesia.measure.estimate import Estimate
    from samnesia.measure.forgetting.along import Course, forgetting_course, sharpness_course
    from samnesia.measure.forgetting.corrections import MillerMadow, PlugIn, SplitHalves
    from samnesia.measure.forgetting.ensemble import ModelSpecific, model_specific
    from samnesia.measure.forgetting.estimators import Estimates, forgotten, information
    from samnesia.measure.forgetting.figures import (
        draw_forgetting,
        draw_forgetting_along,
        forgetting_along_figure,
        forgetting_figure,
    )
    from samnesia.measure.forgetting.hidden import hidden_features, hidden_information, noise_scale
    from samnesia.measure.forgetting.probes import (
        CommonProbe,
        NormMatched,
        OtherBatch,
        OwnProbe,
        PermutedLabels,
        RiseMatched,
    )
    from samnesia.measure.forgetting.probing import HeldOut, HiddenLayer, probe_forgetting
    from samnesia.measure.forgetting.result import Forgetting
    from samnesia.measure.landscape.connection import Connection, connect, same_valley
    from samnesia.measure.landscape.directions import (
        Axis,
        direction_to,
        filter_normalized,
        given_direction,
        orthogonalized,
        random_direction,
    )
    from samnesia.measure.landscape.escaping import Escape, escape
    from samnesia.measure.landscape.figures import (
        connection_figure,
        draw_connection,
        draw_escape,
        draw_lines,
        draw_plane,
        draw_trajectory,
        escape_figure,
        lines_figure,
        plane_figure,
        trajectory_figure,
    )
    from samnesia.measure.landscape.lines import Line, line
    from samnesia.measure.landscape.normalization import KeptStatistics, ReestimatedStatistics
    from samnesia.measure.landscape.planes import Plane, TrajectoryPlane, plane, trajectory_plane
    from samnesia.measure.landscape.principal import principal_directions
    from samnesia.measure.progress import Bar
    from samnesia.measure.radius import suggest_rho
    from samnesia.measure.sharpness.average import average_case
    from samnesia.measure.sharpness.bounds import foret_bound, kwon_bound
    from samnesia.measure.sharpness.climb import AutoPGD, ProjectedAscent
    from samnesia.measure.sharpness.figures import draw_sharpness, sharpness_figure
    from samnesia.measure.sharpness.gradient import gradient_norm
    from samnesia.measure.sharpness.logits import NormalizedLogits
    from samnesia.measure.sharpness.micro import m_sharpness
    from samnesia.measure.sharpness.noise import EntrywiseGaussian, EntrywiseUniform, OnSphere
    from samnesia.measure.sharpness.result import Sharpness
    from samnesia.measure.sharpness.worst import worst_case
    from samnesia.measure.statistics import BatchStatistics, RunningStatistics
    from samnesia.measure.subject import Subject

_HOMES = {  # what is public, by the module it lives in
    "samnesia.measure.calibration.calibration": ("Calibration", "calibration_of"),
    "samnesia.measure.calibration.figures": ("draw_margins", "draw_reliability", "reliability_and_margins"),
    "samnesia.measure.calibration.links": ("Sigmoid", "Softmax"),
    "samnesia.measure.curvature.density": ("SpectralDensity", "spectral_density"),
    "samnesia.measure.curvature.figures": (
        "density_along_figure",
        "density_figure",
        "draw_density",
        "draw_eigenvalues",
    ),
    "samnesia.measure.curvature.finite": ("DifferenceHessian",),
    "samnesia.measure.curvature.operators": ("GaussNewton", "Hessian"),
    "samnesia.measure.curvature.pairs": ("Eigenpairs",),
    "samnesia.measure.curvature.power": ("power_iteration",),
    "samnesia.measure.curvature.spectrum": ("eigenpairs",),
    "samnesia.measure.curvature.trace": ("Moments", "frobenius_norm", "moments", "trace"),
    "samnesia.measure.estimate": ("Estimate",),
    "samnesia.measure.forgetting.along": ("Course", "forgetting_course", "sharpness_course"),
    "samnesia.measure.forgetting.corrections": ("MillerMadow", "PlugIn", "SplitHalves"),
    "samnesia.measure.forgetting.ensemble": ("ModelSpecific", "model_specific"),
    "samnesia.measure.forgetting.estimators": ("Estimates", "forgotten", "information"),
    "samnesia.measure.forgetting.figures": (
        "draw_forgetting",
        "draw_forgetting_along",
        "forgetting_along_figure",
        "forgetting_figure",
    ),
    "samnesia.measure.forgetting.hidden": ("hidden_features", "hidden_information", "noise_scale"),
    "samnesia.measure.forgetting.probes": (
        "CommonProbe",
        "NormMatched",
        "OtherBatch",
        "OwnProbe",
        "PermutedLabels",
        "RiseMatched",
    ),
    "samnesia.measure.forgetting.probing": ("HeldOut", "HiddenLayer", "probe_forgetting"),
    "samnesia.measure.forgetting.result": ("Forgetting",),
    "samnesia.measure.landscape.connection": ("Connection", "connect", "same_valley"),
    "samnesia.measure.landscape.directions": (
        "Axis",
        "direction_to",
        "filter_normalized",
        "given_direction",
        "orthogonalized",
        "random_direction",
    ),
    "samnesia.measure.landscape.escaping": ("Escape", "escape"),
    "samnesia.measure.landscape.figures": (
        "connection_figure",
        "draw_connection",
        "draw_escape",
        "draw_lines",
        "draw_plane",
        "draw_trajectory",
        "escape_figure",
        "lines_figure",
        "plane_figure",
        "trajectory_figure",
    ),
    "samnesia.measure.landscape.lines": ("Line", "line"),
    "samnesia.measure.landscape.normalization": ("KeptStatistics", "ReestimatedStatistics"),
    "samnesia.measure.landscape.planes": ("Plane", "TrajectoryPlane", "plane", "trajectory_plane"),
    "samnesia.measure.landscape.principal": ("principal_directions",),
    "samnesia.measure.progress": ("Bar",),
    "samnesia.measure.radius": ("suggest_rho",),
    "samnesia.measure.sharpness.average": ("average_case",),
    "samnesia.measure.sharpness.bounds": ("foret_bound", "kwon_bound"),
    "samnesia.measure.sharpness.climb": ("AutoPGD", "ProjectedAscent"),
    "samnesia.measure.sharpness.figures": ("draw_sharpness", "sharpness_figure"),
    "samnesia.measure.sharpness.gradient": ("gradient_norm",),
    "samnesia.measure.sharpness.logits": ("NormalizedLogits",),
    "samnesia.measure.sharpness.micro": ("m_sharpness",),
    "samnesia.measure.sharpness.noise": ("EntrywiseGaussian", "EntrywiseUniform", "OnSphere"),
    "samnesia.measure.sharpness.result": ("Sharpness",),
    "samnesia.measure.sharpness.worst": ("worst_case",),
    "samnesia.measure.statistics": ("BatchStatistics", "RunningStatistics"),
    "samnesia.measure.subject": ("Subject",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AutoPGD",
    "Axis",
    "Bar",
    "BatchStatistics",
    "Calibration",
    "CommonProbe",
    "Connection",
    "Course",
    "DifferenceHessian",
    "Eigenpairs",
    "EntrywiseGaussian",
    "EntrywiseUniform",
    "Escape",
    "Estimate",
    "Estimates",
    "Forgetting",
    "GaussNewton",
    "HeldOut",
    "Hessian",
    "HiddenLayer",
    "KeptStatistics",
    "Line",
    "MillerMadow",
    "ModelSpecific",
    "Moments",
    "NormMatched",
    "NormalizedLogits",
    "OnSphere",
    "OtherBatch",
    "OwnProbe",
    "PermutedLabels",
    "Plane",
    "PlugIn",
    "ProjectedAscent",
    "ReestimatedStatistics",
    "RiseMatched",
    "RunningStatistics",
    "Sharpness",
    "Sigmoid",
    "Softmax",
    "SpectralDensity",
    "SplitHalves",
    "Subject",
    "TrajectoryPlane",
    "average_case",
    "calibration_of",
    "connect",
    "connection_figure",
    "density_along_figure",
    "density_figure",
    "direction_to",
    "draw_connection",
    "draw_density",
    "draw_eigenvalues",
    "draw_escape",
    "draw_forgetting",
    "draw_forgetting_along",
    "draw_lines",
    "draw_margins",
    "draw_plane",
    "draw_reliability",
    "draw_sharpness",
    "draw_trajectory",
    "eigenpairs",
    "escape",
    "escape_figure",
    "filter_normalized",
    "foret_bound",
    "forgetting_along_figure",
    "forgetting_course",
    "forgetting_figure",
    "forgotten",
    "frobenius_norm",
    "given_direction",
    "gradient_norm",
    "hidden_features",
    "hidden_information",
    "information",
    "kwon_bound",
    "line",
    "lines_figure",
    "m_sharpness",
    "model_specific",
    "moments",
    "noise_scale",
    "orthogonalized",
    "plane",
    "plane_figure",
    "power_iteration",
    "principal_directions",
    "probe_forgetting",
    "random_direction",
    "reliability_and_margins",
    "same_valley",
    "sharpness_course",
    "sharpness_figure",
    "spectral_density",
    "suggest_rho",
    "trace",
    "trajectory_figure",
    "trajectory_plane",
    "worst_case",
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
