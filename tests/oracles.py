"""Slow, obvious versions of every method, on one flat float64 vector, in NumPy alone.

They are written from the papers and share no code with the library, so that agreement means something. Gradients are
derived by hand. A method is a `Method`: a set of plain functions, one per rule of its paper, each of which a test may
replace by a wrong one (mutations.py) to see that a comparison notices.

Notation: w weights, g gradient of what the ascent increases at w, epsilon the perturbation, g_p gradient of the
training loss at w + epsilon, T the normalisation operator of ASAM, p probabilities, y targets, u = 1/K.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

EPSILON = 1e-12
Vector = np.ndarray
Criterion = Callable[[Vector, Vector], tuple[float, Vector]]  # (logits, targets) -> value, gradient for the logits


# ---------------------------------------------------------------------------------------------------------- problems
@dataclass(frozen=True)
class Problem:
    """Names and shapes of the parameters, in the order in which the flat vector holds them."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @property
    def slices(self) -> tuple[slice, ...]:
        ends = np.cumsum([int(np.prod(shape)) for shape in self.shapes])
        return tuple(slice(end - int(np.prod(shape)), end) for end, shape in zip(ends, self.shapes, strict=True))

    @property
    def size(self) -> int:
        return self.slices[-1].stop

    def tensors(self, w: Vector) -> list[Vector]:
        """Cut the flat vector into the parameters, each in its shape."""
        return [w[part].reshape(shape) for part, shape in zip(self.slices, self.shapes, strict=True)]


@dataclass(frozen=True)
class Quadratic(Problem):
    """L(w) = w'Hw / 2 - b'w with b the mean of the batch's rows. Gradient Hw - b; criterion and targets are unused."""

    hessian: Vector

    def value(self, w: Vector, criterion: Criterion, x: Vector, y: Vector) -> float:
        return float(w @ self.hessian @ w / 2 - x.mean(0) @ w)

    def gradient(self, w: Vector, criterion: Criterion, x: Vector, y: Vector) -> Vector:
        return self.hessian @ w - x.mean(0)


@dataclass(frozen=True)
class Network(Problem):
    """Logits = W2 tanh(W1 x + b1) + b2, parameters in the order W1, b1, W2, b2.

    W1 may have more than two dimensions: [h, 1, 2, 2] is a convolution whose filter covers its whole 2 x 2 input.
    """

    def forward(self, w: Vector, x: Vector) -> tuple[Vector, Vector]:
        w1, b1, w2, b2 = self.tensors(w)
        hidden = np.tanh(x @ w1.reshape(len(w1), -1).T + b1)
        return hidden, hidden @ w2.T + b2

    def value(self, w: Vector, criterion: Criterion, x: Vector, y: Vector) -> float:
        return criterion(self.forward(w, x)[1], y)[0]

    def gradient(self, w: Vector, criterion: Criterion, x: Vector, y: Vector) -> Vector:
        """Back-propagation by hand: d is dL/dlogits, then dW2 = d'a, da = d W2, dz = da (1 - a^2), dW1 = dz'x."""
        hidden, logits = self.forward(w, x)
        d = criterion(logits, y)[1]
        d_z = d @ self.tensors(w)[2] * (1 - hidden**2)
        return np.concatenate([(d_z.T @ x).ravel(), d_z.sum(0), (d.T @ hidden).ravel(), d.sum(0)])


def mlp(inputs: int, hidden: int, classes: int) -> Network:
    """Two fully connected layers."""
    names = ("first.weight", "first.bias", "second.weight", "second.bias")
    return Network(names, ((hidden, inputs), (hidden,), (classes, hidden), (classes,)))


def convolution(filters: int, classes: int) -> Network:
    """A convolution of one 2 x 2 channel, then a fully connected layer: filter-wise and element-wise scaling meet."""
    names = ("conv.weight", "conv.bias", "head.weight", "head.bias")
    return Network(names, ((filters, 1, 2, 2), (filters,), (classes, filters), (classes,)))


# ---------------------------------------------------------------------------------------------------------- criteria
def softmax(logits: Vector) -> Vector:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def sigmoid(logits: Vector) -> Vector:
    return 1 / (1 + np.exp(-logits))


def distribution(targets: Vector, classes: int) -> Vector:
    """Class indices become one-hot rows; soft labels stay."""
    return np.eye(classes)[targets] if targets.ndim == 1 else targets


