"""Training and measuring as the work of one cell: what comes out of it, what is kept, what is refused."""

import json
from dataclasses import replace

import pytest
import torch

from samnesia.perturb.errors import ConfigurationError, RunStopped
from samnesia.study.engine.jobs import Job, pack
from samnesia.study.engine.store import Finished, find_cell
from samnesia.study.measured import TRAINING, AtEnd, Measured
from samnesia.study.training import Training
from samnesia.train import loop
from samnesia.train.config import OBF, SAM, Checkpoints
from samnesia.train.loaded import load
from tests.study.test_recorded import RECORD
from tests.train import small

LOOK = AtEnd(rho=0.1, m=10, samples=40, perturbations=2, steps=3, vectors=4)


def work(**changes):
    """A run of milliseconds, recorded and measured."""
    method = changes.pop("method", SAM(rho=0.05))
    look = changes.pop("at_end", LOOK)
    kept = Checkpoints(every_epochs=None, last=1, best=False)
    return Measured(small.smooth(method=method, record=RECORD, checkpoints=kept, **changes), look)


def do(directory, one):
    """Do it as a study does, and return what came out of it."""
    small.quietly(Job(directory, {"method": "sam"}, one.config.seed, one).do)
    found = find_cell(directory)
    assert isinstance(found, Finished), found
    return found.outcome


def dense_hessian(model, criterion, x, y):
    """By autograd, for all weights together."""
    names, weights = zip(*model.named_parameters(), strict=True)

    def loss(vector):
        parts = vector.split([w.numel() for w in weights])
        named = {name: part.view_as(w) for name, part, w in zip(names, parts, weights, strict=True)}
        return criterion(torch.func.functional_call(model, named, (x,)), y)

    return torch.autograd.functional.hessian(loss, torch.cat([w.detach().flatten() for w in weights]))


def test_values_are_those_of_the_run_and_of_its_final_weights(tmp_path):
    one = work()
    found = do(tmp_path / "cell", one)
    trained = Training(one.config).read(tmp_path / "cell" / TRAINING)
    assert trained.values.items() <= found.values.items()
    assert {"recorded.late.own.exposed.superfluous", "final.own.exposed.superfluous"} <= found.values.keys()
    assert found.seconds == pytest.approx(trained.seconds + found.values["final.seconds"])
    assert found.values["seconds"] == trained.seconds and found.values["final.seconds"] > 0
    assert found.values["final.own.norm"] == pytest.approx(0.05)
    assert found.values["final.norm_matched.norm"] == pytest.approx(0.05)
    assert found.values["final.common.norm"] == pytest.approx(0.1)
    assert 0 < found.values["final.m_sharpness"] and 0 < found.values["final.worst"]

    loaded = load(tmp_path / "cell" / TRAINING)
    (x, y), *others = loaded.samples("train", 40, seed=0, batch_size=40)
    assert not others
    largest = torch.linalg.eigvalsh(dense_hessian(loaded.model, loaded.criterion, x, y))[-1]
    assert found.values["final.lambda_max"] == pytest.approx(float(largest), rel=1e-3)


def test_a_cell_that_was_killed_goes_on_and_trains_nothing_twice(tmp_path, monkeypatch):
    one = work()
    whole = do(tmp_path / "whole", one)
    with pytest.raises(RunStopped):
        loop.train(one.config, tmp_path / "cut" / TRAINING, stop=small.After(7))
    assert one.done(tmp_path / "cut") == pytest.approx(0.3)
    cut = do(tmp_path / "cut", one)
    timed = {name for name in whole.values if name.endswith("seconds")}
    assert {name: value for name, value in cut.values.items() if name not in timed} == pytest.approx(
        {name: value for name, value in whole.values.items() if name not in timed}, nan_ok=True
    )

    for name in ("result.json", "outcome.json"):
        (tmp_path / "cut" / name).unlink()  # killed while it measured
    monkeypatch.setattr(Training, "run", None)
    again = do(tmp_path / "cut", one)
    assert again.values["final.lambda_max"] == cut.values["final.lambda_max"]


def test_results_of_other_settings_or_another_run_are_refused(tmp_path):
    one, cell = work(), tmp_path / "cell"
    do(cell, one)
    with pytest.raises(ConfigurationError, match=r"measured with other settings \(rho: 0.1 -> 0.2\)"):
        replace(one, at_end=replace(LOOK, rho=0.2)).read(cell)
    with pytest.raises(ConfigurationError, match=r"other settings \(method.rho: 0.05 -> 0.1\)"):
        work(method=SAM(rho=0.1)).read(cell)
    result = cell / TRAINING / "result.json"
    content = json.loads(result.read_text())
    result.write_text(json.dumps(content | {"seconds": 1.0}))
    with pytest.raises(ConfigurationError, match="its run has changed since it was measured"):
        one.read(cell)
    (cell / "result.json").write_text("{")
    with pytest.raises(ConfigurationError, match="is damaged; remove it"):
        one.read(cell)


def test_settings_are_those_of_both_and_travel(tmp_path):
    one = work()
    assert one.settings[TRAINING] == json.loads(json.dumps(one.config.to_json()))
    assert one.settings["at_end"]["rho"] == 0.1
    pack(Job(tmp_path, {"method": "sam"}, 0, one))


def test_what_cannot_be_measured_is_said(tmp_path):
    found = do(tmp_path / "cell", work(method=OBF(rho=0.05), at_end=replace(LOOK, products=2)))
    assert any("λmax of the final weights has a relative residual" in note for note in found.notes)
    assert found.values["final.lambda_max"] is not None


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"m": 0}, "with m 0"), ({"samples": 19}, "with samples 19"), ({"rho": 0.0}, "with rho 0.0")],
)
def test_values_without_a_meaning_are_refused(options, reason):
    with pytest.raises(ConfigurationError, match=reason):
        replace(LOOK, **options)
