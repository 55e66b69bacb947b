"""What every implementation is given: a small net in float64, its first weights, batches, SGD with momentum.

NumPy only, so that environments without samnesia can read it.

A peer answers with its last weights: the parameters in the order of SHAPES, each flat.
"""

import numpy as np

STEPS, LR, DECAY, MOMENTUM = 6, 0.1, 0.8, 0.9
SHAPES = {"0.weight": (8, 4), "0.bias": (8,), "2.weight": (3, 8), "2.bias": (3,)}
"""Linear, tanh, linear; outputs x W' + b, trained by softmax cross-entropy."""


def weights() -> dict[str, np.ndarray]:
    """The first weights."""
    generator = np.random.default_rng(1)
    return {name: 0.5 * generator.normal(size=shape) for name, shape in SHAPES.items()}


def batches() -> list[tuple[np.ndarray, np.ndarray]]:
    """One batch of 8 per step: features [8, 4] and classes [8]."""
    generator = np.random.default_rng(2)
    return [(generator.normal(size=(8, 4)), generator.integers(3, size=8)) for _ in range(STEPS)]


def rates() -> list[float]:
    """The learning rate of each step."""
    return [LR * DECAY**step for step in range(STEPS)]
