"""The kernels of the step against their obvious versions: same numbers, however large, laid out or typed."""

import pytest
import torch
from torch import nn

from samnesia.perturb.tensors import (
    Direction,
    Weights,
    assign,
    at_least,
    copies,
    differences,
    mix,
    norms,
    scale,
)

LARGE = (300, 200)  # beyond the size from which norms are taken row by row


def lists(dtype, count=2):
    """Parallel lists of tensors of all the layouts that a model's weights have."""
    generator = torch.Generator().manual_seed(0)
    shapes = [LARGE, (70_000,), (1, 40_000), (16, 8, 3, 3), (64, 32, 5, 5), (3,), (), (0, 4)]

    def one():
        tensors = [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]
        tensors[4] = tensors[4].to(memory_format=torch.channels_last)
        tensors.append(torch.randn(LARGE, generator=generator, dtype=torch.float64).to(dtype).t())
        return tensors

    return [one() for _ in range(count)]


def weights_of(tensors):
    return Weights.of([str(i) for i in range(len(tensors))], [nn.Parameter(t) for t in tensors])


def together(tensors):
    return torch.cat([t.double().flatten() for t in tensors])


def tolerance(dtype):
    return {"rtol": 1e-12, "atol": 0.0} if dtype is torch.float64 else {"rtol": 2e-6, "atol": 0.0}


both = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["double", "single"])


@both
def test_norms(dtype):
    (tensors,) = lists(dtype, 1)
    for size, tensor in zip(norms(tensors), tensors, strict=True):
        assert size.dtype is dtype and size.ndim == 0
        torch.testing.assert_close(size.double(), tensor.double().norm(), **tolerance(dtype))
    for size, tensor in zip(norms(tensors, float("inf")), tensors, strict=True):
        assert float(size) == (float(tensor.abs().max()) if tensor.numel() else 0.0)
    weights = weights_of(tensors)
    torch.testing.assert_close(weights.norm(tensors).double(), together(tensors).norm(), **tolerance(dtype))
    assert float(weights.largest(tensors)) == float(together(tensors).abs().max())


def test_a_large_norm_in_single_precision_is_exact_to_six_digits():
    """Where a plain float32 sum of squares is right to three."""
    for shape in ((2048, 2048), (4_194_307,), (4_194_304, 1), (1, 4_194_304), (64, 64, 32, 32)):
        tensor = torch.full(shape, 1e-3)
        if tensor.ndim == 4:
            tensor = tensor.to(memory_format=torch.channels_last)
        exact = tensor.double().norm()
        assert abs(norms([tensor])[0].double() / exact - 1) < 5e-6, shape


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@both
def test_what_is_not_finite_shows_in_the_norm(dtype, value):
    for index in range(6):
        (tensors,) = lists(dtype, 1)
        tensors[index][(-1,) * tensors[index].ndim] = value
        assert not weights_of(tensors).norm(tensors).isfinite()


@both
def test_inner_products_and_cosines(dtype):
    left, right = lists(dtype)
    weights, exact = weights_of(left), together(left) @ together(right)
    scale_of_sum = together(left).norm() * together(right).norm()
    assert abs(weights.dot(left, right).double() - exact) < (1e-13 if dtype is torch.float64 else 1e-6) * scale_of_sum
    torch.testing.assert_close(
        weights.cosine(left, right).double(), exact / scale_of_sum, rtol=0, atol=1e-13 if dtype.itemsize == 8 else 1e-6
    )
    zeros = [torch.zeros_like(t) for t in left]
    assert float(weights.cosine(left, zeros)) == 1.0


