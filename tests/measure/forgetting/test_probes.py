"""Probes: each makes the perturbation that it says, and leaves no trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import samnesia
from samnesia.measure.forgetting.probes import (
    CommonProbe,
    NormMatched,
    OtherBatch,
    OwnProbe,
    PermutedLabels,
    Probe,
    RiseMatched,
    norm,
)
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError
from tests.measure.test_subject import everything, same

Batch = tuple[Tensor, Tensor]


def net(*, dropout: float = 0.0) -> nn.Module:
    """With BatchNorm, after a forward."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 3)).double()
    model(torch.randn(16, 6, dtype=torch.float64))
    return model


def batches(count: int = 4, size: int = 10) -> list[Batch]:
    """Of a problem that can be learnt."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count * size, 6, generator=generator, dtype=torch.float64)
    return list(zip(x.split(size), x[:, :3].argmax(1).split(size), strict=True))


METHODS = {
    "sam": lambda model, optimizer: samnesia.sam(model, optimizer, rho=0.3, loss=F.cross_entropy),
    "multi-step": lambda model, optimizer: samnesia.sam(model, optimizer, rho=0.3, steps=3, loss=F.cross_entropy),
    "asam": lambda model, optimizer: samnesia.asam(model, optimizer, rho=0.5, loss=F.cross_entropy),
    "gsam": lambda model, optimizer: samnesia.gsam(model, optimizer, rho=0.3, alpha=0.2, loss=F.cross_entropy),
    "obf": lambda model, optimizer: samnesia.obf(model, optimizer, rho=0.3, loss=F.cross_entropy),
    "random": lambda model, optimizer: samnesia.random_perturbation(model, optimizer, rho=0.3, loss=F.cross_entropy),
    "clean": lambda model, optimizer: samnesia.random_perturbation(
        model, optimizer, rho=0.3, clean_statistics=True, loss=F.cross_entropy
    ),
}


def trained(name: str, model: nn.Module, steps: int = 3) -> samnesia.PerturbedGradient:
    """A method some steps into training."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    method = METHODS[name](model, optimizer)
    model.train()
    for x, y in batches()[:steps]:
        for p in method.passes():
            p.loss(model(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()
    return method


@pytest.mark.parametrize("name", METHODS)
def test_own_is_where_the_methods_next_step_would_stand(name: str):
    model = net()
    method, (x, y) = trained(name, model), batches()[3]
    subject = Subject(model, F.cross_entropy, batches())
    found = OwnProbe(method).perturbation(subject, [(x, y)], 0)
    start = [p.detach().clone() for p in model.parameters()]
    for p in method.passes():
        if p.last:
            there = [q.detach().clone() for q in model.parameters()]
        p.loss(model(x), y).backward()
    for offset, here, old in zip(found, there, start, strict=True):
        torch.testing.assert_close(old + offset, here, rtol=0.0, atol=1e-15)
    assert norm(found) > 0.0


def test_common_is_sams_for_a_model_that_no_method_trains():
    model, (x, y) = net(), batches()[0]
    subject = Subject(model, F.cross_entropy, batches())
    found = CommonProbe(rho=0.25).perturbation(subject, batches(), 0)
    model.train()
    gradients = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
    length = norm(list(gradients))
    for offset, gradient in zip(found, gradients, strict=True):
        torch.testing.assert_close(offset, 0.25 * gradient / length, rtol=1e-9, atol=1e-14)


def test_common_takes_any_ball_ascent_and_objective():
    subject = Subject(net(), F.cross_entropy, batches())
    scaled = samnesia.Ball(scaling=samnesia.ElementScaling())
    assert norm(
        CommonProbe(rho=0.2, ascent=samnesia.RandomAscent()).perturbation(subject, batches(), 0)
    ) == pytest.approx(0.2)
    in_ball = CommonProbe(rho=0.2, ball=scaled).perturbation(subject, batches(), 0)
    assert float(scaled.measure(subject.weights, in_ball)) == pytest.approx(0.2)
    plain, biased = (
        CommonProbe(rho=0.2, objective=objective).perturbation(subject, batches(), 0)
        for objective in (None, samnesia.OutputBiasForgetting())
    )
    assert not torch.allclose(plain[0], biased[0])


PROBES = {
    "own": lambda method: OwnProbe(method),
    "common": lambda method: CommonProbe(rho=0.3),
    "noise": lambda method: CommonProbe(rho=0.3, ascent=samnesia.RandomAscent()),
    "random of its norm": lambda method: NormMatched(OwnProbe(method)),
    "random of its rise": lambda method: RiseMatched(CommonProbe(ascent=samnesia.RandomAscent()), OwnProbe(method)),
    "permuted": lambda method: PermutedLabels(CommonProbe(rho=0.3, objective=samnesia.OutputBiasForgetting())),
    "elsewhere": lambda method: OtherBatch(OwnProbe(method)),
}


@pytest.mark.parametrize("name", PROBES)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("gradient", [True, False])
def test_a_probe_leaves_no_trace_and_gives_the_same_again(name: str, training: bool, gradient: bool):
    model = net(dropout=0.3)
    method = trained("sam", model)
    subject = Subject(model, F.cross_entropy, batches())
    model.train(training)
    if gradient:
        F.cross_entropy(model(batches()[0][0]), batches()[0][1]).backward()
    probe = PROBES[name](method)
    hooks = [len(getattr(method.optimizer, f"_optimizer_{when}_hooks")) for when in ("step_pre", "step_post")]
    state, step, before = method.state_dict(), method.last_step, everything(model)
    found = probe.perturbation(subject, batches(), 1)
    assert same(everything(model), before)
    assert method.state_dict() == state
    assert method.last_step is step
    assert hooks == [len(getattr(method.optimizer, f"_optimizer_{when}_hooks")) for when in ("step_pre", "step_post")]
    torch.rand(7)  # what was drawn elsewhere has no effect
    for one, other in zip(found, probe.perturbation(subject, batches(), 1), strict=True):
        assert torch.equal(one, other)
    assert norm(found) > 0.0
    assert str(probe)


def test_training_goes_on_as_if_nobody_had_probed():
    ends = []
    for probed in (False, True):
        model = net(dropout=0.3)
        method = trained("sam", model, steps=1)
        subject = Subject(model, F.cross_entropy, batches())
        torch.manual_seed(5)
        model.train()
        for x, y in batches():
            if probed:
                OwnProbe(method).perturbation(subject, batches(), 2)
                CommonProbe(rho=1.0).perturbation(subject, batches(), 2)
            for p in method.passes():
                p.loss(model(x), y).backward()
            method.optimizer.step()
            method.optimizer.zero_grad()
        ends.append([value.clone() for value in model.state_dict().values()])
    assert same(ends[0], ends[1])


def test_nothing_moves_at_radius_zero_and_on_a_step_that_does_not_perturb():
    model = net()
    subject = Subject(model, F.cross_entropy, batches())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    late = samnesia.sam(model, optimizer, rho=0.3, when=samnesia.after(10), loss=F.cross_entropy)
    for probe in (
        CommonProbe(rho=0.0),
        OwnProbe(late),
        OwnProbe(samnesia.unperturbed(model, optimizer, loss=F.cross_entropy)),
    ):
        assert all(not offset.any() for offset in probe.perturbation(subject, batches(), 0))


def test_a_method_without_a_loss_takes_the_subjects():
    model = net()
    subject = Subject(model, F.cross_entropy, batches())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    found = OwnProbe(samnesia.sam(model, optimizer, rho=0.3)).perturbation(subject, batches(), 0)
    for one, other in zip(found, CommonProbe(rho=0.3).perturbation(subject, batches(), 0), strict=True):
        assert torch.equal(one, other)


def test_a_batch_in_parts_gives_the_same_perturbation():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    method = METHODS["obf"](model, torch.optim.SGD(model.parameters(), lr=0.1))
    subject = Subject(model, F.cross_entropy, batches())
    seen = []
    whole = OwnProbe(method).perturbation(subject, batches(), 0)
    parts = OwnProbe(method, parts=3, each_pass=seen.append).perturbation(subject, batches(), 0)
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-14)
    assert [p.ascent for p in seen] == [True]


def test_noise_is_another_for_each_batch():
    model = net()
    method = trained("random", model)
    subject = Subject(model, F.cross_entropy, batches())
    for probe in (OwnProbe(method), NormMatched(OwnProbe(method)), CommonProbe(ascent=samnesia.RandomAscent())):
        first, second = (probe.perturbation(subject, batches(), index) for index in (0, 1))
        assert norm(first) == pytest.approx(norm(second))
        assert abs(sum(float((a * b).sum()) for a, b in zip(first, second, strict=True))) < 0.5 * norm(first) ** 2


def test_the_nulls_match_what_they_say():
    model = net()
    method = trained("sam", model)
    subject = Subject(model, F.cross_entropy, batches())
    own = OwnProbe(method)
    assert norm(NormMatched(own).perturbation(subject, batches(), 0)) == pytest.approx(0.3, rel=1e-6)
    for one, other in zip(
        OtherBatch(own).perturbation(subject, batches(), 3), own.perturbation(subject, batches(), 0), strict=True
    ):
        assert torch.equal(one, other)
    matched = RiseMatched(CommonProbe(ascent=samnesia.RandomAscent()), own)

    def rise(probe) -> float:
        offsets = probe.perturbation(subject, batches(), 1)
        with subject.looking(), torch.no_grad():
            start = float(subject.loss_of(batches()[1]))
            with subject.at(offsets):
                return float(subject.loss_of(batches()[1])) - start

    assert rise(matched) == pytest.approx(rise(own), rel=0.02)
    assert norm(matched.perturbation(subject, batches(), 1)) > norm(own.perturbation(subject, batches(), 1))
    permuted = PermutedLabels(CommonProbe(rho=0.3))
    assert rise(permuted) < rise(CommonProbe(rho=0.3))


def test_what_cannot_be_probed_is_refused():
    model = net()
    subject = Subject(model, F.cross_entropy, batches())
    with pytest.raises(ConfigurationError, match="only one"):
        OtherBatch(CommonProbe()).perturbation(subject, batches()[:1], 0)
    with pytest.raises(ConfigurationError, match="does not rise so"):
        RiseMatched(CommonProbe(), CommonProbe(rho=0.0)).perturbation(subject, batches(), 0)
    other = net()
    method = METHODS["sam"](other, torch.optim.SGD(other.parameters(), lr=0.1))
    with pytest.raises(ConfigurationError, match="another model"):
        OwnProbe(method).perturbation(subject, batches(), 0)


@dataclass(frozen=True)
class Shifted(Probe):
    """Adds the same to all biases."""

    size: float

    def perturbation(self, subject: Subject, batches: Sequence[Batch], index: int) -> list[Tensor]:
        """Of the bias."""
        return [torch.zeros_like(p) if p.ndim > 1 else torch.full_like(p, self.size) for p in subject.parameters]

    def __str__(self) -> str:
        return "given direction"


@pytest.mark.parametrize(("breaks", "refused"), [(0.5, True), (1.5, False)])
def test_a_rise_is_not_matched_by_a_loss_that_is_no_number(breaks: float, refused: bool):
    model = nn.Linear(6, 3).double()
    nn.init.zeros_(model.weight), nn.init.zeros_(model.bias)

    def bowl(output: Tensor, target: Tensor) -> Tensor:
        """Squares on one side; on the other they end in NaN."""
        height = output.square().sum(1)
        return torch.where((output[:, 0] > 0) & (height > breaks), torch.nan, height).mean()

    subject = Subject(model, bowl, batches())
    match = RiseMatched(Shifted(0.1), Shifted(-(3**-0.5)))  # a rise of 1
    if not refused:
        assert norm(match.perturbation(subject, batches(), 0)) == pytest.approx(1.0, rel=2e-3)
        return
    with pytest.raises(ConfigurationError, match="the loss is no number any more"):
        match.perturbation(subject, batches(), 0)
    with pytest.raises(ConfigurationError, match="a rise of the loss by nan"):
        RiseMatched(Shifted(-0.1), Shifted(1.0)).perturbation(subject, batches(), 0)
