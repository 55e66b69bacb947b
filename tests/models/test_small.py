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


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("hidden", [(), (16,), (128, 128)])
def test_mlp_gives_logits(hidden, norm):
    assert mlp(64, 10, hidden=hidden, norm=norm)(torch.randn(4, 1, 8, 8)).shape == (4, 10)


@pytest.mark.parametrize("hidden", [(16,), (16, 8)])
@pytest.mark.parametrize("scale", [4.0, 1 / 16])
def test_rescaled_layers_make_the_same_function_of_other_weights(hidden, scale):
    nets = []
    for factor in (1.0, scale):
        torch.manual_seed(0)
        nets.append(mlp(64, 10, hidden=hidden, norm=False, scale=factor))
    x = torch.randn(7, 1, 8, 8)
    assert torch.equal(nets[0](x), nets[1](x))  # to the bit, with a power of two
    before, after = (dict(net.named_parameters()) for net in nets)
    factors = {"1.weight": scale, "1.bias": scale, "3.weight": 1 / scale}
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor * factors.get(name, 1.0)), name


def test_an_mlp_without_batchnorm_has_biases_in_its_place():
    net = mlp(5, 3, hidden=(4, 2), norm=False)
    assert [type(layer).__name__ for layer in net] == ["Flatten", "Linear", "ReLU", "Linear", "ReLU", "Linear"]
    assert sum(p.numel() for p in net.parameters()) == 5 * 4 + 4 + 4 * 2 + 2 + 2 * 3 + 3
    with_norm = mlp(5, 3, hidden=(4, 2))
    assert [name for name, _ in with_norm.named_parameters() if name.endswith("bias")] == ["2.bias", "5.bias", "7.bias"]
