"""A rank's samples of a batch, cut by the perturbation that they share and by what fits into one forward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

Piece = tuple[Any, Tensor] | tuple[Any, Tensor, Tensor]
"""Inputs and targets, and the numbers of the samples where they are known."""


class Part(NamedTuple):
    """What goes through the model at once, and as how many samples it counts."""

    inputs: Any
    targets: Tensor
    samples: int
    numbers: Tensor | None = None
    """Which samples they are, for a method that remembers what was said of each."""


def cut(
    pieces: Sequence[Piece], *, chunk: int | None, device_batch: int | None, least: int = 0, counts: bool = True
) -> list[list[Part]]:
    """Cut what was loaded for a step into the parts of each perturbation.

    Args:
        pieces: what was loaded, in order; each of whole chunks. Damaged samples are missing.
        chunk: samples that are perturbed together; None is all of them.
        device_batch: most samples of a part; None is no limit.
        least: with ``chunk`` None, the number of parts that there must be; those that are missing are one sample again,
            counting nothing. Where a model is in parts, all ranks take part in each forward of any of them.
        counts: whether the samples count; they do not where a rank had none of its own.
    """
    if chunk is not None:
        return [_parts(together, device_batch, counts) for piece in pieces for together in _slices(piece, chunk)]
    parts = [part for piece in pieces for part in _parts(piece, device_batch, counts)]
    if parts:
        parts += [Part(_slice(parts[0].inputs, 0, 1), parts[0].targets[:1], 0)] * (least - len(parts))
    return [parts] if parts else []


def _parts(piece: Piece, size: int | None, counts: bool) -> list[Part]:
    return [
        Part(inputs, targets, len(targets) if counts else 0, *numbers)
        for inputs, targets, *numbers in _slices(piece, size)
    ]


def _slices(piece: Piece, size: int | None) -> list[Piece]:
    count = len(piece[1])
    if size is None or count <= size:
        return [piece] if count else []
    return [tuple(_slice(part, i, i + size) for part in piece) for i in range(0, count, size)]


def _slice(inputs: Any, start: int, stop: int) -> Any:
    if isinstance(inputs, Tensor):
        return inputs[start:stop]
    if isinstance(inputs, dict):
        return {name: _slice(value, start, stop) for name, value in inputs.items()}
    return type(inputs)(_slice(value, start, stop) for value in inputs)
