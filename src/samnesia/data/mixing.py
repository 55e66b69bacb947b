"""Mixup and CutMix: images and labels of a group mixed in pairs, with soft targets.

Sources: H. Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018; S. Yun et al., "CutMix", 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from samnesia.data.draws import MIX, uniforms
from samnesia.extras import require


@dataclass(frozen=True)
class Mixer:
    """Mixes each sample of a group with its partner, the one at the same place from the other end.

    How strongly, and whether by mixup or CutMix, is drawn for each sample and epoch: it is a function of
    (seed, epoch, index). The partner is a matter of the group; the middle of an odd one stays as it is.

    Attributes:
        num_classes: number of classes.
        seed: of the run.
        mixup: alpha of mixup, whose share of the sample is Beta(alpha, alpha); 0 is no mixup.
        cutmix: alpha of CutMix, whose share of the image is Beta(alpha, alpha); 0 is no CutMix.
        switch: probability of CutMix where both are used.
        probability: of mixing a sample at all.
    """

    num_classes: int
    seed: int
    mixup: float
    cutmix: float
    switch: float
    probability: float

    def __call__(self, inputs: Tensor, targets: Tensor, epoch: int, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return images of shape ``[n, channels, height, width]`` mixed, and targets as shares, ``[n, classes]``."""
        height, width = inputs.shape[-2:]
        draws = np.array([uniforms(5, key=(self.seed, MIX, epoch, int(index))) for index in indices]).reshape(-1, 5)
        mixes, switches, quantiles, rows, columns = draws.T
        cuts = (switches < self.switch) if self.mixup and self.cutmix else np.full(len(draws), self.cutmix > 0)
        alphas = np.where(cuts, self.cutmix, self.mixup)
        own = np.where(mixes < self.probability, _beta_quantiles(alphas, quantiles), 1.0)
        inside = _boxes(np.where(cuts, own, 1.0), rows, columns, height, width).to(inputs.device)
        # what a box really covers, after rounding and the border, is what the target says
        own = np.where(cuts, 1.0 - inside.double().mean(dim=(1, 2, 3)).cpu().numpy(), own)
        share = torch.from_numpy(own).to(inputs.device, inputs.dtype)
        of_pixels = torch.where(torch.from_numpy(cuts).to(inputs.device), 1.0, share)[:, None, None, None]
        mixed = torch.where(inside, inputs.flip(0), inputs * of_pixels + inputs.flip(0) * (1.0 - of_pixels))
        soft = targets if targets.is_floating_point() else F.one_hot(targets, self.num_classes).to(inputs.dtype)
        return mixed, soft * share[:, None] + soft.flip(0) * (1.0 - share[:, None])


def _beta_quantiles(alphas: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Beta(alpha, alpha) by inversion: a draw from raw words, the same under every version of NumPy."""
    special = require("scipy.special", extra="train")
    values: np.ndarray = special.betaincinv(alphas, alphas, quantiles)
    return values


def _boxes(own: np.ndarray, rows: np.ndarray, columns: np.ndarray, height: int, width: int) -> Tensor:
    """Boxes of a share ``1 - own`` of the image around random centres, cut off at borders: bool ``[n, 1, h, w]``."""
    side = np.sqrt(1.0 - own)
    spans = [_span(centres, side, length) for centres, length in ((rows, height), (columns, width))]
    return spans[0][:, None, :, None] & spans[1][:, None, None, :]


def _span(centres: np.ndarray, side: np.ndarray, length: int) -> Tensor:
    centre, half = np.floor(centres * length), np.floor(side * length) // 2
    places = np.arange(length)
    return torch.from_numpy((places >= (centre - half)[:, None]) & (places < (centre + half)[:, None]))
