"""The hub's sets, from files as its library reads them; TensorFlow's, with a stand-in for its library."""

import io
import pickle
import sys
from types import ModuleType, SimpleNamespace

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from samnesia.extras import MissingExtraError
from samnesia.perturb.errors import ConfigurationError, DamagedSampleWarning
from samnesia.train.parts.data import TFDS, Hub, Images, PadCropFlip
from tests.data.image_files import encoded, folders, photograph

FEATURES = datasets.Features(
    {
        "picture": datasets.Image(),
        "kind": datasets.ClassLabel(names=["a", "b", "c"]),
        "weight": datasets.Value("float32"),
    }
)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A data set as it lies on the hub: parquet files with the bytes of images. Test image 4 is truncated."""
    root = tmp_path_factory.mktemp("hub")
    for split, first, count in (("train", 0, 9), ("test", 9, 6)):
        rows = [
            {"picture": {"bytes": encoded(number), "path": f"{number}.jpg"}, "kind": number % 3, "weight": 0.5}
            for number in range(first, first + count)
        ]
        if split == "test":
            rows[4]["picture"]["bytes"] = rows[4]["picture"]["bytes"][:-50]
        file = root / "animals" / "data" / f"{split}-00000-of-00001.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        datasets.Dataset.from_list(rows, features=FEATURES).to_parquet(str(file))
    return {"name": str(root / "animals"), "root": str(root / "cache"), "image": "picture", "label": "kind"}


def close(image, number):
    difference = np.asarray(image).astype(float) - np.asarray(photograph(number))
    return np.abs(difference).mean() < 5


def test_the_hubs_rows(hub):
    sets = Hub(**hub).open()
    assert sets.num_classes == 3
    assert sets.train.labels.tolist() == [0, 1, 2] * 3
    assert len(sets.test) == 6
    assert np.array_equal(np.asarray(sets.train.image(4)), np.asarray(Image.open(io.BytesIO(encoded(4)))))
    assert sets.train.name(4) == f"image 4 of {hub['name']} (train) (4.jpg)"


def test_the_hubs_samples_are_the_same_in_another_process(hub):
    split = Images(Hub(**hub), image_size=16, augmentation=PadCropFlip()).load(0).train
    again = pickle.loads(pickle.dumps(split))
    assert torch.equal(again.batch([5, 2], 1)[0], split.batch(range(9), 1)[0][[5, 2]])


def test_a_damaged_image_of_the_hub_is_named(hub):
    with pytest.raises(ConfigurationError, match=r"image 4 of .*animals \(test\) \(13.jpg\), because .* damaged"):
        Images(Hub(**hub), image_size=16).load(0).test.batch([3, 4])
    with pytest.warns(DamagedSampleWarning, match="13.jpg"):
        assert len(Images(Hub(**hub), image_size=16, damaged="skip").load(0).test.batch(range(6))[0]) == 5


def test_folders_as_the_hubs_library_reads_them(tmp_path):
    folders(tmp_path / "images", splits=("train", "test"), each=2)
    sets = Hub(str(tmp_path / "images"), root=str(tmp_path / "cache")).open()
    assert sets.num_classes == 3
    assert sets.train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert close(sets.test.image(5), 11)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"validation": "dev"}, "cannot load the split 'dev' of the hub's .* is not there"),
        ({"image": "photo"}, "no field 'photo'"),
        ({"label": "species"}, "species"),
        ({"label": "weight"}, "requires one class per image"),
    ],
)
def test_what_the_hub_lacks_is_said_in_one_sentence(hub, options, match):
    with pytest.raises(ConfigurationError, match=match) as caught:
        Hub(**{**hub, **options}).open()
    assert "\n" not in str(caught.value)


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


def test_missing_packages_name_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"without datasets.*pip install samnesia\[hub\]"):
        Hub("animals").open()
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(
        MissingExtraError, match="package is not installed.*pip install tensorflow-datasets array-record"
    ):
        TFDS("animals").open()
