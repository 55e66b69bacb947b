"""What training needs of a data set: splits, whose samples are fetched in batches by number.

A split knows how a sample looks in training and in evaluation. How it looks in training is a function of
(seed, epoch, index) alone: it does not depend on the batch it is in, on the process that loads it, or on what was
drawn before. Interrupted runs, other numbers of workers or devices, and repeated runs therefore see the same samples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from samnesia.data.pixels import Exposure
from samnesia.perturb.errors import ConfigurationError

Batch = tuple[Any, Tensor]
"""Inputs (a tensor, or a tuple, list or dictionary of tensors, with the samples first) and targets."""

Augment = Callable[[Tensor, int, Sequence[int]], Tensor]
"""(inputs, epoch, indices) -> inputs as training sees them in this epoch."""

Mix = Callable[[Any, Tensor, int, Sequence[int]], Batch]
"""(inputs, targets, epoch, indices) -> inputs and targets, mixed with each other (mixup)."""


@dataclass(frozen=True, eq=False)
class SecondLabel:
    """Another class that each sample speaks for beside its label, and which figures of evaluation tell the two apart.

    It may be the true class where labels are wrong, or the class of a mark that was planted in the image. Each figure
    is a share in percent, under a name of its own, and is not measured where there is no name.

    Attributes:
        classes: the other class of each sample, int64 of shape ``[n]``.
        followed: of the samples whose label is another, those that are predicted as the other class.
        resisted: of the same samples, those that are predicted as their label.
        agreed: of the samples whose label is the same, those that are predicted as it.
    """

    classes: Tensor
    followed: str | None = None
    resisted: str | None = None
    agreed: str | None = None

    @property
    def figures(self) -> tuple[str, ...]:
        """The names of the figures that are measured."""
        return tuple(name for name in (self.followed, self.resisted, self.agreed) if name is not None)

    def shares(self, targets: Tensor, indices: Sequence[int]) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Yield for each figure: its name, the members among these samples (bool), and what they may be predicted as.

        Args:
            targets: labels of the samples, shape ``[k]``.
            indices: their numbers in the split.
        """
        other = self.classes[torch.as_tensor(indices)].to(targets.device)
        apart = targets != other
        measured = ((self.followed, apart, other), (self.resisted, apart, targets), (self.agreed, ~apart, targets))
        for name, members, classes in measured:
            if name is not None:
                yield name, members, classes


class Split(ABC):
    """Samples 0, ..., len - 1 of a data set.

    ``clean_labels`` are the true labels, int64 of shape ``[n]``, where those that training sees are partly wrong; None
    where they are not known to be.
    """

    clean_labels: Tensor | None = None
    damaged: Set[int] = frozenset()
    """Numbers of the samples that this process found damaged, and leaves out of the batches that it returns."""
    second_labels: tuple[SecondLabel, ...] = ()
    """What else the samples speak for, and is measured in every evaluation beside accuracy and loss."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples."""

    @abstractmethod
    def batch(self, indices: Sequence[int], epoch: int | None = None) -> Batch:
        """Return samples as training sees them in ``epoch``, or, without one, as evaluation sees them."""

    def pixels(self, indices: Sequence[int]) -> Tensor | None:
        """Pixels of 0 to 1 of these samples, where what evaluation sees does not tell them; else None."""
        return None


class TensorSplit(Split):
    """Samples that are tensors in memory.

    Args:
        inputs: shape ``[n, ...]``.
        labels: what training and evaluation see, shape ``[n]`` or ``[n, ...]``.
        clean_labels: the true classes where labels may be wrong.
        augment: how training sees the inputs; None is as they are.
        second_labels: what else the samples speak for.
        pixels: of images, 0 to 1, shape ``[n, channels, height, width]``, where the inputs do not tell them.

    Raises:
        ConfigurationError: for second labels that are not one class per sample.
    """

    def __init__(
        self,
        inputs: Tensor,
        labels: Tensor,
        clean_labels: Tensor | None = None,
        *,
        augment: Augment | None = None,
        second_labels: tuple[SecondLabel, ...] = (),
        pixels: Tensor | None = None,
    ) -> None:
        for second in second_labels:
            if second.classes.shape != labels.shape or second.classes.dtype != torch.int64 or labels.ndim != 1:
                raise ConfigurationError(
                    f"cannot measure {', '.join(second.figures) or 'a second label'} with {second.classes.dtype} of "
                    f"shape {list(second.classes.shape)} for labels of shape {list(labels.shape)}, because it requires "
                    "one class (int64) for each sample and label; give as many"
                )
        self.inputs, self.labels, self.clean_labels, self._augment = inputs, labels, clean_labels, augment
        self.second_labels, self._pixels = second_labels, pixels

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Sequence[int], epoch: int | None = None) -> Batch:
        """Return samples as training sees them in ``epoch``, or, without one, as evaluation sees them."""
        chosen = torch.as_tensor(indices)
        inputs = self.inputs[chosen]
        if self._augment is not None and epoch is not None:
            inputs = self._augment(inputs, epoch, indices)
        return inputs, self.labels[chosen]

    def pixels(self, indices: Sequence[int]) -> Tensor | None:
        """Pixels of 0 to 1 of these samples, where what evaluation sees does not tell them; else None."""
        return None if self._pixels is None else self._pixels[torch.as_tensor(indices)]


@dataclass(frozen=True)
class Problem:
    """A data set as training needs it.

    Attributes:
        train: what is trained on.
        validation: what decisions are made by; None if nothing was held out.
        test: what is reported; None if there is none.
        num_outputs: number of classes, or whatever the model shall put out per sample.
        shape: of one input, without the batch; what models are built for.
        mix: how batches are mixed in training (mixup), as (inputs, targets, epoch, indices) -> (inputs, targets).
        exposure: how a model sees the pixels of images; None where inputs are no images, or nothing is known of it.
        made_from: what samples were made from where machines differ in it (versions, digests); runs write it down.
    """

    train: Split
    validation: Split | None
    test: Split | None
    num_outputs: int
    shape: tuple[int, ...]
    mix: Mix | None = None
    exposure: Exposure | None = None
    made_from: Mapping[str, str] = field(default_factory=dict)

    def pixels(self, split: Split, indices: Sequence[int]) -> Tensor:
        """Pixels of 0 to 1 of samples of a split as evaluation sees them, shape ``[n, channels, height, width]``.

        There are fewer than ``indices`` where damaged images are left out.

        Raises:
            ConfigurationError: if the data are no images.
        """
        if self.exposure is None:
            raise ConfigurationError(
                "cannot look at the pixels of these data, because they are no images, or do not say how pixels become "
                "inputs; give the Problem an exposure (samnesia.data.pixels)"
            )
        stored = split.pixels(indices)
        return (self.exposure.pixels(split.batch(indices)[0]) if stored is None else stored).clamp(0.0, 1.0)

    @property
    def class_counts(self) -> tuple[int, ...] | None:
        """Training samples of each class, as training sees them; None where labels are no classes, or not known."""
        labels = getattr(self.train, "labels", None)
        if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.ndim != 1:
            return None
        return tuple(torch.bincount(labels, minlength=self.num_outputs).tolist())

    @property
    def judged_on(self) -> str:
        """The split that results are reported for."""
        return "test" if self.test is not None else "validation" if self.validation is not None else "train"

    @property
    def chosen_on(self) -> str:
        """The split that the best epoch is chosen on."""
        return "validation" if self.validation is not None else self.judged_on
