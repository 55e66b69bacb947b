"""The own perturbation of methods that go by what earlier steps have left: it is the run's, which is not touched."""

from dataclasses import replace

import pytest
import torch

from samnesia.perturb.errors import RecordingWarning
from samnesia.train.config import (
    AESAM,
    FriendlySAM,
    Lookbehind,
    LookSAM,
    MomentumSAM,
    RecordForgetting,
    Recording,
    SparseSAM,
)
from samnesia.train.loaded import load
from samnesia.train.record import recorder
from tests.train.small import config, last_weights, lines, quietly, train

RECORD = Recording(RecordForgetting(rho=0.1), points=6, perturbations=1, samples=20)


@pytest.mark.parametrize("method", [FriendlySAM(0.2), MomentumSAM(0.5), SparseSAM(0.2, refresh=2), AESAM(0.2)])
def test_it_is_made_of_what_the_run_remembers(method, tmp_path, monkeypatch):
    probes, found = [], {}
    build = recorder.OwnProbe

    def kept(method, **options):
        probe = build(method, **options)
        probes.append((method.steps, method.state_dict().get("memory", {}), dict(method.optimizer.state)))
        return probe

    monkeypatch.setattr(recorder, "OwnProbe", kept)
    taken = recorder.Recorder.line

    def line(self, module, step):
        found[step] = self._method.state_dict().get("memory", {}), dict(self._method.optimizer.optimizer.state)
        return taken(self, module, step)

    monkeypatch.setattr(recorder.Recorder, "line", line)
    recorded = config(method=method, record=RECORD)
    quietly(train, replace(recorded, record=Recording()), tmp_path / "plain")
    quietly(train, recorded, tmp_path / "recorded")
    weights = [last_weights(tmp_path / run) for run in ("recorded", "plain")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert len(probes) > 3
    for step, memory, state in probes:
        remembered, momenta = found[step]
        assert memory.keys() == remembered.keys() and state.keys() == momenta.keys()
        for name, entry in memory.items():
            assert all(torch.equal(value, remembered[name][key]) for key, value in entry.items())
    assert probes[-1][1] or probes[-1][2]
    assert all(row["forgetting"]["own"] is not None for row in lines(tmp_path / "recorded" / "records.jsonl"))


def test_rounds_have_none_and_it_is_said(tmp_path):
    with pytest.warns(RecordingWarning, match="its own perturbations are not recorded, because they add up between"):
        quietly(train, config(method=Lookbehind(0.1), record=RECORD, epochs=1), tmp_path)
    rows = lines(tmp_path / "records.jsonl")
    assert rows and all(row["forgetting"]["own"] is None and row["forgetting"]["common"] for row in rows)


def test_lines_are_due_on_steps_that_the_method_perturbs(tmp_path):
    quietly(train, config(method=LookSAM(0.1, k=3), record=RECORD), tmp_path)
    rows = lines(tmp_path / "records.jsonl")
    assert {row["step"] % 3 for row in rows} == {0} and all(row["forgetting"]["own"] for row in rows)


@pytest.mark.parametrize("method", [FriendlySAM(0.1), MomentumSAM(0.1), Lookbehind(0.1), SparseSAM(0.1)])
def test_weights_alone_do_not_tell_it(method, tmp_path):
    quietly(train, config(method=method, epochs=1), tmp_path)
    loaded = load(tmp_path)
    assert loaded.perturbation() is None and loaded.describe()["perturbation"] is None