@pytest.mark.parametrize("radii", ["one", "several"])
@both
def test_a_direction_is_added_with_every_group_s_radius(dtype, radii):
    values, along = lists(dtype)
    weights = weights_of([v.clone() for v in values])
    radius = [0.3] * len(values) if radii == "one" else [0.1 * (1 + i % 3) for i in range(len(values))]
    for direction in (Direction(along, torch.tensor(0.7, dtype=dtype)), weights.direction(along)):
        before = [t.clone() for t in weights.tensors]
        weights.add(direction, radius)
        step = [r * direction.factor.double() * a.double() for r, a in zip(radius, along, strict=True)]
        for now, old, e in zip(weights.tensors, before, step, strict=True):
            torch.testing.assert_close(now.double(), old.double() + e, **{**tolerance(dtype), "atol": 1e-6})
        torch.testing.assert_close(
            weights.length(direction, radius).double(), together(step).norm(), **tolerance(dtype)
        )
        for value, multiplied in zip(direction.values(), along, strict=True):
            torch.testing.assert_close(
                value.double(), direction.factor.double() * multiplied.double(), **tolerance(dtype)
            )


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), float("nan")])
def test_a_direction_that_is_not_finite_moves_nothing(value):
    values, along = lists(torch.float64)
    along[0][0, 0] = value
    weights = weights_of(values)
    before = copies(weights.tensors)
    direction = weights.direction(along)
    assert direction.factor.isnan()
    weights.add(direction, [1.0] * len(values))
    assert all(torch.equal(a, b) for a, b in zip(weights.tensors, before, strict=True))


def test_a_device_is_not_asked_and_moves_nothing_either(monkeypatch):
    """The branch for devices that would have to be waited for, on the host: it reads no value."""
    values, along = lists(torch.float64)

    class Elsewhere(torch.Tensor):
        device = torch.device("cuda")

        def __bool__(self):
            raise AssertionError("waited for the device")

        def to(self, *_, **__):
            return self.as_subclass(torch.Tensor)

        isfinite = lambda self: torch.isfinite(self.as_subclass(torch.Tensor)).as_subclass(Elsewhere)  # noqa: E731

    for value in (0.0, float("nan")):
        along[0][0, 0] = value
        weights = weights_of([v.clone() for v in values])
        direction = weights.direction(along)
        weights.add(Direction(along, direction.factor.as_subclass(Elsewhere)), [0.5] * len(values))
        moved = values if value else [v + 0.5 * direction.factor * a for v, a in zip(values, along, strict=True)]
        for now, expected in zip(weights.tensors, moved, strict=True):
            torch.testing.assert_close(now, expected, rtol=1e-14, atol=1e-14)


@both
def test_copies_are_exact_and_apart(dtype):
    (tensors,) = lists(dtype, 1)
    for kept in (copies(tensors), copies(tensors, in_host_memory=True)):
        for copy, tensor in zip(kept, tensors, strict=True):
            assert torch.equal(copy, tensor) and copy.stride() == tensor.stride()
            assert not tensor.numel() or copy.data_ptr() != tensor.data_ptr()
    originals = [t.clone() for t in tensors]
    for tensor in tensors:
        tensor.fill_(float("nan"))
    assign(tensors, originals)
    assert all(torch.equal(a, b) for a, b in zip(tensors, originals, strict=True))
    assert not together(differences(tensors, originals)).any()


@both
def test_mixing_and_scaling(dtype):
    left, right = lists(dtype)
    a, b = torch.tensor(0.3, dtype=dtype), torch.tensor(-1.7, dtype=dtype)
    expected = [0.3 * x.double() - 1.7 * y.double() for x, y in zip(left, right, strict=True)]
    scaled = scale(left, a)
    for s, x in zip(scaled, left, strict=True):
        torch.testing.assert_close(s.double(), 0.3 * x.double(), **tolerance(dtype))
    for m, e in zip(mix(left, a, right, b), expected, strict=True):
        torch.testing.assert_close(m.double(), e, **{**tolerance(dtype), "atol": 1e-6})


def test_whole_shares_are_counted_as_such():
    """Of a hundred, each share in percent is what it says; what is more than whole rounds up."""
    for percent in range(101):
        assert at_least(percent / 100, 100) == at_least(1.0 - (100 - percent) / 100, 100) == percent
    assert [at_least(0.5, 7), at_least(0.5001, 10**6), at_least(1e-6, 8), at_least(0.0, 8)] == [4, 500100, 1, 0]
