"""What is refused, or warned of, when a method is built: parts, options, model and optimizer that do not fit."""

from __future__ import annotations

import difflib
import inspect
import warnings
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from samnesia.perturb.errors import ConfigurationError, UnperturbedParametersWarning, UnsupportedError
from samnesia.perturb.flow.combining import check_combination
from samnesia.perturb.parts.ascents import Ascent
from samnesia.perturb.parts.ball import Ball
from samnesia.perturb.parts.descent import FrozenDerivative
from samnesia.perturb.parts.inner import InnerSteps
from samnesia.perturb.parts.numbers import integer, number
from samnesia.perturb.parts.rules import Rule
from samnesia.perturb.parts.selection import Selection
from samnesia.perturb.parts.teachers import Teacher
from samnesia.perturb.parts.updates import WeightUpdate

if TYPE_CHECKING:
    from samnesia.perturb.flow.passes import PerturbedGradient


def check_options(options: Mapping[str, Any], known: Collection[str], **parts: object) -> None:
    """Refuse an option that no method has, naming the nearest, and a value of another kind."""
    for name in sorted(set(options) - set(known)):
        near = "".join(f"; did you mean {near!r}?" for near in difflib.get_close_matches(name, known, n=1))
        raise ConfigurationError(
            f"cannot take the option {name!r}, because the options of a method are {sorted(known)}{near}"
        )
    _check_values({**options, **parts})


_KINDS: dict[str, type] = {
    "ball": Ball,
    "ascent": Ascent,
    "rule": Rule,
    "selection": Selection,
    "teacher": Teacher,
    "descent": FrozenDerivative,
    "inner": InnerSteps,
}


def _check_values(options: Mapping[str, Any]) -> None:
    """Refuse an option whose value is of another kind: a name, a class, or one update in place of several."""
    for name, kind in _KINDS.items():
        value = options.get(name)
        if value is not None and not isinstance(value, kind):
            raise ConfigurationError(
                f"cannot take {name}={value!r}, because it must be an object of the kind {kind.__name__}; give such a "
                "part, built with its arguments, and no class or name"
            )
    for name in ("loss", "objective", "remainder"):
        value = options.get(name)
        if value is not None and (inspect.isclass(value) or not callable(value)):
            raise ConfigurationError(
                f"cannot take {name}={value!r}, because it must be a callable (output, target) -> scalar; write "
                f"{name}=F.cross_entropy, say"
            )
    updates = options.get("updates", ())
    if not isinstance(updates, Collection) or not all(isinstance(update, WeightUpdate) for update in updates):
        raise ConfigurationError(
            f"cannot take updates={updates!r}, because they are what is done after a step, in order; give a list of "
            "parts, as in updates=[samnesia.Lookahead()]"
        )
    total = options.get("total_steps")
    if total is not None and not integer(total) >= 1:
        raise ConfigurationError(
            f"cannot train for total_steps={total!r}, because it counts optimizer steps; choose a whole number >= 1"
        )


def check_kinds(model: Any, optimizer: Any) -> None:
    """Refuse what is no model or no optimizer that a flow of passes can serve."""
    if not isinstance(model, nn.Module) or not isinstance(optimizer, torch.optim.Optimizer):
        raise UnsupportedError(
            f"cannot perturb {type(model).__name__} with {type(optimizer).__name__}, because the first argument must "
            "be the model (its buffers, names and wrapper are needed) and the second a built torch optimizer; write "
            "samnesia.sam(model, torch.optim.SGD(model.parameters(), lr=0.1))"
        )
    if isinstance(optimizer, torch.optim.LBFGS):
        raise UnsupportedError(
            "cannot perturb inside LBFGS, because it evaluates its closure as often as it likes and its line search "
            "needs the loss at the weights themselves; use a first-order optimizer"
        )


def check_parts(method: PerturbedGradient) -> None:
    """Refuse values that no method can have, and parts that do not go together."""
    if not 0.0 < number(method.epsilon) < float("inf"):
        raise ConfigurationError(
            f"cannot divide by norms with epsilon={method.epsilon!r}, because a zero gradient must give a zero "
            "perturbation; choose a small positive number such as 1e-12"
        )
    if not integer(method.seed) >= 0:
        raise ConfigurationError(
            f"cannot draw perturbations with seed={method.seed!r}, because generators are seeded by a whole number; "
            "choose one >= 0"
        )
    if not integer(method.measure_every) >= 1:
        raise ConfigurationError(
            f"cannot measure rounding with measure_every={method.measure_every!r}, because it counts optimizer steps; "
            "choose a whole number >= 1"
        )
    if inspect.isclass(method.when) or not callable(method.when):
        raise ConfigurationError(
            f"cannot perturb when={method.when!r}, because it must be a callable step -> bool; call the schedule with "
            "its arguments, as in when=samnesia.every(5)"
        )
    check_combination(method)


def warn_of_unperturbed(names: Collection[str]) -> None:
    """Warn of trainable parameters that another optimizer, or none, holds."""
    if names:
        warnings.warn(
            f"{len(names)} trainable parameters of the model are not in the optimizer ({min(names)!r} is one): they "
            "receive the gradient of the last pass but are not perturbed themselves. Put all parameters into one "
            "optimizer, as groups, or freeze those that are not trained",
            UnperturbedParametersWarning,
            stacklevel=5,
        )
