"""What rounds compute, against the central run and against formulas by hand."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from samnesia.federated.client import Clients
from samnesia.federated.config import FederatedConfig
from samnesia.federated.messages import State
from samnesia.federated.nodes import Here
from samnesia.federated.parts import FedAdagrad, FedAdam, FedAvg, FedAvgM, FedYogi, Partition, ServerSWA
from samnesia.federated.run import _ready
from samnesia.train.config import (
    ASAM,
    SAM,
    SGD,
    Checkpoints,
    Cosine,
    FriendlySAM,
    LateSAM,
    Lookbehind,
    MomentumSAM,
    Random,
    Unperturbed,
)
from samnesia.train.log import read_result
from tests.federated.fed import config, last, ran, same, smooth, training
from tests.train.small import trained


def begun(federated):
    """A server whose clients are here; the run has not begun."""
    with _ready(federated) as server:
        server.connect(Here(federated.clients))
        yield server


@pytest.mark.parametrize(
    "method, batch",
    [
        (Unperturbed(), 53),
        (SAM(rho=0.1), 53),
        pytest.param(ASAM(rho=0.5), 10, marks=pytest.mark.slow),
        (Random(rho=0.1), 10),
    ],
)
def test_one_client_with_all_samples_is_the_central_run(method, batch, tmp_path):
    """With one local step (the whole batch), and with several: bit by bit, as nothing but the loop is shared."""
    run = replace(smooth().training, method=method, batch_size=batch)
    federated = FederatedConfig("one", run, clients=1, participants=1, rounds=3, partition=Partition(1.0))
    ran(federated, tmp_path / "federated")
    trained(replace(federated.central, epochs=3), tmp_path / "central")
    assert same(last(tmp_path / "federated").model, last(tmp_path / "central").model)


@pytest.mark.slow
def test_the_course_of_the_learning_rate_goes_on_over_rounds(tmp_path):
    run = replace(smooth().training, schedule=Cosine(warmup_epochs=1.0), batch_size=10, epochs=2)
    federated = FederatedConfig("one", run, clients=1, participants=1, rounds=2, partition=Partition(1.0))
    ran(federated, tmp_path / "federated")
    trained(federated.central, tmp_path / "central")
    assert same(last(tmp_path / "federated").model, last(tmp_path / "central").model)


def test_a_method_that_begins_late_begins_late_on_clients(tmp_path):
    run = replace(smooth().training, method=LateSAM(rho=0.1, start=0.5), batch_size=10)
    federated = FederatedConfig("one", run, clients=1, participants=1, rounds=4, partition=Partition(1.0))
    result = ran(federated, tmp_path / "federated")
    assert 0 < result.perturbed_steps < result.steps
    trained(federated.central, tmp_path / "central")
    assert same(last(tmp_path / "federated").model, last(tmp_path / "central").model)


@pytest.mark.parametrize("method", [Lookbehind(rho=0.05), FriendlySAM(rho=0.05)])
def test_clients_train_by_any_method(method):
    assert ran(config(training(method=method), rounds=2)).skipped_steps == 0


def test_momentum_sam_trains_where_there_is_a_momentum():
    run = training(method=MomentumSAM(rho=0.05), optimizer=SGD(lr=0.1, momentum=0.9))
    assert ran(config(run, rounds=1)).skipped_steps == 0


def averaged(federated):
    """The first round of each drawn client by hand: (samples, state before, states after, state of the server)."""
    for server in begun(federated):
        before = State.of(server.module)
        line = server.advance()
        clients = Clients(federated)
        sent = [(len(clients.parts[c]), clients.train(c, 0, before)[0]) for c in line["clients"]]
        yield server, before, sent


def mean(sent, part, name):
    total = sum(samples for samples, _ in sent)
    return sum(getattr(state, part)[name].double() * (samples / total) for samples, state in sent)


def test_fedavg_is_the_mean_weighted_by_samples_statistics_included():
    for server, _, sent in averaged(config(partition=Partition(0.5, "drawn"))):
        assert len({samples for samples, _ in sent}) > 1
        now = State.of(server.module)
        for part in ("weights", "buffers"):
            for name, value in getattr(now, part).items():
                assert torch.allclose(value.double(), mean(sent, part, name), atol=1e-6), name
        assert set(now.buffers) == {"1.running_mean", "1.running_var"}


@pytest.mark.parametrize("server, step", [
    (FedAvgM(lr=0.5, momentum=0.9), lambda d: 0.5 * d),
    (FedAdagrad(lr=0.1, tau=0.01), lambda d: 0.1 * d / (d.abs() + 0.01)),
    (FedAdam(lr=0.1, tau=0.01, betas=(0.0, 0.0)), lambda d: 0.1 * d / (d.abs() + 0.01)),
    (FedYogi(lr=0.1, tau=0.01, betas=(0.0, 0.0)), None),
])  # fmt: skip
def test_server_optimizers_step_along_the_mean_change(server, step):
    federated = smooth(server=server)
    for run, before, sent in averaged(federated):
        for name, value in State.of(run.module).weights.items():
            change = mean(sent, "weights", name) - before.weights[name]
            moved = value - before.weights[name]
            if step is not None:
                assert torch.allclose(moved, step(change), atol=1e-9), name
            assert ((moved * change) >= 0).all()


@pytest.mark.slow
def test_momentum_of_the_server_is_remembered(tmp_path):
    fast, slow = (ran(smooth(server=server, rounds=2)) for server in (FedAvgM(momentum=0.9), FedAvgM(momentum=0.0)))
    assert fast.weight_norm != slow.weight_norm
    plain = ran(smooth(server=FedAvg(), rounds=2))
    assert slow.weight_norm == pytest.approx(plain.weight_norm, rel=1e-12)


def test_statistics_of_batchnorm_are_positive_under_adaptive_servers():
    """They are averaged, not stepped: a step of Adam could make a variance negative."""
    for server in begun(config(server=FedAdam(lr=1.0))):
        server.advance()
        assert (State.of(server.module).buffers["1.running_var"] > 0).all()


def test_local_statistics_stay_on_the_client():
    found = {}
    for statistics in ("averaged", "local"):
        federated = config(rounds=2, participants=6, statistics=statistics)
        for server in begun(federated):
            server.advance()
            server.advance()
            contexts = server._here.contexts
            found[statistics] = State.of(server.module)
            assert all(bool(context.state) == (statistics == "local") for context in contexts.values())
    assert not torch.equal(found["local"].buffers["1.running_mean"], found["averaged"].buffers["1.running_mean"])
    assert same(found["local"].weights, found["averaged"].weights)  # in training a batch is normalized by itself


def test_a_round_is_logged(tmp_path):
    result = ran(config(swa=ServerSWA(start=1, cycle=2, lr=0.01)), tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run/rounds.jsonl").read_text().splitlines()]
    assert [line["round"] for line in lines] == [0, 1, 2, 3]
    assert all(len(line["clients"]) == 3 and line["left_out"] == {} for line in lines)
    assert [line["learning_rate"] for line in lines] == pytest.approx([0.1, 0.055, 0.01, 0.055])
    assert sum(line["gradient_evaluations"] for line in lines) == result.gradient_evaluations == 2 * result.steps
    assert read_result(tmp_path / "run") == result
    assert result.curves["epoch"] == [1, 3]


@pytest.mark.slow
def test_saving_and_evaluating_count_rounds(tmp_path):
    run = training(epochs=2, checkpoints=Checkpoints(every_epochs=2, last=9, best=False))
    result = ran(config(run), tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir()) == [
        "epoch0004-step000000", "epoch0008-step000000"]  # fmt: skip
    assert result.curves["epoch"] == [3, 7]


# -- the average -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("take, rounds", [("low", [2, 4, 6]), ("high", [3, 5, 7])])
@pytest.mark.parametrize("local", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_swa_is_the_running_mean_the_first_included(take, rounds, local, tmp_path):
    run = replace(smooth().training, epochs=local, checkpoints=Checkpoints(last=99, best=False))
    swa = ServerSWA(start=1, cycle=2, lr=0.01, take=take)
    ran(config(run, rounds=8, participants=1, swa=swa), tmp_path / "run")
    from samnesia.train.checkpoint import Position, Store

    store = Store(tmp_path / "run")
    at = {r: store.read(Position((r + 1) * local)) for r in range(8)}
    taken = []
    for r in range(8):
        if r in rounds:
            taken.append(at[r].model)
        if not taken:
            assert at[r].average is None
            continue
        for name, value in at[r].average.items():
            expected = torch.stack([model[name] for model in taken]).mean(0)
            assert torch.allclose(value, expected, rtol=0, atol=1e-12), (r, name)


def test_the_cycle_is_that_of_the_paper():
    """t = ((round mod c) + 1) / c, lr = (1 - t) lr + t lr_swa, from a start that is a multiple of c."""
    swa = ServerSWA(start=20, cycle=10, lr=1e-4)
    for r in range(20, 45):
        t = ((r % 10) + 1) / 10
        assert swa.rate(r, 0.01) == pytest.approx((1 - t) * 0.01 + t * 1e-4)
    assert swa.rate(19, 0.01) == 0.01
    assert ServerSWA(start=20, cycle=1).rate(25, 0.01) == 0.01


def test_both_instants_are_what_they_are_called():
    low, high = ServerSWA(start=20, cycle=10, take="low"), ServerSWA(start=20, cycle=10, take="high")
    assert low.rate(low.first, 0.01) == pytest.approx(1e-4)
    assert high.rate(high.first, 0.01) == max(high.rate(r, 0.01) for r in range(20, 40))
    assert (low.first, high.first) == (29, 30)  # the paper's code: (round - start) mod c = 0 and round > start


@pytest.mark.slow
def test_weights_do_not_depend_on_the_average(tmp_path):
    for name, swa in (("with", ServerSWA(start=0, cycle=1)), ("without", None)):
        ran(smooth(swa=swa, rounds=2), tmp_path / name)
    assert same(last(tmp_path / "with").model, last(tmp_path / "without").model)


# -- what is refused, and how configurations go through JSON -----------------------------------------------------------


@pytest.mark.parametrize("changes, words", [
    ({"participants": 7}, "cannot draw 7 participants of 6 clients"),
    ({"rounds": 0}, "cannot train with rounds 0"),
    ({"timeout": math.inf}, "cannot wait inf seconds"),
    ({"swa": ServerSWA(start=3, cycle=2)}, "cannot average weights from round 5 on in a run of 4"),
])  # fmt: skip
def test_impossible_runs_are_refused(changes, words):
    from samnesia.perturb.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match=words):
        config(**changes)


@pytest.mark.parametrize("make, words", [
    (lambda: ServerSWA(cycle=0), "with cycle 0"),
    (lambda: ServerSWA(lr=0.0), "with lr 0.0"),
    (lambda: FedAvgM(momentum=1.0), "with momentum 1.0"),
    (lambda: FedAdam(betas=(0.9,)), "with betas"),
    (lambda: FedAdagrad(tau=0.0), "with tau 0.0"),
])  # fmt: skip
def test_impossible_parts_are_refused(make, words):
    from samnesia.perturb.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match=words):
        make()


@pytest.mark.parametrize("server", [FedAvg(), FedAvgM(), FedAdagrad(), FedAdam(), FedYogi()])
def test_configurations_go_through_json(server):
    federated = config(server=server, swa=ServerSWA(start=0, cycle=2))
    assert FederatedConfig.from_json(json.loads(json.dumps(federated.to_json()))) == federated


@pytest.mark.slow
def test_the_same_configuration_gives_the_same_numbers():
    one, other = ran(config(rounds=2)), ran(config(rounds=2))
    assert one.curves == other.curves
    assert ran(config(rounds=2).with_seed(1)).curves != one.curves


def test_clients_see_other_orders_of_their_samples():
    federated = config()
    assert len({federated.local(client, 9, 0).seed for client in range(6)}) == 6
    assert federated.local(0, 9, 0).seed == federated.seed


def test_small_clients_make_smaller_batches():
    local = config(training(batch_size=10)).local(1, 4, 0)
    assert local.batch_size == 4
    assert config().local(1, 1, 0).batch_size == 2
    assert np.isclose(config().local(0, 9, 0).optimizer.lr, 0.1)
