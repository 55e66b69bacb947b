"""One function per implementation: its radius and settings, as a method of ours.

Keywords are the other library's own names, with its defaults. docs/radii.md says which were held against its code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from samnesia.perturb.conversion.result import Conversion
from samnesia.perturb.errors import ConfigurationError, UnsupportedError
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.methods.asam import asam, asam_after_norm, asam_before_norm
from samnesia.perturb.methods.cheaper import looksam
from samnesia.perturb.methods.directions import friendly_sam
from samnesia.perturb.methods.gsam import gsam
from samnesia.perturb.methods.sam import sam
from samnesia.perturb.methods.wsam import wsam
from samnesia.perturb.parts.ascents import AfterNormAscent
from samnesia.perturb.parts.ball import Ball, ElementScaling
from samnesia.perturb.parts.remembering import ResidualAscent
from samnesia.perturb.parts.rules import KeptDifference, Mixture, ReusedDirection, SurrogateGap
from samnesia.perturb.parts.schedules import Every, ProportionalToLR, Radius
from samnesia.perturb.parts.updates import DifferenceStep

BARE_NORM = 1e-30
"""For code that divides by the norm itself: nothing beside a norm, and a gradient of zeros still moves nothing."""

SQUARED = Ball(scaling=ElementScaling(eta=0.0, scaled="all"))
"""What "adaptive" means in most copies of davda54/sam: e = ρ w² g / ‖|w| g‖."""


def _davda54(rho: float, *, adaptive: bool = False) -> Conversion:
    return _sam(rho, adaptive)


def _samsung_asam(rho: float, *, eta: float = 0.01) -> Conversion:
    return Conversion(asam, rho, {"eta": eta, "epsilon": 1e-16})


def _samsung_sam(rho: float) -> Conversion:
    return Conversion(sam, rho, {"epsilon": 1e-16})


def _juntang_zhuang(
    rho: float,
    *,
    gsam_alpha: float,
    adaptive: bool = False,
    perturb_eps: float = 1e-12,
    min_value: float | None = None,
    max_lr: float | None = None,
    min_lr: float = 0.0,
) -> Conversion:
    radius = _following(rho, min_value, min_lr, max_lr, "min_value", "max_lr")
    return _gsam(radius, gsam_alpha, adaptive, perturb_eps)


def _google_sam(rho: float) -> Conversion:
    arguments = {"sync": "rank", "replay_dropout": True, "epsilon": BARE_NORM}
    return Conversion(sam, rho, arguments, note="its weight decay is a term of the loss: write it into yours")


def _big_vision(
    rho: float,
    *,
    alpha: float,
    adaptive_perturbation: bool = False,
    minimize_fp: bool = True,
    rho_min: float | None = None,
    lr_max: float | None = None,
    lr_min: float = 0.0,
) -> Conversion:
    if not minimize_fp:
        raise UnsupportedError(
            "cannot convert big_vision's GSAM with minimize_fp=False, because it steps the clean gradient plus a part "
            "of the perturbed one, which no rule here does; convert minimize_fp=True, or write a Rule"
        )
    radius = _following(rho, rho_min, lr_min, lr_max, "rho_min", "lr_max")
    if not adaptive_perturbation:
        return _gsam(radius, alpha, adaptive=False, epsilon=1e-12)
    arguments = {"ascent": AfterNormAscent(), "rule": SurrogateGap(alpha=alpha), "sync": "rank"}
    return Conversion(PerturbedGradient, radius, arguments)


def _po_sam(rho: float, *, adaptive: bool = False, use_gc: bool = False, perturb_eps: float = 1e-12) -> Conversion:
    if use_gc:
        raise UnsupportedError(_CENTRALIZED)
    return _sam(rho, adaptive, **_unless_default(perturb_eps))


def _po_gsam(
    rho: float,
    *,
    alpha: float = 0.4,
    adaptive: bool = False,
    perturb_eps: float = 1e-12,
    min_value: float | None = None,
    max_lr: float | None = None,
    min_lr: float = 0.0,
) -> Conversion:
    radius = _following(rho, min_value, min_lr, max_lr, "min_value", "max_lr")
    return _gsam(radius, alpha, adaptive, perturb_eps)


def _po_wsam(
    rho: float,
    *,
    gamma: float = 0.9,
    adaptive: bool = False,
    decouple: bool = True,
    max_norm: float | None = None,
    eps: float = 1e-12,
) -> Conversion:
    if max_norm is not None:
        raise UnsupportedError(
            "cannot convert pytorch_optimizer.WSAM with max_norm, because it clips the perturbed gradient before it is "
            "mixed with the clean one; leave max_norm out, and clip after the passes"
        )
    if not 0.0 <= gamma < 1.0:
        raise ConfigurationError(
            f"cannot convert pytorch_optimizer.WSAM with gamma={gamma}, because sharpness weighs gamma / (1 - gamma) "
            "there; give a gamma in [0, 1)"
        )
    if not adaptive:
        return Conversion(wsam, rho, {"gamma": gamma, "decoupled": decouple, **_unless_default(eps)})
    weight = gamma / (1.0 - gamma)
    rest = {"rule": KeptDifference(), "updates": (DifferenceStep(factor=weight),)}
    parts = rest if decouple else {"rule": Mixture(share=weight)}
    return Conversion(PerturbedGradient, rho, {"ball": SQUARED, **parts, **_unless_default(eps)})


def _po_looksam(
    rho: float,
    *,
    k: int = 10,
    alpha: float = 0.7,
    adaptive: bool = False,
    use_gc: bool = False,
    perturb_eps: float = 1e-12,
) -> Conversion:
    if use_gc:
        raise UnsupportedError(_CENTRALIZED)
    note, epsilon = "it projects tensor by tensor, and here all parameters jointly", _unless_default(perturb_eps)
    if not adaptive:
        return Conversion(looksam, rho, {"k": k, "alpha": alpha, **epsilon}, exact=False, note=note)
    parts = {"ball": SQUARED, "rule": ReusedDirection(alpha=alpha), "when": Every(k)}
    return Conversion(PerturbedGradient, rho, {**parts, **epsilon}, exact=False, note=note)


def _po_friendly(
    rho: float, *, sigma: float = 1.0, lmbda: float = 0.9, adaptive: bool = False, perturb_eps: float = 1e-12
) -> Conversion:
    epsilon = _unless_default(perturb_eps)
    if not adaptive:
        return Conversion(friendly_sam, rho, {"sigma": sigma, "decay": lmbda, **epsilon})
    parts = {"ball": SQUARED, "ascent": ResidualAscent(sigma=sigma, decay=lmbda)}
    return Conversion(PerturbedGradient, rho, {**parts, **epsilon})


def _po_bsam(rho: float) -> Conversion:
    raise UnsupportedError(
        "cannot convert the radius of pytorch_optimizer.BSAM, because it perturbs by rho g / s without a norm, and "
        "neither removes that move nor its noise afterwards; tune a radius anew"
    )


def _composer(rho: float, *, interval: int = 1, epsilon: float = 1e-12) -> Conversion:
    when = {} if interval == 1 else {"when": Every(interval, phase=interval - 1)}
    return Conversion(sam, rho, {**when, "sync": "rank", **_unless_default(epsilon)})


def _optax(rho: float, *, sync_period: int = 2) -> Conversion:
    if sync_period < 2:
        raise ConfigurationError(
            f"cannot convert optax.contrib.sam with sync_period={sync_period}, because it counts the outer step too "
            "and so takes no adversarial step; choose sync_period >= 2"
        )
    steps = sync_period - 1
    arguments = ({} if steps == 1 else {"steps": steps}) | {"epsilon": BARE_NORM}
    note = "for an adversary chain(normalize(), sgd(rho)), and one batch for all gradients of a step"
    return Conversion(sam, steps * rho, arguments, note=note)


def _perturbed_forgetting(
    rho: float,
    *,
    before_norm: bool = False,
    after_norm: bool = False,
    alpha: float = 0.0,
    normalized: bool = False,
    rho_min: float | None = None,
    lr_max: float | None = None,
    lr_min: float = 0.0,
) -> Conversion:
    radius = _following(rho, rho_min, lr_min, lr_max, "rho_min", "lr_max")
    note = "open passes() once per 64 samples, its m" + (", with loss= and p.loss" if alpha and normalized else "")
    if not alpha:
        preset, arguments = {
            (False, False): (sam, {}),
            (True, False): (asam_before_norm, {}),
            (False, True): (asam_after_norm, {}),
            (True, True): (asam, {"eta": 0.0, "scaled": "all"}),
        }[before_norm, after_norm]
        return Conversion(preset, radius, {**arguments, "sync": "rank"}, note=note)
    if before_norm:
        raise UnsupportedError(
            "cannot convert perturbed-forgetting's GSAM with before_norm=True, because it decomposes the gradient that "
            "was already multiplied by |w|, where the rule here takes the gradient itself; tune alpha and rho anew"
        )
    backup: Literal["raw", "normalized"] = "normalized" if normalized else "raw"
    if after_norm:
        rule = SurrogateGap(alpha=alpha, backup=backup)
        arguments = {"ascent": AfterNormAscent(), "rule": rule, "sync": "rank"}
        return Conversion(PerturbedGradient, radius, arguments, note=note)
    given = {"backup": backup} if normalized else {}
    return Conversion(gsam, radius, {"alpha": alpha, **given, "sync": "rank"}, note=note)


LIBRARIES: dict[str, Callable[..., Conversion]] = {
    "davda54/sam": _davda54,
    "SamsungLabs/ASAM": _samsung_asam,
    "SamsungLabs/ASAM:SAM": _samsung_sam,
    "juntang-zhuang/GSAM": _juntang_zhuang,
    "google-research/sam": _google_sam,
    "google-research/big_vision": _big_vision,
    "pytorch_optimizer.SAM": _po_sam,
    "pytorch_optimizer.GSAM": _po_gsam,
    "pytorch_optimizer.WSAM": _po_wsam,
    "pytorch_optimizer.LookSAM": _po_looksam,
    "pytorch_optimizer.FriendlySAM": _po_friendly,
    "pytorch_optimizer.BSAM": _po_bsam,
    "composer.algorithms.SAM": _composer,
    "optax.contrib.sam": _optax,
    "BorealisAI/perturbed-forgetting": _perturbed_forgetting,
}
"""What `convert_rho` knows: the name of each source, and its translation."""


# -- what they share -------------------------------------------------------------------------------------------------

_CENTRALIZED = (
    "cannot convert a radius of pytorch_optimizer with use_gc=True, because it centralizes the gradient after its norm "
    "was taken, so that the length of the move is below rho and changes from step to step; tune a radius anew"
)


def _sam(rho: float, adaptive: bool, **arguments: Any) -> Conversion:
    """SAM; adaptive: with w² g over ‖|w| g‖ on all parameters."""
    if adaptive:
        return Conversion(asam, rho, {"eta": 0.0, "scaled": "all", **arguments})
    return Conversion(sam, rho, arguments)


def _gsam(rho: float | Radius, alpha: float, adaptive: bool, epsilon: float) -> Conversion:
    """GSAM, decomposed on each rank; the adaptive form stores the gradient itself, not what was scaled."""
    shared = {"sync": "rank", **_unless_default(epsilon)}
    if not adaptive:
        return Conversion(gsam, rho, {"alpha": alpha, **shared})
    return Conversion(PerturbedGradient, rho, {"ball": SQUARED, "rule": SurrogateGap(alpha=alpha), **shared})


def _following(
    rho: float, rho_min: float | None, lr_min: float, lr_max: float | None, least: str, largest: str
) -> float | Radius:
    """A radius that follows the learning rate between two ends, or stays where no lower end is given."""
    if rho_min is None and lr_max is None:
        return rho
    if rho_min is None or lr_max is None:
        raise ConfigurationError(
            f"cannot convert a radius that follows the learning rate from one of {least} and {largest}, because it "
            "takes both; give both, or neither for a constant radius"
        )
    return ProportionalToLR(rho_min, rho, lr_min, lr_max)


def _unless_default(epsilon: float) -> dict[str, float]:
    return {} if epsilon == 1e-12 else {"epsilon": epsilon}
