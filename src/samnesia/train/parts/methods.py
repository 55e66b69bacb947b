"""The methods a run can be trained with, by name: one frozen dataclass per preset of :mod:`samnesia`."""

from __future__ import annotations

from samnesia.train.parts.cheaper import (
    AESAM,
    ESAM,
    MESA,
    SAF,
    IntervalSAM,
    LateSAM,
    Lookbehind,
    LookbehindASAM,
    LookSAM,
    MomentumSAM,
)
from samnesia.train.parts.family import (
    GCSAM,
    LESAM,
    RWP,
    SAMON,
    WSAM,
    FilterSAM,
    FisherSAM,
    FocalSAM,
    FriendlySAM,
    FunctionalSAM,
    GradientNormPenalty,
    ImbSAM,
    LinfSAM,
    Lookahead,
    ShrinkAndPerturb,
    SparseSAM,
    StableSAM,
    VaSSO,
    ZSharp,
)
from samnesia.train.parts.presets import OutputBias, Radial, Training, Unperturbed
from samnesia.train.parts.standard import (
    ASAM,
    GSAM,
    OBF,
    SAM,
    ASAMAfterNorm,
    ASAMBeforeNorm,
    LayerSAM,
    Random,
)

__all__ = [
    "AESAM",
    "ASAM",
    "ASAMAfterNorm",
    "ASAMBeforeNorm",
    "ESAM",
    "FilterSAM",
    "FisherSAM",
    "FocalSAM",
    "FriendlySAM",
    "FunctionalSAM",
    "GCSAM",
    "GSAM",
    "GradientNormPenalty",
    "ImbSAM",
    "IntervalSAM",
    "LESAM",
    "LateSAM",
    "LayerSAM",
    "LinfSAM",
    "LookSAM",
    "Lookahead",
    "Lookbehind",
    "LookbehindASAM",
    "MESA",
    "METHODS",
    "Method",
    "MomentumSAM",
    "OBF",
    "OutputBias",
    "RWP",
    "Radial",
    "Random",
    "SAF",
    "SAM",
    "SAMON",
    "ShrinkAndPerturb",
    "SparseSAM",
    "StableSAM",
    "Training",
    "Unperturbed",
    "VaSSO",
    "WSAM",
    "ZSharp",
    "method_name",
]

Method = (
    Unperturbed
    | SAM
    | LayerSAM
    | ASAM
    | ASAMAfterNorm
    | ASAMBeforeNorm
    | GSAM
    | OBF
    | Random
    | IntervalSAM
    | LateSAM
    | LookSAM
    | AESAM
    | ESAM
    | MomentumSAM
    | MESA
    | SAF
    | Lookbehind
    | LookbehindASAM
    | FriendlySAM
    | VaSSO
    | FisherSAM
    | SparseSAM
    | SAMON
    | RWP
    | FilterSAM
    | LinfSAM
    | GCSAM
    | ZSharp
    | LESAM
    | WSAM
    | StableSAM
    | FunctionalSAM
    | GradientNormPenalty
    | ImbSAM
    | FocalSAM
    | Lookahead
    | ShrinkAndPerturb
)

METHODS: dict[str, type[Method]] = {
    "sgd": Unperturbed,
    "sam": SAM,
    "layer-sam": LayerSAM,
    "asam": ASAM,
    "asam-after": ASAMAfterNorm,
    "asam-before": ASAMBeforeNorm,
    "gsam": GSAM,
    "obf": OBF,
    "random": Random,
    "sam-interval": IntervalSAM,
    "sam-late": LateSAM,
    "looksam": LookSAM,
    "ae-sam": AESAM,
    "esam": ESAM,
    "momentum-sam": MomentumSAM,
    "mesa": MESA,
    "saf": SAF,
    "lookbehind": Lookbehind,
    "lookbehind-asam": LookbehindASAM,
    "friendly-sam": FriendlySAM,
    "vasso": VaSSO,
    "fisher-sam": FisherSAM,
    "sparse-sam": SparseSAM,
    "sam-on": SAMON,
    "rwp": RWP,
    "filter-sam": FilterSAM,
    "linf-sam": LinfSAM,
    "gcsam": GCSAM,
    "zsharp": ZSharp,
    "le-sam": LESAM,
    "wsam": WSAM,
    "stable-sam": StableSAM,
    "functional-sam": FunctionalSAM,
    "penalty": GradientNormPenalty,
    "imbsam": ImbSAM,
    "focal-sam": FocalSAM,
    "lookahead": Lookahead,
    "shrink": ShrinkAndPerturb,
}
"""Name of a method on the command line, in recipes and in results."""


def method_name(method: Method) -> str:
    """Return the name under which the method stands in results.

    One whose ascent has several steps is named after them, one with an objective of its own after that: ``asam-obf``.
    """
    name = next(name for name, kind in METHODS.items() if type(method) is kind)
    if getattr(method, "steps", 1) > 1:
        name += "-steps"
    return name if getattr(method, "objective", None) is None else f"{name}-obf"
