"""The reference nets of the papers: sizes as published, shapes, and what training asks of them."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from samnesia.models.ascent import ShakeDrop, aware_layers
from samnesia.models.cifar import cifar_resnet, vgg_bn, wide_resnet
from samnesia.models.shaken import pyramid_net, shake_shake

SMALL = {
    "resnet": lambda: cifar_resnet(3, 7, depth=14, width=4),
    "wide": lambda: wide_resnet(3, 7, depth=16, width=1, dropout=0.1),
    "vgg": lambda: vgg_bn(3, 7, depth=11, width=2),
    "shake": lambda: shake_shake(3, 7, depth=14, width=4),
    "pyramid": lambda: pyramid_net(3, 7, depth=29, alpha=7.0),
}


def count(net):
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ("build", "millions"),
    [
        (lambda: wide_resnet(3, 10), 36.5),
        (lambda: wide_resnet(3, 10, depth=16, width=8), 11.0),
        (lambda: wide_resnet(3, 10, depth=40, width=4), 8.9),
        (lambda: cifar_resnet(3, 10, depth=20), 0.27),
        (lambda: cifar_resnet(3, 10, depth=32), 0.46),
        (lambda: cifar_resnet(3, 10, depth=44), 0.66),
        (lambda: cifar_resnet(3, 10, depth=56), 0.85),
        (lambda: cifar_resnet(3, 10, depth=110), 1.7),
        (lambda: shake_shake(3, 10), 26.2),
        (lambda: shake_shake(3, 10, width=32), 2.9),
        (lambda: pyramid_net(3, 10), 26.0),
        (lambda: pyramid_net(3, 10, depth=200, alpha=240), 26.6),
        (lambda: vgg_bn(3, 10), 14.7),
    ],
)
def test_sizes_are_those_of_the_papers(build, millions):
    with torch.device("meta"):
        size = count(build()) / 1e6
    digits = len(str(millions).partition(".")[2])
    assert round(size, digits) == millions


def test_exact_sizes_that_other_codes_state():
    with torch.device("meta"):
        assert count(wide_resnet(3, 10)) == 36_479_194
        assert count(cifar_resnet(3, 10, depth=20)) == 269_722


@pytest.mark.parametrize("name", SMALL)
def test_logits_and_same_seed_same_weights(name):
    torch.manual_seed(1)
    net = SMALL[name]()
    torch.manual_seed(1)
    again = SMALL[name]()
    torch.manual_seed(2)
    other = SMALL[name]()
    weights, same, others = (torch.nn.utils.parameters_to_vector(n.parameters()) for n in (net, again, other))
    assert torch.equal(weights, same) and not torch.equal(weights, others)
    assert net(torch.randn(2, 3, 32, 32)).shape == (2, 7)
    assert (net.head.bias == 0).all()


@pytest.mark.parametrize("name", [name for name in SMALL if name != "vgg"])
@pytest.mark.parametrize("side", [8, 9, 15])
def test_images_of_any_side(name, side):
    assert SMALL[name]()(torch.randn(2, 3, side, side + 1)).shape == (2, 7)


@pytest.mark.parametrize("name", SMALL)
def test_all_weights_get_gradients_and_nothing_is_in_place(name):
    net = SMALL[name]()
    F.cross_entropy(net(torch.randn(4, 3, 32, 32)), torch.arange(4)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    assert not any(getattr(module, "inplace", False) for module in net.modules())


@pytest.mark.parametrize("name", SMALL)
def test_hessian_vector_products_in_evaluation_mode(name):
    """A second backward agrees with the difference of gradients (issue: spectra of the Hessian)."""
    net = SMALL[name]().double().eval()
    images, target = torch.randn(3, 3, 32, 32, dtype=torch.float64), torch.arange(3)
    parameters = list(net.parameters())
    direction = [torch.randn_like(p) for p in parameters]

    def gradient():
        return torch.autograd.grad(F.cross_entropy(net(images), target), parameters, create_graph=True)

    inner = sum((g * d).sum() for g, d in zip(gradient(), direction, strict=True))
    product = torch.autograd.grad(inner, parameters, allow_unused=True)  # the loss may be linear in a bias
    step, sides = 1e-10, []  # so small that hardly a ReLU changes sides
    for sign in (1, -2):
        with torch.no_grad():
            for p, d in zip(parameters, direction, strict=True):
                p.add_(d, alpha=sign * step)
        sides.append(torch.cat([g.detach().flatten() for g in gradient()]))
    numeric = (sides[0] - sides[1]) / (2 * step)
    exact = torch.cat(
        [(torch.zeros_like(p) if h is None else h).flatten() for h, p in zip(product, parameters, strict=True)]
    )
    assert exact.norm() > 0
    assert (numeric - exact).norm() < 1e-3 * exact.norm()


def test_residual_nets_differ_where_the_papers_do():
    block = cifar_resnet(3, 10).blocks[3]
    x = torch.randn(1, 16, 8, 8)
    shortcut = block.shortcut(x)
    assert torch.equal(shortcut[:, :16], x[..., ::2, ::2]) and (shortcut[:, 16:] == 0).all()
    assert [m.p for m in wide_resnet(3, 10, depth=10, width=1, dropout=0.3).modules() if isinstance(m, nn.Dropout)] == (
        [0.3] * 3
    )


def test_pyramid_widens_linearly_and_shakes_later_blocks_more():
    net = pyramid_net(3, 10, depth=29, alpha=18.0, shakedrop=0.5)
    assert [block.branch[1].out_channels for block in net.blocks] == [18, 20, 22, 24, 26, 28, 30, 32, 34]
    keeps = [layer.keep for layer in aware_layers(net)]
    assert keeps == pytest.approx([1 - 0.5 * k / 9 for k in range(1, 10)])
    with torch.device("meta"):
        full = pyramid_net(3, 10)
    assert full.blocks[-1].branch[1].out_channels == 216
    assert not any(isinstance(m, ShakeDrop) for m in pyramid_net(3, 10, depth=11, shakedrop=0.0).modules())


def test_shakes_second_shortcut_path_looks_one_pixel_further():
    shortcut = next(b.shortcut for b in shake_shake(3, 10, depth=14, width=4).blocks if hasattr(b.shortcut, "shifted"))
    shortcut.norm = nn.Identity()
    x = torch.rand(1, 4, 4, 4)
    out = shortcut(x)
    torch.testing.assert_close(out[:, :4], shortcut.straight(x[..., ::2, ::2]))
    torch.testing.assert_close(out[:, 4:], shortcut.shifted(x[..., 1::2, 1::2]))


def test_evaluation_of_random_nets_repeats():
    for name in ("shake", "pyramid", "wide"):
        net, images = SMALL[name]().eval(), torch.randn(2, 3, 8, 8)
        assert torch.equal(net(images), net(images))
