"""The server: draws clients, takes what they send, and keeps the model, its average and what both go on from."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from samnesia.federated import messages
from samnesia.federated.client import Clients
from samnesia.federated.config import FederatedConfig
from samnesia.federated.keys import BUFFERS, METRICS, SAMPLES, SETTINGS
from samnesia.federated.messages import State
from samnesia.federated.nodes import Drawn, Here, Nodes
from samnesia.federated.partitions import participants
from samnesia.perturb.errors import ConfigurationError, SamnesiaWarning
from samnesia.train.checkpoint import Checkpoint, Position
from samnesia.train.log import Row
from samnesia.train.results import finite
from samnesia.train.run import Run

if TYPE_CHECKING:
    from flwr.app import Message

MOST_LOST = 10
"""Rounds in a row from which nothing came, after which a run ends."""


class ClientLeftOutWarning(SamnesiaWarning):
    """A client that died, or sent what cannot be averaged: its round goes on without it."""


class Server(Run):
    """A run whose steps are rounds: what stands in its directory is what a run's does.

    Raises:
        ConfigurationError: for what cannot be trained with, clients included.
    """

    def __init__(self, config: FederatedConfig, clients: Clients) -> None:
        problem = clients.problem
        if not config.training.evaluation.test:
            problem = replace(problem, test=None)
        super().__init__(config.central, clients.engine, problem)
        self.federated = config
        self.filled = [client for client, part in enumerate(clients.parts) if len(part)]
        self.strategy = config.server.build()
        self.evaluator.rehearse(self.module, config.training.loss.criterion(), problem.train)
        if len(self.filled) < config.clients:
            empty = config.clients - len(self.filled)
            warnings.warn(
                f"{empty} of {config.clients} clients have no sample and never take part: "
                f"{config.partition.sizes} sizes at alpha {config.partition.alpha:g} leave some empty",
                ClientLeftOutWarning,
                stacklevel=4,
            )
        self._settings = json.dumps(config.to_json(), sort_keys=True)
        self._told: set[int] = set()
        self._lost = 0
        self._here: Here | None = None

    @property
    def round(self) -> int:
        """Rounds done."""
        return self.position.epoch // self.federated.training.epochs

    def connect(self, grid: Any) -> None:
        """Find the clients behind a grid; what those in this process keep is kept in checkpoints."""
        self._here = grid if isinstance(grid, Here) else None
        if self._here is not None:
            self._restore_contexts()
        self.nodes = Nodes(grid, self.federated.clients, self.federated.timeout)

    def advance(self) -> Row:
        """Do a round, and return its line of ``rounds.jsonl``."""
        from flwr.app import ConfigRecord

        config, began, number = self.federated, time.perf_counter(), self.round
        self.module.train()
        state = State.of(self.module)
        drawn = participants(self.filled, config.participants, seed=config.seed, round_=number)
        shown: Any = Drawn(self.nodes.of(client) for client in drawn)
        settings = ConfigRecord({SETTINGS: self._settings})
        asked = sorted(
            self.strategy.configure_train(number + 1, messages.arrays(state.weights), settings, shown),
            key=lambda message: self.nodes.clients()[message.metadata.dst_node_id],
        )
        for message in asked:
            message.content[BUFFERS] = messages.arrays(state.buffers)
        replies = self._replies(asked)
        faults = {client: messages.fault(replies.get(client), state) for client in drawn}
        whole: dict[int, Any] = {client: replies[client] for client, fault in faults.items() if fault is None}
        left_out = {str(client): fault for client, fault in faults.items() if fault is not None}
        samples = sum(int(reply.content[METRICS][SAMPLES]) for reply in whole.values())
        before = self.totals.gradient_evaluations
        taken = bool(whole) and self._take(list(whole.values()), state, number + 1)
        if whole and not taken:
            left_out["server"] = "the new weights are not finite"
        self._note(left_out, lost=not taken)
        self.position = Position((number + 1) * config.training.epochs)
        if self.average is not None:
            self.average.update(self.steps_done - 1)
        return {
            "round": number,
            "clients": drawn,
            "left_out": left_out,
            "samples": samples,
            "learning_rate": config.local(drawn[0], 2, number).optimizer.lr,
            "gradient_norm": finite(self.totals.mean("gradient_norm")),
            "gradient_evaluations": self.totals.gradient_evaluations - before,
            "averaged": 0 if self.average is None else self.average.seen,
            "seconds": round(time.perf_counter() - began, 3),
        }

    def _replies(self, asked: list[Message]) -> dict[int, Message]:
        clients = self.nodes.clients()
        answers = self.nodes.grid.send_and_receive(asked, timeout=self.federated.timeout)
        return {clients[answer.metadata.src_node_id]: answer for answer in answers}

    def _take(self, replies: list[Any], state: State, number: int) -> bool:
        """Let the module hold what the strategy makes of the replies; whether that is finite."""
        from flwr.app import RecordDict
        from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords

        counted = [reply.content[METRICS] for reply in replies]
        buffers = [RecordDict({BUFFERS: reply.content[BUFFERS], METRICS: reply.content[METRICS]}) for reply in replies]
        for reply in replies:
            del reply.content[BUFFERS]  # a strategy steps parameters alone: statistics are averaged
        kept = self._memory()
        found, _ = self.strategy.aggregate_train(number, replies)
        if found is None:
            return False
        weights = {name: found[name] for name in state.weights}
        new = State(
            _like(messages.tensors(weights), state.weights),  # type: ignore[arg-type]
            _like(messages.tensors(aggregate_arrayrecords(buffers, SAMPLES)), state.buffers),
        )
        if not all(value.isfinite().all() for value in (*new.weights.values(), *new.buffers.values())):
            self._recall(kept)
            return False
        new.put(self.module)
        for record in counted:
            messages.add(self.totals, record)
        return True

    def _note(self, left_out: Mapping[str, str], *, lost: bool) -> None:
        """Say once of each client that it is left out; end where nothing comes any more."""
        for client, reason in left_out.items():
            number = -1 if client == "server" else int(client)
            if number not in self._told:
                self._told.add(number)
                who = "what clients sent is" if number < 0 else f"client {client} is"
                warnings.warn(
                    f"{who} left out of round {self.round}, because {reason}; rounds.jsonl has all such cases",
                    ClientLeftOutWarning,
                    stacklevel=5,
                )
        self._lost = self._lost + 1 if lost else 0
        if self._lost >= MOST_LOST:
            raise ConfigurationError(
                f"cannot go on after round {self.round}, because {self._lost} rounds in a row have brought nothing to "
                f"average ({'; '.join(dict.fromkeys(left_out.values()))}); mend the clients, or lower the learning rate"
            )

    # -- what a checkpoint holds beside a run's ------------------------------------------------------------------------

    def checkpoint(self, journal: dict[str, int]) -> Checkpoint:
        """Return the state of the run, that of the server's optimizer and of the clients here included."""
        whole = super().checkpoint(journal)
        whole.state["federated"] = {
            "strategy": self._memory(),
            "contexts": self._contexts(),
            "told": sorted(self._told),
            "lost": self._lost,
            "config": self.federated.to_json(),
        }
        return whole

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint."""
        super().restore(checkpoint)
        kept = checkpoint.state["federated"]
        self._recall(kept["strategy"])
        self._told, self._lost = set(kept["told"]), kept["lost"]
        self._kept_contexts: dict[int, messages.Tensors] = kept["contexts"]

    def _memory(self) -> dict[str, Any]:
        found = {name: getattr(self.strategy, name) for name in self.federated.server.memory}
        memory: dict[str, Any] = tree_map_only(np.ndarray, lambda array: torch.from_numpy(array.copy()), found)
        return memory

    def _recall(self, memory: Mapping[str, Any]) -> None:
        for name, value in tree_map_only(Tensor, lambda tensor: tensor.numpy().copy(), dict(memory)).items():
            setattr(self.strategy, name, value)

    def _contexts(self) -> dict[int, messages.Tensors]:
        if self._here is None:
            return {}
        states: dict[int, Any] = {client: context.state.get(BUFFERS) for client, context in self._here.contexts.items()}
        return {client: messages.tensors(kept) for client, kept in states.items() if kept is not None}

    def _restore_contexts(self) -> None:
        assert self._here is not None
        for client, buffers in getattr(self, "_kept_contexts", {}).items():
            self._here.contexts[client].state[BUFFERS] = messages.arrays(buffers)


def _like(values: messages.Tensors, expected: messages.Tensors) -> messages.Tensors:
    """In the types of the model: adaptive steps come in float64."""
    return {name: values[name].to(value.dtype).reshape(value.shape) for name, value in expected.items()}
