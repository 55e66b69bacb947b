"""Adversarial training: which images are trained on, from when on, and what it costs."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from samnesia.adversaries.norms import NORMS
from samnesia.data.draws import ATTACK
from samnesia.data.loader import Plan
from samnesia.data.pixels import StandardisedAlone
from samnesia.perturb.errors import ConfigurationError, IdleScheduleWarning, RunStopped
from samnesia.train import log
from samnesia.train.checkpoint import Position, Store
from samnesia.train.config import SAM, Adversary, CrossEntropy, OwnData, OwnModel, RunConfig, renewed
from samnesia.train.loop import resume, train
from tests.train import attacked
from tests.train.attacked import EUCLIDEAN, SMALL, STEPS, config
from tests.train.small import After, last_weights, lines, quietly, trained

BOTH = pytest.mark.parametrize("adversary", [SMALL, EUCLIDEAN], ids=["linf", "l2"])


def by_hand(run, rho=None):
    """The weights after training on images attacked one by one, with SAM where there is a radius."""
    data, adversary = attacked.images(run.seed), run.adversary
    norm = NORMS[adversary.norm]
    torch.manual_seed(run.seed)
    model = attacked.smooth((1, 4, 4), attacked.CLASSES).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=run.optimizer.weight_decay)
    plan = Plan(attacked.TRAIN, run.batch_size, None, None, False, run.seed)

    def attack(pixels, target, epoch, number):
        drawn = norm.uniform(16, key=(run.seed, ATTACK, 0, epoch, number))
        here = (pixels + adversary.eps * torch.from_numpy(drawn).view(1, 4, 4)).clamp(0, 1)
        for _ in range(adversary.steps):
            wanted = here.clone().requires_grad_()
            loss = F.cross_entropy(model(attacked.SEEN.inputs(wanted[None])), target[None])
            (gradient,) = torch.autograd.grad(loss, wanted)
            unit = gradient.sign() if adversary.norm == "linf" else gradient / gradient.norm()
            change = here + adversary.step * unit - pixels
            if adversary.norm == "linf":
                change = change.clamp(-adversary.eps, adversary.eps)
            else:
                change = change * min(1.0, adversary.eps / float(change.norm()))
            here = (pixels + change).clamp(0, 1)
        return here

    for step in range(run.epochs * plan.steps):
        epoch, place = divmod(step, plan.steps)
        rows = torch.as_tensor(plan.batch_of(epoch, place))
        x, y = data.train.inputs[rows].double(), data.train.labels[rows]
        if epoch >= adversary.start_epoch:
            pixels = attacked.SEEN.pixels(x)
            worst = [attack(*one, epoch, int(row)) for *one, row in zip(pixels, y, rows, strict=True)]
            x = attacked.SEEN.inputs(torch.stack(worst))
        for group in optimizer.param_groups:
            group["lr"] = run.learning_rate(step, plan.steps)
        weights = list(model.parameters())
        gradient = torch.autograd.grad(F.cross_entropy(model(x), y), weights)
        if rho is not None:
            length = torch.stack([g.square().sum() for g in gradient]).sum().sqrt()
            with torch.no_grad():
                for w, g in zip(weights, gradient, strict=True):
                    w += rho * g / length
            ascent, gradient = gradient, torch.autograd.grad(F.cross_entropy(model(x), y), weights)
            with torch.no_grad():
                for w, g in zip(weights, ascent, strict=True):
                    w -= rho * g / length
        for w, g in zip(weights, gradient, strict=True):
            w.grad = g
        optimizer.step()
    return model.state_dict()


def weights_of(run, out):
    trained(run, out)
    return last_weights(out)


def assert_same(found, expected, tolerance):
    for name, value in expected.items():
        torch.testing.assert_close(found[name].double(), value.double(), rtol=0, atol=tolerance)


@BOTH
@pytest.mark.parametrize("rho", [None, 0.1])
def test_it_is_training_on_attacked_images_by_hand(adversary, rho, tmp_path):
    """Images are float32, as they are loaded: to their rounding."""
    run = config(adversary=replace(adversary, start_epoch=1.0), epochs=2)
    found = weights_of(run if rho is None else replace(run, method=SAM(rho)), tmp_path / "run")
    assert_same(found, by_hand(run, rho), 1e-5)


@BOTH
def test_micro_batches_and_accumulation_change_no_attack(adversary, tmp_path):
    whole = config(adversary=adversary)
    expected = weights_of(whole, tmp_path / "whole")
    for name, changes in {"device": {"device_batch": 3}, "micro": {"micro_batch": 4}}.items():
        assert_same(weights_of(replace(whole, **changes), tmp_path / name), expected, 1e-6)


@pytest.mark.parametrize("name", ["linf", "l2", "late", "sam", "micro", "rough"])
def test_a_stopped_run_ends_as_the_unbroken_one(name, tmp_path):
    kinds = {
        "linf": {},
        "l2": {"adversary": EUCLIDEAN},
        "late": {"adversary": replace(SMALL, start_epoch=1.3, stop_epoch=2.5)},
        "sam": {"method": SAM(0.1)},
        "micro": {"method": SAM(0.1), "micro_batch": 4, "device_batch": 2},
        "rough": {"model": OwnModel(attacked.rough), "method": SAM(0.1)},
    }
    run = config(**kinds[name])
    trained(run, tmp_path / "unbroken")
    with pytest.raises(RunStopped):
        train(run, tmp_path / "broken", stop=After(2))
    with pytest.raises(RunStopped):
        resume(tmp_path / "broken", stop=After(STEPS + 1))
    assert Store(tmp_path / "broken").positions()[-1] == Position(1, 3)
    result = quietly(resume, tmp_path / "broken")
    for file in ("metrics.jsonl", "steps.jsonl", "config.json"):
        assert (tmp_path / "broken" / file).read_text() == (tmp_path / "unbroken" / file).read_text()
    whole = last_weights(tmp_path / "unbroken")
    assert all(value.equal(whole[key]) for key, value in last_weights(tmp_path / "broken").items())
    assert result.gradient_evaluations == log.read_result(tmp_path / "unbroken").gradient_evaluations


def test_each_option_changes_the_run(tmp_path):
    adversaries = [
        None,
        SMALL,
        EUCLIDEAN,
        replace(SMALL, eps=0.2),
        replace(SMALL, step=0.01),
        replace(SMALL, steps=1),
        replace(SMALL, random_start=False),
        replace(SMALL, start_epoch=1.0),
        replace(SMALL, stop_epoch=1.0),
    ]
    assert len({trained(config(adversary=one)).weight_norm for one in adversaries}) == len(adversaries)


def test_gradients_of_attacks_are_counted(tmp_path):
    late = config(adversary=replace(SMALL, start_epoch=1.5), method=SAM(0.1))
    result = trained(late, tmp_path / "run")
    attacks = SMALL.steps * (3 * STEPS - 6)
    assert result.gradient_evaluations == late.gradient_evaluations(STEPS) == 2 * 3 * STEPS + attacks
    counts = [line["gradient_evaluations"] for line in lines(tmp_path / "run" / "steps.jsonl")]
    assert counts == [2] * 6 + [2 + SMALL.steps] * 6
    assert trained(replace(late, adversary=None)).gradient_evaluations == 2 * 3 * STEPS


def test_a_step_without_attack_is_that_of_a_run_without_adversary(tmp_path):
    """Also with dropout and running statistics: attacks draw nothing, and leave nothing."""
    rough = config(model=OwnModel(attacked.rough), method=SAM(0.1))
    plain = lines(weights_out(replace(rough, adversary=None), tmp_path / "plain") / "steps.jsonl")
    late = lines(
        weights_out(replace(rough, adversary=replace(SMALL, start_epoch=2)), tmp_path / "late") / "steps.jsonl"
    )
    assert late[: 2 * STEPS] == plain[: 2 * STEPS] and late[2 * STEPS :] != plain[2 * STEPS :]
    assert late[2 * STEPS]["loss"] > plain[2 * STEPS]["loss"]


def test_an_attack_of_nearly_nothing_is_plain_training(tmp_path):
    """With the same dropout, and running statistics that move once: those of the attacked images."""
    rough = config(model=OwnModel(attacked.rough), method=SAM(0.1))
    tiny = replace(SMALL, eps=1e-12, step=1e-12)
    expected = weights_of(replace(rough, adversary=None), tmp_path / "plain")
    assert_same(weights_of(replace(rough, adversary=tiny), tmp_path / "tiny"), expected, 1e-5)


def test_a_run_trained_against_an_adversary_withstands_it(tmp_path):
    from samnesia.adversaries import Attack, Linf, worst
    from samnesia.train.loaded import load

    lost = {}
    for name, adversary in {"plain": None, "adversarial": Adversary(eps=0.1, step=0.03, steps=5)}.items():
        trained(config(adversary=adversary, epochs=20), tmp_path / name)
        loaded = load(tmp_path / name)
        everything = range(attacked.TRAIN)
        pixels = loaded.problem.pixels(loaded.problem.train, everything).double()
        targets = loaded.problem.train.batch(everything)[1]
        attack = Attack(Linf(), 0.1, 0.03, 10)
        losses = CrossEntropy().of_samples()
        found = worst(loaded.model, attacked.SEEN, losses, pixels, targets, attack, numbers=everything)
        lost[name] = float(found.loss.mean())
    assert lost["adversarial"] < 0.7 * lost["plain"]


def mixed(seed):
    return replace(attacked.images(seed), mix=lambda inputs, targets, epoch, indices: (inputs, targets))


def alone(seed):
    return replace(attacked.images(seed), exposure=StandardisedAlone(0.1))


def no_images(seed):
    return replace(attacked.images(seed), exposure=None)


def damaged(seed):
    problem = attacked.images(seed)
    batch = problem.train.batch
    problem.train.batch = lambda indices, epoch=None: batch([i for i in indices if i != 3], epoch)
    problem.train.damaged = {3}
    return problem


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (mixed, "samples are mixed with each other, and attacks require images of one class; leave mixing out"),
        (alone, "attacks require the pixels of an image as training sees it, .*, such as Digits"),
        (no_images, r"attacks require images that say how pixels become inputs \(Problem.exposure\), and these are"),
    ],
)
def test_data_that_cannot_be_attacked_are_refused(data, sentence, tmp_path):
    with pytest.raises(ConfigurationError, match=f"^cannot train against an adversary here, because {sentence}"):
        train(config(data=OwnData(data)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_samples_whose_numbers_are_lost_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="^cannot attack the samples of a batch in epoch 0, because damaged"):
        train(config(data=OwnData(damaged)), tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"eps": 0.0}, "cannot attack training images with eps 0.0, because it must be a positive number; use 8/255"),
        ({"step": np.inf}, "cannot attack training images with step inf, because"),
        ({"steps": 0}, "cannot attack training images with 0 steps, because 1 is the least"),
        ({"start_epoch": -1.0}, "because epochs are counted from 0"),
    ],
)
def test_what_is_no_adversary_is_refused(changes, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        Adversary(**changes)


def test_one_that_never_comes_is_said():
    with pytest.warns(
        IdleScheduleWarning, match="^adversarial training begins after epoch 3, but the run ends after 3$"
    ):
        trained(config(adversary=replace(SMALL, start_epoch=3.0)))


def test_configurations_from_before_are_read_and_taken_up(tmp_path, monkeypatch):
    """A run and a checkpoint that were written before there were adversaries are gone on from."""
    run = config(adversary=None)
    whole = trained(run)
    with pytest.raises(RunStopped):
        train(run, tmp_path / "run", stop=After(2))
    before = json.loads((tmp_path / "run" / "config.json").read_text())
    assert before.pop("adversary") is None
    (tmp_path / "run" / "config.json").write_text(json.dumps(before))
    read = Store.read

    def older(store, position):
        found = read(store, position)
        del found.state["config"]["adversary"]
        return found

    monkeypatch.setattr(Store, "read", older)
    assert renewed(before) == run.to_json()
    assert quietly(resume, tmp_path / "run").weight_norm == whole.weight_norm


def test_it_goes_through_json():
    run = config(adversary=replace(EUCLIDEAN, stop_epoch=2.0))
    assert RunConfig.from_json(json.loads(json.dumps(run.to_json()))).adversary == run.adversary


def weights_out(run, out):
    trained(run, out)
    return out
