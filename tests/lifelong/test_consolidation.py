"""Elastic weight consolidation: importances, the penalty, and that every pass of a method has it."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import samnesia
from samnesia.lifelong.config import EWC
from samnesia.lifelong.fisher import anchors_with, fisher_diagonal
from samnesia.models.heads import MultiHead
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.config import SAM, Checkpoints, Consolidation, Lookbehind
from samnesia.train.consolidation import Anchor, Consolidated, read_anchors, write_anchors
from tests.train import small


def net(outputs=3):
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, outputs)).double()


def samples(count=11, outputs=3):
    return torch.randn(count, 4).double(), torch.randint(outputs, (count,))


def by_hand(model, inputs, targets):
    """One sample after the other, by autograd."""
    totals = [torch.zeros_like(p) for p in model.parameters()]
    for index in range(len(targets)):
        one = tuple(part[index : index + 1] for part in inputs) if isinstance(inputs, tuple) else inputs[index][None]
        logits = model(one).log_softmax(1)
        gradients = torch.autograd.grad(-logits[0, targets[index]], [*model.parameters()])
        for total, gradient in zip(totals, gradients, strict=True):
            total += gradient.square() / len(targets)
    return totals


@pytest.mark.parametrize("cuts", [[11], [4, 7], [1] * 11])
def test_importances_are_mean_squared_gradients_of_single_samples(cuts):
    model = net().train()
    for _ in range(3):
        model(samples()[0])  # running statistics that are not those of the batch
    model.eval()
    inputs, targets = samples()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = fisher_diagonal(model, F.cross_entropy, zip(inputs.split(cuts), targets.split(cuts), strict=True))
    for (name, _), expected in zip(model.named_parameters(), by_hand(model, inputs, targets), strict=True):
        assert torch.allclose(found[name], expected, rtol=1e-12, atol=1e-14), name
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_importances_of_heads_are_zero_where_no_sample_asked_for_them():
    model = MultiHead(net(6), 3).eval()
    inputs, targets = samples()
    asked = (inputs, torch.ones(11, dtype=torch.int64))
    found = fisher_diagonal(model, F.cross_entropy, [(asked, targets)])
    for (name, _), expected in zip(model.named_parameters(), by_hand(model, asked, targets), strict=True):
        assert torch.allclose(found[name], expected, rtol=1e-12, atol=1e-14), name
    assert not found["net.3.weight"][:3].any() and found["net.3.weight"][3:].all()


def anchor_of(model, scale=1.0):
    return Anchor({name: torch.randn_like(p) for name, p in model.named_parameters()},
                  {name: scale * torch.rand_like(p) for name, p in model.named_parameters()})  # fmt: skip


def test_the_penalty_and_its_gradient():
    model = net()
    anchors = [anchor_of(model), anchor_of(model)]
    inputs, targets = samples()
    loss = Consolidated(F.cross_entropy, model, anchors, strength=3.0)
    terms = [1.5 * (anchor.importance[name] * (p - anchor.weights[name]) ** 2).sum()
             for anchor in anchors for name, p in model.named_parameters()]  # fmt: skip
    assert loss.penalty().item() == pytest.approx(sum(terms).item(), rel=1e-12)
    output = model.eval()(inputs)
    expected = F.cross_entropy(output, targets) + sum(terms)
    assert loss(output, targets).item() == pytest.approx(expected.item(), rel=1e-12)
    loss.penalty().backward()
    for name, p in model.named_parameters():
        expected = sum(3.0 * anchor.importance[name] * (p - anchor.weights[name]) for anchor in anchors)
        assert torch.allclose(p.grad, expected, rtol=1e-12)


def test_both_passes_of_sam_have_it_each_at_its_own_weights():
    model = net().eval()
    criterion = Consolidated(F.cross_entropy, model, [anchor_of(model, 5.0)], strength=2.0)
    inputs, targets = samples()
    parameters = [*model.parameters()]
    start = [p.detach().clone() for p in parameters]
    first = torch.autograd.grad(criterion(model(inputs), targets), parameters)
    norm = sum(g.square().sum() for g in first).sqrt()
    with torch.no_grad():
        for p, g in zip(parameters, first, strict=True):
            p += 0.3 * g / norm
    second = torch.autograd.grad(criterion(model(inputs), targets), parameters)
    with torch.no_grad():
        for p, value in zip(parameters, start, strict=True):
            p.copy_(value)
    method = samnesia.sam(model, torch.optim.SGD(parameters, lr=0.1), rho=0.3, loss=criterion)
    for p in method.passes():
        p.loss(model(inputs), targets).backward()
    for p, expected in zip(parameters, second, strict=True):
        assert torch.allclose(p.grad, expected, rtol=1e-9, atol=1e-12)


@pytest.fixture
def held(tmp_path):
    """A function: a run whose weights are held to anchors, in a directory."""

    def make(strength, **changes):
        config = small.smooth(epochs=1, checkpoints=Checkpoints(last=1), **changes)
        path = tmp_path / "anchors.safetensors"
        if not path.exists():
            write_anchors(path, [anchor_of(small.begun(config).module, 10.0)])
        return replace(config, consolidation=Consolidation(str(path), strength))

    return make


def course(config, out):
    small.trained(config, out)
    return small.last_weights(out)


@pytest.mark.parametrize("method", [SAM(0.1), Lookbehind(rho=0.1, k=2)])
def test_a_run_in_parts_has_the_penalty_once_and_one_of_strength_zero_has_none(held, tmp_path, method):
    whole = course(held(0.5, method=method), tmp_path / "whole")
    parts = course(held(0.5, method=method, device_batch=3), tmp_path / "parts")
    nothing = course(held(0.0, method=method), tmp_path / "nothing")
    plain = course(replace(held(0.0, method=method), consolidation=None), tmp_path / "plain")
    for name, value in whole.items():
        assert torch.allclose(value, parts[name], rtol=1e-10, atol=1e-12), name
        assert torch.equal(nothing[name], plain[name])
    assert any(not torch.allclose(value, plain[name], atol=1e-3) for name, value in whole.items())


def test_a_run_of_m_sharpness_has_it_in_every_perturbation(held, tmp_path):
    """With micro-batches of the whole batch's samples and a radius of zero, both are the plain gradient."""
    whole = course(held(0.5, method=SAM(0.0)), tmp_path / "whole")
    chunks = course(held(0.5, method=SAM(0.0), micro_batch=3), tmp_path / "chunks")
    assert all(torch.allclose(value, chunks[name], rtol=1e-9, atol=1e-12) for name, value in whole.items())


