"""Shards: members found by position, and tar files that are not whole."""

import io
import pickle
import tarfile

import numpy as np
import pytest
from PIL import Image

from samnesia.data.shards import expand, open_shards
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.parts.data import Images, Shards
from tests.data.image_files import encoded, samples, shard


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_members_are_read_at_their_place(tmp_path, format):
    shard(tmp_path / "train-000.tar", samples(range(5)), format)
    shard(tmp_path / "train-001.tar", samples(range(5, 7)), format)
    found = open_shards(str(tmp_path / "train-{000..001}.tar"), validation=None, test=None).train
    assert found.labels.tolist() == [number % 3 for number in range(7)]
    again = pickle.loads(pickle.dumps(found))
    for number in (6, 0, 5, 4):
        assert np.array_equal(np.asarray(found.image(number)), pixels(encoded(number)))
        assert np.array_equal(np.asarray(again.image(number)), pixels(encoded(number)))
    assert found.name(6) == f"{tmp_path}/train-001.tar:000006.jpg"


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_names_of_any_length_kind_and_order(tmp_path, format):
    folder = "a.b/" + "long" * 40
    members = [
        (f"{folder}/é.x.cls", b"2"),  # the kind is what follows the first dot: no .cls
        (f"{folder}/é.cls", b" 1\n"),
        (f"{folder}/é.json", b"{}"),
        (f"{folder}/é.JPG", encoded(1)),
        (f"{folder}/other/é.png", encoded(2, "png")),
        (f"{folder}/other/é.cls", b"0"),
        ("README", b"no sample"),
    ]
    found = open_shards(str(shard(tmp_path / "a.tar", members, format)), validation=None, test=None).train
    assert found.labels.tolist() == [1, 0]
    assert found.name(0).endswith("/é.JPG")
    assert np.array_equal(np.asarray(found.image(1)), pixels(encoded(2, "png")))


def test_patterns(tmp_path):
    for name in ("a-08.tar", "a-09.tar", "a-10.tar", "b-08.tar", "b-09.tar", "b-10.tar"):
        (tmp_path / name).touch()

    def expanded(pattern):
        return [file.rpartition("/")[2] for file in expand(f"{tmp_path}/{pattern}")]

    assert expanded("a-{08..10}.tar") == ["a-08.tar", "a-09.tar", "a-10.tar"]
    assert expanded("{b,a}-{09..10}.tar") == ["b-09.tar", "b-10.tar", "a-09.tar", "a-10.tar"]
    assert expanded("*-08.tar") == ["a-08.tar", "b-08.tar"]
    with pytest.raises(ConfigurationError, match=r"there is no file .*a-11.tar"):
        expanded("a-{08..12}.tar")
    with pytest.raises(ConfigurationError, match="there is no file"):
        expanded("c-*.tar")


@pytest.mark.parametrize("pattern", ["https://host/a.tar", "s3://bucket/a.tar", "pipe:cat a.tar"])
def test_addresses_and_commands_are_refused(pattern):
    with pytest.raises(ConfigurationError, match="requires files that can be read at any position; copy them"):
        expand(pattern)


def refused(match, path):
    with pytest.raises(ConfigurationError, match=match) as caught:
        open_shards(str(path), validation=None, test=None)
    assert "\n" not in str(caught.value)


def test_a_shard_truncated_anywhere_is_refused(tmp_path):
    whole = shard(tmp_path / "a.tar", samples(range(3))).read_bytes()
    with tarfile.open(tmp_path / "a.tar") as tar:
        end = tar.getmembers()[-1].offset_data + 512
    for length in (*range(512, end + 1, 512), *range(100, end, 700)):
        (tmp_path / "a.tar").write_bytes(whole[:length])
        refused("truncated|no whole", tmp_path / "a.tar")
    (tmp_path / "a.tar").write_bytes(whole[: end + 1024])
    assert len(open_shards(str(tmp_path / "a.tar"), validation=None, test=None).train) == 3


def test_what_is_no_shard_is_refused(tmp_path):
    plain = shard(tmp_path / "a.tar", samples([0]))
    with tarfile.open(tmp_path / "b.tar", "w:gz") as tar:
        tar.add(plain)
    refused("no whole uncompressed tar file", tmp_path / "b.tar")
    plain.write_bytes(plain.read_bytes() * 2)
    refused("something follows behind its end mark", plain)
    (tmp_path / "c.tar").write_bytes(b"")
    refused("no whole uncompressed tar file", tmp_path / "c.tar")


@pytest.mark.parametrize(
    ("members", "match"),
    [
        ([("0.jpg", b"x")], r"0.jpg has no .cls of the same key"),
        ([("0.jpg", b"x"), ("0.cls", b"cat")], r"0.cls must hold the number of a class, and holds b'cat'"),
        ([("0.jpg", b"x"), ("0.cls", b"-1")], "must hold the number of a class"),
        ([("0.jpg", b"x"), ("0.png", b"x"), ("0.cls", b"1")], "0.jpg and 0.png share a key"),
        ([("0.txt", b"x"), ("0.cls", b"1")], "none of their members is an image"),
    ],
)
def test_members_that_make_no_samples_are_named(tmp_path, members, match):
    refused(match, shard(tmp_path / "a.tar", members))


def test_a_run_takes_its_classes_from_the_labels(tmp_path):
    shard(tmp_path / "train.tar", samples(range(6)))
    shard(tmp_path / "test.tar", samples(range(8), classes=4))
    source = Shards(str(tmp_path / "train.tar"), test=str(tmp_path / "test.tar"))
    assert Images(source, num_classes=5, image_size=8).load(0).num_outputs == 5
    with pytest.raises(ConfigurationError, match="with 3 classes, because a test label is 3"):
        Images(source, image_size=8).load(0)
