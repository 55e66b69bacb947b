r"""What a hidden layer knows of its input beyond the label: I(X;Z|Y) with noise on the features.

A deterministic layer Z = h(X) of distinct inputs holds as much information as there are samples, whatever it does. So
noise is added, Z = h(X) + s N(0, 1) in each of d dimensions, and what is measured is how well a sample can be told from
the others of its class. With the samples as the distribution of X,

.. math:: I(X;Z|Y) = \sum_y \pi_y \frac1{n_y} \sum_{i \in y} E_\varepsilon\Big[ -\log \frac1{n_y} \sum_{j \in y}
          \exp\big(-\tfrac{\|h_i - h_j\|^2}{2 s^2} - \tfrac{\varepsilon \cdot (h_i - h_j)}{s}\big) \Big]

which is log N(z; h_i, s²) less the logarithm of the class's mean density at z = h_i + s ε, the norming constants (of
all d dimensions) cancelled. It lies between 0 and log n_y. Form and name follow the estimator of Kawaguchi et al. (ICML
2023), whose released code takes the first term for one dimension and evaluates z without its noise (methods.md §13.3);
here both terms are of d dimensions and z carries its noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from samnesia.measure.forgetting.estimators import Estimates, Labels, estimates
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError, UnsupportedError

_NOISE = 1_640_531_527  # keeps away from seeds that features may have been drawn by
_ROWS = 1024  # of pairwise distances that are held at once


def hidden_information(
    features: Tensor,
    labels: Tensor,
    *,
    scale: float | None = None,
    draws: int = 8,
    seed: int = 0,
    groups: Labels | None = None,
) -> Estimates:
    r"""I(X;Z|Y) of features with noise, in nats, and its bounds.

    ``superfluous`` is the estimate (Monte Carlo over the noise). ``lower`` and ``upper`` bound it by pairwise distances
    (Kolchinsky & Tracey, Entropy 2017): Chernoff's :math:`\|h_i - h_j\|^2 / 8 s^2` and Kullback and Leibler's
    :math:`\|h_i - h_j\|^2 / 2 s^2` in the exponent, without noise. ``jensen`` is the coarser bound
    :math:`\mathrm{tr}\,\mathrm{Cov}_y / s^2`, where the logarithm has changed places with the mean.

    Args:
        features: [n, ...], flattened to [n, d].
        labels: classes [n], int64.
        scale: s, the noise; None is :func:`noise_scale` of these features. Values under different scales are of
            different quantities: to compare two sets of weights, give both the same.
        draws: of the noise, for each sample.
        seed: of the noise. One seed gives one noise for all features of a shape and of these labels, so that
            differences have little of it.
        groups: of samples; see :func:`samnesia.measure.information`.

    Raises:
        ConfigurationError: for labels or groups that do not fit, a scale that is no positive number, or no draws.
    """
    features = _flat(features, labels)
    scale = noise_scale(features, labels) if scale is None else scale
    return estimates(hidden_pointwise(features, labels, scale=scale, draws=draws, seed=seed), labels, groups)


def noise_scale(features: Tensor, labels: Tensor, nats: float = 1.0) -> float:
    r"""The noise s at which at most so many nats pass (by the bound ``jensen``): :math:`\sqrt{\mathrm{tr\,Cov}/nats}`.

    It is in units of the spread of the features within their classes, whatever their number, and keeps the information
    away from log n_y, where it could not fall any more. 1 where features do not depend on the sample, to rounding.
    """
    return spread(features, labels) / math.sqrt(nats) or 1.0


def spread(features: Tensor, labels: Tensor) -> float:
    """The root of tr Cov of the features within their classes; 0 where it is no more than their rounding."""
    rounding = torch.finfo(features.dtype).eps if features.is_floating_point() else 0.0
    features, squares = _flat(features, labels), 0.0
    for members in _members(labels):
        squares += float((features[members] - features[members].mean(0)).square().sum())
    found = math.sqrt(squares / len(features))
    return found if found > 8.0 * rounding * math.sqrt(float(features.square().sum()) / len(features)) else 0.0


def hidden_pointwise(features: Tensor, labels: Tensor, *, scale: float, draws: int, seed: int) -> dict[str, Tensor]:
    """What each sample contributes, [n] by name: see :func:`hidden_information`."""
    if not 0.0 < scale < math.inf or draws < 1:
        raise ConfigurationError(
            f"cannot measure a hidden layer with noise of scale {scale} in {draws} draws, because the scale has to be "
            "a positive number and the draws one or more; leave both out for the defaults"
        )
    features = _flat(features, labels) / scale
    found = {
        name: torch.zeros(len(features), dtype=torch.float64) for name in ("superfluous", "lower", "upper", "jensen")
    }
    generators = [np.random.default_rng((_NOISE + seed, draw)) for draw in range(draws)]  # rows may be cut anywhere
    for members in _members(labels):
        theirs = features[members] - features[members].mean(0)  # the same, with fewer digits lost
        for rows in torch.arange(len(members)).split(_ROWS):
            at, own = members[rows], theirs[rows]
            half = 0.5 * torch.cdist(own, theirs, compute_mode="donot_use_mm_for_euclid_dist").square()
            found["lower"][at] = -_log_mean_exp(-0.25 * half)
            found["upper"][at] = -_log_mean_exp(-half)
            found["jensen"][at] = half.mean(1)
            for generator in generators:  # never all noise at once: that would be draws times as much as the features
                drawn = torch.from_numpy(generator.standard_normal(own.shape))
                shift = (own * drawn).sum(1, keepdim=True) - drawn @ theirs.T
                found["superfluous"][at] -= _log_mean_exp(-half - shift) / draws
    return found


def hidden_features(subject: Subject, layer: str) -> tuple[Tensor, Tensor]:
    """What a layer puts out for all samples of a subject, [n, d], and their classes, [n]; on the CPU.

    Args:
        subject: model and samples.
        layer: the name of a module of the model, as in ``model.named_modules()``.

    Raises:
        ConfigurationError: for a name that no module has, or that is not called in a forward.
        UnsupportedError: for a layer that puts out no single tensor with the samples first.
    """
    found, classes = [], []
    with subject.looking(), torch.no_grad(), captured(subject.model, layer) as seen:
        for inputs, targets in subject.batches():
            subject.model(inputs)
            found.append(taken(seen, len(targets), layer))
            classes.append(targets.cpu())
    return torch.cat(found), torch.cat(classes)


@contextmanager
def captured(model: nn.Module, layer: str | None) -> Iterator[list[Any]]:
    """A list that the outputs of a module, if one is named, are added to, as long as the context lasts."""
    if layer is None:
        yield []
        return
    modules = dict(model.named_modules())
    if layer not in modules:
        known = get_close_matches(layer, modules, n=1)
        advice = f"did you mean {known[0]!r}?" if known else "model.named_modules() names them"
        raise ConfigurationError(f"cannot look at the layer {layer!r}, because the model has no such module; {advice}")
    seen: list[Any] = []
    handle = modules[layer].register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    try:
        yield seen
    finally:
        handle.remove()


def taken(seen: list[Any], samples: int, layer: str) -> Tensor:
    """The one output that was captured in a forward, as [samples, d] on the CPU; the list is emptied."""
    outputs, seen[:] = list(seen), []
    if len(outputs) != 1:
        raise ConfigurationError(
            f"cannot look at the layer {layer!r}, because a forward calls it {len(outputs)} times where one output per "
            "sample is needed; name another"
        )
    if not isinstance(outputs[0], Tensor) or outputs[0].shape[:1] != (samples,):
        raise UnsupportedError(
            f"cannot look at the layer {layer!r}, because it does not put out one tensor with the samples first; name "
            "another"
        )
    flat: Tensor = outputs[0].detach().flatten(1).cpu() if outputs[0].ndim > 1 else outputs[0].detach()[:, None].cpu()
    return flat


def _flat(features: Tensor, labels: Tensor) -> Tensor:
    if features.ndim < 1 or not len(features) or labels.shape != features.shape[:1] or labels.is_floating_point():
        raise ConfigurationError(
            f"cannot measure features of shape {list(features.shape)} with labels {labels.dtype} of shape "
            f"{list(labels.shape)}, because each sample requires one class; give int64 [n]"
        )
    return features.detach().reshape(len(features), -1).double().cpu()


def _members(labels: Tensor) -> list[Tensor]:
    labels = labels.cpu()
    return [(labels == label).nonzero()[:, 0] for label in labels.unique()]


def _log_mean_exp(values: Tensor) -> Tensor:
    """Over the last dimension."""
    return values.logsumexp(-1) - math.log(values.shape[-1])
