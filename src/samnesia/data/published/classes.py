"""Which class of a model a folder of images stands for."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from samnesia.data.sample_split import SampleSplit
from samnesia.data.samples import FileSamples, Joined
from samnesia.extras import require
from samnesia.perturb.errors import ConfigurationError

if TYPE_CHECKING:
    from samnesia.data.problem import Problem, Split

IMAGENET = 1000
"""Classes of ImageNet (ILSVRC 2012), numbered in the order of their WordNet identifiers."""


@dataclass(frozen=True, eq=False)
class ClassNumbers:
    """Class numbers of a model by the name of a folder.

    Attributes:
        numbers: of each name; several where each of them is right, none where images are left out.
        outputs: number of classes of the model.
        source: where the names come from, in words.
    """

    numbers: Mapping[str, tuple[int, ...]]
    outputs: int
    source: str

    @property
    def folders(self) -> tuple[str, ...]:
        """The names that stand for a class, in order."""
        return tuple(sorted(name for name, numbers in self.numbers.items() if numbers))

    @property
    def imagenet(self) -> tuple[str, ...]:
        """Those of ImageNet's folders that stand for a class; all of them, where none is ImageNet's."""
        return tuple(name for name in imagenet_classes() if self.numbers.get(name)) or self.folders

    def of(self, name: str, where: Path | str) -> tuple[int, ...]:
        """Numbers of a folder in ``where``; raises ConfigurationError if its name stands for no class."""
        if name not in self.numbers:
            known = self.folders
            some = ", ".join(known[:3]) + (", ..." if len(known) > 3 else "")
            raise ConfigurationError(
                f"cannot evaluate on {where}, because its folder {name!r} is none of the {len(known)} classes of "
                f"{self.source} ({some}); give a file of class numbers for its folders (classes FILE.json)"
            )
        return self.numbers[name]

    def of_imagenet(self, number: int, where: Path | str) -> tuple[int, ...]:
        """Numbers of the class that has this number among ImageNet's 1000."""
        names = imagenet_classes()
        if not 0 <= number < len(names):
            raise ConfigurationError(
                f"cannot evaluate on {where}, because it has a class {number}, and ImageNet's are numbered from 0 to "
                f"{len(names) - 1}; use the file as its authors published it"
            )
        return self.of(names[number], where)


def classes_of(problem: Problem, file: Path | str | None = None) -> ClassNumbers:
    """By the folders that a model's data came from; without folders, ImageNet's for a model of 1000 classes.

    Args:
        problem: the model's data.
        file: of class numbers for more folders, or in the place of these; see :func:`read_classes`.

    Raises:
        ConfigurationError: if it cannot be known, or the file cannot be used.
    """
    own, source = _own(problem)
    if file is not None:
        own, source = {**own, **read_classes(file, problem.num_outputs)}, f"{file} and {source}" if own else str(file)
    if not own:
        raise ConfigurationError(
            f"cannot tell which of the {problem.num_outputs} classes of the model a folder stands for, because its own "
            "data are not in a folder per class, and it has not ImageNet's 1000 classes; give a file of class numbers "
            "for the folders (classes FILE.json)"
        )
    return ClassNumbers(own, problem.num_outputs, source)


def _own(problem: Problem) -> tuple[dict[str, tuple[int, ...]], str]:
    """Class numbers by folder, and where these names come from."""
    names = folder_names(problem.train) or (None if problem.test is None else folder_names(problem.test))
    if names is not None:
        return {name: (number,) for number, name in enumerate(names)}, "the data of the model"
    if problem.num_outputs == IMAGENET:
        return {name: (number,) for number, name in enumerate(imagenet_classes())}, "ImageNet"
    return {}, ""


def folder_names(split: Split) -> tuple[str, ...] | None:
    """The folder of each class, by class number; None where images do not lie in a folder per class."""
    samples = split.samples if isinstance(split, SampleSplit) else None
    if not isinstance(samples, FileSamples | Joined):
        return None
    numbers, first = np.unique(samples.labels, return_index=True)
    if not numbers.size or not np.array_equal(numbers, np.arange(len(numbers))):
        return None
    names = tuple(Path(samples.name(int(index))).parent.name for index in first)
    return names if len(set(names)) == len(names) > 1 else None


def read_classes(path: Path | str, outputs: int) -> dict[str, tuple[int, ...]]:
    """Class numbers from a file: a JSON object, or lines of CSV.

    ``{"n01440764": 0, "tools": [3, 17], "other": null}``: one class; several, each of which is right; images that are
    left out. In CSV: ``n01440764,0``, ``tools,3,17``, ``other``.

    Raises:
        ConfigurationError: if it cannot be read, or has other things than class numbers of the model.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        found = _of_json(text) if path.suffix.lower() == ".json" else _of_csv(text)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            f"cannot read class numbers from {path}, because it is no JSON object or CSV file of folders and their "
            f'numbers ({reason}); write {{"FOLDER": 0, ...}}, or lines FOLDER,0'
        ) from None
    for name, numbers in found.items():
        for number in numbers:
            if not 0 <= number < outputs:
                raise ConfigurationError(
                    f"cannot use the class {number} of {name!r} in {path}, because the model has {outputs} classes, "
                    f"numbered from 0 to {outputs - 1}; correct the file"
                )
    return found


def _of_json(text: str) -> dict[str, tuple[int, ...]]:
    found = json.loads(text)
    if not isinstance(found, dict) or not found:
        raise ValueError("it holds no object with names")
    return {name: tuple(_whole(found[name], name)) for name in found}


def _whole(value: Any, name: str) -> Iterator[int]:
    for number in value if isinstance(value, list) else [] if value is None else [value]:
        if not isinstance(number, int) or isinstance(number, bool):
            raise ValueError(f"{name!r} has {number!r}")
        yield number


def _of_csv(text: str) -> dict[str, tuple[int, ...]]:
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines()) if any(row)]
    found: dict[str, tuple[int, ...]] = {}
    for line, (name, *cells) in enumerate(rows):
        filled = [cell for cell in cells if cell]
        if line == 0 and filled and not any(cell.lstrip("-").isdigit() for cell in filled):
            continue  # names of the columns
        if name in found:
            raise ValueError(f"{name!r} stands there twice")
        found[name] = tuple(int(cell) for cell in filled)
    if not found:
        raise ValueError("it is empty")
    return found


@lru_cache
def imagenet_classes() -> tuple[str, ...]:
    """WordNet identifiers of ImageNet's 1000 classes in the order of their numbers, as timm has them."""
    return tuple(require("timm.data", extra="vision").ImageNetInfo("imagenet-1k").label_names())


@lru_cache
def imagenet_part(letter: str) -> tuple[str, ...]:
    """WordNet identifiers of the 200 classes of ImageNet-R (``r``) or ImageNet-A (``a``), as timm has them."""
    require("timm.data", extra="vision")
    return tuple((_timm_files() / f"imagenet_{letter}_synsets.txt").read_text(encoding="utf-8").split())


def packaged_real_labels() -> Any:
    """The file of ReaL labels that comes with timm."""
    require("timm.data", extra="vision")
    return _timm_files() / "imagenet_real_labels.json"


def _timm_files() -> Any:
    return resources.files("timm.data") / "_info"
