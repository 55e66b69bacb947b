"""Clients as a server reaches them: Flower's nodes, by the part of the samples that each has."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from samnesia.extras import require
from samnesia.federated.client import client_app
from samnesia.federated.keys import CONFIG, NUM_PARTITIONS, PARTITION_ID
from samnesia.perturb.errors import ConfigurationError

if TYPE_CHECKING:
    from flwr.app import Context, Message
    from flwr.clientapp import ClientApp
    from flwr.serverapp import Grid

BETWEEN_LOOKS = 0.2
SERVER = 1
"""The server's node, as in Flower; those of clients in this process follow."""


class Here:
    """The clients in this process, one after the other: the part of Flower's Grid that a server uses.

    Each has a context of its own, as in Flower, in which it keeps what it does not send.
    """

    def __init__(self, clients: int, app: ClientApp | None = None) -> None:
        kinds = require("flwr.app", extra="federated")
        identity = require("flwr.supercore.task_identity", extra="federated").TaskIdentity
        identity.task_id, identity.run_id, identity.node_id = 1, 0, SERVER  # who writes messages in this process
        self.app = client_app() if app is None else app
        self.contexts: dict[int, Context] = {
            client: kinds.Context(
                run_id=0,
                node_id=SERVER + 1 + client,
                node_config={PARTITION_ID: client, NUM_PARTITIONS: clients},
                state=kinds.RecordDict(),
                run_config={},
            )
            for client in range(clients)
        }

    def get_node_ids(self) -> Iterable[int]:
        """The numbers of the nodes."""
        return [context.node_id for context in self.contexts.values()]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Let each message be answered; what a client raises is an answer as well."""
        return [self._answer(message) for message in messages]

    def _answer(self, message: Message) -> Message:
        kinds = require("flwr.app", extra="federated")
        try:
            return self.app(message, self.contexts[message.metadata.dst_node_id - SERVER - 1])
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            failed: Message = kinds.Message(kinds.Error(code=1, reason=reason), reply_to=message)
            return failed


class Drawn:
    """The drawn nodes of a grid: what a strategy that takes all nodes is shown."""

    def __init__(self, nodes: Iterable[int]) -> None:
        self._nodes = list(nodes)

    def get_node_ids(self) -> Iterable[int]:
        """Their numbers."""
        return self._nodes


class Nodes:
    """Which node has which client's samples; nodes that are not there yet are waited for.

    Raises:
        ConfigurationError: when too few have come in time, or two say that they are the same client, or one that it is
            of another number of clients.
    """

    def __init__(self, grid: Grid | Here, clients: int, timeout: float) -> None:
        self.grid, self._clients, self._timeout = grid, clients, timeout
        self._known: dict[int, int] = {}
        until = time.monotonic() + timeout
        while len(self._known) < clients:
            self._ask()
            if time.monotonic() > until:
                raise ConfigurationError(
                    f"cannot begin with {len(self._known)} of {clients} clients after {timeout:g} seconds, because a "
                    "division requires all of them; start one node for each partition-id from 0, or wait longer with "
                    "timeout"
                )

    def of(self, client: int) -> int:
        """The node of a client."""
        return self._known[client]

    def clients(self) -> Mapping[int, int]:
        """Clients by their nodes."""
        return {node: client for client, node in self._known.items()}

    def _ask(self) -> None:
        kinds = require("flwr.app", extra="federated")
        known = set(self._known.values())
        new = [node for node in self.grid.get_node_ids() if node not in known]
        if not new:
            time.sleep(BETWEEN_LOOKS)
            return
        asked = [kinds.Message(kinds.RecordDict(), message_type="query", dst_node_id=node) for node in new]
        for answer in self.grid.send_and_receive(asked, timeout=self._timeout):
            if answer.has_error():
                raise ConfigurationError(
                    f"cannot begin, because a node does not say which client it is ({answer.error.reason}); start it "
                    "with --node-config 'partition-id=0 num-partitions=20', say"
                )
            found: Any = answer.content[CONFIG]
            client, of = int(found[PARTITION_ID]), int(found[NUM_PARTITIONS])
            if of != self._clients or client in self._known or not 0 <= client < self._clients:
                raise ConfigurationError(
                    f"cannot begin with a node that says it is client {client} of {of}, because the run has "
                    f"{self._clients}, each once; start nodes with partition-id 0 to {self._clients - 1} and "
                    f"num-partitions {self._clients}"
                )
            self._known[client] = answer.metadata.src_node_id
