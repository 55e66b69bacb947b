"""Recipes: the paper's settings, and this project's on digits."""

import pytest

from samnesia.federated.config import FederatedConfig
from samnesia.federated.parts import Partition
from samnesia.federated.recipes import RECIPES, find
from samnesia.train.config import ASAM, SAM, Unperturbed

DIGITS = [name for name in RECIPES if name.startswith("digits")]
CIFAR = [name for name in RECIPES if name.startswith("caldarola")]


def test_all_are_there():
    assert len(DIGITS) == 4 * 3 * 2
    assert len(CIFAR) == 2 * 3 * 3 * 2


@pytest.mark.parametrize("name", RECIPES)
def test_each_goes_through_json(name):
    config = find(name)
    assert config.recipe == name
    assert FederatedConfig.from_json(config.to_json()) == config
    kinds = {"fedavg": Unperturbed, "fedsam": SAM, "fedasam": ASAM}
    words = name.split("-")
    assert isinstance(config.training.method, kinds[next(word for word in words if word in kinds)])
    assert (config.swa is not None) == name.endswith("-swa")


def test_cifar_has_the_papers_settings():
    config = find("caldarola-cifar10-alpha0.05-fedasam-swa")
    assert (config.clients, config.participants, config.rounds) == (100, 5, 10_000)
    assert config.partition == Partition(0.05)
    run = config.training
    assert (run.epochs, run.batch_size, run.optimizer.lr, run.optimizer.momentum) == (1, 64, 0.01, 0.0)
    assert run.optimizer.weight_decay == 4e-4
    assert (run.method.rho, run.method.eta) == (0.7, 0.2)
    assert (config.swa.start, config.swa.cycle, config.swa.lr, config.swa.take) == (7500, 10, 1e-4, "high")
    assert find("caldarola-cifar100-alpha0-fedsam").training.method.rho == 0.02
    assert find("caldarola-cifar100-alpha0-fedsam-swa").swa.start == 15_000


@pytest.mark.slow
def test_digits_learn_with_one_class_per_client():
    """The recipe itself: half of its rounds lift the model far above chance."""
    from dataclasses import replace

    from tests.federated.fed import ran

    config = replace(find("digits-fedavg"), rounds=12, partition=Partition(100.0))
    assert ran(config).last["test_accuracy"] > 40.0
