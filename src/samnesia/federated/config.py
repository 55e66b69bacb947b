"""What a federated run is: typed, frozen, and able to go through JSON and back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from samnesia.federated.keys import CLIENT
from samnesia.federated.parts import FedAvg, Partition, Server, ServerSWA
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.config import RunConfig
from samnesia.train.parts.checks import require
from samnesia.train.plain import from_plain, to_plain

FEDERATED = "federated.json"
"""Where a federated run writes its configuration down."""


@dataclass(frozen=True)
class FederatedConfig:
    """One federated run: the same configuration gives the same numbers."""

    recipe: str
    """Name under which the results are filed."""
    training: RunConfig
    """What a client runs. ``epochs`` are those of a round; the course of the learning rate and the steps on which the
    method perturbs go on over all rounds; evaluation and checkpoints count rounds; its seed is that of the run."""
    clients: int = 20
    """Number of clients."""
    participants: int = 5
    """Clients that take part in a round, drawn among those that have samples."""
    rounds: int = 100
    """Rounds: in each, clients train from the server's weights, and the server takes what they send."""
    partition: Partition = field(default_factory=Partition)
    """How the training samples are divided."""
    server: Server = field(default_factory=FedAvg)
    """What the server makes of what clients send; statistics of BatchNorm are averaged with any of them."""
    swa: ServerSWA | None = None
    """Average the weights of rounds, and evaluate the average as well."""
    statistics: Literal["averaged", "local"] = "averaged"
    """Running statistics of BatchNorm: clients begin a round with the server's average, or with their own of last."""
    timeout: float = 3600.0
    """Seconds after which a round goes on without the clients that have not answered."""

    def __post_init__(self) -> None:
        for name in ("clients", "participants", "rounds"):
            value = getattr(self, name)
            require(value >= 1, f"cannot train with {name} {value}, because it must be 1 or more; change it")
        require(
            self.participants <= self.clients,
            f"cannot draw {self.participants} participants of {self.clients} clients, because there are not so many; "
            f"use {self.clients} or less",
        )
        require(
            0.0 < self.timeout < float("inf"),
            f"cannot wait {self.timeout} seconds for clients, because a time is a positive number; use 3600, say",
        )
        require(
            self.training.average is None,
            "cannot train clients with an average of their weights, because it would never be sent; average on the "
            "server with swa",
        )
        require(
            not self.training.record.measures,
            "cannot record measures in clients, because they keep no log; record in samnesia train, or measure the "
            "final weights with samnesia measure",
        )
        require(
            self.swa is None or self.swa.first < self.rounds,
            f"cannot average weights from round {0 if self.swa is None else self.swa.first + 1} on in a run of "
            f"{self.rounds}, because none would be taken; start earlier, or use shorter cycles",
        )

    @property
    def seed(self) -> int:
        """Decides all that a run's does, and division and participation."""
        return self.training.seed

    @property
    def central(self) -> RunConfig:
        """The run of as many epochs over all samples, on one machine: what the server's directory says it is."""
        local, saved = self.training.epochs, self.training.checkpoints
        return replace(
            self.training,
            recipe=self.recipe,
            epochs=self.rounds * local,
            average=None if self.swa is None else self.swa.course(local),
            checkpoints=replace(
                saved,
                every_epochs=None if saved.every_epochs is None else saved.every_epochs * local,
                keep_epochs=tuple(kept * local for kept in saved.keep_epochs),
            ),
        )

    def local(self, client: int, samples: int, round_: int) -> RunConfig:
        """The run of a client with so many samples, of which a round is some epochs.

        The first client has the seed of the run, so that it alone with all samples does what the central run does.
        """
        from samnesia.data.draws import words

        whole = self.central
        seed = self.seed if client == 0 else int(words(1, key=(self.seed, CLIENT, client))[0] >> 1)
        lr = self.training.optimizer.lr
        return replace(
            whole,
            average=None,
            optimizer=replace(whole.optimizer, lr=lr if self.swa is None else self.swa.rate(round_, lr)),
            batch_size=max(2, min(whole.batch_size, samples)),
            micro_batch=None if whole.micro_batch is None else min(whole.micro_batch, max(2, samples)),
            drop_last=whole.drop_last and samples > 1,
            seed=seed,
        )

    def with_seed(self, seed: int) -> FederatedConfig:
        """The same with another seed."""
        return replace(self, training=replace(self.training, seed=seed))

    def to_json(self) -> dict[str, Any]:
        """Return it as plain dictionaries; parts that come in kinds carry their ``kind``."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @staticmethod
    def from_json(plain: Any) -> FederatedConfig:
        """Return the configuration that :meth:`to_json` wrote; raises ConfigurationError for anything else."""
        config: FederatedConfig = from_plain(FederatedConfig, plain)
        return config


def read(out: Path) -> FederatedConfig:
    """Read the configuration of the federated run in ``out``.

    Raises:
        ConfigurationError: if there is none, or it cannot be read.
    """
    path = out / FEDERATED
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigurationError(
            f"cannot find a federated run in {out}, because there is no {FEDERATED}; name the directory that was given "
            "as --out"
        ) from None
    except ValueError as error:
        raise ConfigurationError(f"cannot read {path}, because it is no valid JSON ({error})") from None
    return FederatedConfig.from_json(plain)
