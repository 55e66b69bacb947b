"""The parts of a configuration that build models."""

import json
from typing import get_args

import pytest
import torch
from safetensors.torch import save_file

from samnesia.perturb.errors import ConfigurationError
from samnesia.train.parts import models
from samnesia.train.parts.models import (
    CNN,
    MLP,
    VGG,
    CifarResNet,
    LeNet,
    PyramidNet,
    ShakeShake,
    Timm,
    Transformer,
    WideResNet,
)
from samnesia.train.plain import from_plain, to_plain

SMALL = [
    CNN(channels=(4,)),
    MLP(hidden=(8,)),
    LeNet(),
    CifarResNet(depth=8, width=4),
    WideResNet(depth=10, width=1, dropout=0.1),
    VGG(depth=11, width=2),
    ShakeShake(depth=8, width=4),
    PyramidNet(depth=11, alpha=6.0, shakedrop=0.5),
    Timm(name="resnet10t"),
]


def named(model):
    return type(model).__name__


def test_all_models_are_tried_here():
    elsewhere = {Transformer}  # for tokens: test_transformer
    assert {type(model) for model in SMALL} | elsewhere == set(get_args(models.Model))


@pytest.mark.parametrize("model", SMALL, ids=named)
def test_builds_for_images_and_survives_json(model):
    assert model.build((1, 32, 32), 6)(torch.randn(2, 1, 32, 32)).shape == (2, 6)
    assert from_plain(models.Model, json.loads(json.dumps(to_plain(model)))) == model


@pytest.mark.parametrize("model", SMALL, ids=named)
def test_starts_from_weights_with_a_new_head(model, tmp_path):
    trained = model.build((3, 32, 32), 6)
    save_file(trained.state_dict(), tmp_path / "model.safetensors")
    plain = to_plain(model) | {"weights": str(tmp_path)}
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(from_plain(models.Model, plain).build((3, 32, 32), 6).eval()(images), trained.eval()(images))
    with pytest.raises(ConfigurationError, match="with 4 classes, because its head has 6;"):
        from_plain(models.Model, plain).build((3, 32, 32), 4)
    tuned = from_plain(models.Model, plain | {"new_head": True}).build((3, 32, 32), 4)
    assert torch.equal(next(tuned.parameters()), next(trained.parameters()))


@pytest.mark.parametrize("name", ["CifarResNet", "WideResNet", "ShakeShake", "PyramidNet", "VGG"])
def test_defaults_are_the_papers_nets(name):
    papers = {"CifarResNet": 0.27, "WideResNet": 36.5, "ShakeShake": 26.2, "PyramidNet": 26.0, "VGG": 14.7}
    with torch.device("meta"):
        net = getattr(models, name)().build((3, 32, 32), 10)
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(papers[name], rel=0.005)


@pytest.mark.parametrize(
    ("build", "part"),
    [
        (lambda: CifarResNet(depth=21), "use 20, say"),
        (lambda: CifarResNet(depth=2), "use 8, say"),
        (lambda: WideResNet(depth=27), "use 28, say"),
        (lambda: ShakeShake(depth=10**6), "depth 1000000"),
        (lambda: PyramidNet(depth=270), "use 272, say"),
        (lambda: VGG(depth=17), "use 11, 13, 16 or 19"),
        (lambda: WideResNet(width=0), "width 0"),
        (lambda: CifarResNet(width=10**6), "width 1000000"),
        (lambda: WideResNet(dropout=1.0), "dropout 1.0"),
        (lambda: PyramidNet(shakedrop=1.5), "shakedrop 1.5"),
        (lambda: PyramidNet(alpha=-1.0), "alpha -1.0"),
        (lambda: PyramidNet(alpha=float("nan")), "alpha nan"),
        (lambda: VGG().build((3, 28, 28), 10), "28 pixels"),
        (lambda: WideResNet().build((64,), 10), "a WideResNet for inputs of shape (64,)"),
        (lambda: CNN().build((64,), 10), "a CNN for inputs of shape (64,)"),
        (lambda: CNN(new_head=True), "without weights"),
        (lambda: CNN(weights="/nowhere/at/all").build((1, 8, 8), 10), "no such file or directory"),
    ],
)
def test_what_cannot_be_built_is_one_sentence(build, part):
    with pytest.raises(ConfigurationError, match=r"^cannot .*, because .*; ") as caught:
        build()
    assert part in str(caught.value)
    assert ". " not in str(caught.value)
