"""Radii of other libraries: what to write here for a radius that was tuned there.

"rho" is another length in nearly every implementation: what is scaled by the weights, how often, with which stabilizer,
before or after the norm, and whose gradient it is.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Collection
from difflib import get_close_matches
from numbers import Real
from types import NoneType
from typing import Any, get_args, get_type_hints

from samnesia.perturb.conversion.libraries import LIBRARIES
from samnesia.perturb.conversion.result import Conversion
from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.parts.schedules import radius_at


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
    if source not in LIBRARIES:
        raise ConfigurationError(
            f"cannot convert a radius of {source!r}, because the known sources are {', '.join(LIBRARIES)}"
            f"{_did_you_mean(str(source), list(LIBRARIES)) or '; give one of them'}"
        )
    convert = LIBRARIES[source]
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
    hints = get_type_hints(convert)
    for name, value in settings.items():
        _check(source, name, value, get_args(hints[name]) or (hints[name],))
    return convert(radius_at(rho, 0, 0.0), **settings)


def _check(source: str, name: str, value: Any, kinds: Collection[type]) -> None:
    """Refuse a setting of another kind than the library's: a word for a switch, say, which Python takes for True."""
    words = {bool: "True or False", int: "a whole number >= 1", float: "a finite number", NoneType: "None"}
    number = not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)
    fits = {
        bool: isinstance(value, bool),
        int: number and isinstance(value, int) and value >= 1,  # they all count steps
        float: number,
        NoneType: value is None,
    }
    if not any(fits[kind] for kind in kinds):
        raise ConfigurationError(
            f"cannot convert a radius of {source} with {name}={value!r}, because it is "
            f"{' or '.join(words[kind] for kind in kinds)} there; give {name}= as it was in that run"
        )


def _did_you_mean(name: str, known: list[str]) -> str:
    """The nearest of `known`, also where `name` or a part of it is a part of that ("optax", "google/optax")."""
    plain = {k.lower().replace("-", "_"): k for k in known}
    asked = name.lower().replace("-", "_")
    for part in (asked, *reversed(asked.split("/"))):  # "mosaicml/composer" is known as "composer..."
        inside = [k for k in plain if part and part in k]
        near = inside[:1] or get_close_matches(part, plain, n=1, cutoff=0.5)
        if near:
            return f"; did you mean {plain[near[0]]!r}?"
    return ""
