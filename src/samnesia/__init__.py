"""Sharpness-aware and perturbed-forgetting training for PyTorch.

Names are imported on first use, so that ``import samnesia`` and the command line's help do not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from samnesia.integrations import as_optimizer, two_step
    from samnesia.measure.radius import RadiusSuggestion, suggest_rho
    from samnesia.perturb.ascents import AfterNormAscent, Ascent, BeforeNormAscent, GradientAscent, RandomAscent
    from samnesia.perturb.ball import (
        L2,
        Ball,
        ElementScaling,
        FilterScaling,
        LayerScaling,
        Linf,
        Norm,
        Scaling,
        Unscaled,
    )
    from samnesia.perturb.class_weights import ClassWeighted
    from samnesia.perturb.conversion import Conversion, convert_rho
    from samnesia.perturb.criteria import Pass
    from samnesia.perturb.errors import (
        ConfigurationError,
        IdleScheduleWarning,
        NoGradientError,
        ObjectiveNotUsedError,
        PassesError,
        PassesOpenError,
        SamnesiaError,
        SamnesiaWarning,
        StaleGradientError,
        TrainingCollapsedWarning,
        UnfinishedPassesWarning,
        UnperturbedParametersWarning,
        UnseenWrapperWarning,
        UnsupportedError,
    )
    from samnesia.perturb.inner import Aligned, Fixed, InnerSteps, Interpolation
    from samnesia.perturb.memory import Memory
    from samnesia.perturb.methods.asam import asam, asam_after_norm, asam_before_norm
    from samnesia.perturb.methods.baselines import lookahead, shrink_and_perturb
    from samnesia.perturb.methods.groups import focal_sam, imbsam
    from samnesia.perturb.methods.gsam import gsam
    from samnesia.perturb.methods.lookbehind import lookbehind
    from samnesia.perturb.methods.obf import obf, random_perturbation
    from samnesia.perturb.methods.penalty import gradient_norm_penalty
    from samnesia.perturb.methods.rescaled import stable_sam
    from samnesia.perturb.methods.sam import sam, unperturbed
    from samnesia.perturb.methods.wsam import wsam
    from samnesia.perturb.objectives import OutputBiasForgetting
    from samnesia.perturb.options import StepOptions
    from samnesia.perturb.passes import PerturbedGradient
    from samnesia.perturb.point import Need, Point
    from samnesia.perturb.rules import KeptDifference, Mixture, RescaledNorm, Rule, SurrogateGap
    from samnesia.perturb.schedules import after, always, before, every, proportional_to_lr, randomly
    from samnesia.perturb.selection import LargestRise, Selection
    from samnesia.perturb.tensors import Weights
    from samnesia.perturb.updates import DifferenceStep, Lookahead, ShrinkAndPerturb, WeightUpdate
    from samnesia.perturb.vectorized.m_sharpness import Vectorized
    from samnesia.study.comparison.callable import Comparison, compare

__version__ = "0.1.0"

__all__ = [
    "AfterNormAscent",
    "Aligned",
    "Ascent",
    "Ball",
    "BeforeNormAscent",
    "ClassWeighted",
    "Comparison",
    "ConfigurationError",
    "Conversion",
    "DifferenceStep",
    "ElementScaling",
    "FilterScaling",
    "Fixed",
    "GradientAscent",
    "IdleScheduleWarning",
    "InnerSteps",
    "Interpolation",
    "KeptDifference",
    "L2",
    "LargestRise",
    "LayerScaling",
    "Linf",
    "Lookahead",
    "Memory",
    "Mixture",
    "Need",
    "NoGradientError",
    "Norm",
    "ObjectiveNotUsedError",
    "OutputBiasForgetting",
    "Pass",
    "PassesError",
    "PassesOpenError",
    "PerturbedGradient",
    "Point",
    "RadiusSuggestion",
    "RandomAscent",
    "RescaledNorm",
    "Rule",
    "SamnesiaError",
    "SamnesiaWarning",
    "Scaling",
    "Selection",
    "ShrinkAndPerturb",
    "StaleGradientError",
    "StepOptions",
    "SurrogateGap",
    "TrainingCollapsedWarning",
    "UnfinishedPassesWarning",
    "UnperturbedParametersWarning",
    "Unscaled",
    "UnseenWrapperWarning",
    "UnsupportedError",
    "Vectorized",
    "WeightUpdate",
    "Weights",
    "__version__",
    "after",
    "always",
    "as_optimizer",
    "asam",
    "asam_after_norm",
    "asam_before_norm",
    "before",
    "compare",
    "convert_rho",
    "every",
    "focal_sam",
    "gradient_norm_penalty",
    "gsam",
    "imbsam",
    "lookahead",
    "lookbehind",
    "obf",
    "proportional_to_lr",
    "random_perturbation",
    "randomly",
    "sam",
    "shrink_and_perturb",
    "stable_sam",
    "suggest_rho",
    "two_step",
    "unperturbed",
    "wsam",
]

_HOMES = {
    "samnesia.integrations": ("as_optimizer", "two_step"),
    "samnesia.measure.radius": ("RadiusSuggestion", "suggest_rho"),
    "samnesia.perturb.ascents": ("AfterNormAscent", "Ascent", "BeforeNormAscent", "GradientAscent", "RandomAscent"),
    "samnesia.perturb.ball": (
        "Ball",
        "ElementScaling",
        "FilterScaling",
        "L2",
        "LayerScaling",
        "Linf",
        "Norm",
        "Scaling",
        "Unscaled",
    ),
    "samnesia.perturb.class_weights": ("ClassWeighted",),
    "samnesia.perturb.conversion": ("Conversion", "convert_rho"),
    "samnesia.perturb.criteria": ("Pass",),
    "samnesia.perturb.errors": (
        "ConfigurationError",
        "IdleScheduleWarning",
        "NoGradientError",
        "ObjectiveNotUsedError",
        "PassesError",
        "PassesOpenError",
        "SamnesiaError",
        "SamnesiaWarning",
        "StaleGradientError",
        "TrainingCollapsedWarning",
        "UnfinishedPassesWarning",
        "UnperturbedParametersWarning",
        "UnseenWrapperWarning",
        "UnsupportedError",
    ),
    "samnesia.perturb.inner": ("Aligned", "Fixed", "InnerSteps", "Interpolation"),
    "samnesia.perturb.memory": ("Memory",),
    "samnesia.perturb.methods.asam": ("asam", "asam_after_norm", "asam_before_norm"),
    "samnesia.perturb.methods.baselines": ("lookahead", "shrink_and_perturb"),
    "samnesia.perturb.methods.groups": ("focal_sam", "imbsam"),
    "samnesia.perturb.methods.gsam": ("gsam",),
    "samnesia.perturb.methods.lookbehind": ("lookbehind",),
    "samnesia.perturb.methods.obf": ("obf", "random_perturbation"),
    "samnesia.perturb.methods.penalty": ("gradient_norm_penalty",),
    "samnesia.perturb.methods.rescaled": ("stable_sam",),
    "samnesia.perturb.methods.sam": ("sam", "unperturbed"),
    "samnesia.perturb.methods.wsam": ("wsam",),
    "samnesia.perturb.objectives": ("OutputBiasForgetting",),
    "samnesia.perturb.options": ("StepOptions",),
    "samnesia.perturb.passes": ("PerturbedGradient",),
    "samnesia.perturb.point": ("Need", "Point"),
    "samnesia.perturb.rules": ("KeptDifference", "Mixture", "RescaledNorm", "Rule", "SurrogateGap"),
    "samnesia.perturb.schedules": ("after", "always", "before", "every", "proportional_to_lr", "randomly"),
    "samnesia.perturb.selection": ("LargestRise", "Selection"),
    "samnesia.perturb.tensors": ("Weights",),
    "samnesia.perturb.updates": ("DifferenceStep", "Lookahead", "ShrinkAndPerturb", "WeightUpdate"),
    "samnesia.perturb.vectorized.m_sharpness": ("Vectorized",),
    "samnesia.study.comparison.callable": ("Comparison", "compare"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name where it lives."""
    if name in ("conformance", "integrations", "measure", "perturb", "train", "study"):
        return importlib.import_module(f"samnesia.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'samnesia' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return list(__all__)
