"""What adds up over a run, and when a run is said to have learned nothing."""

import dataclasses

import pytest
import torch

from samnesia.perturb.flow.report import StepReport
from samnesia.train.config import SAM, RunConfig, Unperturbed
from samnesia.train.log import RunResult
from samnesia.train.totals import Totals, collapse


def report(*, perturbed=True, norm=0.1, gradient=2.0, micro_batches=1, cosine=None):
    found = StepReport()
    for _ in range(micro_batches):
        measured = None if cosine is None else torch.tensor(cosine)
        realized = (torch.tensor(norm), measured) if perturbed else None
        found.note_flow((norm,) if perturbed else (), realized, torch.tensor(gradient))
    found.gradient_evaluations = micro_batches * (2 if perturbed else 1)
    return found


def test_steps_are_counted_by_what_became_of_them():
    totals = Totals()
    totals.note(report(), finite=True, scale=1.0)
    totals.note(report(), finite=False, scale=1.0)
    totals.note(report(perturbed=False), finite=True, scale=1.0)
    totals.note(report(perturbed=False), finite=False, scale=1.0)
    assert (totals.steps, totals.skipped, totals.perturbed, totals.skipped_perturbed) == (2, 2, 2, 1)
    assert totals.gradient_evaluations == 6


def test_gradients_are_counted_in_whole_batches():
    totals = Totals()
    totals.note(report(micro_batches=5), finite=True, scale=1.0)
    assert totals.gradient_evaluations == 2


def test_means_are_over_the_steps_that_have_the_figure():
    totals = Totals()
    for norm, cosine in ((0.1, 1.0), (0.3, None)):
        totals.note(report(norm=norm, cosine=cosine), finite=True, scale=1.0)
    totals.note(report(perturbed=False), finite=True, scale=1.0)
    totals.note(report(norm=float("nan"), gradient=float("inf")), finite=False, scale=1.0)
    assert totals.mean("perturbation_norm") == pytest.approx(0.2)
    assert totals.mean("cosine") == 1.0
    assert totals.mean("gradient_norm") == 2.0
    assert Totals().mean("cosine") is None


def test_a_gradient_that_was_scaled_is_counted_as_it_is():
    totals = Totals()
    totals.note(report(gradient=2.0 * 65536), finite=True, scale=65536.0)
    assert totals.mean("gradient_norm") == 2.0


def test_totals_survive_a_checkpoint():
    totals = Totals()
    totals.note(report(cosine=0.5), finite=True, scale=1.0)
    again = Totals(**totals.to_state())
    assert again == totals
    again.note(report(cosine=0.7), finite=True, scale=1.0)
    assert totals.mean("cosine") == 0.5  # the state is a copy
    assert again.mean("cosine") == pytest.approx(0.6)


GOOD = RunResult(
    recipe="x",
    method="sam",
    seed=3,
    config=RunConfig("x", method=SAM(0.25)),
    environment={},
    parameters=1,
    curves={},
    last={"train_accuracy": 80.0, "test_accuracy": 60.0},
    best={"test_accuracy": 60.0},
    steps=100,
    skipped_steps=0,
    gradient_evaluations=200,
    seconds=1.0,
    report={"perturbation_norm": 0.25, "cosine": 1.0, "gradient_norm": 1.0},
    weight_norm=2.5,
    collapsed=None,
    perturbed_steps=100,
    skipped_perturbed_steps=0,
)
LOST = {"judged_by": {"split": "test", "measure": "rmse", "unit": "", "higher_is_better": False}}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, None),
        ({"last": {"train_accuracy": 15.1}}, None),
        (
            {"last": {"train_accuracy": 15.0}},
            "x (seed 3) ended near chance with rho 0.25 (mean length of the perturbation 0.25, 10 % of the weights'): "
            "training accuracy 15.0 % where chance is 10.0 %; lower rho, perturb from a later epoch on, or train "
            "longer",
        ),
        ({"steps": 50, "skipped_steps": 50}, None),
        (
            {"steps": 49, "skipped_steps": 51, "last": {"train_accuracy": None}, "weight_norm": None},
            "x (seed 3) ended near chance with rho 0.25 (mean length of the perturbation 0.25): training accuracy "
            "0.0 % where chance is 10.0 %, 51 of 100 steps not finite; lower rho, perturb from a later epoch on, or "
            "train longer",
        ),
        ({"skipped_perturbed_steps": 50}, None),
        (
            {"skipped_perturbed_steps": 51},
            "x (seed 3) trained mostly without its method: 51 of 100 perturbed steps were not finite and were skipped; "
            "lower rho",
        ),
        (
            {"config": RunConfig("x", method=Unperturbed()), "last": {"train_accuracy": 10.0}},
            "x (seed 3) ended near chance: training accuracy 10.0 % where chance is 10.0 %; lower the learning rate, "
            "or train longer",
        ),
        ({"last": {"test_accuracy": 60.0}}, None),  # where the training set is not evaluated, by what is
        (LOST | {"last": {"test_rmse": 0.1, "train_rmse": 0.1}}, None),
        (
            LOST | {"last": {"test_rmse": 0.1}, "steps": 1, "skipped_steps": 9},
            "x (seed 3) trained on few steps with rho 0.25 (mean length of the perturbation 0.25, 10 % of the "
            "weights'): 9 of 10 steps not finite; lower rho, perturb from a later epoch on, or train longer",
        ),
    ],
)
def test_a_run_that_learned_nothing_is_said(changes, sentence):
    assert collapse(dataclasses.replace(GOOD, **changes), num_outputs=10) == sentence
