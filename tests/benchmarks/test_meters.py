"""What the step-cost benchmark counts and times, on examples worked out by hand."""

import pytest
import torch
from torch import nn

from benchmarks.stepcost import meters
from benchmarks.stepcost.meters import EventStopwatch, Part, Reading, Recorder, Stopwatch

N = 100  # float32 entries: 400 bytes


def counts(function, *arguments):
    recorder = Recorder()
    with recorder:
        function(*arguments)
    return recorder.counts


def vector():
    return torch.ones(N)


@pytest.mark.parametrize(
    ("function", "operators", "bytes_moved"),
    [
        (lambda a, b: a + b, 1, 3 * 400),
        (lambda a, b: a.add_(b), 1, 3 * 400),
        (lambda a, b: a.mul_(2.0), 1, 2 * 400),
        (lambda a, b: a.copy_(b), 1, 2 * 400),
        (lambda a, b: a.zero_(), 1, 400),
        (lambda a, b: a.clone(), 1, 2 * 400),
        (lambda a, b: torch.add(a, b, out=torch.empty(N)), 1, 3 * 400),
        (lambda a, b: torch._foreach_add_([a, b], [b, a]), 1, 6 * 400),
        (lambda a, b: torch._foreach_copy_([a, b], [b, a]), 1, 4 * 400),
        (lambda a, b: torch._foreach_norm([a, b]), 1, 2 * 400 + 8),
        (lambda a, b: a + torch.ones(()).expand(N), 2, 4 + 2 * 400 + 4),
        (lambda a, b: (a.detach(), a.view(10, 10), a[:50]), 0, 0),
        (lambda a, b: torch.empty_like(a), 0, 0),
        (lambda a, b: a.half(), 1, 400 + 200),
        (lambda a, b: (torch.zeros_like(a), a.new_zeros(1)), 2, 400 + 4),
    ],
)
def test_operators_and_bytes(function, operators, bytes_moved):
    counted = counts(function, vector(), vector())
    assert (counted.operators, counted.bytes_moved) == (operators, bytes_moved)


def test_textbook_sam_by_hand():
    """Norm: read g. Move: read g, write e; read w and e, write w. Restore: the same add."""

    def step(w, g):
        norm = g.norm()
        e = g * (0.05 / norm)
        w.add_(e)
        w.sub_(e)

    counted = counts(step, vector(), vector())
    scalars = 4 + 8 + 8 + 4  # the norm: written, inverted, times rho, read
    assert counted.bytes_moved == (1 + 2 + 3 + 3) * 400 + scalars
    assert {name: number for name, (number, _) in counted.by_operator.items()} == {
        "linalg_vector_norm": 1, "reciprocal": 1, "mul": 2, "add_": 1, "sub_": 1,
    }  # fmt: skip


def test_a_value_handed_to_python_is_a_host_read():
    assert counts(lambda a: a.sum().item(), vector()).host_reads == 1
    assert counts(lambda a: a.sum(), vector()).host_reads == 0


def test_parts_are_not_counted():
    recorder = Recorder()
    with recorder:
        a = vector()
        recorder.reset()
        recorder.enter(Part.FORWARD)
        b = a + 1
        recorder.leave()
        b.add_(a)
    assert (recorder.counts.operators, recorder.counts.bytes_moved) == (1, 3 * 400)


def test_memory_before_the_last_forward_and_between_the_passes():
    recorder = Recorder()
    with recorder:
        kept = vector()
        recorder.enter(Part.FORWARD)
        activations = [vector() for _ in range(5)]
        recorder.leave()
        recorder.enter(Part.BACKWARD)
        activations.clear()
        gradient = vector()
        recorder.leave()
        saved = gradient * 2 + gradient
        del gradient
        recorder.enter(Part.FORWARD)
        activations = [vector() for _ in range(5)]
        recorder.leave()
    assert recorder.counts.live_bytes == 2 * 400, "kept and saved"
    assert recorder.counts.peak_bytes == 4 * 400, "and the gradient and its double; activations count nowhere"
    assert (recorder.counts.forwards, recorder.counts.gradients) == (2, 1)
    assert len(activations) == 5 and kept is not saved


def test_memory_from_before_the_recorder_is_not_its_own():
    a = vector()
    recorder = Recorder()
    with recorder:
        b = a.detach()
        assert recorder.alive() == 0
        c = a + 1
        assert recorder.alive() == 400
        del b, c
        assert recorder.alive() == 0


def test_gradients_of_a_backward_are_alive():
    layer, recorder = nn.Linear(10, 10, bias=False), Recorder()
    with recorder:
        loss = layer(torch.ones(1, 10)).sum()
        loss.backward()
        del loss
        assert recorder.alive() == 400


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def part(self, watch, seconds, part=Part.FORWARD):
        watch.enter(part)
        self.now += seconds
        watch.leave()


def test_the_stopwatch_takes_what_lies_outside_of_the_parts():
    clock = Clock()
    watch = Stopwatch(clock)
    overheads = iter([1.0, 2.0, 30.0])

    def step():
        clock.part(watch, 4.0)
        clock.now += next(overheads)
        clock.part(watch, 5.0)

    assert watch.read(step, 3) == Reading(11.0, 2.0, (0, 0, 0)), "medians"


def test_steps_that_are_not_alike_are_averaged_over_a_cycle():
    """Of three steps the third takes longer, and each third one is disturbed once."""
    clock = Clock()
    watch = Stopwatch(clock)
    seconds = iter([1.0, 1.0, 4.0, 1.0, 90.0, 4.0, 1.0, 1.0, 70.0])

    def step():
        clock.part(watch, 0.0)
        clock.now += next(seconds)

    found = watch.read(step, 9, cycle=3)
    assert found.seconds == found.outside == (1.0 + 1.0 + 4.0) / 3


def test_steps_are_told_apart_by_their_gradients_too():
    clock = Clock()
    watch = Stopwatch(clock)
    gradients = iter([1, 2, 2, 2])

    def step():
        for _ in range(next(gradients)):
            clock.part(watch, 5.0, Part.BACKWARD)

    assert watch.read(step, 4) == Reading((5.0 + 3 * 10.0) / 4, 0.0, (1, 2, 2, 2))


def test_on_cuda_events_take_the_time_of_the_stream(monkeypatch):
    """With events of our own, as no device is needed to see that the right ones are subtracted."""
    host, stream = Clock(), Clock()

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            self.time = stream.now

        def elapsed_time(self, later):
            return 1e3 * (later.time - self.time)

    monkeypatch.setattr(meters.time, "perf_counter", host)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: setattr(host, "now", stream.now))
    watch = EventStopwatch()

    def step():
        stream.part(watch, 4.0)
        stream.now += 1.5
        stream.part(watch, 5.0)
        stream.now += 0.5

    assert watch.read(step, 2) == Reading(11.0, 2.0, (0, 0))
    assert watch.read(step, 1) == Reading(11.0, 2.0, (0,)), "a second reading begins anew"
