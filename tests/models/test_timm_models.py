"""timm's models with the studies' options."""

import huggingface_hub.constants
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from samnesia.perturb.errors import ConfigurationError
from samnesia.train.parts.models import Timm

VIT = {"class_token": False, "pooling": "avg", "head_bias": -10.0, "head_zero": True}
SHAPE = (3, 32, 32)


def vit(classes=5, shape=SHAPE, **options):
    torch.manual_seed(0)
    return Timm(name="vit_tiny_patch16_224", **{**VIT, **options}).build(shape, classes)


def resnet(classes=5, shape=SHAPE, **options):
    torch.manual_seed(0)
    return Timm(name="resnet10t", **options).build(shape, classes)


def count(net):
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ("model", "side", "classes", "parameters"),
    [
        (Timm(name="resnet50"), 224, 1000, 25_557_032),
        (Timm(name="resnet101"), 224, 1000, 44_549_160),
        (Timm(name="vit_small_patch32_224", **VIT), 224, 1000, 22_878_184),
        (Timm(name="vit_small_patch16_224", **VIT), 224, 1000, 22_049_896),
        (Timm(name="resnet18", small_stem=True), 32, 10, 11_173_962),
        (Timm(name="resnet34", small_stem=True), 32, 10, 21_282_122),
        (Timm(name="resnet50", small_stem=True), 32, 10, 23_520_842),
        (Timm(name="efficientnet_b7"), 64, 1000, 66_347_960),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_sizes_of_the_studies_models(model, side, classes, parameters):
    with torch.device("meta"):
        assert count(model.build((3, side, side), classes)) == parameters


def test_a_vision_transformer_can_have_another_size_than_its_name_says():
    small = {"width": 16, "depth": 2, "heads": 4, "patch": 4, "mlp_ratio": 2.0}
    net = vit(10, (1, 8, 8), **small)
    embedding, block, head = (16 + 1) * 16 + 4 * 16, 4 * 16 + 8 * 16 * 16 + 7 * 16, 2 * 16 + (16 + 1) * 10
    assert count(net) == embedding + 2 * (block) + head
    assert net.blocks[0].attn.num_heads == 4
    assert count(vit(10, (1, 8, 8), **small | {"depth": 3})) == count(net) + block
    images = torch.randn(2, 1, 8, 8)
    named = timm.create_model("vit_tiny_patch16_224", num_classes=10, img_size=32).blocks[0].mlp.fc1.weight
    assert vit(10, (3, 32, 32), depth=1).blocks[0].mlp.fc1.weight.shape == named.shape
    assert vit(10, (1, 8, 8), **small, head_zero=False)(images).shape == (2, 10)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"width": 0}, "with width 0"),
        ({"depth": 10**6}, "with depth 1000000"),
        ({"heads": 5, "width": 16}, "5 heads and width 16"),
        ({"mlp_ratio": 0.0}, "mlp_ratio 0.0"),
    ],
)
def test_sizes_that_cannot_be_are_one_sentence(options, part):
    with pytest.raises(ConfigurationError, match=r"^cannot .*, because .*; ") as caught:
        Timm(name="vit_tiny_patch16_224", **options)
    assert part in str(caught.value)


def test_other_nets_have_no_width_to_choose():
    with pytest.raises(ConfigurationError, match="cannot build resnet10t with width, because this timm model"):
        resnet(width=16)


def test_head_of_the_bce_runs_starts_at_its_bias():
    logits = vit()(torch.randn(2, *SHAPE))
    assert torch.equal(logits, torch.full((2, 5), -10.0))
    assert not torch.equal(vit(head_zero=False)(torch.randn(2, *SHAPE)), logits)


def test_head_learns_from_its_zero_weights():
    net = vit()
    F.binary_cross_entropy_with_logits(net(torch.randn(2, *SHAPE)), torch.eye(5)[:2], reduction="sum").backward()
    assert net.head.weight.grad.abs().sum() > 0


def test_options_of_vision_transformers_take_effect():
    with_token = Timm(name="vit_tiny_patch16_224").build(SHAPE, 5)
    without = vit()
    assert with_token.cls_token is not None and with_token.pos_embed.shape[1] == 5
    assert without.cls_token is None and without.pos_embed.shape[1] == 4
    assert without.global_pool == "avg"
    tokens = without.forward_features(torch.randn(2, *SHAPE))
    torch.testing.assert_close(without.forward_head(tokens, pre_logits=True), without.fc_norm(tokens.mean(1)))


