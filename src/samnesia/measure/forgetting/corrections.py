r"""The information in predictions, sample by sample, and what is done about its bias.

From n samples, the mean p̄ of their predictions is itself an estimate. It lies nearer to them than the true mean, so
the plug-in I = mean KL(p_i ‖ p̄) falls short, on average by :math:`\sum_k \mathrm{Var}(p_k) / (2 n \bar p_k)` and terms
of order 1/n². For one-hot predictions that is Miller and Madow's (K - 1) / (2n); for soft ones it is less, and about
I/n where the information is small. Within strata (classes), n is their number of samples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from samnesia.perturb.errors import ConfigurationError


class Correction(ABC):
    """A way to estimate ``mean_i KL(p_i ‖ mean of p over the stratum of i)``."""

    @abstractmethod
    def pointwise(self, log_p: Tensor, strata: Tensor) -> Tensor:
        """What each sample contributes, in nats, shape [n]; the estimate is the mean.

        Args:
            log_p: log-probabilities [n, outcomes].
            strata: whose mean a sample is compared with: int64 [n], each of 0, 1, … taken at least once.
        """


@final
@dataclass(frozen=True, slots=True)
class PlugIn(Correction):
    """None: ``KL(p_i ‖ p̄)`` as it is. Never negative, at most the logarithm of the samples in the stratum; too low."""

    def pointwise(self, log_p: Tensor, strata: Tensor) -> Tensor:
        """``KL(p_i ‖ p̄)``."""
        means, _ = _means(log_p.exp(), strata)
        return divergence(log_p, _log(means)[strata])


@final
@dataclass(frozen=True, slots=True)
class MillerMadow(Correction):
    """Adds the leading term of the bias, ``Σ_k s²_k / (2 n p̄_k)`` with the sample variance s² of each probability.

    For one-hot predictions it is the correction of Miller (1955); in this form it holds for soft ones, too, where the
    usual (K - 1) / (2n) adds far too much. A stratum of one sample has no variance: it says nothing, and is left at 0.
    """

    def pointwise(self, log_p: Tensor, strata: Tensor) -> Tensor:
        """``KL(p_i ‖ p̄)`` and the sample's share of the correction: its sum over any group of samples is corrected."""
        p = log_p.exp()
        means, counts = _means(p, strata)
        spread = (_means(p.square(), strata)[0] - means.square()).clamp_min(0.0)
        mean, rest = means[strata].clamp_min(_TINY), (counts[strata, None] - 1.0).clamp_min(1.0)
        # what the sample's own part in the mean takes away, less what the variance of the mean adds
        added = p / mean * (p - mean - 0.5 * spread[strata] / mean) / rest
        plug_in = divergence(log_p, _log(means)[strata])
        return plug_in + torch.where(counts[strata] > 1.0, added.sum(1), 0.0)


@final
@dataclass(frozen=True, slots=True)
class SplitHalves(Correction):
    """Twice the plug-in less that of random halves: what falls as 1/n cancels, whatever its factor.

    The halves are drawn `splits` times, by `seed` and the place of a sample, and averaged over.
    """

    splits: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        if self.splits < 1:
            raise ConfigurationError(
                f"cannot correct by splits={self.splits}, because one pair of halves at least is needed; use 16, say"
            )

    def pointwise(self, log_p: Tensor, strata: Tensor) -> Tensor:
        """``2 KL(p_i ‖ p̄) - KL(p_i ‖ p̄ of the half that i is in)``."""
        generator = torch.Generator().manual_seed(self.seed)
        halves = torch.zeros(len(log_p), dtype=log_p.dtype, device=log_p.device)
        for _ in range(self.splits):
            order = torch.randperm(len(strata), generator=generator).to(strata.device)
            halves += PlugIn().pointwise(log_p, _halved(strata, order)) / self.splits
        return 2.0 * PlugIn().pointwise(log_p, strata) - halves


_TINY = torch.finfo(torch.float64).tiny


def divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """``KL(p ‖ q)`` of each row, shape [n]."""
    p = log_p.exp()
    return torch.where(p > 0.0, p * (log_p - log_q), 0.0).sum(1)


def _means(values: Tensor, strata: Tensor) -> tuple[Tensor, Tensor]:
    """Means over strata [strata, outcomes], and how many samples each has."""
    counts = torch.bincount(strata).to(values.dtype)
    sums = values.new_zeros(len(counts), values.shape[1]).index_add_(0, strata, values)
    return sums / counts[:, None], counts


def _log(means: Tensor) -> Tensor:
    return means.clamp_min(_TINY).log()


def _halved(strata: Tensor, order: Tensor) -> Tensor:
    """Strata cut in two, alternately in this order of the samples; one that has a single sample stays whole."""
    sorted_strata, by_stratum = strata[order].sort(stable=True)
    starts = torch.searchsorted(sorted_strata, sorted_strata)  # the first place of each one's stratum
    half = (torch.arange(len(strata), device=strata.device) - starts) % 2
    halves = torch.empty_like(strata)
    halves[order[by_stratum]] = 2 * sorted_strata + half
    numbered: Tensor = halves.unique(return_inverse=True)[1]
    return numbered
