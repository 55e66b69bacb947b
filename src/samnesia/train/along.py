"""Accuracy along a subspace: at places on its ways, at its endpoints, and of the endpoints together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from samnesia.measure.calibration.calibration import calibration_of_outputs
from samnesia.measure.calibration.links import Link
from samnesia.measure.progress import Progress, Silent
from samnesia.models.subspaces.ensemble import Ensemble
from samnesia.models.subspaces.shapes import Shares
from samnesia.models.subspaces.subspace import Subspace
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.drawn import Drawn
from samnesia.train.loaded import Loaded


@dataclass(frozen=True)
class Placed:
    """A net of a subspace on samples.

    Attributes:
        position: where it stands on its way.
        accuracy: the share that is right.
        loss: mean negative log-likelihood in nats.
        ece: expected calibration error.
    """

    position: float
    accuracy: float
    loss: float
    ece: float


@dataclass(frozen=True)
class Along:
    """What the nets of a subspace do.

    Attributes:
        shape: what it is called.
        split: whose samples.
        samples: how many.
        ways: by name, nets on a way, in order (:meth:`samnesia.models.subspaces.shapes.Shape.ways`).
        centre: the midpoint, or the barycentre.
        endpoints: each of them.
        ensemble: the mean of the endpoints' logits.
        cosine: the largest squared cosine between two endpoints, over all matrices.
    """

    shape: str
    split: str
    samples: int
    ways: Mapping[str, tuple[Placed, ...]]
    centre: Placed
    endpoints: tuple[Placed, ...]
    ensemble: Placed
    cosine: float

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "ways": {name: [asdict(one) for one in way] for name, way in self.ways.items()},
                "endpoints": [asdict(one) for one in self.endpoints]}  # fmt: skip

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Along:
        """What :meth:`as_dict` has written."""
        return cls(
            shape=written["shape"],
            split=written["split"],
            samples=written["samples"],
            ways={name: tuple(Placed(**one) for one in way) for name, way in written["ways"].items()},
            centre=Placed(**written["centre"]),
            endpoints=tuple(Placed(**one) for one in written["endpoints"]),
            ensemble=Placed(**written["ensemble"]),
            cosine=written["cosine"],
        )


def along(
    loaded: Loaded,
    samples: Drawn | None = None,
    *,
    points: int = 11,
    bins: int = 15,
    progress: Progress | None = None,
) -> Along:
    """Evaluate the nets along the subspace of a run.

    At each place BatchNorm's statistics are estimated anew, from all training samples as evaluation sees them.

    Args:
        loaded: a run along a subspace, with classes for targets.
        samples: to evaluate on; None is all of the test split.
        points: places on each way, 2 or more.
        bins: of the expected calibration error.
        progress: who is told how far it is.

    Raises:
        ConfigurationError: for a run of one net, or fewer than two points.
    """
    subspace = loaded.subspace
    if subspace is None:
        raise ConfigurationError(
            f"cannot look along {loaded.directory}, because it trained one net, and this requires a line, a curve or a "
            "simplex; train it with --subspace.kind Line"
        )
    if points < 2:
        raise ConfigurationError(
            f"cannot look along {subspace.shape.called} at {points} places, because a way has two ends; give 2 or more"
        )
    on = samples if samples is not None else loaded.samples("test")
    settled = _Settled(subspace, loaded, progress or Silent())
    link, shape = loaded.config.loss.link(), subspace.shape
    ways = shape.ways(points)
    settled.progress.begin("subspace", sum(map(len, ways.values())) + shape.endpoints + 1)
    try:
        found = {
            name: tuple(_placed(position, settled.net(shares), on, link, bins) for position, shares in way)
            for name, way in ways.items()
        }
        nets = [settled.net(corner) for corner in shape.corners()]
        ends = tuple(_placed(float(i), net, on, link, bins) for i, net in enumerate(nets))
        together = _placed(0.5, Ensemble(nets), on, link, bins)
        centre = _placed(0.5, settled.net(shape.centre), on, link, bins)
    finally:
        settled.progress.end()
    return Along(shape.called, on.split, len(on), found, centre, ends, together, _largest_cosine(subspace))


@dataclass(frozen=True)
class _Settled:
    """Nets of a subspace, each with its own statistics."""

    subspace: Subspace
    loaded: Loaded
    progress: Progress

    def net(self, shares: Shares) -> nn.Module:
        net = self.subspace.net(shares)
        update_bn(self._inputs(), net)
        self.progress.advance(1.0)
        return net.eval()

    def _inputs(self) -> Iterator[list[Any]]:
        # in a list, since update_bn takes the first of several inputs for all of them
        batches = self.loaded.samples("train", batch_size=self.loaded.config.batch_size)
        return ([inputs] for inputs, _ in batches if len(inputs) > 1)


@torch.no_grad()
def _placed(position: float, net: nn.Module, samples: Drawn, link: Link, bins: int) -> Placed:
    parts = [(net(inputs), targets) for inputs, targets in samples]
    outputs, targets = (torch.cat(column) for column in zip(*parts, strict=True))
    found = calibration_of_outputs(outputs, targets, link=link, bins=bins)
    return Placed(position, found.accuracy.value, found.nll.value, found.ece)


@torch.no_grad()
def _largest_cosine(subspace: Subspace) -> float:
    ends: Sequence[int] = range(subspace.shape.endpoints)
    return max(float(subspace.squared_cosine(i, j)) for i in ends for j in ends if i < j)
