"""Where images come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from samnesia.data.samples import ImageSets


@dataclass(frozen=True)
class Folder:
    """Images on disk: a folder per split, in it a folder per class (as ImageNet is usually unpacked)."""

    root: str
    """Directory of the splits."""
    train: str = "train"
    """Folder of the training images."""
    validation: str | None = None
    """Folder of the validation images; None is none."""
    test: str | None = "val"
    """Folder of the test images (ImageNet's is called val); None is none."""

    def open(self) -> ImageSets:
        """Return the splits."""
        from samnesia.data.folder import open_folders

        return open_folders(self.root, train=self.train, validation=self.validation, test=self.test)


@dataclass(frozen=True)
class Torchvision:
    """A data set of torchvision, such as CIFAR10, CIFAR100, FGVCAircraft, Flowers102, OxfordIIITPet, StanfordCars."""

    name: str
    """Name of the class in torchvision.datasets."""
    root: str
    """Directory that holds it."""
    train: str = "train"
    """Training split, as torchvision calls it; several are joined by +, as in train+val."""
    validation: str | None = None
    """Validation split; None is none."""
    test: str | None = "test"
    """Test split; None is none."""
    download: bool = False
    """Download what is not there."""

    def open(self) -> ImageSets:
        """Return the splits."""
        from samnesia.data.torchvision_sets import open_torchvision

        return open_torchvision(
            self.name,
            self.root,
            train=self.train,
            validation=self.validation,
            test=self.test,
            download=self.download,
        )


@dataclass(frozen=True)
class Named:
    """Splits that a library knows by name, with a field for the image and one for the class."""

    name: str
    """Name of the data set."""
    root: str | None = None
    """Directory that it is kept in; None is the library's own."""
    train: str = "train"
    """Training split."""
    validation: str | None = None
    """Validation split; None is none."""
    test: str | None = "test"
    """Test split; None is none."""
    image: str = "image"
    """Field of the image."""
    label: str = "label"
    """Field of the class."""


@dataclass(frozen=True)
class Hub(Named):
    """A data set of the Hugging Face hub (package datasets), or, by its path, a folder that its library reads."""

    def open(self) -> ImageSets:
        """Return the splits."""
        from samnesia.data.hub import open_hub

        return open_hub(**vars(self))


@dataclass(frozen=True)
class Shards:
    """WebDataset shards on a disk: tar files with an image (.jpg, .png, .webp) and a class (.cls) per key."""

    train: str
    """Training shards, such as data/train-{000..011}.tar or data/train-*.tar."""
    validation: str | None = None
    """Validation shards; None is none."""
    test: str | None = None
    """Test shards; None is none."""

    def open(self) -> ImageSets:
        """Return the splits."""
        from samnesia.data.shards import open_shards

        return open_shards(self.train, validation=self.validation, test=self.test)


@dataclass(frozen=True)
class TFDS(Named):
    """A data set of TensorFlow Datasets (package tensorflow-datasets), prepared in the format array_record."""

    def open(self) -> ImageSets:
        """Return the splits."""
        from samnesia.data.hub import open_tfds

        return open_tfds(**vars(self))


Source = Folder | Torchvision | Hub | Shards | TFDS
