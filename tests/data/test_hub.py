"""The hub's and TensorFlow's sets, with stand-ins for their packages, which the tests do without."""

import io
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from samnesia.extras import MissingExtraError
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.parts.data import TFDS, Hub, Images
from tests.data.image_files import encoded, photograph


class Rows:
    """A split of `datasets`: rows whose images are bytes."""

    column_names = ["picture", "kind"]

    def __init__(self, count):
        self.count = count

    def __getitem__(self, index):
        return {"picture": {"bytes": encoded(index), "path": f"{index}.jpg"}, "kind": index % 3}

    def with_format(self, form, columns):
        assert form == "numpy"
        return {columns[0]: np.arange(self.count) % 3}


class Reader:
    """As timm.data.readers.create_reader gives for hfds/."""

    def __init__(self, count, key):
        self.dataset, self.image_key = Rows(count), key
        self.class_to_idx = {"a": 0, "b": 1, "c": 2}

    def __getitem__(self, index):
        return io.BytesIO(self.dataset[index]["picture"]["bytes"]), index % 3


@pytest.fixture
def hub(monkeypatch):
    def create_reader(name, root, split, input_key, target_key):
        if split not in ("train", "test"):
            raise ValueError(f"Unknown split {split!r}.\nThere are more lines.")
        assert (name, root) == ("hfds/some/animals", "cache")
        return Reader({"train": 9, "test": 6}[split], input_key)

    monkeypatch.setitem(sys.modules, "datasets", ModuleType("datasets"))
    monkeypatch.setattr("timm.data.readers.create_reader", create_reader)
    return {"name": "some/animals", "root": "cache", "image": "picture", "label": "kind"}


def close(image, number):
    difference = np.asarray(image).astype(float) - np.asarray(photograph(number))
    return np.abs(difference).mean() < 5


def test_the_hubs_rows(hub):
    sets = Hub(**hub).open()
    assert sets.num_classes == 3
    assert sets.train.labels.tolist() == [0, 1, 2] * 3
    assert len(sets.test) == 6
    assert close(sets.train.image(4), 4)
    assert sets.train.name(4) == "image 4 of some/animals (train) (4.jpg)"


def test_what_the_hub_lacks_is_said_in_one_sentence(hub):
    with pytest.raises(
        ConfigurationError, match=r"the split 'dev' .* is not there \(Unknown split 'dev'\); correct"
    ) as caught:
        Hub(**hub, validation="dev").open()
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="no field 'photo'"):
        Hub(**{**hub, "image": "photo"}).open()


class Source(list):
    """A split of tfds.data_source."""


@pytest.fixture
def tensorflow_datasets(monkeypatch):
    class Builder:
        info = SimpleNamespace(features={"image": None, "label": SimpleNamespace(num_classes=3)})

        def as_data_source(self, split, decoders):
            assert decoders == {"image": "undecoded"}
            if split not in ("train", "test"):
                raise ValueError(f"Unknown split {split!r}")
            return Source({"image": encoded(number), "label": np.int64(number % 3)} for number in range(6))

    def builder(name, data_dir):
        if name != "animals":
            raise ImportError(f"Dataset {name} not found")
        return Builder()

    module = ModuleType("tensorflow_datasets")
    module.builder = builder
    module.decode = SimpleNamespace(SkipDecoding=lambda: "undecoded")
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)


@pytest.mark.usefixtures("tensorflow_datasets")
def test_tensorflows_rows():
    problem = Images(TFDS("animals"), image_size=8).load(0)
    assert problem.num_outputs == 3
    assert problem.train.labels.tolist() == [0, 1, 2] * 2
    assert close(problem.test.samples.image(5), 5)
    assert problem.test.samples.name(5) == "image 5 of animals (test)"


@pytest.mark.usefixtures("tensorflow_datasets")
@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"name": "beasts"}, "Dataset beasts not found"),
        ({"train": "all"}, "the split 'all' of TensorFlow Datasets' animals"),
        ({"label": "kind"}, "no field 'kind'"),
    ],
)
def test_what_tensorflow_lacks_is_said(options, match):
    with pytest.raises(ConfigurationError, match=match):
        TFDS(**{"name": "animals", **options}).open()


@pytest.mark.parametrize(
    ("source", "package", "extra"), [(Hub, "datasets", "hub"), (TFDS, "tensorflow_datasets", "tfds")]
)
def test_a_missing_package_names_the_command(monkeypatch, source, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"without {package}.*pip install samnesia\[{extra}\]"):
        source("animals").open()
