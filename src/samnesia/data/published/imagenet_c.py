"""ImageNet-C: ImageNet's validation images, corrupted in fifteen ways (and four more) at five severities.

On disk ``CORRUPTION/SEVERITY/WNID/*.JPEG``; where the archives were unpacked into a folder each, below ``noise``,
``blur``, ``weather``, ``digital`` and ``extra``. The images have 224 pixels, and models of that size see them as they
are.

Source: D. Hendrycks and T. Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, eq=False)
class ImageNetC:
    """What there is of ImageNet-C in a folder; images are looked for as a corruption is opened.

    Attributes:
        root: the folder.
        places: folders of the corruptions that are there, by family, in order.
        severities: of each of them, those that are there.
        classes: of the model.
        missing: what is not there, and is left out.
    """

    root: Path
    places: dict[str, Path]
    severities: dict[str, tuple[int, ...]]
    classes: ClassNumbers
    missing: tuple[str, ...]

    def open(self, corruption: str, severity: int) -> Labelled:
        """The images of a corruption at a severity; those of classes that are not there are left out."""
        folder = self.places[corruption] / str(severity)
        numbered, expected = partial(self.classes.of, where=folder), self.classes.imagenet
        return open_folder(folder, numbered, expected=expected, skip=bool(self.missing))


def open_imagenet_c(
    root: Path | str, classes: ClassNumbers, *, corruptions: Sequence[str] = MAIN, skip: bool = False
) -> ImageNetC:
    """See what there is of ImageNet-C.

    Args:
        root: holds the corruptions, or the folders of the archives with them.
        classes: of the model.
        corruptions: the families that are evaluated.
        skip: evaluate on what is there of them.

    Raises:
        ConfigurationError: if there is nothing, or, without ``skip``, not all: corruptions, severities and classes.
    """
    root = Path(root)
    above = [root, *(root / archive for archive in ARCHIVES)]
    if not subfolders(root):
        raise _nothing(root)
    places: dict[str, Path] = {}
    severities: dict[str, tuple[int, ...]] = {}
    missing: list[str] = []
    expected = set(classes.imagenet)
    for name in corruptions:
        called = FOLDERS[name]
        found = [folder / called for folder in above if (folder / called).is_dir()]
        if not found:
            missing.append(called)
            continue
        there = []
        for severity in SEVERITIES:
            folder = found[0] / str(severity)
            absent = sorted(expected - set(subfolders(folder))) if folder.is_dir() else None
            if absent is None or len(absent) == len(expected):
                missing.append(f"{called}/{severity}")
                continue
            missing += [f"{called}/{severity}/{one}" for one in absent]
            there.append(severity)
        if there:
            places[name], severities[name] = found[0], tuple(there)
    if not places:
        raise _nothing(root)
    return ImageNetC(root, places, severities, classes, left_out(missing, root, skip=skip))


def _nothing(root: Path) -> ConfigurationError:
    return ConfigurationError(
        f"cannot evaluate on {root}, because ImageNet-C is in folders CORRUPTION/SEVERITY/CLASS, such as "
        "gaussian_noise/1/n01440764, and none is there; unpack its archives there, or name another folder"
    )
