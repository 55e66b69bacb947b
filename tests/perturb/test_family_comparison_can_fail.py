"""The comparison of the family with its oracles fails where a part of the library is wrong, by one in a million or so.

That it fails where a rule of an oracle is wrong is tested beside the comparison itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import samnesia
from samnesia.perturb.parts.point import Need
from tests.family import driver
from tests.family.library import LIBRARY, base_optimizer, network, run_of, train
from tests.family.settings import setting
from tests.family.table import ORACLES
from tests.perturb.test_family_against_oracles import assert_equal

OFF = 1.0 + 1e-6
Wrong = Callable[[Any], Any]


def off(right: Any) -> Any:
    """What it returns is a little too large: tensors, lists of them, directions."""

    def wrong(*arguments: Any, **options: Any) -> Any:
        return larger(right(*arguments, **options))

    return wrong


def larger(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value * OFF
    if dataclasses.is_dataclass(value):
        return dataclasses.replace(value, factor=value.factor * OFF)
    return [larger(one) for one in value]


def left_out(right: Any) -> Any:
    """It does nothing."""
    return lambda *arguments, **options: None


def exchanged(right: Any) -> Any:
    """The losses before and after change their places."""
    return lambda part, before, after: right(part, after, before)


def one_later(right: Any) -> Any:
    return lambda part, step: right(part, step + 1)


def the_loss(right: Any) -> Any:
    """An objective that is none of its own."""
    return lambda part, output, target: F.cross_entropy(output, target)


def unmoved(right: Any) -> Any:
    """An ascent that moves nothing."""

    def climb(part: Any, point: Any) -> Any:
        for _ in range(part.num_gradients):
            yield Need.GRADIENT

    return climb


class Farther:
    """A point from which each move goes a little too far."""

    def __init__(self, point: Any) -> None:
        self._point = point

    def __getattr__(self, name: str) -> Any:
        return getattr(self._point, name)

    def move(self, direction: Any) -> None:
        self._point.move(larger(direction))


def too_far(right: Any) -> Any:
    """An ascent whose moves are a little too long."""
    return lambda part, point: right(part, Farther(point))


WRONG: list[tuple[str, type, str, Wrong]] = [
    ("multi-step sam", samnesia.GradientAscent, "direction", off),
    ("interval sam", type(samnesia.every(2)), "__call__", one_later),
    ("late sam", type(samnesia.after(2)), "__call__", one_later),
    ("lookbehind sam", samnesia.Fixed, "shares", off),
    ("lookbehind sam adaptive", samnesia.Aligned, "shares", off),
    ("looksam", samnesia.ReusedDirection, "between", off),
    ("ae-sam", samnesia.SteepEnough, "climb", unmoved),
    ("esam weights", samnesia.PartialAscent, "direction", off),
    ("esam samples", samnesia.LargestRise, "choose", exchanged),
    ("msam", samnesia.MomentumAscent, "climb", too_far),
    ("mesa", samnesia.AverageTeacher, "divergence", off),
    ("mesa", samnesia.AverageTeacher, "apply", left_out),
    ("saf", samnesia.PastTeacher, "divergence", off),
    ("lookahead", samnesia.Lookahead, "apply", left_out),
    ("shrink and perturb", samnesia.ShrinkAndPerturb, "apply", left_out),
    ("wsam", samnesia.Mixture, "combine", off),
    ("wsam decoupled", samnesia.KeptDifference, "combine", off),
    ("wsam decoupled", samnesia.DifferenceStep, "apply", left_out),
    ("stable sam", samnesia.RescaledNorm, "combine", off),
    ("functional sam", samnesia.FrozenDerivative, "value", off),
    ("imbsam", samnesia.ClassWeighted, "__call__", off),
    ("iterated obf", samnesia.OutputBiasForgetting, "__call__", the_loss),
    ("friendly sam", samnesia.ResidualAscent, "climb", unmoved),
    ("vasso", samnesia.AveragedAscent, "climb", unmoved),
    ("gcsam", samnesia.CentralizedAscent, "direction", off),
    ("gcsam", samnesia.CentralizedGradient, "combine", off),
    ("zsharp", samnesia.OutlierAscent, "direction", off),
    ("sparse sam", samnesia.MaskedAscent, "climb", unmoved),
    ("fisher sam", samnesia.FisherAscent, "direction", off),
    ("le-sam", samnesia.IncrementAscent, "direction", off),
    ("rwp", samnesia.UnitNoiseAscent, "climb", too_far),
    ("sam-on", samnesia.Only, "steepest", off),
    ("layer ball", samnesia.LargestLayer, "steepest", off),
    ("filter ball", samnesia.LargestUnit, "steepest", off),
    ("linf", samnesia.Linf, "steepest", off),
    ("stable sam", samnesia.L2, "steepest", off),
    ("asam-on", samnesia.ElementScaling, "factors", off),
]


@pytest.mark.parametrize(
    ("name", "part", "method", "wrong"), WRONG, ids=lambda value: getattr(value, "__name__", value)
)
def test_a_wrong_part_is_found(name, part, method, wrong, monkeypatch):
    expected = driver.train(ORACLES[name], run_of(name, "sgd"))  # with what the right library drew
    assert_equal(train(name, "sgd").trajectory, expected)
    monkeypatch.setattr(part, method, wrong(getattr(part, method)))
    with pytest.raises(AssertionError, match="largest relative error"):
        assert_equal(train.__wrapped__(name, "sgd").trajectory, expected)


def parts_of(name: str) -> set[type]:
    """The kinds of parts that the library's method is made of."""
    run = setting(name, "sgd")
    model = network(run.problem, run.start)
    method = LIBRARY[name].build(model, base_optimizer("sgd", model))
    parts = [method.ball.norm, method.ball.scaling, method.ascent, method.rule, method.objective, method.remainder]
    parts += [method.selection, method.descent, method.teacher, *method.updates]
    parts += [method.inner.interpolation] if method.inner is not None else []
    return {type(part) for part in parts if part is not None}


def test_every_part_of_the_family_is_made_wrong():
    used = set().union(*map(parts_of, LIBRARY))
    scalings = {samnesia.Unscaled, samnesia.LayerScaling, samnesia.UnitScaling}  # one, and those of balls made wrong
    assert used - scalings == {part for _, part, _, _ in WRONG} - {type(samnesia.every(2)), type(samnesia.after(2))}