def divergence(p: Vector, y: Vector, link: Callable[[Vector], Vector]) -> Vector:
    """CE(p, y) per sample: -sum y log p for softmax, the sum of K binary cross-entropies for sigmoid."""
    positive = -(y * np.log(p)).sum(1)
    return positive - ((1 - y) * np.log(1 - p)).sum(1) if link is sigmoid else positive


def likelihood(link: Callable[[Vector], Vector]) -> Criterion:
    """CE(p, y), mean over the batch. Gradient for the logits: (p - y) / n, for either link."""

    def criterion(logits: Vector, targets: Vector) -> tuple[float, Vector]:
        p, y = link(logits), distribution(targets, logits.shape[1])
        return float(divergence(p, y, link).mean()), (p - y) / len(p)

    return criterion


cross_entropy = likelihood(softmax)
binary_cross_entropy = likelihood(sigmoid)


def obf_alpha(p: Vector, y: Vector, threshold: float | None, gamma: float) -> Vector:
    """Vani et al. 2024: alpha = gamma max(0, (1 - lambda/p_y) / (1 - lambda)), p_y = sum_k y_k p_k, lambda 1/K."""
    lam = 1 / p.shape[1] if threshold is None else threshold
    p_y = (y * p).sum(1, keepdims=True)
    return gamma * np.maximum(0, (1 - lam / p_y) / (1 - lam))


def obf(
    *,
    threshold: float | None = None,
    gamma: float = 1.0,
    link: Callable[[Vector], Vector] = softmax,
    alpha: Callable[..., Vector] = obf_alpha,
) -> Criterion:
    """Output-bias forgetting (Vani et al. 2024): maximise (1 - alpha) CE(p, y) - CE(p, u), alpha held constant.

    Its gradient for the logits of one sample is u - alpha p - (1 - alpha) y, for softmax and for sigmoid.
    """

    def criterion(logits: Vector, targets: Vector) -> tuple[float, Vector]:
        p, y = link(logits), distribution(targets, logits.shape[1])
        u = np.full_like(p, 1 / p.shape[1])
        a = alpha(p, y, threshold, gamma)
        value = (1 - a[:, 0]) * divergence(p, y, link) - divergence(p, u, link)
        return float(value.mean()), (u - a * p - (1 - a) * y) / len(p)

    return criterion


# ------------------------------------------------------------------------------------------------------ perturbations
Perturb = Callable[[Vector, Vector, Vector, Problem], Vector]  # (w, g, rho, problem) -> epsilon; rho one per entry


def norm(v: Vector) -> float:
    """The 2-norm over all parameters jointly."""
    return float(np.sqrt((v * v).sum()))


def sam(w: Vector, g: Vector, rho: Vector, problem: Problem) -> Vector:
    """Foret et al. 2021, first-order solution: epsilon = rho g / ||g||. With groups rho differs, the norm does not."""
    return rho * g / (norm(g) + EPSILON)


def element(tensor: Vector) -> Vector:
    """Kwon et al. 2021: |w_i|."""
    return np.abs(tensor)


def filter_wise(tensor: Vector) -> Vector:
    """Kwon et al. 2021: ||f_j|| for every entry of convolution filter j, |w_i| for weights that are no convolution."""
    if tensor.ndim < 3:
        return np.abs(tensor)
    return np.stack([np.full(filter_j.shape, norm(filter_j)) for filter_j in tensor])


def layer(tensor: Vector) -> Vector:
    """||W|| for every entry of the tensor."""
    return np.full(tensor.shape, norm(tensor))


def normaliser(
    w: Vector, problem: Problem, eta: float, scaling: Callable[[Vector], Vector] = element, scaled: str = "weight"
) -> Vector:
    """Kwon et al. 2021: T_w + eta I as a flat diagonal; 1 where the parameter's name does not contain 'weight'."""
    parts = []
    for name, tensor in zip(problem.names, problem.tensors(w), strict=True):
        normalised = scaled == "all" or "weight" in name
        parts.append((scaling(tensor) + eta if normalised else np.ones(tensor.shape)).ravel())
    return np.concatenate(parts)


