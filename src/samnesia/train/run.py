"""A run under way: everything that training changes, and how it is saved and taken up again."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from samnesia.data.loader import Plan, TrainingKeys, TrainingView, training_loader
from samnesia.data.problem import Batch, Problem
from samnesia.models.ascent import aware_layers
from samnesia.models.subspaces.subspace import Penalised, Subspace
from samnesia.perturb.errors import ConfigurationError, IdleScheduleWarning
from samnesia.perturb.tensors import local
from samnesia.train import randomness
from samnesia.train.attacking import Attacker
from samnesia.train.averaging import AveragedWeights
from samnesia.train.checkpoint import Checkpoint, Position
from samnesia.train.config import RunConfig, renewed
from samnesia.train.cutting import Piece
from samnesia.train.engine import Engine, State
from samnesia.train.evaluation import Evaluator
from samnesia.train.log import Row
from samnesia.train.parts.methods import Training, method_name
from samnesia.train.plain import differences
from samnesia.train.record.recorder import Recorder
from samnesia.train.spanning import check_subspace
from samnesia.train.totals import Totals


class Run:
    """Model, optimizer and method of a configuration on an engine, and how far they have come.

    Raises:
        ConfigurationError: for what cannot be trained with.
    """

    def __init__(self, config: RunConfig, engine: Engine, problem: Problem) -> None:
        self.config, self.engine, self.problem = config, engine, problem
        whole = config.micro_batch is None or config.micro_batch >= config.batch_size
        self.chunk = None if whole else config.micro_batch
        if self.chunk is not None and engine.in_parts:
            raise ConfigurationError(
                f"cannot perturb for {self.chunk} of {config.batch_size} samples with strategy fsdp, because a "
                "perturbation per process requires the whole model in each; use --hardware.strategy ddp, or leave "
                "micro_batch out"
            )
        self.plan = Plan(
            samples=len(problem.train),
            batch=config.batch_size,
            chunk=self.chunk,
            piece=config.device_batch,
            drop_last=config.drop_last,
            seed=config.seed,
            ranks=engine.ranks,
        )
        self.attacker = Attacker(config, engine, problem, self.plan.steps)
        engine.launch()
        self.module = config.network(problem.shape, problem.num_outputs)
        self.subspace = self.module if isinstance(self.module, Subspace) else None
        if self.subspace is not None:
            check_subspace(config, self.subspace, in_parts=engine.in_parts)
        randomness.seed_rank(config.seed, engine.rank)
        self.model, self.optimizer = engine.setup(self.module, config.optimizer.build, compiled=config.hardware.compile)
        self.window = config.window(self.plan.steps)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", IdleScheduleWarning)  # told below, with the options of a run
            self.method = config.method.build(
                self._training(),
                when=self.window,
                seed=config.seed,
                # samples that a rank perturbs on its own are never averaged with those of others
                sync="batch" if self.chunk is None or engine.ranks == 1 else "rank",
            )
        if self.chunk is not None and self.method.inner is not None:
            raise ConfigurationError(
                f"cannot perturb for {self.chunk} of {config.batch_size} samples with {method_name(config.method)}, "
                "because it steps the optimizer between its passes over a batch; leave micro_batch out"
            )
        self.evaluator = Evaluator(config, engine, problem)
        self.recorder = Recorder(config, engine, problem, self.plan.steps, self.method)
        self.aware = aware_layers(self.module)
        self.average = None
        if config.average is not None:
            self.average = AveragedWeights(self.module, config.average, self.plan.steps)
        self.initial = [value.clone() for value in self.floating()] if config.shrink_perturb else []
        self.position, self.rows, self.totals = Position(0), list[Row](), Totals()
        self._warn_of_what_never_comes()
        self._clock = time.perf_counter()

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.config.epochs * self.plan.steps

    @property
    def steps_done(self) -> int:
        """Optimizer steps so far, skipped ones included."""
        return self.position.epoch * self.plan.steps + self.position.step

    @property
    def seconds(self) -> float:
        """Time spent on training and evaluation, over all processes that the run was cut into."""
        return self.totals.seconds + time.perf_counter() - self._clock

    def batches(self, epochs: range, start: int = 0) -> Iterator[list[Piece]]:
        """This rank's batches of these epochs, of the first from a step on, in the pieces in which they are loaded."""
        keys = TrainingKeys(self.plan, self.engine.rank, epochs, start)
        view = TrainingView(self.problem, self.chunk)
        pin = self.engine.device.type == "cuda"
        loader = training_loader(view, keys, workers=self.config.hardware.workers, pin=pin)
        for pieces in keys.steps():
            yield [_numbered(next(loader), [index for _, index in keys]) for keys in pieces]

    def _training(self) -> Training:
        training = self.config.training(self.model, self.optimizer, self.problem, self.plan.steps)
        if self.subspace is None or not self.subspace.shape.beta:
            return training
        return replace(training, loss=Penalised(training.loss, self.subspace))

    def draw(self) -> None:
        """Draw what a step draws, the same on every rank: the place on a subspace, where all its passes stand."""
        if self.subspace is not None:
            self.subspace.draw(randomness.generator(self.config.seed, randomness.PLACE, self.steps_done))

    def estimate_statistics(self) -> None:
        """Estimate BatchNorm's statistics anew, over the samples of the epoch; of a subspace, those at its centre."""
        again = self.batches(range(self.position.epoch, self.position.epoch + 1))
        batches = (piece[0] for pieces in again for piece in pieces)
        with nullcontext() if self.subspace is None else self.subspace.at():
            self.engine.estimate_statistics(self.module, batches)

    def floating(self) -> list[Tensor]:
        """Weights and floating-point buffers; of a model in parts, this process's part."""
        tensors = (*self.module.parameters(), *self.module.buffers())
        return [local(tensor.detach()) for tensor in tensors if tensor.is_floating_point()]

    def checkpoint(self, journal: dict[str, int]) -> Checkpoint:
        """Return the state of the run; every rank calls it."""
        engine, average = self.engine, None
        if self.average is not None and self.average.seen:
            with self.average.applied():
                average = engine.model_state(self.module)
        self.totals.seconds, self._clock = self.seconds, time.perf_counter()
        state: dict[str, Any] = {
            "optimizer": engine.optimizer_state(self.module, self.optimizer),
            "scaler": engine.scaler_state(),
            "method": engine.method_state(self.method),
            "average_seen": 0 if self.average is None else self.average.seen,
            "randomness": engine.gather(randomness.torch_state()),
            "rows": self.rows,
            "totals": self.totals.to_state(),
            "journal": journal,
            "config": self.config.to_json(),
        }
        return Checkpoint(self.position, model=engine.model_state(self.module), average=average, state=state)

    def _warn_of_what_never_comes(self) -> None:
        config, late = self.config, []
        if config.method.waits and not self.window.count(self.total_steps):
            begins = self.window.first >= self.total_steps
            change = "--when.start-epoch" if begins else "--when.stop-epoch or --when.interval-steps"
            if config.when.window(self.plan.steps).count(self.total_steps):
                change = "--method.start"  # the run would let it, but its own schedule does not
            warnings.warn(
                f"{self.window} fires on none of the {self.total_steps} steps of this run, so no step will be "
                f"perturbed; change {change}, or train longer",
                IdleScheduleWarning,
                stacklevel=6,
            )
        if config.average is not None and config.average.start_epoch >= config.epochs:
            late.append(f"the average begins after epoch {config.average.start_epoch:g}")
        if config.adversary is not None and not config.adversary.window(self.plan.steps).count(self.total_steps):
            late.append(f"adversarial training begins after epoch {config.adversary.start_epoch:g}")
        if max(config.checkpoints.keep_epochs, default=0) > config.epochs:
            late.append(f"a checkpoint is to be kept after epoch {max(config.checkpoints.keep_epochs)}")
        for what in late:
            warnings.warn(f"{what}, but the run ends after {config.epochs}", IdleScheduleWarning, stacklevel=6)

    def check(self, checkpoint: Checkpoint) -> None:
        """Refuse a checkpoint that this run cannot go on from exactly.

        Raises:
            ConfigurationError: if it was made by another number of processes, or under another configuration (but for
                logging, recording, checkpoints, and the number of loading processes).
        """
        processes = len(checkpoint.state["randomness"])
        if processes != self.engine.ranks:
            raise ConfigurationError(
                f"cannot go on with {self.engine.ranks} process{'es' * (self.engine.ranks > 1)}, because the run was "
                f"begun with {processes}, and an exact continuation requires as many; start as many with torchrun"
            )
        changed = differences(_decisive(renewed(checkpoint.state["config"])), _decisive(self.config.to_json()))
        if changed:
            raise ConfigurationError(
                f"cannot go on from the checkpoint {checkpoint.position.name} with another configuration than the one "
                f"that it was made under, because the run would be neither ({'; '.join(changed)}); restore config.json"
            )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint; every rank calls it.

        Raises:
            ConfigurationError: if it was made by another number of processes, or of something else than this run.
        """
        state, engine = checkpoint.state, self.engine
        self.check(checkpoint)
        try:
            if self.average is not None and checkpoint.average is not None:
                engine.load_model_state(self.module, checkpoint.average)
                self.average.take_over()
                self.average.seen = int(state["average_seen"])
            engine.load_model_state(self.module, checkpoint.model)
            engine.load_optimizer_state(self.module, self.optimizer, state["optimizer"])
            engine.load_scaler_state(state["scaler"])
            self.method.load_state_dict(state["method"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise ConfigurationError(
                f"cannot go on from the checkpoint {checkpoint.position.name}, because it is of another model, "
                f"optimizer or method ({' '.join(str(error).split())}); restore the config.json that the run began with"
            ) from None
        self.rows, self.totals = list(state["rows"]), Totals(**state["totals"])
        self.position, self._clock = checkpoint.position, time.perf_counter()
        randomness.restore_torch(state["randomness"][engine.rank])

    def weight_norm(self) -> float:
        """Return the 2-norm of the trained weights."""
        own = sum(float(local(p.detach()).double().square().sum()) for p in self._trained())
        in_parts = any(local(p) is not p for p in self._trained())
        return float((self.engine.total(own)[0] if in_parts else own) ** 0.5)

    def num_parameters(self) -> int:
        """Return the number of trained weights."""
        return sum(p.numel() for p in self._trained())

    def _trained(self) -> list[nn.Parameter]:
        return [p for p in self.module.parameters() if p.requires_grad]


def _numbered(batch: Batch, numbers: list[int]) -> Piece:
    """The batch with the numbers of its samples; without, where damaged ones were left out and nobody knows which."""
    inputs, targets = batch
    return (inputs, targets, torch.tensor(numbers)) if len(targets) == len(numbers) else batch


def _decisive(config: State) -> State:
    """What of a configuration decides the numbers of a run."""
    hardware = {name: value for name, value in config["hardware"].items() if name != "workers"}
    rest = {
        name: value for name, value in config.items() if name not in ("logging", "record", "checkpoints", "hardware")
    }
    return {**rest, "hardware": hardware}


def optimizer_of(run: Run) -> torch.optim.Optimizer:
    """The optimizer itself, without Fabric's wrapper."""
    inner: torch.optim.Optimizer = getattr(run.optimizer, "optimizer", run.optimizer)
    return inner
