"""Short looks at the final weights of a run, for :class:`samnesia.study.measured.Measured`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from samnesia.perturb.errors import SamnesiaError
from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    from samnesia.measure.subject import Subject
    from samnesia.train.loaded import Loaded

Values = dict[str, float | None]


def rises(subject: Subject, rho: float, adaptive_rho: float, *, steps: int, seed: int) -> Values:
    """The highest rise of the loss in the Euclidean ball (``worst``) and in the adaptive one (``worst_adaptive``).

    Each is found by one climb of so many steps from the weights. The adaptive ball is ``‖ε / |w|‖₂ ≤ adaptive_rho``
    over all weights; rescaled layers of the same function share it.
    """
    from samnesia.measure.sharpness.worst import worst_case
    from samnesia.perturb.parts.ball import L2, Ball, ElementScaling

    adaptive = Ball(L2(), ElementScaling(eta=0.0, scaled="all"))
    worst = worst_case(subject, rho, steps=steps, restarts=0, seed=seed)
    relative = worst_case(subject, adaptive_rho, adaptive, steps=steps, restarts=0, seed=seed)
    return {"worst": worst.rise.as_dict()["value"], "worst_adaptive": relative.rise.as_dict()["value"]}


def _subject(loaded: Loaded, samples: int) -> Subject:
    """Training samples, drawn by the seed of the run, in one batch."""
    from samnesia.measure.subject import Subject

    drawn = loaded.samples("train", samples, seed=loaded.config.seed, batch_size=samples)
    return Subject(loaded.model, loaded.criterion, drawn)


def _check(what: str, value: float) -> None:
    require(
        0.0 < value < float("inf"),
        f"cannot measure final weights with {what} {value}, because it must be a positive number; change it",
    )


@dataclass(frozen=True)
class AtSizes:
    """m-sharpness of the final weights for several m, and nothing else: ``final.m_sharpness.5``, say."""

    sizes: tuple[int, ...]
    """The m: each so many samples are climbed by one step of their own."""
    rho: float = 0.05
    """Radius of the Euclidean ball."""
    samples: int = 384
    """Training samples that are looked at, drawn by the seed of the run."""

    def __post_init__(self) -> None:
        require(
            bool(self.sizes) and all(1 <= m <= self.samples for m in self.sizes),
            f"cannot measure final weights with sizes {self.sizes} of {self.samples} samples, because each m is a "
            "number of these samples; change them",
        )
        _check("rho", self.rho)

    def of(self, loaded: Loaded) -> tuple[Values, list[str]]:
        """The values of a run's final weights; None and a note where they cannot be measured."""
        from samnesia.measure.sharpness.micro import m_sharpness

        subject = _subject(loaded, self.samples)
        values: Values = {}
        notes = []
        for m in self.sizes:
            name = f"final.m_sharpness.{m}"
            try:
                values[name] = m_sharpness(subject, self.rho, m).rise.as_dict()["value"]
            except SamnesiaError as error:
                values[name] = None
                notes.append(f"{m}-sharpness of the final weights: {error}.")
        return values, notes


@dataclass(frozen=True)
class AtBalls:
    """The highest rise of the loss in two balls: ``final.worst`` and ``final.worst_adaptive``."""

    rho: float = 0.05
    """Radius of the Euclidean ball."""
    adaptive_rho: float = 0.5
    """Radius of the adaptive ball: relative to the size of each weight."""
    samples: int = 384
    """Training samples that are looked at, drawn by the seed of the run."""
    steps: int = 10
    """Moves of the climb to the worst case; there is one climb, from the weights."""

    def __post_init__(self) -> None:
        for what in ("rho", "adaptive_rho", "samples", "steps"):
            _check(what, getattr(self, what))

    def of(self, loaded: Loaded) -> tuple[Values, list[str]]:
        """The values of a run's final weights; None and a note where they cannot be measured."""
        values: Values = {"final.worst": None, "final.worst_adaptive": None}
        try:
            subject = _subject(loaded, self.samples)
            found = rises(subject, self.rho, self.adaptive_rho, steps=self.steps, seed=loaded.config.seed)
        except SamnesiaError as error:
            return values, [f"sharpness of the final weights: {error}."]
        return {f"final.{name}": value for name, value in found.items()}, []
