"""What every look at a model needs, so that it leaves no trace: generators put back, and batches that are moved."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from samnesia.perturb.modules import ModelState


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


def on_device(item: Any, device: torch.device) -> Any:
    """The tensors of a batch on the device."""
    if isinstance(item, Tensor):
        return item.to(device)
    if isinstance(item, Mapping):
        return type(item)({key: on_device(value, device) for key, value in item.items()})  # type: ignore[call-arg]
    if isinstance(item, tuple) and hasattr(item, "_fields"):
        return type(item)(*(on_device(value, device) for value in item))
    if isinstance(item, list | tuple):
        return type(item)(on_device(value, device) for value in item)
    return item
