"""Our own problems as runs: what plain SGD reaches, and what a run on marked digits measures."""

from dataclasses import replace

import pytest

from samnesia.train.config import Digits, Evaluation, Photographs, Table
from samnesia.train.log import RunResult
from samnesia.train.loop import train
from samnesia.train.recipes import find

FIGURES = ("followed", "wrong_accuracy", "right_accuracy")


@pytest.mark.slow
def test_sgd_learns_photographs_and_leaves_room():
    """Ten seeds gave 79.9 on average with a standard deviation of 5.3: the mean of three lies well inside."""
    found = [train(replace(find("photographs-sgd"), seed=seed)).score("last") for seed in range(3)]
    assert 60 < sum(found) / 3 < 92
    assert min(found) > 55


def test_a_part_of_the_photographs_is_learnt_beyond_chance_and_not_wholly():
    config = replace(find("photographs-sgd"), data=Photographs(per_region=4), epochs=5, batch_size=32)
    result = train(replace(config, evaluation=Evaluation(every_epochs=5)))
    assert 30 < result.score("last") < 92  # chance is 12.5
    assert result.last["train_accuracy"] > result.score("last")


@pytest.fixture(scope="module")
def marked():
    return train(replace(find("digits-shortcut-sgd"), epochs=8))


def test_a_run_on_marked_digits_follows_misleading_marks_and_says_so(marked):
    for split in ("train", "validation", "test"):
        for figure in FIGURES:
            assert all(0 <= value <= 100 for value in marked.curves[f"{split}_mark_{figure}"])
    assert marked.last["test_mark_followed"] > 5 > marked.last["train_mark_followed"]
    assert marked.last["test_mark_wrong_accuracy"] < marked.last["test_mark_right_accuracy"] - 5
    assert marked.last["validation_accuracy"] > marked.last["test_accuracy"] + 5  # validation has the bias, too
    assert marked.last["flipped_fitted"] is None


def test_the_shares_add_up_to_the_accuracy(marked):
    """760 marks of training images are right, and 40 are wrong; of validation images 190 and 10."""
    for split, wrong in (("train", 0.05), ("validation", 0.05)):
        parts = [marked.curves[f"{split}_mark_{figure}"] for figure in FIGURES[1:]]
        whole = [wrong * apart + (1 - wrong) * along for apart, along in zip(*parts, strict=True)]
        assert whole == pytest.approx(marked.curves[f"{split}_accuracy"])


def test_results_with_marks_are_read_again(marked):
    assert RunResult.from_json(marked.to_json()) == marked


def test_without_marks_there_are_no_such_figures():
    result = train(replace(find("digits-few-sgd"), epochs=1))
    assert not [name for name in result.curves if "mark" in name]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (Digits(), "Scikit-learn's digits: 800 training, 200 validation and 797 test images."),
        (Digits(train=400), "400 training, 200 validation and 1,197 test images."),
        (Digits(flipped=0.4), " 40 % of the training and of the validation labels are moved to another class;"),
        (Digits(marks=0.9), "that of the image for 90 % of the training and of the validation images; test marks are"),
        (Photographs(), "from 8 photographs of scikit-image's, each photograph a class: 768 for training, 288 for"),
        (Table(), "table wine with its features as they were measured: 80 rows for training, 40 for validation"),
        (Table(normalized=True), "table wine with its features normalised by the training rows: 80 rows for training"),
        (Digits(normalized=False), "797 test images. Pixels are as they come, 0 to 16."),
    ],
)
def test_data_say_what_they_are(data, words):
    assert words in data.says
