"""ReaL: ImageNet's validation images with all the classes that people see in each.

Source: L. Beyer et al., "Are we done with ImageNet?", 2020: a list of class numbers for each of the 50,000 validation
images in their order; a prediction is right if it is in the list, and images with an empty list are left out.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samnesia.data.published.classes import ClassNumbers, folder_names, packaged_real_labels
from samnesia.data.published.folders import image_files, subfolders
from samnesia.data.published.labelled import Labelled, answers_of, left_out
from samnesia.data.samples import FileSamples, Samples
from samnesia.perturb.errors import ConfigurationError

if TYPE_CHECKING:
    from samnesia.data.problem import Problem

PACKAGED = "timm"
"""In place of a file: the labels that come with timm."""
_NUMBER = re.compile(r"ILSVRC2012_val_(\d{8})\.", re.IGNORECASE)


def open_real(labels: Path | str, images: Path | str, classes: ClassNumbers, *, skip: bool) -> Labelled:
    """ImageNet's validation images with their ReaL labels.

    Images are known by the number in their names, ``ILSVRC2012_val_00000001.JPEG`` being the first of the file, and may
    lie in one folder or in a folder per class.

    Args:
        labels: the JSON file, or ``timm`` for the one that comes with timm.
        images: folder of the validation images.
        classes: of the model.
        skip: evaluate on what is there of the images.

    Raises:
        ConfigurationError: for other files, and for images that are missing.
    """
    rows = read_real(labels)
    files = _numbered_files(Path(images))
    beyond = [number for number in files if number > len(rows)]
    if beyond:
        raise ConfigurationError(
            f"cannot evaluate on the ReaL labels in {labels}, because they are of {len(rows)} images, and "
            f"{files[beyond[0]]} has a higher number; use labels and images that belong together"
        )
    kept = [number for number in range(1, len(rows) + 1) if rows[number - 1]]
    missing = [f"ILSVRC2012_val_{number:08}.JPEG" for number in kept if number not in files]
    absent = left_out(missing, images, skip=skip)
    there = [number for number in kept if number in files]
    if not there:
        raise ConfigurationError(
            f"cannot evaluate on {images} with ReaL labels, because it has no image that they are of; name the folder "
            "of ImageNet's validation images, ILSVRC2012_val_00000001.JPEG and on"
        )
    numbers = [tuple(n for one in rows[image - 1] for n in classes.of_imagenet(one, labels)) for image in there]
    answers = answers_of(numbers)
    return Labelled(FileSamples([files[image] for image in there], answers[:, 0]), answers, missing=absent)


def read_real(labels: Path | str) -> list[list[int]]:
    """The lists of class numbers, in the order of the images.

    Raises:
        ConfigurationError: if the file holds something else.
    """
    source: Any = packaged_real_labels() if str(labels) == PACKAGED else Path(labels)
    try:
        rows = json.loads(source.read_text(encoding="utf-8"))
        if not isinstance(rows, list) or not rows or not all(isinstance(row, list) for row in rows):
            raise ValueError("it holds no list of lists")
        every = [number for row in rows for number in row]
        if not all(isinstance(number, int) and not isinstance(number, bool) for number in every):
            raise ValueError("some labels are no whole numbers")
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"cannot read ReaL labels from {labels}, because it is no JSON file with a list of class numbers for each "
            f"image ({getattr(error, 'strerror', None) or error}); use real.json as its authors published it, or "
            f"{PACKAGED!r}"
        ) from None
    found: list[list[int]] = rows
    return found


def own_images(problem: Problem) -> Path:
    """The folder of a problem's test images; raises ConfigurationError where they are in none."""
    if problem.test is None or folder_names(problem.test) is None:
        raise ConfigurationError(
            "cannot evaluate on ReaL labels with the model's own test images, because these are not in a folder per "
            "class; name the folder of ImageNet's validation images (real_images DIR)"
        )
    samples: Samples = problem.test.samples  # type: ignore[attr-defined]  # else there are no folder names
    return Path(samples.name(0)).parents[1]


def _numbered_files(root: Path) -> dict[int, str]:
    """Paths by the numbers in their names."""
    files = [file for folder in (root, *(root / name for name in subfolders(root))) for file in image_files(folder)]
    matches = ((_NUMBER.search(Path(file).name), file) for file in files)
    found = {int(match[1]): file for match, file in matches if match is not None}
    return dict(sorted(found.items()))
