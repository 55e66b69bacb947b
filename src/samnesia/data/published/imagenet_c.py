"""ImageNet-C: ImageNet's validation images, corrupted in fifteen ways (and four more) at five severities.

On disk ``CORRUPTION/SEVERITY/WNID/*.JPEG``; where the archives were unpacked into a folder each, below ``noise``,
``blur``, ``weather``, ``digital`` and ``extra``. The images have 224 pixels, and models of that size see them as they
are.

Source: D. Hendrycks and T. Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from samnesia.data.corruptions import FAMILIES, MAIN, SEVERITIES
from samnesia.data.published.classes import ClassNumbers
from samnesia.data.published.folders import open_folder, subfolders
from samnesia.data.published.labelled import Labelled, left_out
from samnesia.perturb.errors import ConfigurationError

ARCHIVES = ("noise", "blur", "weather", "digital", "extra")
"""What the corruptions are packed in."""
FOLDERS = {name: {"jpeg": "jpeg_compression"}.get(name, name.replace("-", "_")) for name in FAMILIES}
"""What each family of corruptions is called on disk, here and in CIFAR-C."""


def called(family: str) -> str:
    """What a family is called on disk; raises ConfigurationError if there is none of this name."""
    if family not in FOLDERS:
        raise ConfigurationError(
            f"cannot evaluate on images corrupted with {family!r}, because there is no such family; use some of "
            f"{', '.join(FOLDERS)}"
        )
    return FOLDERS[family]


@dataclass(frozen=True, eq=False)
class ImageNetC:
    """What there is of ImageNet-C in a folder; images are looked for as a corruption is opened.

    Attributes:
        root: the folder.
        places: folders of the corruptions that are there, by family, in order.
        severities: of each of them, those that are evaluated and there.
        classes: of the model.
        missing: what is not there, and is left out.
        skip: whether more may be left out: classes without images.
    """

    root: Path
    places: dict[str, Path]
    severities: dict[str, tuple[int, ...]]
    classes: ClassNumbers
    missing: tuple[str, ...]
    skip: bool

    def open(self, corruption: str, severity: int) -> Labelled:
        """The images of a corruption at a severity; those of classes that are not there are left out."""
        folder = self.places[corruption] / str(severity)
        numbered = partial(self.classes.of, where=folder)
        found = open_folder(folder, numbered, expected=self.classes.imagenet, skip=self.skip)
        where = f"{FOLDERS[corruption]}/{severity}"
        return replace(found, missing=tuple(f"{where}/{one}" for one in found.missing))


def open_imagenet_c(
    root: Path | str,
    classes: ClassNumbers,
    *,
    corruptions: Sequence[str] = MAIN,
    severities: Sequence[int] = SEVERITIES,
    skip: bool = False,
) -> ImageNetC:
    """See what there is of ImageNet-C.

    Args:
        root: holds the corruptions, or the folders of the archives with them.
        classes: of the model.
        corruptions: the families that are evaluated.
        severities: of each of them.
        skip: evaluate on what is there of them.

    Raises:
        ConfigurationError: if there is nothing, or, without ``skip``, not all: corruptions, severities and classes.
    """
    root = Path(root)
    subfolders(root)  # refuses what is no directory
    above = [root, *(root / archive for archive in ARCHIVES)]
    places: dict[str, Path] = {}
    found: dict[str, tuple[int, ...]] = {}
    missing: list[str] = []
    for name in corruptions:
        own = called(name)
        place = next((folder / own for folder in above if (folder / own).is_dir()), None)
        if place is None:
            missing.append(own)
            continue
        there, absent = _there(place, severities, set(classes.imagenet))
        missing += [f"{own}/{one}" for one in absent]
        if there:
            places[name], found[name] = place, there
    if not places:
        raise ConfigurationError(
            f"cannot evaluate on {root}, because ImageNet-C is in folders CORRUPTION/SEVERITY/CLASS, such as "
            "gaussian_noise/1/n01440764, and none is there; unpack its archives there, or name another folder"
        )
    return ImageNetC(root, places, found, classes, left_out(missing, root, skip=skip), skip)


def _there(place: Path, severities: Sequence[int], classes: set[str]) -> tuple[tuple[int, ...], list[str]]:
    """The severities of a corruption that have any of the classes, and what is missing of it."""
    there, missing = [], []
    for severity in severities:
        folder = place / str(severity)
        absent = classes - set(subfolders(folder)) if folder.is_dir() else classes
        if len(absent) == len(classes):
            missing.append(f"{severity}")
        else:
            there.append(severity)
            missing += [f"{severity}/{one}" for one in sorted(absent)]
    return tuple(there), missing
