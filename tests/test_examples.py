"""Every example runs, and learns."""

import copy
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import samnesia

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs an example as a script; in this process, because a new one would import torch and more again."""
    for variable in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.setenv(variable, "")  # Fabric sets them, and they would outlive the test

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture
def fresh_accelerate():
    """Accelerate keeps its configuration for the whole process."""
    yield
    from accelerate.state import AcceleratorState, GradientState, PartialState

    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


def test_plain_loop(run):
    assert float(re.search(r"test accuracy ([\d.]+) %", run("plain_loop.py"))[1]) > 90


@pytest.mark.usefixtures("fresh_accelerate")
@pytest.mark.parametrize(("name", "share"), [("closure.py", 0.6), ("fabric.py", 0.4), ("accelerate_loop.py", 0.4)])
def test_losses_fall(run, name, share):
    losses = [float(loss) for loss in re.findall(r"training loss ([\d.]+)", run(name))]
    assert len(losses) == 3
    assert losses[-1] < share * losses[0]


def test_single_file(run):
    accuracy = re.search(r"seed 0: sgd ([\d.]+) %, sam ([\d.]+) %", run("single_file.py", "--epochs", "5"))
    assert min(float(value) for value in accuracy.groups()) > 30


def losses_of(output):
    return [float(loss) for loss in re.findall(r"training loss ([\d.]+)", output)]


def parts(name):
    """What an example defines, without running it."""
    return runpy.run_path(str(EXAMPLES / name), run_name=name.removesuffix(".py"))


def assert_same_weights(model, expected, **tolerance):
    for (name, a), b in zip(model.state_dict().items(), expected.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, msg=lambda text, name=name: f"{name}: {text}", **tolerance)


# -- Hugging Face ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fresh_accelerate")
def test_hf_trainer(run):
    losses = losses_of(run("hf_trainer.py"))
    assert len(losses) == 5
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.usefixtures("fresh_accelerate")
def test_hf_trainer_takes_the_steps_of_the_plain_loop(tmp_path):
    """With accumulation, clipping and an epoch that ends on a single small batch."""
    example = parts("hf_trainer.py")
    model = example["network"](dropout=0.0)
    plain = copy.deepcopy(model)
    options = {"num_train_epochs": 1, "per_device_train_batch_size": 24, "lr_scheduler_type": "constant",
               "weight_decay": 0.0, "train_sampling_strategy": "sequential"}  # fmt: skip
    trainer = example["trainer"](model, str(tmp_path), **options)
    trainer.train()
    assert trainer.method.steps == trainer.state.global_step == 6

    samples = [{name: torch.tensor(value) for name, value in line.items()} for line in example["lines"]()]
    optimizer = torch.optim.AdamW(plain.parameters(), lr=5e-3, weight_decay=0.0, fused=True)
    sam = samnesia.sam(plain, optimizer, rho=0.05)
    for start in range(0, 256, 48):
        batch = samples[start : start + 48]
        for part in (batch[:24], batch[24:]):
            if not part:
                continue
            rows = {name: torch.stack([row[name] for row in part]) for name in part[0]}
            for _ in sam.passes():
                logits = plain(rows["input_ids"], rows["attention_mask"]).logits
                (F.cross_entropy(logits, rows["labels"], reduction="sum") / len(batch)).backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    assert_same_weights(model, plain, rtol=0, atol=0)


# -- Lightning -------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*treespec, LeafSpec.*:FutureWarning")  # torch's word, in Lightning
@pytest.mark.filterwarnings("ignore:.*does not have many workers.*:UserWarning")  # advice that is wrong for small data
def test_lightning_takes_the_steps_of_the_plain_loop(run, capsys):
    example, seen, start = parts("lightning_manual.py"), [], []
    digits = example["Digits"]
    digits.on_train_start = lambda self: start.append(copy.deepcopy(self.net))
    digits.on_train_batch_start = lambda self, batch, index: seen.append(batch)
    module = example["fit"](epochs=2)
    losses = losses_of(capsys.readouterr().out)
    assert losses[1] < 0.4 * losses[0]
    assert module.method.steps == len(seen) == 36

    (net,) = start
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
    sam = samnesia.sam(net, optimizer, rho=0.1)
    for step, (x, y) in enumerate(seen, start=1):
        for _ in sam.passes():
            F.cross_entropy(net(x), y).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 18 == 0:
            scheduler.step()
    assert_same_weights(module.net, net, rtol=0, atol=0)


# -- timm ------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # timm's data set leaves closing to Python
def test_timm_script(run):
    output = run("timm_script.py")
    losses = losses_of(output)
    assert losses[-1] < 0.7 * losses[0]
    assert float(re.findall(r"accuracy of the EMA ([\d.]+) %", output)[-1]) > 75  # of four classes
    assert (EXAMPLES / "timm_script.py").read_text().count("# changed") == 2

    without = losses_of(run("timm_script.py", "--rho", "0", "--epochs", "1"))
    assert without[0] != losses[0]


# -- FSDP2 -----------------------------------------------------------------------------------------------------------


def check_fsdp2(losses):
    """The losses are those of one process with all of the model and of each batch."""
    example = parts("fsdp2.py")
    model = example["network"]()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    sam = samnesia.sam(model, optimizer, rho=0.1, loss=F.cross_entropy)
    expected = []
    for epoch in range(3):
        found = []
        for x, y in example["batches"](epoch):
            for p in sam.passes():
                p.loss(model(x), y).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            found.append(sam.last_step.loss)
        expected.append(sum(found) / len(found))
    assert losses == pytest.approx(expected, rel=1e-4)
    assert losses[-1] < 0.3 * losses[0]


def test_fsdp2_in_one_process(run, monkeypatch):
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
    for name, value in (address | {"GLOO_SOCKET_IFNAME": "lo"}).items():
        monkeypatch.setenv(name, value)
    check_fsdp2(losses_of(run("fsdp2.py")))


@pytest.mark.slow
def test_fsdp2_in_two_processes():
    """Each holds a part of the model and trains on a part of each batch."""
    command = [sys.executable, "-W", "error", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run([*command, str(EXAMPLES / "fsdp2.py")], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("2 processes") == 3
    check_fsdp2(losses_of(done.stdout))


def test_compare_callable(run):
    lines = run("compare_callable.py", "--epochs", "2", "--seeds", "3").splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["sgd", "sam", "asam"]
    assert min(float(line.split()[1]) for line in lines[1:4]) > 60
    assert all(line.endswith("3 of 3") for line in lines[1:4])


def test_all_examples_are_tested():
    text = "".join(path.read_text() for path in Path(__file__).parent.rglob("test_*.py"))
    assert [path.name for path in EXAMPLES.glob("*.py") if path.name not in text] == []
