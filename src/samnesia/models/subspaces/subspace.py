"""A net that is trained along a subspace of weights: any module, each of whose weights becomes n endpoints.

::

    subspace = Subspace.of(lambda: resnet(), Line(beta=1.0))   # two nets, initialised by themselves
    optimizer = torch.optim.SGD(subspace.parameters(), lr=0.1, momentum=0.9)
    for x, y in loader:
        subspace.draw()                                        # one place for the step: all its passes stand there
        loss = F.cross_entropy(subspace(x), y) + subspace.penalty()
        ...
    midpoint = subspace.net()                                  # a plain net; estimate its BatchNorm statistics anew

Wortsman et al., "Learning Neural Network Subspaces" (ICML 2021), algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _NormBase

from samnesia.models.subspaces.shapes import AnyShape, Position
from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.modules import parameters_kept


class Subspace(nn.Module):
    """The nets between endpoints of one shape, as one module.

    In training a forward computes with the weights at the place that :meth:`draw` drew, in evaluation with those at the
    centre; within :meth:`at`, both compute where that says. The gradient of endpoint i is ``share_i`` times that of the
    weights in between. Buffers (BatchNorm's statistics) are the first endpoint's, whose forward is run; the other
    endpoints hold parameters and nothing else. Frozen parameters are the first endpoint's too.

    Args:
        nets: the endpoints: modules of one architecture, each with initial weights of its own.
        shape: what they span.

    Raises:
        ConfigurationError: for nets of another number than the shape has endpoints, of different parameters, that share
            tensors, or that start from equal weights.
    """

    def __init__(self, nets: Sequence[nn.Module], shape: AnyShape) -> None:
        super().__init__()
        self.shape = shape
        trained = [_trained(net) for net in nets]
        _check(trained, shape)
        for net in nets[1:]:
            _hold_parameters_only(net)
        self.endpoints = nn.ModuleList(nets)
        self._names = list(trained[0])
        # where each endpoint keeps a weight: asked anew in every forward, because others may put tensors in its place
        self._owners = [[_owner(net, name) for name in self._names] for net in nets]
        layers = [name.rpartition(".")[0] for name in self._names]
        places = {layer: i for i, layer in enumerate(dict.fromkeys(layers))}
        self._place_of = [places[layer] if shape.layerwise else 0 for layer in layers]
        self._repeated = len(list(nets[0].modules())) < len(list(nets[0].named_modules(remove_duplicate=False)))
        # on the CPU and in double precision whatever the weights are: no part of the model's state
        self._centre = torch.tensor(shape.centre, dtype=torch.float64).expand(max(self._place_of) + 1, -1)
        self._drawn = self._centre.clone()
        self._pair = (0, 1)
        self._ready, self._fixed = False, False

    @classmethod
    def of(cls, build: Callable[[], nn.Module], shape: AnyShape) -> Subspace:
        """The subspace between as many nets as the shape has endpoints, each built, and so initialised, by itself."""
        return cls([build() for _ in range(shape.endpoints)], shape)

    def draw(self, generator: torch.Generator | None = None) -> None:
        """Draw the place of the next step, and the pair of endpoints that its penalty drives apart.

        Call it once before each step, before its passes: a method's passes differentiate one and the same net then.

        Args:
            generator: of the CPU; None is torch's global one. On several processes it has to be in the same state.
        """
        places, ends = len(self._drawn), self.shape.endpoints
        uniform = torch.rand(places, self.shape.numbers(), dtype=torch.float64, generator=generator)
        self._drawn.copy_(self.shape.drawn(uniform))
        first = int(torch.randint(ends, (), generator=generator))
        second = int(torch.randint(ends - 1, (), generator=generator))
        self._pair = (first, second + (second >= first))
        self._ready = True

    @property
    def position(self) -> Tensor:
        """The shares of the last place that was drawn, float64 ``[places, endpoints]``: one place, or one per layer."""
        return self._drawn.clone()

    @property
    def pair(self) -> tuple[int, int]:
        """The endpoints that the penalty is about."""
        return self._pair

    @contextmanager
    def at(self, position: Position | None = None) -> Iterator[None]:
        """In training and evaluation stand at this position; None is the centre. Then all is as it was."""
        shares = self.shape.centre if position is None else self.shape.shares(position)
        before = self._drawn.clone(), self._fixed
        self._drawn.copy_(torch.tensor(shares, dtype=torch.float64).expand_as(self._drawn))
        self._fixed = True
        try:
            yield
        finally:
            self._drawn.copy_(before[0])
            self._fixed = before[1]

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """What the net with the weights of the place says.

        Raises:
            ConfigurationError: in training, before a place is drawn.
        """
        net = self.endpoints[0]
        with parameters_kept(net) if self._repeated else nullcontext():
            return functional_call(net, self.weights(), inputs, options)

    def weights(self) -> dict[str, Tensor]:
        """The weights ``sum_i share_i * w_i`` of the place, by their names in the net; differentiable.

        Raises:
            ConfigurationError: in training, before a place is drawn.
        """
        return dict(zip(self._names, self._mixed(self._where()), strict=True))

    def _where(self) -> Tensor:
        if self._fixed:
            return self._drawn
        if not self.training:
            return self._centre
        if not self._ready:
            raise ConfigurationError(
                f"cannot train along {self.shape.called} before a place is drawn, because every step stands at one; "
                "call draw() before the passes of each step"
            )
        return self._drawn

    def _mixed(self, shares: Tensor) -> list[Tensor]:
        of_place = [row.unbind() for row in shares.unbind()]
        mixed = []
        for index, place in enumerate(self._place_of):
            first, *rest = (_weight(owners[index]) for owners in self._owners)
            value = first * of_place[place][0]
            for weight, share in zip(rest, of_place[place][1:], strict=True):
                value = torch.add(value, weight * share)
            mixed.append(value)
        return mixed

    def penalty(self) -> Tensor:
        """``beta * cos^2`` of the angle between the drawn pair of endpoints: a scalar to add to the loss.

        Of all matrices (weights with two dimensions or more: convolutions and linear layers, not normalization or
        biases), each endpoint's as one vector.
        """
        return self.shape.beta * self.squared_cosine(*self._pair)

    def squared_cosine(self, first: int, second: int) -> Tensor:
        """The squared cosine of the angle between two endpoints, of all matrices: a scalar from 0 to 1."""
        one, other = self._vector(first), self._vector(second)
        return (one @ other).square() / ((one @ one) * (other @ other))

    def _vector(self, end: int) -> Tensor:
        weights = [_weight(owner) for owner in self._owners[end]]
        matrices = [weight.flatten() for weight in weights if weight.ndim >= 2]
        return torch.cat(matrices or [weight.flatten() for weight in weights])

    @torch.no_grad()
    def net(self, position: Position | None = None) -> nn.Module:
        """Return a plain net with the weights at a position; None is the centre.

        Its buffers are those of the subspace. BatchNorm's statistics are right where they were estimated, at the place
        that training left them or the last one that was estimated: estimate them anew
        (``torch.optim.swa_utils.update_bn``).
        """
        with self.at(position):
            weights = self.weights()
        net = deepcopy(self.endpoints[0])
        own = dict(net.named_parameters())
        for name, weight in weights.items():
            own[name].copy_(weight)
        return net

    def extra_repr(self) -> str:
        """Say the shape where the module is printed."""
        return repr(self.shape)


@dataclass(frozen=True)
class Penalised:
    """A criterion with the penalty of a subspace added: the training loss that methods perturb."""

    criterion: Callable[[Any, Any], Tensor]
    subspace: Subspace

    def __call__(self, output: Any, target: Any) -> Tensor:
        """The loss of an output, plus the penalty of the endpoints."""
        return self.criterion(output, target) + self.subspace.penalty()


def _trained(net: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in net.named_parameters() if parameter.requires_grad}


def _check(trained: Sequence[dict[str, nn.Parameter]], shape: AnyShape) -> None:
    if len(trained) != shape.endpoints:
        raise ConfigurationError(
            f"cannot span {shape.called} between {len(trained)} nets, because it has {shape.endpoints} endpoints; give "
            "as many nets"
        )
    first = trained[0]
    if not first:
        raise ConfigurationError(
            f"cannot span {shape.called} between nets without trained parameters, because they would be one net; "
            "unfreeze some (requires_grad_(True))"
        )
    for number, other in enumerate(trained[1:], 1):
        if {n: p.shape for n, p in first.items()} != {n: p.shape for n, p in other.items()}:
            raise ConfigurationError(
                f"cannot span {shape.called} between endpoints 0 and {number}, because their trained parameters have "
                "other names or shapes; build all endpoints by the same function"
            )
    tensors = [parameter for one in trained for parameter in one.values()]
    if len({id(tensor) for tensor in tensors}) < len(tensors):
        raise ConfigurationError(
            f"cannot span {shape.called} between nets that share tensors, because each endpoint moves by itself; build "
            "each net anew"
        )
    for number, other in enumerate(trained[1:], 1):
        if all(torch.equal(parameter, other[name]) for name, parameter in first.items()):
            raise ConfigurationError(
                f"cannot span {shape.called} between endpoints that start equal, as endpoints 0 and {number} do, "
                "because there would be nothing between them; initialise each by itself, not from one file"
            )


def _hold_parameters_only(net: nn.Module) -> None:
    """Leave an endpoint that is never run what is trained; its modules stay, because methods ask for their kinds."""
    for module in net.modules():
        module._buffers = dict.fromkeys(module._buffers)
        if isinstance(module, _NormBase):
            module.track_running_stats = False  # nothing is there to be reset
        for name, parameter in module._parameters.items():
            if parameter is not None and not parameter.requires_grad:
                module._parameters[name] = None


def _owner(net: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, attribute = name.rpartition(".")
    return net.get_submodule(path), attribute


def _weight(owner: tuple[nn.Module, str]) -> Tensor:
    module, name = owner
    weight = module._parameters[name]
    assert weight is not None  # trained parameters are there
    return weight
