"""Labelled images that are fetched by number, wherever they lie.

All labels are read up front, so that label noise, held-out samples and wrong numbers of classes are known before
training. Images are read one by one, by whichever process makes the batch.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from samnesia.perturb.errors import ConfigurationError, SamnesiaError

Labels = NDArray[np.int64]


class DamagedImageError(SamnesiaError):
    """The bytes of an image are there, but no image comes out of them."""


class Samples(ABC):
    """Images 0, ..., len - 1, with ``labels``: int64 of shape ``[n]``."""

    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def image(self, index: int) -> Image.Image:
        """Return an image in RGB.

        Raises:
            DamagedImageError: if it cannot be decoded.
            OSError: if it cannot be read.
        """

    @abstractmethod
    def name(self, index: int) -> str:
        """Return where the image lies, for messages."""


@dataclass(frozen=True)
class ImageSets:
    """What a source holds: its splits, and the number of classes where the source knows it."""

    train: Samples
    validation: Samples | None
    test: Samples | None
    num_classes: int | None


def decode(encoded: bytes) -> Image.Image:
    """Return the image that the bytes of a file hold, in RGB.

    Raises:
        DamagedImageError: for a truncated file, and for whatever else the decoder cannot read.
    """
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            image.load()
            return image if image.mode == "RGB" else image.convert("RGB")
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, zlib.error and others
        reason = "it is empty" if not encoded else str(error).partition(" <")[0] or type(error).__name__
        raise DamagedImageError(reason) from None


class PackedStrings(Sequence[str]):
    """Many strings in two arrays, so that worker processes neither copy nor unpickle an object for each."""

    def __init__(self, strings: Iterable[str]) -> None:
        encoded = [string.encode("utf-8", "surrogateescape") for string in strings]
        self._bytes = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        self._ends = np.cumsum([len(one) for one in encoded], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: Any) -> Any:
        """Return one string; slices are not supported."""
        start = self._ends[index - 1] if index else 0
        return self._bytes[start : self._ends[index]].tobytes().decode("utf-8", "surrogateescape")


class FileSamples(Samples):
    """Images in a file each."""

    def __init__(self, files: Sequence[str], labels: Labels) -> None:
        self._files, self.labels = PackedStrings(files), labels

    def image(self, index: int) -> Image.Image:
        """Read and decode the file."""
        return decode(Path(self._files[index]).read_bytes())

    def name(self, index: int) -> str:
        """Return its path."""
        return str(self._files[index])


class ArraySamples(Samples):
    """Images of one size in memory, uint8 of shape ``[n, height, width, 3]``, shared by processes on a machine."""

    def __init__(self, pixels: Tensor, labels: Labels, what: str) -> None:
        self._pixels, self.labels, self._what = pixels, labels, what

    def image(self, index: int) -> Image.Image:
        """Return a view of the image."""
        return Image.fromarray(self._pixels[index].numpy())

    def name(self, index: int) -> str:
        """Return the number of the image in its data set."""
        return f"image {index} of {self._what}"


class Joined(Samples):
    """Several data sets, one after the other."""

    def __init__(self, parts: Sequence[Samples]) -> None:
        self._parts = list(parts)
        self._starts = np.cumsum([0, *(len(part) for part in parts)])
        self.labels = np.concatenate([part.labels for part in parts])

    def image(self, index: int) -> Image.Image:
        """Return an image of the part that it lies in."""
        part, rest = self._locate(index)
        return part.image(rest)

    def name(self, index: int) -> str:
        """Return its name in the part that it lies in."""
        part, rest = self._locate(index)
        return part.name(rest)

    def _locate(self, index: int) -> tuple[Samples, int]:
        part = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._parts[part], index - int(self._starts[part])


def as_labels(values: Any, what: str) -> Labels:
    """Return class indices as int64.

    Raises:
        ConfigurationError: if they are not whole numbers from 0, one for each sample.
    """
    labels = np.asarray(values.cpu() if isinstance(values, torch.Tensor) else values)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer) or (labels.size and labels.min() < 0):
        raise ConfigurationError(
            f"cannot use the labels of {what}, because training on images requires one class per image, counted from "
            "0; choose another set, or another field of it"
        )
    return labels.astype(np.int64)
