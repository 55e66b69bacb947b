"""Images in a folder per class: ImageNet-V2, -R, -A, -Sketch, and folders of a user's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from samnesia.data.folder import EXTENSIONS
from samnesia.data.published.classes import IMAGENET, ClassNumbers, imagenet_part
from samnesia.data.published.labelled import Labelled, answers_of, left_out, some
from samnesia.data.samples import FileSamples
from samnesia.perturb.errors import ConfigurationError

Numbered = Callable[[str], tuple[int, ...]]
"""Name of a folder -> class numbers that are right for its images."""


def open_v2(root: Path | str, classes: ClassNumbers, *, skip: bool) -> Labelled:
    """ImageNet-V2: folders 0, ..., 999 by ImageNet's class numbers; predictions are of all classes.

    Source: B. Recht et al., "Do ImageNet Classifiers Generalize to ImageNet?", ICML 2019.
    """

    def numbered(name: str) -> tuple[int, ...]:
        # by the number that the name says: in the order of names, class 10 would follow class 1
        if not name.isdecimal():
            raise ConfigurationError(
                f"cannot evaluate on {root}, because the folders of ImageNet-V2 are 0 to {IMAGENET - 1}, and "
                f"{name!r} is there; name the folder that holds them"
            )
        return classes.of_imagenet(int(name), root)

    return open_folder(root, numbered, expected=[str(number) for number in range(IMAGENET)], skip=skip)


def open_part(root: Path | str, letter: str, classes: ClassNumbers, *, skip: bool) -> Labelled:
    """ImageNet-R (``r``) or -A (``a``): folders of 200 of ImageNet's classes, among which predictions are.

    Sources: D. Hendrycks et al., "The Many Faces of Robustness", ICCV 2021, and "Natural Adversarial Examples", CVPR
    2021.
    """
    expected = imagenet_part(letter)
    found = open_folder(root, lambda name: classes.of(name, root), expected=expected, skip=skip)
    among = np.unique([number for name in expected for number in classes.of(name, root)])
    return Labelled(found.samples, found.answers, among, found.missing)


def open_sketch(root: Path | str, classes: ClassNumbers, *, skip: bool) -> Labelled:
    """ImageNet-Sketch: a folder for each class; predictions are of all classes.

    Source: H. Wang et al., "Learning Robust Global Representations by Penalizing Local Predictive Power", NeurIPS 2019.
    """
    return open_folder(root, lambda name: classes.of(name, root), expected=classes.imagenet, skip=skip)


def open_own(root: Path | str, classes: ClassNumbers, *, restrict: bool) -> Labelled:
    """Any folders that stand for classes; ``restrict`` has predictions among the classes of the folders only."""
    found = open_folder(root, lambda name: classes.of(name, root))
    return Labelled(found.samples, found.answers, found.covered if restrict else None)


def open_folder(
    root: Path | str, numbered: Numbered, *, expected: Sequence[str] | None = None, skip: bool = False
) -> Labelled:
    """Images in a folder per class.

    Args:
        root: holds the folders.
        numbered: class numbers of a folder; none leaves its images out.
        expected: names of the folders of the whole set; None is whatever is there.
        skip: evaluate on what is there of an incomplete set.

    Raises:
        ConfigurationError: for folders that are missing, and those that are no class.
    """
    root = Path(root)
    there = subfolders(root)
    numbers = {name: numbered(name) for name in there}
    if expected is not None and (strangers := sorted(set(there) - set(expected))):
        raise ConfigurationError(
            f"cannot evaluate on {root}, because {some(strangers)} there, and none of the {len(expected)} folders of "
            f"the set, such as {expected[0]}; name the folder that holds them alone"
        )
    files: list[str] = []
    rows: list[tuple[int, ...]] = []
    empty: list[str] = []
    for name in there:
        images = image_files(root / name) if numbers[name] else []
        if numbers[name] and not images:
            empty.append(name)
        files += images
        rows += [numbers[name]] * len(images)
    missing = [name for name in expected or () if name not in set(there)]
    absent = left_out([*missing, *(f"{name} (empty)" for name in empty)], root, skip=skip)
    if not files:
        raise ConfigurationError(
            f"cannot evaluate on {root}, because no folder in it has images; name the folder that holds a folder for "
            "each class, with images such as .jpg or .png"
        )
    answers = answers_of(rows)
    return Labelled(FileSamples(files, answers[:, 0]), answers, missing=absent)


def subfolders(root: Path) -> list[str]:
    """Names of the folders in a folder, in order; raises ConfigurationError if it cannot be looked into."""
    try:
        return sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise ConfigurationError(
            f"cannot evaluate on {root}, because it is no directory that can be read "
            f"({error.strerror or error}); name the folder of the data set"
        ) from None


def image_files(folder: Path) -> list[str]:
    """Paths of the images in a folder, in order of their names."""
    return sorted(
        str(entry)
        for entry in folder.iterdir()
        if entry.suffix.lower() in EXTENSIONS and not entry.name.startswith(".")
    )
