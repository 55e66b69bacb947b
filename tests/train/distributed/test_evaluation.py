"""Evaluation on two ranks is that on one process, on splits of any size; buffers and averages are the leader's."""

import json
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file

from samnesia.data.problem import Problem
from samnesia.train.config import (
    CNN,
    EMA,
    GSAM,
    SAM,
    SWA,
    AdamW,
    Checkpoints,
    CifarResNet,
    Digits,
    Evaluation,
    OwnData,
    OwnModel,
    Unperturbed,
)
from tests.train.distributed import jobs, problem
from tests.train.distributed.configs import SMALL, fsdp
from tests.train.distributed.test_same_gradients import assert_same, assert_same_weights

pytestmark = pytest.mark.filterwarnings("ignore::samnesia.perturb.errors.TrainingCollapsedWarning")

ROOTED = replace(SMALL, model=OwnModel(problem.rooted), method=SAM(0.1))


def other_sizes(seed):
    """Of test samples 2, one for each rank; of training and validation as many as leave one rank a batch more."""
    return Problem(problem.split(32, 1), problem.split(9, 2), problem.split(2, 3), problem.CLASSES, (problem.FEATURES,))


@pytest.fixture(scope="module")
def evaluations(ranks):
    """(on one process, under DDP, under FSDP2) for splits of 37, 13 and 1, and of 32, 9 and 2, in several batches."""
    configs = [
        replace(ROOTED, data=OwnData(data), evaluation=Evaluation(train=True, batch_size=size), epochs=1)
        for data, size in [(problem.data, 4), (problem.data, 100), (other_sizes, 4)]
    ]
    answers = ranks.run(jobs.several, [*configs, *map(fsdp, configs)])
    assert answers[0] == answers[1] or [a["curves"] for a in answers[0]] == [a["curves"] for a in answers[1]]
    alone = [jobs.trained(config) for config in configs]
    return list(zip(alone, answers[0][:3], answers[0][3:], strict=True))


@pytest.mark.parametrize("case", range(3))
def test_figures_are_those_of_one_process(evaluations, case):
    alone, *spread = evaluations[case]
    assert {"train_top5_accuracy", "validation_accuracy", "test_loss"} <= alone["curves"].keys()
    for run in spread:
        for name, values in alone["curves"].items():
            exact = name.endswith("accuracy")
            assert run["curves"][name] == (values if exact else [v and pytest.approx(v, rel=1e-12) for v in values])


AVERAGES = {"ema": EMA(0.8), "swa": SWA(start_epoch=1)}


def test_averages_and_shrinking_are_those_of_one_process(ranks, tmp_path):
    """The average is evaluated and saved; FSDP2 keeps shards of it, and an evaluation has gathered some weights."""
    rooted = replace(ROOTED, optimizer=AdamW(lr=0.01), shrink_perturb=0.02, epochs=3)  # AdamW counts its steps
    configs = [replace(rooted, average=average) for average in AVERAGES.values()]
    expected = [jobs.trained(config, tmp_path / f"alone{i}") for i, config in enumerate(configs)]
    outs = [tmp_path / f"{kind}{i}" for kind in ("ddp", "fsdp") for i in range(len(configs))]
    found = ranks.run(jobs.several, [*configs, *map(fsdp, configs)], outs)[0]
    for run, out, i in zip(found, outs, [0, 1, 0, 1], strict=True):
        assert_same(run, expected[i], rtol=1e-10)
        for position in sorted((out / "checkpoints").glob("epoch*")):
            for file in sorted(position.glob("*.safetensors")):
                reference = load_file(tmp_path / f"alone{i}" / "checkpoints" / position.name / file.name)
                assert_same_weights(arrays(load_file(file)), arrays(reference), rtol=1e-10)


def arrays(state):
    return {name: value.numpy() for name, value in state.items()}


def test_swa_is_the_mean_of_the_checkpoints(ranks, tmp_path):
    config = replace(ROOTED, average=SWA(), epochs=3, checkpoints=Checkpoints(last=9, keep_epochs=(1, 2, 3)))
    ranks.run(jobs.several, [fsdp(config)], [tmp_path / "run"])
    states = [load_file(tmp_path / f"run/checkpoints/epoch000{i}-step000000/model.safetensors") for i in (1, 2, 3)]
    average = load_file(tmp_path / "run/checkpoints/epoch0003-step000000/average.safetensors")
    assert_same_weights(
        arrays(average), {name: np.mean([state[name].numpy() for state in states], axis=0) for name in average}
    )


