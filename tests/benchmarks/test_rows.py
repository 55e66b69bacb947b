"""The rows do the work that they are named for, and tell their meter of every part."""

from dataclasses import replace

import pytest
import torch

from benchmarks.stepcost.family import FAMILY_ROWS
from benchmarks.stepcost.floors import TWO, Floor, Row
from benchmarks.stepcost.measure import Settings, bench, count, record, time_rows
from benchmarks.stepcost.meters import Part, Stopwatch
from benchmarks.stepcost.problems import ViT, cpu_suite, resnet, tiny_cpu_suite
from benchmarks.stepcost.rows import FLOORS, ROWS

CPU = Settings(device=torch.device("cpu"), rounds=2, seconds=0.0)
BY_NAME = {row.name: row for row in ROWS}
RESNET, VIT, MLP = tiny_cpu_suite()
ONE_PASS = [Part.FORWARD, Part.LOSS, Part.BACKWARD]
ALL = {row.name: row for row in (*ROWS, *FAMILY_ROWS)}.values()


class Diary:
    """A meter that notes what it is told."""

    def __init__(self):
        self.parts = []
        self.open = False

    def enter(self, part):
        assert not self.open, f"{part} within {self.parts[-1]}"
        self.parts.append(part)
        self.open = True

    def leave(self):
        assert self.open
        self.open = False


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_part_of_a_step_is_told_once(row):
    diary = Diary()
    step = row.on(bench(MLP, CPU, diary))
    for _ in range(3):
        diary.parts.clear()
        step()
        assert diary.parts == ONE_PASS * row.floors[0].gradients + [Part.BASE_STEP]
        assert not diary.open


def parts_but_losses(row, steps):
    """Of each step; losses of a method's own are none of the training loss."""
    diary, found = Diary(), []
    step = row.on(bench(MLP, CPU, diary))
    for _ in range(steps):
        diary.parts.clear()
        step()
        assert not diary.open
        found.append([part for part in diary.parts if part is not Part.LOSS])
    return found


@pytest.mark.parametrize("row", ALL, ids=lambda row: row.name)
def test_every_row_does_the_passes_of_its_floor(row):
    """From the second step on (then a teacher has averaged); and a cycle of steps takes each of its floors."""
    floors = {}
    for own in parts_but_losses(row, row.cycle + 3)[1:]:
        floor = row.floor(own.count(Part.BACKWARD))
        floors[floor.name] = floor
        alone = parts_but_losses(Row(floor.name, "floor", (floor,), floor.build), 1)[0]
        assert sorted(own, key=str) == sorted(alone, key=str)
    assert row.cycle == 1 or len(row.floors) == len(floors)


def test_a_floor_by_hand():
    """A forward, a pass, a pass of half the samples; four passes with a step after two of them."""
    seen = []
    subject = bench(MLP, CPU, Stopwatch())
    subject.model.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    selected = Floor("", 2, forwards=1, last_share=0.5)
    Row("", "floor", (selected,), selected.build).on(subject)()
    assert seen == [2, 2, 1]
    twice = Floor("", 4, base_steps=2)
    one_pass = [Part.FORWARD, Part.BACKWARD]
    expected = (one_pass * 2 + [Part.BASE_STEP]) * 2
    assert parts_but_losses(Row("", "floor", (twice,), twice.build), 1) == [expected]


def test_a_row_is_held_against_as_many_passes_as_it_took():
    interval = next(row for row in FAMILY_ROWS if row.preset == "interval_sam")
    rows = [Row(TWO.name, "floor", (TWO,), TWO.build), interval]
    (floor, mixed), steps = time_rows(MLP, rows, CPU, lambda text: None)
    assert steps == 1 and floor["floor_shares"] == [{"floor, 2 passes": 1.0}] * 2 and floor["passes"] == 2
    assert mixed["passes"] == pytest.approx(1.1)
    for of in mixed["floor_shares"]:
        assert of == pytest.approx({"floor, 1 pass": 0.9, "floor, 2 passes": 0.1})


