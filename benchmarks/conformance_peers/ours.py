"""samnesia's own methods, and the two other ways to drive them, as subjects of the conformance suite."""

import torch.nn.functional as F

import samnesia
from samnesia.conformance import Claims, Closure, Passes, Setup, TwoStep, textbook


def _method(preset, setup: Setup, **options):
    return preset(setup.model, setup.base(), rho=setup.rho, loss=F.cross_entropy, **options)


def sam(setup):
    method = _method(samnesia.sam, setup, replay_dropout=setup.replay_dropout)
    return Passes(method, Claims(formula=textbook.sam, replays_dropout=True))


def asam(setup):
    method = _method(samnesia.asam, setup, replay_dropout=setup.replay_dropout)
    return Passes(method, Claims(formula=textbook.asam, replays_dropout=True))


def gsam(setup):
    method = _method(samnesia.gsam, setup, replay_dropout=setup.replay_dropout)
    return Passes(method, Claims(formula=textbook.gsam, replays_dropout=True, copies=2))


NOISE = "perturbs along noise, whatever the gradient is"
PERTURBED_STATISTICS = "its one pass is at perturbed weights; clean_statistics=True adds a forward for the statistics"


def random_perturbation(setup):
    method = _method(samnesia.random_perturbation, setup, replay_dropout=setup.replay_dropout)
    without = {"26": NOISE, "62a": "ranks draw the noise of their own shards", "47": PERTURBED_STATISTICS}
    return Passes(method, Claims(passes=1, without=without))


def as_optimizer(setup):
    """`samnesia.as_optimizer(samnesia.sam(...))`: for frameworks that own the loop."""
    return Closure(samnesia.as_optimizer(_method(samnesia.sam, setup)), Claims(formula=textbook.sam))


def two_step(setup):
    """`samnesia.two_step(samnesia.sam(...))`: for loops written for davda54/sam; the optimizer stays the user's."""
    method = _method(samnesia.sam, setup)
    two = samnesia.two_step(method)
    refused = "refuses DistributedDataParallel in words: the first gradient is averaged, or not, before it is called"
    # The gradient of the first half is kept as well: an abort leaves it as it was.
    scaler = "has no place for a scaler, as its documentation says: loop over passes()"
    without = {"60": refused, "61": refused, "32": scaler, "33": scaler, "56": scaler}
    claims = Claims(formula=textbook.sam, copies=2, without=without)
    return TwoStep(two, claims, optimizer=method.optimizer, close=two.close)