def statistics_by_hand(weights, parts):
    """BatchNorm's statistics in a model with these weights: the mean over the batches of `parts`, each a rank's."""
    model = problem.normed((problem.FEATURES,), problem.CLASSES).double()
    model.load_state_dict(weights)
    means, variances = [], []
    with torch.no_grad():
        for batches in parts:
            hidden = [model.first(x.double()) for x in batches]
            means.append(torch.stack([h.mean(0) for h in hidden]).mean(0))
            variances.append(torch.stack([h.var(0) for h in hidden]).mean(0))
    return torch.stack(means).mean(0), torch.stack(variances).mean(0)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_swa_estimates_statistics_anew(ranks, tmp_path, strategy):
    config = replace(ROOTED, model=OwnModel(problem.normed), average=SWA(), drop_last=True, device_batch=None)
    config = replace(config, hardware=replace(config.hardware, strategy=strategy))
    ranks.run(jobs.several, [config], [tmp_path / "run"])
    average = load_file(tmp_path / "run/checkpoints/epoch0002-step000000/average.safetensors")
    data, parts = problem.data(config.seed).train, [[], []]
    plan = jobs.plan_of(config, ranks=2)
    for step in range(plan.steps):
        for rank in range(2):
            parts[rank].append(data.inputs[torch.as_tensor(plan.share(plan.batch_of(1, step), rank))])
    mean, variance = statistics_by_hand(average, parts)
    torch.testing.assert_close(average["norm.running_mean"], mean, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(average["norm.running_var"], variance, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_buffers_are_the_leaders(ranks, tmp_path, strategy):
    """Each rank has normalised other samples; figures and checkpoints are those of the first rank's statistics."""
    config = replace(SMALL, model=OwnModel(problem.normed), method=Unperturbed(), average=EMA(0.5), epochs=1)
    config = replace(config, hardware=replace(config.hardware, strategy=strategy))
    kept = ranks.run(jobs.statistics_of_ranks, config, tmp_path / "run")
    assert kept[0]["before"] != kept[1]["before"]
    state = load_file(tmp_path / "run/checkpoints/epoch0001-step000000/model.safetensors")
    assert state["norm.running_mean"].tolist() == kept[0]["before"]
    model = problem.normed((problem.FEATURES,), problem.CLASSES).double().eval()
    row = json.loads((tmp_path / "run/metrics.jsonl").read_text())
    test = problem.data(0).validation
    for file, name in [("model", "validation_loss"), ("average", "average_validation_loss")]:
        model.load_state_dict(load_file(tmp_path / f"run/checkpoints/epoch0001-step000000/{file}.safetensors"))
        with torch.no_grad():
            loss = torch.nn.functional.cross_entropy(model(test.inputs.double()), test.labels)
        assert row[name] == pytest.approx(loss.item(), rel=1e-12)


def vit(shape, num_outputs):
    channels, side, _ = shape
    options = {"img_size": side, "patch_size": 4, "in_chans": channels, "num_classes": num_outputs, "depth": 2}
    return timm.create_model("vit_tiny_patch16_224", **options)


@pytest.mark.slow
@pytest.mark.parametrize("model", [OwnModel(vit), CifarResNet(depth=8, width=4), CNN(channels=(4,), hidden=8)])
def test_real_models_in_parts_are_those_in_copies(ranks, tmp_path, model):
    """BatchNorm included: both strategies give each rank the same samples."""
    config = replace(SMALL, data=Digits(), model=model, batch_size=201, device_batch=60, average=EMA(0.5), epochs=1)
    config = replace(config, optimizer=AdamW(lr=1e-3), method=GSAM(0.1), clip_norm=1.0)
    outs = [tmp_path / "ddp", tmp_path / "fsdp"]
    ranks.run(jobs.several, [config, fsdp(config)], outs)
    for file in ("model", "average"):
        ddp, parts = (load_file(out / f"checkpoints/epoch0001-step000000/{file}.safetensors") for out in outs)
        assert_same_weights(arrays(parts), arrays(ddp), rtol=1e-8)
