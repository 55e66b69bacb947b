"""Snippets of Python's standard library: which module is a snippet of source from?

Nothing is downloaded: the text is the source of modules that come with Python itself, comments and docstrings included.
So it depends on the version of Python; a problem tells version and digest of its text, and a run writes both down.

A token is a word of letters in lower case (``get_name`` is three tokens), a digit, or another character that is no
space. Its number is a hash of it (CRC-32) below :data:`VOCABULARY`: the same on every machine and for all modules, with
no vocabulary to be built; a few words share a number.

The tokens of a module are cut into snippets of equal length, and these into 16 regions that follow each other: eight
for training, three for validation and five for the test, and the seed decides which. Snippets share no token with each
other. All seeds draw from the same modules, so an interval over seeds is about other regions of these, not about other
modules.
"""

from __future__ import annotations

import hashlib
import platform
import re
import sys
import zlib
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from samnesia.data.draws import PATCHES, REGIONS, SPLIT, permutation
from samnesia.data.problem import Problem, TensorSplit
from samnesia.perturb.errors import ConfigurationError

VOCABULARY = 1024
"""Tokens are numbers of 0 to 1023."""
SPLITS = (8, 3, 5)
"""Regions for training, validation and test."""
_TOKEN = re.compile(r"[A-Za-z]+|\d|[^\sA-Za-z\d]")

Integers = NDArray[np.int64]


def text(
    seed: int, modules: Sequence[str], *, length: int = 32, per_region: int = 6, labelled: int | None = None
) -> Problem:
    """Cut snippets of ``length`` tokens, int64 ``[length]``, from modules, and split them by ``seed`` and region.

    From each region come ``per_region`` snippets, chosen by the seed; with the defaults 48 of each module for
    training, 18 for validation and 30 for the test.

    Args:
        seed: of the run.
        modules: of the standard library, by name, a class each.
        length: tokens of a snippet.
        per_region: snippets of each region.
        labelled: training snippets of each module; None is all of its training regions. Fewer are among more.

    Raises:
        ConfigurationError: for a module that is unknown or named twice, fewer than two, more snippets than a
            region has, or more labelled ones than its training regions have.
    """
    most = SPLITS[0] * per_region
    _check(modules, length, per_region, most if labelled is None else labelled, most)
    parts: list[list[tuple[Integers, int]]] = [[], [], []]
    for number, name in enumerate(modules):
        regions = _regions(name, length, per_region)
        order = permutation(len(regions), key=(seed, REGIONS, number))
        for part, members in zip(parts, np.split(order, np.cumsum(SPLITS)[:-1]), strict=True):
            for region in map(int, members):
                chosen = permutation(len(regions[region]), key=(seed, PATCHES, number, region))[:per_region]
                part.append((regions[region][chosen], number))
    splits = []
    for place, part in enumerate(parts):
        tokens = np.concatenate([snippets for snippets, _ in part])
        labels = np.concatenate([np.full(len(snippets), number, dtype=np.int64) for snippets, number in part])
        if place == 0 and labelled is not None:
            tokens, labels = _few(seed, tokens, labels, labelled)
        splits.append(TensorSplit(torch.from_numpy(tokens), torch.from_numpy(labels)))
    train, validation, test = splits
    return Problem(train, validation, test, num_outputs=len(modules), shape=(length,), made_from=made_from(modules))


def made_from(modules: Sequence[str]) -> dict[str, str]:
    """Version of Python, and SHA-256 of the text of these modules."""
    digest = hashlib.sha256()
    for name in modules:
        digest.update(f"{name}\0{_source(name)}\0".encode())
    return {"python": platform.python_version(), "text": digest.hexdigest()}


def tokens_of(source: str) -> Integers:
    """The tokens of a text, int64 ``[n]``."""
    words = _TOKEN.findall(source.lower())
    return np.array([zlib.crc32(word.encode()) % VOCABULARY for word in words], dtype=np.int64)


@lru_cache(maxsize=64)
def _source(name: str) -> str:
    """The source of a module, which is looked for and not run; of a package, that of its ``__init__``."""
    spec = find_spec(name) if name.partition(".")[0] in sys.stdlib_module_names else None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py") or not Path(spec.origin).is_file():
        raise ConfigurationError(
            f"cannot cut text from {name}, because that requires a module of Python's standard library whose source is "
            "installed with it, as argparse is; name others"
        )
    return Path(spec.origin).read_text(encoding="utf-8")


@lru_cache(maxsize=64)
def _snippets(name: str, length: int) -> Integers:
    """All snippets of a module in its order, ``[n, length]``; what is left at the end is left out."""
    tokens = tokens_of(_source(name))
    return tokens[: len(tokens) // length * length].reshape(-1, length)


def _regions(name: str, length: int, per_region: int) -> list[Integers]:
    """The snippets of a module, region by region."""
    regions = np.array_split(_snippets(name, length), sum(SPLITS))
    fewest = min(map(len, regions))
    if fewest < per_region:
        raise ConfigurationError(
            f"cannot cut {per_region} snippets of {length} tokens from each of {sum(SPLITS)} regions of {name}, "
            f"because it has {fewest} in some; use at most {fewest}, shorter ones, or another module"
        )
    return regions


def _few(seed: int, tokens: Integers, labels: Integers, labelled: int) -> tuple[Integers, Integers]:
    """So many snippets of each class, in their order."""
    members = []
    for number in range(int(labels.max()) + 1):
        own = np.flatnonzero(labels == number)
        members.append(np.sort(own[permutation(len(own), key=(seed, SPLIT, number))[:labelled]]))
    chosen = np.concatenate(members)
    return tokens[chosen], labels[chosen]


def _check(modules: Sequence[str], length: int, per_region: int, labelled: int, most: int) -> None:
    if len({*modules}) != len(modules) or len(modules) < 2:
        raise ConfigurationError(
            f"cannot tell snippets of {', '.join(modules) or 'no module'} apart, because two or more modules are "
            "needed, each of them once; name others"
        )
    if length < 1 or per_region < 1 or not 1 <= labelled <= most:
        raise ConfigurationError(
            f"cannot train on {labelled} snippets of {length} tokens for each module, with {per_region} in each "
            f"region, because there are {most} for training, of a token or more; use 1 to {max(1, most)} "
            "snippets"
        )
