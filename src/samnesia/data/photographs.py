"""Patches of photographs that come with scikit-image: which photograph is a patch from?

Nothing is downloaded: the photographs are part of the scikit-image package. Only those stored without loss are used,
so that their pixels are the same whatever decodes them.

Each photograph is divided into 4 x 4 regions, with a margin of 4 pixels inside of each: any two patches of different
regions are at least 8 pixels apart. Eight regions of each photograph are for training, three for validation and five
for the test, and the seed decides which: test patches show places that training has not seen. All seeds draw from the
same photographs, so an interval over seeds is about other regions of these, not about other photographs.

A patch ``p`` is standardised by itself, as ``(p - mean) / max(std, 1)`` with its own mean and standard deviation in
grey levels of 0 to 255: its brightness and its contrast say nothing about where it is from, but for the few patches
that are all but flat. Of colour photographs the green channel is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from samnesia.data.draws import PATCHES, REGIONS, permutation
from samnesia.data.pixels import StandardisedAlone
from samnesia.data.problem import Problem, TensorSplit
from samnesia.extras import require
from samnesia.perturb.errors import ConfigurationError

KNOWN = (
    "astronaut", "brick", "camera", "cell", "chelsea", "clock", "coffee", "coins", "grass", "gravel",
    "immunohistochemistry", "moon", "page", "text",
)  # fmt: skip
"""Photographs of ``skimage.data`` that are in the package and stored without loss, by the name of their function."""
GRID = 4
MARGIN = 4
TRAIN_REGIONS, VALIDATION_REGIONS = 8, 3
BRIGHTEST = 255.0
LEAST_STD = 1.0
"""In grey levels of 0 to 255: what has less contrast is the rounding of a flat patch, and is not blown up."""

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Places:
    """Where patches come from; every array has the shape ``[n]``.

    Attributes:
        photograph: number of the photograph, which is the class.
        region: 0 to 15, line by line.
        top: first row of the patch in the photograph.
        left: first column.
    """

    photograph: Integers
    region: Integers
    top: Integers
    left: Integers


def photographs(seed: int, names: Sequence[str], *, side: int = 16, per_region: int = 12) -> Problem:
    """Cut patches of ``side * side`` pixels, shape ``[1, side, side]``, and split them by ``seed`` and region.

    From each region come ``per_region`` patches that do not overlap, chosen by the seed. With eight photographs and the
    defaults there are 768 patches for training, 288 for validation and 480 for the test, equally many of each class.
    The same seed gives the same patches on every machine.

    Raises:
        ConfigurationError: for a photograph that is unknown or named twice, fewer than two, or more or larger patches
            than fit into a region.
        MissingExtraError: if scikit-image is not installed.
    """
    _check(names, side, per_region)
    images = [_photograph(name) for name in names]
    splits = []
    for places in split_places(seed, [image.shape for image in images], names, side=side, per_region=per_region):
        patches = np.stack(
            [
                images[number][top : top + side, left : left + side]
                for number, top, left in zip(places.photograph, places.top, places.left, strict=True)
            ]
        )
        pixels = torch.from_numpy((patches / BRIGHTEST).astype(np.float32))[:, None]
        inputs, labels = torch.from_numpy(_standardised(patches)), torch.from_numpy(places.photograph)
        splits.append(TensorSplit(inputs, labels, pixels=pixels))
    train, validation, test = splits
    exposure = StandardisedAlone(LEAST_STD / BRIGHTEST)
    return Problem(train, validation, test, num_outputs=len(names), shape=(1, side, side), exposure=exposure)


def split_places(
    seed: int, shapes: Sequence[tuple[int, ...]], names: Sequence[str], *, side: int, per_region: int
) -> tuple[Places, Places, Places]:
    """Return where the patches of training, validation and test lie in photographs of these shapes.

    Raises:
        ConfigurationError: if so many patches do not fit into a region.
    """
    parts: list[list[Integers]] = [[], [], []]
    for number, (shape, name) in enumerate(zip(shapes, names, strict=True)):
        order = permutation(GRID * GRID, key=(seed, REGIONS, number))
        for part, regions in zip(
            parts, np.split(order, [TRAIN_REGIONS, TRAIN_REGIONS + VALIDATION_REGIONS]), strict=True
        ):
            for region in map(int, regions):
                spots = _spots(shape, region, side)
                if len(spots) < per_region:
                    raise ConfigurationError(
                        f"cannot cut {per_region} patches of {side} pixels from each region of {name}, because "
                        f"{len(spots)} fit beside each other; use at most {len(spots)}, or smaller ones"
                    )
                chosen = permutation(len(spots), key=(seed, PATCHES, number, region))[:per_region]
                origin = np.broadcast_to([number, region], (per_region, 2))
                part.append(np.hstack([origin, spots[chosen]]))
    train, validation, test = (Places(*np.concatenate(part).T.copy()) for part in parts)
    return train, validation, test


def _spots(shape: tuple[int, ...], region: int, side: int) -> Integers:
    """Top left corners of all patches that fit beside each other into a region, shape ``[n, 2]``."""
    starts = []
    for length, place in zip(shape, divmod(region, GRID), strict=True):
        first, end = place * length // GRID + MARGIN, (place + 1) * length // GRID - MARGIN
        starts.append(first + side * np.arange(max(0, end - first) // side))
    rows, columns = np.meshgrid(*starts, indexing="ij")
    return np.stack([rows.ravel(), columns.ravel()], axis=1)


def _standardised(patches: Integers) -> NDArray[np.float32]:
    """Sums are of whole numbers, so that they are exact, and the same on every machine."""
    count = patches.shape[1] * patches.shape[2]
    total, squares = patches.sum((1, 2)), (patches**2).sum((1, 2))
    std = np.sqrt(count * squares - total**2) / count
    centred = patches - (total / count)[:, None, None]
    standardised: NDArray[np.float32] = (centred / np.maximum(std, LEAST_STD)[:, None, None]).astype(np.float32)
    return standardised[:, None]


@lru_cache(maxsize=len(KNOWN))
def _photograph(name: str) -> Integers:
    """Grey levels of 0 to 255, shape ``[height, width]``."""
    image = getattr(require("skimage.data", extra="study"), name)()
    grey: Integers = (image[..., 1] if image.ndim == 3 else image).astype(np.int64)
    return grey


def _check(names: Sequence[str], side: int, per_region: int) -> None:
    unknown = [name for name in names if name not in KNOWN]
    if unknown:
        raise ConfigurationError(
            f"cannot cut patches from {', '.join(unknown)}, because only photographs are used that scikit-image brings "
            f"along, stored without loss; use some of {', '.join(KNOWN)}"
        )
    if len(set(names)) != len(names) or len(names) < 2:
        raise ConfigurationError(
            f"cannot tell patches of {', '.join(names) or 'no photograph'} apart, because two or more photographs are "
            "needed, each of them once; name others"
        )
    if side < 2 or per_region < 1:
        raise ConfigurationError(
            f"cannot cut {per_region} patches of {side} pixels, because a region gives one or more, of two or more "
            "pixels; use 12 of 16, say"
        )
