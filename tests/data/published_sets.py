"""Small data sets in the formats in which those of others lie on disk, with images of which it is known what they show.

An image shows a class of ImageNet's by its colour: 1000 classes are 10 steps of red, green and blue.
"""

import io
import json
from functools import cache

import numpy as np
from PIL import Image

from samnesia.data.published.classes import imagenet_classes
from samnesia.data.published.imagenet_c import FOLDERS

SIZE = 8


def colour(number):
    """Red, green and blue of a class, 0 to 255."""
    return np.array([12 + 25 * (number // 100), 12 + 25 * (number // 10 % 10), 12 + 25 * (number % 10)])


COLOURS = np.stack([colour(number) for number in range(1000)])


def nearest(shown, among=range(1000)):
    """What a model that compares colours says of an image, by brute force; None where two classes are as near."""
    among = np.array(sorted(among))
    pixels = np.asarray(Image.open(io.BytesIO(encoded(shown))), dtype=np.float64)
    distances = ((COLOURS[among] - pixels.mean((0, 1))) ** 2).sum(1)
    first, second = np.sort(distances)[:2]
    return int(among[distances.argmin()]) if second - first > 1.0 else None


@cache
def encoded(shown):
    stream = io.BytesIO()
    pixels = np.broadcast_to(colour(shown).astype(np.uint8), (SIZE, SIZE, 3))
    Image.fromarray(pixels.copy()).save(stream, "jpeg", quality=95)
    return stream.getvalue()


def image(path, shown):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(shown))


def imagenet(root):
    """Training and validation images as they are usually unpacked, one for each class."""
    for number, wnid in enumerate(imagenet_classes()):
        image(root / "train" / wnid / f"{wnid}_1.JPEG", number)
        image(root / "val" / wnid / f"ILSVRC2012_val_{number + 1:08}.JPEG", number)
    return root


def folders(root, names, shown, extension=".JPEG"):
    """A folder for each name with an image for each class that it shows: numbers of classes by name, or one for all."""
    for name in names:
        for place, number in enumerate(shown[name]):
            image(root / name / f"image {place}{extension}", number)
    return root


def real(path, rows):
    path.write_text(json.dumps(rows))
    return path


def imagenet_c(root, corruptions, names, shows, severities=(1, 2, 3, 4, 5)):
    """CORRUPTION/SEVERITY/WNID/*.JPEG; shows(family, severity, name) is the class that the image shows."""
    for corruption in corruptions:
        for severity in severities:
            for name in names:
                shown = shows(corruption, severity, name)
                image(root / FOLDERS[corruption] / str(severity) / name / "ILSVRC2012_val_00000293.JPEG", shown)
    return root


def cifar_c(root, corruptions, labels, shows):
    """CORRUPTION.npy and labels.npy; shows(family, severity, label) is the class that the image shows."""
    root.mkdir(parents=True, exist_ok=True)
    np.save(root / "labels.npy", np.tile(labels, 5).astype(np.int64))
    for corruption in corruptions:
        shown = [shows(corruption, severity, label) for severity in (1, 2, 3, 4, 5) for label in labels]
        pixels = np.stack([np.broadcast_to(colour(number).astype(np.uint8), (32, 32, 3)) for number in shown])
        np.save(root / f"{FOLDERS[corruption]}.npy", pixels)
    return root
