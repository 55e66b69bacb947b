"""The same attacks as foolbox's, of the same settings, on the same net."""

import importlib
import statistics
import warnings

import pytest
import torch

from samnesia.adversaries import NORMS, Attack, fgsm, worst
from samnesia.train.loaded import load
from tests.evaluate.conftest import trained as trained

RADII = {"linf": (0.03, 0.08), "l2": (0.2, 0.5)}
POINTS = 0.5


@pytest.fixture(scope="module")
def foolbox():
    """Version 3.3.4 takes a function from where SciPy had it once."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Please import `gaussian_filter`", DeprecationWarning)
        return importlib.import_module("foolbox")


@pytest.fixture(scope="module")
def net(trained):
    return load(trained["sgd"])


def theirs(foolbox, net, attack, pixels, targets, eps):
    class Seen(torch.nn.Module):
        def forward(self, x):
            return net.model(net.problem.exposure.inputs(x))

    fooled = foolbox.PyTorchModel(Seen().eval(), bounds=(0, 1), device="cpu")
    found, _, success = attack(fooled, pixels, targets, epsilons=eps)
    return found, 100.0 * float((~success).double().mean())


def ours(net, attack, pixels, targets, seed=0):
    return worst(net.model, net.problem.exposure, net.config.loss.of_samples(), pixels, targets, attack,
                 numbers=range(len(targets)), seed=seed)  # fmt: skip


def kinds(foolbox, norm):
    attacks = foolbox.attacks
    return {"linf": (attacks.LinfPGD, attacks.LinfFastGradientAttack),
            "l2": (attacks.L2PGD, attacks.L2FastGradientAttack)}[norm]  # fmt: skip


def images(net, count=None):
    split = net.problem.test
    chosen = range(count or len(split))
    return net.problem.pixels(split, chosen), split.batch(chosen)[1]


def assert_alike(mine, found, accuracy):
    assert 100.0 * float(mine.right.double().mean()) == pytest.approx(accuracy, abs=POINTS)
    far = (mine.pixels - found).flatten(1).norm(dim=1) > 1e-4  # rounding turns a sign, and all that follows
    assert far.double().mean() < 0.05


@pytest.mark.parametrize("norm", NORMS)
def test_from_the_images_themselves_it_finds_the_same(foolbox, net, norm):
    pixels, targets = images(net, 400)
    several, one = kinds(foolbox, norm)
    for eps in RADII[norm]:
        for attack, peer in ((Attack(NORMS[norm], eps, eps / 4, 10),
                              several(abs_stepsize=eps / 4, steps=10, random_start=False)),
                             (fgsm(NORMS[norm], eps), one(random_start=False))):  # fmt: skip
            assert_alike(ours(net, attack, pixels, targets), *theirs(foolbox, net, peer, pixels, targets, eps))


@pytest.mark.parametrize("norm", NORMS)
def test_from_the_same_random_starts_it_is_within_half_a_point(foolbox, net, norm):
    pixels, targets = images(net)
    eps = RADII[norm][1]
    attack = Attack(NORMS[norm], eps, eps / 4, 20, random_start=True)

    class FromOurs(kinds(foolbox, norm)[0]):
        def get_random_start(self, x0, epsilon):
            return type(x0)(attack.start(pixels, range(len(pixels)), (0, 1, 0)))

    mine = ours(net, attack, pixels, targets)
    found, accuracy = theirs(foolbox, net, FromOurs(abs_stepsize=eps / 4, steps=20), pixels, targets, eps)
    assert_alike(mine, found, accuracy)
    assert 2.0 < accuracy < 80.0  # a radius at which it matters


@pytest.mark.slow
@pytest.mark.parametrize("norm", NORMS)
def test_from_random_starts_of_each_its_own_it_is_within_half_a_point_on_average(foolbox, net, norm):
    """One start is worth half a point to a point by itself, in either library."""
    pixels, targets = images(net)
    eps = RADII[norm][1]
    attack = Attack(NORMS[norm], eps, eps / 4, 20, random_start=True)
    peer = kinds(foolbox, norm)[0](abs_stepsize=eps / 4, steps=20, random_start=True)
    accuracies = {"ours": [], "theirs": []}
    for seed in range(8):
        found = ours(net, attack, pixels, targets, seed=seed)
        accuracies["ours"].append(100.0 * float(found.right.double().mean()))
        torch.manual_seed(seed)
        accuracies["theirs"].append(theirs(foolbox, net, peer, pixels, targets, eps)[1])
    mine, other = (statistics.fmean(values) for values in accuracies.values())
    assert mine == pytest.approx(other, abs=POINTS), accuracies
