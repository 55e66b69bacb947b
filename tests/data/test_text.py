"""Snippets of the standard library: tokens, splits, and what is said of where they come from."""

import argparse
import difflib
import hashlib
import platform
import zlib
from pathlib import Path

import numpy as np
import pytest

from samnesia.data.text import SPLITS, VOCABULARY, text, tokens_of
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.config import Text

TWO = ("argparse", "difflib")


def test_a_token_is_a_word_a_digit_or_a_sign_and_its_number_a_hash():
    found = tokens_of("def get_name(x1):  # Größe")
    words = ["def", "get", "_", "name", "(", "x", "1", ")", ":", "#", "gr", "ö", "ß", "e"]
    assert found.tolist() == [zlib.crc32(word.encode()) % VOCABULARY for word in words]
    assert (tokens_of("Name NAME") == tokens_of("name name")).all()


def test_snippets_of_all_splits_are_apart_and_are_those_of_their_module():
    problem = text(3, TWO, length=32, per_region=5)
    splits = (problem.train, problem.validation, problem.test)
    assert [len(split) for split in splits] == [2 * 5 * share for share in SPLITS]
    assert problem.shape == (32,) and problem.num_outputs == 2
    for number, module in enumerate((argparse, difflib)):
        tokens = tokens_of(Path(module.__file__).read_text(encoding="utf-8"))
        windows = tokens[: len(tokens) // 32 * 32].reshape(-1, 32)
        places = {row.tobytes(): place for place, row in enumerate(windows)}
        assert len(places) > 0.99 * len(windows)
        regions = []
        for split in splits:
            own = split.inputs[split.labels == number].numpy()
            found = [places[row.tobytes()] for row in own]
            ends = np.cumsum([len(part) for part in np.array_split(windows, sum(SPLITS))])
            regions.append({int(np.searchsorted(ends, place, side="right")) for place in found})
        assert [len(one) for one in regions] == list(SPLITS)
        assert not regions[0] & regions[1] and not regions[0] & regions[2] and not regions[1] & regions[2]


def test_the_seed_decides_and_fewer_labelled_are_among_more():
    one, same, other = text(0, TWO), text(0, TWO), text(1, TWO)
    assert (one.train.inputs == same.train.inputs).all() and not (one.train.inputs == other.train.inputs).all()
    few, more = (text(0, TWO, labelled=count) for count in (4, 12))
    assert few.class_counts == (4, 4) and more.class_counts == (12, 12)
    known = {row.numpy().tobytes() for row in more.train.inputs}
    assert {row.numpy().tobytes() for row in few.train.inputs} < known
    assert (few.test.inputs == one.test.inputs).all()


def test_version_and_digest_are_told():
    wanted = hashlib.sha256()
    for name, module in zip(TWO, (argparse, difflib), strict=True):
        wanted.update(f"{name}\0{Path(module.__file__).read_text(encoding='utf-8')}\0".encode())
    assert text(0, TWO).made_from == {"python": platform.python_version(), "text": wanted.hexdigest()}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"modules": ("argparse", "numpy")}, "standard library"),
        ({"modules": ("argparse", "no_such_module")}, "standard library"),
        ({"modules": ("argparse", "sys")}, "source is installed"),
        ({"modules": ("argparse", "argparse")}, "each of them once"),
        ({"modules": ("argparse",)}, "two or more"),
        ({"modules": ("argparse", "this")}, "has 0 in some"),
        ({"labelled": 49}, "48 for training"),
        ({"per_region": 1000}, "use at most"),
    ],
)
def test_what_cannot_be_cut_is_refused(changed, reason):
    with pytest.raises(ConfigurationError, match=reason):
        text(0, **{"modules": TWO, **changed})


def test_the_part_says_what_it_loads():
    part = Text(TWO, per_region=2, labelled=3)
    problem = part.load(5)
    for split, count in ((problem.train, 6), (problem.validation, 12), (problem.test, 20)):
        assert len(split) == count and f"{count} for" in part.says
    with pytest.raises(ConfigurationError, match="length 0"):
        Text(length=0)
