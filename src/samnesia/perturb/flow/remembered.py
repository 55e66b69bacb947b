"""What a method remembers, in two states: what real steps have kept, and what the flows since then would add."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.parts.memory import Memory
from samnesia.perturb.tensors import Weights


@final
class Remembered:
    """The memory that a step begins with, and the one that it ends with if the optimizer takes it.

    `parts`: names of the parts that may remember. Their entries mean nothing to others.
    """

    def __init__(self, parts: Sequence[object]) -> None:
        self._parts = [type(part).__name__ for part in parts]
        self.kept, self.next = Memory(), Memory()

    def keep(self) -> None:
        """The optimizer has stepped."""
        self.kept = self.next

    def drop(self) -> None:
        """What was added since the last step is not wanted."""
        self.next = self.kept

    def state_dict(self, weights: Weights, *, inside: bool) -> dict[str, Any]:
        """Both by parameter name, the second only `inside` an accumulation; nothing where nothing is remembered."""
        if not (self.kept or self.next):
            return {}
        state: dict[str, Any] = {"parts": self._parts, "memory": self.kept.state_dict(weights)}
        return state | ({"next_memory": self.next.state_dict(weights)} if inside else {})

    def load(self, state: Mapping[str, Any], weights: Weights) -> None:
        """Take over what `state_dict` gave; raises ConfigurationError for that of other parts, or of other weights."""
        others = state.get("parts", self._parts)
        if list(others) != self._parts:
            raise ConfigurationError(
                f"cannot load what a method of {', '.join(others)} remembers into one of "
                f"{', '.join(self._parts) or 'no such parts'}, because it would mean something else there; build the "
                "method that was saved"
            )
        kept = Memory.of(state.get("memory", {}), weights)
        self.next = Memory.of(state["next_memory"], weights) if "next_memory" in state else kept
        self.kept = kept
