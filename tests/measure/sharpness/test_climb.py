"""The two ways up."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from samnesia import Ball
from samnesia.measure import AutoPGD, ProjectedAscent, worst_case
from samnesia.measure.sharpness.climb import Place, checkpoints
from samnesia.measure.sharpness.hill import Around, Seen
from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.tensors import Weights
from tests.measure.sharpness.surfaces import network


class Function:
    """A hill of two coordinates, that notes where it is looked at."""

    def __init__(self, of):
        self.of, self.places = of, []

    def look(self, offsets, *, slope):
        e = offsets[0].detach().clone().requires_grad_()
        loss = self.of(e)
        self.places.append(e.detach().clone())
        gradient = [torch.autograd.grad(loss, e)[0]] if slope else []
        return Seen(float(loss.detach()), gradient, torch.zeros(0))


def plane(rho: float = 1.0) -> Around:
    parameter = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    return Around(Weights.of(["weight"], [parameter]), Ball(), rho)


def climbed(of, climb, steps, start=(0.0, 0.0)):
    hill, around = Function(of), plane()
    offsets = [torch.tensor(start, dtype=torch.float64)]
    top = climb.highest(hill, around, Place(offsets, hill.look(offsets, slope=True)), steps)
    return top, hill.places


def test_checkpoints_are_those_of_the_paper():
    """Croce & Hein: p = 0, 0.22, then intervals that shrink by 0.03 to 0.06 at least."""
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints(20) == [5, 9, 12, 14, 16, 18, 19, 20]
    assert checkpoints(1)[0] == 1


def textbook(of, steps, alpha=0.75, share=0.75):
    """Algorithm 1 of Croce & Hein in the unit disc, written out; the highest place it arrives at."""

    def project(x):
        return x / max(1.0, float(x.norm()))

    def slope(x):
        x = x.clone().requires_grad_()
        return torch.autograd.grad(of(x), x)[0]

    x, eta = [torch.zeros(2, dtype=torch.float64)], 2.0
    best, highest, last, rises, eta_then, best_then = x[0], None, 0, 0, None, None
    for k in range(1, steps + 1):
        g = slope(x[-1])
        z = project(x[-1] + eta * g / g.norm())
        new = z if k == 1 else project(x[-1] + alpha * (z - x[-1]) + (1 - alpha) * (x[-1] - x[-2]))
        highest = new if highest is None or of(new) > of(highest) else highest
        best = new if of(new) > of(best) else best
        rises += bool(of(new) > of(x[-1]))
        x.append(new)
        if k in checkpoints(steps):
            halve = rises < share * (k - last) or (eta_then == eta and best_then == of(best))
            eta_then, best_then, last, rises = eta, of(best), k, 0
            if halve:
                eta, x[-1] = eta / 2, best
    return highest


def narrow(e):
    return -((e[0] - 0.3) ** 2) - 40.0 * (e[1] + 0.2) ** 2


def wavy(e):
    return torch.sin(5.0 * e[0]) * torch.cos(4.0 * e[1]) + e[0] + 0.3 * e[1]


@pytest.mark.parametrize("steps", [1, 2, 7, 20, 50])
@pytest.mark.parametrize("of", [narrow, wavy])
def test_auto_pgd_is_the_textbook_one(of, steps: int):
    top, places = climbed(of, AutoPGD(), steps)
    torch.testing.assert_close(top.offsets[0], textbook(of, steps), rtol=1e-7, atol=1e-8)  # rounding grows
    assert len(places) == steps + 1


def test_halving_finds_a_narrow_top_that_equal_steps_overshoot():
    auto, _ = climbed(narrow, AutoPGD(), 60)
    equal, _ = climbed(narrow, ProjectedAscent(reach=60.0), 60)  # steps as long as the radius
    assert auto.seen.loss > -1e-3 > equal.seen.loss


def test_a_climb_ends_where_there_is_no_slope():
    top, places = climbed(lambda e: (e * 0.0).sum(), AutoPGD(), 9)
    assert len(places) == 1 and float(top.offsets[0].norm()) == 0.0


def test_steps_of_projected_ascent_are_equal_and_at_most_the_radius():
    _, places = climbed(lambda e: e[0], ProjectedAscent(), 5)
    assert [float(e[0]) for e in places] == pytest.approx([0.0, 0.5, 1.0, 1.0, 1.0, 1.0], rel=1e-9)
    _, places = climbed(lambda e: e[0], ProjectedAscent(), 1)
    assert [float(e[0]) for e in places] == pytest.approx([0.0, 1.0], rel=1e-9)


def test_auto_pgd_finds_more_than_equal_steps_on_a_network():
    auto, equal = (worst_case(network(), 1.0, restarts=0, climb=climb) for climb in (AutoPGD(), ProjectedAscent()))
    one = worst_case(network(), 1.0, restarts=0, steps=1)
    assert auto.value >= equal.value > one.value


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (lambda: ProjectedAscent(reach=0.0), "reach=0.0"),
        (lambda: AutoPGD(momentum=1.5), "momentum=1.5"),
        (lambda: AutoPGD(successes=float("nan")), "successes=nan"),
    ],
)
def test_wrong_settings_are_refused(made, sentence: str):
    with pytest.raises(ConfigurationError, match=sentence):
        made()
