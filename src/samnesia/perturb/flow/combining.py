"""Which parts a method may be made of together: what each requires, and which exclude each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.parts.ascents import SteppedAscent
from samnesia.perturb.parts.rules import KeptDifference, Rule
from samnesia.perturb.parts.updates import DifferenceStep

if TYPE_CHECKING:
    from samnesia.perturb.flow.passes import PerturbedGradient

NEED_LOSS = {
    "objective": "p.loss must give the objective on ascent passes and the training loss on the last",
    "remainder": "what is perturbed is the rest of the loss",
    "selection": "samples are chosen by what p.loss tells of them",
    "teacher": "the divergence from its outputs is a part of the training loss",
    "descent": "the first pass has to tell the derivative of the loss for the last",
}
"""Parts that work through `p.loss`, and why."""

NEED_GRADIENT = ("rule", "objective", "selection", "descent")
"""Parts that need a gradient pass at the unperturbed weights."""

_WHOLE = "the divergence is a part of the training loss of whole batches"
_TELLS = "the first pass has to tell the derivative of the whole loss for the last"
_ROUNDS = "every round of them steps the gradient found at its perturbed weights"
EXCLUDE = {
    ("remainder", "selection"): "the losses of a pass must be those of one and the same batch",
    ("teacher", "remainder"): _WHOLE,
    ("teacher", "selection"): _WHOLE,
    ("descent", "remainder"): _TELLS,
    ("descent", "selection"): _TELLS,
    ("descent", "teacher"): _TELLS,
    ("inner", "descent"): _ROUNDS,
    ("inner", "rule"): _ROUNDS,
    ("inner", "remainder"): _ROUNDS,
    ("inner", "selection"): _ROUNDS,
    ("inner", "teacher"): _ROUNDS,
    ("inner", "keep_gradient_buffers"): _ROUNDS,
    ("inner", "offload"): "they keep copies of the weights of their own",
}
"""Options of which only one can be given, and why."""


def check_combination(method: PerturbedGradient) -> None:
    """Refuse parts that require what is not there, or that contradict each other; raises ConfigurationError."""
    for name, why in NEED_LOSS.items():
        if getattr(method, name) is not None and method.loss is None:
            raise ConfigurationError(
                f"cannot use {_spoken(method, name)} without loss=, because {why}; give loss=F.cross_entropy, say"
            )
    for (one, other), why in EXCLUDE.items():
        if _given(method, one) and _given(method, other):
            raise ConfigurationError(
                f"cannot combine {_spoken(method, one)} with {_spoken(method, other)}, because {why}; leave one of "
                "them out"
            )
    for name in NEED_GRADIENT:
        ascent = method.ascent
        if getattr(method, name) is not None and ascent is not None and ascent.num_gradients == 0:
            raise ConfigurationError(
                f"cannot combine {_spoken(method, name)} with {type(ascent).__name__}, because it needs a gradient "
                "pass at the unperturbed weights and this ascent takes none; use GradientAscent"
            )
    _check_rule(method)
    _check_scope_of_memory(method)
    if method.teacher is not None:
        method.teacher.check()
    _check_inner(method)


def _given(method: PerturbedGradient, name: str) -> bool:
    value = getattr(method, name)
    return value is not None and value is not False


def _spoken(method: PerturbedGradient, name: str) -> str:
    """The option as it was given, without what is in it: ``remainder=ClassWeighted``."""
    value = getattr(method, name)
    return f"{name}={value if isinstance(value, bool) else getattr(value, '__name__', type(value).__name__)}"


def _check_rule(method: PerturbedGradient) -> None:
    rule = method.rule
    if rule is not None and rule.of_the_loss and method.objective is not None:
        raise ConfigurationError(
            f"cannot combine {rule} with an objective of its own, because it takes the first gradient for that "
            "of the loss and would descend what the ascent increases; leave objective= out"
        )
    if rule is not None and rule.needs_clean and method.selection is not None:
        raise ConfigurationError(
            f"cannot combine {rule} with a selection, because it would mix the gradient of all samples with one "
            "of the selected alone; leave one of them out"
        )
    if rule is not None and method.remainder is not None and type(rule).between is not Rule.between:
        raise ConfigurationError(
            f"cannot combine {rule} with a remainder, because what it keeps of the perturbed part of the loss "
            "would be used with the whole of it; leave one of them out"
        )
    if isinstance(rule, KeptDifference) != any(isinstance(update, DifferenceStep) for update in method.updates):
        raise ConfigurationError(
            "cannot use KeptDifference without DifferenceStep, or that without the other, because one keeps what the "
            "other steps; give rule=KeptDifference() and updates=[DifferenceStep(factor=...)], as wsam does"
        )


def _check_inner(method: PerturbedGradient) -> None:
    inner = method.inner
    if inner is None:
        return
    if not isinstance(method.ascent, SteppedAscent) or method.ascent.steps != 1:
        raise ConfigurationError(
            f"cannot step between the passes of {method.ascent}, because each round perturbs by one move along a "
            "direction; use GradientAscent()"
        )
    if inner.reuse and method.objective is not None:
        raise ConfigurationError(
            "cannot reuse the gradient of a step for the next ascent, because the ascent follows an objective of "
            "its own; leave reuse out"
        )
    if method.sync == "rank":
        raise ConfigurationError(
            f"cannot combine {_spoken(method, 'inner')} with sync='rank', because all ranks must step the same "
            "weights; use sync='batch'"
        )


def _check_scope_of_memory(method: PerturbedGradient) -> None:
    kinds = [type(update) for update in method.updates]
    for kind in {kind for kind in kinds if kinds.count(kind) > 1}:
        raise ConfigurationError(
            f"cannot follow a step with {kind.__name__} twice, because both would remember under one name; give it once"
        )
    for part in (method.ascent, method.rule):
        if part is not None and part.remembers and method.sync == "rank":
            raise ConfigurationError(
                f"cannot perturb with sync='rank' through {part}, because what it remembers would differ from rank to "
                "rank, and a checkpoint holds it once; use sync='batch'"
            )
