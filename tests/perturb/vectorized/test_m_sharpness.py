"""m-sharpness with its micro-batches side by side: what the loop over micro-batches gives."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import samnesia
from benchmarks.stepcost.meters import Ledger
from samnesia import Vectorized
from samnesia.perturb.errors import ConfigurationError, UnsupportedError
from tests.battery import BY_NAME, METHODS
from tests.problems import assert_close, assert_same, batch, gradients, network, sgd, weights

X, Y = batch(8)
SIDE_BY_SIDE = [row for row in METHODS if row.side_by_side]
PERTURBED_ROWS = [BY_NAME[name] for name in ("sam", "sam 3 steps", "asam element", "gsam normalized", "random")]


def by_loop(method, x, y, size, *, scale=1.0, model=None):
    """The definition: passes of its own for each micro-batch, weighted by its share of the samples."""
    for rows in torch.arange(len(x)).split(size):
        for p in method.passes():
            loss = scale * len(rows) / len(x) * p.loss((model or method.model)(x[rows]), y[rows])
            if p.needs_gradient:
                loss.backward()


def built(row, make=network, **options):
    model = make()
    return row(model, sgd(model), **options)


def pair(row, make=network, **options):
    return built(row, make, **options), built(row, make, **options)


def sam(model, **options):
    return samnesia.sam(model, sgd(model), 0.1, loss=F.cross_entropy, **options)


def vectorized(model, size=4, **options):
    return Vectorized(sam(model, **options), size)


def counted(report):
    return report.micro_batches, report.gradient_evaluations, report.perturbed, report.radii


def place(method):
    """Where a method stands; when it last measured rounding is the loop's business alone."""
    return {name: value for name, value in method.state_dict().items() if name != "measured"}


def assert_same_report(actual, expected):
    assert counted(actual) == counted(expected)
    for name in ("loss", "rho", "perturbation_norm", "cosine", "gradient_norm"):
        is_expected = getattr(expected, name)
        assert getattr(actual, name) == (is_expected and pytest.approx(is_expected, rel=1e-11)), name


# -- what the loop gives ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 4, 20], ids=["single", "ragged", "even", "larger than the batch"])
@pytest.mark.parametrize("row", SIDE_BY_SIDE, ids=str)
def test_gradient_and_report_are_those_of_the_loop(row, size):
    loop, side_by_side = pair(row)
    by_loop(loop, X, Y, size)
    loss = Vectorized(side_by_side, size).backward(X, Y)
    assert_close(gradients(side_by_side.model), gradients(loop.model))
    assert_same_report(side_by_side.last_step, loop.last_step)
    assert not loss.requires_grad
    assert float(loss) == pytest.approx(loop.last_step.loss, rel=1e-6)


@pytest.mark.parametrize("max_chunks", [1, 2, 5, 100])
@pytest.mark.parametrize("row", PERTURBED_ROWS, ids=str)
def test_so_many_at_a_time_is_the_same(row, max_chunks):
    loop, side_by_side = pair(row)
    by_loop(loop, X, Y, 3)
    Vectorized(side_by_side, 3, max_chunks=max_chunks).backward(X, Y)
    assert_close(gradients(side_by_side.model), gradients(loop.model))
    assert_same_report(side_by_side.last_step, loop.last_step)


@pytest.mark.parametrize("row", PERTURBED_ROWS, ids=str)
def test_whole_runs_agree(row):
    """Schedules, radii of groups, seeds and the step count go on as in the loop."""
    schedule = samnesia.proportional_to_lr(0.05, 0.2, 0.0, 0.1)
    results = []
    for vectorize in (False, True):
        model = network()
        parameters = list(model.parameters())
        groups = [{"params": parameters[:2], "rho": 0.3}, {"params": parameters[2:], "lr": 0.05}]
        method = row(model, torch.optim.SGD(groups, lr=0.1, momentum=0.9), rho=schedule, when=samnesia.every(2), seed=3)
        reports = []
        for seed in range(4):
            x, y = batch(7, seed=seed)
            if vectorize:
                Vectorized(method, 3).backward(x, y)
            else:
                by_loop(method, x, y, 3)
            reports.append((counted(method.last_step), method.last_step.perturbation_norm))
            method.optimizer.step()
            method.optimizer.zero_grad()
        results.append((weights(model), reports, place(method)))
    (expected, reports, state), (actual, its_reports, its_state) = results
    assert_close(actual, expected, 1e-11)
    assert state == its_state == {"version": 1, "steps": 4, "micro_batch": 0}
    for (counts, norm), (its_counts, its_norm) in zip(reports, its_reports, strict=True):
        assert its_counts == counts
        assert its_norm == pytest.approx(norm, rel=1e-11)


def test_rounding_is_measured_on_the_steps_of_the_loop():
    loop, side_by_side = pair(BY_NAME["sam"], when=samnesia.after(1))
    measured = []
    for _ in range(3):
        by_loop(loop, X, Y, 4)
        Vectorized(side_by_side, 4).backward(X, Y)
        assert_same_report(side_by_side.last_step, loop.last_step)
        measured.append(loop.last_step.cosine is not None)
        for method in (loop, side_by_side):
            method.optimizer.step()
            method.optimizer.zero_grad()
    assert measured == [False, True, False]


