"""Accuracy and loss of a model whose weights get Gaussian noise (Mordido et al., ICML 2024, evaluate so).

Robust to it is what tolerates weights that are stored or computed inexactly. All models of one architecture get the
same noise by its seed, and all sizes of it are the same draws, scaled.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from samnesia.evaluate.predictions import Rows, Sampled, batches, together
from samnesia.evaluate.weight_noise import LAWS, Noises
from samnesia.extras import require
from samnesia.measure.estimate import plain
from samnesia.measure.landscape.directions import vector_names
from samnesia.measure.landscape.normalization import KeptStatistics, PointStatistics, ReestimatedStatistics
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError, UnsupportedError

if TYPE_CHECKING:
    from samnesia.train.loaded import Loaded

CONFIDENCE = 0.95
HELD = 2**30
"""Bytes of samples that are held at a time, while the noise goes through them."""


@dataclass(frozen=True)
class Interval:
    """A mean over draws with its 95 % t-interval; values that are not finite make it NaN, as a single one its ends."""

    mean: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Interval:
        """``mean ± t sd / sqrt(n)``."""
        count, mean = len(values), math.fsum(values) / len(values)
        if count < 2 or not math.isfinite(mean):
            return cls(mean, math.nan, math.nan, count)
        spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1) / count)
        half = float(require("scipy.stats", extra="train").t.ppf(0.5 + CONFIDENCE / 2.0, count - 1)) * spread
        return cls(mean, mean - half, mean + half, count)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {name: plain(getattr(self, name)) for name in ("mean", "low", "high")} | {"count": self.count}


@dataclass(frozen=True)
class Level:
    """What a size of noise does.

    Attributes:
        law: how it is laid on the weights.
        size: how large it is.
        accuracies: shares that are right, 0 to 1, a draw each.
        losses: of evaluation, a draw each.
    """

    law: str
    size: float
    accuracies: tuple[float, ...]
    losses: tuple[float, ...]

    @property
    def accuracy(self) -> Interval:
        """Over draws."""
        return Interval.of(self.accuracies)

    @property
    def loss(self) -> Interval:
        """Over draws."""
        return Interval.of(self.losses)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "law": self.law,
            "size": self.size,
            "accuracy": self.accuracy.as_dict() | {"values": list(self.accuracies)},
            "loss": self.loss.as_dict() | {"values": [plain(value) for value in self.losses]},
        }

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Level:
        """What :meth:`as_dict` has written; a loss that was not finite is NaN."""
        losses = tuple(math.nan if value is None else value for value in written["loss"]["values"])
        return cls(written["law"], written["size"], tuple(written["accuracy"]["values"]), losses)


@dataclass(frozen=True)
class NoisyAccuracy:
    """A classifier under noise on its weights.

    Attributes:
        split: whose samples.
        samples: how many.
        clean: without noise: a level of size 0 and one draw.
        levels: law by law, in the order of sizes.
        parameters: how many weights get noise.
        normalization: by what normalization layers normalize.
    """

    split: str
    samples: int
    clean: Level
    levels: tuple[Level, ...]
    parameters: int
    normalization: str

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "split": self.split,
            "samples": self.samples,
            "clean": self.clean.as_dict(),
            "levels": [level.as_dict() for level in self.levels],
            "parameters": self.parameters,
            "normalization": self.normalization,
        }

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> NoisyAccuracy:
        """What :meth:`as_dict` has written."""
        levels = tuple(Level.from_dict(level) for level in written["levels"])
        return cls(**{**written, "clean": Level.from_dict(written["clean"]), "levels": levels})

    def of_law(self, law: str) -> list[Level]:
        """The levels of a law, that without noise first."""
        return [self.clean, *(level for level in self.levels if level.law == law)]


def noisy_accuracy(
    loaded: Loaded,
    sampled: Sampled,
    sizes: Mapping[str, Sequence[float]],
    *,
    draws: int = 10,
    seed: int = 0,
    vectors: bool = False,
    reestimate: int | None = None,
) -> NoisyAccuracy:
    """Accuracy and loss under noise on the weights, which are afterwards as they were, bit by bit.

    Args:
        loaded: the run and its data.
        sampled: which samples; those of about a gigabyte are held at a time.
        sizes: by law (:data:`LAWS`), sizes of the noise.
        draws: how often noise is drawn; the same draws for all sizes and laws, and for all models of one architecture.
        seed: of the noise.
        vectors: noise on biases and the parameters of normalization layers, too.
        reestimate: training samples from which running statistics of normalization layers are estimated anew under
            each noise; None keeps those of the run.

    Raises:
        ConfigurationError: for an unknown law, sizes that are none, or fewer draws than 1.
        UnsupportedError: for targets that are no classes, and a model without a matrix to put noise on.
    """
    _check(sizes, draws)
    subject = Subject(loaded.model, loaded.criterion, loaded.samples(sampled.split, 1))
    noised = {*subject.names} - (set() if vectors else vector_names(subject))
    if not noised:
        raise UnsupportedError(
            "cannot put noise on the weights of this model, because all that it trains are vectors; say vectors=True"
        )
    statistics: PointStatistics = KeptStatistics()
    if reestimate is not None:
        source = loaded.samples("train", reestimate, seed=seed, batch_size=sampled.batch_size)
        statistics = ReestimatedStatistics(Subject(loaded.model, loaded.criterion, source))
    noises = Noises(subject, sizes, draws, seed, vectors)
    with subject.looking(), torch.no_grad():
        found = together(_under(noises, statistics, loaded, sampled))
    right, losses = found.outputs.mean(dim=0).unbind(-1)
    clean = Level("none", 0.0, (float(right[0]),), (float(losses[0]),))
    levels = []
    for place, (law, size) in enumerate(noises.levels):
        own = slice(1 + place * draws, 1 + (place + 1) * draws)
        levels.append(Level(law, size, tuple(right[own].tolist()), tuple(losses[own].tolist())))
    return NoisyAccuracy(
        split=sampled.split,
        samples=len(found),
        clean=clean,
        levels=tuple(levels),
        parameters=sum(p.numel() for name, p in zip(subject.names, subject.parameters, strict=True) if name in noised),
        normalization=statistics.describe(subject),
    )


def _under(
    noises: Noises, statistics: PointStatistics, loaded: Loaded, sampled: Sampled
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For this process's batches: whether samples are right and their batch's loss ``[n, noises, 2]``; targets; rows.

    The loss of a batch stands for each of its samples, whose mean it is.
    """
    subject = noises.subject
    for held in _blocks(batches(loaded, sampled)):
        scores = [torch.empty(len(rows), len(noises), 2, dtype=torch.float64) for _, _, rows in held]
        for place, offsets in noises.each():
            with nullcontext() if offsets is None else subject.at(offsets), statistics.at_point(subject):
                for (inputs, targets, _), score in zip(held, scores, strict=True):
                    outputs = subject.model(inputs)
                    _check_classes(outputs, targets)
                    score[:, place, 0] = (outputs.argmax(dim=1) == targets).cpu()
                    score[:, place, 1] = float(loaded.criterion(outputs, targets))
        yield from ((score, targets, rows) for score, (_, targets, rows) in zip(scores, held, strict=True))


