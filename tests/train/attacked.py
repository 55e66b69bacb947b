"""Runs of milliseconds on images, for tests of adversarial training."""

import torch
from torch import nn

from samnesia.data.pixels import Standardised
from samnesia.data.problem import Problem, TensorSplit
from samnesia.train.config import SGD, Adversary, Checkpoints, Hardware, Logging, OwnData, OwnModel, RunConfig

CLASSES, TRAIN, BATCH = 3, 37, 10
STEPS = 4  # of an epoch, the last of 7 samples
SEEN = Standardised((0.5,), (0.25,))
SMALL = Adversary(eps=0.1, step=0.05, steps=3)
EUCLIDEAN = Adversary(norm="l2", eps=0.4, step=0.2, steps=3)


def images(seed):
    """Three classes of images of 4 x 4 pixels, some of which are black or white."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.rand(CLASSES, 1, 4, 4, generator=generator)

    def split(count):
        labels = torch.arange(count) % CLASSES
        pixels = (centres[labels] + 0.3 * torch.randn(count, 1, 4, 4, generator=generator)).clamp(0, 1)
        return TensorSplit(SEEN.inputs(pixels), labels)

    return Problem(split(TRAIN), split(17), split(19), num_outputs=CLASSES, shape=(1, 4, 4), exposure=SEEN)


def smooth(shape, num_outputs):
    """Gradients are functions of the weights."""
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.Tanh(), nn.Linear(5, num_outputs))


def rough(shape, num_outputs):
    """Running statistics and dropout, which an attack must leave alone."""
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(12, num_outputs)
    )


def config(**changes):
    """Three epochs of four steps, in float64."""
    defaults = {
        "data": OwnData(images),
        "model": OwnModel(smooth),
        "optimizer": SGD(lr=0.1, momentum=0.9),
        "epochs": 3,
        "batch_size": BATCH,
        "drop_last": False,
        "adversary": SMALL,
        "checkpoints": Checkpoints(last=3),
        "logging": Logging(every_steps=1),
        "hardware": Hardware(accelerator="cpu", precision="64-true"),
    }
    return RunConfig("attacked", **(defaults | changes))
