"""The accuracy matrix as a map, and accuracy on each task over the trainings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from samnesia.lifelong.measures import Matrix, accuracy_so_far
from samnesia.measure.figures import INK, MUTED, colour, page, save, style, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MANY = 12  # tasks: from here on numbers would not fit into their cells, nor lines be told apart


def draw_matrix(axes: Axes, matrix: Matrix) -> None:
    """Accuracy on each task (across) after each training (down), in percent."""
    image = axes.imshow(matrix, cmap="Blues", vmin=0.0, vmax=100.0, aspect="auto")
    for i, row in enumerate(matrix):
        for j, value in enumerate(row):
            if len(row) <= _MANY:
                axes.text(j, i, f"{value:.0f}", ha="center", va="center", color="white" if value > 60.0 else INK)
    tidy(axes, grid=False)
    axes.set_xticks(range(len(matrix[0])), [str(task + 1) for task in range(len(matrix[0]))])
    axes.set_yticks(range(len(matrix)), [str(task + 1) for task in range(len(matrix))])
    axes.set_xlabel("accuracy on task, %")
    axes.set_ylabel("after training of task" if len(matrix) > 1 else "all tasks together")
    axes.figure.colorbar(image, ax=axes, shrink=0.85)


def draw_course(axes: Axes, matrix: Matrix) -> None:
    """Accuracy on each task from its own training on, and the mean over the tasks so far."""
    trainings = range(1, len(matrix) + 1)
    for task in range(len(matrix)):
        if len(matrix) <= _MANY:
            values = [row[task] for row in matrix[task:]]
            axes.plot(trainings[task:], values, color=colour(task + 1), linewidth=1.0, marker="o", markersize=2.5)
            axes.annotate(
                str(task + 1), (task + 1, values[0]), (0, 4), textcoords="offset points", fontsize=7, color=MUTED
            )
    axes.plot(
        trainings, accuracy_so_far(matrix), color=INK, linewidth=1.8, marker="s", markersize=3.5, label="mean so far"
    )
    tidy(axes, legend=True)
    axes.set_xticks([*trainings])
    axes.set_ylim(-3.0, 105.0)
    axes.set_xlabel("after training of task")
    axes.set_ylabel("test accuracy, %")


def draw(matrix: Matrix, directory: Path) -> list[Path]:
    """Write ``accuracy.png`` and ``accuracy.svg``: the map, and the course where there are several trainings."""
    draws = [lambda axes: draw_matrix(axes, matrix)]
    if len(matrix) > 1:
        draws.append(lambda axes: draw_course(axes, matrix))
    made = page(draws, columns=2, width=4.2, height=3.2)
    with style():
        return save(made, directory, "accuracy")
