"""Compiled and checkpointed models: the same numbers, and no graph compiled twice."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

import samnesia
from samnesia.perturb.modules import Parameters
from tests.battery import BY_NAME, DRIVING, METHODS
from tests.problems import batches, flat, loss_of, network, sgd, train, weights


class Counting:
    """A backend of `torch.compile` that runs graphs as they are, and counts them."""

    def __init__(self, backend="eager"):
        self.backend, self.graphs = backend, 0

    def __call__(self, graph, inputs):
        self.graphs += 1
        return torch._dynamo.lookup_backend(self.backend)(graph, inputs)


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def trained(row, data, *, backend=None, **options):
    model = network(norm=nn.BatchNorm2d)
    called = model if backend is None else torch.compile(model, backend=backend)
    method = row(called, sgd(model), **options)
    graphs = []
    for x, y in data:
        train(method, called, [(x, y)])
        graphs.append(backend.graphs if backend else 0)
    return model, graphs


@pytest.mark.parametrize("row", METHODS + DRIVING, ids=str)
def test_one_graph_for_all_passes_steps_and_schedules(row):
    schedule = {"when": samnesia.every(2), "rho": samnesia.proportional_to_lr(0.05, 0.2, lr_min=0.0, lr_max=0.1)}
    model, graphs = trained(row, batches(5), backend=Counting(), **schedule)
    plain, _ = trained(row, batches(5), **schedule)
    assert graphs == [1 + row.selects] * 5  # a selection is a batch of another size
    torch.testing.assert_close(flat(weights(model)), flat(weights(plain)), rtol=1e-12, atol=1e-14)
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), plain.buffers(), strict=True))


@pytest.mark.parametrize("name", ["sam", "asam filter", "gsam", "obf", "random clean statistics"])
def test_compiled_backward(name):
    """`aot_eager` traces the backward too, as every real backend does."""
    model, graphs = trained(BY_NAME[name], batches(4), backend=Counting("aot_eager"))
    plain, _ = trained(BY_NAME[name], batches(4))
    assert graphs == [1] * 4
    torch.testing.assert_close(flat(weights(model)), flat(weights(plain)), rtol=1e-12, atol=1e-14)


def test_names_are_those_of_the_model_inside():
    """Or ASAM would scale what it should not."""
    model = network()
    method = samnesia.sam(torch.compile(model, backend="eager"), sgd(model))
    assert Parameters.of(method.model, method.optimizer).names == [name for name, _ in model.named_parameters()]


def test_compiled_in_place():
    """`model.compile()` leaves the module what it is."""
    model, backend = network(norm=nn.BatchNorm2d), Counting()
    model.compile(backend=backend)
    train(BY_NAME["sam"](model, sgd(model)), model, batches(3))
    plain, _ = trained(BY_NAME["sam"], batches(3))
    assert backend.graphs == 1
    torch.testing.assert_close(flat(weights(model)), flat(weights(plain)), rtol=1e-12, atol=1e-14)


def test_a_compiled_loss():
    """Forward and criterion in one compiled function, called in each pass; the flow stays outside."""
    model, backend = network(norm=nn.BatchNorm2d), Counting("aot_eager")
    method = samnesia.sam(model, sgd(model), rho=0.1)

    @torch.compile(backend=backend)
    def loss_of(x, y):
        return F.cross_entropy(model(x), y)

    for x, y in batches(3):
        for _ in method.passes():
            loss_of(x, y).backward()
        method.optimizer.step()
        method.optimizer.zero_grad()
    plain, _ = trained(BY_NAME["sam"], batches(3))
    assert backend.graphs == 1
    torch.testing.assert_close(flat(weights(model)), flat(weights(plain)), rtol=1e-12, atol=1e-14)


def test_a_compiled_step_of_the_optimizer():
    model = network(norm=nn.BatchNorm2d)
    optimizer, backend = torch.optim.Adam(model.parameters(), lr=0.01), Counting()
    method = samnesia.sam(model, optimizer, loss=F.cross_entropy)
    step = torch.compile(optimizer.step, backend=backend)
    graphs = []
    for x, y in batches(5):
        for p in method.passes():
            loss_of(p, model, x, y).backward()
        step()
        optimizer.zero_grad()
        graphs.append(backend.graphs)
    assert method.steps == 5
    assert graphs[2:] == graphs[2:3] * 3


# the compiler asks every tensor it meets for its gradient
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("keep", [False, True], ids=["new gradients", "kept gradients"])
@pytest.mark.parametrize("name", ["sam", "asam element", "gsam", "obf", "random"])
def test_a_whole_step_in_one_compiled_function(name, keep):
    """Schedules of rate, radius and of plain steps included: the flow runs outside graphs, the body inside."""
    results, graphs = [], []
    for compiled in (True, False):
        model, backend = network(norm=nn.BatchNorm2d), Counting()
        options = {"when": samnesia.every(2), "rho": samnesia.proportional_to_lr(0.05, 0.2, lr_min=0.0, lr_max=0.1)}
        method = BY_NAME[name](model, sgd(model), keep_gradient_buffers=keep, **options)
        rates = torch.optim.lr_scheduler.CosineAnnealingLR(method.optimizer, 10)

        def step(x, y, model=model, method=method):
            for p in method.passes():
                loss_of(p, model, x, y).backward()
            method.optimizer.step()
            method.optimizer.zero_grad(set_to_none=not method.keep_gradient_buffers)

        run = torch.compile(step, backend=backend) if compiled else step
        for x, y in batches(10):
            run(x, y)
            rates.step()
            graphs.append(backend.graphs)
        results.append(flat(weights(model)))
    assert graphs[3:10] == graphs[3:4] * 7 and 2 <= graphs[3] <= 8
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-14)


# -- activation checkpointing ----------------------------------------------------------------------------------------


class Checkpointed(nn.Module):
    """A net of two blocks with batch normalization and dropout, whose activations are recomputed in backward."""

    def __init__(self, recompute):
        super().__init__()
        torch.manual_seed(1)
        self.first = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.3))
        self.second = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Dropout(0.3))
        self.head = nn.Linear(8, 3)
        self.recompute = recompute

    def forward(self, x):
        for block in (self.first, self.second):
            x = checkpoint(block, x, use_reentrant=False) if self.recompute else block(x)
        return self.head(x)


@pytest.mark.parametrize("replay", [False, True], ids=["fresh dropout", "replayed dropout"])
@pytest.mark.parametrize("row", METHODS, ids=str)
def test_activation_checkpointing_changes_nothing(row, replay):
    def run(recompute):
        model = Checkpointed(recompute).double()
        method = row(model, sgd(model), replay_dropout=replay)
        torch.manual_seed(2)
        train(method, model, batches(3))
        return model

    model, plain = run(True), run(False)
    assert torch.equal(flat(weights(model)), flat(weights(plain)))
    # recomputation moves the statistics a second time, as it does in plain training; later passes do not
    assert int(model.first[1].num_batches_tracked) == recomputed_batches(row)


def recomputed_batches(row):
    return 3 * (2 if row.needs_gradient(0) else 1)


@pytest.mark.slow
def test_inductor():
    model = network(norm=nn.BatchNorm2d)
    compiled = torch.compile(model)
    method = samnesia.sam(compiled, sgd(model), rho=0.1, loss=F.cross_entropy)
    torch._dynamo.utils.counters.clear()
    train(method, compiled, batches(1))
    first = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    train(method, compiled, batches(5)[1:])
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == first == 1
    plain, _ = trained(BY_NAME["sam"], batches(5))
    torch.testing.assert_close(flat(weights(model)), flat(weights(plain)), rtol=1e-9, atol=1e-12)
