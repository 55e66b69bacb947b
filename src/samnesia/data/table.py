"""Tables that come with scikit-learn, with their features as they were measured, or normalised.

Nothing is downloaded, and unless it is asked for nothing is normalised: a feature in the thousands stands beside one
below 1, as in many a table that somebody starts with. All seeds split the same rows, so an interval over seeds is about
other splits of these, not about other wines or patients.

Sources: M. Forina et al., "PARVUS", wine recognition data, 1991; W. Wolberg, W. Street and O. Mangasarian, breast
cancer Wisconsin (diagnostic), 1995; both UCI Machine Learning Repository.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from samnesia.data.draws import SPLIT, permutation
from samnesia.data.problem import Problem, TensorSplit
from samnesia.extras import require
from samnesia.perturb.errors import ConfigurationError


def table(seed: int, name: str, *, train: int, validation: int, normalized: bool = False) -> Problem:
    """Split the rows by ``seed`` into so many for training and validation, and all others for the test.

    Inputs are features, float32 of shape ``[features]``. The same seed gives the same rows on every machine.

    Args:
        seed: of the run.
        name: ``wine`` (178 rows, 13 features, 3 classes) or ``breast_cancer`` (569 rows, 30 features, 2 classes).
        train: rows for training.
        validation: rows for validation.
        normalized: whether each feature has the mean 0 and the standard deviation 1 over the training rows; otherwise
            it is as it was measured.

    Raises:
        ConfigurationError: for numbers of rows below 1, or that leave none for the test.
        MissingExtraError: if scikit-learn is not installed.
    """
    features, labels = _rows(name)
    if min(train, validation) < 1 or train + validation >= len(labels):
        raise ConfigurationError(
            f"cannot split {name} into {train} rows for training and {validation} for validation, because both need a "
            f"row or more, and of {len(labels)} rows one at least is for the test; use fewer or more"
        )
    order = permutation(len(labels), key=(seed, SPLIT))
    if normalized:
        features = _standardised(features, order[:train])
    first, second, third = (
        TensorSplit(torch.from_numpy(features[rows]), torch.from_numpy(labels[rows]))
        for rows in np.split(order, [train, train + validation])
    )
    return Problem(first, second, third, num_outputs=int(labels.max()) + 1, shape=features.shape[1:])


def _standardised(features: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """By mean and standard deviation of these rows; a feature that is the same in all of them is only centred."""
    known = features[rows].astype(np.float64)
    std = known.std(0)
    standardised: NDArray[np.float32] = ((features - known.mean(0)) / np.where(std > 0, std, 1.0)).astype(np.float32)
    return standardised


@lru_cache(maxsize=2)
def _rows(name: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    datasets = require("sklearn.datasets", extra="train")
    bunch = getattr(datasets, f"load_{name}")()
    return bunch.data.astype(np.float32), bunch.target.astype(np.int64)
