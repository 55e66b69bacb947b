"""Images in one folder per class, as timm reads them: a class is the name of the folder that directly holds images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from samnesia.data.samples import FileSamples, ImageSets
from samnesia.extras import require
from samnesia.perturb.errors import ConfigurationError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".tif", ".tiff")
"""What counts as an image, in either case; timm alone knows the first three."""


def open_folders(root: str, *, train: str, validation: str | None, test: str | None) -> ImageSets:
    """Return the images under ``root``, a folder per split, in it a folder per class.

    Classes are numbered in natural order of their names (class2 before class10), the same for all splits.

    Raises:
        ConfigurationError: if a folder is missing, a class folder is empty, or splits differ in their classes.
    """
    if not Path(root).is_dir():
        raise ConfigurationError(
            f"cannot load images from {root}, because there is no such directory; "
            "set data.source.root to where the data set lies"
        )
    readers = {name: _reader(Path(root), name) for name in (train, validation, test) if name is not None}
    known = set(readers[train].class_to_idx)
    for name, reader in readers.items():
        different = sorted(known ^ set(reader.class_to_idx))
        if different:
            raise ConfigurationError(
                f"cannot use {Path(root, train)} with {Path(root, name)}, because both must have the same class "
                f"folders, and {different[0]!r} is in one of them alone ({len(different)} of this kind); "
                "make the folders agree"
            )
    samples = {name: _samples(reader) for name, reader in readers.items()}
    return ImageSets(
        train=samples[train],
        validation=None if validation is None else samples[validation],
        test=None if test is None else samples[test],
        num_classes=len(known),
    )


def _reader(root: Path, split: str) -> Any:
    readers = require("timm.data.readers.reader_image_folder", extra="vision")
    folder = root / split
    if not folder.is_dir():
        there = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
        raise ConfigurationError(
            f"cannot load the split {split!r} from {root}, because it has no such folder; "
            f"{'there are ' + ', '.join(there[:5]) if there else 'put a folder of classes there'}"
        )
    try:
        reader = readers.ReaderImageFolder(str(folder), input_key=";".join(EXTENSIONS))
    except RuntimeError:
        raise ConfigurationError(
            f"cannot load images from {folder}, because no folder in it has any; put a folder per class there, "
            "with images such as .jpg or .png"
        ) from None
    if "" in reader.class_to_idx:
        raise ConfigurationError(
            f"cannot load images from {folder}, because some lie outside a class folder; move them into folders"
        )
    filled = {Path(file).relative_to(folder).parts[0] for file, _ in reader.samples}
    empty = sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.is_dir() and entry.name not in filled and not entry.name.startswith(".")
    )
    if empty:
        raise ConfigurationError(
            f"cannot load images from {folder}, because every class folder must hold images, and {empty[0]!r} has none "
            f"({len(empty)} are empty); fill or remove it"
        )
    return reader


def _samples(reader: Any) -> FileSamples:
    files = [file for file, _ in reader.samples]
    return FileSamples(files, np.array([label for _, label in reader.samples], dtype=np.int64))
