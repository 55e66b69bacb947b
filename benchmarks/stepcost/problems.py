"""What is trained: a network, the shape of its batch and the precision of its passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from .nets import ViT, mlp, resnet


@dataclass(frozen=True)
class Problem:
    """A network on random images: synthetic data are right where only time and memory are asked for.

    autocast: the type of autocast in the forward, None for plain float32.
    """

    name: str
    title: str
    build: Callable[[], nn.Module]
    batch: int
    image: int = 32
    num_classes: int = 10
    autocast: torch.dtype | None = None

    def model(self, device: torch.device, seed: int) -> nn.Module:
        """The network in training mode; equal for equal seeds."""
        torch.manual_seed(seed)
        return self.build().to(device).train()

    def data(self, device: torch.device, seed: int) -> tuple[Tensor, Tensor]:
        """One batch of random images and labels."""
        generator = torch.Generator().manual_seed(seed)
        images = torch.randn(self.batch, 3, self.image, self.image, generator=generator)
        return images.to(device), torch.randint(self.num_classes, (self.batch,), generator=generator).to(device)


def cpu_suite() -> list[Problem]:
    """Small networks: one bound by computing, one by both, one by memory traffic."""
    return [
        Problem("resnet20", "ResNet-20", resnet, batch=64),
        Problem("vit", "ViT 192 x 6", ViT, batch=32),
        Problem("mlp", "MLP 3072-2048-2048-10", lambda: mlp(3072, 2048, 2048, 10), batch=16),
    ]


def family_suite() -> list[Problem]:
    """The two ends, bound by computing and by memory traffic; a small batch, as there are many rows."""
    resnet20, _, wide = cpu_suite()
    return [replace(resnet20, batch=16), wide]


def gpu_suite() -> list[Problem]:
    """What is trained on one GPU: 224 pixels in bfloat16 autocast, and a network with little to compute per weight."""
    from timm import create_model

    images = {"image": 224, "num_classes": 1000, "autocast": torch.bfloat16}
    return [
        Problem("vit_s16", "ViT-S/16", lambda: create_model("vit_small_patch16_224"), batch=128, **images),
        Problem("resnet50", "ResNet-50", lambda: create_model("resnet50"), batch=128, **images),
        Problem("mlp", "MLP 3072-2048-2048-10", lambda: mlp(3072, 2048, 2048, 10), batch=1024),
    ]


def counted_problem() -> Problem:
    """Large layers with a normalization between them and a small batch, so that nothing but weights counts."""
    return Problem("counted", "MLP 192-256-256-10 with LayerNorm", _normalized, batch=4, image=8)


def _normalized() -> nn.Module:
    layers = [nn.Linear(192, 256), nn.LayerNorm(256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)]
    return nn.Sequential(nn.Flatten(), *layers)


def scaled_problem() -> Problem:
    """What is trained in float16 with a gradient scaler."""
    return replace(gpu_suite()[0], batch=64, autocast=torch.float16)


def tiny_cpu_suite() -> list[Problem]:
    """The same code on networks of no size: shows that the command works, and measures nothing."""
    return [
        Problem("resnet20", "ResNet, tiny", lambda: resnet(8, width=4), batch=2, image=8),
        Problem("vit", "ViT, tiny", lambda: ViT(width=8, depth=1, num_heads=2, image=8), batch=2, image=8),
        Problem("mlp", "MLP, tiny", lambda: mlp(192, 16, 10), batch=2, image=8),
    ]


def tiny_family_suite() -> list[Problem]:
    """Likewise, of the family suite."""
    resnet20, _, wide = tiny_cpu_suite()
    return [resnet20, wide]


def tiny_gpu_suite() -> list[Problem]:
    """Likewise, with the builders and the precision of the GPU suite."""
    from timm import create_model

    vit = {"img_size": 32, "embed_dim": 16, "depth": 1, "num_heads": 2, "num_classes": 10}
    resnet_options = {"layers": (1, 1, 1, 1), "channels": (4, 4, 4, 4), "num_classes": 10}
    return [
        Problem(
            "vit_s16", "ViT, tiny", lambda: create_model("vit_small_patch16_224", **vit), 2, autocast=torch.bfloat16
        ),
        Problem(
            "resnet50", "ResNet, tiny", lambda: create_model("resnet50", **resnet_options), 2, autocast=torch.bfloat16
        ),
        Problem("mlp", "MLP, tiny", lambda: mlp(192, 16, 10), batch=2, image=8),
    ]


def tiny_scaled_problem() -> Problem:
    """Likewise, in float16."""
    return replace(tiny_gpu_suite()[2], autocast=torch.float16)
