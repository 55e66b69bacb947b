"""What a training run is: typed, frozen, and able to go through JSON and back.

A :class:`RunConfig` holds everything that decides the numbers of a run; the same configuration gives the same weights,
bit by bit, on the same machine. Its parts (:mod:`samnesia.train.parts`) are dataclasses that build what they describe.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from samnesia.models.subspaces.shapes import AnyShape, Curve, Line, Simplex
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.parts.adversaries import Adversary
from samnesia.train.parts.augmentations import PadCropFlip, Plain, RandomResizedCropFlip
from samnesia.train.parts.averages import EMA, SWA, Average
from samnesia.train.parts.checks import MOST_EPOCHS, check_share, require
from samnesia.train.parts.consolidation import Consolidation
from samnesia.train.parts.data import Data, Digits, Images, Photographs, Table, Text
from samnesia.train.parts.hardware import Hardware
from samnesia.train.parts.heads import Headed
from samnesia.train.parts.losses import BinaryCrossEntropy, CrossEntropy, Loss
from samnesia.train.parts.methods import (
    AESAM,
    ASAM,
    ESAM,
    GCSAM,
    GSAM,
    LESAM,
    MESA,
    METHODS,
    OBF,
    RWP,
    SAF,
    SAM,
    SAMON,
    WSAM,
    ASAMAfterNorm,
    ASAMBeforeNorm,
    FilterSAM,
    FisherSAM,
    FocalSAM,
    FriendlySAM,
    FunctionalSAM,
    GradientNormPenalty,
    ImbSAM,
    IntervalSAM,
    LateSAM,
    LayerSAM,
    LinfSAM,
    Lookahead,
    Lookbehind,
    LookbehindASAM,
    LookSAM,
    Method,
    MomentumSAM,
    OutputBias,
    Random,
    ShrinkAndPerturb,
    SparseSAM,
    StableSAM,
    Training,
    Unperturbed,
    VaSSO,
    ZSharp,
    method_name,
)
from samnesia.train.parts.mixing import Mixing
from samnesia.train.parts.models import (
    CNN,
    MLP,
    VGG,
    CifarResNet,
    LeNet,
    Model,
    PyramidNet,
    ShakeShake,
    Timm,
    Transformer,
    WideResNet,
)
from samnesia.train.parts.optimizers import SGD, AdamW
from samnesia.train.parts.own import OwnData, OwnLoss, OwnModel
from samnesia.train.parts.recording import RecordForgetting, Recording, RecordSharpness
from samnesia.train.parts.saving import Checkpoints, Evaluation, Logging
from samnesia.train.parts.schedules import Constant, Cosine, Linear, Schedule, Steps
from samnesia.train.parts.sources import TFDS, Folder, Hub, Shards, Torchvision
from samnesia.train.parts.tasks import Balanced, ByClasses, Permuted, Reservoir, Task
from samnesia.train.parts.when import Perturbed, Window
from samnesia.train.plain import from_plain, to_plain

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from samnesia.data.problem import Problem

__all__ = [
    "AESAM",
    "ASAM",
    "ASAMAfterNorm",
    "ASAMBeforeNorm",
    "AdamW",
    "Adversary",
    "Balanced",
    "BinaryCrossEntropy",
    "ByClasses",
    "CNN",
    "Checkpoints",
    "CifarResNet",
    "Consolidation",
    "Constant",
    "Cosine",
    "CrossEntropy",
    "Curve",
    "Digits",
    "EMA",
    "ESAM",
    "Evaluation",
    "FilterSAM",
    "FisherSAM",
    "FocalSAM",
    "Folder",
    "FriendlySAM",
    "FunctionalSAM",
    "GCSAM",
    "GSAM",
    "GradientNormPenalty",
    "Hardware",
    "Headed",
    "Hub",
    "Images",
    "ImbSAM",
    "IntervalSAM",
    "LESAM",
    "LateSAM",
    "LayerSAM",
    "LeNet",
    "Line",
    "Linear",
    "LinfSAM",
    "Logging",
    "LookSAM",
    "Lookahead",
    "Lookbehind",
    "LookbehindASAM",
    "MESA",
    "METHODS",
    "MLP",
    "Method",
    "Mixing",
    "MomentumSAM",
    "OBF",
    "OutputBias",
    "OwnData",
    "OwnLoss",
    "OwnModel",
    "PadCropFlip",
    "Permuted",
    "Perturbed",
    "Photographs",
    "Plain",
    "PyramidNet",
    "RWP",
    "Random",
    "RandomResizedCropFlip",
    "RecordForgetting",
    "RecordSharpness",
    "Recording",
    "Reservoir",
    "RunConfig",
    "SAF",
    "SAM",
    "SAMON",
    "SGD",
    "SWA",
    "ShakeShake",
    "Shards",
    "ShrinkAndPerturb",
    "Simplex",
    "SparseSAM",
    "StableSAM",
    "Steps",
    "TFDS",
    "Table",
    "Task",
    "Text",
    "Timm",
    "Torchvision",
    "Transformer",
    "Unperturbed",
    "VGG",
    "VaSSO",
    "WSAM",
    "WideResNet",
    "ZSharp",
    "method_name",
]

MOST_SEED = 2**63 - 1


@dataclass(frozen=True)
class RunConfig:
    """One training run: the same configuration gives the same numbers."""

    recipe: str
    """Name under which the results are filed: the recipe that the run started from."""
    data: Data | OwnData | Task = field(default_factory=Digits)
    """The data set, with its augmentation."""
    model: Model | OwnModel | Headed = field(default_factory=CNN)
    """The model."""
    subspace: AnyShape | None = None
    """Train a line, a curve or a simplex of such models, and evaluate its centre; None is one model."""
    loss: Loss | OwnLoss = field(default_factory=CrossEntropy)
    """What is minimised, and what the run is judged by."""
    optimizer: SGD | AdamW = field(default_factory=SGD)
    """The base optimizer."""
    schedule: Schedule = field(default_factory=Cosine)
    """The course of the learning rate."""
    method: Method = field(default_factory=Unperturbed)
    """The method that makes the gradient."""
    when: Perturbed = field(default_factory=Perturbed)
    """The steps on which it perturbs."""
    epochs: int = 80
    """Passes over the training set."""
    batch_size: int = 80
    """Samples per optimizer step, over all devices."""
    micro_batch: int | None = None
    """Samples per perturbation (the m of m-sharpness); None is the whole batch."""
    device_batch: int | None = None
    """Most samples in one forward and one load, to fit into memory; mixing finds its partners in them. None is any."""
    drop_last: bool = True
    """Drop what is left of an epoch after the last full batch; otherwise it makes a smaller batch."""
    clip_norm: float | None = None
    """Clip the final gradient to this norm; None is not at all."""
    adversary: Adversary | None = None
    """Adversarial training: attacked images in the place of those of a batch; None is none."""
    average: Average | None = None
    """An average of the weights to evaluate as well."""
    shrink_perturb: float = 0.0
    """Shrink and perturb: each step moves the weights by this share (times lr / highest lr) to the initial ones."""
    consolidation: Consolidation | None = None
    """Hold the weights to those of earlier tasks; None is not at all."""
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    """What is saved, and when."""
    evaluation: Evaluation = field(default_factory=Evaluation)
    """What is evaluated, and when."""
    logging: Logging = field(default_factory=Logging)
    """What is logged."""
    record: Recording = field(default_factory=Recording)
    """What is measured along the way."""
    hardware: Hardware = field(default_factory=Hardware)
    """Where and how precisely the run computes."""
    seed: int = 0
    """Decides split, label noise, initial weights, order and augmentation of the samples, random perturbations."""

    def __post_init__(self) -> None:
        limits = {"epochs": (1, MOST_EPOCHS), "batch_size": (2, None), "seed": (0, MOST_SEED),
                  "micro_batch": (1, self.batch_size), "device_batch": (1, None)}  # fmt: skip
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            if value is None:
                continue
            require(value >= least, f"cannot train with {name} {value}, because it must be {least} or more; change it")
            require(
                most is None or value <= most,
                f"cannot train with {name} {value}, because it must be {most} or less; change it",
            )
        require(
            self.clip_norm is None or 0.0 < self.clip_norm < math.inf,
            f"cannot clip the gradient to norm {self.clip_norm}, because a norm to clip to is a positive number; "
            "use 1, say, or None for no clipping",
        )
        check_share(self.shrink_perturb, "move the weights by")

    def network(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Return the model for inputs of ``shape``, with its starting weights; of a subspace, all its endpoints.

        Raises:
            ConfigurationError: for what cannot be built, and endpoints that would start equal.
        """
        if self.subspace is None:
            return self.model.build(shape, num_outputs)
        from samnesia.models.subspaces.subspace import Subspace

        return Subspace.of(lambda: self.model.build(shape, num_outputs), self.subspace)

    def window(self, steps_per_epoch: int) -> Window:
        """Return the optimizer steps on which the method perturbs: those of ``when`` that are the method's as well."""
        return self.method.window(self.when.window(steps_per_epoch), self.epochs * steps_per_epoch)

    def perturbed_steps(self, steps_per_epoch: int) -> int:
        """Number of steps on which the method is to perturb; 0 for the base optimizer alone."""
        if isinstance(self.method, Unperturbed):
            return 0
        return self.window(steps_per_epoch).count(self.epochs * steps_per_epoch)

    def gradient_evaluations(self, steps_per_epoch: int) -> float:
        """Gradient evaluations of the run, in batches; a forward pass alone counts as a third of one."""
        steps = self.epochs * steps_per_epoch
        attacks = 0 if self.adversary is None else self.adversary.gradient_evaluations(steps, steps_per_epoch)
        return steps + attacks + self.window(steps_per_epoch).count(steps) * self.method.added_gradients

    def training(
        self, model: nn.Module, optimizer: Optimizer, problem: Problem, steps_per_epoch: int, *, smoothed: bool = True
    ) -> Training:
        """Return what the method is built for; not ``smoothed`` with the criterion of evaluation, without a penalty."""
        loss = self.loss.criterion() if smoothed else self.loss.of_evaluation()
        if self.consolidation is not None and smoothed:
            loss = self.consolidation.added(loss, model)
        return Training(
            model,
            optimizer,
            loss,
            lr_min=self.optimizer.lr * self.schedule.lowest,
            lr_max=self.optimizer.lr,
            losses=self.loss.of_samples(),
            class_counts=problem.class_counts,
            total_steps=self.epochs * steps_per_epoch,
            num_samples=len(problem.train) if problem.mix is None else None,
        )

    def learning_rate(self, step: int, steps_per_epoch: int) -> float:
        """Return the learning rate of ``step``, counted from 0 over the whole run."""
        factor = self.schedule.factor(
            step,
            total_steps=self.epochs * steps_per_epoch,
            warmup_steps=round(self.schedule.warmup_epochs * steps_per_epoch),
        )
        return self.optimizer.lr * factor

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


def renewed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings that were written down earlier as they would be written today.

    In a configuration, also inside of others, fields that came since stand at their defaults. What is none, or cannot
    be read any more, is returned as it is.
    """
    if settings.get("kind") == RunConfig.__name__:
        with suppress(ConfigurationError):
            return RunConfig.from_json(dict(settings)).to_json()
    return {name: renewed(value) if isinstance(value, Mapping) else value for name, value in settings.items()}
