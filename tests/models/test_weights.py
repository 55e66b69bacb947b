"""Weights from files: where they are looked for, what must fit, and what is said when they do not."""

import re

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from samnesia.models.cifar import cifar_resnet
from samnesia.models.weights import find_weights, load_weights, read_weights
from samnesia.perturb.errors import ConfigurationError


def net(classes=10, width=4, seed=0):
    torch.manual_seed(seed)
    return cifar_resnet(3, classes, depth=8, width=width)


def same(left, right, *, but=()):
    left, right = left.state_dict(), right.state_dict()
    return all(torch.equal(left[name], right[name]) for name in left if not name.startswith(but or "-"))


@pytest.fixture
def trained():
    """A net whose BatchNorm has seen images."""
    trained = net(seed=1)
    trained(torch.randn(4, 3, 8, 8))
    return trained


@pytest.fixture
def file(tmp_path, trained):
    save_file(trained.state_dict(), tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def refuses(path, model, pattern, **options):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ConfigurationError, match=r"^cannot .*, because .*; ") as caught:
        load_weights(model, path, **options)
    message = str(caught.value)
    assert re.search(pattern, message), message
    assert "\n" not in message and ". " not in message.replace(str(path), "")
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_weights_and_statistics_of_a_file(file, trained):
    fresh = net()
    load_weights(fresh, file)
    assert same(fresh, trained)


def test_a_directory_means_the_file_in_it(file, trained):
    fresh = net()
    load_weights(fresh, file.parent)
    assert same(fresh, trained)


def test_a_run_means_its_last_checkpoint(tmp_path, trained):
    for name, seed in {"epoch999-step099900": 2, "epoch1000-step100000": 1, ".epoch2000-step200000": 3}.items():
        directory = tmp_path / "checkpoints" / name
        directory.mkdir(parents=True)
        save_file(net(seed=seed).state_dict(), directory / "model.safetensors")
    (tmp_path / "checkpoints" / "epoch1001-step100100").mkdir()  # without weights: not finished
    assert find_weights(tmp_path).parent.name == "epoch1000-step100000"
    assert find_weights(str(tmp_path)).parent.name == "epoch1000-step100000"


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"model": s, "epoch": 3}, lambda s: {"state_dict": s}])
def test_state_dicts_of_other_scripts(tmp_path, trained, suffix, wrap):
    path = tmp_path / f"weights{suffix}"
    torch.save(wrap({f"module.{name}": tensor for name, tensor in trained.state_dict().items()}), path)
    fresh = net()
    load_weights(fresh, path)
    assert same(fresh, trained)


def test_compiled_names_are_the_models_names(tmp_path, trained):
    path = tmp_path / "x.safetensors"
    save_file({f"_orig_mod.{name}": tensor for name, tensor in trained.state_dict().items()}, path)
    assert set(read_weights(path)) == set(trained.state_dict())


def test_other_number_of_classes_is_refused_unless_the_head_is_new(file, trained):
    refuses(file, net(classes=3), r"with 3 classes.* has 10; .*new_head")
    fresh, start = net(classes=3), net(classes=3)
    load_weights(fresh, file, new_head=True)
    assert same(fresh, trained, but="head.") and not same(fresh, start)
    assert torch.equal(fresh.head.weight, start.head.weight)


def test_new_head_is_new_for_the_same_number_of_classes_too(file, trained):
    fresh, start = net(), net()
    load_weights(fresh, file, new_head=True)
    assert torch.equal(fresh.head.weight, start.head.weight)
    assert not torch.equal(fresh.head.weight, trained.head.weight)
    assert same(fresh, trained, but="head.")


def test_checkpoints_of_other_models_name_the_first_difference(file, tmp_path):
    refuses(
        file, net(width=5), r"another model: 'stem.0.weight' has shape \(5, 3, 3, 3\) here and \(4, 3, 3, 3\) there"
    )
    lacking = {name: tensor for name, tensor in load_file(file).items() if not name.startswith("blocks.2.branch.3")}
    save_file(lacking, tmp_path / "lacking.safetensors")
    refuses(
        tmp_path / "lacking.safetensors", net(), "this model has 'blocks.2.branch.3.weight' and the weights lack it"
    )
    refuses(file, nn.Sequential(nn.Flatten()), r"this model lacks 'blocks.0.branch.0.weight' and the weights hold it")
    deep = tmp_path / "deep.safetensors"
    save_file(cifar_resnet(3, 10, depth=14, width=4).state_dict(), deep)
    refuses(deep, net(), "another model: 'blocks.1.branch.0.weight'")
    refuses(deep, net(), "another model", new_head=True)


def test_files_that_cannot_be_read(file, tmp_path):
    content = file.read_bytes()
    for name, damaged in {"cut": content[:-100], "head": content[:20], "empty": b"", "noise": b"\xff" * 500}.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(damaged)
        refuses(path, net(), "damaged")
        path = tmp_path / f"{name}.pt"
        path.write_bytes(damaged)
        refuses(path, net(), "damaged")


def test_pickles_that_would_run_code_are_not_read(tmp_path):
    torch.save(net(), tmp_path / "whole.pt")
    refuses(tmp_path / "whole.pt", net(), "other things than tensors")
    torch.save({"a": 3}, tmp_path / "number.pt")
    refuses(tmp_path / "number.pt", net(), "one tensor per name")
    torch.save([1, 2], tmp_path / "list.pt")
    refuses(tmp_path / "list.pt", net(), "one tensor per name")


def test_places_without_weights(tmp_path):
    refuses(tmp_path / "nothing", net(), "no such file or directory")
    refuses(tmp_path, net(), "holds no model.safetensors and no checkpoints")
    (tmp_path / "model.ckpt").write_bytes(b"x")
    refuses(tmp_path / "model.ckpt", net(), "only .safetensors, .pt and .pth")


def test_reading_leaves_the_file_alone(file):
    load_weights(net(), file)
    assert set(load_file(file)) == set(net().state_dict())
