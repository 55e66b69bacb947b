"""The small reference nets."""

import pytest
import torch

from samnesia.models.small import mlp, small_cnn


@pytest.mark.parametrize("channels", [(), (4,), (16, 32), (4, 8, 16)])
def test_cnn_gives_logits_for_every_depth(channels):
    net = small_cnn(3, 7, channels=channels, hidden=5)
    assert net(torch.randn(4, 3, 8, 8)).shape == (4, 7)


def test_cnn_of_the_recipes_has_the_documented_size_and_batchnorm():
    net = small_cnn(1, 10)
    assert sum(p.numel() for p in net.parameters()) == 22_650
    assert sum(isinstance(module, torch.nn.BatchNorm2d) for module in net) == 2


@pytest.mark.parametrize("hidden", [(), (16,), (128, 128)])
def test_mlp_gives_logits(hidden):
    assert mlp(64, 10, hidden=hidden)(torch.randn(4, 1, 8, 8)).shape == (4, 10)
