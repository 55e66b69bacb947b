"""Runs of milliseconds for tests of the trainer: clouds of points as images, and nets of a few dozen weights."""

import json
import warnings

import torch
from torch import nn

from samnesia.data.problem import Problem, TensorSplit
from samnesia.perturb.errors import TrainingCollapsedWarning
from samnesia.train.config import SGD, Checkpoints, Hardware, Logging, OwnData, OwnModel, RunConfig
from samnesia.train.engine import Engine
from samnesia.train.loop import train
from samnesia.train.run import Run

CLASSES, TRAIN, BATCH = 6, 53, 10
STEPS = TRAIN // BATCH


def clouds(seed):
    """Six classes of images of 4 x 4 pixels; more classes than five, so that the top five mean something."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(CLASSES, 1, 4, 4, generator=generator)

    def split(count, wrong=0):
        labels = torch.arange(count) % CLASSES
        images = centres[labels] + 0.7 * torch.randn(count, 1, 4, 4, generator=generator)
        given = torch.where(torch.arange(count) < wrong, (labels + 1) % CLASSES, labels)
        return TensorSplit(images, given, labels if wrong else None)

    return Problem(split(TRAIN, wrong=8), split(17), split(19), num_outputs=CLASSES, shape=(1, 4, 4))


def net(shape, num_outputs):
    """With all that makes a continuation hard: running statistics and dropout."""
    return nn.Sequential(
        nn.Conv2d(shape[0], 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3),
        nn.Linear(12, num_outputs),
    )  # fmt: skip


def smooth_net(shape, num_outputs):
    """Without anything random or running: gradients are functions of the weights."""
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.Tanh(), nn.Linear(5, num_outputs))


def config(**changes):
    """A run of three epochs of five steps of ten samples."""
    defaults = {
        "data": OwnData(clouds),
        "model": OwnModel(net),
        "optimizer": SGD(lr=0.1),
        "epochs": 3,
        "batch_size": BATCH,
        "checkpoints": Checkpoints(last=3),
        "logging": Logging(every_steps=1),
    }
    return RunConfig("small", **(defaults | changes))


def smooth(**changes):
    """In float64, with a net without anything random: for comparisons to the last digits."""
    return config(model=OwnModel(smooth_net), hardware=Hardware(precision="64-true"), **changes)


def quietly(function, *arguments, **options):
    """Call it; that so short a run learns little is no news."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingCollapsedWarning)
        return function(*arguments, **options)


def trained(run_config, out=None, **options):
    """The result of a run."""
    return quietly(train, run_config, out, **options)


def begun(run_config):
    """A run that has not taken a step."""
    torch.manual_seed(run_config.seed)
    return Run(run_config, Engine(run_config.hardware), run_config.data.load(run_config.seed))


def lines(path):
    """What a file of JSON lines holds."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def last_weights(out):
    """Weights and buffers at the end of a run."""
    from safetensors.torch import load_file

    return load_file(sorted((out / "checkpoints").glob("epoch*"))[-1] / "model.safetensors")


class After:
    """Asks a run to stop in its n-th step, counted from 1."""

    def __init__(self, count):
        self._left = count

    def __call__(self):
        self._left -= 1
        return self._left == 0
