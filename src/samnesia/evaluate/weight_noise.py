"""Gaussian noise on weights: how it is laid on them, and the same for all models of one architecture."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from samnesia.data.draws import words
from samnesia.measure.landscape.directions import filter_normalized, vector_names
from samnesia.measure.subject import Subject
from samnesia.perturb.parts.ball import ElementScaling

_WEIGHT_NOISE = 4001  # second entry of a key: what the draw is for (samnesia.data.draws)

Offsets = list[Tensor]
"""One tensor for each trained parameter, to be added to it."""


class Law(ABC):
    """How noise is laid on weights; ``size`` 1 of it is made of standard normal entries.

    Matrices and filters get noise; vectors (biases, the parameters of normalization layers and all else with fewer
    than two dimensions) only where ``vectors`` says so.
    """

    @property
    @abstractmethod
    def words(self) -> str:
        """What its size is, for a figure."""

    @abstractmethod
    def offsets(self, subject: Subject, noise: Offsets, *, vectors: bool) -> Offsets:
        """The noise of size 1 at the weights as they stand."""


@final
@dataclass(frozen=True, slots=True)
class Absolute(Law):
    """``e ~ N(0, size²)`` in each entry."""

    @property
    def words(self) -> str:
        """Its standard deviation."""
        return "standard deviation of the noise"

    def offsets(self, subject: Subject, noise: Offsets, *, vectors: bool) -> Offsets:
        """The entries as they are."""
        return _matrices(subject, noise, vectors=vectors)


@final
@dataclass(frozen=True, slots=True)
class FilterRelative(Law):
    """Gaussian noise whose norm in each filter, or row of a linear layer, is ``size ‖filter‖₂``.

    The noise of a filter-normalized random direction (Li et al., NeurIPS 2018): nets that are the same but for a
    rescaling of their filters get the same. A vector counts as one filter.
    """

    @property
    def words(self) -> str:
        """Over the norm."""
        return "norm of the noise over that of the filter"

    def offsets(self, subject: Subject, noise: Offsets, *, vectors: bool) -> Offsets:
        """Scaled filter by filter."""
        return filter_normalized(subject, noise, vectors=vectors)


@final
@dataclass(frozen=True, slots=True)
class ElementRelative(Law):
    """``e ~ N(0, (size |w|)²)`` in each entry, in the units of ASAM's ball without a stabilizer."""

    @property
    def words(self) -> str:
        """Over the weight."""
        return "standard deviation of the noise over the weight"

    def offsets(self, subject: Subject, noise: Offsets, *, vectors: bool) -> Offsets:
        """Times the size of each weight."""
        factors = ElementScaling(eta=0.0, scaled="all").factors(subject.weights)
        scaled = [z if t is None else z * t for z, t in zip(noise, factors, strict=True)]
        return _matrices(subject, scaled, vectors=vectors)


LAWS: dict[str, Law] = {"absolute": Absolute(), "filter": FilterRelative(), "element": ElementRelative()}
"""By name."""


class Noises:
    """All perturbations of the weights, one after the other: none, then draw by draw of each size of each law."""

    def __init__(
        self, subject: Subject, sizes: Mapping[str, Sequence[float]], draws: int, seed: int, vectors: bool
    ) -> None:
        self.subject, self._draws, self._seed, self._vectors = subject, draws, seed, vectors
        self.levels = [(law, float(size)) for law, several in sizes.items() for size in several]

    def __len__(self) -> int:
        return 1 + len(self.levels) * self._draws

    def each(self) -> Iterator[tuple[int, Offsets | None]]:
        """Place and offsets of each, those of a draw from its noise; made at the weights as they stand."""
        yield 0, None
        for draw in range(self._draws):
            noise = gaussian(self.subject, self._seed, draw)
            for law in dict.fromkeys(law for law, _ in self.levels):
                unit = LAWS[law].offsets(self.subject, noise, vectors=self._vectors)
                for place, (other, size) in enumerate(self.levels):
                    if other == law:
                        yield 1 + place * self._draws + draw, [size * e for e in unit]


def gaussian(subject: Subject, seed: int, draw: int) -> Offsets:
    """Standard normal entries for all trained parameters, drawn on the CPU: the same for any device."""
    key = int(words(1, key=(seed, _WEIGHT_NOISE, draw))[0] >> 1)  # a generator's seed has a sign
    generator = torch.Generator().manual_seed(key)
    return [torch.randn(p.shape, generator=generator).to(p.device, p.dtype) for p in subject.parameters]


def _matrices(subject: Subject, offsets: Offsets, *, vectors: bool) -> Offsets:
    alone = set() if vectors else vector_names(subject)
    return [torch.zeros_like(e) if n in alone else e for n, e in zip(subject.names, offsets, strict=True)]
