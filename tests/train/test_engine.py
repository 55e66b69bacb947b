"""Devices and precision: what is asked for is granted, or refused in a sentence."""

import json

import pytest
import torch

from samnesia.perturb.errors import ConfigurationError
from samnesia.train.config import Hardware, OwnModel
from samnesia.train.engine import Engine
from samnesia.train.loop import train
from tests.train.small import begun, config, last_weights, smooth_net, trained


@pytest.fixture
def no_gpu(monkeypatch):
    """So that these tests say the same on a machine with a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize("accelerator", ["auto", "cpu"])
def test_half_precision_that_the_cpu_lacks_is_refused_with_what_it_has(no_gpu, tmp_path, accelerator):
    """Fabric would change it to bf16-mixed without asking."""
    with pytest.raises(
        ConfigurationError,
        match="^cannot train in 16-mixed on the cpu, because only bf16-mixed would be granted there; use .* bf16-mixed",
    ):
        train(config(hardware=Hardware(accelerator=accelerator, precision="16-mixed")), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_gpu_that_is_not_there_is_refused(no_gpu, tmp_path):
    with pytest.raises(ConfigurationError, match="^cannot train on cuda, because torch finds no such device here; use"):
        train(config(hardware=Hardware(accelerator="cuda")), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("precision", ["32-true", "64-true", "bf16-mixed"])
def test_what_is_granted_is_what_was_asked_for_and_is_written_down(tmp_path, precision):
    hardware = Hardware(accelerator="cpu", precision=precision, threads=1)
    result = trained(config(hardware=hardware, epochs=1), tmp_path)
    environment = json.loads((tmp_path / "environment.json").read_text())
    assert environment["precision"] == result.environment["precision"] == precision
    assert (environment["device"], environment["processes"], environment["threads"]) == ("cpu", 1, 1)
    assert environment.items() <= result.environment.items()
    weights = last_weights(tmp_path)["0.weight"]
    assert weights.dtype == (torch.float64 if precision == "64-true" else torch.float32)


@pytest.mark.parametrize(
    ("precision", "inside", "outside"),
    [
        ("32-true", torch.float32, torch.float32),
        ("64-true", torch.float64, torch.float64),
        ("bf16-mixed", torch.bfloat16, torch.float32),
    ],
)
def test_training_and_evaluation_compute_in_the_same_precision(precision, inside, outside):
    run = begun(config(model=OwnModel(smooth_net), hardware=Hardware(accelerator="cpu", precision=precision)))
    seen = []
    run.module[1].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    inputs = run.problem.train.inputs[:3]
    assert run.model(inputs).dtype == run.engine.predict(run.module, inputs).dtype == outside
    assert seen == [inside, inside]


def test_on_the_cpu_there_is_no_gradient_scaler():
    engine = Engine(Hardware(accelerator="cpu", precision="bf16-mixed"))
    assert engine.scaler is None
    assert engine.scaler_state() == {}


def test_one_process_sums_and_gathers_by_itself():
    engine = Engine(Hardware(accelerator="cpu"))
    assert engine.total(3, True) == [3, True]
    assert (engine.gather("a"), engine.share("a"), engine.leads, engine.ranks) == (["a"], "a", True, 1)


def test_the_state_of_a_model_is_in_memory_of_its_own():
    run = begun(config(hardware=Hardware(accelerator="cpu")))
    state = run.engine.model_state(run.module)
    before = {name: value.clone() for name, value in state.items()}
    with torch.no_grad():
        for p in run.module.parameters():
            p += 1.0
    assert all(torch.equal(state[name], value) for name, value in before.items())
    run.engine.load_model_state(run.module, state)
    assert all(torch.equal(value, before[name]) for name, value in run.module.state_dict().items())


def test_threads_are_those_of_the_run_and_given_back(tmp_path):
    torch.set_num_threads(1)
    result = trained(config(hardware=Hardware(threads=2), epochs=1), tmp_path)
    assert result.environment["threads"] == 2
    assert torch.get_num_threads() == 1
