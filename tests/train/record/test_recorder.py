"""What a run records along the way: the training is the same to the bit, and so is the record of a resumed run."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from samnesia.data.draws import RECORD, permutation
from samnesia.data.problem import Problem, SecondLabel, TensorSplit
from samnesia.measure.forgetting.estimators import Estimator
from samnesia.models.ascent import AscentAware
from samnesia.perturb.errors import ConfigurationError, RecordingWarning, RunStopped
from samnesia.train.config import (
    OBF,
    SAM,
    SGD,
    BinaryCrossEntropy,
    Hardware,
    OwnData,
    OwnLoss,
    OwnModel,
    Perturbed,
    Random,
    RecordForgetting,
    Recording,
    RecordSharpness,
    RunConfig,
)
from samnesia.train.loop import resume, train
from samnesia.train.record.reading import read_records
from samnesia.train.record.recorder import Recorder
from tests.train.killing import what_is_left
from tests.train.small import BATCH, STEPS, TRAIN, After, begun, clouds, config, last_weights, lines, quietly, trained

BOTH = Recording(RecordForgetting(rho=0.1), RecordSharpness(rho=0.1), points=6, perturbations=2, samples=30)


def without_times(path):
    """The lines but for the seconds that they took."""
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines(path)]


def mixed_clouds(seed):
    """With mixup, whose targets are distributions."""

    def mix(inputs, targets, epoch, indices):
        share, one_hot = 0.3, F.one_hot(targets, 6).float()
        return share * inputs + (1.0 - share) * inputs.flip(0), share * one_hot + (1.0 - share) * one_hot.flip(0)

    return replace(clouds(seed), mix=mix)


def marked_clouds(seed):
    """With a second label that speaks for the next class in every fourth sample."""
    problem = clouds(seed)

    def marked(split, name):
        other = torch.where(torch.arange(len(split)) % 4 == 0, (split.labels + 1) % 6, split.labels)
        second = SecondLabel(other, followed=f"{name}_mark_followed", resisted=f"{name}_mark_wrong_accuracy")
        return TensorSplit(split.inputs, split.labels, second_labels=(second,))

    return Problem(marked(problem.train, "train"), marked(problem.validation, "validation"), None, 6, (1, 4, 4))


def regression(seed):
    """Targets that are no classes."""
    problem = clouds(seed)
    splits = (TensorSplit(s.inputs, s.inputs.mean((1, 2, 3))[:, None]) for s in (problem.train, problem.validation))
    return Problem(*splits, None, num_outputs=1, shape=(1, 4, 4))


def squares(output, target):
    """A loss of one's own."""
    return F.mse_loss(output, target)


KINDS = {
    "sgd": {},
    "sam": {"method": SAM(0.2)},
    "chunks": {"method": SAM(0.2), "micro_batch": 5, "device_batch": 3},
    "late": {"method": OBF(0.2), "when": Perturbed(start_epoch=1.0, interval_steps=2)},
    "noise": {"method": Random(0.2)},
    "proportional": {"method": SAM(0.2, rho_min=0.05)},
    "mixed": {"method": SAM(0.2), "data": OwnData(mixed_clouds)},
    "marked": {"method": SAM(0.2), "data": OwnData(marked_clouds)},
    "double": {"method": SAM(0.2), "hardware": Hardware(precision="64-true")},
    "half": {"method": SAM(0.2), "hardware": Hardware(precision="bf16-mixed")},
    "sigmoid": {"method": SAM(0.2), "loss": BinaryCrossEntropy(smoothing=0.1)},
}


FAST = ("chunks", "late", "mixed")


