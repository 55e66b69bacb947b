"""What a sequence of tasks is judged by: figures of the accuracy matrix.

``R[i][j]`` is the accuracy on task j after the training of task i, in percent, both counted from 0. There is a row for
each training, and a column for each task, those that are still to come included.

Sources: D. Lopez-Paz and M. Ranzato, "Gradient Episodic Memory for Continual Learning", NIPS 2017 (ACC, BWT);
A. Chaudhry et al., "Riemannian Walk for Incremental Learning", ECCV 2018 (forgetting); M. Riemer et al., "Learning to
Learn without Forgetting by Maximizing Transfer and Minimizing Interference", ICLR 2019 (learning accuracy).
"""

from __future__ import annotations

from collections.abc import Sequence

from samnesia.perturb.errors import ConfigurationError

Matrix = Sequence[Sequence[float]]


def average_accuracy(matrix: Matrix) -> float:
    """Mean over all tasks of the last row: ``1/T Σ_j R[T-1][j]`` (ACC, Lopez-Paz and Ranzato 2017, equation 2)."""
    return _mean(_checked(matrix)[-1])


def forgetting_of_tasks(matrix: Matrix) -> list[float]:
    """Of each task but the last, what was lost of its best accuracy: ``max_{i<T-1} R[i][j] - R[T-1][j]``, in points.

    Negative where a task was never as good as in the end. Empty for a single row. (Chaudhry et al. 2018, §3: f_j^k at
    the last task k, the largest of all rows before the last.)
    """
    rows = _checked(matrix)
    return [max(row[task] for row in rows[:-1]) - rows[-1][task] for task in range(len(rows) - 1)]


def average_forgetting(matrix: Matrix) -> float | None:
    """Mean of :func:`forgetting_of_tasks` (Chaudhry et al. 2018: F_k); None for a single row."""
    lost = forgetting_of_tasks(matrix)
    return _mean(lost) if lost else None


def backward_transfer(matrix: Matrix) -> float | None:
    """What later tasks did to earlier ones: ``1/(T-1) Σ_{j<T-1} (R[T-1][j] - R[j][j])`` (BWT, Lopez-Paz 2017, eq. 3).

    In points; negative where they were forgotten. None for a single row.
    """
    rows = _checked(matrix)
    changes = [rows[-1][task] - rows[task][task] for task in range(len(rows) - 1)]
    return _mean(changes) if changes else None


def learning_accuracy(matrix: Matrix) -> float | None:
    """Mean accuracy on each task right after its training: ``1/T Σ_j R[j][j]`` (LA, Riemer et al. 2019).

    None where several tasks were trained together, so that there are fewer rows than tasks.
    """
    rows = _checked(matrix)
    return _mean([rows[task][task] for task in range(len(rows))]) if len(rows) == len(rows[0]) else None


def accuracy_so_far(matrix: Matrix) -> list[float]:
    """After each training the mean over the tasks that were trained by then: ``A_i = 1/(i+1) Σ_{j<=i} R[i][j]``.

    Where all tasks are trained together, over all of them. (Chaudhry et al. 2018, A_k.)
    """
    rows = _checked(matrix)
    whole = len(rows) < len(rows[0])
    return [_mean(row if whole else row[: place + 1]) for place, row in enumerate(rows)]


def _checked(matrix: Matrix) -> Matrix:
    widths = {len(row) for row in matrix}
    if len(widths) != 1 or 0 in widths or (1 < len(matrix) != len(matrix[0])):
        raise ConfigurationError(
            f"cannot judge a sequence of tasks by rows of {', '.join(map(str, sorted(widths))) or 'no'} accuracies, "
            "because there must be one for each task, and as many rows (or one, of all tasks together); give all of "
            "them"
        )
    return matrix


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
