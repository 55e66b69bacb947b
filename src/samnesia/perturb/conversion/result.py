"""What a radius of another library becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import Any, final

import torch
from torch import nn

from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.parts.schedules import Every, ProportionalToLR, Radius

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


def _written(value: Any) -> str:
    """A value as one writes it in code: parts by their public names, without parts that are their own defaults."""
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"({', '.join(_written(part) for part in value)},)"
    if not is_dataclass(value):
        return repr(value)
    name = _SHORT.get(type(value), type(value).__name__)
    given = {f.name: getattr(value, f.name) for f in fields(value) if not _left_out(f, getattr(value, f.name))}
    return f"samnesia.{name}({', '.join(f'{name}={_written(part)}' for name, part in given.items())})"


def _left_out(of: Field[Any], value: Any) -> bool:
    return of.default_factory is not MISSING and of.default_factory() == value
