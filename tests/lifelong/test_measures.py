"""Figures of the accuracy matrix, against matrices that were worked out by hand."""

import pytest

from samnesia.lifelong.measures import (
    accuracy_so_far,
    average_accuracy,
    average_forgetting,
    backward_transfer,
    forgetting_of_tasks,
    learning_accuracy,
)
from samnesia.perturb.errors import ConfigurationError

MATRIX = [
    [90.0, 50.0, 40.0],
    [95.0, 80.0, 45.0],
    [60.0, 85.0, 70.0],
]
"""The first task was best after the second, the second in the end."""


def test_figures_of_a_matrix():
    assert average_accuracy(MATRIX) == pytest.approx((60 + 85 + 70) / 3)
    assert forgetting_of_tasks(MATRIX) == pytest.approx([95 - 60, 80 - 85])  # from its best, and not from its own row
    assert average_forgetting(MATRIX) == pytest.approx((35 - 5) / 2)
    assert backward_transfer(MATRIX) == pytest.approx(((60 - 90) + (85 - 80)) / 2)
    assert learning_accuracy(MATRIX) == pytest.approx((90 + 80 + 70) / 3)
    assert accuracy_so_far(MATRIX) == pytest.approx([90.0, (95 + 80) / 2, (60 + 85 + 70) / 3])


def test_nothing_is_forgotten_where_nothing_changes():
    kept = [[90.0, 10.0], [90.0, 80.0]]
    assert average_forgetting(kept) == 0.0 and backward_transfer(kept) == 0.0


def test_a_single_task_has_nothing_to_forget():
    assert average_accuracy([[70.0]]) == 70.0 and learning_accuracy([[70.0]]) == 70.0
    assert forgetting_of_tasks([[70.0]]) == [] and average_forgetting([[70.0]]) is None
    assert backward_transfer([[70.0]]) is None


def test_all_tasks_together_are_one_row():
    together = [[90.0, 80.0]]
    assert average_accuracy(together) == 85.0 and accuracy_so_far(together) == [85.0]
    assert average_forgetting(together) is None and learning_accuracy(together) is None


@pytest.mark.parametrize("matrix", [[], [[]], [[1.0, 2.0], [3.0]], [[1.0], [2.0]], [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]])
def test_other_forms_are_refused(matrix):
    with pytest.raises(ConfigurationError, match="cannot judge a sequence of tasks by rows of"):
        average_accuracy(matrix)
