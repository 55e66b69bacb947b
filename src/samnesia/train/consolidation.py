"""Elastic weight consolidation: a quadratic penalty that holds weights to those of earlier tasks.

With anchors w*_t, the weights after task t, and the diagonal F_t of its Fisher information there, the loss is::

    L(w) + λ/2 Σ_t Σ_i F_t,i (w_i - w*_t,i)²

Source: J. Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks", PNAS 2017, equation 3, with a
term for each earlier task. The penalty is part of the loss: a method of two passes differentiates it in both, in the
second one at the weights where it has arrived.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from samnesia.extras import require
from samnesia.models.weights import first_sentence
from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.modules import parameter_name
from samnesia.perturb.tensors import is_dtensor
from samnesia.train.measures import Criterion

ANCHOR, IMPORTANCE = "anchor", "importance"


@dataclass(frozen=True, eq=False)
class Anchor:
    """The weights after a task, and how much each of them mattered to it, by the names of parameters."""

    weights: Mapping[str, Tensor]
    importance: Mapping[str, Tensor]


class Consolidated:
    """A criterion with a penalty added.

    Args:
        loss: (output, target) -> scalar.
        model: whose weights are held; wrappers do not matter.
        anchors: what they are held to.
        strength: λ.

    Raises:
        ConfigurationError: for anchors of another model, and for a model in parts.
    """

    def __init__(self, loss: Criterion, model: nn.Module, anchors: Sequence[Anchor], strength: float) -> None:
        self._loss, self._strength = loss, strength
        trained = {parameter_name(name): p for name, p in model.named_parameters() if p.requires_grad}
        if any(is_dtensor(p) for p in trained.values()):
            raise ConfigurationError(
                "cannot hold the weights of a model in parts, because the penalty requires whole weights in each "
                "process; use --hardware.strategy ddp"
            )
        self._terms = [
            (p, *(_fitting(name, p, values) for values in (anchor.weights, anchor.importance)))
            for anchor in anchors
            for name, p in trained.items()
        ]

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the loss and the penalty."""
        return self._loss(output, target) + self.penalty()

    def penalty(self) -> Tensor:
        """Return λ/2 Σ F (w - w*)², a scalar, at the weights as they stand."""
        parts = [(importance * (p - weights).square()).sum() for p, weights, importance in self._terms]
        return self._strength / 2.0 * torch.stack(parts).sum()


def write_anchors(path: Path, anchors: Sequence[Anchor]) -> None:
    """Write anchors to a ``.safetensors`` file, so that a killed process leaves the old file or the whole new one."""
    safetensors = require("safetensors.torch", extra="train")
    tensors = {
        f"{number}.{kind}.{name}": value.detach().cpu().contiguous()
        for number, anchor in enumerate(anchors)
        for kind, values in ((ANCHOR, anchor.weights), (IMPORTANCE, anchor.importance))
        for name, value in values.items()
    }
    temporary = path.with_name(f".{path.name}.writing")
    temporary.write_bytes(safetensors.save(tensors))
    temporary.replace(path)


def read_anchors(path: Path | str) -> list[Anchor]:
    """Read what :func:`write_anchors` wrote.

    Raises:
        ConfigurationError: if the file is not there, damaged, or of another content.
    """
    safetensors = require("safetensors.torch", extra="train")
    try:
        tensors: dict[str, Tensor] = safetensors.load(Path(path).read_bytes())
        found: dict[int, dict[str, dict[str, Tensor]]] = {}
        for key, value in tensors.items():
            number, kind, name = key.split(".", 2)
            found.setdefault(int(number), {ANCHOR: {}, IMPORTANCE: {}})[kind][name] = value
    except FileNotFoundError:
        raise ConfigurationError(
            f"cannot hold weights to those in {path}, because there is no such file; run the tasks before again"
        ) from None
    except Exception as error:  # a damaged file fails in as many ways as there are bytes
        raise ConfigurationError(
            f"cannot hold weights to those in {path}, because it is damaged or holds something else "
            f"({first_sentence(error)}); run the tasks before again"
        ) from error
    return [Anchor(found[number][ANCHOR], found[number][IMPORTANCE]) for number in sorted(found)]


def _fitting(name: str, parameter: nn.Parameter, values: Mapping[str, Tensor]) -> Tensor:
    value = values.get(name)
    if value is None or value.shape != parameter.shape:
        there = "lack it" if value is None else f"have it in shape {tuple(value.shape)}"
        raise ConfigurationError(
            f"cannot hold the weights of this model, because its {name!r} has shape {tuple(parameter.shape)} and the "
            f"anchors {there}; use those of a run of the same model"
        )
    return value.to(parameter)
