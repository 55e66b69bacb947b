"""Training from the command line that is stopped, killed, short of disk or damaged, and goes on as if never."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
import torch
from safetensors.torch import load_file

from samnesia import cli
from samnesia.perturb.errors import RunStopped
from samnesia.train.config import RunConfig
from samnesia.train.loop import train

WORDS = [
    *("digits-noisy-sam", "--method.rho", "0.05", "--when.start-epoch", "0", "--epochs", "3"),
    *("--checkpoints.every-steps", "4", "--logging.every-steps", "1"),
]


@pytest.fixture
def samnesia(capsys):
    """Run the command line in this process; returns (exit code, standard output, standard error)."""

    def run(*words):
        code = cli.main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """A run that nothing has happened to."""
    out = tmp_path_factory.mktemp("unbroken") / "run"
    assert cli.main(["train", *WORDS, "--out", str(out)]) == 0
    return out


@pytest.fixture
def stopped(unbroken, tmp_path):
    """The same run, stopped after 15 of its 30 steps; it has checkpoints after steps 14 and 15."""
    config = RunConfig.from_json(json.loads((unbroken / "config.json").read_text()))
    left = iter(range(14))
    with pytest.raises(RunStopped):
        train(config, tmp_path / "run", stop=lambda: next(left, None) is None)
    return tmp_path / "run"


def assert_same(run, unbroken):
    """Same weights, same log, no line twice."""
    last = "checkpoints/epoch0003-step000000/model.safetensors"
    weights, expected = load_file(run / last), load_file(unbroken / last)
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    for journal in ("metrics.jsonl", "steps.jsonl"):
        assert (run / journal).read_text() == (unbroken / journal).read_text()


def test_a_stopped_run_goes_on_and_ends_alike(samnesia, stopped, unbroken):
    code, out, err = samnesia("resume", stopped)
    assert (code, err) == (0, "")
    assert out.startswith("last epoch (epoch 2): test accuracy ")
    assert_same(stopped, unbroken)
    assert samnesia("resume", stopped)[1].startswith(f"the run in {stopped} has finished: ")


def truncate(path):
    os.truncate(path / "model.safetensors", 1000)


def flip(path):
    content = bytearray((path / "state.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (path / "state.pt").write_bytes(content)


def forget(path):
    (path / "manifest.json").unlink()


DAMAGES = [
    (truncate, "because model.safetensors has 1000 bytes where "),
    (flip, "because state.pt was altered: its checksum is not that of what was written"),
    (forget, "because manifest.json cannot be read (No such file or directory)"),
]


@pytest.mark.parametrize(("damage", "reason"), DAMAGES)
def test_a_damaged_last_checkpoint_is_said_and_the_one_before_is_used(samnesia, stopped, unbroken, damage, reason):
    last = stopped / "checkpoints" / "epoch0001-step000005"
    damage(last)
    code, _, err = samnesia("resume", stopped)
    assert code == 0
    assert err.startswith(f"samnesia: warning: cannot use the checkpoint {last}, {reason}")
    assert err.endswith("; the one before it is used\n") and err.count("\n") == 1
    assert_same(stopped, unbroken)


def test_a_run_without_a_checkpoint_that_is_whole_begins_again(samnesia, stopped, unbroken):
    checkpoints = [path for path in (stopped / "checkpoints").iterdir() if not path.is_symlink()]
    for path in checkpoints:
        truncate(path)
    code, _, err = samnesia("resume", stopped)
    assert (code, err.count("samnesia: warning: ")) == (0, len(checkpoints))
    assert_same(stopped, unbroken)


@contextmanager
def files_of_at_most(size):
    """The system refuses to write beyond so many bytes of a file, as where a disk is full."""
    before, standard = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, standard)


def test_a_full_disk_costs_no_checkpoint(samnesia, stopped, unbroken):
    before = {path: path.read_bytes() for path in stopped.glob("checkpoints/*/*")}
    with files_of_at_most(60_000):  # the weights alone have 90 kB
        code, out, err = samnesia("resume", stopped)
    assert (code, out) == (2, "")
    assert err.startswith(f"samnesia: cannot save the checkpoint {stopped}/checkpoints/epoch0001-step000008, because ")
    assert "the system refused: File too large; epoch0001-step000005, made before it, is whole; make room and" in err
    assert err.endswith(f"go on with: samnesia resume {stopped}\n") and err.count("\n") == 1
    assert {path: path.read_bytes() for path in stopped.glob("checkpoints/*/*")} == before
    assert samnesia("resume", stopped)[0] == 0
    assert_same(stopped, unbroken)


def test_a_disk_too_full_for_a_line_of_the_log(samnesia, stopped, unbroken):
    size = (stopped / "steps.jsonl").stat().st_size
    with files_of_at_most(size + 100):
        code, out, err = samnesia("resume", stopped)
    assert (code, out) == (2, "")
    assert err.startswith(f"samnesia: cannot write to {stopped / 'steps.jsonl'}, because the system refused: File too")
    assert err.endswith(f"go on with: samnesia resume {stopped}\n") and err.count("\n") == 1
    assert samnesia("resume", stopped)[0] == 0
    assert_same(stopped, unbroken)


def test_what_the_system_refuses_on_the_way_is_a_sentence(samnesia, tmp_path, monkeypatch):
    from samnesia.train import loop

    def fail(*_):
        raise OSError(5, "Input/output error", "images/7.jpg")

    monkeypatch.setattr(loop, "_step", fail)
    code, out, err = samnesia("train", *WORDS, "--out", tmp_path / "run")
    assert (code, out) == (2, "")
    assert err == (
        f"samnesia: cannot go on with the run in {tmp_path / 'run'}, because the system refused images/7.jpg: "
        f"Input/output error; see to it, and go on with: samnesia resume {tmp_path / 'run'}\n"
    )


def test_an_interruption_says_what_is_kept(samnesia, tmp_path, monkeypatch):
    from samnesia.train import loop

    def interrupt(*_):
        raise KeyboardInterrupt

    out = tmp_path / "run"
    monkeypatch.setattr(loop, "_end_epoch", interrupt)
    words = ("train", "digits-sgd", "--epochs", 1, "--out", out)
    assert samnesia(*words) == (
        130, "", f"samnesia: interrupted before the first checkpoint; go on with: samnesia resume {out}\n",
    )  # fmt: skip
    code, _, err = samnesia("train", *WORDS, "--out", tmp_path / "other")
    last = tmp_path / "other" / "checkpoints" / "epoch0000-step000008"
    assert code == 130
    assert (
        err == f"samnesia: interrupted; the last checkpoint is {last}; go on with: samnesia resume {last.parents[1]}\n"
    )
    monkeypatch.setattr(loop, "_ready", interrupt)
    code, _, err = samnesia("train", *WORDS, "--out", tmp_path / "third")
    assert (code, err) == (130, "samnesia: interrupted before anything was written\n")
    # A directory of something else is not taken for the run's.
    code, _, err = samnesia("train", *WORDS, "--out", out)
    assert (code, err) == (130, "samnesia: interrupted before anything was written\n")


def test_an_interruption_that_python_drops_is_noticed_after_the_step(samnesia, tmp_path, monkeypatch):
    """As in the destructor of a loader, where no exception can be raised."""
    from samnesia.train import loop

    class Loader:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)

    step = loop._step
    monkeypatch.setattr(loop, "_step", lambda run, *rest: (run.position.step == 4 and Loader(), step(run, *rest))[1])
    code, _, err = samnesia("train", *WORDS, "--out", tmp_path / "run")
    assert (code, err.count("\n")) == (130, 1)
    assert "checkpoints/epoch0000-step000004; go on with" in err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def start(*words):
    """The command in a process group of its own, as a shell or a batch system starts it."""
    command = [sys.executable, "-m", "samnesia.cli", *map(str, words)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def wait_for_steps(process, run, more):
    """Wait until so many more steps are logged."""

    def logged():
        return (run / "steps.jsonl").read_text().count("\n") if (run / "steps.jsonl").exists() else 0

    wanted = logged() + more
    while logged() < wanted:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)


def test_sigterm_to_a_run_and_its_loaders(tmp_path):
    """A batch system asks every process of a job to end: the step is finished, a checkpoint written, the rest quiet."""
    run, long = tmp_path / "run", ["--hardware.workers", "1", "--batch-size", "10", "--epochs", "200"]
    config = ["digits-noisy-sam", "--logging.every-steps", "1", "--when.start-epoch", "0", *long]
    process = start("train", *config, "--out", run)
    wait_for_steps(process, run, 20)
    os.killpg(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (cli.TERMINATED, "")
    assert err.startswith("samnesia: stopped in epoch ")
    assert err.endswith(f"go on with: samnesia resume {run}\n") and err.count("\n") == 1
    with pytest.raises(ProcessLookupError):  # nobody of the group is left
        os.killpg(process.pid, 0)
    steps = [json.loads(line)["step"] for line in (run / "steps.jsonl").read_text().splitlines()]
    assert steps == list(range(len(steps)))
    last = max(path.name for path in (run / "checkpoints").iterdir())
    stopped_at = int(last[5:9]) * 80 + int(last[14:])
    assert stopped_at == len(steps)  # the checkpoint is of the step that was under way


def test_a_second_request_to_terminate_interrupts(samnesia, tmp_path, monkeypatch):
    from samnesia.train import loop

    step = loop._step

    def asked_twice(run, *rest):
        for _ in range(2 if run.position.step == 5 else 0):
            os.kill(os.getpid(), signal.SIGTERM)
        return step(run, *rest)

    monkeypatch.setattr(loop, "_step", asked_twice)
    code, _, err = samnesia("train", *WORDS, "--out", tmp_path / "run")
    assert code == 130
    assert "the last checkpoint is " in err and "epoch0000-step000004; go on with: samnesia resume " in err
    assert err.count("\n") == 1


def test_a_request_to_terminate_ends_alike_after_resuming(samnesia, unbroken, tmp_path, monkeypatch):
    from samnesia.train import loop

    step = loop._step

    def asked(run, *rest):
        if (run.position.epoch, run.position.step) == (1, 6):  # it is asked for before a step: the next one is the last
            os.kill(os.getpid(), signal.SIGTERM)
        return step(run, *rest)

    monkeypatch.setattr(loop, "_step", asked)
    code, out, err = samnesia("train", *WORDS, "--out", tmp_path / "run")
    assert (code, out) == (cli.TERMINATED, "")
    assert err == f"samnesia: stopped in epoch 1 after step 8; go on with: samnesia resume {tmp_path / 'run'}\n"
    assert samnesia("resume", tmp_path / "run")[0] == 0
    assert_same(tmp_path / "run", unbroken)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def torchrun(*words):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore::UserWarning"}
    return subprocess.run(
        [*command, "-m", "samnesia.cli", *map(str, words)],
        capture_output=True, text=True, timeout=200, env=environment,
    )  # fmt: skip


@pytest.mark.slow
def test_two_processes_speak_with_one_voice(tmp_path):
    words = (
        "train",
        "digits-sam",
        "--epochs",
        1,
        "--when.start-epoch",
        0,
        "--data.flipped",
        0.2,
        "--model.kind",
        "MLP",
    )
    done = torchrun(*words, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("last epoch (epoch 0): test accuracy ") == 1
    assert "GLOBAL_RANK" not in done.stderr
    refused = torchrun(*words, "--out", tmp_path / "run")  # what only the process that leads finds out
    assert refused.returncode != 0
    assert refused.stderr.count("samnesia: cannot write a run to ") == 1
    assert "Connection closed by peer" not in refused.stderr
    refused = torchrun(*words, "--hardware.precision", "16-mixed", "--out", tmp_path / "b")  # what both find out
    assert refused.stderr.count("samnesia: cannot train in 16-mixed") == 1
