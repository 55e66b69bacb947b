"""Equal steps, gradients, seconds: the epochs that arms get, counted step by step."""

import itertools
import json
import math
import re
from dataclasses import replace

import pytest

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.comparison import budgets, calibration
from samnesia.study.comparison.budgets import EqualGradients, EqualSeconds, EqualSteps, StepsPerEpoch, equal_gradients
from samnesia.train.config import SAM, Digits, Evaluation, Logging, Perturbed, Random, RunConfig, Unperturbed
from samnesia.train.loop import train
from samnesia.train.recipes import find

STEPS = 10


def ten_steps(config):
    return STEPS


def arm(method, epochs=80, **when):
    return RunConfig("arm", method=method, when=Perturbed(**when), epochs=epochs)


ARMS = {
    "sgd": arm(Unperturbed()),
    "sam": arm(SAM(), start_epoch=4.0),
    "late": arm(SAM(), start_epoch=70.35),
    "early": arm(SAM(), stop_epoch=5.0),
    "between": arm(SAM(), start_epoch=5.0, stop_epoch=150.0),
    "seldom": arm(SAM(), interval_steps=7),
    "random": arm(Random(), start_epoch=4.0),
    "statistics": arm(Random(clean_statistics=True), start_epoch=4.0),
}


def counted(config, plain=1.0, perturbed=None, steps=STEPS):
    """What a run costs, step by step, by the clocks of a plain and of a perturbed step."""
    added = {Unperturbed: 0.0, SAM: 1.0}.get(type(config.method))
    added = config.method.clean_statistics / 3 if added is None else added
    dear = plain + added if perturbed is None else perturbed
    fires = config.when.window(steps)
    perturbs = not isinstance(config.method, Unperturbed)
    return math.fsum(dear if perturbs and fires(step) else plain for step in range(config.epochs * steps))


def test_gradients_are_those_of_the_dearest_to_the_nearest_epoch():
    equal = equal_gradients(ARMS, ten_steps)
    target = counted(ARMS["sam"])
    assert target == max(map(counted, ARMS.values())) == 80 * STEPS + 76 * STEPS
    for name, config in equal.items():
        other = [replace(config, epochs=config.epochs + more) for more in (-1, 1)]
        assert abs(counted(config) - target) <= min(abs(counted(one) - target) for one in other), name
        assert config == replace(ARMS[name], epochs=config.epochs)
    assert equal["sam"] == ARMS["sam"]
    assert equal["sgd"].epochs == equal["random"].epochs == 156
    assert {"late": 113, "early": 151, "between": 80}.items() <= {name: c.epochs for name, c in equal.items()}.items()


def test_any_two_arms_end_within_an_epoch_of_each_other():
    equal = equal_gradients(ARMS, ten_steps)
    totals = [counted(config) for config in equal.values()]
    assert max(totals) - min(totals) <= 2 * STEPS


def test_the_count_of_gradients_is_that_of_every_step():
    for config, steps in itertools.product(ARMS.values(), (1, 7, STEPS)):
        assert config.gradient_evaluations(steps) == pytest.approx(counted(config, steps=steps))


def test_of_two_epochs_as_near_the_fewer_are_taken():
    arms = {"sam": arm(SAM(), epochs=1, stop_epoch=0.5), "sgd": arm(Unperturbed(), epochs=1)}
    assert equal_gradients(arms, ten_steps)["sgd"].epochs == 1


def test_runs_at_equal_gradients_take_them():
    """Trained for real: what the methods count is equal within an epoch, and the schedule is stretched."""
    small = {
        name: replace(find(f"digits-noisy-{name}"), epochs=4, when=Perturbed(start_epoch=1.0), batch_size=200)
        for name in ("sgd", "sam", "random")
    }
    small["seldom"] = replace(small["sam"], when=Perturbed(start_epoch=1.5, interval_steps=3))
    results = {name: train(config) for name, config in equal_gradients(small).items()}
    counts = {name: result.gradient_evaluations for name, result in results.items()}
    assert counts["sgd"] == counts["random"] == counts["sam"] == 4 * 4 + 3 * 4
    assert abs(counts["seldom"] - counts["sam"]) <= 4
    assert len(results["sgd"].curves["test_accuracy"]) == 7
    assert results["sgd"].curves["learning_rate"][3] > 10 * results["sgd"].curves["learning_rate"][-1]


def test_steps_are_left_as_they_are_and_have_to_be_equal():
    same = {name: ARMS[name] for name in ("sgd", "sam")}
    assert EqualSteps().equalize(same, ten_steps, {}) == same
    with pytest.raises(
        ConfigurationError,
        match=re.escape("sgd over 80 epochs (800 steps) with sam over 40 epochs (400 steps) at equal steps"),
    ):
        EqualSteps().equalize({"sgd": ARMS["sgd"], "sam": arm(SAM(), epochs=40)}, ten_steps, {})


def test_steps_per_epoch_are_those_of_the_data_which_are_loaded_once(monkeypatch):
    loads, load = [], Digits.load
    monkeypatch.setattr(Digits, "load", lambda data, seed: loads.append(seed) or load(data, seed))
    steps = StepsPerEpoch()
    configs = [RunConfig("a", batch_size=size, drop_last=drop, seed=3) for size in (80, 300) for drop in (True, False)]
    assert [steps(config) for config in configs] == [10, 10, 2, 3]
    assert loads == [3]
    with pytest.raises(ConfigurationError, match="cannot train on 800 samples with batches of 801"):
        steps(RunConfig("a", batch_size=801))


