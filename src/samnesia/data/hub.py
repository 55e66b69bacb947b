"""Data sets of the Hugging Face hub and of TensorFlow Datasets, where their packages are installed."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from PIL import Image

from samnesia.data.samples import ImageSets, Labels, Samples, as_labels, decode
from samnesia.extras import MissingExtraError, require
from samnesia.perturb.errors import ConfigurationError


def open_hub(
    name: str, root: str | None, *, train: str, validation: str | None, test: str | None, image: str, label: str
) -> ImageSets:
    """Return splits of a data set of the Hugging Face hub, or of a folder that its library reads, by timm's reader.

    Raises:
        ConfigurationError: for a set, split or field that is not there, or labels that are no classes.
        MissingExtraError: if the package ``datasets`` is not installed.
    """
    require("datasets", extra="hub")
    readers = require("timm.data.readers", extra="vision")

    def opened(split: str) -> HubSamples:
        try:
            reader = readers.create_reader(f"hfds/{name}", root=root, split=split, input_key=image, target_key=label)
            if len(reader) and reader.dataset[0][image] is None:  # a field that is not there becomes an empty one
                raise ValueError(f"no field {image!r} of images")
            labels = reader.dataset.with_format("numpy", columns=[label])[label]
        except (OSError, ValueError, KeyError) as error:
            raise _not_there("the hub's", name, split, error) from None
        return HubSamples(
            reader, as_labels(np.asarray(labels), f"{name} ({split}, field {label})"), f"{name} ({split})"
        )

    first = opened(train)
    return ImageSets(
        first,
        None if validation is None else opened(validation),
        None if test is None else opened(test),
        num_classes=len(first.reader.class_to_idx) or None,
    )


def _not_there(whose: str, name: str, split: str, error: BaseException) -> ConfigurationError:
    reason = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
    return ConfigurationError(
        f"cannot load the split {split!r} of {whose} {name}, because it or a field of it is not there ({reason}); "
        "correct data.source, or download it where there is a network"
    )


class HubSamples(Samples):
    """Images of the Hugging Face hub, not decoded by its library."""

    def __init__(self, reader: Any, labels: Labels, what: str) -> None:
        self.reader, self.labels, self._what = reader, labels, what

    def image(self, index: int) -> Image.Image:
        """Read and decode an image."""
        stream, _ = self.reader[int(index)]
        with stream:
            return decode(stream.read())

    def name(self, index: int) -> str:
        """Return the number of the image, and its file where the set says it."""
        path = self.reader.dataset[int(index)][self.reader.image_key].get("path")
        return f"image {index} of {self._what}" + (f" ({path})" if path else "")


def open_tfds(
    name: str, root: str | None, *, train: str, validation: str | None, test: str | None, image: str, label: str
) -> ImageSets:
    """Return splits of a set of TensorFlow Datasets by its random access (``tfds.data_source``).

    That requires files in the format ``array_record``, in which a set is prepared once by
    ``tfds.builder(name, file_format="array_record").download_and_prepare()``. For the labels, every record is read once
    before training, which takes its time with large sets.

    Raises:
        ConfigurationError: for a set, split or field that is not there, or one in another format.
        MissingExtraError: if ``tensorflow_datasets`` is not installed.
    """
    library = _tensorflow_datasets(name)
    builder = _builder(library, name, root)

    def opened(split: str) -> TFDSSamples:
        try:
            missing = {image, label} - set(builder.info.features)
            if missing:
                raise ValueError(f"no field {missing.pop()!r}")
            images = builder.as_data_source(split, decoders={image: library.decode.SkipDecoding()})
            labels = [int(images[index][label]) for index in range(len(images))]
        except (OSError, ValueError, KeyError, NotImplementedError, AttributeError) as error:
            raise _not_there("TensorFlow Datasets'", name, split, error) from None
        what = f"{name} ({split})"
        return TFDSSamples(images, image, as_labels(np.array(labels, dtype=np.int64), what), what)

    return ImageSets(
        opened(train),
        None if validation is None else opened(validation),
        None if test is None else opened(test),
        num_classes=getattr(builder.info.features[label], "num_classes", None),
    )


def _tensorflow_datasets(name: str) -> Any:
    try:
        return importlib.import_module("tensorflow_datasets")
    except ModuleNotFoundError:
        raise MissingExtraError(
            f"cannot load {name} from TensorFlow Datasets, because its package is not installed, and belongs to no "
            "extra of samnesia; run: pip install tensorflow-datasets array-record"
        ) from None


def _builder(library: Any, name: str, root: str | None) -> Any:
    try:
        return library.builder(name, data_dir=root)
    except (OSError, ValueError, ImportError) as error:
        raise _not_there("TensorFlow Datasets'", name, "train", error) from None


class TFDSSamples(Samples):
    """Images of TensorFlow Datasets, not decoded by its library."""

    def __init__(self, source: Any, field: str, labels: Labels, what: str) -> None:
        self._source, self._field, self.labels, self._what = source, field, labels, what

    def image(self, index: int) -> Image.Image:
        """Read and decode an image."""
        return decode(bytes(self._source[int(index)][self._field]))

    def name(self, index: int) -> str:
        """Return the number of the image."""
        return f"image {index} of {self._what}"
