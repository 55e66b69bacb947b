"""Labels in a file of their own, such as those a model predicts for its training set."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from samnesia.data.sample_split import SampleSplit
from samnesia.data.samples import Labels
from samnesia.perturb.errors import ConfigurationError

UNKNOWN = -1
"""Label of a sample that no label was given for."""


def read_labels(path: str, *, count: int, num_classes: int) -> Labels:
    """Read labels from a ``.npy`` file or a ``.json`` list: int64 of shape ``[count]``, -1 where there is none.

    Raises:
        ConfigurationError: if the file is missing or of another form, or does not fit the data set.
    """
    try:
        if path.endswith(".json"):
            labels = np.asarray(json.loads(Path(path).read_text(encoding="utf-8")))
        else:
            labels = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise ConfigurationError(
            f"cannot relabel with {path}, because there is no such file; correct data.relabel"
        ) from None
    except (OSError, ValueError, EOFError) as error:
        raise ConfigurationError(
            f"cannot relabel with {path}, because it is neither a .npy file nor a .json list ({error}); write it again"
        ) from None
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise ConfigurationError(
            f"cannot relabel with {path}, because {count} training samples require a whole number each, and it holds "
            f"{labels.dtype} of shape {list(labels.shape)}; write the labels of this data set"
        )
    if labels.min() < UNKNOWN or labels.max() >= num_classes:
        raise ConfigurationError(
            f"cannot relabel with {path}, because labels lie between 0 and {num_classes - 1}, and it holds "
            f"{labels.min()} to {labels.max()}; write the labels of this data set"
        )
    return labels.astype(np.int64)


def read_chosen(path: str, numbers: Labels, *, count: int, num_classes: int) -> Labels:
    """The labels of these samples of a training set of so many; raises as :func:`read_labels`, and where one has none.

    Args:
        path: the file.
        numbers: of the samples that are trained on, int64 ``[n]``.
        count: samples of the whole training set, of which the file has the labels.
        num_classes: number of classes.
    """
    labels = read_labels(path, count=count, num_classes=num_classes)[numbers]
    if (labels == UNKNOWN).any():
        raise ConfigurationError(
            f"cannot relabel with {path}, because {np.count_nonzero(labels == UNKNOWN)} training samples have no label "
            "in it, as if others had been held out; use the seed and the split of the run that wrote it"
        )
    return labels


def write_labels(path: str, split: SampleSplit, labels: Labels) -> None:
    """Write the labels of a training split for ``data.relabel``, in the order of the whole training set.

    Samples that are not in the split, because they were held out, get -1: whoever holds out others is refused.
    """
    whole = np.full(len(split.samples), UNKNOWN, dtype=np.int64)
    whole[split.numbers.numpy()] = labels
    with open(path, "wb") as file:
        np.save(file, whole)
