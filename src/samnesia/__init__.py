"""Sharpness-aware and perturbed-forgetting training for PyTorch.

Names are imported on first use, so that ``import samnesia`` and the command line's help do not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from samnesia.integrations import as_optimizer, two_step
    from samnesia.measure.radius import RadiusSuggestion, suggest_rho
    from samnesia.perturb.conversion.convert import convert_rho
    from samnesia.perturb.conversion.result import Conversion
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
    from samnesia.perturb.flow.criteria import Pass
    from samnesia.perturb.flow.options import StepOptions
    from samnesia.perturb.flow.passes import PerturbedGradient
    from samnesia.perturb.methods.asam import asam, asam_after_norm, asam_before_norm
    from samnesia.perturb.methods.balls import filter_sam, linf_sam
    from samnesia.perturb.methods.baselines import lookahead, shrink_and_perturb
    from samnesia.perturb.methods.cheaper import ae_sam, esam, interval_sam, late_sam, looksam, momentum_sam
    from samnesia.perturb.methods.directions import friendly_sam, vasso
    from samnesia.perturb.methods.filtered import gcsam, le_sam, zsharp
    from samnesia.perturb.methods.fisher import fisher_sam, sparse_sam
    from samnesia.perturb.methods.functional import functional_sam
    from samnesia.perturb.methods.groups import focal_sam, imbsam
    from samnesia.perturb.methods.gsam import gsam
    from samnesia.perturb.methods.layerwise import layer_sam
    from samnesia.perturb.methods.lookbehind import lookbehind
    from samnesia.perturb.methods.noise import rwp
    from samnesia.perturb.methods.obf import obf, random_perturbation
    from samnesia.perturb.methods.penalty import gradient_norm_penalty
    from samnesia.perturb.methods.rescaled import stable_sam
    from samnesia.perturb.methods.sam import sam, unperturbed
    from samnesia.perturb.methods.subset import sam_on
    from samnesia.perturb.methods.trajectory import mesa, saf
    from samnesia.perturb.methods.wsam import wsam
    from samnesia.perturb.parts.ascents import (
        AfterNormAscent,
        Ascent,
        BeforeNormAscent,
        GradientAscent,
        RandomAscent,
        SteppedAscent,
        UnitNoiseAscent,
    )
    from samnesia.perturb.parts.ball import (
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
    from samnesia.perturb.parts.class_weights import ClassWeighted
    from samnesia.perturb.parts.descent import FrozenDerivative
    from samnesia.perturb.parts.filtered import CentralizedAscent, CentralizedGradient, OutlierAscent
    from samnesia.perturb.parts.inner import Aligned, Fixed, InnerSteps, Interpolation
    from samnesia.perturb.parts.layerwise import LargestLayer, LargestUnit, UnitScaling
    from samnesia.perturb.parts.masks import MaskedAscent, PartialAscent
    from samnesia.perturb.parts.memory import Memory
    from samnesia.perturb.parts.objectives import OutputBiasForgetting
    from samnesia.perturb.parts.point import Need, Point
    from samnesia.perturb.parts.remembering import AveragedAscent, MomentumAscent, ResidualAscent, SteepEnough
    from samnesia.perturb.parts.rules import KeptDifference, Mixture, RescaledNorm, ReusedDirection, Rule, SurrogateGap
    from samnesia.perturb.parts.schedules import after, always, before, every, proportional_to_lr, randomly
    from samnesia.perturb.parts.selection import LargestRise, Selection
    from samnesia.perturb.parts.sized import FisherAscent, IncrementAscent
    from samnesia.perturb.parts.subset import Only
    from samnesia.perturb.parts.teachers import AverageTeacher, PastTeacher, Teacher
    from samnesia.perturb.parts.updates import DifferenceStep, Lookahead, ShrinkAndPerturb, WeightUpdate
    from samnesia.perturb.tensors import Weights
    from samnesia.perturb.vectorized.m_sharpness import Vectorized
    from samnesia.study.comparison.callable import Comparison, compare

__version__ = "0.1.0"

__all__ = [
    "AfterNormAscent",
    "Aligned",
    "Ascent",
    "AverageTeacher",
    "AveragedAscent",
    "Ball",
    "BeforeNormAscent",
    "CentralizedAscent",
    "CentralizedGradient",
    "ClassWeighted",
    "Comparison",
    "ConfigurationError",
    "Conversion",
    "DifferenceStep",
    "ElementScaling",
    "FilterScaling",
    "FisherAscent",
    "Fixed",
    "FrozenDerivative",
    "GradientAscent",
    "IdleScheduleWarning",
    "IncrementAscent",
    "InnerSteps",
    "Interpolation",
    "KeptDifference",
    "L2",
    "LargestLayer",
    "LargestRise",
    "LargestUnit",
    "LayerScaling",
    "Linf",
    "Lookahead",
    "MaskedAscent",
    "Memory",
    "Mixture",
    "MomentumAscent",
    "Need",
    "NoGradientError",
    "Norm",
    "ObjectiveNotUsedError",
    "Only",
    "OutlierAscent",
    "OutputBiasForgetting",
    "PartialAscent",
    "Pass",
    "PassesError",
    "PassesOpenError",
    "PastTeacher",
    "PerturbedGradient",
    "Point",
    "RadiusSuggestion",
    "RandomAscent",
    "RescaledNorm",
    "ResidualAscent",
    "ReusedDirection",
    "Rule",
    "SamnesiaError",
    "SamnesiaWarning",
    "Scaling",
    "Selection",
    "ShrinkAndPerturb",
    "StaleGradientError",
    "SteepEnough",
    "StepOptions",
    "SteppedAscent",
    "SurrogateGap",
    "Teacher",
    "TrainingCollapsedWarning",
    "UnfinishedPassesWarning",
    "UnitNoiseAscent",
    "UnitScaling",
    "UnperturbedParametersWarning",
    "Unscaled",
    "UnseenWrapperWarning",
    "UnsupportedError",
    "Vectorized",
    "WeightUpdate",
    "Weights",
    "__version__",
    "ae_sam",
    "after",
    "always",
    "as_optimizer",
    "asam",
    "asam_after_norm",
    "asam_before_norm",
    "before",
    "compare",
    "convert_rho",
    "esam",
    "every",
    "filter_sam",
    "fisher_sam",
    "focal_sam",
    "friendly_sam",
    "functional_sam",
    "gcsam",
    "gradient_norm_penalty",
    "gsam",
    "imbsam",
    "interval_sam",
    "late_sam",
    "layer_sam",
    "le_sam",
    "linf_sam",
    "lookahead",
    "lookbehind",
    "looksam",
    "mesa",
    "momentum_sam",
    "obf",
    "proportional_to_lr",
    "random_perturbation",
    "randomly",
    "rwp",
    "saf",
    "sam",
    "sam_on",
    "shrink_and_perturb",
    "sparse_sam",
    "stable_sam",
    "suggest_rho",
    "two_step",
    "unperturbed",
    "vasso",
    "wsam",
    "zsharp",
]

_HOMES = {
    "samnesia.integrations": ("as_optimizer", "two_step"),
    "samnesia.measure.radius": ("RadiusSuggestion", "suggest_rho"),
    "samnesia.perturb.conversion.convert": ("convert_rho",),
    "samnesia.perturb.conversion.result": ("Conversion",),
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
    "samnesia.perturb.flow.criteria": ("Pass",),
    "samnesia.perturb.flow.options": ("StepOptions",),
    "samnesia.perturb.flow.passes": ("PerturbedGradient",),
    "samnesia.perturb.methods.asam": ("asam", "asam_after_norm", "asam_before_norm"),
    "samnesia.perturb.methods.balls": ("filter_sam", "linf_sam"),
    "samnesia.perturb.methods.baselines": ("lookahead", "shrink_and_perturb"),
    "samnesia.perturb.methods.cheaper": ("ae_sam", "esam", "interval_sam", "late_sam", "looksam", "momentum_sam"),
    "samnesia.perturb.methods.directions": ("friendly_sam", "vasso"),
    "samnesia.perturb.methods.filtered": ("gcsam", "le_sam", "zsharp"),
    "samnesia.perturb.methods.fisher": ("fisher_sam", "sparse_sam"),
    "samnesia.perturb.methods.functional": ("functional_sam",),
    "samnesia.perturb.methods.groups": ("focal_sam", "imbsam"),
    "samnesia.perturb.methods.gsam": ("gsam",),
    "samnesia.perturb.methods.layerwise": ("layer_sam",),
    "samnesia.perturb.methods.lookbehind": ("lookbehind",),
    "samnesia.perturb.methods.noise": ("rwp",),
    "samnesia.perturb.methods.obf": ("obf", "random_perturbation"),
    "samnesia.perturb.methods.penalty": ("gradient_norm_penalty",),
    "samnesia.perturb.methods.rescaled": ("stable_sam",),
    "samnesia.perturb.methods.sam": ("sam", "unperturbed"),
    "samnesia.perturb.methods.subset": ("sam_on",),
    "samnesia.perturb.methods.trajectory": ("mesa", "saf"),
    "samnesia.perturb.methods.wsam": ("wsam",),
    "samnesia.perturb.parts.ascents": (
        "AfterNormAscent",
        "Ascent",
        "BeforeNormAscent",
        "GradientAscent",
        "RandomAscent",
        "SteppedAscent",
        "UnitNoiseAscent",
    ),
    "samnesia.perturb.parts.ball": (
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
    "samnesia.perturb.parts.class_weights": ("ClassWeighted",),
    "samnesia.perturb.parts.descent": ("FrozenDerivative",),
    "samnesia.perturb.parts.filtered": ("CentralizedAscent", "CentralizedGradient", "OutlierAscent"),
    "samnesia.perturb.parts.inner": ("Aligned", "Fixed", "InnerSteps", "Interpolation"),
    "samnesia.perturb.parts.layerwise": ("LargestLayer", "LargestUnit", "UnitScaling"),
    "samnesia.perturb.parts.masks": ("MaskedAscent", "PartialAscent"),
    "samnesia.perturb.parts.memory": ("Memory",),
    "samnesia.perturb.parts.objectives": ("OutputBiasForgetting",),
    "samnesia.perturb.parts.point": ("Need", "Point"),
    "samnesia.perturb.parts.remembering": ("AveragedAscent", "MomentumAscent", "ResidualAscent", "SteepEnough"),
    "samnesia.perturb.parts.rules": (
        "KeptDifference",
        "Mixture",
        "RescaledNorm",
        "ReusedDirection",
        "Rule",
        "SurrogateGap",
    ),
    "samnesia.perturb.parts.schedules": ("after", "always", "before", "every", "proportional_to_lr", "randomly"),
    "samnesia.perturb.parts.selection": ("LargestRise", "Selection"),
    "samnesia.perturb.parts.sized": ("FisherAscent", "IncrementAscent"),
    "samnesia.perturb.parts.subset": ("Only",),
    "samnesia.perturb.parts.teachers": ("AverageTeacher", "PastTeacher", "Teacher"),
    "samnesia.perturb.parts.updates": ("DifferenceStep", "Lookahead", "ShrinkAndPerturb", "WeightUpdate"),
    "samnesia.perturb.tensors": ("Weights",),
    "samnesia.perturb.vectorized.m_sharpness": ("Vectorized",),
    "samnesia.study.comparison.callable": ("Comparison", "compare"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name where it lives."""
    if name in ("conformance", "integrations", "measure", "perturb", "train", "study"):
        return importlib.import_module(f"samnesia.{name}")
    if name not in _HOME_OF:
        from samnesia.names import preset_advice

        raise AttributeError(f"module 'samnesia' has no attribute {name!r}{preset_advice(name, __all__)}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return list(__all__)
