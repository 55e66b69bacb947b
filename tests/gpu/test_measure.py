"""Measures on a CUDA device: the figures of the CPU, from batches that lie in host memory."""

import pytest
import torch
from torch import nn

from samnesia import measure
from samnesia.measure.curvature.spectrum import eigenpairs

pytestmark = pytest.mark.gpu


def subjects() -> list[measure.Subject]:
    """The same model and batches on both devices, in double precision."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.GELU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(64, 3)
    ).double()
    batches = [(torch.randn(7, 1, 6, 6, dtype=torch.float64), torch.arange(7) % 3) for _ in range(3)]
    state = model.state_dict()
    found = []
    for device in ("cpu", "cuda"):
        copy = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.GELU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(64, 3)
        ).double()
        copy.load_state_dict(state)
        found.append(measure.Subject(copy.to(device), nn.CrossEntropyLoss(), batches))
    return found


def test_figures_are_those_of_the_cpu():
    here, there = subjects()
    assert there.describe()["device"] == "cuda"
    assert there.loss() == pytest.approx(here.loss(), rel=1e-12)
    wanted, found = (eigenpairs(subject, 3, tolerance=1e-8) for subject in (here, there))
    assert [p.value for p in found.largest] == pytest.approx([p.value for p in wanted.largest], rel=1e-9)
    assert [p.value for p in found.smallest] == pytest.approx([p.value for p in wanted.smallest], rel=1e-9)
    worst = [measure.worst_case(subject, 0.1, restarts=0) for subject in (here, there)]
    assert worst[1].value == pytest.approx(worst[0].value, rel=1e-6)


def test_measuring_leaves_the_device_as_it_was():
    _, subject = subjects()
    model = subject.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.cuda.get_rng_state()
    eigenpairs(subject, 2)
    measure.worst_case(subject, 0.1)
    assert torch.equal(state, torch.cuda.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert model.training
