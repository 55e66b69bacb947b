"""Image sets as problems: held-out samples, label noise, relabelling, and how images look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from samnesia.data.draws import FLIP_TRAIN, FLIP_VALIDATION, SPLIT, permutation
from samnesia.data.label_noise import NOISES
from samnesia.data.problem import Mix, Problem
from samnesia.data.relabel import read_chosen
from samnesia.data.sample_split import SampleSplit, Views
from samnesia.data.samples import ImageSets, Labels, Samples
from samnesia.perturb.errors import ConfigurationError


@dataclass(frozen=True)
class Labelling:
    """What is done to the labels, and to whose.

    Attributes:
        flipped: share of training and validation labels that is drawn anew.
        noise: from the other classes (``other``) or from all (``all``).
        relabel: file of labels that replace those of training; None is no file.
        holdout: training samples held out for validation.
    """

    flipped: float
    noise: str
    relabel: str | None
    holdout: int


def image_problem(
    sets: ImageSets,
    *,
    num_classes: int,
    labelling: Labelling,
    views: Views,
    seed: int,
    skip_damaged: bool,
    mix: Mix | None,
) -> Problem:
    """Return the splits of a run with this seed; test labels are as the source has them.

    Raises:
        ConfigurationError: for samples held out where there is a validation set, or more than there are, and for a
            file of labels that does not fit.
    """
    chosen = _held_out(sets, labelling.holdout, seed)

    def split(samples: Samples, numbers: Labels, purpose: int | None, replaced: Labels | None = None) -> SampleSplit:
        clean = samples.labels[numbers]
        labels = clean
        if purpose is not None and labelling.flipped:
            noisy = NOISES[labelling.noise]
            labels = noisy(clean, labelling.flipped, num_classes=num_classes, key=(seed, purpose))
        if replaced is not None:
            labels = replaced
        return SampleSplit(
            samples,
            numbers,
            labels,
            clean_labels=None if labels is clean else clean,
            views=views,
            seed=seed,
            skip_damaged=skip_damaged,
        )

    train, held_out = chosen
    validation = None
    if len(held_out):
        validation = split(sets.train, held_out, FLIP_VALIDATION)
    elif sets.validation is not None:
        validation = split(sets.validation, np.arange(len(sets.validation)), FLIP_VALIDATION)
    return Problem(
        train=split(sets.train, train, FLIP_TRAIN, _replaced(sets, labelling.relabel, train, num_classes)),
        validation=validation,
        test=None if sets.test is None else split(sets.test, np.arange(len(sets.test)), None),
        num_outputs=num_classes,
        shape=views.shape,
        mix=mix,
        exposure=views.exposure,
    )


def check_classes(sets: ImageSets, wanted: int | None) -> int:
    """Return the number of classes: what is wanted, else what the source says, else what its labels show.

    Raises:
        ConfigurationError: if the source says another number, or has labels beyond it.
    """
    splits = {"training": sets.train, "validation": sets.validation, "test": sets.test}
    if wanted is not None and sets.num_classes not in (None, wanted):
        raise ConfigurationError(
            f"cannot train with num_classes {wanted}, because the data set has {sets.num_classes} classes; "
            f"use {sets.num_classes}, or another data set"
        )
    number = wanted or sets.num_classes or int(sets.train.labels.max(initial=0)) + 1
    for name, samples in splits.items():
        highest = -1 if samples is None else int(samples.labels.max(initial=-1))
        if highest >= number:
            raise ConfigurationError(
                f"cannot train with {number} classes, because a {name} label is {highest}, and they are counted from "
                f"0; use num_classes {highest + 1}, or correct the labels"
            )
    if number < 2:
        raise ConfigurationError(
            "cannot train on a data set of one class, because there is nothing to tell apart; add another class"
        )
    return number


def _held_out(sets: ImageSets, holdout: int, seed: int) -> tuple[Labels, Labels]:
    """Return the numbers of the training samples, and of those held out from them, each in ascending order."""
    count = len(sets.train)
    if holdout and sets.validation is not None:
        raise ConfigurationError(
            f"cannot hold out {holdout} training samples, because the data set has a validation set of its own; "
            "use holdout 0, or a source without validation"
        )
    if holdout >= count:
        raise ConfigurationError(
            f"cannot hold out {holdout} of {count} training samples, because none would be left; use fewer"
        )
    order = permutation(count, key=(seed, SPLIT)) if holdout else np.arange(count)
    return np.sort(order[holdout:]), np.sort(order[:holdout])


def _replaced(sets: ImageSets, path: str | None, numbers: Labels, num_classes: int) -> Labels | None:
    return None if path is None else read_chosen(path, numbers, count=len(sets.train), num_classes=num_classes)