def _blocks(found: Iterable[Rows]) -> Iterator[list[Rows]]:
    """Batches, so many together as may be held."""
    held: list[Rows] = []
    size = 0
    for batch in found:
        held.append(batch)
        size += sum(leaf.nbytes for leaf in _tensors(batch[0]))
        if size >= HELD:
            yield held
            held, size = [], 0
    if held:
        yield held


def _tensors(inputs: Any) -> list[Tensor]:
    from torch.utils._pytree import tree_leaves

    return [leaf for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor)]


def _check(sizes: Mapping[str, Sequence[float]], draws: int) -> None:
    if unknown := [law for law in sizes if law not in LAWS]:
        raise ConfigurationError(
            f"cannot put {', '.join(unknown)} noise on weights, because there is none; there are {', '.join(LAWS)}"
        )
    wrong = [size for several in sizes.values() for size in several if not 0.0 < size < math.inf]
    if wrong or not any(sizes.values()):
        raise ConfigurationError(
            f"cannot put noise of size {', '.join(map(str, wrong)) or 'none'} on weights, because a size is a positive "
            "number; give some, such as 0.1"
        )
    if draws < 1:
        raise ConfigurationError(
            f"cannot average over {draws} draws of noise, because a mean is over one at least; give 10, say"
        )


def _check_classes(outputs: Tensor, targets: Tensor) -> None:
    if targets.ndim != 1 or targets.is_floating_point() or outputs.ndim != 2:
        raise UnsupportedError(
            "cannot evaluate accuracy under noise on the weights, because the targets are no classes; leave the suite "
            "noisy-weights out"
        )