def test_counts_are_those_of_a_cycle():
    looksam = next(row for row in FAMILY_ROWS if row.preset == "looksam")
    steps, _ = record(MLP, looksam, CPU, 10)
    assert sorted(step.gradients for step in steps) == [1] * 8 + [2] * 2
    counted = count(MLP, looksam, CPU)
    assert counted["operators"] == sum(step.operators for step in steps) / 10
    assert counted["live_bytes"] == max(step.live_bytes for step in steps)


def weights(name, problem=MLP, steps=4):
    subject = bench(problem, CPU, Stopwatch())
    step = BY_NAME[name].on(subject)
    for _ in range(steps):
        step()
    return torch.cat([p.detach().flatten() for p in subject.model.parameters()])


@pytest.mark.parametrize("name", ["textbook SAM", "pytorch-optimizer SAM", "pytorch-optimizer SAM, foreach"])
def test_sam_and_its_rivals_take_the_same_steps(name):
    torch.testing.assert_close(weights(name), weights("sam"), rtol=0, atol=1e-6)
    assert not torch.allclose(weights("sam"), weights("floor, 2 passes"), rtol=0, atol=1e-6)


def test_gsam_and_its_rivals_take_the_same_steps():
    for name in ("pytorch-optimizer GSAM", "pytorch-optimizer GSAM, foreach"):
        torch.testing.assert_close(weights(name), weights("gsam"), rtol=0, atol=1e-6)


def test_floors_are_plain_training():
    subject = bench(MLP, CPU, Stopwatch())
    optimizer = torch.optim.SGD(subject.model.parameters(), lr=1e-3, momentum=0.9)
    for _ in range(4):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(subject.model(subject.x), subject.y).backward()
        optimizer.step()
    plain = torch.cat([p.detach().flatten() for p in subject.model.parameters()])
    for name in ("floor, 2 passes", "floor, 1 pass, again", "unperturbed"):
        assert torch.equal(weights(name), plain), name


@pytest.mark.parametrize("problem", [RESNET, VIT, MLP], ids=lambda problem: problem.name)
def test_copies_of_the_parameters(problem):
    """The counts that the library promises: one copy for SAM, two for GSAM, none for plain training."""
    size = sum(p.numel() * p.element_size() for p in problem.model(CPU.device, 0).parameters())
    buffers = sum(b.numel() * b.element_size() for b in problem.model(CPU.device, 0).buffers())
    floors = {row.floors: count(problem, row, CPU) for row in FLOORS}
    for name, copies in (("sam", 1), ("gsam", 2), ("unperturbed", 0), ("textbook SAM", 1)):
        found = count(problem, BY_NAME[name], CPU)
        live = found["live_bytes"] - floors[BY_NAME[name].floors]["live_bytes"]
        assert copies * size <= live <= copies * size + 2 * buffers + 64, (
            "statistics at the start and after pass one; norms"
        )
    assert all(floor["operators"] == floor["bytes_moved"] == 0 for floor in floors.values())


def test_the_bytes_of_the_textbook_loop():
    size = sum(p.numel() * p.element_size() for p in MLP.model(CPU.device, 0).parameters())
    moved = count(MLP, BY_NAME["textbook SAM"], CPU)["bytes_moved"]
    assert 9 * size <= moved <= 9 * size + 400, "norm 1, move 2 + 3, put back 3; the rest are norms"


def test_equal_seeds_are_equal_problems():
    a, b = bench(VIT, CPU, None), bench(VIT, CPU, None)
    assert torch.equal(a.x, b.x) and torch.equal(a.y, b.y)
    assert all(torch.equal(p, q) for p, q in zip(a.model.parameters(), b.model.parameters(), strict=True))
    other = bench(VIT, replace(CPU, seed=1), None)
    assert not torch.equal(a.x, other.x)


def test_the_networks_are_those_that_are_named():
    sizes = {problem.name: sum(p.numel() for p in problem.build().parameters()) for problem in cpu_suite()}
    assert sizes == {"resnet20": 269_722, "vit": 2_693_194, "mlp": 10_510_346}
    assert sum(isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)) for module in resnet(20).modules()) == 20
    assert ViT()(torch.zeros(2, 3, 32, 32)).shape == resnet()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
