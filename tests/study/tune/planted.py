"""Runs of milliseconds whose score is a known function of a searched field.

The model is one weight that the loss pushes up by the learning rate in each step, so that after t steps it is lr * t.
What is measured is how far the weight then lies from each sample's target: the best rate is known, and so is the course
of every run. Targets are drawn by seed, so that seeds differ, alike for all settings.
"""

import torch
import torchmetrics
from torch import nn

from samnesia.data.problem import Problem, Split, TensorSplit
from samnesia.train.config import SAM, SGD, Checkpoints, Constant, OwnData, OwnLoss, OwnModel, RunConfig

EPOCHS, SAMPLES, BATCH = 10, 8, 4
STEPS = SAMPLES // BATCH
BEST = 0.05
TOP = BEST * EPOCHS * STEPS


def split(generator, count=SAMPLES, shift=0.0):
    targets = TOP + shift + 0.02 * torch.randn(count, 1, generator=generator)
    return TensorSplit(torch.zeros(count, 1), targets)


def hill(seed):
    """Train, validation and test around one best rate."""
    generator = torch.Generator().manual_seed(seed)
    shift = 0.05 * float(torch.randn((), generator=generator))
    return Problem(*(split(generator, shift=shift) for _ in range(3)), num_outputs=1, shape=(1,))


class Untouchable(Split):
    """Samples that nobody may look at."""

    def __len__(self):
        return SAMPLES

    def batch(self, indices, epoch=None):
        raise AssertionError("the test split was looked at")


def sealed(seed):
    """The same, with a test split that nobody may look at."""
    found = hill(seed)
    return Problem(found.train, found.validation, Untouchable(), num_outputs=1, shape=(1,))


def without_test(seed):
    found = hill(seed)
    return Problem(found.train, found.validation, None, num_outputs=1, shape=(1,))


def without_validation(seed):
    found = hill(seed)
    return Problem(found.train, None, found.test, num_outputs=1, shape=(1,))


class Weight(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, inputs):
        return self.weight.expand(len(inputs), 1)


def one_weight(shape, num_outputs):
    return Weight()


def up(output, target):
    """Pushes the weight up by the learning rate."""
    return -output.mean()


class Distance(torchmetrics.MeanAbsoluteError):
    """How far the outputs are from the targets."""


class Noise(torchmetrics.Metric):
    """A number that looks drawn anew for each setting and seed: no setting is better than another."""

    full_state_update = False

    def __init__(self):
        super().__init__()
        self.add_state("value", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, output, target):
        self.value += torch.sin(1e5 * output[0, 0].double() + 1e5 * target.double().sum())

    def compute(self):
        return self.value


class Breaks(torchmetrics.MeanAbsoluteError):
    """Is not finite where the weight is large."""

    def compute(self):
        value = super().compute()
        return value if value < 1.0 else value * float("nan")


def planted(data=hill, measure=Distance, rate=0.02, **changes):
    """A run with this learning rate; nothing else matters."""
    defaults = {
        "model": OwnModel(one_weight),
        "loss": OwnLoss(up, measure, name="distance", unit="mm", higher_is_better=False),
        "optimizer": SGD(lr=rate, momentum=0.0, weight_decay=0.0),
        "schedule": Constant(),
        "epochs": EPOCHS,
        "batch_size": BATCH,
        "checkpoints": Checkpoints(every_epochs=None, best=False),
    }
    return RunConfig("planted", data=OwnData(data), **(defaults | changes))


def perturbed(**changes):
    """With a method whose radius does not matter: the gradient is the same everywhere."""
    return planted(method=SAM(rho=0.1), **changes)


def fails(shape, num_outputs):
    raise RuntimeError("no such luck")


def failing():
    return planted(model=OwnModel(fails))


def expected_score(rate, seed):
    """Mean over the last two evaluated epochs of the mean distance on validation."""
    targets = hill(seed).validation.labels
    values = [float((rate * STEPS * epoch - targets).abs().mean()) for epoch in (EPOCHS - 1, EPOCHS)]
    return sum(values) / 2


SEARCH = ("optimizer.lr=0.005:0.5:log",)
