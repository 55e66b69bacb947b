"""Splits of images: every sample is made under generators of its own."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from PIL import Image

from samnesia.data.draws import AUGMENT
from samnesia.data.generators import preserved_generators, seed_generators
from samnesia.data.pixels import Exposure
from samnesia.data.problem import Batch, Split
from samnesia.data.samples import DamagedImageError, Labels, Samples
from samnesia.data.views import View
from samnesia.perturb.errors import ConfigurationError, DamagedSampleWarning


@dataclass(frozen=True)
class Views:
    """How the images of a split look.

    Attributes:
        training: with augmentation, drawn from the global generators.
        evaluation: without.
        shape: of what both return.
        exposure: how both make inputs of pixels.
    """

    training: View
    evaluation: View
    shape: tuple[int, int, int]
    exposure: Exposure | None = None


class SampleSplit(Split):
    """Images and labels, made as they are asked for.

    A sample looks in training as its (seed, epoch, index) say, whatever its batch, process and rank: the generators
    that transforms draw from are seeded for each sample, and given back afterwards as they were.

    Args:
        samples: where the images come from.
        numbers: which of them are in the split, by their number there; int64 of shape ``[n]``.
        labels: what training and evaluation see, int64 of shape ``[n]``.
        clean_labels: the true classes where labels may be wrong.
        views: how images look.
        seed: of the run.
        skip_damaged: leave images that cannot be decoded out of batches, with a warning, instead of stopping.
    """

    doing: ClassVar[str] = "train with"
    leaving_out: ClassVar[str] = 'data.damaged "skip"'
    """What is done with the images, and the option that leaves out damaged ones: for messages."""

    def __init__(
        self,
        samples: Samples,
        numbers: Labels,
        labels: Labels,
        *,
        clean_labels: Labels | None,
        views: Views,
        seed: int,
        skip_damaged: bool,
    ) -> None:
        self.samples, self.views, self._seed = samples, views, seed
        self.numbers, self.labels = torch.from_numpy(numbers), torch.from_numpy(labels)
        self.clean_labels = None if clean_labels is None else torch.from_numpy(clean_labels)
        self.damaged: set[int] = set()
        # in memory that worker processes share, so that a file is warned of once and not by every process
        self._warned = torch.zeros(len(numbers), dtype=torch.bool).share_memory_() if skip_damaged else None

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Sequence[int], epoch: int | None = None) -> Batch:
        """Return samples as training sees them in ``epoch``, or, without one, as evaluation sees them.

        Inputs are float32 of shape ``[n, 3, height, width]``; there are fewer than ``indices`` where damaged images are
        left out (``damaged`` says which).

        Raises:
            ConfigurationError: for an image that is damaged or gone, with its name.
        """
        view = self.views.evaluation if epoch is None else self.views.training
        kept: list[int] = []
        inputs = torch.empty(len(indices), *self.views.shape)
        with preserved_generators():
            for index in map(int, indices):
                image = self._image(index)
                if image is None:
                    continue
                if epoch is not None:
                    seed_generators((self._seed, AUGMENT, epoch, index))
                view(image, inputs[len(kept)])
                kept.append(index)
        return inputs[: len(kept)], self.labels[kept]

    def _image(self, index: int) -> Image.Image | None:
        """Return the image of a sample, or None if it is damaged and to be left out."""
        if index in self.damaged:
            return None
        number = int(self.numbers[index])
        try:
            return self.samples.image(number)
        except DamagedImageError as error:
            self._report(index, str(error))
            return None
        except OSError as error:
            # not the image's fault: a disk that went away must not empty the data set, whatever is said of damage
            raise ConfigurationError(
                f"cannot {self.doing} {self.samples.name(number)}, because it cannot be read "
                f"({error.strerror or error}); see that the data set stays in place"
            ) from None

    def _report(self, index: int, reason: str) -> None:
        name = self.samples.name(int(self.numbers[index]))
        if self._warned is None:
            raise ConfigurationError(
                f"cannot {self.doing} {name}, because the image (sample {index}) is damaged: {reason}; "
                f"replace it, or leave such images out with {self.leaving_out}"
            ) from None
        self.damaged.add(index)
        if not self._warned[index]:
            self._warned[index] = True
            warnings.warn(
                f"{name} (sample {index}) is left out of training and evaluation, because the image is damaged: "
                f"{reason}",
                DamagedSampleWarning,
                stacklevel=4,
            )
