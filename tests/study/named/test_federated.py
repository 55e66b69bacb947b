"""The study of clients that differ: what it claims, what its cells run, and that they can be read and go on."""

from dataclasses import replace

import pytest

from samnesia.federated.parts import ServerSWA
from samnesia.federated.recipes import RADII
from samnesia.perturb.errors import ConfigurationError
from samnesia.study.engine.plan import make_plan
from samnesia.study.named.cells.federated import Curved, FederatedTraining
from samnesia.study.named.federated import CENTRALS, FEDERATED, central_run, federated, federated_run
from samnesia.study.training import Training
from samnesia.train.config import SAM, Unperturbed
from tests.federated.fed import config, quietly, training


def test_it_is_asked_as_the_paper_claims_it():
    design = federated(quick=True).design
    assert design.seeds == tuple(range(6)) and design.compared == "method"
    better = {one.treatment["method"] for one in design.primary if one.direction == "higher"}
    assert better == set(FEDERATED[1:])
    for one in design.primary:
        assert one.where == {"alpha": "0"}
        flat = one.measure == "lambda"
        assert one.control["method"] == ("central" if "central" in one.claim else "fedavg")
        assert one.smallest == (0.0 if flat else 1.0)
        assert (one.direction == "lower") == (flat or "central" in one.claim)


def test_central_runs_stand_under_one_alpha(tmp_path):
    study = federated(quick=True)
    cells = list(study.design.cells())
    assert len(cells) == 2 * len(FEDERATED) + len(CENTRALS)
    assert {one["alpha"] for one in cells if one["method"] in CENTRALS} == {"0"}
    assert len(make_plan(study, tmp_path).jobs) == len(cells) * 6


@pytest.mark.parametrize("method", FEDERATED)
def test_runs_differ_in_what_their_names_say(method):
    run, plain = federated_run(method, "0", 3), federated_run("fedavg", "0", 3)
    assert run.seed == 3
    assert run.training.method == RADII[method.partition("-")[0]][0.0]
    assert (run.swa is not None) == method.endswith("swa")
    assert replace(run, recipe="", swa=None, training=plain.training) == replace(plain, recipe="")


def test_central_runs_have_as_many_gradients():
    """FedAvg: 60 rounds of 5 clients of 4 batches; FedSAM twice that, and so central-long and central-sam."""
    steps = 800 // 10
    spent = {method: central_run(method, 0).gradient_evaluations(steps) for method in CENTRALS}
    assert spent == {"central": 1200, "central-long": 2400, "central-sam": 2400}
    assert isinstance(central_run("central-sam", 0).method, SAM)
    assert isinstance(central_run("central-long", 0).method, Unperturbed)


def small(**changes):
    run = training(checkpoints=replace(training().checkpoints, last=1))
    ways = {"swa": ServerSWA(start=0, cycle=1, lr=0.01)} | changes
    return Curved(FederatedTraining(config(run, **ways)), last=2, samples=30, vectors=3)


def test_a_cell_trains_measures_and_is_read(tmp_path):
    cell = small()
    quietly(cell.run, tmp_path)
    found = cell.read(tmp_path)
    curve = found.curves["test_accuracy"]
    assert found.values["tail.test_accuracy"] == pytest.approx(sum(curve[-2:]) / 2)
    assert found.values["final.lambda_max"] > 0 and found.values["final.trace"] is not None
    assert cell.done(tmp_path) == pytest.approx(0.95)
    quietly(cell.run, tmp_path)  # what is there is not trained again
    assert cell.read(tmp_path).values == found.values


@pytest.mark.slow
def test_the_average_is_what_is_measured(tmp_path):
    """With one round of a constant rate the average of the only weights is these weights."""
    one = dict(rounds=2, participants=6)
    found = {}
    for name, swa in (("average", ServerSWA(start=1, cycle=1, lr=0.01)), ("weights", None)):
        cell = replace(small(swa=swa, **one), last=1)
        quietly(cell.run, tmp_path / name)
        found[name] = cell.read(tmp_path / name).values
    assert found["average"]["final.lambda_max"] == found["weights"]["final.lambda_max"]
    assert found["average"]["last.test_accuracy"] == found["weights"]["last.test_accuracy"]


def test_results_of_other_settings_are_refused(tmp_path):
    quietly(small(rounds=1).run, tmp_path)
    with pytest.raises(ConfigurationError, match="it was run with other settings"):
        small(rounds=2).read(tmp_path)
    with pytest.raises(ConfigurationError, match="it was measured with other settings"):
        replace(small(rounds=1), samples=20).read(tmp_path)
    (tmp_path / "result.json").write_text("[]")
    with pytest.raises(ConfigurationError, match="it is damaged"):
        small(rounds=1).read(tmp_path)


def test_a_central_cell_is_one_too():
    cell = federated(quick=True).work({"method": "central", "alpha": "0"}, 0)
    assert isinstance(cell.training, Training)