@pytest.mark.parametrize("row", PERTURBED_ROWS, ids=str)
def test_accumulation_over_calls(row):
    """A standing gradient is added to, seeds go on counting micro-batches, and a share is a scale."""
    loop, side_by_side = pair(row)
    for rows in torch.arange(8).split(5):
        by_loop(loop, X[rows], Y[rows], 2, scale=len(rows) / 8)
        Vectorized(side_by_side, 2).backward(X[rows], Y[rows], scale=len(rows) / 8)
    assert_close(gradients(side_by_side.model), gradients(loop.model))
    assert_same_report(side_by_side.last_step, loop.last_step)
    assert place(side_by_side) == place(loop)


@pytest.mark.parametrize("row", [row for row in METHODS if not row.side_by_side], ids=str)
def test_others_are_refused(row):
    """In a sentence that sends to the loop, and nothing has happened."""
    method = built(row)
    before = weights(method.model)
    with pytest.raises((ConfigurationError, UnsupportedError), match=r"cannot vectorize .*loop over passes\(\)"):
        Vectorized(method, 4).backward(X, Y)
    assert_same(weights(method.model), before)
    assert all(p.grad is None for p in method.model.parameters()) and method.last_step.micro_batches == 0


@pytest.mark.parametrize("row", SIDE_BY_SIDE, ids=str)
def test_a_radius_of_zero_is_the_mean_over_samples(row):
    if row.zero_radius_is_base:
        method = built(row, rho=0.0)
        Vectorized(method, 3).backward(X, Y)
        plain = network()
        F.cross_entropy(plain(X), Y).backward()
        assert_close(gradients(method.model), gradients(plain))


def test_the_weights_never_move_and_stay_where_they_are():
    model = network()
    before, places = weights(model), [(p.data_ptr(), p._version) for p in model.parameters()]
    vectorized(model).backward(X, Y)
    assert_same(weights(model), before)
    assert [(p.data_ptr(), p._version) for p in model.parameters()] == places


class Sums(nn.Module):
    """Two parameters with one and the same gradient, which autograd hands out as one expanded tensor."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.ones(3, 4)), nn.Parameter(torch.ones(4, 3).t())

    def forward(self, x):
        return (self.a + self.b).sum() * x


@pytest.mark.parametrize("size", [2, 4])
def test_gradients_are_laid_out_as_backward_leaves_them(size):
    model = Sums()
    method = samnesia.sam(model, sgd(model), loss=lambda output, _: output.mean())
    Vectorized(method, size).backward(torch.ones(4), torch.zeros(4))
    gradients = [p.grad for p in model.parameters()]
    assert [g.stride() for g in gradients] == [p.stride() for p in model.parameters()]
    assert not any(g.requires_grad for g in gradients)
    assert gradients[0].data_ptr() != gradients[1].data_ptr()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    torch.testing.assert_close(torch.stack(gradients).norm(), torch.tensor(0.1))


def test_gradient_scaler():
    results = []
    for vectorize in (False, True):
        model = network().float()
        method, scaler = sam(model), torch.amp.GradScaler("cpu")
        x = X.float()
        if vectorize:
            Vectorized(method, 3).backward(x, Y, scale=scaler.scale(torch.ones(())))
        else:
            for rows in torch.arange(8).split(3):
                for p in method.passes():
                    scaler.scale(p.loss(model(x[rows]), Y[rows]) * len(rows) / 8).backward()
        scaler.step(method.optimizer)
        scaler.update()
        results.append(weights(model))
    assert_close(*results, 1e-6)


@pytest.mark.parametrize("where", ["around", "inside"])
def test_autocast(where):
    class Cast(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network().float()

        def forward(self, x):
            with torch.autocast("cpu", torch.bfloat16):
                return self.inner(x)

    results = []
    for vectorize in (False, True):
        model = Cast() if where == "inside" else network().float()
        method = sam(model)
        with torch.autocast("cpu", torch.bfloat16, enabled=where == "around"):
            if vectorize:
                Vectorized(method, 2).backward(X.float(), Y)
            else:
                by_loop(method, X.float(), Y, 2)
        assert next(model.parameters()).grad.dtype is torch.float32
        results.append(gradients(model))
    assert_close(*results, 2e-2)


# -- memory -----------------------------------------------------------------------------------------------------------


class Peak(Ledger):
    """The most bytes of tensors made under it that were alive at once."""

    peak = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = super().__torch_dispatch__(function, types, args, kwargs)
        self.peak = max(self.peak, self.alive())
        return result


COPIES = {"unperturbed": 0, "sam": 2, "sam 3 steps": 2, "gsam": 3, "asam element": 4, "asam after norm": 3, "random": 1}


@pytest.mark.parametrize(("name", "copies"), COPIES.items())
def test_copies_of_the_parameters_for_each_micro_batch(name, copies):
    """On steps that do not measure rounding; what does not grow with them is the gradient, and what a layer needs."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(48, 48), nn.Tanh(), *(nn.Linear(48, 48) for _ in range(8))).double()
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    method = BY_NAME[name](model, sgd(model, momentum=0.0))
    x, y = torch.randn(8, 48, dtype=torch.float64), torch.zeros(8, dtype=torch.long)
    Vectorized(method, 1).backward(x, y)
    method.optimizer.step()
    peaks = {}
    for chunks in (4, 8):
        method.optimizer.zero_grad()
        with Peak() as ledger:
            Vectorized(method, 1, max_chunks=chunks).backward(x, y)
        assert ledger.alive() / size == pytest.approx(1, abs=0.1)
        peaks[chunks] = ledger.peak / size
    assert (peaks[8] - peaks[4]) / 4 < copies + 0.35