@pytest.mark.parametrize("kind", [pytest.param(k, marks=[] if k in FAST else [pytest.mark.slow]) for k in KINDS])
def test_training_is_the_same_to_the_bit_and_a_resumed_run_records_the_same(kind, tmp_path):
    run_config = config(**KINDS[kind])
    recorded = replace(run_config, record=BOTH)
    trained(run_config, tmp_path / "plain")
    trained(recorded, tmp_path / "recorded")
    plain, recording = (last_weights(tmp_path / run) for run in ("plain", "recorded"))
    assert plain.keys() == recording.keys()
    assert all(torch.equal(plain[name], recording[name]) for name in plain)
    for journal in ("metrics.jsonl", "steps.jsonl"):
        assert (tmp_path / "plain" / journal).read_text() == (tmp_path / "recorded" / journal).read_text()
    assert not (tmp_path / "plain" / "records.jsonl").exists()
    found = lines(tmp_path / "recorded" / "records.jsonl")
    assert all({"step", "epoch", "forgetting", "sharpness", "seconds"} == set(line) for line in found)

    with pytest.raises(RunStopped):
        train(recorded, tmp_path / "broken", stop=After(4))
    with pytest.raises(RunStopped):
        resume(tmp_path / "broken", stop=After(5))
    quietly(resume, tmp_path / "broken")
    for run in ("broken", "recorded"):
        (tmp_path / run / "kept").write_text(json.dumps(without_times(tmp_path / run / "records.jsonl")))
    assert (tmp_path / "broken" / "kept").read_text() == (tmp_path / "recorded" / "kept").read_text()
    weights = [last_weights(tmp_path / run) for run in ("broken", "recorded")]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_lines_that_were_written_after_the_checkpoint_are_written_again(tmp_path):
    """Killed where no checkpoint was made: the file is cut back as the others are."""
    recorded = config(method=SAM(0.2), record=replace(BOTH, points=15))
    trained(recorded, tmp_path / "whole")

    class Killed(Exception):
        pass

    class Kill:
        """Ends the process, as it were, in the third step of the second epoch."""

        def __init__(self):
            self.left = STEPS + 3

        def __call__(self):
            self.left -= 1
            if self.left == 0:
                raise Killed
            return False

    with pytest.raises(Killed):
        train(recorded, tmp_path / "killed", stop=Kill())
    assert len(lines(tmp_path / "killed" / "records.jsonl")) > STEPS
    quietly(resume, tmp_path / "killed")
    records = [without_times(tmp_path / run / "records.jsonl") for run in ("whole", "killed")]
    assert records[0] == records[1]
    whole, killed = (what_is_left(tmp_path / run) for run in ("whole", "killed"))
    for left in (whole, killed):  # the length of records.jsonl, with the times in it
        for state in (value for key, value in left.items() if key.endswith("/state")):
            state["journal"].pop("records.jsonl")
    assert whole == killed


def test_what_is_recorded_is_what_the_method_does(tmp_path):
    """The own perturbation of a step without anything random, against a step of SAM by hand."""
    run = begun(config(method=SAM(0.3), record=BOTH, hardware=Hardware(precision="64-true"), model=OwnModel(plain_net)))
    run.model.train()
    step = sorted(run.recorder._due)[3]
    line = run.recorder.line(run.module, step)
    found = line["forgetting"]["own"]
    order = permutation(TRAIN, key=(0, RECORD, step))
    batches = [run.problem.train.batch(order[i * BATCH : (i + 1) * BATCH]) for i in range(3)]
    x, y = torch.cat([x for x, _ in batches]).double(), torch.cat([y for _, y in batches])
    clean = run.problem.train.clean_labels[torch.from_numpy(order[:30])]
    rises, lost = [], []
    for number in (0, 1):
        inside = torch.arange(30) // BATCH == number
        before = run.module(x).detach()
        loss = F.cross_entropy(run.module(x[inside]), y[inside])
        gradients = torch.autograd.grad(loss, list(run.module.parameters()))
        length = math.sqrt(sum(float(g.square().sum()) for g in gradients))
        with torch.no_grad():
            for p, g in zip(run.module.parameters(), gradients, strict=True):
                p += 0.3 * g / length
            after = run.module(x)
            for p, g in zip(run.module.parameters(), gradients, strict=True):
                p -= 0.3 * g / length
        pointwise = Estimator().forgotten(before, after, y, {"true": clean})
        rises.append(float(pointwise["loss_rise"][inside].mean()))
        lost.append(float(pointwise["superfluous_true"][~inside & (y != clean)].mean()))
    values = found["values"]["running"]
    assert values["exposed"]["all"]["loss_rise"]["value"] == pytest.approx(sum(rises) / 2.0, rel=1e-6)
    assert values["training"]["flipped"]["superfluous_true"]["value"] == pytest.approx(sum(lost) / 2.0, rel=1e-6)
    assert found["norm"]["value"] == pytest.approx(0.3, rel=1e-6)
    assert line["epoch"] == step / STEPS


def plain_net(shape, num_outputs):
    """Nothing random, nothing running."""
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(16, 8), torch.nn.Tanh(), torch.nn.Linear(8, num_outputs)
    )


def test_flipped_labels_and_marks_have_groups_and_labels_of_their_own(tmp_path):
    trained(config(method=SAM(0.2), record=BOTH, data=OwnData(marked_clouds)), tmp_path / "marked")
    trained(config(method=SAM(0.2), record=BOTH), tmp_path / "flipped")
    for name, groups, second in (
        ("marked", {"mark wrong", "mark is the label"}, "mark"),
        ("flipped", {"flipped", "clean"}, "true"),
    ):
        values = lines(tmp_path / name / "records.jsonl")[-1]["forgetting"]["common"]["values"]["running"]["training"]
        assert set(values) == {"all", *groups}
        assert {f"useful_{second}", f"superfluous_{second}"} <= set(values["all"])


