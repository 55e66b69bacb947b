"""Adversarial training, as a run does it: the samples of a step are attacked at the weights that the step begins with.

The attack looks at the model in evaluation mode, with running statistics (those of the process that leads), and takes
no part in what the method does afterwards. Where it begins is a function of seed, epoch and sample number: batches,
micro-batches and processes do not matter, and a resumed run needs nothing else than its weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from samnesia.adversaries.worst import evaluating
from samnesia.data.problem import Problem
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.cutting import Part
from samnesia.train.engine import Engine

if TYPE_CHECKING:
    from torch import nn

    from samnesia.train.config import RunConfig

_TRAINING = 0
"""Beside the seed in the key of a random start; evaluation has 1."""


class Attacker:
    """Attacks the samples of those steps that the configuration says.

    Raises:
        ConfigurationError: for data that cannot be attacked, and models that are spread over processes in parts.
    """

    def __init__(self, config: RunConfig, engine: Engine, problem: Problem, steps_per_epoch: int) -> None:
        self._config, self._engine, self._exposure = config, engine, problem.exposure
        self._attack = self._window = None
        if config.adversary is not None:
            self._attack = config.adversary.attack()
            self._window = config.adversary.window(steps_per_epoch)
            _check(engine, problem)
            self._criterion = config.loss.criterion()

    def evaluations(self, step: int) -> int:
        """Gradient evaluations that a step costs in addition."""
        return self._attack.steps if self._attack and self._window and self._window(step) else 0

    def attacked(self, module: nn.Module, chunks: list[list[Part]], epoch: int, step: int) -> list[list[Part]]:
        """The parts of each perturbation, with the inputs that training sees; every process calls it.

        Args:
            module: the model itself, with the weights of this step.
            chunks: what was loaded.
            epoch: in which it was.
            step: optimizer steps so far.
        """
        if not self.evaluations(step):
            return chunks
        self._engine.agree_on_buffers(module)  # as DistributedDataParallel does before its next forward
        with evaluating(module, self._engine.device):
            return [[self._part(module, self._engine.move(part), epoch) for part in parts] for parts in chunks]

    def _part(self, module: nn.Module, part: Part, epoch: int) -> Part:
        attack, exposure = self._attack, self._exposure
        assert attack is not None and exposure is not None  # checked
        if part.numbers is None:
            raise ConfigurationError(
                f"cannot attack the samples of a batch in epoch {epoch}, because damaged images were left out, and "
                "attacks require the numbers of those that are left; mend the images, or leave adversary out"
            )

        def objective(pixels: Tensor) -> Tensor:
            return self._criterion(self._engine.predict(module, exposure.inputs(pixels)), part.targets)

        pixels = exposure.pixels(part.inputs).clamp(0.0, 1.0)
        start = attack.start(pixels, part.numbers.tolist(), (self._config.seed, _TRAINING, epoch))
        return part._replace(inputs=exposure.inputs(attack.climb(objective, pixels, start)))


def _check(engine: Engine, problem: Problem) -> None:
    because = None
    if problem.exposure is None:
        because = "attacks require images that say how pixels become inputs (Problem.exposure), and these are none"
    elif problem.mix is not None:
        because = "samples are mixed with each other, and attacks require images of one class; leave mixing out"
    elif engine.in_parts:
        because = "each process holds a part of the model, and attacks require the whole; use --hardware.strategy ddp"
    else:
        try:
            problem.exposure.pixels(problem.train.batch([0], 0)[0])
        except ConfigurationError:
            because = (
                "attacks require the pixels of an image as training sees it, and these cannot be known from inputs "
                "that were each standardised by its own mean and standard deviation; use data that are standardised "
                "alike, such as Digits"
            )
    if because is not None:
        raise ConfigurationError(f"cannot train against an adversary here, because {because}")
