"""The plane that a run moved in most."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from samnesia.measure.landscape.lines import line
from samnesia.measure.landscape.planes import trajectory_plane
from samnesia.measure.landscape.principal import principal_directions
from samnesia.perturb.errors import ConfigurationError
from tests.measure.landscape.subjects import convolutional, perceptron, quadratic, seen
from tests.measure.test_subject import everything, same


def spiral(count: int = 7) -> list[tuple[float, float]]:
    """Coordinates of a path that ends in the origin."""
    return [(3.0 * (1 - i / count) * math.cos(i), 2.0 * (1 - i / count) * math.sin(i)) for i in range(count + 1)]


def offsets(subject, path) -> list[list[torch.Tensor]]:
    """The path in a plane of two orthonormal directions."""
    torch.manual_seed(0)
    shapes = [p.shape for p in subject.parameters]
    total = sum(s.numel() for s in shapes)
    basis = torch.linalg.qr(torch.randn(total, 2, dtype=torch.float64))[0].T
    weights = torch.cat([p.detach().flatten() for p in subject.parameters])
    points = [weights + x * basis[0] + y * basis[1] for x, y in path]
    return [[t.view(s) for t, s in zip(p.split([s.numel() for s in shapes]), shapes, strict=True)] for p in points]


@pytest.mark.parametrize("drop_last", [False, True])
def test_a_plane_path_is_explained_whole_and_projected_exactly(drop_last: bool):
    subject = convolutional()
    path = spiral()[:-1] if drop_last else spiral()  # the origin is a point of it either way
    checkpoints = offsets(subject, path)
    found = principal_directions(subject, checkpoints)
    assert sum(found.explained) == pytest.approx(1.0, abs=1e-12)
    assert found.explained[0] > found.explained[1] > 0.01
    assert max(found.outside) < 1e-6
    lengths = [float(subject.weights.norm(axis.tensors)) for axis in found.axes]
    assert lengths == pytest.approx([1.0, 1.0], rel=1e-12)
    assert abs(float(subject.weights.dot(found.axes[0].tensors, found.axes[1].tensors))) < 1e-12
    assert len(found.path) == len(path)
    for (x, y), checkpoint in zip(found.path, checkpoints, strict=True):
        for a, b, weight, there in zip(
            found.axes[0].tensors, found.axes[1].tensors, subject.parameters, checkpoint, strict=True
        ):
            torch.testing.assert_close(weight.detach() + x * a + y * b, there, rtol=0.0, atol=1e-12)
    assert min(found.path[0]) >= 0.0


def test_it_is_the_principal_component_analysis_of_scikit_learn():
    subject = seen(perceptron())
    torch.manual_seed(3)
    steps = torch.randn(6, sum(p.numel() for p in subject.parameters), dtype=torch.float64).cumsum(0)
    weights = torch.cat([p.detach().flatten() for p in subject.parameters])
    sizes = [p.numel() for p in subject.parameters]
    checkpoints = [
        [t.view(p.shape) for t, p in zip((weights + s).split(sizes), subject.parameters, strict=True)] for s in steps
    ]
    found = principal_directions(subject, checkpoints)
    rows = np.vstack([steps.numpy(), np.zeros((1, steps.shape[1]))])
    known = PCA(2).fit(rows)
    assert found.explained == pytest.approx(known.explained_variance_ratio_, rel=1e-12)
    coordinates = rows[:-1] @ known.components_.T
    assert np.abs(np.array(found.path)) == pytest.approx(np.abs(coordinates), rel=1e-10)
    away = np.linalg.norm(rows[:-1] - coordinates @ known.components_, axis=1)
    assert found.outside == pytest.approx(away / np.linalg.norm(rows, axis=1).max(), rel=1e-9)


def test_the_loss_over_it_is_that_at_the_checkpoints():
    subject = quadratic([2.0, 5.0], [0.0, 0.0])
    checkpoints = [[torch.tensor([x, y], dtype=torch.float64)] for x, y in spiral()]
    found = trajectory_plane(subject, checkpoints, points=9, margin=0.25)
    plane = found.plane
    for x, y in found.path:
        assert plane.x[0] < x < plane.x[-1] and plane.y[0] < y < plane.y[-1]
    axes = principal_directions(subject, checkpoints).axes
    for j, y in enumerate(plane.y):
        w = plane.x[0] * axes[0].tensors[0] + y * axes[1].tensors[0]
        assert plane.losses[j][0] == pytest.approx(float(w[0] ** 2 + 2.5 * w[1] ** 2), rel=1e-12)
    wide, high = plane.x[-1] - plane.x[0], plane.y[-1] - plane.y[0]
    assert max(wide, high) / min(wide, high) <= 2.0
    assert "= 100.0%" in str(found) and len(json.loads(json.dumps(found.as_dict()))["path"]) == 8


def test_state_dicts_are_checkpoints_and_the_model_is_left_as_it_was():
    subject = convolutional()
    other = offsets(subject, spiral(3))
    states = [
        {**subject.model.state_dict(), **dict(zip(subject.names, checkpoint, strict=True))} for checkpoint in other
    ]
    before = everything(subject.model)
    found = trajectory_plane(subject, states, points=3)
    assert found == trajectory_plane(subject, other, points=3)
    assert same(before, everything(subject.model))


def test_most_of_the_variance_of_a_random_walk_is_in_two_directions_too():
    """What docs/landscape.md warns of: 6 / pi^2 (1 + 1/4) for a long walk in many dimensions."""
    torch.manual_seed(1)
    subject = quadratic([0.0] * 20000, [0.0] * 20000)
    walk = torch.randn(120, 20000, dtype=torch.float64).cumsum(0)
    found = principal_directions(subject, [[w] for w in walk - walk[-1]])
    assert sum(found.explained) == pytest.approx(6 / math.pi**2 * 1.25, abs=0.02)


@pytest.mark.parametrize("path", [[], [(0.0, 0.0)], [(1.0, 0.0)], [(2.0, 1.0), (1.0, 0.5)], [(0.0, 0.0)] * 4])
def test_a_path_that_spans_no_plane_is_refused_in_a_sentence(path):
    subject = convolutional()
    with pytest.raises(ConfigurationError, match=f"through {len(path)} checkpoints?, because with the subject's weigh"):
        trajectory_plane(subject, offsets(subject, path))


def test_checkpoints_of_another_network_are_refused():
    subject, other = seen(perceptron(6)), perceptron(7)
    with pytest.raises(ConfigurationError, match=r"\(7, 4\) stands where parameter '0.weight'"):
        trajectory_plane(subject, [other.state_dict()] * 3)
    with pytest.raises(ConfigurationError, match="margin=-1"):
        trajectory_plane(subject, [], margin=-1.0)
    with pytest.raises(ConfigurationError, match="stands where"):
        line(subject, [p.detach() for p in other.parameters()])
