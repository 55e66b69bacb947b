"""Data sets of torchvision: CIFAR from its python batches, and those with a file per image."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from samnesia.data.samples import (
    ArraySamples,
    DamagedImageError,
    FileSamples,
    ImageSets,
    Joined,
    Labels,
    Samples,
    as_labels,
)
from samnesia.extras import require
from samnesia.perturb.errors import ConfigurationError

_LABELS = ("targets", "labels", "_labels")
_TRAIN_FLAG = {"train": True, "test": False}


def open_torchvision(
    name: str, root: str, *, train: str, validation: str | None, test: str | None, download: bool
) -> ImageSets:
    """Return the splits of the class ``torchvision.datasets.<name>``, which lie under ``root``.

    Splits have the names that the class gives them; ``train`` and ``test`` where it only knows these two. Several are
    joined by ``+``: ``train+val``.

    Raises:
        ConfigurationError: for a name or split that torchvision does not have, and for files that are missing or
            damaged, as after a download that was interrupted.
    """
    make = getattr(require("torchvision.datasets", extra="vision"), name, None)
    parameters = inspect.signature(make).parameters if inspect.isclass(make) else {}
    if "root" not in parameters or not {"train", "split"} & set(parameters):
        raise ConfigurationError(
            f"cannot load torchvision's {name!r}, because there is no set of that name with a root and splits; "
            "use CIFAR10, CIFAR100, FGVCAircraft, Flowers102, OxfordIIITPet, StanfordCars or Food101, say"
        )
    if not download and not Path(root).is_dir():
        raise ConfigurationError(
            f"cannot load {name} from {root}, because there is no such directory; "
            "set data.source.root to where the data set lies, or data.source.download"
        )

    def opened(splits: str) -> tuple[Samples, int | None]:
        parts = [_open(make, name, root, split, download) for split in splits.split("+")]
        return parts[0][0] if len(parts) == 1 else Joined([samples for samples, _ in parts]), parts[0][1]

    samples, num_classes = opened(train)
    return ImageSets(
        samples,
        None if validation is None else opened(validation)[0],
        None if test is None else opened(test)[0],
        num_classes,
    )


def _open(make: Any, name: str, root: str, split: str, download: bool) -> tuple[Samples, int | None]:
    dataset = _construct(make, name, root, split, download)
    what = f"{name} ({split})"
    classes = getattr(dataset, "classes", None)
    return _samples(dataset, what), None if classes is None else len(classes)


def _construct(make: Any, name: str, root: str, split: str, download: bool) -> Any:
    options: dict[str, Any] = {"download": True} if download else {}
    if "split" in inspect.signature(make).parameters:
        options["split"] = split
    elif split in _TRAIN_FLAG:
        options["train"] = _TRAIN_FLAG[split]
    else:
        raise ConfigurationError(
            f"cannot load the split {split!r} of {name}, because it has only 'train' and 'test'; use these, and "
            "data.holdout for a validation set"
        )
    try:
        return make(root, **options)
    except ValueError as error:
        raise ConfigurationError(
            f"cannot load the split {split!r} of {name}, because torchvision refuses it ({_first_line(error)}); "
            "use one that it has"
        ) from None
    except (RuntimeError, OSError, EOFError, KeyError) as error:
        raise ConfigurationError(
            f"cannot load {name} from {root}, because its files are not all there or a download was interrupted "
            f"({_first_line(error)}); remove what is there of it, and load it again with data.source.download"
        ) from None


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__


def _samples(dataset: Any, what: str) -> Samples:
    if callable(getattr(dataset, "loader", None)):
        dataset.loader = str  # what would be decoded is given back as its path
        pairs = [dataset[index] for index in range(len(dataset))]
        return _files([file for file, _ in pairs], [label for _, label in pairs], what)
    if hasattr(dataset, "_images") and hasattr(dataset, "_labels"):  # OxfordIIITPet
        return _files([str(file) for file in dataset._images], dataset._labels, what)
    labels = next((getattr(dataset, name) for name in _LABELS if hasattr(dataset, name)), None)
    if labels is None:
        raise ConfigurationError(
            f"cannot train on {what}, because torchvision does not list its labels; choose another set, or put the "
            "images into class folders"
        )
    pixels = getattr(dataset, "data", None)
    if isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.ndim == 4 and pixels.shape[-1] == 3:
        return ArraySamples(torch.from_numpy(np.ascontiguousarray(pixels)), as_labels(labels, what), what)
    return DatasetSamples(dataset, as_labels(labels, what), what)


def _files(files: list[str], labels: Any, what: str) -> FileSamples:
    lost = [file for file in files if not Path(file).is_file()]
    if lost:
        raise ConfigurationError(
            f"cannot load {what}, because {len(lost)} of its {len(files)} images are not there, such as {lost[0]}, "
            "perhaps after a download that was interrupted; remove what is there of it, and load it again"
        )
    return FileSamples(files, as_labels(labels, what))


class DatasetSamples(Samples):
    """A set of torchvision that decodes its images itself."""

    def __init__(self, dataset: Any, labels: Labels, what: str) -> None:
        self._dataset, self.labels, self._what = dataset, labels, what

    def image(self, index: int) -> Image.Image:
        """Return what the set decodes, in RGB."""
        try:
            image: Image.Image = self._dataset[index][0].convert("RGB")
        except FileNotFoundError:
            raise
        except Exception as error:  # see samples.decode
            raise DamagedImageError(str(error) or type(error).__name__) from None
        return image

    def name(self, index: int) -> str:
        """Return the number of the image in its data set."""
        return f"image {index} of {self._what}"
