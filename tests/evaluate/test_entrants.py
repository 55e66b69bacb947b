"""Runs on other data and pretrained models: the same interface as runs, and mismatches said in a sentence."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from samnesia.evaluate.accuracy import clean_accuracy
from samnesia.evaluate.entrants import Elsewhere, Finder, Pretrained, image_folder
from samnesia.evaluate.predictions import Sampled, predict
from samnesia.perturb.errors import ConfigurationError, UnsupportedError
from samnesia.train.config import Digits, Folder, Images, OwnData, Photographs
from samnesia.train.loaded import load

NAME = "resnet10t"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Six images in each of three classes, in two splits."""
    root, generator = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("cat", "dog", "eel"):
            (root / split / name).mkdir(parents=True)
            for number in range(3):
                pixels = generator.integers(0, 256, (40, 36, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Of a model for three classes."""
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    torch.manual_seed(0)
    save_file(timm.create_model(NAME, num_classes=3).state_dict(), path)
    return path


def test_a_pretrained_model_sees_images_as_its_configuration_says(images, weights):
    model = Pretrained(NAME, Images(source=Folder(str(images)), image_size=32), weights)
    data, known = model.config.data, timm.models.get_pretrained_cfg(NAME)
    assert data.image_size == 32, "as the user says"
    assert (data.mean, data.std) == (tuple(known.mean), tuple(known.std))
    assert (data.crop_pct, data.interpolation) == (known.crop_pct, known.interpolation)
    loaded = model.load(model.positions[0], device="cpu")
    found = predict(loaded, Sampled())
    image = Image.open(images / "val" / "dog" / "1.png")
    transform = timm.data.create_transform(
        (3, 32, 32), mean=known.mean, std=known.std, crop_pct=known.crop_pct, interpolation=known.interpolation
    )
    net = timm.create_model(NAME, num_classes=3).eval()
    net.load_state_dict(loaded.model.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(found.outputs[4:5], net(transform(image)[None]), rtol=1e-4, atol=1e-4)
    assert clean_accuracy(loaded).samples == 9
    assert loaded.describe()["recipe"] == f"timm:{NAME}" and model.stage(model.positions[0]) == "pretrained"


def test_its_digest_is_of_weights_and_data(images, weights, tmp_path):
    def digest(data, file):
        return Pretrained(NAME, data, file).digest(None)

    small = Images(source=Folder(str(images)), image_size=32)
    first = digest(small, weights)
    assert first == digest(small, weights) != digest(Images(source=Folder(str(images)), image_size=40), weights)
    torch.manual_seed(1)
    save_file(timm.create_model(NAME, num_classes=3).state_dict(), tmp_path / "other.safetensors")
    assert digest(small, tmp_path / "other.safetensors") != first


@pytest.mark.parametrize(("inside", "expected"), [("", ("train", "val")), ("val", (".", "."))])
def test_a_folder_of_splits_or_of_classes(images, inside, expected):
    data = image_folder(images / inside)
    assert (data.source.train, data.source.test) == expected
    assert len(data.load(0).test) == 9


def test_other_classes_are_said(images, weights, trained):
    small = Images(source=Folder(str(images)), image_size=32)
    with pytest.raises(ConfigurationError, match="tells 1000 classes apart, and the data have 3"):
        Pretrained(NAME, small).digest(None)
    with pytest.raises(ConfigurationError, match="tells 3 classes apart, and the data have 10"):
        Pretrained(NAME, Digits(), weights).digest(None)
    run = Elsewhere(trained["sam"], OwnData(five))
    with pytest.raises(ConfigurationError, match="tells 10 classes apart, and the data have 5"):
        run.load(run.positions[-1])


def five(seed):
    """Digits 0 to 4."""
    problem = Digits().load(seed)
    kept = problem.test.labels < 5
    return type(problem)(
        *[type(problem.test)(problem.test.inputs[kept], problem.test.labels[kept])] * 3, num_outputs=5, shape=(1, 8, 8)
    )


def test_a_run_on_other_data_of_its_kind(trained):
    run = Elsewhere(trained["sam"], Digits(train=100))
    elsewhere, at_home = run.load(run.positions[-1]), load(trained["sam"])
    assert len(elsewhere.problem.test) == 1497 and len(at_home.problem.test) == 797
    assert elsewhere.digest != at_home.digest and run.steps_per_epoch == 10
    for name, value in at_home.model.state_dict().items():
        assert value.equal(elsewhere.model.state_dict()[name])
    with pytest.raises(ConfigurationError, match="on Photographs, because it was trained on Digits"):
        Elsewhere(trained["sam"], Photographs())


@pytest.mark.parametrize(
    ("finder", "word", "error", "expected"),
    [
        (Finder(), f"timm:{NAME}", ConfigurationError, "without data"),
        (Finder(Digits()), "timm:resnet10x", ConfigurationError, "did you mean resnet10t"),
        (Finder(Digits()), "timm:convnext_base.fb_in22k_ft_in1k_384", UnsupportedError, "crop_mode 'squash'"),
        (Finder(), "none", ConfigurationError, "cannot find none"),
    ],
)
def test_what_is_no_entrant_is_refused(finder, word, error, expected):
    with pytest.raises(error, match=expected):
        finder(word)


def test_weights_are_those_of_one_model(tmp_path):
    finder = Finder(Digits(), tmp_path)
    for words in (("runs/sam",), (f"timm:{NAME}", "timm:resnet18")):
        with pytest.raises(ConfigurationError, match=f"for {len(words) - ('runs/sam' in words)} models of timm"):
            finder.check(words)
    finder.check((f"timm:{NAME}", "runs/sam"))
    with pytest.raises(ConfigurationError, match="no such directory"):
        image_folder(tmp_path / "none")
    with pytest.raises(ConfigurationError, match="comes with one set"):
        Pretrained(NAME, Digits(), tmp_path).load(None, averaged=True)