def test_image_size_is_that_of_the_data_where_the_model_asks():
    assert vit(shape=(3, 64, 32)).patch_embed.grid_size == (4, 2)
    assert vit(image_size=32).patch_embed.grid_size == (2, 2)
    assert vit(shape=(1, 32, 32))(torch.randn(1, 1, 32, 32)).shape == (1, 5)
    assert resnet(shape=(1, 48, 40), image_size=None)(torch.randn(2, 1, 48, 40)).shape == (2, 5)
    assert resnet(image_size=32)(torch.randn(2, *SHAPE)).shape == (2, 5)


@pytest.mark.parametrize("build", [vit, resnet])
def test_weights_depend_on_the_seed_alone(build):
    torch.manual_seed(99)
    once = build(head_zero=False).state_dict()
    again = build(head_zero=False).state_dict()
    assert all(torch.equal(once[name], again[name]) for name in once)


def test_weights_are_timms_own_although_the_image_size_was_tried_first(monkeypatch):
    create = timm.create_model
    torch.manual_seed(0)
    own = create("resnet10t", num_classes=5).state_dict()

    def draws_before_it_refuses(*args, **options):
        if "img_size" in options:
            torch.rand(3)
        return create(*args, **options)

    monkeypatch.setattr(timm, "create_model", draws_before_it_refuses)
    ours = resnet().state_dict()
    assert all(torch.equal(ours[name], own[name]) for name in own)


def test_rates_and_batchnorm_options_take_effect():
    net = resnet(drop_rate=0.25, drop_path_rate=0.5, bn_momentum=0.01, bn_eps=1e-3)
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.momentum, norm.eps) for norm in norms} == {(0.01, 1e-3)}
    assert net.drop_rate == 0.25
    assert max(getattr(module, "drop_prob", 0) or 0 for module in net.modules()) == 0.5
    half = [module for module in resnet(bn_eps=1e-3).modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.momentum, norm.eps) for norm in half} == {(0.1, 1e-3)}


def test_small_stem_keeps_the_side():
    net = Timm(name="resnet18", small_stem=True).build(SHAPE, 5)
    assert net.maxpool(net.conv1(torch.randn(1, *SHAPE))).shape == (1, 64, 32, 32)
    assert net(torch.randn(1, *SHAPE)).shape == (1, 5)


@pytest.mark.parametrize("build", [vit, resnet])
def test_second_derivatives_in_evaluation_mode(build):
    net = build(**({"head_zero": False} if build is vit else {})).eval()
    parameters = list(net.parameters())
    images = torch.randn(2, *SHAPE)

    def products(direction):
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels of attention have no second derivative
            loss = F.cross_entropy(net(images), torch.arange(2))
            first = torch.autograd.grad(loss, parameters, create_graph=True)
            inner = sum((g * d).sum() for g, d in zip(first, direction, strict=True))
            second = torch.autograd.grad(inner, parameters, allow_unused=True)
        return [torch.zeros_like(p) if h is None else h for p, h in zip(parameters, second, strict=True)]

    left, right = ([torch.randn_like(p) for p in parameters] for _ in range(2))
    one = sum((h * r).sum() for h, r in zip(products(left), right, strict=True))
    two = sum((h * d).sum() for h, d in zip(products(right), left, strict=True))
    assert one.abs() > 0
    torch.testing.assert_close(one, two, rtol=1e-2, atol=1e-2 * float(one.abs() + two.abs()))


def test_fine_tuning_from_a_checkpoint_with_a_new_head(tmp_path):
    pretrained = vit(classes=7, head_zero=False)
    save_file(pretrained.state_dict(), tmp_path / "model.safetensors")
    path = str(tmp_path)
    tuned = vit(classes=5, weights=path, new_head=True)
    assert torch.equal(tuned.blocks[3].mlp.fc1.weight, pretrained.blocks[3].mlp.fc1.weight)
    assert torch.equal(tuned(torch.randn(2, *SHAPE)), torch.full((2, 5), -10.0))
    again = vit(classes=7, weights=path)  # a loaded head is not set anew
    assert torch.equal(again.head.weight, pretrained.head.weight)
    with pytest.raises(ConfigurationError, match=r"^cannot start from .* with 5 classes, because its head has 7; "):
        vit(classes=5, weights=path)
    with pytest.raises(ConfigurationError, match="checkpoint of another model: this model has 'cls_token'"):
        Timm(name="vit_tiny_patch16_224", weights=path).build(SHAPE, 7)


