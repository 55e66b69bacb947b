"""A step is interrupted at every operator in turn: it has then not happened at all, or it has happened entirely."""

import copy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import samnesia.perturb
from samnesia.perturb.flow.step import Standing
from tests.battery import BY_NAME, DRIVING, METHODS, sparing
from tests.problems import loss_of, same_bits

# An exception in the body is a way to leave the last pass; that the step is then lost is no news here.
pytestmark = pytest.mark.filterwarnings("ignore::samnesia.perturb.errors.UnfinishedPassesWarning")


class Interruption(Exception):
    """What no code but a test raises."""


class Operators(TorchDispatchMode):
    """Counts operators, notes which of them run outside the loop's body, and raises at some of them."""

    def __init__(self, error=Interruption, *, at=()):
        super().__init__()
        self.error, self.at = error, at
        self.count = 0
        self.in_body = False
        self.outside_body: list[tuple[int, str]] = []
        self.body_ends: list[int] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        number, self.count = self.count, self.count + 1
        if not self.in_body:
            self.outside_body.append((number, function.overloadpacket.__name__))
        if number in self.at:
            raise self.error
        return function(*args, **(kwargs or {}))


class Net(nn.Module):
    """Every kind of state that a forward pass moves: running statistics, a rebound buffer, random numbers."""

    def __init__(self):
        super().__init__()
        self.filters = nn.Conv1d(1, 2, 3, bias=False)
        self.norm = nn.BatchNorm1d(2)
        self.head = nn.Linear(4, 3)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls = self.calls + 1
        return self.head(F.dropout(torch.relu(self.norm(self.filters(x))).flatten(1), 0.3))


class Problem:
    """A small net, its optimizer, a method and one batch.

    The gradients of a micro-batch before may be standing. `after`: steps before, which the method may remember.
    """

    def __init__(self, row, *, standing=False, after=0, **options):
        torch.manual_seed(0)
        self.model = Net().double()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9)
        self.method = row(self.model, self.optimizer, **options)
        self.x, self.y = torch.randn(4, 1, 4, dtype=torch.float64), torch.randint(3, (4,))
        for _ in range(after):
            self.run()
            if self.method.inner is None:
                self.optimizer.step()
            self.optimizer.zero_grad()
        self.remembered = self.method.state_dict()
        self.moments = copy.deepcopy(self.optimizer.state_dict())
        if standing and self.method.inner is None:  # others refuse it
            self.standing = [None if i == 0 else torch.randn_like(p) for i, p in enumerate(self.model.parameters())]
            for p, gradient in zip(self.model.parameters(), self.standing, strict=True):
                p.grad = gradient

    def run(self, operators=None):
        for p in self.method.passes() if self.method.inner is None else self.method.stepping():
            with _body(operators):
                loss_of(p, self.model, self.x, self.y).backward()

    def state(self):
        """All that must come back, and for gradients and buffers the very tensors."""
        model = self.model
        values = [*(p.detach() for p in model.parameters()), *model.buffers(), torch.get_rng_state()]
        gradients = [p.grad for p in model.parameters()]
        values += [g for g in gradients if g is not None]
        values += [t for of_parameter in self.optimizer.state.values() for t in of_parameter.values()]
        values += [t for entry in self.method.state_dict().get("next_memory", {}).values() for t in entry.values()]
        modes = [m.training for m in model.modules()]
        return State([v.clone() for v in values], gradients, [id(b) for b in model.buffers()], modes)


class State:
    def __init__(self, values, gradients, buffers, modes):
        self.values, self.gradients, self.buffers, self.modes = values, gradients, buffers, modes

    def identical(self, other):
        """The same tensors with the same values."""
        gradients = all(a is b for a, b in zip(self.gradients, other.gradients, strict=True))
        return gradients and self.buffers == other.buffers and self.equal(other)

    def equal(self, other):
        """The same values, bit for bit."""
        return (
            len(self.values) == len(other.values)
            and all(same_bits(a, b) for a, b in zip(self.values, other.values, strict=True))
            and [g is None for g in self.gradients] == [g is None for g in other.gradients]
            and self.modes == other.modes
        )


@contextmanager
def _body(operators: Operators | None) -> Iterator[None]:
    if operators is not None:
        operators.in_body = True
    try:
        yield
    finally:
        if operators is not None:
            operators.in_body = False
            operators.body_ends.append(operators.count)


def interrupt_everywhere(problem: Problem, error=Interruption) -> None:
    before, counted = problem.state(), Operators(error)
    with counted:
        problem.run(counted)
    after = problem.state()
    put_back(problem, before)

    for number in range(counted.count):
        operators = Operators(error, at=(number,))
        with pytest.raises(error), operators:
            problem.run(operators)
        assert problem.state().identical(before), f"operator {number} of {counted.count}"
        if number % 5 == 0:
            problem.run()
            assert problem.state().equal(after), f"the step after the one interrupted at operator {number}"
            put_back(problem, before)


def put_back(problem: Problem, state: State) -> None:
    """Undo a whole step, so that the next interruption starts where the first did."""
    *values, random = state.values[: len(list(problem.model.parameters())) + len(list(problem.model.buffers())) + 1]
    with torch.no_grad():
        for tensor, value in zip([*problem.model.parameters(), *problem.model.buffers()], values, strict=True):
            tensor.copy_(value)
    for parameter, gradient in zip(problem.model.parameters(), state.gradients, strict=True):
        parameter.grad = gradient
    problem.method.load_state_dict(problem.remembered)
    problem.optimizer.load_state_dict(copy.deepcopy(problem.moments))
    torch.set_rng_state(random)
    state.buffers[:] = [id(b) for b in problem.model.buffers()]


