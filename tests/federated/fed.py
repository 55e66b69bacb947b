"""Federated runs of milliseconds, on the clouds of the trainer's tests."""

import warnings

import torch

from samnesia.federated.config import FederatedConfig
from samnesia.federated.parts import Partition
from samnesia.federated.run import federate, resume
from samnesia.perturb.errors import TrainingCollapsedWarning
from samnesia.train.checkpoint import Store
from samnesia.train.config import MLP, SAM, SGD, Checkpoints, Constant, Evaluation, Hardware, LeNet, Logging
from tests.train import small


def training(**changes):
    """What a client runs: an epoch of a few steps."""
    ways = {"epochs": 1, "schedule": Constant(), "batch_size": 4, "drop_last": False, "logging": Logging(every_steps=0),
            "optimizer": SGD(lr=0.1, momentum=0.0), "method": SAM(rho=0.05), "checkpoints": Checkpoints(best=False),
            "model": LeNet(channels=(3,), hidden=(), kernel=3, padding=1, norm="batch"),
            "evaluation": Evaluation(train=False, every_epochs=2)}  # fmt: skip
    return small.config(**(ways | changes))


def config(run=None, **changes):
    """Six clients of six classes, three of them in a round, four rounds."""
    ways = {"clients": 6, "participants": 3, "rounds": 4, "partition": Partition(1.0)}
    return FederatedConfig("small", training() if run is None else run, **(ways | changes))


def smooth(**changes):
    """In float64, with a net without anything random."""
    run = training(model=MLP(hidden=(5,), norm=False), hardware=Hardware(precision="64-true"))
    return config(run, **changes)


def quietly(function, *arguments, **options):
    """Call it; that so short a run learns little is no news."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingCollapsedWarning)
        return function(*arguments, **options)


def ran(federated, out=None, **options):
    """The result of a run."""
    return quietly(federate, federated, out, **options)


def resumed(out, **options):
    """The result of a run that goes on."""
    return quietly(resume, out, **options)


def last(out):
    """The last checkpoint."""
    store = Store(out)
    return store.read(store.positions()[-1])


def same(one, other):
    """Whether two dictionaries of tensors are equal, bit by bit."""
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())
