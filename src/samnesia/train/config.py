"""What a training run is: typed, frozen, and able to go through JSON and back.

A :class:`RunConfig` holds everything that decides the numbers of a run; the same configuration gives the same weights,
bit by bit, on the same machine. Its parts are dataclasses that build what they describe.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from samnesia.perturb.errors import ConfigurationError
from samnesia.train.methods import METHODS, Method, Unperturbed, method_name
from samnesia.train.plain import from_plain, to_plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch
    from torch import nn

    from samnesia.data.digits import Splits

__all__ = [
    "CNN",
    "METHODS",
    "MLP",
    "SGD",
    "Constant",
    "Cosine",
    "Digits",
    "Method",
    "Perturbed",
    "RunConfig",
    "Unperturbed",
    "method_name",
]


MOST_EPOCHS, MOST_UNITS, MOST_THREADS, MOST_SEED = 1_000_000, 4096, 1024, 2**63 - 1


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise ConfigurationError(sentence)


@dataclass(frozen=True)
class Digits:
    """Scikit-learn's digits: 800 training, 200 validation and 797 test images."""

    flipped: float = 0.0
    """Share of training and validation labels moved to another class, 0 to 1."""
    shift: int = 0
    """Augmentation: shift every training image by up to so many pixels, anew each epoch."""

    def __post_init__(self) -> None:
        _require(
            0.0 <= self.flipped <= 1.0,
            f"cannot flip a share of {self.flipped} of the labels, because a share lies between 0 and 1; "
            "use 0.4 for 40 %",
        )
        _require(
            0 <= self.shift < 8,
            f"cannot shift images by {self.shift} pixels, because they are 8 pixels wide; use 0 to 7",
        )

    @property
    def train_size(self) -> int:
        """Number of training images."""
        from samnesia.data.digits import NUM_TRAIN

        return NUM_TRAIN

    def load(self, seed: int) -> Splits:
        """Return the three splits of this seed."""
        from samnesia.data.digits import digits

        return digits(seed, flipped=self.flipped)

    def augment(self, images: torch.Tensor, *, key: tuple[int, ...]) -> torch.Tensor:
        """Return the images as one epoch sees them; ``key`` (seed, purpose, epoch) addresses the random draws."""
        if self.shift == 0:
            return images
        from samnesia.data.augment import shift

        return shift(images, self.shift, key=key)


@dataclass(frozen=True)
class CNN:
    """A small convolutional net with BatchNorm."""

    channels: tuple[int, ...] = (16, 32)
    """Output channels of the 3 x 3 convolutions; each is followed by a 2 x 2 pooling."""
    hidden: int = 128
    """Width of the hidden layer before the logits."""

    def __post_init__(self) -> None:
        _require(
            all(1 <= width <= MOST_UNITS for width in (*self.channels, self.hidden)),
            f"cannot build a net with channels {self.channels} and hidden {self.hidden}, because every layer has 1 to "
            f"{MOST_UNITS} units; use such widths",
        )

    def build(self, shape: tuple[int, int, int], num_classes: int) -> nn.Module:
        """Return the net for images of ``shape`` (channels, height, width)."""
        from samnesia.models.small import small_cnn

        channels, height, _ = shape
        _require(
            height >> len(self.channels) >= 1,
            f"cannot build a net of {len(self.channels)} convolutions for images of {height} pixels, because each "
            f"halves the image; use at most {int(math.log2(height))} channels",
        )
        return small_cnn(channels, num_classes, channels=self.channels, hidden=self.hidden, size=height)


