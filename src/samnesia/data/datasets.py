"""A user's own map-style data sets as splits.

How a sample looks is a function of (seed, epoch, index) alone, whatever its data set draws: it is fetched under global
random generators that are seeded for it, and given back as they were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import Dataset, default_collate

from samnesia.data.draws import AUGMENT
from samnesia.data.generators import preserved_generators, seed_generators
from samnesia.data.problem import Batch, Problem, Split
from samnesia.perturb.errors import ConfigurationError

NAMES = ("train", "validation", "test")


class DatasetSplit(Split):
    """The samples of a map-style data set, each an (input, target) pair, collated as a ``DataLoader`` does.

    What the data set draws from the global generators of Python, NumPy and torch is drawn anew in each epoch of
    training, and is the same in every evaluation.

    Args:
        dataset: has ``len(dataset)`` and ``dataset[index]``.
        seed: of the run.
    """

    def __init__(self, dataset: Dataset[Any], seed: int) -> None:
        self.dataset, self._seed = dataset, seed

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]  # checked by `as_problem`

    def batch(self, indices: Sequence[int], epoch: int | None = None) -> Batch:
        """Return samples as training sees them in ``epoch``, or, without one, as evaluation sees them."""
        with preserved_generators():
            inputs, targets = zip(*(self._sample(int(index), epoch) for index in indices), strict=True)
        try:
            return default_collate(list(inputs)), default_collate(list(targets))
        except (RuntimeError, TypeError) as error:
            reason = str(error).partition("\n")[0]
            raise ConfigurationError(
                f"cannot make a batch of samples {indices[0]} to {indices[-1]}, because a batch requires tensors of "
                f"one shape for all samples ({reason}); pad them in the data set"
            ) from error

    def _sample(self, index: int, epoch: int | None) -> tuple[Any, Any]:
        # Epochs are counted from 0; 0 in the key is left to evaluation.
        seed_generators((self._seed, AUGMENT, 0 if epoch is None else epoch + 1, index))
        inputs, target = self.dataset[index]
        return inputs, target


def as_problem(found: Any, *, seed: int, num_outputs: int | None, where: str) -> Problem:
    """Return what a user's function returned as a problem.

    Args:
        found: a :class:`Problem`; or (train, validation or None, test or None) as a tuple, the later ones left out at
            will; or the same by name in a dictionary. Each is a map-style data set or a :class:`Split`.
        seed: of the run.
        num_outputs: number of outputs of the model; None is what the problem says.
        where: the function, for messages.

    Raises:
        ConfigurationError: for anything else, an empty data set, a sample that is no pair, or a number of outputs that
            is missing or not the problem's.
    """
    if isinstance(found, Problem):
        if num_outputs not in (None, found.num_outputs):
            raise ConfigurationError(
                f"cannot use {num_outputs} outputs with {where}, because its problem says {found.num_outputs}; "
                "leave num_outputs out"
            )
        return found
    splits = {name: _split(part, seed, name, where) for name, part in _parts(found, where).items() if part is not None}
    if num_outputs is None:
        raise ConfigurationError(
            f"cannot use the data sets of {where}, because a model requires the number of its outputs, and data sets "
            "do not tell it; give OwnData a num_outputs, or return a samnesia.data.problem.Problem"
        )
    inputs, _ = splits["train"].batch([0])
    return Problem(
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits.get("test"),
        num_outputs=num_outputs,
        shape=_shape(inputs),
    )


def _parts(found: Any, where: str) -> Mapping[str, Any]:
    parts: Mapping[str, Any] = {}
    if isinstance(found, Mapping):
        parts = found
    elif isinstance(found, tuple) and len(found) <= len(NAMES):
        parts = dict(zip(NAMES, found, strict=False))
    if parts.get("train") is None or not parts.keys() <= set(NAMES):
        raise ConfigurationError(
            f"cannot use the {type(found).__name__} that {where} returned, because data are a samnesia.data.problem."
            "Problem, or data sets: (train, validation or None, test or None), or a dictionary of these names; "
            "return one of them"
        )
    return parts


def _split(part: Any, seed: int, name: str, where: str) -> Split:
    if isinstance(part, Split):
        return part
    if not (hasattr(part, "__len__") and hasattr(part, "__getitem__")):
        raise ConfigurationError(
            f"cannot use the {name} data of {where}, because samples are fetched by number, which requires len() and "
            f"[index], and {type(part).__name__} lacks them; return a map-style torch.utils.data.Dataset"
        )
    split = DatasetSplit(part, seed)
    if not len(split):
        raise ConfigurationError(
            f"cannot use the {name} data of {where}, because there is no sample in them; return None for no {name} data"
        )
    first = part[0]
    if not (isinstance(first, tuple | list) and len(first) == 2):
        raise ConfigurationError(
            f"cannot use the {name} data of {where}, because a sample is a pair of input and target, and the first is "
            f"a {type(first).__name__}; return (input, target) for each index"
        )
    return split


def _shape(inputs: Any) -> tuple[int, ...]:
    """Shape of one input; of its first tensor, where it has several."""
    while not isinstance(inputs, torch.Tensor):
        inputs = next(iter(inputs.values())) if isinstance(inputs, Mapping) else inputs[0]
    return tuple(inputs.shape[1:])