@pytest.mark.parametrize(
    "before", [{}, {"standing": True, "after": 2}], ids=["first step", "third step, standing gradients"]
)
@pytest.mark.parametrize("row", sparing(METHODS + DRIVING))
def test_at_every_operator(row, before):
    interrupt_everywhere(Problem(row, **before))


@pytest.mark.parametrize("row", [BY_NAME[name] for name in ("sam", "random clean statistics")], ids=str)
def test_by_the_keyboard(row):
    interrupt_everywhere(Problem(row, standing=True), KeyboardInterrupt)


@pytest.mark.parametrize("row", [BY_NAME[name] for name in ("sam", "gsam + obf")], ids=str)
def test_with_replayed_dropout(row):
    interrupt_everywhere(Problem(row, replay_dropout=True))


@pytest.mark.parametrize("row", METHODS, ids=str)
def test_the_flow_itself_is_among_what_was_interrupted(row):
    problem, operators = Problem(row), Operators()
    with operators:
        problem.run(operators)
    numbers, names = zip(*operators.outside_body, strict=True)
    after_the_first_pass = [number for number in numbers if number >= operators.body_ends[0]]
    assert after_the_first_pass and after_the_first_pass[-1] == operators.count - 1
    if row.begins == 0:
        assert "addcmul_" in names, "the perturbation"
        assert "_foreach_copy_" in names[names.index("addcmul_") :], "the restoration"


@pytest.mark.parametrize("name", ["sam", "gsam", "random"])
def test_again_while_restoring(name):
    """The second interruption hits each operator of the restoration from the first."""
    problem = Problem(BY_NAME[name], standing=True)
    before, counted = problem.state(), Operators()
    with counted:
        problem.run(counted)
    put_back(problem, before)
    first = counted.count - 1  # all is moved by then
    for second in range(first + 1, first + 1000):
        operators = Operators(at=(first, second))
        with pytest.raises(Interruption), operators:
            problem.run(operators)
        assert problem.state().identical(before), f"operator {second}"
        if operators.count <= second:  # the restoration was over before
            break
    assert second > first + 5


@pytest.mark.parametrize("row", [BY_NAME[name] for name in ("sam", "gsam", "random")], ids=str)
def test_inside_a_closure(row):
    """Interrupted in its passes, `step(closure)` gives back the gradient it was to discard; it never steps."""
    problem = Problem(row, standing=True)
    problem.method._stepped.note()  # the standing gradient is that of a step before
    before, operators = problem.state(), Operators()

    def closure():
        problem.optimizer.zero_grad()
        loss = problem.method.criterion(problem.model(problem.x), problem.y)
        loss.backward()
        return loss

    steps = []
    problem.optimizer.register_step_pre_hook(lambda *_: steps.append(operators.count))
    with operators:
        problem.method.step(closure)
    put_back(problem, before)
    for _ in problem.method._start(Standing.DROP):
        closure()
    complete = problem.state()
    put_back(problem, before)

    reached = set()
    for number in range(steps[0]):
        problem.method._stepped.note()
        with pytest.raises(Interruption), Operators(at=(number,)):
            problem.method.step(closure)
        state = problem.state()
        if not state.identical(before):  # the last operators ask whether the complete gradient is finite
            assert state.equal(complete) and number > steps[0] - 10, f"operator {number} of {steps[0]}"
        reached.add(state.equal(complete))
        put_back(problem, before)
    assert reached == {False, True}
    assert problem.method.steps == 0 and not problem.optimizer.state


def test_the_report_forgets_the_micro_batch_that_was_abandoned():
    problem = Problem(BY_NAME["sam"])
    problem.run()
    problem.x, kept = problem.x + 1, problem.x
    with pytest.raises(Interruption), Operators(at=(120,)) as operators:
        problem.run(operators)
    assert operators.body_ends, "the first pass was over"
    problem.x = kept
    problem.run()
    report = problem.method.last_step
    assert report.num_losses == report.micro_batches == 2


class Signals:
    """Raises as Ctrl-C does, which Python looks for where a function begins and where a built-in one returns.

    Counts these places in the files of the method core, in whatever function, and raises at number `at`.
    """

    HOME = str(Path(samnesia.perturb.__file__).parent)

    def __init__(self, at=None):
        self.at, self.count, self.place = at, 0, ""

    def __call__(self, frame, event, argument):
        code = frame.f_code
        # dropping an unfinished generator expression counts as a call of it, but nothing can be raised from there
        if event in ("call", "c_return") and code.co_name != "<genexpr>" and code.co_filename.startswith(self.HOME):
            number, self.count = self.count, self.count + 1
            if number == self.at:
                self.place = f"{Path(code.co_filename).name}:{frame.f_lineno}"
                sys.setprofile(None)
                raise KeyboardInterrupt

    def __enter__(self):
        self.outer = sys.getprofile()
        sys.setprofile(self)
        return self

    def __exit__(self, *error):
        sys.setprofile(self.outer)


@pytest.mark.parametrize("name", ["sam", "gsam"])
def test_between_operators(name):
    """Ctrl-C anywhere in the core: the step has happened or it has not."""
    problem = Problem(BY_NAME[name], standing=True)
    before = problem.state()
    for _ in range(2):  # the first step of a process does a little more, in torch's caches
        with Signals() as counted:
            problem.run()
        after = problem.state()
        put_back(problem, before)
    for number in range(counted.count):
        signals = Signals(at=number)
        with pytest.raises(KeyboardInterrupt), signals:
            problem.run()
        state, where = problem.state(), f"place {number} of {counted.count}, {signals.place}"
        assert state.identical(before) or state.equal(after), where
        assert torch.is_grad_enabled(), where
        put_back(problem, before)
        if number % 8 == 0:
            problem.run()
            assert problem.state().equal(after), f"the step after, {where}"
            put_back(problem, before)
