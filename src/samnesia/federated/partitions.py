"""How the samples of a problem are divided among clients.

A division is a function of (labels, clients, seed): the same on every machine, so that each client finds its own
samples without being told. Every sample belongs to exactly one client.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samnesia.data.draws import permutation, uniforms
from samnesia.data.problem import Batch, Problem, Split
from samnesia.federated.keys import PARTICIPANTS, PARTITION
from samnesia.federated.parts import Partition
from samnesia.train.parts.checks import require

_ORDER, _SHARES, _CLASSES = range(3)

Indices = NDArray[np.int64]


def divide(partition: Partition, labels: Tensor, clients: int, seed: int) -> list[Indices]:
    """Return the numbers of each client's samples, in increasing order.

    Equal sizes: client by client, ``q ~ Dirichlet(alpha p)`` with ``p`` the shares of the classes in the data, and each
    sample's class is drawn from ``q``, without replacement; of classes that are used up, ``q`` leaves out. Drawn sizes:
    for each class, ``q ~ Dirichlet(alpha, …, alpha)`` over the clients.

    Args:
        partition: alpha, and whether sizes are equal or drawn.
        labels: class of each sample, int64 of shape ``[n]``.
        clients: number of clients.
        seed: of the run.

    Raises:
        ConfigurationError: for fewer samples than clients of equal size, or fewer clients than classes where each has
            one.
    """
    known, of_class = np.unique(labels.numpy(), return_inverse=True)
    pools = [_shuffled(np.flatnonzero(of_class == k), seed, k) for k in range(len(known))]
    parts: Sequence[Sequence[int] | Indices]
    if partition.alpha == 0.0:
        parts = _one_class_each(pools, clients)
    elif partition.sizes == "drawn":
        parts = _drawn(pools, clients, partition.alpha, seed)
    else:
        parts = _equal(pools, clients, partition.alpha, seed)
    return [np.sort(np.asarray(part, dtype=np.int64)) for part in parts]


def participants(filled: Sequence[int], count: int, *, seed: int, round_: int) -> list[int]:
    """Return the clients that take part in a round: ``count`` of those that have samples, in increasing order."""
    order = permutation(len(filled), key=(seed, PARTICIPANTS, round_))
    return sorted(int(filled[place]) for place in order[:count])


def _one_class_each(pools: list[Indices], clients: int) -> list[Indices]:
    classes = len(pools)
    require(
        clients >= classes,
        f"cannot give {clients} clients one class each of {classes}, because the samples of "
        f"{classes - clients} classes would be nobody's; use {classes} clients or more, or an alpha above 0",
    )
    members = [range(k, clients, classes) for k in range(classes)]
    parts: list[Indices] = [np.empty(0, dtype=np.int64)] * clients
    for pool, of_class in zip(pools, members, strict=True):
        for client, part in zip(of_class, np.array_split(pool, len(of_class)), strict=True):
            parts[client] = part
    return parts


def _drawn(pools: list[Indices], clients: int, alpha: float, seed: int) -> list[list[int]]:
    parts: list[list[int]] = [[] for _ in range(clients)]
    for k, pool in enumerate(pools):
        shares = _dirichlet(np.full(clients, alpha), key=(seed, PARTITION, _SHARES, k))
        edges = np.rint(np.cumsum(shares) * len(pool)).astype(np.int64)[:-1]
        for client, part in enumerate(np.split(pool, edges)):
            parts[client].extend(part.tolist())
    return parts


def _equal(pools: list[Indices], clients: int, alpha: float, seed: int) -> list[list[int]]:
    samples = sum(map(len, pools))
    require(
        clients <= samples,
        f"cannot divide {samples} samples among {clients} clients, because each requires one at least; use at most "
        f"{samples} clients",
    )
    prior = np.array([len(pool) for pool in pools]) / samples
    left = [pool.tolist() for pool in pools]
    parts: list[list[int]] = []
    for client in range(clients):
        shares = _dirichlet(alpha * prior, key=(seed, PARTITION, _SHARES, client))
        size = samples // clients + (client < samples % clients)
        draws = uniforms(size, key=(seed, PARTITION, _CLASSES, client))
        parts.append([left[_class_of(draw, shares, left)].pop() for draw in draws.tolist()])
    return parts


def _class_of(draw: float, shares: NDArray[np.float64], left: list[list[int]]) -> int:
    """The class that a number of [0, 1) means, among those with samples left."""
    there = np.array([bool(pool) for pool in left])
    weights = np.where(there, shares, 0.0)
    if weights.sum() <= 0.0:  # all that this client wants is used up: it takes what there is
        weights = np.array([float(len(pool)) for pool in left])
    edges = np.cumsum(weights / weights.sum())
    found = int(np.searchsorted(edges, draw, side="right"))
    if found < len(left) and left[found]:
        return found
    return int(np.flatnonzero(there)[-1])  # by rounding, at the upper edge


def _dirichlet(concentrations: NDArray[np.float64], key: tuple[int, ...]) -> NDArray[np.float64]:
    """Shares, as normalised gamma variables; in logarithms, for they underflow where a concentration is small."""
    from scipy.stats import gamma

    count = len(concentrations)
    first, second = np.split(uniforms(2 * count, key=key), 2)
    tiny = 2.0**-54  # half of the smallest step: no draw is 0
    logs = np.log(gamma.ppf(first + tiny, concentrations + 1.0)) + np.log(second + tiny) / concentrations
    weights = np.exp(logs - logs.max())
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def _shuffled(pool: Indices, seed: int, k: int) -> Indices:
    return pool[permutation(len(pool), key=(seed, PARTITION, _ORDER, k))]


class Subset(Split):
    """Some samples of a split, numbered anew; each looks as it does there.

    Args:
        split: the whole.
        indices: numbers of the samples in it.
    """

    def __init__(self, split: Split, indices: Indices) -> None:
        self._split, self._indices = split, [int(index) for index in indices]
        self.labels = class_labels(split)[torch.from_numpy(np.asarray(indices, dtype=np.int64))]

    def __len__(self) -> int:
        return len(self._indices)

    def batch(self, indices: Sequence[int], epoch: int | None = None) -> Batch:
        """Return samples as training sees them in ``epoch``, or, without one, as evaluation sees them."""
        return self._split.batch([self._indices[int(index)] for index in indices], epoch)

    @property
    def damaged(self) -> Set[int]:  # type: ignore[override]
        """Numbers of the samples that were found damaged."""
        found = self._split.damaged
        return {place for place, index in enumerate(self._indices) if index in found} if found else frozenset()


def class_labels(split: Split) -> Tensor:
    """The class of each sample of a split.

    Raises:
        ConfigurationError: where samples have no classes, or they are not known beforehand.
    """
    labels = getattr(split, "labels", None)
    known = isinstance(labels, Tensor) and labels.dtype == torch.int64 and labels.ndim == 1
    require(
        known,
        "cannot divide these data among clients, because a division by classes requires one known class for each "
        "sample; use a data set with labels",
    )
    assert isinstance(labels, Tensor)
    return labels


def of_client(problem: Problem, indices: Indices) -> Problem:
    """The problem as a client has it: its own samples, and nothing held out."""
    return replace(problem, train=Subset(problem.train, indices), validation=None, test=None)
