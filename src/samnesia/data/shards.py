"""WebDataset shards, read by number: the headers of the tar files are scanned once, images are read by their position.

A sample is what shares a key, the path of a member up to the first dot of its file name: ``000123.jpg`` and
``000123.cls``. Reading by number, where WebDataset itself streams, costs one seek per image and makes it possible to
shuffle all of an epoch and to continue in the middle of it exactly.
"""

from __future__ import annotations

import itertools
import os
import re
import tarfile
from collections.abc import Iterator
from glob import glob

import numpy as np
from PIL import Image

from samnesia.data.samples import ImageSets, Labels, PackedStrings, Samples, decode
from samnesia.perturb.errors import ConfigurationError

IMAGES = ("jpg", "jpeg", "png", "webp")
LABEL = "cls"
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


def open_shards(train: str, *, validation: str | None, test: str | None) -> ImageSets:
    """Return the samples of tar files on disk, named by patterns such as ``train-{000..011}.tar``.

    Raises:
        ConfigurationError: for a pattern that no local file fits, a truncated or compressed tar file, a member without
            label, or a label that is no number.
    """
    return ImageSets(
        _open(train),
        None if validation is None else _open(validation),
        None if test is None else _open(test),
        num_classes=None,
    )


def expand(pattern: str) -> list[str]:
    """Return the files that a pattern names: ``{000..011}`` and ``{a,b}`` are expanded, then ``*`` matches files.

    Raises:
        ConfigurationError: for addresses and commands, and for files that are not there.
    """
    if "://" in pattern or pattern.startswith("pipe:"):
        raise ConfigurationError(
            f"cannot read shards from {pattern!r}, because resuming inside an epoch requires files that can be read at "
            "any position; copy them to a disk and name them there"
        )
    files = []
    for name in _alternatives(pattern):
        found = sorted(glob(name)) if "*" in name else [name] if os.path.isfile(name) else []
        if not found:
            raise ConfigurationError(
                f"cannot read shards from {pattern!r}, because there is no file {name}; correct the pattern"
            )
        files += found
    return files


def _alternatives(pattern: str) -> Iterator[str]:
    pieces = _BRACES.split(pattern)  # literal, braces, literal, ...
    yield from map("".join, itertools.product(*(_choices(p) if i % 2 else [p] for i, p in enumerate(pieces))))


def _choices(inside: str) -> list[str]:
    span = _RANGE.fullmatch(inside)
    if span is None:
        return inside.split(",")
    first, last = span.groups()
    return [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]


def _open(pattern: str) -> ShardSamples:
    files = expand(pattern)
    names: list[str] = []
    rows: list[tuple[int, int, int, int]] = []
    for number, file in enumerate(files):
        for name, offset, size, label in _scan(file):
            names.append(name)
            rows.append((number, offset, size, label))
    if not rows:
        raise ConfigurationError(
            f"cannot read shards from {pattern!r}, because none of their members is an image ({', '.join(IMAGES)}) "
            f"with a .{LABEL}; write them in that form"
        )
    table = np.array(rows, dtype=np.int64)
    return ShardSamples(files, names, table[:, :3], table[:, 3])


def _scan(file: str) -> list[tuple[str, int, int, int]]:
    """Return name, position, size and label of every image in a tar file."""
    images: dict[str, tuple[str, int, int]] = {}
    labels: dict[str, int] = {}
    try:
        with tarfile.open(file, "r:") as tar:
            for member in tar:
                folder, _, base = member.name.rpartition("/")
                stem, _, kind = base.partition(".")
                key = f"{folder}/{stem}"
                if not member.isfile() or not kind:
                    continue
                if kind.lower() in IMAGES:
                    if key in images:
                        raise ConfigurationError(
                            f"cannot read {file}, because a sample has one image, and {images[key][0]} and "
                            f"{member.name} share a key; rename one"
                        )
                    images[key] = (member.name, member.offset_data, member.size)
                elif kind.lower() == LABEL:
                    labels[key] = _label(tar, member, file)
            end = tar.offset
    except (tarfile.TarError, EOFError) as error:
        raise ConfigurationError(
            f"cannot read {file}, because it is no whole uncompressed tar file ({error}); copy or write it again"
        ) from None
    _check_end(file, end)
    return [(*found, labels[key]) for key, found in images.items() if _labelled(file, found[0], key in labels)]


def _label(tar: tarfile.TarFile, member: tarfile.TarInfo, file: str) -> int:
    stream = tar.extractfile(member)
    text = b"" if stream is None else stream.read().strip()
    if not text.isdigit():
        raise ConfigurationError(
            f"cannot read {file}, because {member.name} must hold the number of a class, and holds {text[:20]!r}; "
            "write the shard again"
        )
    return int(text)


def _labelled(file: str, name: str, known: bool) -> bool:
    if not known:
        raise ConfigurationError(
            f"cannot read {file}, because {name} has no .{LABEL} of the same key; write the shard again"
        )
    return known


def _check_end(file: str, end: int) -> None:
    """Refuse what tarfile takes for an end: a file that stops between two members, and archives behind the first."""
    with open(file, "rb") as raw:
        raw.seek(end)
        rest = raw.read(2**20)
    if len(rest) < tarfile.BLOCKSIZE:
        raise ConfigurationError(
            f"cannot read {file}, because it has no end mark and is perhaps truncated; copy or write it again"
        )
    if any(rest):
        raise ConfigurationError(
            f"cannot read {file}, because something follows behind its end mark, such as a second archive; "
            "write the shard as one tar file"
        )


class ShardSamples(Samples):
    """Members of tar files.

    Args:
        files: the tar files.
        names: of the members, for messages.
        places: number of the file, position and size in bytes of each, int64 of shape ``[n, 3]``.
        labels: int64 of shape ``[n]``.
    """

    def __init__(self, files: list[str], names: list[str], places: Labels, labels: Labels) -> None:
        self._files, self._names, self._places, self.labels = files, PackedStrings(names), places, labels

    def image(self, index: int) -> Image.Image:
        """Read and decode a member."""
        number, offset, size = self._places[index].tolist()
        with open(self._files[number], "rb", buffering=0) as file:  # opened for each: shards outnumber open files
            return decode(os.pread(file.fileno(), size, offset))

    def name(self, index: int) -> str:
        """Return ``shard:member``."""
        return f"{self._files[int(self._places[index, 0])]}:{self._names[index]}"
