"""Every recipe trains two steps on small files: some that have all traits together in the fast tier, the rest slow."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch

from samnesia.models.weights import load_weights
from samnesia.perturb.errors import ConfigurationError, TrainingCollapsedWarning
from samnesia.train.config import AESAM, ESAM, MESA
from samnesia.train.loop import train
from samnesia.train.recipes import RECIPES, family, find, write_predictions
from tests.data import image_files
from tests.train.tiny import CLASSES, STEPS, TRAINING_IMAGES, cover, tiny

FAMILY = {f"digits-noisy-{name}" for name in family.METHODS}  # test_methods.py trains each of these methods
CHOSEN = cover([one() for name, one in RECIPES.items() if name not in FAMILY])
OTHERS = sorted(RECIPES.keys() - set(CHOSEN))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """CIFAR-10, CIFAR-100, class folders and a file of labels, of the sizes that tiny recipes are made for."""
    root = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as monkeypatch:
        image_files.cifar(root, 10, monkeypatch, per_batch=TRAINING_IMAGES // 5)
        image_files.cifar(root, 100, monkeypatch, per_batch=TRAINING_IMAGES)
        classes = [f"class {number}" for number in range(CLASSES)]
        image_files.folders(root / "folders", classes=classes, each=TRAINING_IMAGES // CLASSES)
        np.save(root / "labels.npy", np.arange(TRAINING_IMAGES) % 10)
        yield root


def two_steps(name, files):
    """Train it, and check that it was trained as it says."""
    config = tiny(find(name), files)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingCollapsedWarning)  # two steps teach nothing
        result = train(config)
    assert (result.steps, result.skipped_steps) == (STEPS, 0)
    if type(config.method) not in (AESAM, ESAM, MESA):  # by its gradients; counted by samples; a forward pass
        # a budget counts forward passes as well, as thirds
        assert result.gradient_evaluations == int(config.gradient_evaluations(STEPS))
        assert result.perturbed_steps == config.perturbed_steps(STEPS)
    assert np.isfinite(result.score("last"))


@pytest.mark.parametrize("name", CHOSEN)
def test_recipes_with_all_traits_train(files, name):
    two_steps(name, files)


def test_the_chosen_are_few_and_have_what_is_special():
    assert len(CHOSEN) < 95
    for words in (
        "asam-after-obf",
        "asam-before",
        "late-asam",
        "shake-shake",
        "mixup",
        "bootstrap",
        "m1-",
        "autoaugment",
    ):
        assert any(words in name for name in CHOSEN), words


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_all_other_recipes_train_as_well(files, name):
    two_steps(name, files)


def test_bootstrap_trains_on_what_the_first_run_predicts(files, tmp_path):
    first = dataclasses.replace(tiny(find("foret-resnet-32-noise-20-sam"), files), epochs=20)
    train(first, tmp_path / "run")
    path = write_predictions(tmp_path / "run", batch_size=7)
    second = find("foret-resnet-32-noise-20-bootstrap-sam")
    assert second.data.relabel == "runs/foret-resnet-32-noise-20-sam/predicted.npy"
    assert second.data.flipped == first.data.flipped and second.seed == first.seed
    problem = dataclasses.replace(tiny(second, files).data, relabel=str(path)).load(second.seed)
    plain = first.data.load(first.seed)
    indices = range(len(plain.train))
    images, noisy = plain.train.batch(indices)
    _, labels = problem.train.batch(indices)
    net = first.model.build(plain.shape, plain.num_outputs)
    load_weights(net, tmp_path / "run")
    with torch.no_grad():
        assert torch.equal(net.eval()(images).argmax(1), labels)
    assert not torch.equal(labels, noisy)
    assert torch.equal(problem.train.clean_labels, plain.train.clean_labels)


def test_predictions_of_a_run_that_is_not_on_images_are_refused(tmp_path):
    train(dataclasses.replace(find("digits-sgd"), epochs=1), tmp_path / "run")
    with pytest.raises(ConfigurationError, match="cannot write predictions for .*, because only images"):
        write_predictions(tmp_path / "run")


@pytest.mark.parametrize("name", ["foret-wrn-28-10-cifar10-basic-200-sam", "vani-resnet-50-sam", "digits-sam"])
def test_tiny_data_make_exactly_two_steps(files, name):
    config = tiny(find(name), files)
    assert len(config.data.load(0).train) == STEPS * config.batch_size