def asam(*, eta: float = 0.01, scaling: Callable[[Vector], Vector] = element, scaled: str = "weight") -> Perturb:
    """Kwon et al. 2021, p = 2: epsilon = rho T^2 g / ||T g||, so that ||T^-1 epsilon|| = rho."""

    def perturb(w: Vector, g: Vector, rho: Vector, problem: Problem) -> Vector:
        t = normaliser(w, problem, eta, scaling, scaled)
        return rho * t**2 * g / (norm(t * g) + EPSILON)

    return perturb


def linf(*, eta: float | None = None) -> Perturb:
    """Kwon et al. 2021, p = infinity: epsilon = rho T sign(g); T = 1 without eta."""

    def perturb(w: Vector, g: Vector, rho: Vector, problem: Problem) -> Vector:
        t = np.ones_like(w) if eta is None else normaliser(w, problem, eta)
        return rho * t * np.sign(g)

    return perturb


def after_norm(w: Vector, g: Vector, rho: Vector, problem: Problem) -> Vector:
    """Vani et al. 2024, their ViT runs: epsilon = rho |w| g / ||g||, one factor, after the norm, all parameters."""
    return rho * np.abs(w) * g / (norm(g) + EPSILON)


def before_norm(w: Vector, g: Vector, rho: Vector, problem: Problem) -> Vector:
    """Vani et al. 2024, their ResNet runs: epsilon = rho |w| g / || |w| g ||, one factor, before the norm."""
    return rho * np.abs(w) * g / (norm(np.abs(w) * g) + EPSILON)


def none(w: Vector, g: Vector, rho: Vector, problem: Problem) -> Vector:
    """No perturbation: the base optimizer."""
    return np.zeros_like(w)


def ascend(
    w: Vector, gradient: Callable[[Vector], Vector], perturb: Perturb, rho: Vector, steps: int, problem: Problem
) -> Vector:
    """w + epsilon after k steps of radius rho / k, with T of the starting weights and the gradient anew each time."""
    at = w
    for _ in range(steps):
        at = at + perturb(w, gradient(at), rho / steps, problem)
    return at


# -------------------------------------------------------------------------------------------------------------- rules
Combine = Callable[[Vector, Vector, Problem], Vector]  # (g, g_p, problem) -> direction of the step


def perturbed(g: Vector, g_p: Vector, problem: Problem) -> Vector:
    """Foret et al. 2021: step with g_p, the second-order term dropped."""
    return g_p


def orthogonal(a: Vector, b: Vector) -> Vector:
    """The part of a that is orthogonal to b: a - (<a, b> / ||b||^2) b."""
    return a - (a @ b) / (b @ b) * b


def raw(g: Vector) -> Vector:
    return g


def normalized(g: Vector) -> Vector:
    """Vani et al. 2024, 'normalized backup': the unit vector g / ||g|| stands for g."""
    return g / (norm(g) + EPSILON)


def gsam(*, alpha: float, backup: Callable[[Vector], Vector] = raw) -> Combine:
    """Zhuang et al. 2022: g_p - alpha g_perp, g_perp = g - (<g, g_p> / ||g_p||^2) g_p, over all parameters jointly."""

    def combine(g: Vector, g_p: Vector, problem: Problem) -> Vector:
        return g_p - alpha * orthogonal(backup(g), g_p)

    return combine


def by_size(sizes: Sequence[int]) -> list[float]:
    """Foret et al. 2021, m-sharpness: chunk i has its own epsilon_i; the update is sum_i (n_i / N) of the chunks'."""
    return [n / sum(sizes) for n in sizes]


# -------------------------------------------------------------------------------------------------------------- radii
Radius = Callable[[Vector], Vector]  # learning rate per entry -> rho per entry


def constant(rho: float | Vector) -> Radius:
    return lambda lr: rho * np.ones_like(lr)


def proportional_to_lr(rho_min: float, rho_max: float, lr_min: float, lr_max: float) -> Radius:
    """Zhuang et al. 2022: rho_min + (rho_max - rho_min)(lr - lr_min)/(lr_max - lr_min); rho_max if the lr are equal.

    Clipped at 0 from below (Vani et al. 2024), which acts in a warm-up that starts under lr_min.
    """

    def radius(lr: Vector) -> Vector:
        if lr_max == lr_min:
            return np.full_like(lr, rho_max)
        return np.maximum(0, rho_min + (rho_max - rho_min) * (lr - lr_min) / (lr_max - lr_min))

    return radius


