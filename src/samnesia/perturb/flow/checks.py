"""What is refused, or warned of, when a method is built: parts, options, model and optimizer that do not fit."""

from __future__ import annotations

import difflib
import inspect
import warnings
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from samnesia.perturb.errors import ConfigurationError, UnperturbedParametersWarning, UnsupportedError
from samnesia.perturb.parts.rules import KeptDifference, Rule
from samnesia.perturb.parts.updates import DifferenceStep

if TYPE_CHECKING:
    from samnesia.perturb.flow.passes import PerturbedGradient


def check_names(options: Collection[str], known: Collection[str]) -> None:
    """Refuse an option that no method has, naming the nearest."""
    for name in sorted(set(options) - set(known)):
        near = "".join(f"; did you mean {near!r}?" for near in difflib.get_close_matches(name, known, n=1))
        raise ConfigurationError(
            f"cannot take the option {name!r}, because the options of a method are {sorted(known)}{near}"
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
    """Refuse parts that contradict each other."""
    if not 0.0 < method.epsilon < float("inf"):
        raise ConfigurationError(
            f"cannot divide by norms with epsilon={method.epsilon}, because a zero gradient must give a zero "
            "perturbation; choose a small positive number such as 1e-12"
        )
    if not isinstance(method.measure_every, int) or method.measure_every < 1:
        raise ConfigurationError(
            f"cannot measure rounding with measure_every={method.measure_every!r}, because it counts optimizer steps; "
            "choose a whole number >= 1"
        )
    if inspect.isclass(method.when) or not callable(method.when):
        raise ConfigurationError(
            f"cannot perturb when={method.when!r}, because it must be a callable step -> bool; call the schedule with "
            "its arguments, as in when=samnesia.every(5)"
        )
    if method.ascent is not None and method.ascent.num_gradients == 0:
        for part in (method.rule, method.objective, method.selection):
            if part is not None:
                raise ConfigurationError(
                    f"cannot combine {part} with {type(method.ascent).__name__}, because it needs a gradient pass at "
                    "the unperturbed weights and this ascent takes none; use GradientAscent"
                )
    if method.rule is not None and method.rule.of_the_loss and method.objective is not None:
        raise ConfigurationError(
            f"cannot combine {method.rule} with an objective of its own, because it takes the first gradient for that "
            "of the loss and would descend what the ascent increases; leave objective= out"
        )
    if method.rule is not None and method.rule.needs_clean and method.selection is not None:
        raise ConfigurationError(
            f"cannot combine {method.rule} with a selection, because it would mix the gradient of all samples with one "
            "of the selected alone; leave one of them out"
        )
    if method.remainder is not None and method.rule is not None and type(method.rule).between is not Rule.between:
        raise ConfigurationError(
            f"cannot combine {method.rule} with a remainder, because what it keeps of the perturbed part of the loss "
            "would be used with the whole of it; leave one of them out"
        )
    if isinstance(method.rule, KeptDifference) != any(isinstance(update, DifferenceStep) for update in method.after):
        raise ConfigurationError(
            "cannot use KeptDifference without DifferenceStep, or that without the other, because one keeps what the "
            "other steps; give rule=KeptDifference() and after=[DifferenceStep(factor=...)], as wsam does"
        )
    kinds = [type(update) for update in method.after]
    for kind in {kind for kind in kinds if kinds.count(kind) > 1}:
        raise ConfigurationError(
            f"cannot follow a step with {kind.__name__} twice, because both would remember under one name; give it once"
        )
    if method.remembers and method.sync == "rank":
        raise ConfigurationError(
            f"cannot perturb with sync='rank' through {method.ascent} and {method.rule}, because what one of them "
            "remembers would differ from rank to rank, and a checkpoint holds it once; use sync='batch'"
        )
    if method.remainder is not None and method.loss is None:
        raise ConfigurationError(
            "cannot leave a remainder of the loss unperturbed without loss=, because what is perturbed is the rest of "
            "it; give loss=F.cross_entropy, say"
        )
    if method.selection is not None and (method.loss is None or method.remainder is not None):
        raise ConfigurationError(
            "cannot select samples without loss=, or with a remainder, because each pass must tell the losses of one "
            "and the same batch; give loss=F.cross_entropy, say, and no remainder"
        )
    if method.teacher is not None:
        method.teacher.check(method)
    if method.inner is not None:
        method.inner.check(method)
    if method.descent is not None:
        method.descent.check(method)
    if method.objective is not None and method.loss is None:
        raise ConfigurationError(
            "cannot ascend an objective of its own without loss=, because p.loss must give the objective on ascent "
            "passes and the training loss on the last; give loss=F.cross_entropy, say"
        )


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