def test_anchors_come_back_from_disk_as_they_were(tmp_path):
    model = MultiHead(net(), 3)
    anchors = [anchor_of(model), anchor_of(model)]
    write_anchors(tmp_path / "anchors.safetensors", anchors)
    for there, back in zip(anchors, read_anchors(tmp_path / "anchors.safetensors"), strict=True):
        for kind in ("weights", "importance"):
            mine, theirs = getattr(there, kind), getattr(back, kind)
            assert mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_each_task_has_an_anchor_or_all_have_one_with_a_decay():
    model = net()
    importance = [{name: torch.rand_like(p) for name, p in model.named_parameters()} for _ in range(2)]
    first = anchors_with([], model, importance[0], EWC())
    with torch.no_grad():
        model[0].weight.add_(1.0)
    both = anchors_with(first, model, importance[1], EWC())
    assert both[0] is first[0] and torch.equal(both[1].weights["0.weight"], first[0].weights["0.weight"] + 1.0)
    (one,) = anchors_with(first, model, importance[1], EWC(decay=0.5))
    assert torch.equal(one.weights["0.weight"], model[0].weight)
    assert torch.equal(one.importance["3.bias"], 0.5 * importance[0]["3.bias"] + importance[1]["3.bias"])


def anchors_of_another(tmp_path):
    path = tmp_path / "other.safetensors"
    write_anchors(path, [anchor_of(net(4))])
    return Consolidated(F.cross_entropy, net(3), read_anchors(path), 1.0)


def damaged(tmp_path):
    (tmp_path / "damaged.safetensors").write_bytes(b"nothing")
    return read_anchors(tmp_path / "damaged.safetensors")


class Counting(nn.Module):
    """Does what no gradient of single samples can follow."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 3))

    def forward(self, inputs):
        return inputs @ self.weight * float(inputs.sum().item())


REFUSED = {
    "another model": (anchors_of_another, r"its '3.weight' has shape \(3, 5\) and the anchors have it in shape \(4, 5"),
    "a damaged file": (damaged, "it is damaged or holds something else"),
    "no file": (lambda path: read_anchors(path / "none"), "there is no such file"),
    "no samples": (lambda _: fisher_diagonal(net().eval(), F.cross_entropy, []), "without samples"),
    "no single samples": (
        lambda _: fisher_diagonal(Counting(), F.cross_entropy, [(torch.ones(2, 4), torch.tensor([0, 1]))]),
        "its gradients cannot be taken sample by sample",
    ),
    "a negative strength": (lambda _: EWC(strength=-1.0), "cannot hold weights with strength -1"),
    "a strength that is none": (lambda _: Consolidation("x", float("nan")), "cannot hold weights with strength nan"),
    "a decay above one": (lambda _: EWC(decay=1.5), "cannot keep a share of 1.5"),
    "no samples to estimate by": (lambda _: EWC(samples=0), "cannot estimate importances by 0 samples"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_held_is_refused_in_a_sentence(case, tmp_path):
    act, words = REFUSED[case]
    with pytest.raises(ConfigurationError, match=words):
        act(tmp_path)
