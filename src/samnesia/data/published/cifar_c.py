"""CIFAR-10-C and CIFAR-100-C: the test images of CIFAR, corrupted in fifteen ways (and four more) at five severities.

On disk an array for each corruption, ``CORRUPTION.npy``, uint8 of shape ``[50000, 32, 32, 3]``: five blocks of all
10,000 test images, by severity; and ``labels.npy`` of shape ``[50000]``.

Source: D. Hendrycks and T. Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samnesia.data.corruptions import MAIN, SEVERITIES
from samnesia.data.published.imagenet_c import called
from samnesia.data.published.labelled import Labelled, left_out
from samnesia.data.samples import Labels, Samples, as_labels
from samnesia.perturb.errors import ConfigurationError

LABELS = "labels.npy"


class MappedImages(Samples):
    """Images of one size in an array on disk, of which only those that are looked at are read.

    Args:
        path: of the array, uint8 of shape ``[n, height, width, 3]``.
        start: number of the first image there.
        labels: of the images from there on.
    """

    def __init__(self, path: Path, start: int, labels: Labels) -> None:
        self._path, self._start, self.labels = path, start, labels

    @cached_property
    def _pixels(self) -> NDArray[np.uint8]:
        found: NDArray[np.uint8] = np.load(self._path, mmap_mode="r")
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Without the array: another process opens the file itself."""
        return {name: value for name, value in vars(self).items() if name != "_pixels"}

    def image(self, index: int) -> Image.Image:
        """Return a copy of the image."""
        return Image.fromarray(np.array(self._pixels[self._start + index]))

    def name(self, index: int) -> str:
        """Return its number in its array."""
        return f"image {self._start + index} of {self._path}"


@dataclass(frozen=True, eq=False)
class CifarC:
    """What there is of CIFAR-10-C or CIFAR-100-C in a folder.

    Attributes:
        root: the folder.
        labels: of the test images, int64; the same at each severity.
        severities: that are evaluated, of each family that is there.
        missing: families that are not there, and are left out.
    """

    root: Path
    labels: Labels
    severities: dict[str, tuple[int, ...]]
    missing: tuple[str, ...]

    def open(self, corruption: str, severity: int) -> Labelled:
        """The images of a corruption at a severity."""
        start = (severity - 1) * len(self.labels)
        return Labelled(MappedImages(_path(self.root, corruption), start, self.labels), self.labels[:, None])


def open_cifar_c(
    root: Path | str,
    outputs: int,
    *,
    corruptions: Sequence[str] = MAIN,
    severities: Sequence[int] = SEVERITIES,
    skip: bool = False,
) -> CifarC:
    """See what there is of CIFAR-10-C or CIFAR-100-C.

    Args:
        root: holds the arrays.
        outputs: number of classes of the model.
        corruptions: the families that are evaluated.
        severities: of each of them.
        skip: evaluate on what is there of them.

    Raises:
        ConfigurationError: for labels of another number of classes, arrays of other sizes or that cannot be read, and,
            without ``skip``, arrays that are missing.
    """
    root = Path(root)
    labels = _labels(root / LABELS, outputs)
    there = tuple(name for name in corruptions if _path(root, name).is_file())
    if not there:
        raise ConfigurationError(
            f"cannot evaluate on {root}, because CIFAR-C is in arrays such as gaussian_noise.npy, and none is there; "
            "name the folder that holds them"
        )
    for name in there:
        _check_images(_path(root, name), len(labels) * len(SEVERITIES))
    missing = [_path(root, name).name for name in corruptions if name not in there]
    found = dict.fromkeys(there, tuple(severities))
    return CifarC(root, labels, found, left_out(missing, root, skip=skip))


def _path(root: Path, corruption: str) -> Path:
    return root / f"{called(corruption)}.npy"


def _labels(path: Path, outputs: int) -> Labels:
    """Of one severity."""
    labels = as_labels(_read(path), str(path))
    blocks = labels.reshape(len(SEVERITIES), -1) if len(labels) and not len(labels) % len(SEVERITIES) else None
    if blocks is None or (blocks != blocks[0]).any():
        raise ConfigurationError(
            f"cannot use the {len(labels)} labels in {path}, because they are those of the test images, five times "
            "over, for five severities; use the file as its authors published it"
        )
    highest = int(labels.max()) + 1
    if highest != outputs:
        raise ConfigurationError(
            f"cannot evaluate a model of {outputs} classes on {path.parent}, because its labels are of {highest} "
            "classes; CIFAR-10-C belongs to models of CIFAR-10, CIFAR-100-C to those of CIFAR-100"
        )
    found: Labels = blocks[0].copy()
    return found


def _check_images(path: Path, count: int) -> None:
    images = _read(path)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3 or len(images) != count:
        raise ConfigurationError(
            f"cannot evaluate on {path}, because it holds {images.dtype} of shape {list(images.shape)}, and {count} "
            f"images for its labels are uint8 of shape [{count}, height, width, 3]; use the file as its authors "
            "published it"
        )


def _read(path: Path) -> NDArray[Any]:
    """An array that stays on disk."""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(found, np.ndarray):
            raise ValueError("it is an archive of arrays")
    except (OSError, ValueError, EOFError) as error:
        raise ConfigurationError(
            f"cannot evaluate on {path}, because it cannot be read as an array of NumPy "
            f"({getattr(error, 'strerror', None) or error}); get it again, or name the folder that holds it"
        ) from None
    return found