def test_steps_without_a_perturbation_have_none_of_their_own(tmp_path):
    trained(config(method=SAM(0.2), when=Perturbed(start_epoch=1.0, interval_steps=3), record=BOTH), tmp_path / "late")
    trained(config(record=BOTH), tmp_path / "sgd")
    for line in lines(tmp_path / "late" / "records.jsonl"):
        assert line["step"] % 3 == 0  # the steps that are perturbed are met
        assert (line["forgetting"]["own"] is None) == (line["step"] < STEPS)
    for line in lines(tmp_path / "sgd" / "records.jsonl"):
        assert line["forgetting"]["own"] is None
        assert line["forgetting"]["common"]["norm"]["value"] == pytest.approx(0.1, rel=1e-5)


def test_nulls_are_matched_to_the_own_perturbation(tmp_path):
    record = replace(BOTH, forgetting=RecordForgetting(rho=0.1, nulls=True))
    trained(config(method=SAM(0.2), record=record, when=Perturbed(start_epoch=1.0)), tmp_path / "run")
    first, *_, last = (line["forgetting"] for line in lines(tmp_path / "run" / "records.jsonl"))
    assert set(first) == {"own", "common"}  # no perturbation, and none of its nulls
    nulls = ("norm_matched", "rise_matched", "permuted_labels", "other_batch")
    assert set(last) == {"own", "common", *nulls}
    assert last["norm_matched"]["norm"]["value"] == pytest.approx(last["own"]["norm"]["value"], rel=1e-6)
    assert last["rise_matched"]["norm"]["value"] > 2 * last["own"]["norm"]["value"]  # chance climbs less
    rises = [last[name]["values"]["running"]["exposed"]["all"]["loss_rise"]["value"] for name in ("own", *nulls)]
    assert rises[2] == pytest.approx(rises[0], rel=1e-2)
    assert len(set(rises)) == 5

    trained(config(method=SAM(0.2), record=record, data=OwnData(mixed_clouds)), tmp_path / "mixed")
    assert set(lines(tmp_path / "mixed" / "records.jsonl")[-1]["forgetting"]) == {"own", "common", *nulls} - {
        "permuted_labels"
    }


def test_a_null_that_cannot_be_made_is_said(tmp_path):
    record = replace(BOTH, forgetting=RecordForgetting(nulls=True), perturbations=1)
    trained(config(method=SAM(0.2), record=record), tmp_path / "run")
    found = lines(tmp_path / "run" / "records.jsonl")[-1]["forgetting"]
    assert "cannot perturb along another batch" in found["other_batch"]["cannot"] and found["own"] is not None


def test_both_measures_have_one_clock_and_either_may_be_left_out(tmp_path):
    kept = {}
    for name, record in (
        ("both", BOTH),
        ("forgetting", replace(BOTH, sharpness=None)),
        ("sharpness", replace(BOTH, forgetting=None)),
    ):
        trained(config(method=SAM(0.2), record=record), tmp_path / name)
        kept[name] = lines(tmp_path / name / "records.jsonl")
    for both, one, other in zip(kept["both"], kept["forgetting"], kept["sharpness"], strict=True):
        assert both["forgetting"] == one["forgetting"] and "sharpness" not in one
        assert both["sharpness"] == other["sharpness"] and "forgetting" not in other


def test_points_lie_over_the_run_and_half_of_them_in_its_last_third():
    for total, points in ((800, 20), (100, 20), (78_000, 20), (300, 7), (90, 2)):
        due = Recording(points=points).due(total)
        assert due[0] == 0 and due[-1] == (total - 1 if points > 3 else due[-1])
        assert len(due) == points
        late = [step for step in due if step >= math.floor(total * 2 / 3)]
        assert len(late) == points // 2
    assert Recording(points=20).due(5) == (0, 1, 2, 3, 4)
    assert all(step % 4 == 0 for step in Recording(points=20).due(800, 4))
    assert Recording(points=20).due(1) == (0,)


def test_a_run_of_one_batch_is_recorded_as_far_as_it_goes(tmp_path):
    record = replace(BOTH, points=2, samples=1, perturbations=3)
    trained(config(method=SAM(0.2), record=record, batch_size=50, epochs=1), tmp_path / "run")
    values = lines(tmp_path / "run" / "records.jsonl")[0]["forgetting"]["own"]["values"]["running"]
    assert list(values) == ["exposed", "held_out"]


def test_a_measure_that_cannot_be_taken_is_said_and_the_run_goes_on(tmp_path):
    torn = config(optimizer=SGD(lr=1e30), record=BOTH)
    with pytest.warns(RecordingWarning, match=r"before step \d+ nothing is recorded: cannot measure at a loss of"):
        trained(torn, tmp_path / "run")
    found = lines(tmp_path / "run" / "records.jsonl")
    assert "forgetting" in found[0]
    assert found[-1]["cannot"].startswith("cannot measure at a loss of")


