"""Objectives: what an ascent pass increases, where that is not the training loss.

An objective is any callable ``(output, target) -> scalar``. It is maximized: the perturbation follows its gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, final

import torch
import torch.nn.functional as F
from torch import Tensor

from samnesia.perturb.errors import ConfigurationError, UnsupportedError
from samnesia.perturb.parts.numbers import integer, number

Criterion = Callable[[Tensor, Tensor], Tensor]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class OutputBiasForgetting:
    """Output-bias forgetting (Vani et al., ICML 2024): forget the biases that show in the model's outputs.

    For logits x with probabilities p, label distribution y and the uniform distribution u = 1/K, the mean over samples
    of

        ``(1 - α) CE(p, y) - CE(p, u)``,   ``α = γ · max(0, (1 - λ / p_y) / (1 - λ))``

    is maximized, with one α per sample, held constant in the gradient, which is ``u - α p - (1 - α) y`` in the logits.
    At chance (p_y ≤ λ, or γ = 0) this raises the linear margin ``mean_k x_k - x_y``; for a confident prediction it
    pulls p to uniform and the label drops out.

    Args:
        threshold: λ in [0, 1), the probability of the label below which α is 0; None means 1/K.
        gamma: γ in [0, 1].
        link: "softmax" (p sums to one; CE is cross-entropy) or "sigmoid" (K independent probabilities; CE is the sum
            of K binary cross-entropies). The runs of the original study use the sigmoid link.
        ignore_index: class index of samples that do not count, as in `torch.nn.functional.cross_entropy`.

    Call with `output` of shape [N, K, ...] and `target` either class indices [N, ...] or distributions of the shape of
    `output` (mixup, label smoothing), for which ``p_y = Σ_k y_k p_k``. Returns a 0-d tensor in at least float32.
    """

    threshold: float | None = None
    gamma: float = 1.0
    link: Literal["softmax", "sigmoid"] = "softmax"
    ignore_index: int = -100

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0.0 <= number(self.threshold) < 1.0:
            raise ConfigurationError(
                f"cannot forget output bias with threshold={self.threshold!r}, because it is a probability below one; "
                "choose it in [0, 1), or None for 1/number of classes"
            )
        if not 0.0 <= number(self.gamma) <= 1.0:
            raise ConfigurationError(
                f"cannot forget output bias with gamma={self.gamma!r}, because alpha has to stay in [0, 1]; "
                "choose gamma in [0, 1]"
            )
        if not abs(integer(self.ignore_index)) < float("inf"):
            raise ConfigurationError(
                f"cannot leave out samples with ignore_index={self.ignore_index!r}, because it is the label that marks "
                "them; choose a whole number, such as -100"
            )
        if not isinstance(self.link, str) or self.link not in _LINKS:
            raise ConfigurationError(
                f"cannot forget output bias with link={self.link!r}, because p must come from one of "
                f"{sorted(_LINKS)}; choose one of them"
            )

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The objective of a batch, to be maximized."""
        if output.ndim < 2 or output.shape[1] < 2:
            raise UnsupportedError(
                f"cannot forget output bias on an output of shape {tuple(output.shape)}, because the second dimension "
                "must be the classes, two or more; give logits of shape [N, K, ...]"
            )
        logits = output.movedim(1, -1).to(torch.promote_types(output.dtype, torch.float32))
        labels, counted = self._distributions(output, target)
        labels = labels.to(logits.dtype)
        probabilities, cross_entropy = _LINKS[self.link](logits)
        threshold = 1.0 / logits.shape[-1] if self.threshold is None else self.threshold
        with torch.no_grad():
            # a distribution sums to one; for labels that do not (several classes at once), p_y is their mean
            p_label = (labels * probabilities).sum(-1) / labels.sum(-1).clamp_min(torch.finfo(labels.dtype).tiny)
            confidence = 1.0 - threshold / p_label if threshold > 0.0 else torch.ones_like(p_label)
            alpha = self.gamma * confidence.clamp_min(0.0) / (1.0 - threshold)
        uniform = torch.full_like(labels, 1.0 / logits.shape[-1])
        values = (1.0 - alpha) * cross_entropy(labels) - cross_entropy(uniform)
        return values.mean() if counted is None else torch.where(counted, values, 0.0).sum() / counted.sum()

    def _distributions(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """Label distributions [N, ..., K], and which samples count (None: all)."""
        if target.is_floating_point():
            if target.shape != output.shape:
                raise UnsupportedError(
                    f"cannot forget output bias with soft targets of shape {tuple(target.shape)} for an output of "
                    f"shape {tuple(output.shape)}, because each needs one probability per class; give equal shapes"
                )
            return target.movedim(1, -1), None
        if target.shape != output.shape[:1] + output.shape[2:]:
            raise UnsupportedError(
                f"cannot forget output bias with class indices of shape {tuple(target.shape)} for an output of shape "
                f"{tuple(output.shape)}, because each sample needs one; give targets of the output's shape without its "
                "second dimension"
            )
        counted = target != self.ignore_index
        return F.one_hot(torch.where(counted, target, 0), output.shape[1]), counted


def _softmax(logits: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    log_p = F.log_softmax(logits, dim=-1)
    return log_p.detach().exp(), lambda labels: -(labels * log_p).sum(-1)


def _sigmoid(logits: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    def cross_entropy(labels: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, labels, reduction="none").sum(-1)

    return torch.sigmoid(logits.detach()), cross_entropy


_LINKS = {"softmax": _softmax, "sigmoid": _sigmoid}