@dataclass(frozen=True)
class MLP:
    """Fully connected layers with BatchNorm."""

    hidden: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers."""

    def __post_init__(self) -> None:
        _require(
            all(1 <= width <= MOST_UNITS for width in self.hidden),
            f"cannot build a net with hidden {self.hidden}, because every layer has 1 to {MOST_UNITS} units; "
            "use such widths",
        )

    def build(self, shape: tuple[int, int, int], num_classes: int) -> nn.Module:
        """Return the net for images of ``shape`` (channels, height, width)."""
        from samnesia.models.small import mlp

        return mlp(math.prod(shape), num_classes, hidden=self.hidden)


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent, as in torch.optim.SGD."""

    lr: float = 0.05
    """Highest learning rate of the run."""
    momentum: float = 0.9
    """Share of the last update that is repeated, 0 to below 1."""
    weight_decay: float = 5e-4
    """Coefficient of the weights that is added to their gradient at the update; it is no part of the perturbation."""
    nesterov: bool = False
    """Look ahead along the momentum."""

    def __post_init__(self) -> None:
        _require(
            0.0 < self.lr < math.inf,
            f"cannot train with lr {self.lr}, because a learning rate is a positive number; use 0.05, say",
        )
        _require(
            0.0 <= self.momentum < 1.0,
            f"cannot train with momentum {self.momentum}, because the updates would grow without bound; "
            "use a value from 0 to below 1",
        )
        _require(
            0.0 <= self.weight_decay < math.inf,
            f"cannot train with weight decay {self.weight_decay}, because it would make the weights grow; "
            "use 0 or more",
        )
        _require(
            not self.nesterov or self.momentum > 0.0,
            "cannot use nesterov with momentum 0, because there is nothing to look ahead along; "
            "use a momentum of 0.9, say",
        )

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the optimizer over the parameters."""
        import torch

        return torch.optim.SGD(
            parameters, self.lr, momentum=self.momentum, weight_decay=self.weight_decay, nesterov=self.nesterov
        )


@dataclass(frozen=True)
class Cosine:
    """Linear warm-up, then half a cosine down to zero at the end of the run."""

    warmup_epochs: float = 0.0
    """Epochs of warm-up."""

    def __post_init__(self) -> None:
        _check_warmup(self.warmup_epochs)

    def factor(self, step: int, *, total_steps: int, warmup_steps: int) -> float:
        """Return what the learning rate is multiplied with at ``step``, counted from 0."""
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        return 0.5 + 0.5 * math.cos(math.pi * (step - warmup_steps) / max(1, total_steps - warmup_steps))


@dataclass(frozen=True)
class Constant:
    """Linear warm-up, then a constant learning rate."""

    warmup_epochs: float = 0.0
    """Epochs of warm-up."""

    def __post_init__(self) -> None:
        _check_warmup(self.warmup_epochs)

    def factor(self, step: int, *, total_steps: int, warmup_steps: int) -> float:
        """Return what the learning rate is multiplied with at ``step``, counted from 0."""
        return min(1.0, (step + 1) / max(1, warmup_steps))


def _check_warmup(warmup_epochs: float) -> None:
    _require(
        0.0 <= warmup_epochs <= MOST_EPOCHS,
        f"cannot warm up for {warmup_epochs} epochs, because a duration lies between 0 and {MOST_EPOCHS}; "
        "use 0 for none",
    )


@dataclass(frozen=True)
class Perturbed:
    """On which steps the method perturbs; plain steps of the base optimizer otherwise."""

    start_epoch: float = 0.0
    """First epoch with perturbation; may lie between two epochs."""
    stop_epoch: float | None = None
    """Epoch from which on there is none any more; None is never."""
    interval_steps: int = 1
    """Perturb on every so many-th optimizer step, counted from the start of the run."""

    def __post_init__(self) -> None:
        _require(
            all(0.0 <= epoch <= MOST_EPOCHS for epoch in (self.start_epoch, self.stop_epoch or 0.0)),
            f"cannot perturb from epoch {self.start_epoch} to {self.stop_epoch}, because epochs are counted from 0 to "
            f"at most {MOST_EPOCHS}; use such values, and None for no end",
        )
        _require(
            self.interval_steps >= 1,
            f"cannot perturb on every {self.interval_steps}-th step, because an interval is at least 1; "
            "use 1 for every step",
        )

    def window(self, steps_per_epoch: int) -> Window:
        """Return the schedule in optimizer steps."""
        stop = None if self.stop_epoch is None else math.ceil(self.stop_epoch * steps_per_epoch)
        return Window(math.ceil(self.start_epoch * steps_per_epoch), stop, self.interval_steps, steps_per_epoch)


@dataclass(frozen=True)
class Window:
    """Fires on the steps ``start <= step < stop`` that ``interval`` divides."""

    start: int
    stop: int | None
    interval: int
    steps_per_epoch: int

    def __call__(self, step: int) -> bool:
        """Whether the step is perturbed."""
        return step >= self.start and (self.stop is None or step < self.stop) and step % self.interval == 0

    def count(self, total_steps: int) -> int:
        """Return on how many of the steps ``0, ..., total_steps - 1`` it fires."""
        stop = total_steps if self.stop is None else min(self.stop, total_steps)
        return len(range(-(-self.start // self.interval) * self.interval, stop, self.interval))

    def __str__(self) -> str:
        """Return the window in epochs, as in messages: ``a perturbation after 4 epochs, on every 2nd step``."""
        parts = [f"after {self._epochs(self.start)}"] if self.start else []
        parts += [] if self.stop is None else [f"before {self._epochs(self.stop)} are over"]
        parts += [f"on every step that {self.interval} divides"] if self.interval > 1 else []
        return " ".join(("a perturbation", ", ".join(parts) or "on every step"))

    def _epochs(self, steps: int) -> str:
        return f"{steps / self.steps_per_epoch:g} epoch{'' if steps == self.steps_per_epoch else 's'}"


@dataclass(frozen=True)
class RunConfig:
    """One training run: the same configuration gives the same numbers."""

    recipe: str
    """Name under which the results are filed: the recipe that the run started from."""
    data: Digits = field(default_factory=Digits)
    """The data set."""
    model: CNN | MLP = field(default_factory=CNN)
    """The model."""
    optimizer: SGD = field(default_factory=SGD)
    """The base optimizer."""
    schedule: Cosine | Constant = field(default_factory=Cosine)
    """The course of the learning rate."""
    method: Method = field(default_factory=Unperturbed)
    """The method that makes the gradient."""
    when: Perturbed = field(default_factory=Perturbed)
    """The steps on which it perturbs."""
    epochs: int = 80
    """Passes over the training set."""
    batch_size: int = 80
    """Images per step; what is left of an epoch after the last full batch is dropped."""
    micro_batch: int | None = None
    """Images per perturbation (the m of m-sharpness); None is the whole batch. Must divide the batch."""
    label_smoothing: float = 0.0
    """Share of the target that is spread evenly over all classes."""
    clip_norm: float | None = None
    """Clip the final gradient to this norm; None is not at all."""
    seed: int = 0
    """Decides split, label noise, initial weights, order of the images and random perturbations."""
    threads: int = 1
    """CPU threads of torch; another number may change the last bits of the results."""

    def __post_init__(self) -> None:
        limits = {"epochs": (1, MOST_EPOCHS), "batch_size": (2, None), "seed": (0, MOST_SEED),
                  "threads": (1, MOST_THREADS)}  # fmt: skip
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            _require(value >= least, f"cannot train with {name} {value}, because it must be {least} or more; change it")
            _require(
                most is None or value <= most,
                f"cannot train with {name} {value}, because it must be {most} or less; change it",
            )
        _require(
            self.micro_batch is None or (self.micro_batch >= 2 and self.batch_size % self.micro_batch == 0),
            f"cannot split batches of {self.batch_size} into micro-batches of {self.micro_batch}, because all must "
            f"have the same size, of at least 2 for BatchNorm; use a divisor of {self.batch_size}",
        )
        _require(
            0.0 <= self.label_smoothing < 1.0,
            f"cannot smooth labels by {self.label_smoothing}, because it is a share of the target; "
            "use a value from 0 to below 1",
        )
        _require(
            self.clip_norm is None or 0.0 < self.clip_norm < math.inf,
            f"cannot clip the gradient to norm {self.clip_norm}, because a norm to clip to is a positive number; "
            "use 1, say, or None for no clipping",
        )

    @property
    def perturbed_steps(self) -> int:
        """Number of steps on which the method is to perturb; 0 for the base optimizer alone."""
        steps_per_epoch = self.data.train_size // self.batch_size
        if isinstance(self.method, Unperturbed):
            return 0
        return self.when.window(steps_per_epoch).count(self.epochs * steps_per_epoch)

    def to_json(self) -> dict[str, Any]:
        """Return the configuration as plain dictionaries; parts that come in kinds carry their ``kind``."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @staticmethod
    def from_json(plain: dict[str, Any]) -> RunConfig:
        """Return the configuration that :meth:`to_json` wrote.

        Raises:
            ConfigurationError: for an unknown field or kind (with the nearest known one), or a value of a wrong type.
        """
        config: RunConfig = from_plain(RunConfig, plain)
        return config