@pytest.mark.parametrize("token", [True, False])
def test_positions_are_interpolated_to_another_image_size(tmp_path, token):
    options = {"name": "vit_tiny_patch16_224", "class_token": token, "pooling": "avg"}
    small = Timm(**options).build(SHAPE, 5)
    with torch.no_grad():
        small.pos_embed[:] = torch.arange(192)  # the same at every place: so it stays
    save_file(small.state_dict(), tmp_path / "x.safetensors")
    large = Timm(**options, weights=str(tmp_path / "x.safetensors")).build((3, 64, 48), 5)
    assert large.pos_embed.shape == (1, 12 + token, 192)
    torch.testing.assert_close(large.pos_embed, torch.arange(192.0).expand_as(large.pos_embed))
    assert large(torch.randn(1, 3, 64, 48)).shape == (1, 5)


def hub_with(monkeypatch, classes):
    """timm's hub answers with these weights."""
    torch.manual_seed(7)
    weights = timm.create_model("resnet10t", num_classes=classes).state_dict()
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", lambda *args, **kwargs: dict(weights))
    return weights


def test_pretrained_weights_keep_their_head_only_with_their_classes(monkeypatch):
    weights = hub_with(monkeypatch, 1000)
    whole = resnet(classes=1000, pretrained=True, head_bias=-10.0)
    assert torch.equal(whole.fc.weight, weights["fc.weight"]) and torch.equal(whole.fc.bias, weights["fc.bias"])
    tuned = resnet(classes=5, pretrained=True, head_bias=-10.0, head_zero=True)
    assert torch.equal(tuned.layer1[0].conv1.weight, weights["layer1.0.conv1.weight"])
    assert (tuned.fc.bias == -10).all() and (tuned.fc.weight == 0).all()


def test_pretrained_weights_out_of_reach_are_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    refused(lambda: resnet(pretrained=True), "pretrained weights of resnet10t")
    refused(lambda: Timm(name="resnet51q.untrained", pretrained=True).build(SHAPE, 5), "knows no weights")
    refused(lambda: Timm(name="vit_tiny_patch16_384", pretrained=True).build((3, 384, 384), 5), "do not exist")


def refused(build, part):
    with pytest.raises(ConfigurationError, match=r"^cannot .*, because .*; ") as caught:
        build()
    message = str(caught.value)
    assert part in message
    assert "\n" not in message and ". " not in message


@pytest.mark.parametrize(
    ("build", "part"),
    [
        (lambda: Timm(name="rsnet50").build(SHAPE, 5), "did you mean resnet50"),
        (lambda: Timm(name="qqqqqqqq").build(SHAPE, 5), "timm.list_models()"),
        (lambda: Timm(name="resnet18.nothing").build(SHAPE, 5), "a1_in1k"),
        (lambda: Timm(name="resnet18", class_token=False, pooling="avg").build(SHAPE, 5), "with class_token"),
        (lambda: Timm(name="resnet18", pooling="token").build(SHAPE, 5), "pooling=token"),
        (lambda: Timm(name="vgg11", drop_path_rate=0.1).build(SHAPE, 5), "with drop_path_rate"),
        (lambda: vit(shape=(3, 30, 32)), "30 x 32 pixels, because its patches are 16 x 16"),
        (lambda: vit(shape=(3, 8, 8)), "8 x 8 pixels"),
        (lambda: vit(shape=(64,)), "needs images"),
        (lambda: vit(image_size=224), "32 x 32"),
        (lambda: vit(bn_eps=1e-3), "it has none"),
        (lambda: vit(small_stem=True), "small stem"),
        (lambda: Timm(name="levit_128s", head_bias=-10.0).build((3, 224, 224), 5), "head of levit_128s"),
        (lambda: Timm(class_token=False), 'use pooling "avg"'),
        (lambda: Timm(pretrained=True, weights="x"), "both pretrained and weights"),
        (lambda: Timm(pretrained=True, small_stem=True), "both pretrained and small_stem"),
        (lambda: Timm(new_head=True), "without weights"),
        (lambda: Timm(image_size=0), "0 pixels"),
        (lambda: Timm(head_bias=float("nan")), "bias nan"),
        (lambda: Timm(drop_rate=1.0), "drop_rate 1.0"),
        (lambda: Timm(drop_path_rate=-0.1), "drop_path_rate -0.1"),
        (lambda: Timm(bn_momentum=2.0), "momentum 2.0"),
        (lambda: Timm(bn_eps=0.0), "eps 0.0"),
    ],
)
def test_what_cannot_be_built_is_one_sentence(build, part):
    refused(build, part)
