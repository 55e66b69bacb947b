"""A run that was stopped, or whose files have suffered, goes on as if nothing had happened, or says why it cannot."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest
import torch

from samnesia.perturb.errors import ConfigurationError, DamagedCheckpointWarning, RunStopped
from samnesia.train import log
from samnesia.train.checkpoint import Position, Store
from samnesia.train.config import (
    EMA,
    SGD,
    SWA,
    AdamW,
    Checkpoints,
    Constant,
    Evaluation,
    Hardware,
    Linear,
    Logging,
    OwnModel,
    Perturbed,
    Steps,
)
from samnesia.train.loop import resume, train
from samnesia.train.parts.methods import ASAM, GSAM, METHODS, SAF, SAM, Lookbehind, OutputBias, Random
from tests.train.killing import what_is_left
from tests.train.small import STEPS, After, clouds, config, last_weights, lines, quietly, smooth_net, trained

FIRST = ("sgd", "sam", "layer-sam", "asam", "asam-after", "asam-before", "gsam", "obf", "random")
REMEMBERING = ("friendly-sam", "looksam", "ae-sam", "wsam", "sparse-sam", "lookahead", "mesa")
"""What such a method keeps from step to step is in the checkpoint; the others have nothing that the first do not."""
KINDS = {
    **{name: {"method": METHODS[name]()} for name in (*FIRST, *REMEMBERING)},
    "saf": {"method": SAF(epochs=1, weight=5.0)},
    "rounds": {"method": Lookbehind(0.1), "optimizer": AdamW(lr=0.01)},
    "nesterov": {"method": SAM(0.1), "optimizer": SGD(lr=0.05, nesterov=True, weight_decay=0.01, decayed="matrices")},
    "decoupled": {"method": SAM(0.1), "optimizer": SGD(lr=0.05, decoupled=True)},
    "adamw": {"method": SAM(0.1), "optimizer": AdamW(lr=0.01)},
    "linear": {"schedule": Linear(warmup_epochs=1.5, final=0.1)},
    "steps": {"schedule": Steps(milestones=(0.3, 0.8))},
    "gsam-proportional": {"method": GSAM(0.2, rho_min=0.05), "schedule": Linear(final=0.1)},
    "gsam-bias": {"method": GSAM(0.1, objective=OutputBias(gamma=0.5))},
    "asam-bias": {"method": ASAM(0.1, objective=OutputBias())},
    "noise": {"method": Random(0.1, clean_statistics=True), "when": Perturbed(interval_steps=2)},
    "ema": {"average": EMA(decay=0.8, start_epoch=0.5)},
    "swa": {"average": SWA(start_epoch=0.0)},
    "late": {"method": SAM(0.1), "when": Perturbed(start_epoch=1.4, fresh_state=True)},
    "mixed": {"method": GSAM(0.1), "hardware": Hardware(precision="bf16-mixed"), "average": EMA(decay=0.8)},
    "double": {"method": SAM(0.1), "hardware": Hardware(precision="64-true")},
    "shrunk": {"shrink_perturb": 0.05, "clip_norm": 0.5, "method": SAM(0.1), "micro_batch": 3, "device_batch": 2},
    "ragged": {"drop_last": False, "method": SAM(0.1)},
    "compact": {"checkpoints": Checkpoints(every_epochs=None, last=1, best=False)},
    "rarely": {"evaluation": Evaluation(every_epochs=2, train=False), "logging": Logging(every_steps=3)},
}


def numbers(run):
    """All that an unbroken run would have left as well, weights to the last bit, but for times."""
    result = json.loads((run / "result.json").read_text())
    texts = {name: (run / name).read_text() for name in ("metrics.jsonl", "steps.jsonl", "config.json")}
    weights = {name: value.tolist() for name, value in last_weights(run).items()}
    return texts, weights, {key: value for key, value in result.items() if key not in ("environment", "seconds")}


SLOW = ("layer-sam", "asam-after", "ae-sam", "linear", "gsam-bias", "asam-bias", "compact", "rarely", "double")


@pytest.mark.parametrize("name", [pytest.param(k, marks=[pytest.mark.slow] if k in SLOW else []) for k in KINDS])
def test_a_stopped_run_ends_as_the_unbroken_one(name, tmp_path):
    """Stopped in the middle of an epoch, then at the last step of one, then right after it was taken up."""
    run_config = config(**KINDS[name])
    trained(run_config, tmp_path / "unbroken")
    steps = STEPS + (not run_config.drop_last)
    with pytest.raises(RunStopped, match=r"^stopped in epoch 0 after step 3; go on with: samnesia resume .*broken$"):
        train(run_config, tmp_path / "broken", stop=After(3))
    assert Store(tmp_path / "broken").positions()[-1] == Position(0, 3)
    with pytest.raises(RunStopped):
        resume(tmp_path / "broken", stop=After(2 * steps - 3))
    assert Store(tmp_path / "broken").positions()[-1] == Position(1, steps)
    with pytest.raises(RunStopped):
        resume(tmp_path / "broken", stop=After(1))
    assert Store(tmp_path / "broken").positions()[-1] == Position(2, 1)
    result = quietly(resume, tmp_path / "broken")
    assert numbers(tmp_path / "broken") == numbers(tmp_path / "unbroken")
    assert result == log.read_result(tmp_path / "broken")


def test_each_option_of_the_comparison_changes_the_run():
    """Otherwise the comparison above would compare one run with itself."""
    of_its_own_kind = set(KINDS) - {"sgd", "ema", "swa", "compact", "rarely"}
    norms = {name: trained(config(**KINDS[name])).weight_norm for name in of_its_own_kind}
    assert len({trained(config()).weight_norm, *norms.values()}) == len(norms) + 1


def test_killed_before_the_best_checkpoint_was_marked_it_is_marked(tmp_path, monkeypatch):
    run_config = config(checkpoints=Checkpoints(last=1))
    best = trained(run_config, tmp_path / "whole").best["epoch"] + 1
    mark = Store.mark_best

    def killed(store, position):
        if position.epoch == best:
            raise KeyboardInterrupt
        mark(store, position)

    monkeypatch.setattr(Store, "mark_best", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(run_config, tmp_path / "killed")
    monkeypatch.undo()
    assert Store(tmp_path / "killed").best != Position(best)
    quietly(resume, tmp_path / "killed")
    assert Store(tmp_path / "killed").best == Position(best)
    assert Store(tmp_path / "killed").positions() == Store(tmp_path / "whole").positions()


def test_stopped_at_the_very_last_step_it_is_evaluated_when_taken_up(tmp_path):
    run_config = config(average=SWA())
    trained(run_config, tmp_path / "unbroken")
    with pytest.raises(RunStopped, match="in epoch 2 after step 5"):
        train(run_config, tmp_path / "broken", stop=After(3 * STEPS))
    assert len(lines(tmp_path / "broken" / "metrics.jsonl")) == 2
    quietly(resume, tmp_path / "broken")
    assert numbers(tmp_path / "broken") == numbers(tmp_path / "unbroken")


def test_without_a_directory_a_stopped_run_says_that_nothing_is_kept():
    with pytest.raises(RunStopped, match="^stopped in epoch 0 after step 2; nothing was kept$"):
        train(config(), stop=After(2))


def test_resumed_in_another_process_it_ends_as_the_unbroken_one(tmp_path):
    """With another hash seed, nothing imported yet, and all generators elsewhere."""
    run_config = config(method=SAM(0.1), average=EMA(decay=0.8))
    trained(run_config, tmp_path / "unbroken")
    with pytest.raises(RunStopped):
        train(run_config, tmp_path / "broken", stop=After(STEPS + 2))
    script = "import sys, warnings; warnings.simplefilter('ignore'); from pathlib import Path\n"
    script += "from samnesia.train.loop import resume; resume(Path(sys.argv[1]))"
    environment = {**os.environ, "PYTHONHASHSEED": "77", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", script, tmp_path / "broken"], check=True, env=environment)
    assert numbers(tmp_path / "broken") == numbers(tmp_path / "unbroken")


def test_a_finished_run_is_returned_as_it_is(tmp_path):
    result = trained(config(epochs=1), tmp_path / "run")
    before = what_is_left(tmp_path / "run"), (tmp_path / "run" / "result.json").stat().st_mtime_ns
    assert resume(tmp_path / "run", stop=lambda: True) == result
    assert (what_is_left(tmp_path / "run"), (tmp_path / "run" / "result.json").stat().st_mtime_ns) == before


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_anew(tmp_path):
    trained(config(), tmp_path / "unbroken")
    trained(config(), tmp_path / "broken")
    shutil.rmtree(tmp_path / "broken" / "checkpoints")
    (tmp_path / "broken" / "result.json").unlink()
    quietly(resume, tmp_path / "broken")
    assert numbers(tmp_path / "broken") == numbers(tmp_path / "unbroken")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, r"^cannot find a run in .*, because there is no config.json; name the directory"),
        ("", r"^cannot read .*config.json, because it is no valid JSON"),
        ("\x00\ufffd{", r"^cannot read .*config.json, because it is no valid JSON"),
        ("[]", r"^cannot use \[\] for a configuration, because it must be an object"),
        ('{"kind": "RunConfig", "recipe": "x", "epoch": 1}', "because there is no such field; did you mean 'epochs'"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_said(content, sentence, tmp_path):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigurationError, match=sentence):
        resume(tmp_path)


def test_bytes_that_are_no_text_are_said(tmp_path):
    (tmp_path / "config.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=r"^cannot read .*config.json, because it is no valid JSON"):
        resume(tmp_path)


def test_a_directory_that_is_not_there_is_said(tmp_path):
    with pytest.raises(ConfigurationError, match="there is no config.json"):
        resume(tmp_path / "nowhere")


@pytest.fixture
def stopped(tmp_path):
    """A run stopped after its second step of the second epoch, and what it leaves when it is not."""
    run_config = config(method=SAM(0.1))
    trained(run_config, tmp_path / "unbroken")
    with pytest.raises(RunStopped):
        train(run_config, tmp_path / "run", stop=After(STEPS + 2))
    return tmp_path / "run", lambda: numbers(tmp_path / "run") == numbers(tmp_path / "unbroken")


@pytest.mark.parametrize("name", ["metrics.jsonl", "steps.jsonl"])
@pytest.mark.parametrize("missing", [True, False])
def test_a_log_that_has_lost_lines_is_said_and_nothing_is_touched(stopped, name, missing):
    run, _ = stopped
    if missing:
        (run / name).unlink()
    else:
        os.truncate(run / name, (run / name).stat().st_size - 5)
    others = {path: path.read_bytes() for path in run.glob("*.json*")}
    with pytest.raises(
        ConfigurationError, match=rf"^cannot go on with .*{name}, because it has \d+ bytes where .* \d+; restore it"
    ):
        resume(run)
    assert {path: path.read_bytes() for path in run.glob("*.json*")} == others


def test_what_was_logged_after_the_checkpoint_is_not_logged_twice(stopped):
    run, as_unbroken = stopped
    with open(run / "steps.jsonl", "a") as file:
        file.write('{"step": 7, "of": "a process that was killed"}\n{"half a li')
    with open(run / "metrics.jsonl", "a") as file:
        file.write('{"epoch": 1}')
    quietly(resume, run)
    assert as_unbroken()


def test_a_run_that_another_process_is_at_work_on_is_left_alone(stopped):
    run, as_unbroken = stopped
    script = """
        import fcntl, sys
        file = open(sys.argv[1], "w")
        fcntl.flock(file, fcntl.LOCK_EX)
        print("held", flush=True)
        sys.stdin.read()
    """
    holder = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), run / log.LOCK],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with holder:
        assert holder.stdout.readline() == "held\n"
        before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        with pytest.raises(ConfigurationError, match=r"^cannot work on the run in .*, because another process is at"):
            resume(run)
        assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
        holder.stdin.close()
    quietly(resume, run)
    assert as_unbroken()


def damage_truncated(path):
    os.truncate(path / "model.safetensors", 100)


def damage_one_byte(path):
    content = bytearray((path / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (path / "model.safetensors").write_bytes(content)


def damage_state(path):
    content = bytearray((path / "state.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (path / "state.pt").write_bytes(content)


def damage_missing(path):
    (path / "state.pt").unlink()


def damage_no_manifest(path):
    (path / "manifest.json").unlink()


def damage_garbage(path):
    (path / "manifest.json").write_bytes(b"\xff\x00 not JSON")


def damage_other_json(path):
    (path / "manifest.json").write_text("[1, 2]")


def damage_version(path):
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | {"version": 99}))


def damage_no_files(path):
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | {"files": {}}))


def counterfeit(path, name, content):
    """Replace a file, and its checksum with it."""
    import hashlib

    (path / name).write_bytes(content)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (path / "manifest.json").write_text(json.dumps(manifest))


class Code:
    """Creates a file when it is unpickled."""

    def __init__(self, file):
        self._file = str(file)

    def __reduce__(self):
        return open, (self._file, "w")


def damage_code(path):
    counterfeit(path, "state.pt", pickle.dumps(Code(path.parent / "executed")))


def damage_code_in_a_torch_file(path):
    torch.save(Code(path.parent / "executed"), path.parent / "code.pt")
    counterfeit(path, "state.pt", (path.parent / "code.pt").read_bytes())
    (path.parent / "code.pt").unlink()


def damage_no_state(path):
    counterfeit(path, "state.pt", b"")


def damage_no_weights(path):
    counterfeit(path, "model.safetensors", b"\x08\x00\x00\x00\x00\x00\x00\x00{garbage")


DAMAGES = {
    damage_truncated: r"model.safetensors has 100 bytes where \d+ were written",
    damage_one_byte: "model.safetensors was altered: its checksum is not that of what was written",
    damage_state: "state.pt was altered",
    damage_missing: "state.pt cannot be read",
    damage_no_manifest: "manifest.json cannot be read",
    damage_garbage: "manifest.json is not as it was written",
    damage_other_json: "manifest.json is not as it was written",
    damage_no_files: "manifest.json is not as it was written",
    damage_version: "it is of version 99, and this release reads version 1",
    damage_code: "it holds what no checkpoint does",
    damage_code_in_a_torch_file: "it holds what no checkpoint does",
    damage_no_state: "it holds what no checkpoint does",
    damage_no_weights: "it holds what no checkpoint does",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_checkpoint_is_said_and_the_one_before_is_used(stopped, damage):
    run, as_unbroken = stopped
    damaged = run / "checkpoints" / "epoch0001-step000002"
    damage(damaged)
    left = {path.name: path.read_bytes() for path in damaged.iterdir()}
    sentence = rf"^cannot use the checkpoint .*{damaged.name}, because {DAMAGES[damage]}.*; the one before it is used$"
    with pytest.warns(DamagedCheckpointWarning, match=sentence):
        quietly(resume, run)
    assert as_unbroken()
    aside = run / "checkpoints" / f"damaged-{damaged.name}"
    assert {path.name: path.read_bytes() for path in aside.iterdir()} == left
    assert not (run / "checkpoints" / "executed").exists()


def test_where_all_are_damaged_the_run_starts_again_and_says_so(stopped):
    run, as_unbroken = stopped
    names = [position.name for position in Store(run).positions()]
    assert len(names) == 2
    for name in names:
        damage_one_byte(run / "checkpoints" / name)
    with pytest.warns(DamagedCheckpointWarning) as caught:
        quietly(resume, run)
    ends = ["; the one before it is used", "; there is none before it, and the run starts again"]
    assert [str(warning.message).endswith(end) for warning, end in zip(caught, ends, strict=True)] == [True, True]
    assert as_unbroken()  # so its logs were cut as well


def test_a_checkpoint_of_another_model_is_said_and_kept(stopped):
    run, as_unbroken = stopped
    original = (run / "config.json").read_text()
    other = replace(log.read_config(run), model=OwnModel(smooth_net))
    log.write_json(run / "config.json", other.to_json())
    with pytest.raises(ConfigurationError, match="epoch0001-step000002 with another configuration .*model.function"):
        resume(run)
    (run / "config.json").write_text(original)
    quietly(resume, run)
    assert as_unbroken()


def test_a_checkpoint_of_another_optimizer_is_said(stopped):
    run, _ = stopped
    groups = replace(log.read_config(run), optimizer=AdamW(decayed="matrices"), schedule=Constant())
    log.write_json(run / "config.json", groups.to_json())
    with pytest.raises(ConfigurationError, match="with another configuration .*optimizer.kind"):
        resume(run)


def test_the_problem_of_these_tests_is_a_function_of_the_seed():
    assert torch.equal(clouds(3).train.inputs, clouds(3).train.inputs)
    assert not torch.equal(clouds(3).train.inputs, clouds(4).train.inputs)


@pytest.mark.parametrize(
    ("part", "value"),
    [("epochs", 9), ("batch_size", 16), ("seed", 5), ("optimizer.weight_decay", 0.5), ("hardware.threads", 2)],
)
def test_a_changed_configuration_is_refused_before_anything_is_cut(tmp_path, part, value):
    run = tmp_path / "run"
    with pytest.raises(RunStopped):
        train(config(), run, stop=After(3))
    before = (run / "steps.jsonl").read_text()
    plain = json.loads((run / "config.json").read_text())
    *path, last = part.split(".")
    place = plain
    for name in path:
        place = place[name]
    place[last] = value
    (run / "config.json").write_text(json.dumps(plain))
    with pytest.raises(ConfigurationError, match=f"another configuration .*{part}: "):
        resume(run)
    assert (run / "steps.jsonl").read_text() == before


def test_what_decides_no_number_may_change(tmp_path):
    run = tmp_path / "run"
    with pytest.raises(RunStopped):
        train(config(), run, stop=After(3))
    plain = json.loads((run / "config.json").read_text())
    plain["hardware"]["workers"], plain["checkpoints"]["last"] = 1, 1
    (run / "config.json").write_text(json.dumps(plain))
    assert resume(run).last == train(config()).last
