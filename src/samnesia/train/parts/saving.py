"""When a run is evaluated, saved and logged."""

from __future__ import annotations

from dataclasses import dataclass

from samnesia.train.parts.checks import require


@dataclass(frozen=True)
class Checkpoints:
    """Which states of a run are on disk; the end of a run and a request to terminate are saved always."""

    every_epochs: int | None = 1
    """Save after every so many epochs; None is only at the end."""
    every_steps: int | None = None
    """Save after every so many steps of an epoch as well."""
    last: int = 2
    """How many of the latest to keep: a damaged one is not the end."""
    best: bool = True
    """Keep the best by validation (by test, where there is none) as well."""
    keep_epochs: tuple[int, ...] = ()
    """Keep those after so many epochs for good, 0 for the initial weights: the spectrum along training needs them."""

    def __post_init__(self) -> None:
        for name in ("every_epochs", "every_steps", "last"):
            value = getattr(self, name)
            require(
                value is None or value >= 1,
                f"cannot save checkpoints with {name} {value}, because it must be 1 or more; change it",
            )
        require(
            all(epoch >= 0 for epoch in self.keep_epochs),
            f"cannot keep the checkpoints of epochs {self.keep_epochs}, because epochs are counted from 0; change it",
        )


@dataclass(frozen=True)
class Evaluation:
    """What is evaluated after an epoch."""

    train: bool = True
    """The training set too, without augmentation."""
    test: bool = True
    """The test set too; without it, the run never looks at it and is judged on validation, as for tuning."""
    every_epochs: int = 1
    """After every so many epochs, and after the last."""
    batch_size: int = 512
    """Samples per forward, on each device."""

    def __post_init__(self) -> None:
        for name in ("every_epochs", "batch_size"):
            value = getattr(self, name)
            require(value >= 1, f"cannot evaluate with {name} {value}, because it must be 1 or more; change it")


@dataclass(frozen=True)
class Logging:
    """What is written along the way, beside ``metrics.jsonl``, which has a line per epoch."""

    every_steps: int = 10
    """A line in ``steps.jsonl`` for every so many-th step; 0 is none."""
    tensorboard: bool = False
    """Also write events for TensorBoard, into RUN/tensorboard."""
    wandb: str | None = None
    """Also log to this project on Weights & Biases."""

    def __post_init__(self) -> None:
        require(
            self.every_steps >= 0,
            f"cannot log every {self.every_steps} steps, because an interval is not negative; use 0 for no lines",
        )
