"""What every look at a model needs, so that it leaves no trace: generators put back, and batches made anew."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from samnesia.perturb.modules import ModelState
from samnesia.perturb.parts.ball import Generators


@contextmanager
def generators_kept(model: nn.Module) -> Iterator[None]:
    """Leave the global generators of Python, NumPy and torch as they were found; loaders draw from them, too."""
    state = ModelState(model, {p.device for p in model.parameters()})
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        state.restore_random()


def seeded(seed: int) -> Generators:
    """One generator per device, each beginning at the seed; the global ones are not touched."""
    made: dict[torch.device, torch.Generator] = {}

    def of(device: torch.device) -> torch.Generator:
        if device not in made:
            made[device] = torch.Generator(device).manual_seed(seed)
        return made[device]

    return of


def on_device(item: Any, device: torch.device) -> Any:
    """The tensors of a batch on the device."""
    return changed(item, lambda tensor: tensor.to(device))


def changed(item: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same mappings, lists, tuples and named tuples, each tensor in them changed; all else is left."""
    if isinstance(item, Tensor):
        return change(item)
    if isinstance(item, Mapping):
        return type(item)({key: changed(value, change) for key, value in item.items()})  # type: ignore[call-arg]
    if isinstance(item, tuple) and hasattr(item, "_fields"):
        return type(item)(*(changed(value, change) for value in item))
    if isinstance(item, list | tuple):
        return type(item)(changed(value, change) for value in item)
    return item
