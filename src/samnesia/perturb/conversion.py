"""Radii of other libraries: what to write here for a radius that was tuned there.

"rho" is another length in nearly every implementation: what is scaled by the weights, how often, with which stabilizer,
before or after the norm, and whose gradient it is. Each library has one function here, whose keywords are that
library's own names; `docs/radii.md` has the table, and says which rows were held against the library's code.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from typing import Any, Literal, final

import torch
from torch import nn

from samnesia.perturb.ascents import AfterNormAscent
from samnesia.perturb.ball import Ball, ElementScaling
from samnesia.perturb.errors import ConfigurationError, UnsupportedError
from samnesia.perturb.methods.asam import asam, asam_after_norm, asam_before_norm
from samnesia.perturb.methods.gsam import gsam
from samnesia.perturb.methods.sam import sam
from samnesia.perturb.passes import PerturbedGradient
from samnesia.perturb.rules import SurrogateGap
from samnesia.perturb.schedules import Every, ProportionalToLR, Radius, radius_at

BARE_NORM = 1e-30
"""For code that divides by the norm itself: nothing beside a norm, and a gradient of zeros still moves nothing."""

_SHORT = {Every: "every", ProportionalToLR: "proportional_to_lr"}


@final
@dataclass(frozen=True, slots=True)
class Conversion:
    """What to write here for a radius of another library.

    Attributes:
        preset: the method's builder, such as `samnesia.asam`.
        rho: the radius to give it, a number or a schedule.
        arguments: its other arguments.
        exact: whether it trains the same weights; if not, `note` says what differs.
        note: what the arguments cannot say: what belongs into your loop, or what stays different.
    """

    preset: Callable[..., PerturbedGradient]
    rho: float | Radius
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)
    exact: bool = True
    note: str = ""

    def build(self, model: nn.Module, optimizer: torch.optim.Optimizer, **options: Any) -> PerturbedGradient:
        """The method for `model` and `optimizer`; `options` are added to `arguments`, or replace them."""
        return self.preset(model, optimizer, rho=self.rho, **{**self.arguments, **options})

    def __str__(self) -> str:
        """The call as it is written, and the note as a comment behind it."""
        given = {"rho": self.rho, **self.arguments}
        words = ", ".join(f"{name}={_written(value)}" for name, value in given.items())
        note = ("" if self.exact else "not exact: ") + self.note
        return f"samnesia.{self.preset.__name__}(model, optimizer, {words})" + (f"  # {note}" if note else "")


def convert_rho(rho: float, *, source: str, **settings: Any) -> Conversion:
    """Translate a radius of another library into a method of this one.

    ::

        >>> print(convert_rho(2.0, source="davda54/sam", adaptive=True))
        samnesia.asam(model, optimizer, rho=2.0, eta=0.0, scaled="all")

    Args:
        rho: the radius there (the largest one where it follows the learning rate).
        source: the library: the GitHub name of a repository, or the name that its class is imported by.
        **settings: the library's own arguments that bear on the perturbation, by the library's own names. What is left
            out has the library's default:

            - ``davda54/sam``: adaptive
            - ``SamsungLabs/ASAM`` and ``SamsungLabs/ASAM:SAM``: eta (the first)
            - ``juntang-zhuang/GSAM``: gsam_alpha, adaptive, perturb_eps; min_value, max_lr, min_lr of its
              ProportionScheduler
            - ``google-research/sam``: nothing
            - ``google-research/big_vision``: alpha, adaptive_perturbation, minimize_fp; rho_min, lr_max, lr_min
            - ``pytorch_optimizer.SAM``: adaptive, use_gc, perturb_eps; ``.GSAM``: alpha, adaptive, perturb_eps and the
              scheduler's min_value, max_lr, min_lr; ``.WSAM``: gamma, adaptive, decouple, max_norm, eps; ``.LookSAM``:
              k, alpha, adaptive, use_gc, perturb_eps; ``.FriendlySAM``: sigma, lmbda, adaptive, perturb_eps; ``.BSAM``
            - ``composer.algorithms.SAM``: interval, epsilon
            - ``optax.contrib.sam``: sync_period; the radius is the learning rate of its adversarial SGD
            - ``BorealisAI/perturbed-forgetting``: before_norm, after_norm (its two adaptive flags); alpha, normalized
              (GSAM and how its gradient is stored); rho_min, lr_max, lr_min (its radius proportional to the rate)

    Returns:
        A `Conversion`, which prints as code and builds the method.

    Raises:
        ConfigurationError: for an unknown source or setting (naming the nearest), or a radius that is none.
        UnsupportedError: where no radius here means the same.

    Sources: the libraries' code, as docs/radii.md says for each.
    """
    if source not in SOURCES:
        raise ConfigurationError(
            f"cannot convert a radius of {source!r}, because the known sources are {', '.join(SOURCES)}"
            f"{_did_you_mean(source, list(SOURCES))}"
        )
    convert = SOURCES[source]
    known = {name: p for name, p in inspect.signature(convert).parameters.items() if name != "rho"}
    for name in settings.keys() - known.keys():
        raise ConfigurationError(
            f"cannot convert a radius of {source} with {name}={settings[name]!r}, because what bears on it there is "
            f"{', '.join(known) or 'the radius alone'}{_did_you_mean(name, list(known))}"
        )
    for name, parameter in known.items():
        if parameter.default is inspect.Parameter.empty and name not in settings:
            raise ConfigurationError(
                f"cannot convert a radius of {source} without {name}, because it has no default there; give {name}= as "
                "it was in that run"
            )
    return convert(radius_at(rho, 0, 0.0), **settings)


# -- one function per source -----------------------------------------------------------------------------------------


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


SOURCES: dict[str, Callable[..., Conversion]] = {
    "davda54/sam": _davda54,
    "SamsungLabs/ASAM": _samsung_asam,
    "SamsungLabs/ASAM:SAM": _samsung_sam,
    "juntang-zhuang/GSAM": _juntang_zhuang,
    "google-research/sam": _google_sam,
    "google-research/big_vision": _big_vision,
    "pytorch_optimizer.SAM": _po_sam,
    "pytorch_optimizer.GSAM": _po_gsam,
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
    ball = Ball(scaling=ElementScaling(eta=0.0, scaled="all"))
    return Conversion(PerturbedGradient, rho, {"ball": ball, "rule": SurrogateGap(alpha=alpha), **shared})


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


def _did_you_mean(name: str, known: list[str]) -> str:
    """The nearest of `known`, also where `name` is one part of it ("optax", "composer")."""
    plain = {k.lower().replace("-", "_"): k for k in known}
    asked = name.lower().replace("-", "_")
    inside = [k for k in plain if asked in k]
    near = inside[:1] or get_close_matches(asked, plain, n=1, cutoff=0.5)
    return f"; did you mean {plain[near[0]]!r}?" if near else ""


def _written(value: Any) -> str:
    """A value as one writes it in code: parts by their public names, without parts that are their own defaults."""
    if isinstance(value, str):
        return f'"{value}"'
    if not is_dataclass(value):
        return repr(value)
    name = _SHORT.get(type(value), type(value).__name__)
    given = {f.name: getattr(value, f.name) for f in fields(value) if not _left_out(f, getattr(value, f.name))}
    return f"samnesia.{name}({', '.join(f'{name}={_written(part)}' for name, part in given.items())})"


def _left_out(of: Field[Any], value: Any) -> bool:
    return of.default_factory is not MISSING and of.default_factory() == value
