"""Two bounds on the loss over new data, as rival measures: Foret's and Kwon's PAC-Bayes-type theorems.

The formulas are given as we read them, and are not verified against the papers (docs/sharpness.md says what is known).
Both assume a loss within [0, 1] and that adding Gaussian noise to the weights does not lower the loss over new data;
with the cross-entropy of a network they are no guarantees, and with millions of weights they are vacuous. They rank.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from samnesia.measure.estimate import plain
from samnesia.measure.sharpness.result import WorstCase
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.parts.ball import L2, Ball, Unscaled
from samnesia.perturb.tensors import Weights

_STATUS = "formula as we read it, unverified"


@dataclass(frozen=True)
class Bound:
    """A bound ``value = perturbed loss + complexity``.

    Attributes:
        name: whose it is.
        loss: highest loss that was found in the ball.
        ratio: what stands for ``‖w‖² / rho²`` in the complexity.
        parameters: how many weights, k.
        samples: how many samples, n.
        rho: the radius.
        delta: the probability with which it may fail.
        norm: ``‖w‖₂``.
        smallest: the smallest entry of T.
        scaled_norm: ``‖T⁻¹ w‖₂``.
        formula: what the ratio is.
    """

    name: str
    loss: float
    ratio: float
    parameters: int
    samples: int
    rho: float
    delta: float
    norm: float
    smallest: float
    scaled_norm: float
    formula: str

    @property
    def complexity(self) -> float:
        """``sqrt((k log(1 + ratio (1 + sqrt(log(n) / k))²) + 4 log(n / delta) + 8 log(6 n + 3 k)) / (n - 1))``."""
        k, n = self.parameters, self.samples
        width = (1.0 + math.sqrt(math.log(n) / k)) ** 2
        sizes = k * math.log1p(self.ratio * width) + 4.0 * math.log(n / self.delta) + 8.0 * math.log(6.0 * n + 3.0 * k)
        return math.sqrt(sizes / (n - 1.0))

    @property
    def value(self) -> float:
        """The bound."""
        return self.loss + self.complexity

    def __str__(self) -> str:
        """The value and its terms."""
        return (
            f"{self.name}: {self.value:.4g} = loss {self.loss:.4g} in the ball + complexity {self.complexity:.4g} "
            f"({_STATUS})\n  {self.formula}\n  k = {self.parameters}, n = {self.samples}, rho = {self.rho:g}, delta = "
            f"{self.delta:g}, ‖w‖₂ = {self.norm:.4g}, min T = {self.smallest:.3g}, ‖T⁻¹w‖₂ = {self.scaled_norm:.4g}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        numbers = {name: plain(value) for name, value in vars(self).items() if name not in ("name", "formula")}
        return {
            "measure": self.name,
            "value": plain(self.value),
            "complexity": plain(self.complexity),
            **numbers,
            "formula": self.formula,
            "status": _STATUS,
        }


def foret_bound(subject: Subject, sharpness: WorstCase, *, delta: float = 0.05) -> Bound:
    r"""The bound of Foret et al. (ICLR 2021, appendix), at the worst case that was found in SAM's ball.

    .. math::
        L_D(w) \le \max_{\lVert e \rVert_2 \le \rho} L_S(w + e) + \sqrt{\frac{k \log\left(1 + \frac{\lVert w
        \rVert_2^2}{\rho^2} \left(1 + \sqrt{\frac{\log n}{k}}\right)^2\right) + 4 \log \frac{n}{\delta} + 8 \log(6n +
        3k)}{n - 1}}

    with k weights and n samples, with probability :math:`1 - \delta`. The last summand is written
    :math:`\tilde O(1)` in the paper.

    Args:
        subject: the one that was measured; its samples count as the training set.
        sharpness: its worst case in an L2 ball without scaling.
        delta: the probability with which the bound may fail.

    Raises:
        ConfigurationError: for another ball, another measure, a radius of 0 or a delta outside of (0, 1).
    """
    found = _bound("Foret's bound", subject, sharpness, delta)
    if not isinstance(sharpness.ball.scaling, Unscaled):
        raise ConfigurationError(
            "cannot take Foret's bound of adaptive sharpness, because its ball is Euclidean; use kwon_bound"
        )
    return replace(found, formula="ratio = ‖w‖² / rho²")


def kwon_bound(subject: Subject, sharpness: WorstCase, *, delta: float = 0.05) -> Bound:
    r"""The bound of Kwon et al. (ICML 2021, ASAM), at the worst case that was found in an adaptive L2 ball.

    .. math:: L_D(w) \le \max_{\lVert T_w^{-1} e \rVert_2 \le \rho} L_S(w + e)
        + h\left(\frac{\lVert w \rVert_2^2}{\eta^2 \rho^2}\right)

    The paper leaves h at "strictly increasing"; here it is Foret's term, and :math:`\eta` the smallest entry of
    :math:`T_w` (at least ASAM's stabilizer, or 1 if nothing is scaled). That much follows from Foret's bound: the ball
    holds the Euclidean one of radius :math:`\eta \rho`. With an eta of 0 it is infinite for nearly every model.
    `scaled_norm`, :math:`\lVert T_w^{-1} w \rVert_2`, is reported beside it; for element-wise scaling without a
    stabilizer it is the root of the number of weights, whatever the model.

    Args:
        subject: the one that was measured; its samples count as the training set.
        sharpness: its worst case in an L2 ball.
        delta: the probability with which the bound may fail.

    Raises:
        ConfigurationError: for an L∞ ball, another measure, a radius of 0 or a delta outside of (0, 1).
    """
    return _bound("Kwon's bound", subject, sharpness, delta)


def _bound(name: str, subject: Subject, sharpness: WorstCase, delta: float) -> Bound:
    _check(subject, sharpness, delta)
    weights, ball = subject.weights, sharpness.ball
    norm, smallest = float(weights.norm(weights.tensors)), _smallest(ball, weights)
    return Bound(
        name=name,
        loss=sharpness.loss + sharpness.value,
        ratio=(norm / (smallest * sharpness.rho)) ** 2 if smallest else math.inf,
        parameters=sum(p.numel() for p in subject.parameters),
        samples=subject.samples,
        rho=sharpness.rho,
        delta=delta,
        norm=norm,
        smallest=smallest,
        scaled_norm=float(ball.measure(weights, weights.tensors)),
        formula="ratio = ‖w‖² / (min T · rho)²",
    )


def _smallest(ball: Ball, weights: Weights) -> float:
    """The smallest entry of T."""
    factors = ball.scaling.factors(weights)
    return min(1.0 if t is None else float(t.min()) for t in factors)


def _check(subject: Subject, sharpness: WorstCase, delta: float) -> None:
    if not isinstance(sharpness, WorstCase) or not isinstance(sharpness.ball.norm, L2) or not sharpness.rho:
        raise ConfigurationError(
            "cannot take a PAC-Bayes bound of this sharpness, because it is at the worst case in an L2 ball of some "
            "radius; give what worst_case returns for an L2 ball and rho > 0"
        )
    if sharpness.samples != subject.samples or subject.samples < 2:
        raise ConfigurationError(
            f"cannot take a PAC-Bayes bound of sharpness over {sharpness.samples} samples for a subject of "
            f"{subject.samples}, because it counts the samples; give the subject that was measured, with two or more"
        )
    if not 0.0 < delta < 1.0:
        raise ConfigurationError(
            f"cannot take a bound that fails with probability delta={delta}, because it is no probability; give 0.05"
        )
