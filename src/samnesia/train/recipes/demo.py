"""The digits: small enough for a laptop, and the demo of what the methods do about wrong labels."""

from __future__ import annotations

from dataclasses import replace

from samnesia.train.config import CNN, SGD, Checkpoints, Cosine, Digits, Perturbed, RunConfig
from samnesia.train.parts.methods import ASAM, GSAM, OBF, SAM, Method, Random, Unperturbed
from samnesia.train.recipes.about import About
from samnesia.train.recipes.registry import recipe

ABOUT = About(source="this project's own demo, benchmarks/choose_radii.py", images=800, gmacs=0.0001)


def digits(name: str, method: Method) -> RunConfig:
    """Return the run shared by all methods on clean digits."""
    return RunConfig(
        recipe=name,
        data=Digits(),
        model=CNN(channels=(16, 32), hidden=128),
        optimizer=SGD(lr=0.05, momentum=0.9, weight_decay=5e-4),
        schedule=Cosine(warmup_epochs=2.0),
        method=method,
        when=Perturbed(start_epoch=4.0),
        epochs=80,
        batch_size=80,
        checkpoints=Checkpoints(every_epochs=20),  # a run takes seconds
    )


def digits_noisy(name: str, method: Method) -> RunConfig:
    """Return the run shared by all methods on digits with 40 % wrong labels."""
    return replace(digits(name, method), data=Digits(flipped=0.4))


# The radii are chosen on validation, with seeds that no reported figure uses: benchmarks/choose_radii.py.


@recipe(ABOUT)
def digits_sgd() -> RunConfig:
    """Digits, clean labels: the base optimizer alone."""
    return digits("digits-sgd", Unperturbed())


@recipe(ABOUT)
def digits_sam() -> RunConfig:
    """Digits, clean labels: sharpness-aware minimization."""
    return digits("digits-sam", SAM(rho=0.2))


@recipe(ABOUT)
def digits_asam() -> RunConfig:
    """Digits, clean labels: adaptive SAM, with the perturbation scaled by the weights."""
    return digits("digits-asam", ASAM(rho=1.5))


@recipe(ABOUT)
def digits_gsam() -> RunConfig:
    """Digits, clean labels: SAM that also lowers the surrogate gap."""
    return digits("digits-gsam", GSAM(rho=0.3, alpha=0.2))


@recipe(ABOUT)
def digits_obf() -> RunConfig:
    """Digits, clean labels: perturbation by output-bias forgetting."""
    return digits("digits-obf", OBF(rho=0.1))


@recipe(ABOUT)
def digits_random() -> RunConfig:
    """Digits, clean labels: random perturbation."""
    return digits("digits-random", Random(rho=0.2))


@recipe(ABOUT)
def digits_noisy_sgd() -> RunConfig:
    """Digits, 40 % wrong labels: the base optimizer alone."""
    return digits_noisy("digits-noisy-sgd", Unperturbed())


@recipe(ABOUT)
def digits_noisy_sam() -> RunConfig:
    """Digits, 40 % wrong labels: sharpness-aware minimization."""
    return digits_noisy("digits-noisy-sam", SAM(rho=0.4))


@recipe(ABOUT)
def digits_noisy_asam() -> RunConfig:
    """Digits, 40 % wrong labels: adaptive SAM, with the perturbation scaled by the weights."""
    return digits_noisy("digits-noisy-asam", ASAM(rho=2.0))


@recipe(ABOUT)
def digits_noisy_gsam() -> RunConfig:
    """Digits, 40 % wrong labels: SAM that also lowers the surrogate gap."""
    return digits_noisy("digits-noisy-gsam", GSAM(rho=0.3, alpha=0.2))


@recipe(ABOUT)
def digits_noisy_obf() -> RunConfig:
    """Digits, 40 % wrong labels: perturbation by output-bias forgetting."""
    return digits_noisy("digits-noisy-obf", OBF(rho=0.7))


@recipe(ABOUT)
def digits_noisy_random() -> RunConfig:
    """Digits, 40 % wrong labels: random perturbation."""
    return digits_noisy("digits-noisy-random", Random(rho=0.05))