# --------------------------------------------------------------------------------------------------- base optimizers
State = dict[str, Any]
Optimizer = Callable[[Vector, Vector, State, Vector], tuple[Vector, State]]  # (w, g, state, lr) -> w, state


def sgd(*, momentum: float = 0.0, weight_decay: float | Vector = 0.0) -> Optimizer:
    """Heavy ball as in PyTorch: d = g + decay w; v = d at first, then mu v + d; w - lr v."""

    def step(w: Vector, g: Vector, state: State, lr: Vector) -> tuple[Vector, State]:
        d = g + weight_decay * w
        v = momentum * state["v"] + d if state else d
        return w - lr * v, {"v": v}

    return step


def adamw(
    *, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float | Vector = 0.0
) -> Optimizer:
    """Loshchilov and Hutter 2019: w (1 - lr decay), then - lr m_hat / (sqrt(v_hat) + eps), moments bias-corrected."""

    def step(w: Vector, g: Vector, state: State, lr: Vector) -> tuple[Vector, State]:
        t, m, v = (state["t"] + 1, state["m"], state["v"]) if state else (1, np.zeros_like(w), np.zeros_like(w))
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
        w = w * (1 - lr * weight_decay)
        return w - lr * m_hat / (np.sqrt(v_hat) + eps), {"t": t, "m": m, "v": v}

    return step


# ------------------------------------------------------------------------------------------------------------- driver
@dataclass(frozen=True)
class Method:
    """The rules of one method. `noise`, one vector per chunk and step, stands where the ascent's gradient stands."""

    perturb: Perturb = sam
    rho: Radius = constant(0.1)
    objective: Criterion | None = None  # what the ascent increases; None: the training loss
    backed_up: Callable[[Criterion, Criterion], Criterion] = lambda objective, loss: objective  # whose gradient is g
    ascend: Callable[..., Vector] = ascend
    combine: Combine = perturbed
    share: Callable[[Sequence[int]], list[float]] = by_size
    restored: Callable[[Vector, Vector], Vector] = lambda w, w_p: w  # where the base optimizer steps from
    steps: int = 1
    chunk: int | None = None  # m of m-sharpness; None: the batch
    noise: Sequence[Vector] | None = None
    when: Callable[[int], bool] = lambda step: True


def update(
    problem: Any, w: Vector, x: Vector, y: Vector, method: Method, loss: Criterion, rho: Vector, noise: Iterator[Vector]
) -> tuple[Vector, Vector]:
    """The method's gradient for one batch, and the weights from which the base optimizer steps."""
    objective = method.objective or loss
    size = method.chunk or len(x)
    chunks = [(x[i : i + size], y[i : i + size]) for i in range(0, len(x), size)]
    result, start = np.zeros_like(w), w
    for share, (x_i, y_i) in zip(method.share([len(x_i) for x_i, _ in chunks]), chunks, strict=True):

        def ascent_gradient(at: Vector, x_i: Vector = x_i, y_i: Vector = y_i) -> Vector:
            return problem.gradient(at, objective, x_i, y_i) if method.noise is None else next(noise)

        w_p = method.ascend(w, ascent_gradient, method.perturb, rho, method.steps, problem)
        g = problem.gradient(w, method.backed_up(objective, loss), x_i, y_i)
        g_p = problem.gradient(w_p, loss, x_i, y_i)
        result, start = result + share * method.combine(g, g_p, problem), method.restored(w, w_p)
    return result, start


def train(
    problem: Any,
    w: Vector,
    batches: Sequence[tuple[Vector, Vector]],
    method: Method,
    optimizer: Optimizer,
    *,
    loss: Criterion = cross_entropy,
    lr: Callable[[int], float | Vector],
) -> list[Vector]:
    """Train from w, one step per batch; the flat weights after each step. `lr` maps the step to one rate per entry."""
    state: State = {}
    noise = iter(method.noise or ())
    trajectory = []
    for step, (x, y) in enumerate(batches):
        rates = lr(step) * np.ones_like(w)
        active = method if method.when(step) else replace(method, perturb=none, combine=perturbed, noise=None)
        g, start = update(problem, w, x, y, active, loss, method.rho(rates), noise)
        w, state = optimizer(start, g, state, rates)
        trajectory.append(w)
    return trajectory
