"""What the arms of a comparison have as much of as each other: optimizer steps, gradient evaluations, or seconds.

A budget turns the configurations of several arms into others that are equal in it. The dearest arm keeps its epochs,
and the others train longer: by whole epochs, to what comes nearest, so that any two arms end within one epoch of each
other. The course of the learning rate is stretched over the longer run; what is configured in epochs (warm-up, the
epochs between which the method perturbs, the start of an average) stays where it is.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.comparison.calibration import Calibration, Probe, seconds_per_epoch
from samnesia.train.config import RunConfig
from samnesia.train.parts.checks import MOST_EPOCHS, require

Arms = Mapping[str, RunConfig]
"""The configuration of each arm, by its name."""
Steps = Callable[[RunConfig], int]
"""Steps per epoch of a configuration."""
Memory = dict[str, Any]
"""What a budget has measured, as plain JSON values: a study that is resumed gives it back."""


class StepsPerEpoch:
    """Steps per epoch of configurations; the data of one kind are loaded once, with the first seed that is met.

    Args:
        samples: training samples of data that are known already.
    """

    def __init__(self, samples: Mapping[Any, int] | None = None) -> None:
        self._samples = dict(samples or {})

    def __call__(self, config: RunConfig) -> int:
        """Return them.

        Raises:
            ConfigurationError: for data that cannot be loaded, or do not fill a batch.
        """
        from samnesia.data.loader import Plan

        if config.data not in self._samples:
            self._samples[config.data] = len(config.data.load(config.seed).train)
        samples, batch = self._samples[config.data], config.batch_size
        return Plan(samples, batch, chunk=None, piece=None, drop_last=config.drop_last, seed=config.seed).steps


class Budget(Protocol):
    """What arms are made equal in."""

    @property
    def name(self) -> str:
        """What every arm gets as much of, in one word."""

    @property
    def of(self) -> str:
        """The same in words."""

    def equalize(self, arms: Arms, steps: Steps, memory: Memory) -> dict[str, RunConfig]:
        """The arms, made equal; raises ConfigurationError where they cannot be. What it measures goes to ``memory``."""

    def cost(self, name: str, config: RunConfig, steps: Steps, memory: Memory) -> float:
        """How much of it a run of an arm takes, by what is in ``memory``."""

    def said(self, cost: float) -> str:
        """A cost in figures."""

    def ahead(self, arms: Arms, memory: Memory) -> str:
        """What has to be measured first, in a sentence for those who wait; empty where nothing has."""


@dataclass(frozen=True)
class EqualSteps:
    """As many optimizer steps for every arm: they are left as they are."""

    name: ClassVar[str] = "steps"
    of: ClassVar[str] = "optimizer steps"

    def equalize(self, arms: Arms, steps: Steps, memory: Memory) -> dict[str, RunConfig]:
        """The arms as they are; raises ConfigurationError when they differ in optimizer steps."""
        first, *others = arms
        for other in others:
            total = [self.cost(name, arms[name], steps, memory) for name in (first, other)]
            one, two = (
                f"{name} over {arms[name].epochs} epochs ({self.said(cost)} steps)"
                for name, cost in zip((first, other), total, strict=True)
            )
            require(
                total[0] == total[1],
                f"cannot compare {one} with {two} at equal steps, because that requires as many steps in each; give "
                "them equal epochs, or ask for equal gradients or seconds",
            )
        return dict(arms)

    def cost(self, name: str, config: RunConfig, steps: Steps, memory: Memory) -> float:
        """Optimizer steps."""
        return config.epochs * steps(config)

    def said(self, cost: float) -> str:
        """A number of steps."""
        return f"{cost:,.0f}"

    def ahead(self, arms: Arms, memory: Memory) -> str:
        """Nothing is measured."""
        return ""


AS_CONFIGURED = EqualSteps()
"""What is compared where nothing else is asked for."""


@dataclass(frozen=True)
class EqualGradients:
    """As many gradient evaluations for every arm; a forward pass alone counts as a third of one."""

    name: ClassVar[str] = "gradients"
    of: ClassVar[str] = "gradient evaluations"

    def equalize(self, arms: Arms, steps: Steps, memory: Memory) -> dict[str, RunConfig]:
        """The arms with as many gradient evaluations as the one that takes most at its own epochs.

        Raises:
            ConfigurationError: for an arm that would need too many epochs, or that perturbs on no step.
        """
        refuse_idle(arms, steps)
        target = max(self.cost(name, config, steps, memory) for name, config in arms.items())
        return _equal(self, arms, steps, memory, target)

    def cost(self, name: str, config: RunConfig, steps: Steps, memory: Memory) -> float:
        """Gradient evaluations: one per step, and of every perturbed step those that the method adds."""
        return config.gradient_evaluations(steps(config))

    def said(self, cost: float) -> str:
        """A number of gradient evaluations."""
        return f"{cost:,.0f}"

    def ahead(self, arms: Arms, memory: Memory) -> str:
        """Nothing is measured."""
        return ""


@dataclass(frozen=True)
class EqualSeconds:
    """As many seconds for every arm, by what an epoch of each takes on this machine: see :mod:`.calibration`.

    Attributes:
        probe: trains an epoch or more of a configuration, and returns its seconds per epoch.
    """

    probe: Probe = field(default=seconds_per_epoch, repr=False)
    name: ClassVar[str] = "seconds"
    of: ClassVar[str] = "seconds"

    def equalize(self, arms: Arms, steps: Steps, memory: Memory) -> dict[str, RunConfig]:
        """The arms with as many seconds as the one that took most, at its own epochs, when it was first measured.

        Arms that are added to a study get as many as the others have, and nothing is measured twice. Where an arm is
        another than the one that was measured, all of it is measured anew.

        Raises:
            ConfigurationError: for an arm that would need too many epochs, or that perturbs on no step.
        """
        refuse_idle(arms, steps)
        if Calibration.of(memory).knows_others(arms):
            memory.clear()
        memory.update(Calibration.of(memory).extended(arms, self.probe).to_json())
        target = memory.setdefault("target", max(self.cost(name, arms[name], steps, memory) for name in arms))
        return _equal(self, arms, steps, memory, target)

    def cost(self, name: str, config: RunConfig, steps: Steps, memory: Memory) -> float:
        """Seconds of training and evaluation, by the calibration."""
        return Calibration.of(memory).seconds(name, config, steps(config))

    def said(self, cost: float) -> str:
        """A number of seconds."""
        return f"{cost:,.1f} s"

    def ahead(self, arms: Arms, memory: Memory) -> str:
        """Whose epochs are to be measured."""
        known = Calibration.of(memory)
        missing = [name for name in arms if name not in known.arms or known.knows_others(arms)]
        return f"Measuring the seconds of an epoch of {', '.join(missing)} on this machine." if missing else ""


def equal_gradients(arms: Arms, steps: Steps | None = None) -> dict[str, RunConfig]:
    """The arms with as many gradient evaluations as the dearest; for the definition of a study.

    Args:
        arms: by name; all that shall be equal to each other, and no others.
        steps: counts the steps of an epoch; None loads the data for it.

    Raises:
        ConfigurationError: as :meth:`EqualGradients.equalize`.
    """
    return EqualGradients().equalize(arms, steps or StepsPerEpoch(), {})


def refuse_idle(arms: Arms, steps: Steps) -> None:
    """Refuse methods that would perturb on no step, and averages of no weights.

    Raises:
        ConfigurationError: with the name of the first.
    """
    for name, config in arms.items():
        per_epoch = steps(config)
        start = 0.0 if config.average is None else config.average.start_epoch
        over = f"{name} over {config.epochs} epoch{'' if config.epochs == 1 else 's'}"
        require(
            start < config.epochs,
            f"cannot compare {over}, because it is judged by an average of its weights, which begins after epoch "
            f"{start:g}; use more epochs, begin it earlier (--set {name}:average.start_epoch={config.epochs // 2}), or "
            f"leave it out (--except {name})",
        )
        if not config.method.waits or config.window(per_epoch).count(config.epochs * per_epoch):
            continue
        run_alone = config.when.window(per_epoch).count(config.epochs * per_epoch)
        earlier = f"{name}:method.start=0.5" if run_alone else "when.start_epoch=0"
        raise ConfigurationError(
            f"cannot compare {over}, because {config.window(per_epoch)} falls on none of its steps and the run would "
            "be that of the base optimizer alone; use more epochs, an earlier start of the perturbation (--set "
            f"{earlier}), or leave it out (--except {name})"
        )


def in_words(budget: Budget, asked: Arms, equal: Arms, steps: Steps, memory: Memory) -> str:
    """What the budget has made of the arms, in a sentence for the reader of the results."""
    counts = (
        f"{name} {config.epochs} epochs"
        + ("" if config.epochs == asked[name].epochs else f" instead of {asked[name].epochs}")
        + f" ({budget.said(budget.cost(name, config, steps, memory))})"
        for name, config in equal.items()
    )
    nearest = ", to the nearest whole epoch" if any(equal[name] != asked[name] for name in equal) else ""
    return f"Every method gets as many {budget.of}{nearest}: {', '.join(counts)}."


def _equal(budget: Budget, arms: Arms, steps: Steps, memory: Memory, target: float) -> dict[str, RunConfig]:
    def epochs_of(name: str, config: RunConfig) -> int:
        def cost(epochs: int) -> float:
            return budget.cost(name, replace(config, epochs=epochs), steps, memory)

        enough = 1 + bisect_left(range(1, MOST_EPOCHS + 1), target, key=cost)
        require(
            enough <= MOST_EPOCHS,
            f"cannot give {name} as many {budget.of} as the dearest method ({budget.said(target)}), because that "
            f"requires more than {MOST_EPOCHS} epochs; use fewer epochs, or leave the dearest method out",
        )
        return min((max(1, enough - 1), enough), key=lambda epochs: abs(cost(epochs) - target))

    return {name: replace(config, epochs=epochs_of(name, config)) for name, config in arms.items()}
