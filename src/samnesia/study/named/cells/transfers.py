"""The two ways of transfer as the chain of a cell: the tasks of the transfer recipes, and who perturbs when."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from samnesia.study.measured import Measured, Values
from samnesia.study.named.cells.vani_chain import Chain, Scratch, Tuning
from samnesia.train.config import Evaluation, Logging, RunConfig
from samnesia.train.parts.methods import Unperturbed
from samnesia.train.recipes.transfer import TASKS

AFTER, BEFORE, SCRATCH = "after", "before", "scratch"
"""Plain fine-tuning after pretraining with the method; fine-tuning with the method after plain pretraining; fine-tuning
with the method from random weights."""
if TYPE_CHECKING:
    from samnesia.train.loaded import Loaded


@dataclass(frozen=True)
class Nothing:
    """Pretrained weights are not measured: what counts is what is made of them."""

    def of(self, loaded: Loaded) -> tuple[Values, list[str]]:
        """Nothing."""
        return {}, []


@dataclass(frozen=True)
class Arm:
    """A way to train, in pretraining and in fine-tuning."""

    ending: str
    """Of the recipes."""
    epochs: int = 1
    """Times the epochs of the recipes."""

    def run(self, task: str, seed: int) -> RunConfig:
        """The run of a task, from random weights."""
        config = TASKS[task].training(task, TASKS[task].methods.get(self.ending, Unperturbed()))
        epochs = self.epochs * config.epochs
        return replace(
            config,
            model=config.model.at_random(),
            epochs=epochs,
            evaluation=Evaluation(every_epochs=max(1, epochs // 5)),
            logging=Logging(every_steps=0),
            seed=seed,
        )


@dataclass(frozen=True)
class Transfer:
    """From one task to another."""

    source: str
    """What is pretrained on."""
    target: str
    """What is fine-tuned on."""

    @classmethod
    def to(cls, target: str) -> Transfer:
        """To a task that fine-tunes, from the one that its recipes start from."""
        source = TASKS[target].source
        assert source is not None
        return cls(source, target)

    def both(self, arm: Arm, seed: int) -> Chain:
        """Both ways, and without a pretraining."""
        plain = Arm(TASKS[self.source].base)
        own = None if arm == plain else plain.run(self.source, seed)
        return Chain(
            Measured(arm.run(self.source, seed), Nothing()),
            tunings=(
                Tuning(AFTER, Arm(TASKS[self.target].base).run(self.target, seed)),
                Tuning(BEFORE, arm.run(self.target, seed), own),
                Scratch(SCRATCH, arm.run(self.target, seed)),
            ),
        )

    def tuned(self, arm: Arm, seed: int) -> Chain:
        """Fine-tuning with the arm after plain pretraining, and without one."""
        return Chain(
            Measured(Arm(TASKS[self.source].base).run(self.source, seed), Nothing()),
            tunings=(
                Tuning(BEFORE, arm.run(self.target, seed)),
                Scratch(SCRATCH, arm.run(self.target, seed)),
            ),
        )