def test_targets_that_are_no_classes_and_models_in_parts_are_refused(tmp_path):
    numbers = config(data=OwnData(regression), loss=OwnLoss(squares))
    with pytest.raises(ConfigurationError, match="cannot record forgetting with targets torch.float32"):
        trained(replace(numbers, record=BOTH), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    trained(replace(numbers, record=replace(BOTH, forgetting=None)), tmp_path / "sharp")
    assert lines(tmp_path / "sharp" / "records.jsonl")[0]["sharpness"]["values"]["running"]["value"] is not None
    run = begun(config())
    run.engine.in_parts = True
    with pytest.raises(ConfigurationError, match="cannot record measures with strategy fsdp"):
        Recorder(config(record=BOTH), run.engine, run.problem, STEPS, run.method)


@pytest.mark.parametrize(
    ("part", "options"),
    [
        (Recording, {"points": 1}),
        (Recording, {"perturbations": 0}),
        (Recording, {"samples": 0}),
        (RecordForgetting, {"rho": -1.0}),
        (RecordSharpness, {"rho": math.inf}),
    ],
)
def test_values_without_a_meaning_are_refused(part, options):
    with pytest.raises(ConfigurationError, match="change it|use 0.05"):
        part(**options)


# -- configurations and records on disk --------------------------------------------------------------------------------


def test_a_configuration_goes_through_json_and_an_old_one_records_nothing():
    here = config(record=BOTH)
    assert RunConfig.from_json(json.loads(json.dumps(here.to_json()))) == here
    old = here.to_json()
    del old["record"]
    assert RunConfig.from_json(old).record == Recording()


def test_a_checkpoint_from_before_recording_goes_on(tmp_path, monkeypatch):
    """Neither its configuration nor its journal knows of records."""
    from samnesia.train.observers import Journal
    from samnesia.train.run import Run

    plain, checkpoint, sizes = config(method=SAM(0.1)), Run.checkpoint, Journal.sizes

    def old(run, journal):
        made = checkpoint(run, journal)
        del made.state["config"]["record"]
        return made

    with monkeypatch.context() as before:
        before.setattr(Run, "checkpoint", old)
        before.setattr(Journal, "sizes", lambda self: {n: s for n, s in sizes(self).items() if n != "records.jsonl"})
        with pytest.raises(RunStopped):
            train(plain, tmp_path / "run", stop=After(3))
    quietly(resume, tmp_path / "run")
    trained(plain, tmp_path / "whole")
    assert all(
        torch.equal(value, last_weights(tmp_path / "run")[name])
        for name, value in last_weights(tmp_path / "whole").items()
    )


def test_records_are_read_again_and_a_line_under_way_is_left_out(tmp_path):
    trained(config(method=SAM(0.2), record=BOTH), tmp_path / "run")
    found = read_records(tmp_path / "run")
    assert [line["step"] for line in found] == sorted(BOTH.due(3 * STEPS))
    path = tmp_path / "run" / "records.jsonl"
    path.write_text(path.read_text() + '{"step": 99, "ep')
    assert read_records(tmp_path / "run") == found
    path.write_text("{broken\n")
    with pytest.raises(ConfigurationError, match="no valid JSON"):
        read_records(tmp_path / "run")
    with pytest.raises(ConfigurationError, match="--record forgetting sharpness"):
        read_records(tmp_path)


def test_layers_that_know_the_way_up_are_told_and_left_as_they_were(tmp_path):
    run = begun(config(method=SAM(0.2), record=BOTH, model=OwnModel(shaken_net)))
    run.model.train()
    layer = run.module[1]
    layer.ascending = False
    assert run.recorder.line(run.module, 0)["forgetting"]["own"] is not None
    assert layer.seen and all(layer.seen)
    assert layer.ascending is False


class Listening(AscentAware):
    """Notes what it was told in training passes."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        """The same."""
        if self.training:
            self.seen.append(self.ascending)
        return x


def shaken_net(shape, num_outputs):
    """With such a layer."""
    return torch.nn.Sequential(torch.nn.Flatten(), Listening(), torch.nn.Linear(16, num_outputs))


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_where_no_memory_is_left_a_run_goes_on_unrecorded(tmp_path, monkeypatch, error):
    recorded = config(record=BOTH)

    def full(*_args, **_options):
        raise error

    monkeypatch.setattr("samnesia.train.record.scene.m_sharpness", full)
    with pytest.warns(RecordingWarning, match="nothing is recorded: .*memory"):
        train(recorded, tmp_path / "run")
    found = lines(tmp_path / "run" / "records.jsonl")
    assert all("memory" in line["cannot"] and not {"forgetting", "sharpness"} & set(line) for line in found)
    assert len(found) > 1
