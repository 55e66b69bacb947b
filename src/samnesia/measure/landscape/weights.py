"""Other weights of the same network: a state dict, a module, or a list of tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.modules import innermost, parameter_name
from samnesia.perturb.tensors import local

OtherWeights = nn.Module | Mapping[str, Any] | Sequence[Tensor]
"""A module, a state dict, or tensors in the order of ``subject.parameters``."""


def weights_of(subject: Subject, other: OtherWeights) -> list[Tensor]:
    """The trained parameters of ``other``, in the order of ``subject.parameters``; nothing is copied.

    Raises:
        ConfigurationError: for weights of another architecture, or whose frozen parameters are not the subject's (then
            no straight way inside the trained ones leads there).
    """
    if isinstance(other, nn.Module):
        other = innermost(other).state_dict()
    if not isinstance(other, Mapping):
        return as_tensors(subject, other, "these weights")
    named = {parameter_name(str(name)): value for name, value in other.items()}
    _compare_names(subject, named)
    _compare_frozen(subject, named)
    return as_tensors(subject, [named[name] for name in subject.names], "these weights")


def as_tensors(subject: Subject, given: Sequence[Tensor], what: str) -> list[Tensor]:
    """The local parts of tensors that have the parameters' shapes; raises ConfigurationError for others."""
    tensors = [local(t.detach()) if isinstance(t, Tensor) else t for t in given]
    if len(tensors) != len(subject.parameters):
        raise ConfigurationError(
            f"cannot go along or to {what}, because there are {len(tensors)} tensors for {len(subject.parameters)} "
            "trained parameters; give one for each, in the order of subject.parameters"
        )
    for name, parameter, tensor in zip(subject.names, subject.weights.tensors, tensors, strict=True):
        if not isinstance(tensor, Tensor) or tensor.shape != parameter.shape:
            found = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
            raise ConfigurationError(
                f"cannot go along or to {what}, because {found} stands where parameter {name!r} has the shape "
                f"{tuple(parameter.shape)}; give tensors of the same architecture, in the order of subject.parameters"
            )
    return tensors


def _compare_names(subject: Subject, named: Mapping[str, Any]) -> None:
    lacking = [name for name in subject.names if name not in named]
    own = {parameter_name(name) for name in subject.model.state_dict()}
    foreign = [name for name in named if name not in own]
    if lacking or foreign:
        what = f"they lack {lacking[0]!r}" if lacking else f"the subject's model has no {foreign[0]!r}"
        raise ConfigurationError(
            f"cannot go to these weights, because {what}; give the state dict of a network of the same architecture"
        )


def _compare_frozen(subject: Subject, named: Mapping[str, Any]) -> None:
    for name, parameter in subject.model.named_parameters():
        value = named.get(parameter_name(name))
        if parameter.requires_grad or not isinstance(value, Tensor):
            continue
        mine, theirs = local(parameter.detach()), local(value.detach()).to(parameter.device)
        if not torch.equal(mine, theirs):
            raise ConfigurationError(
                f"cannot go to these weights, because parameter {parameter_name(name)!r} is frozen in the subject's "
                "model and has another value there; thaw it (requires_grad_(True)), or compare runs that share it"
            )
