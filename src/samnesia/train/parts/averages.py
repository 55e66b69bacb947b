"""Averages of the weights along training, evaluated beside the weights themselves."""

from __future__ import annotations

from dataclasses import dataclass

from samnesia.train.parts.checks import check_epochs, require


@dataclass(frozen=True)
class EMA:
    """Exponential moving average: after each step, average <- decay * average + (1 - decay) * weights; buffers too."""

    decay: float = 0.999
    """Share of the average that stays."""
    start_epoch: float = 0.0
    """Epoch from which on it is taken; it begins as a copy of the weights."""

    def __post_init__(self) -> None:
        require(
            0.0 <= self.decay < 1.0,
            f"cannot average with decay {self.decay}, because it is the share that stays; use 0.999, say",
        )
        check_epochs(self.start_epoch, "wait with an average")

    def share(self, step: int, *, steps_per_epoch: int, seen: int) -> float | None:
        """Return the share of the new weights in the average after ``step``, or None where they are not taken."""
        if step + 1 < round(self.start_epoch * steps_per_epoch):
            return None
        return 1.0 if seen == 0 else 1.0 - self.decay

    @property
    def statistics_anew(self) -> bool:
        """Whether BatchNorm's statistics are estimated anew for the average: no, they are averaged along."""
        return False


@dataclass(frozen=True)
class SWA:
    """Stochastic weight averaging: the mean of the weights at the end of epochs; BatchNorm's statistics come anew."""

    start_epoch: float = 0.0
    """Epochs after which averaging begins: the first weights are those at the end of the next one."""
    every_epochs: int = 1
    """Weights are taken after every so many-th epoch from then on."""

    def __post_init__(self) -> None:
        check_epochs(self.start_epoch, "wait with an average")
        require(
            self.every_epochs >= 1,
            f"cannot average every {self.every_epochs} epochs, because an interval is at least 1; use 1",
        )

    def share(self, step: int, *, steps_per_epoch: int, seen: int) -> float | None:
        """Return the share of the new weights in the average after ``step``, or None where they are not taken."""
        epochs, rest = divmod(step + 1, steps_per_epoch)
        if rest or epochs <= self.start_epoch or (epochs - 1 - int(self.start_epoch)) % self.every_epochs:
            return None
        return 1.0 / (seen + 1)

    @property
    def statistics_anew(self) -> bool:
        """Whether BatchNorm's statistics are estimated anew for the average, from the training set: yes."""
        return True


Average = EMA | SWA
