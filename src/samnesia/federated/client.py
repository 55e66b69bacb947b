"""A client: trains from the server's weights on its own samples.

The message functions know nothing of who calls them: Flower's simulation, a SuperNode, or the loop of this process.
"""

from __future__ import annotations

import json
import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from samnesia.data.draws import words
from samnesia.federated.config import FederatedConfig
from samnesia.federated.keys import (
    BUFFERS,
    CLIENT,
    CONFIG,
    METRICS,
    NUM_PARTITIONS,
    PARTITION_ID,
    ROUND,
    SETTINGS,
)
from samnesia.federated.messages import State, arrays, metrics, tensors
from samnesia.federated.partitions import Indices, class_labels, of_client
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.checkpoint import Position
from samnesia.train.engine import Engine
from samnesia.train.keeper import Keeper
from samnesia.train.loop import computing, train_epoch
from samnesia.train.randomness import seed_torch
from samnesia.train.run import Run
from samnesia.train.totals import Totals

if TYPE_CHECKING:
    from flwr.app import Context, Message
    from flwr.clientapp import ClientApp


class Clients:
    """The clients of a run, as far as they are in this process: data, division and device are shared by them.

    Raises:
        ConfigurationError: for data that cannot be divided so, or a device that is not there.
    """

    def __init__(self, config: FederatedConfig) -> None:
        self.config = config
        with computing(config.training):
            self.problem = config.training.data.load(config.seed)
        self.engine = Engine(config.training.hardware)
        self.parts: list[Indices] = config.partition.divide(
            class_labels(self.problem.train), config.clients, config.seed
        )

    def train(self, client: int, round_: int, state: State) -> tuple[State, Totals]:
        """Train for a round, counted from 0, with an optimizer and a method made anew, from these weights."""
        indices = self.parts[client]
        if not len(indices):
            raise ConfigurationError(
                f"cannot train client {client}, because it has no samples; draw participants among those that have"
            )
        config = self.config.local(client, len(indices), round_)
        local = self.config.training.epochs
        with computing(config):
            run = Run(config, self.engine, of_client(self.problem, indices))
            drawn = int(words(1, key=(config.seed, CLIENT, round_))[0] >> np.uint64(1))
            seed_torch(drawn)  # what dropout draws belongs to client and round
            state.put(run.module)
            run.position = Position(round_ * local)
            run.method.load_state_dict({**run.method.state_dict(), "steps": run.steps_done})
            keeper = Keeper(run, None)
            for epoch in range(round_ * local, (round_ + 1) * local):
                train_epoch(run, run.batches(range(epoch, epoch + 1)), keeper)
                run.position = Position(epoch + 1)
            return State.of(run.module), run.totals


@lru_cache(maxsize=2)
def clients_of(settings: str) -> Clients:
    """The clients of a configuration in JSON; a process keeps those of the last."""
    for name in ("lightning.fabric", "lightning.pytorch"):  # they announce every process, and what they grant
        logging.getLogger(name).setLevel(logging.WARNING)
    return Clients(FederatedConfig.from_json(json.loads(settings)))


def who(message: Message, context: Context) -> Message:
    """Say which part of the samples this client has."""
    from flwr.app import ConfigRecord, Message, RecordDict

    found: dict[str, Any] = {name: int(context.node_config[name]) for name in (PARTITION_ID, NUM_PARTITIONS)}
    return Message(RecordDict({CONFIG: ConfigRecord(found)}), reply_to=message)


def train(message: Message, context: Context) -> Message:
    """Train for a round, and send what came out."""
    from flwr.app import Message, RecordDict

    content: dict[str, Any] = dict(message.content)
    settings = content[CONFIG]
    clients = clients_of(str(settings[SETTINGS]))
    client = int(context.node_config[PARTITION_ID])
    state = State.read(content)
    kept: Any = context.state.get(BUFFERS)
    if clients.config.statistics == "local" and kept is not None:
        state = State(state.weights, tensors(kept))
    trained, totals = clients.train(client, int(settings[ROUND]) - 1, state)  # Flower counts rounds from 1
    if clients.config.statistics == "local":
        context.state[BUFFERS] = arrays(trained.buffers)
    answer: dict[str, Any] = {**trained.records(), METRICS: metrics(len(clients.parts[client]), totals)}
    return Message(RecordDict(answer), reply_to=message)


def client_app() -> ClientApp:
    """Flower's app of these functions."""
    from flwr.clientapp import ClientApp

    app = ClientApp()
    app.query()(who)
    app.train()(train)
    return app
