"""The trainer on a CUDA device: `pytest -m gpu tests/gpu` on a machine that has one."""

import pytest
import torch
from torch import nn

from samnesia.perturb.errors import RunStopped
from samnesia.train.checkpoint import Position, Store
from samnesia.train.config import CNN, EMA, SGD, Checkpoints, Digits, Hardware, Logging, OwnModel, RunConfig
from samnesia.train.loop import resume, train
from samnesia.train.parts.methods import GSAM, METHODS, SAM
from tests.train.small import STEPS, After, config, last_weights, lines, quietly, trained

pytestmark = pytest.mark.gpu

PRECISIONS = ["32-true", "bf16-mixed", "16-mixed", "64-true"]


def on_gpu(precision="32-true", **options):
    return Hardware(accelerator="cuda", precision=precision, **options)


@pytest.fixture(autouse=True)
def deterministic(monkeypatch):
    """Bit by bit requires kernels that sum in one order."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_learns_and_is_written_down(tmp_path, precision):
    run_config = RunConfig(
        "gpu", data=Digits(), model=CNN(channels=(16,), hidden=32), method=SAM(0.1), epochs=8,
        hardware=on_gpu(precision),
    )  # fmt: skip
    result = train(run_config, tmp_path / "run")
    assert result.last["test_accuracy"] > 85
    assert result.environment["precision"] == precision
    assert result.environment["device"] == torch.cuda.get_device_name()
    assert result.skipped_steps <= (6 if precision == "16-mixed" else 0)
    # the radius is that of the unscaled problem, whatever the scaler multiplies the loss with
    assert result.report["perturbation_norm"] == pytest.approx(0.1, rel=1e-2)
    assert result.report["gradient_norm"] < 100


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_stopped_run_ends_as_the_unbroken_one(tmp_path, name, precision):
    run_config = config(method=METHODS[name](), hardware=on_gpu(precision), average=EMA(decay=0.8))
    whole = trained(run_config, tmp_path / "whole")
    with pytest.raises(RunStopped):
        train(run_config, tmp_path / "broken", stop=After(STEPS + 2))
    result = quietly(resume, tmp_path / "broken")
    assert result.curves == whole.curves
    assert lines(tmp_path / "broken" / "steps.jsonl") == lines(tmp_path / "whole" / "steps.jsonl")
    expected = last_weights(tmp_path / "whole")
    assert all(torch.equal(value, expected[key]) for key, value in last_weights(tmp_path / "broken").items())


class Overflowing(nn.Module):
    """Whose gradient overflows half precision once, in its third training forward."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(16, 6))
        self.forwards = 0

    def forward(self, x):
        self.forwards += self.training
        outputs = self.net(x)
        return outputs * float("inf") if self.training and self.forwards == 3 else outputs


def overflowing(shape, num_outputs):
    return Overflowing()


def test_a_step_that_overflows_is_skipped_and_the_scale_is_lowered(tmp_path):
    optimizer = SGD(lr=0.1, momentum=0.0, weight_decay=0.0)
    saving = Checkpoints(every_steps=1, last=99, keep_epochs=(0,))
    run_config = config(
        model=OwnModel(overflowing), optimizer=optimizer, checkpoints=saving, hardware=on_gpu("16-mixed"), epochs=1
    )
    result = trained(run_config, tmp_path)
    finite = [line["finite"] for line in lines(tmp_path / "steps.jsonl")]
    assert not finite[2] and any(finite)
    assert result.skipped_steps == finite.count(False)
    states = [Store(tmp_path).read(Position(0, step)) for step in range(STEPS)]
    for taken, before, after in zip(finite, states, states[1:], strict=False):
        same = all(torch.equal(value, before.model[name]) for name, value in after.model.items())
        assert same != taken
        assert after.state["scaler"]["scale"] == before.state["scaler"]["scale"] * (1.0 if taken else 0.5)


def test_clipping_is_of_the_unscaled_gradient(tmp_path):
    optimizer = SGD(lr=1.0, momentum=0.0, weight_decay=0.0)
    saving = Checkpoints(every_steps=1, last=99, keep_epochs=(0,))
    run_config = config(
        optimizer=optimizer, clip_norm=0.01, checkpoints=saving, hardware=on_gpu("16-mixed"), epochs=1, method=SAM(0.1)
    )
    trained(run_config, tmp_path)
    store, taken = Store(tmp_path), 0
    for step, line in enumerate(lines(tmp_path / "steps.jsonl")[:-1]):
        before, after = (store.read(Position(0, s)).model for s in (step, step + 1))
        trainable = [name for name in before if "running" not in name and "num_batches" not in name]
        moved = sum(float((after[name] - before[name]).double().square().sum()) for name in trainable) ** 0.5
        if line["finite"]:
            taken += 1
            assert line["gradient_norm"] > 0.01
            assert moved == pytest.approx(0.01 * line["learning_rate"], rel=1e-3)
    assert taken


def test_compiled_it_is_the_same_run_to_rounding(tmp_path):
    plain = trained(config(method=GSAM(0.1), hardware=on_gpu(), epochs=2))
    compiled = trained(config(method=GSAM(0.1), hardware=on_gpu(compile=True), epochs=2), tmp_path)
    assert compiled.curves["train_loss"] == pytest.approx(plain.curves["train_loss"], rel=1e-3)
    assert not any(name.startswith("_orig_mod") for name in last_weights(tmp_path))


def test_the_device_and_the_cpu_agree_in_double():
    """Without dropout, whose masks differ between devices."""
    from tests.train.small import smooth_net

    def run(accelerator):
        hardware = Hardware(accelerator=accelerator, precision="64-true")
        return trained(config(model=OwnModel(smooth_net), method=SAM(0.1), hardware=hardware))

    cpu, gpu = run("cpu"), run("cuda")
    assert gpu.curves["train_loss"] == pytest.approx(cpu.curves["train_loss"], rel=1e-9)
    assert gpu.weight_norm == pytest.approx(cpu.weight_norm, rel=1e-9)


def test_one_process_keeps_batch_norm_as_it_is():
    """Statistics shared between processes are a matter of several of them."""
    from tests.train.small import begun

    run = begun(config(hardware=on_gpu()))
    assert not any(isinstance(module, nn.SyncBatchNorm) for module in run.model.modules())


def test_device_memory_is_flat_over_epochs(tmp_path):
    from samnesia.train.observers import Observer

    class Memory(Observer):
        held = []

        def epoch(self, row):
            torch.cuda.synchronize()
            self.held.append(torch.cuda.memory_allocated())

    memory = Memory()
    options = {"epochs": 12, "method": GSAM(0.1), "logging": Logging(every_steps=0)}
    trained(config(hardware=on_gpu("bf16-mixed"), **options), tmp_path, observers=[memory])
    assert memory.held[3] == memory.held[7] == memory.held[11]
