"""Lines and planes: parabolas are parabolas, curvature is curvature, and the model is left as it was."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from torch.autograd.functional import hessian
from torch.func import functional_call

from samnesia.measure.landscape.directions import random_direction
from samnesia.measure.landscape.lines import line
from samnesia.measure.landscape.normalization import ReestimatedStatistics
from samnesia.measure.landscape.planes import plane
from samnesia.measure.statistics import BatchStatistics
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError
from tests.measure.landscape.subjects import classes, convolutional, perceptron, quadratic, seen
from tests.measure.test_subject import data, everything, same


@pytest.mark.parametrize("options", [{}, {"statistics": BatchStatistics()}, {"samples": 13}])
def test_the_middle_of_a_line_is_the_model_itself_to_the_bit(options):
    subject = convolutional(**options)
    found = line(subject, random_direction(subject), span=0.3, points=7)
    assert found.positions[3] == 0.0
    assert found.losses[3] == subject.loss()
    assert found.samples == subject.samples


def test_the_error_rate_is_the_share_of_wrong_classes():
    subject = convolutional()
    inputs, targets = data().tensors
    subject.model.eval()
    wrong = (subject.model(inputs).argmax(1) != targets).double().mean()
    found = line(subject, random_direction(subject), points=3)
    assert found.errors is not None and found.errors[1] == pytest.approx(float(wrong), rel=1e-14)
    assert line(quadratic([1.0, 2.0], [1.0, 1.0]), [torch.ones(2, dtype=torch.float64)]).errors is None


def test_the_line_of_a_quadratic_is_its_parabola():
    subject = quadratic([3.0, -1.0], [0.5, 2.0])
    found = line(subject, [torch.tensor([1.0, -2.0], dtype=torch.float64)], span=(-1.0, 3.0), points=17)
    assert found.positions[0] == -1.0 and found.positions[-1] == 3.0
    expected = [1.5 * (0.5 + t) ** 2 - 0.5 * (2.0 - 2.0 * t) ** 2 for t in found.positions]
    assert found.losses == pytest.approx(expected, rel=1e-14, abs=1e-14)
    assert found.length == pytest.approx(5.0**0.5)


@pytest.mark.parametrize("which", [0, -1])
def test_along_an_eigenvector_the_second_difference_is_its_eigenvalue(which: int):
    model = perceptron(4, steps=5)
    model[1] = nn.Tanh()
    subject, (inputs, targets) = seen(model), classes()
    shapes = [p.shape for p in subject.parameters]
    flat = torch.cat([p.detach().flatten() for p in subject.parameters])

    def cut(vector: torch.Tensor) -> list[torch.Tensor]:
        parts = vector.split([s.numel() for s in shapes])
        return [part.view(s) for part, s in zip(parts, shapes, strict=True)]

    def loss(vector: torch.Tensor) -> torch.Tensor:
        named = dict(zip(subject.names, cut(vector), strict=True))
        return nn.functional.cross_entropy(functional_call(model, named, (inputs,)), targets)

    values, vectors = torch.linalg.eigh(hessian(loss, flat))
    step = 1e-3
    low, middle, high = line(subject, cut(vectors[:, which]), span=step, points=3).losses
    assert (low - 2.0 * middle + high) / step**2 == pytest.approx(float(values[which]), rel=1e-4)


def test_the_axes_of_a_plane_are_lines_to_the_bit():
    subject = convolutional()
    a, b = random_direction(subject, seed=0), random_direction(subject, seed=1, vectors=True)
    found = plane(subject, (a, b), span=0.4, points=5)
    along_a, along_b = (line(subject, one, span=0.4, points=5) for one in (a, b))
    assert found.losses[2] == along_a.losses
    assert tuple(row[2] for row in found.losses) == along_b.losses
    assert found.errors is not None and found.errors[2] == along_a.errors
    assert found.losses[0][4] != found.losses[4][0]
    assert found.lengths == (along_a.length, along_b.length)


def test_x_goes_along_the_first_direction_and_y_along_the_second():
    subject = quadratic([1.0, 10.0], [0.0, 0.0])
    axes = torch.eye(2, dtype=torch.float64)
    found = plane(subject, ([axes[0]], [axes[1]]), span=2.0, points=3)
    assert found.losses == ((22.0, 20.0, 22.0), (2.0, 0.0, 2.0), (22.0, 20.0, 22.0))


@pytest.mark.parametrize("statistics", [{}, {"statistics": ReestimatedStatistics()}])
def test_the_model_is_left_as_it_was(statistics):
    subject = convolutional()
    subject.model.train()
    subject.parameters[0].grad = torch.ones_like(subject.parameters[0])
    before, momentum = everything(subject.model), subject.model[1].momentum
    first = line(subject, random_direction(subject), points=4, **statistics)
    plane(subject, (random_direction(subject), random_direction(subject, seed=1)), points=2, **statistics)
    assert same(before, everything(subject.model))
    assert subject.model[1].momentum == momentum
    assert first == line(subject, random_direction(subject), points=4, **statistics)


def test_a_loss_that_overflows_is_a_height_and_null_in_json():
    subject = Subject(
        nn.Linear(2, 2).double(),
        lambda output, target: output.square().exp().mean(),
        [(torch.ones(3, 2, dtype=torch.float64), torch.zeros(3))],
    )
    found = line(subject, [torch.full_like(p, 100.0) for p in subject.parameters], points=3)
    assert found.losses[0] == float("inf")
    written = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert written["losses"][0] is None and written["losses"][1] == found.losses[1]
    assert "inf" in str(found)


def test_passes_are_as_many_as_said():
    subject = convolutional()
    line(subject, random_direction(subject), points=5)
    assert subject.products == 5
    line(subject, random_direction(subject), points=5, statistics=ReestimatedStatistics())
    assert subject.products == 15


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"points": 1}, "points=1, because two are needed"),
        ({"points": 2.5}, "points=2.5"),
        ({"span": 0.0}, "over a span of 0.0, because it has to have a width"),
        ({"span": (1.0, -1.0)}, "the lower one first"),
        ({"span": float("inf")}, "over a span of inf"),
    ],
)
def test_a_grid_that_is_none_is_refused_in_a_sentence(options, sentence):
    subject = convolutional()
    with pytest.raises(ConfigurationError, match=sentence):
        line(subject, random_direction(subject), **options)
    with pytest.raises(ConfigurationError, match=sentence):
        plane(subject, (random_direction(subject), random_direction(subject, seed=1)), **options)


def test_parallel_directions_span_no_plane():
    subject = convolutional()
    a = random_direction(subject)
    with pytest.raises(ConfigurationError, match="they are parallel or one is zero"):
        plane(subject, (a, [-2.0 * t for t in a.tensors]))


def test_results_print_and_write():
    subject = convolutional()
    a, b = random_direction(subject), random_direction(subject, seed=1)
    one, two = line(subject, a, points=3), plane(subject, (a, b), points=3)
    assert "random direction (seed 0)" in str(one) and "22 samples; running statistics" in str(one)
    assert "3 x 3 points" in str(two)
    assert json.loads(json.dumps(two.as_dict()))["losses"][1][1] == one.losses[1]
