"""Problems that tell apart what a plain network cannot: one with normalization parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.oracles import Criterion, Problem, Vector

LAYER_NORM_EPS = 1e-5  # of torch.nn.LayerNorm


@dataclass(frozen=True)
class Normalized(Problem):
    """Logits = W2 tanh(c * z_hat + d) + b2 with z = W1 x + b1 and z_hat = (z - mean) / sqrt(var + 1e-5) per sample.

    Parameters in the order W1, b1, c, d, W2, b2; c and d are those of torch.nn.LayerNorm(hidden).
    """

    def forward(self, w: Vector, x: Vector) -> tuple[Vector, Vector]:
        hidden = self._inner(w, x)[2]
        return hidden, hidden @ self.tensors(w)[4].T + self.tensors(w)[5]

    def value(self, w: Vector, criterion: Criterion, x: Vector, y: Vector) -> float:
        return criterion(self.forward(w, x)[1], y)[0]

    def gradient(self, w: Vector, criterion: Criterion, x: Vector, y: Vector) -> Vector:
        """d is dL/dlogits, d_u that of c * z_hat + d; dz = (d_n - mean d_n - z_hat mean(d_n z_hat)) / deviation."""
        scale, head = self.tensors(w)[2], self.tensors(w)[4]
        normal, deviation, hidden = self._inner(w, x)
        d = criterion(self.forward(w, x)[1], y)[1]
        d_u = d @ head * (1 - hidden**2)
        d_n = d_u * scale
        d_z = (d_n - d_n.mean(1, keepdims=True) - normal * (d_n * normal).mean(1, keepdims=True)) / deviation
        parts = [d_z.T @ x, d_z.sum(0), (d_u * normal).sum(0), d_u.sum(0), d.T @ hidden, d.sum(0)]
        return np.concatenate([part.ravel() for part in parts])

    def _inner(self, w: Vector, x: Vector) -> tuple[Vector, Vector, Vector]:
        """z_hat, its divisor, and the hidden units."""
        w1, b1, scale, shift, _, _ = self.tensors(w)
        z = x @ w1.T + b1
        deviation = np.sqrt(z.var(1, keepdims=True) + LAYER_NORM_EPS)
        normal = (z - z.mean(1, keepdims=True)) / deviation
        return normal, deviation, np.tanh(scale * normal + shift)


def normalized(inputs: int, hidden: int, classes: int) -> Normalized:
    """Two fully connected layers with a layer normalization between them; parameters named as in PyTorch."""
    names = ("first.weight", "first.bias", "norm.weight", "norm.bias", "second.weight", "second.bias")
    return Normalized(names, ((hidden, inputs), (hidden,), (hidden,), (hidden,), (classes, hidden), (classes,)))
