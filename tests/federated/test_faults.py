"""Clients that die, send nonsense, or do not answer: the round and the model go on as if they had not been drawn."""

import json
import re
import warnings

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.clientapp import ClientApp

from samnesia.federated.client import train, who
from samnesia.federated.messages import State
from samnesia.federated.nodes import Here
from samnesia.federated.parts import FedAdam, FedAvgM, Partition
from samnesia.federated.run import _ready, federate
from samnesia.federated.server import MOST_LOST, ClientLeftOutWarning
from samnesia.perturb.errors import ConfigurationError
from tests.federated.fed import config, quietly, same

BAD = 2


def altered(change):
    """Clients of which one spoils what it sends."""
    app = ClientApp()
    app.query()(who)

    @app.train()
    def spoiled(message, context):
        answer = train(message, context)
        if context.node_config["partition-id"] != BAD:
            return answer
        content = change(dict(answer.content))
        return Message(RecordDict(content), reply_to=message)

    return app


def with_weights(content, name, value):
    values = {key: array.numpy() for key, array in content["weights"].items()}
    values[name] = value(values[name])
    values = {key: array for key, array in values.items() if array is not None}
    return {**content, "weights": ArrayRecord({key: Array(np.asarray(array)) for key, array in values.items()})}


def dies(content):
    raise RuntimeError("out of memory")


FAULTS = {
    "dies": (dies, "out of memory"),
    "nan": (lambda c: with_weights(c, "0.weight", lambda w: w * np.float32("nan")), "0.weight is not finite"),
    "inf": (lambda c: with_weights(c, "0.bias", lambda w: w + np.float32("inf")), "0.bias is not finite"),
    "shape": (lambda c: with_weights(c, "0.weight", lambda w: w[:1]), r"has shape \(1, 1, 3, 3\)"),
    "type": (lambda c: with_weights(c, "0.weight", lambda w: w.astype(np.float64)), "in float64, not"),
    "name": (lambda c: with_weights(c, "0.weight", lambda w: None), "weights are of another model"),
    "none": (lambda c: {"metrics": c["metrics"]}, "lacks a record"),
    "samples": (
        lambda c: {**c, "metrics": type(c["metrics"])({**c["metrics"], "num-examples": -3})},
        "how many samples",
    ),
}


def rounds(federated, app, count=2):
    """The states after these rounds, their lines, and what was warned of."""
    with warnings.catch_warnings(record=True) as said, _ready(federated) as server:
        warnings.simplefilter("always")
        server.connect(Here(federated.clients, app))
        lines = [server.advance() for _ in range(count)]
        state = State.of(server.module)
    return state, lines, [str(one.message) for one in said if one.category is ClientLeftOutWarning]


QUICK = ("dies", "nan", "shape")


@pytest.mark.parametrize(
    "fault", [fault if fault in QUICK else pytest.param(fault, marks=pytest.mark.slow) for fault in FAULTS]
)
def test_a_faulty_client_is_left_out_and_said_once(fault):
    change, reason = FAULTS[fault]
    federated = config(participants=6)
    state, lines, said = rounds(federated, altered(change))
    for line in lines:
        assert list(line["left_out"]) == [str(BAD)]
    assert len(said) == 1 and f"client {BAD} is left out of round 0" in said[0]
    assert re.search(reason, said[0])
    assert all(value.isfinite().all() for value in state.weights.values())


@pytest.mark.parametrize("server", [FedAvgM(), pytest.param(FedAdam(), marks=pytest.mark.slow)])
def test_the_model_is_that_of_the_others(server):
    """As if the faulty client had not been drawn: its neighbours' average, by any server."""
    from samnesia.federated import server as room

    federated = config(participants=6, server=server)
    spoiled, _, _ = rounds(federated, altered(FAULTS["nan"][0]))
    drawn = room.participants
    try:
        room.participants = lambda *a, **k: [c for c in drawn(*a, **k) if c != BAD]
        without, _, _ = rounds(federated, None)
    finally:
        room.participants = drawn
    assert same(spoiled.weights, without.weights) and same(spoiled.buffers, without.buffers)


def test_a_client_that_does_not_answer_is_left_out():
    class Deaf(Here):
        def send_and_receive(self, messages, *, timeout=None):
            answers = super().send_and_receive(messages, timeout=timeout)
            return [a for a in answers if a.metadata.message_type == "query" or a.metadata.src_node_id != BAD + 2]

    federated = config(participants=6, rounds=1)
    with pytest.warns(ClientLeftOutWarning, match="it did not answer in time"), _ready(federated) as server:
        server.connect(Deaf(federated.clients))
        line = server.advance()
    assert line["left_out"] == {str(BAD): "it did not answer in time"}


def test_a_round_without_any_answer_leaves_the_model_as_it_is():
    app = ClientApp()
    app.query()(who)
    app.train()(lambda message, context: dies(None))
    federated = config()
    with warnings.catch_warnings(), _ready(federated) as server:
        warnings.simplefilter("ignore", ClientLeftOutWarning)
        server.connect(Here(federated.clients, app))
        before = State.of(server.module)
        server.advance()
        assert same(before.weights, State.of(server.module).weights)
        assert server.round == 1


def test_a_run_of_such_rounds_ends_in_a_sentence():
    app = ClientApp()
    app.query()(who)
    app.train()(lambda message, context: dies(None))
    federated = config(rounds=MOST_LOST + 5)
    with warnings.catch_warnings(), _ready(federated) as server:
        warnings.simplefilter("ignore", ClientLeftOutWarning)
        server.connect(Here(federated.clients, app))
        with pytest.raises(ConfigurationError, match=f"{MOST_LOST} rounds in a row have brought nothing.*memory"):
            for _ in range(MOST_LOST):
                server.advance()


def test_empty_clients_are_said_and_never_drawn(tmp_path):
    federated = config(clients=20, participants=20, rounds=1, partition=Partition(0.05, "drawn"))
    with pytest.warns(ClientLeftOutWarning, match="of 20 clients have no sample and never take part"):
        quietly(federate, federated, tmp_path / "run")
    line = json.loads((tmp_path / "run/rounds.jsonl").read_text())
    assert 0 < len(line["clients"]) < 20 and line["left_out"] == {}


def test_two_nodes_of_one_client_are_refused():
    federated = config(timeout=0.3)
    here = Here(federated.clients)
    here.contexts[3].node_config["partition-id"] = 1
    with _ready(federated) as server, pytest.raises(ConfigurationError, match="says it is client 1 of 6"):
        server.connect(here)


def test_missing_nodes_are_waited_for_and_then_refused():
    federated = config(timeout=0.3)
    here = Here(federated.clients)
    del here.contexts[3]
    with _ready(federated) as server, pytest.raises(ConfigurationError, match="cannot begin with 5 of 6 clients"):
        server.connect(here)


def test_a_node_that_says_nothing_is_refused():
    federated = config()
    here = Here(federated.clients)
    here.contexts[0].node_config.clear()
    with _ready(federated) as server, pytest.raises(ConfigurationError, match="does not say which client it is"):
        server.connect(here)


def test_random_numbers_of_the_caller_are_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    quietly(federate, config(rounds=1))
    assert torch.equal(torch.rand(3), expected)
