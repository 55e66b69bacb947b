"""A study of your own: does SAM help where labels are wrong? Two factors, one hypothesis, five seeds.

samnesia study examples/own_study.py:wrong_labels --plan
samnesia study examples/own_study.py:wrong_labels --out runs/wrong_labels

The same from Python, which prints the verdict:

python examples/own_study.py runs/wrong_labels
"""

import sys

from samnesia.study.design import Design, Factor, Measure, Study
from samnesia.study.engine.run import run_study
from samnesia.study.hypotheses import Difference
from samnesia.study.judging.verdicts import judge
from samnesia.study.training import Training
from samnesia.train.config import MLP, SGD, Digits, RunConfig
from samnesia.train.parts.methods import SAM, Unperturbed

METHODS = {"sgd": Unperturbed(), "sam": SAM(rho=0.3)}
FLIPPED = {"right": 0.0, "wrong": 0.4}


def wrong_labels():
    """What is varied, measured and claimed: written down before anything runs."""
    design = Design(
        name="wrong-labels",
        question="Does SAM help where 40 % of the training labels are wrong?",
        factors=(Factor("method", tuple(METHODS)), Factor("labels", tuple(FLIPPED))),
        measures=(
            Measure("accuracy", "last.test_accuracy", "test accuracy, last epoch", "%", higher_is_better=True),
            Measure("fitted", "last.flipped_fitted", "wrong labels fitted, last epoch", "%", higher_is_better=False),
        ),
        seeds=(0, 1, 2, 3, 4),
        primary=(
            Difference(
                claim="SAM is better than SGD on wrong labels",
                measure="accuracy",
                treatment={"method": "sam"},
                control={"method": "sgd"},
                where={"labels": "wrong"},
                smallest=2.0,
            ),
        ),
    )
    return Study(design, cell)


def cell(levels, seed):
    """What one cell does: here it trains a run."""
    return Training(
        RunConfig(
            recipe="wrong-labels",
            data=Digits(flipped=FLIPPED[levels["labels"]]),
            model=MLP(hidden=(64, 64)),
            optimizer=SGD(lr=0.05, momentum=0.9),
            method=METHODS[levels["method"]],
            epochs=20,
            seed=seed,
        )
    )


if __name__ == "__main__":
    results = run_study(wrong_labels(), sys.argv[1])
    print(results.table.groupby(["labels", "method"], sort=False)["last.test_accuracy"].mean().round(1).to_string())
    for verdict in judge(results.design, results.table):
        print(verdict.sentence)
