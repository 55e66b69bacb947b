"""The recorder that a run carries: on some steps it measures the model as it stands, and changes nothing of the run."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from samnesia.data.draws import RECORD, permutation
from samnesia.data.loader import TrainingView
from samnesia.data.problem import Batch, Problem
from samnesia.measure.forgetting.probes import OwnProbe, Probe, unwrapped
from samnesia.measure.forgetting.probing import HeldOut, perturbing
from samnesia.measure.subject import Subject
from samnesia.models.ascent import AscentAware, aware_layers
from samnesia.perturb.errors import ConfigurationError, RecordingWarning, SamnesiaError
from samnesia.perturb.flow.criteria import Pass
from samnesia.perturb.flow.passes import PerturbedGradient
from samnesia.perturb.modules import innermost_optimizer
from samnesia.train.config import RunConfig
from samnesia.train.drawn import Drawn, described
from samnesia.train.engine import Engine
from samnesia.train.log import Row
from samnesia.train.record.scene import AsTrained, Scene


class Recorder:
    """Measures of ``config.record``, taken before the steps that are due; on the process that leads.

    What it looks at is decided by seed and step alone, so that a run that is resumed records what an unbroken one does.
    Figures are those of the weights in their own precision, whatever the forward of training has.

    Raises:
        ConfigurationError: for a model in parts, and for forgetting where targets are no classes.
    """

    def __init__(
        self, config: RunConfig, engine: Engine, problem: Problem, steps: int, method: PerturbedGradient
    ) -> None:
        self._config, self._engine, self._problem, self._steps, self._method = config, engine, problem, steps, method
        self._measures = config.record.measures if engine.leads else {}
        self._due = frozenset(config.record.due(config.epochs * steps, config.window(steps).interval))
        self._warned = False
        if config.record.measures and engine.in_parts:
            raise ConfigurationError(
                "cannot record measures with strategy fsdp, because they require the whole model in one process; use "
                "--hardware.strategy ddp, or leave --record out"
            )
        if config.record.forgetting is not None:
            targets = problem.train.batch([0])[1]
            if targets.dtype != torch.int64 or targets.ndim != 1 or problem.num_outputs < 2:
                raise ConfigurationError(
                    f"cannot record forgetting with targets {targets.dtype} of shape {list(targets.shape[1:])} per "
                    "sample, because information about classes is measured; leave forgetting out of --record"
                )

    def line(self, module: nn.Module, step: int) -> Row | None:
        """What is recorded before a step: ``step``, ``epoch``, a block per measure, ``seconds``; None if not due.

        A measure that cannot be taken, at a loss that is not finite or where no memory is left, say, leaves a sentence
        under ``cannot``.
        """
        if not self._measures or step not in self._due:
            return None
        started = time.perf_counter()
        row: Row = {"step": step, "epoch": step / self._steps}
        ascending = [layer.ascending for layer in aware_layers(module)]
        try:
            scene = self._scene(module, step)
            row |= {name: measure.values(scene) for name, measure in self._measures.items()}
        except (SamnesiaError, MemoryError, torch.OutOfMemoryError) as error:
            row = {"step": row["step"], "epoch": row["epoch"], "cannot": str(error) or "no memory is left"}
            self._warn(f"before step {step} nothing is recorded: {row['cannot']}")
        finally:
            for layer, value in zip(aware_layers(module), ascending, strict=True):
                layer.ascending = value
        return {**row, "seconds": time.perf_counter() - started}

    def _scene(self, module: nn.Module, step: int) -> Scene:
        config, train = self._config, self._problem.train
        numbers = self._numbers(step)
        batches = [train.batch(chunk, step // self._steps) for chunk in numbers]
        looked_at = [self._moved(batch) for batch in batches if len(batch[1])]
        subject = Subject(module, config.loss.criterion(), looked_at)
        rows = torch.tensor([i for chunk in numbers for i in chunk if i not in train.damaged])
        groups, others = described(train, "train", rows, torch.cat([targets for _, targets in batches]))
        sizes = subject.batch_sizes
        count = min(config.record.perturbations, sizes.count(max(sizes)))
        each_pass = _tell(aware_layers(module))
        return Scene(
            subject=subject,
            own=self._own(module, step, numbers, perturbing(sizes, count), each_pass),
            m=max(sizes),
            perturbations=count,
            held_out=self._held_out,
            groups=groups,
            others=others,
            link=config.loss.link(),
            parts=config.device_batch,
            each_pass=each_pass,
        )

    def _numbers(self, step: int) -> list[list[int]]:
        """Which training samples are looked at, m at a time: drawn anew for each step."""
        config, total = self._config, len(self._problem.train)
        m = min(config.micro_batch or config.batch_size, total)
        chunks = min(total // m, max(config.record.perturbations + 1, config.record.samples // m))
        order: list[int] = permutation(total, key=(config.seed, RECORD, step)).tolist()
        return [order[i * m : (i + 1) * m] for i in range(chunks)]

    def _own(
        self,
        module: nn.Module,
        step: int,
        numbers: list[list[int]],
        chosen: list[int],
        each_pass: Callable[[Pass], None],
    ) -> Probe | None:
        """The method's perturbation on this step, by another method of the same parts: the run's is not touched."""
        config = self._config
        rate = config.learning_rate(step, self._steps)
        # never stepped; a method that looks at the momentum finds that of the run, and is told that there is one
        optimizer = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=rate, momentum=0.9)
        with unwrapped():
            method = config.method.build(
                config.training(module, optimizer, self._problem, self._steps),
                when=config.window(self._steps),
                seed=config.seed,
            )
        if method.ascent is None or not method.when(step):
            return None
        if method.inner is not None:
            self._warn("its own perturbations are not recorded, because they add up between steps of the optimizer")
            return None
        method.load_state_dict({**self._method.state_dict(), "steps": step, "micro_batch": 0})
        optimizer.state.update(innermost_optimizer(self._method.optimizer).state)  # to look at a momentum
        own: Probe = OwnProbe(method, parts=config.device_batch, each_pass=each_pass)
        if self._problem.mix is not None:
            view, epoch = TrainingView(self._problem, None), step // self._steps
            mixed = (view.__getitems__([(epoch, i) for i in numbers[number]]) for number in chosen)
            own = AsTrained(own, [self._moved(batch) for batch in mixed])
        return own

    @cached_property
    def _held_out(self) -> HeldOut | None:
        """The same samples on every step: as many as of training, of the split that decisions are made by."""
        config, split = self._config, self._problem.validation
        if split is None:
            return None
        m = min(config.micro_batch or config.batch_size, len(split))
        drawn = Drawn(
            split,
            "validation",
            min(len(split) // m, max(1, config.record.samples // m)) * m,
            seed=config.seed,
            batch_size=m,
            dtype=self._dtype,
            device=self._engine.device,
        )
        return HeldOut(drawn, drawn.groups, drawn.second_labels)

    @property
    def _dtype(self) -> torch.dtype:
        return torch.float64 if self._config.hardware.precision == "64-true" else torch.float32

    def _moved(self, batch: Batch) -> Batch:
        """On the device, in the precision of the weights."""

        def moved(leaf: Any) -> Any:
            return leaf.to(self._dtype) if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf

        inputs, targets = self._engine.move(batch)
        return tree_map(moved, inputs), targets

    def _warn(self, sentence: str) -> None:
        if not self._warned:
            warnings.warn(sentence, RecordingWarning, stacklevel=2)
        self._warned = True


def _tell(layers: list[AscentAware]) -> Callable[[Pass], None]:
    """As the training loop tells layers that behave otherwise on the way up."""

    def each_pass(p: Pass) -> None:
        for layer in layers:
            layer.ascending = p.ascent

    return each_pass