@pytest.mark.parametrize("budget", [EqualGradients(), EqualSeconds(probe=lambda config: 1.0)])
def test_a_method_that_never_perturbs_is_refused(budget):
    arms = {"sgd": ARMS["sgd"], "sam": arm(SAM(), epochs=3, start_epoch=4.0)}
    with pytest.raises(ConfigurationError, match="because a perturbation after 4 epochs falls on none of its steps"):
        budget.equalize(arms, ten_steps, {})


def test_more_epochs_than_there_may_be_are_refused():
    arms = {"sgd": ARMS["sgd"], "sam": arm(SAM(), epochs=600_000)}
    sentence = "cannot give sgd as many gradient evaluations as the dearest method (12,000,000), because that requires"
    with pytest.raises(ConfigurationError, match=re.escape(sentence)):
        equal_gradients(arms, ten_steps)


class FakeProbe:
    """A machine on which plain and perturbed epochs take these seconds, and that becomes slower all the time."""

    def __init__(self, **seconds):
        self.seconds, self.probed = seconds, []

    def __call__(self, config):
        assert (config.recipe, config.when, config.logging) == ("calibration", Perturbed(), Logging())
        self.probed.append(type(config.method).__name__)
        return self.seconds[self.probed[-1]] + 0.001 * len(self.probed)


def test_seconds_are_those_of_the_dearest_by_the_medians_of_interleaved_rounds():
    probe, memory = FakeProbe(Unperturbed=1.0, SAM=2.5, Random=1.2), {}
    equal = EqualSeconds(probe).equalize(ARMS, ten_steps, memory)
    assert len(probe.probed) == calibration.ROUNDS * 4  # plain, SAM, random, random with statistics
    assert probe.probed[:4] == probe.probed[4:8]
    assert sorted(memory["perturbed"]["sam"])[2] == pytest.approx(2.5 + 0.001 * (4 * 2 + 1 + probe.probed.index("SAM")))
    medians = {name: [sorted(memory[what][name])[2] / STEPS for what in ("plain", "perturbed")] for name in ARMS}
    totals = {name: counted(config, *medians[name]) for name, config in equal.items()}
    target = counted(ARMS["sam"], *medians["sam"])
    assert memory["target"] == pytest.approx(target) and equal["sam"].epochs == 80
    for name, config in equal.items():
        other = [counted(replace(config, epochs=config.epochs + more), *medians[name]) for more in (-1, 1)]
        assert abs(totals[name] - target) <= min(abs(one - target) for one in other), name
    assert equal["sgd"].epochs > equal["random"].epochs > 80


def test_what_was_measured_is_used_again_and_only_new_arms_are_measured():
    first, later = FakeProbe(Unperturbed=1.0, SAM=2.0), FakeProbe(Unperturbed=9.0, SAM=9.0, Random=3.0)
    arms, memory = {name: ARMS[name] for name in ("sgd", "sam")}, {}
    equal = EqualSeconds(first).equalize(arms, ten_steps, memory)
    memory = json.loads(json.dumps(memory))
    other_seed = {name: replace(config, seed=9) for name, config in arms.items()}
    again = EqualSeconds(later).equalize(other_seed, ten_steps, memory)
    assert later.probed == []
    assert {name: config.epochs for name, config in again.items()} == {"sgd": equal["sgd"].epochs, "sam": 80}
    more = EqualSeconds(later).equalize({**arms, "random": ARMS["random"]}, ten_steps, memory)
    assert set(later.probed) == {"Unperturbed", "Random"}
    assert {**more, "random": None} == {**equal, "random": None}
    assert more["random"].epochs < 80  # by its own clock, dearer than what the study was begun with


def test_arms_that_have_changed_are_measured_anew():
    probe, memory = FakeProbe(Unperturbed=1.0, SAM=2.0), {}
    arms = {name: ARMS[name] for name in ("sgd", "sam")}
    EqualSeconds(probe).equalize(arms, ten_steps, memory)
    fewer = {name: replace(config, epochs=40) for name, config in arms.items()}
    equal = EqualSeconds(probe).equalize(fewer, ten_steps, memory)
    assert equal["sam"].epochs == 40
    assert 40 < equal["sgd"].epochs < 80


def test_an_epoch_is_measured_between_the_ends_of_two():
    """A clock that ticks once per look: each epoch's end is a look, so that an epoch takes a tick, less where several
    epochs lie between two evaluations."""
    ticks = itertools.count()
    config = replace(find("digits-noisy-sam"), when=Perturbed(), epochs=50)
    assert calibration.seconds_per_epoch(config, clock=lambda: float(next(ticks))) == 1.0
    assert next(ticks) == 2
    config = replace(config, evaluation=Evaluation(every_epochs=2))
    assert calibration.seconds_per_epoch(config, clock=lambda: float(next(ticks))) == 0.5


def test_what_was_made_equal_is_said():
    arms = {name: ARMS[name] for name in ("sgd", "sam")}
    budget = EqualGradients()
    equal = budget.equalize(arms, ten_steps, {})
    assert budgets.in_words(budget, arms, equal, ten_steps, {}) == (
        "Every method gets as many gradient evaluations, to the nearest whole epoch: "
        "sgd 156 epochs instead of 80 (1,560), sam 80 epochs (1,560)."
    )
