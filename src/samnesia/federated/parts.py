"""What a federated run has beside the training of its clients: the server's optimizer and its average of weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from samnesia.extras import require as package
from samnesia.federated.keys import CONFIG, SAMPLES, WEIGHTS
from samnesia.train.config import SWA
from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    from flwr.serverapp.strategy import Strategy
    from torch import Tensor

    from samnesia.federated.partitions import Indices


@dataclass(frozen=True)
class Partition:
    """Dirichlet-distributed shares of the classes; the smaller alpha, the fewer classes a client has."""

    alpha: float = 0.0
    """Concentration: 0 is one class per client, 100 and more nearly the same mixture for all."""
    sizes: Literal["equal", "drawn"] = "equal"
    """Equal: as many samples for each client, its shares of the classes drawn (Hsu et al., 2020). Drawn: the shares of
    the clients are drawn for each class, so that sizes differ and a client may have no sample (Yurochkin et al., 2019).
    With alpha 0 the classes decide."""

    def __post_init__(self) -> None:
        require(
            0.0 <= self.alpha < math.inf,
            f"cannot divide samples with alpha {self.alpha}, because a concentration is a number of 0 or more; use 0 "
            "for one class per client, or 1000 for nearly equal mixtures",
        )

    def divide(self, labels: Tensor, clients: int, seed: int) -> list[Indices]:
        """Return the numbers of each client's samples: :func:`samnesia.federated.partitions.divide`."""
        from samnesia.federated.partitions import divide

        return divide(self, labels, clients, seed)


@dataclass(frozen=True)
class FedAvg:
    """The average of what the clients send, weighted by their samples (McMahan et al., 2017)."""

    memory: ClassVar[tuple[str, ...]] = ()
    """Where Flower's strategy keeps what it goes on from."""

    def build(self) -> Strategy:
        """Return Flower's strategy of this name, which takes every client that it is shown."""
        kind = getattr(package("flwr.serverapp.strategy", extra="federated"), type(self).__name__)
        strategy: Strategy = kind(
            fraction_train=1.0,
            min_train_nodes=1,
            min_available_nodes=1,
            weighted_by_key=SAMPLES,
            arrayrecord_key=WEIGHTS,
            configrecord_key=CONFIG,
            **self.settings(),
        )
        return strategy

    def settings(self) -> dict[str, Any]:
        """The arguments of Flower's strategy."""
        return {}


@dataclass(frozen=True)
class FedAvgM(FedAvg):
    """A step of SGD with momentum along the average of the clients' changes (Hsu et al., 2019)."""

    memory: ClassVar[tuple[str, ...]] = ("momentum_vector",)

    lr: float = 1.0
    """Learning rate of the server; 1 is the average."""
    momentum: float = 0.9
    """Share of the last change that is repeated, 0 to below 1."""

    def __post_init__(self) -> None:
        _check_rate(self.lr)
        require(
            0.0 <= self.momentum < 1.0,
            f"cannot average with momentum {self.momentum}, because changes would grow without bound; use a value from "
            "0 to below 1",
        )

    def settings(self) -> dict[str, Any]:
        """The arguments of Flower's strategy."""
        return {"server_learning_rate": self.lr, "server_momentum": self.momentum}


@dataclass(frozen=True)
class FedAdagrad(FedAvg):
    """A step of Adagrad along the average of the clients' changes (Reddi et al., 2021)."""

    memory: ClassVar[tuple[str, ...]] = ("m_t", "v_t")

    lr: float = 0.01
    """Learning rate of the server."""
    tau: float = 1e-3
    """Added to the root of the averaged square: how adaptive the step is."""

    def __post_init__(self) -> None:
        _check_rate(self.lr)
        require(
            0.0 < self.tau < math.inf,
            f"cannot step with tau {self.tau}, because it is divided by; use 0.001, say",
        )

    def settings(self) -> dict[str, Any]:
        """The arguments of Flower's strategy."""
        return {"eta": self.lr, "tau": self.tau}


@dataclass(frozen=True)
class FedAdam(FedAdagrad):
    """A step of Adam along the average of the clients' changes (Reddi et al., 2021)."""

    betas: tuple[float, ...] = (0.9, 0.99)
    """Shares of the averages of the change and of its square that stay on each round."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            len(self.betas) == 2 and all(0.0 <= beta < 1.0 for beta in self.betas),
            f"cannot step with betas {self.betas}, because two shares of 0 to below 1 are needed; use 0.9 and 0.99",
        )

    def settings(self) -> dict[str, Any]:
        """The arguments of Flower's strategy."""
        first, second = self.betas
        return {**super().settings(), "beta_1": first, "beta_2": second}


@dataclass(frozen=True)
class FedYogi(FedAdam):
    """A step of Yogi along the average of the clients' changes (Reddi et al., 2021)."""


Server = FedAvg | FedAvgM | FedAdagrad | FedAdam | FedYogi


@dataclass(frozen=True)
class ServerSWA:
    """Stochastic weight averaging on the server, with a learning rate of the clients that falls in cycles.

    Round ``r`` (from 0) of a cycle that began at ``start + i c`` has ``t = ((r - start) mod c + 1) / c`` and the
    learning rate ``(1 - t) lr + t lr_swa``, only where ``c > 1``. The average is the running mean of all weights that
    were taken, the first included (Caldarola et al., ECCV 2022).
    """

    start: int = 75
    """Rounds before the first cycle."""
    cycle: int = 10
    """Rounds of a cycle."""
    lr: float = 1e-4
    """Learning rate of the clients at the end of a cycle."""
    take: Literal["low", "high"] = "low"
    """Which weights are averaged: those at the end of each cycle, where the learning rate is lowest, as SWA intends; or
    those after the first round of each next cycle, where it is highest, as the released code of the paper does."""

    def __post_init__(self) -> None:
        for name, least in (("start", 0), ("cycle", 1)):
            value = getattr(self, name)
            require(
                value >= least,
                f"cannot average on the server with {name} {value}, because it must be {least} or more; change it",
            )
        _check_rate(self.lr)

    def rate(self, round_: int, lr: float) -> float:
        """The learning rate of the clients in a round, where ``lr`` is that without cycles."""
        if round_ < self.start or self.cycle == 1:
            return lr
        t = ((round_ - self.start) % self.cycle + 1) / self.cycle
        return (1.0 - t) * lr + t * self.lr

    @property
    def first(self) -> int:
        """The first round, from 0, whose weights are taken; then those of every ``cycle``-th."""
        return self.start + self.cycle - (self.take == "low")

    def course(self, local_epochs: int) -> SWA:
        """The same course in the epochs of a run."""
        return SWA(start_epoch=float((self.first + 1) * local_epochs - 1), every_epochs=self.cycle * local_epochs)


def _check_rate(lr: float) -> None:
    require(
        0.0 < lr < math.inf,
        f"cannot train with lr {lr}, because a learning rate is a positive number; use 0.01, say",
    )
