"""What a method remembers from step to step: moving averages of gradients, a direction kept for later steps.

Tensors are kept by parameter name and never written to: a flow that ends early, or a step that the optimizer does not
take, leaves what was remembered as it was, because its new tensors are simply dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor

from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.tensors import Weights, copies, like_parameter, part_of

Named = Mapping[str, Tensor]


@final
class Memory:
    """Named entries, each one tensor per weight, one number or one table."""

    def __init__(self, entries: Mapping[str, Named] | None = None) -> None:
        self._entries: dict[str, Named] = dict(entries or {})

    def fork(self) -> Memory:
        """The same entries, to be changed without changing these; no tensor is copied."""
        return Memory(self._entries)

    def tensors(self, name: str, weights: Weights, *, absent: Sequence[Tensor] | None = None) -> list[Tensor] | None:
        """The entry `name` as tensors parallel to `weights`, not to be written to; None if there is none yet.

        For a weight that the optimizer did not hold when the entry was made: that of `absent`, or zeros.
        """
        entry = self._entries.get(name)
        if entry is None:
            return None
        others = absent or [torch.zeros_like(w) if k not in entry else w for k, w in _held(weights)]
        return [entry[k].to(w.device) if k in entry else o for (k, w), o in zip(_held(weights), others, strict=True)]

    def first(self, name: str, weights: Weights) -> list[Tensor]:
        """The entry `name`; of weights that it lacks, a copy as they are now, which is remembered."""
        known = self.tensors(name, weights, absent=weights.tensors)
        if known is None or not set(weights.names) <= self._entries[name].keys():
            known = copies(weights.tensors if known is None else known)
            self.keep(name, weights, known)
        return known

    def keep(self, name: str, weights: Weights, tensors: Sequence[Tensor]) -> None:
        """Make `tensors`, in memory of their own, the entry `name`; of other weights, frozen now, it stays as it is."""
        self._entries[name] = {**self._entries.get(name, {}), **dict(zip(weights.names, tensors, strict=True))}

    def number(self, name: str, start: float = 0.0) -> Tensor:
        """The number `name`, a 0-d tensor; `start` if there is none yet."""
        return self._entries.get(name, {}).get(_NUMBER, torch.tensor(start, dtype=torch.float64))

    def keep_number(self, name: str, value: Tensor) -> None:
        """Make the 0-d `value` the number `name`."""
        self._entries[name] = {_NUMBER: value.detach().clone()}

    def table(self, name: str) -> Tensor | None:
        """The tensor `name` that belongs to no weight, not to be written to; None if there is none yet."""
        return self._entries.get(name, {}).get(_NUMBER)

    def keep_table(self, name: str, values: Tensor) -> None:
        """Make `values`, in memory of their own, the tensor `name`; alike on all ranks."""
        self._entries[name] = {_NUMBER: values.detach()}

    def forget(self, name: str) -> None:
        """Drop the entry `name`, if there is one."""
        self._entries.pop(name, None)

    def state_dict(self, weights: Weights) -> dict[str, dict[str, Tensor]]:
        """All entries, each by parameter name; those of sharded parameters are sharded as they are."""
        like = dict(zip(weights.names, weights.parameters, strict=True))
        return {
            name: {key: like_parameter(t, like[key]) if key in like else t for key, t in entry.items()}
            for name, entry in self._entries.items()
        }

    @classmethod
    def of(cls, state: Mapping[str, Named], weights: Weights) -> Memory:
        """The memory saved as `state`; raises ConfigurationError if it is of a model with other weights."""
        like = dict(zip(weights.names, weights.parameters, strict=True))
        return cls({name: {key: _taken(name, key, t, like) for key, t in e.items()} for name, e in state.items()})

    def __bool__(self) -> bool:
        """Whether anything is remembered."""
        return bool(self._entries)


_NUMBER = ""


def _held(weights: Weights) -> Iterator[tuple[str, Tensor]]:
    return zip(weights.names, weights.tensors, strict=True)


def _taken(name: str, key: str, saved: Any, like: Mapping[str, Tensor]) -> Tensor:
    if key == _NUMBER:
        return saved.clone()  # type: ignore[no-any-return]
    if key not in like or like[key].shape != saved.shape:
        raise ConfigurationError(
            f"cannot load what the method remembers as {name!r}, because the optimizer holds no parameter {key!r} of "
            f"shape {tuple(saved.shape)}; build the method over the model and optimizer that were saved"
        )
    return part_of(saved, like[key]).clone()
