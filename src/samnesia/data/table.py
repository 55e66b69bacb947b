"""Tables that come with scikit-learn, with their features as they were measured.

Nothing is downloaded, and nothing is normalised: a feature in the thousands stands beside one below 1, as in many a
table that somebody starts with. All seeds split the same rows, so an interval over seeds is about other splits of
these, not about other wines or patients.

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


def table(seed: int, name: str, *, train: int, validation: int) -> Problem:
    """Split the rows by ``seed`` into so many for training and validation, and all others for the test.

    Inputs are raw features, float32 of shape ``[features]``. The same seed gives the same rows on every machine.

    Args:
        seed: of the run.
        name: ``wine`` (178 rows, 13 features, 3 classes) or ``breast_cancer`` (569 rows, 30 features, 2 classes).
        train: rows for training.
        validation: rows for validation.

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
    first, second, third = (
        TensorSplit(torch.from_numpy(features[rows]), torch.from_numpy(labels[rows]))
        for rows in np.split(order, [train, train + validation])
    )
    return Problem(first, second, third, num_outputs=int(labels.max()) + 1, shape=features.shape[1:])


@lru_cache(maxsize=2)
def _rows(name: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    datasets = require("sklearn.datasets", extra="train")
    bunch = getattr(datasets, f"load_{name}")()
    return bunch.data.astype(np.float32), bunch.target.astype(np.int64)
