"""m-sharpness with its micro-batches side by side: what the loop over micro-batches gives, or one sentence why not."""

import copy
import inspect

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import samnesia
from samnesia import Vectorized
from samnesia.perturb.errors import (
    ConfigurationError,
    NoGradientError,
    PassesOpenError,
    StaleGradientError,
    UnsupportedError,
)
from tests.battery import BY_NAME, METHODS
from tests.perturb.test_memory import Ledger
from tests.problems import assert_close, assert_same, batch, gradients, network, observed, sgd, weights

X, Y = batch(8)
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


def assert_same_report(actual, expected):
    assert counted(actual) == counted(expected)
    for name in ("loss", "rho", "perturbation_norm", "cosine", "gradient_norm"):
        is_expected = getattr(expected, name)
        assert getattr(actual, name) == (is_expected and pytest.approx(is_expected, rel=1e-11)), name


# -- what the loop gives ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 4, 20], ids=["single", "ragged", "even", "larger than the batch"])
@pytest.mark.parametrize("row", METHODS, ids=str)
def test_gradient_and_report_are_those_of_the_loop(row, size):
    loop, side_by_side = pair(row)
    by_loop(loop, X, Y, size)
    loss = Vectorized(side_by_side, size).backward(X, Y)
    assert_close(gradients(side_by_side.model), gradients(loop.model))
    assert_same_report(side_by_side.last_step, loop.last_step)
    assert not loss.requires_grad
    sizes = torch.tensor([len(rows) for rows in torch.arange(8).split(size)]) / 8
    assert float(loss) == pytest.approx(float(sizes @ torch.stack(loop.last_step._losses).float()), rel=1e-6)


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
        results.append((weights(model), reports, method.state_dict()))
    (expected, reports, state), (actual, its_reports, its_state) = results
    assert_close(actual, expected, 1e-11)
    assert state == its_state == {"version": 1, "steps": 4, "micro_batch": 0}
    for (counts, norm), (its_counts, its_norm) in zip(reports, its_reports, strict=True):
        assert its_counts == counts
        assert its_norm == pytest.approx(norm, rel=1e-11)


@pytest.mark.parametrize("row", PERTURBED_ROWS, ids=str)
def test_accumulation_over_calls(row):
    """A standing gradient is added to, seeds go on counting micro-batches, and a share is a scale."""
    loop, side_by_side = pair(row, when=samnesia.randomly(0.5))
    for rows in torch.arange(8).split(5):
        by_loop(loop, X[rows], Y[rows], 2, scale=len(rows) / 8)
        Vectorized(side_by_side, 2).backward(X[rows], Y[rows], scale=len(rows) / 8)
    assert_close(gradients(side_by_side.model), gradients(loop.model))
    assert_same_report(side_by_side.last_step, loop.last_step)
    assert side_by_side.state_dict() == loop.state_dict()


@pytest.mark.parametrize("row", METHODS, ids=str)
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


# -- models and data --------------------------------------------------------------------------------------------------


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.first, self.second = nn.Linear(4, 3).double(), nn.Linear(4, 3).double()

    def forward(self, a, b, factor=1.0):
        return {"logits": self.first(a) + factor * self.second(b), "unused": a}


def loss_of_dict(output, target):
    return F.cross_entropy(output["logits"], target["label"], reduction="none").mul(target["weight"]).mean()


@pytest.mark.parametrize(
    "call",
    [lambda a, b: (a, b, 0.5), lambda a, b: {"a": a, "b": b, "factor": torch.tensor(0.5)}],
    ids=["arguments", "keywords"],
)
def test_trees_of_tensors(call):
    target = {"label": Y, "weight": torch.rand(8, dtype=torch.float64)}
    expected, model = TwoInputs(), TwoInputs()
    loop = samnesia.sam(expected, sgd(expected), 0.1, loss=loss_of_dict)
    for rows in torch.arange(8).split(3):
        for p in loop.passes():
            output = expected(X[rows], 2 * X[rows], 0.5)
            (p.loss(output, {k: t[rows] for k, t in target.items()}) * len(rows) / 8).backward()
    method = samnesia.sam(model, sgd(model), 0.1, loss=loss_of_dict)
    Vectorized(method, 3).backward(call(X, 2 * X), target)
    assert_close(gradients(model), gradients(expected))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.first, self.second = nn.Linear(4, 4).double(), nn.Linear(4, 4).double()
        self.last = nn.Linear(4, 3).double()
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.last(torch.tanh(self.second(torch.tanh(self.first(x)))))


class WithUnusedAndFrozen(nn.Module):
    """A parameter that has no part in the output, a frozen one, and one that the optimizer does not hold."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.unused, self.frozen = nn.Linear(2, 2).double(), nn.Linear(4, 4).double().requires_grad_(False)
        self.elsewhere, self.last = nn.Linear(4, 4).double(), nn.Linear(4, 3).double()

    def forward(self, x):
        return self.last(torch.tanh(self.elsewhere(torch.tanh(self.frozen(x)))))


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


def parametrized():
    model = network()
    nn.utils.parametrize.register_parametrization(model[-1], "weight", Doubled())
    return model


def without_statistics():
    return network(norm=lambda n: nn.BatchNorm2d(n, track_running_stats=False))


def in_eval_mode():
    model = network(norm=nn.BatchNorm2d)
    model[2].eval()
    return model


MODELS = {
    "tied": Tied,
    "parametrized": parametrized,
    "GroupNorm": lambda: network(norm=lambda n: nn.GroupNorm(1, n)),
    "BatchNorm without statistics": without_statistics,
    "BatchNorm in eval()": in_eval_mode,
}


@pytest.mark.parametrize("row", [BY_NAME["sam"], BY_NAME["gsam"]], ids=str)
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_kinds_of_models(make, row):
    loop, side_by_side = pair(row, make)
    by_loop(loop, X, Y, 4)
    Vectorized(side_by_side, 4).backward(X, Y)
    assert_close(gradients(side_by_side.model), gradients(loop.model))


@pytest.mark.parametrize("row", [BY_NAME["sam"], BY_NAME["gsam"], BY_NAME["random"]], ids=str)
@pytest.mark.filterwarnings("ignore::samnesia.UnperturbedParametersWarning")
def test_unused_frozen_and_unheld_parameters(row):
    methods = []
    for _ in range(2):
        model = WithUnusedAndFrozen()
        held = [p for name, p in model.named_parameters() if not name.startswith("elsewhere") and p.requires_grad]
        methods.append(row(model, torch.optim.SGD(held, lr=0.1)))
    loop, side_by_side = methods
    by_loop(loop, X, Y, 3)
    Vectorized(side_by_side, 3).backward(X, Y)
    missing = {"unused.weight", "unused.bias", "frozen.weight", "frozen.bias"}
    for method in methods:
        assert {name for name, p in method.model.named_parameters() if p.grad is None} == missing
    used = [{n: p.grad for n, p in m.model.named_parameters() if n not in missing} for m in (side_by_side, loop)]
    assert_close(*used)


def transformer():
    torch.manual_seed(4)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    return nn.Sequential(nn.Unflatten(1, (4, 1)), nn.Linear(1, 8), layer, nn.Flatten(), nn.Linear(32, 3)).double()


def test_attention():
    loop, side_by_side = pair(BY_NAME["sam"], transformer)
    by_loop(loop, X, Y, 4)
    Vectorized(side_by_side, 4).backward(X, Y)
    assert_close(gradients(side_by_side.model), gradients(loop.model))


def compiled():
    return torch.compile(network(), backend="eager")


def test_a_compiled_model():
    loop, side_by_side = pair(BY_NAME["sam"], compiled)
    by_loop(loop, X, Y, 4)
    Vectorized(side_by_side, 4).backward(X, Y)
    assert_close(gradients(side_by_side.model), gradients(loop.model))


class Zigzag(samnesia.Ascent):
    """Two moves of a user's own, given as lists; remembers a gradient between passes."""

    num_gradients = 2

    def climb(self, point):
        first = yield samnesia.Need.GRADIENT
        point.move([g.sign() for g in first], 0.5)
        second = yield samnesia.Need.GRADIENT
        point.move([a - b for a, b in zip(first, second, strict=True)])


@pytest.mark.parametrize("rule", [None, samnesia.SurrogateGap()], ids=["plain", "rule"])
def test_ascents_of_ones_own(rule):
    def build(model, optimizer):
        parts = {"ascent": Zigzag(), "rule": rule, "loss": F.cross_entropy}
        return samnesia.PerturbedGradient(model, optimizer, rho=0.01, **parts)

    loop, side_by_side = pair(build)
    by_loop(loop, X, Y, 3)
    Vectorized(side_by_side, 3).backward(X, Y)
    assert_close(gradients(side_by_side.model), gradients(loop.model))
    assert_same_report(side_by_side.last_step, loop.last_step)


# -- memory -----------------------------------------------------------------------------------------------------------


class Peak(Ledger):
    """The most bytes of tensors made under it that were alive at once."""

    peak = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = super().__torch_dispatch__(function, types, args, kwargs)
        self.peak = max(self.peak, self.alive)
        return result


@pytest.mark.parametrize(("name", "copies"), [("unperturbed", 0), ("sam", 2), ("sam 3 steps", 2), ("gsam", 3)])
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
        with Peak([*model.parameters(), x, y]) as ledger:
            Vectorized(method, 1, max_chunks=chunks).backward(x, y)
        assert ledger.alive / size == pytest.approx(1, abs=0.1)
        peaks[chunks] = ledger.peak / size
    assert (peaks[8] - peaks[4]) / 4 < copies + 0.35


# -- random numbers ---------------------------------------------------------------------------------------------------


class Masks(nn.Module):
    """Dropout on ones: the output tells the mask."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(64, dtype=torch.float64))
        self.seen = []

    def forward(self, x):
        mask = F.dropout(torch.ones_like(x), 0.5)
        self.seen.append(torch._C._functorch.get_unwrapped(mask).detach())
        return mask * x * self.weight


@pytest.mark.parametrize("max_chunks", [None, 2])
@pytest.mark.parametrize("replay", [False, True])
def test_each_micro_batch_has_masks_of_its_own_in_all_passes_or_in_each(replay, max_chunks):
    model = Masks()
    method = samnesia.sam(model, sgd(model), loss=lambda output, _: output.square().mean(), replay_dropout=replay)
    Vectorized(method, 1, max_chunks=max_chunks).backward(torch.ones(4, 64, dtype=torch.float64), torch.zeros(4))
    blocks = list(zip(model.seen[::2], model.seen[1::2], strict=True))
    assert len(blocks) == (1 if max_chunks is None else 2)
    for first, second in blocks:
        assert torch.equal(first, second) is replay
    masks = torch.cat([first.reshape(-1, 64) for first, _ in blocks])
    assert len(masks.unique(dim=0)) == 4


def test_random_numbers_go_on():
    model = network(dropout=0.5)
    side_by_side = vectorized(model, replay_dropout=True)
    side_by_side.backward(X, Y)
    first = gradients(model)
    model.zero_grad()
    side_by_side.backward(X, Y)
    assert not torch.equal(first["1.weight"], gradients(model)["1.weight"])


# -- failures ---------------------------------------------------------------------------------------------------------


class Failing:
    """A criterion that raises at its `fails`-th call."""

    def __init__(self, fails, error):
        self.left, self.error = fails, error

    def __call__(self, output, target):
        self.left -= 1
        if not self.left:
            raise self.error
        return F.cross_entropy(output, target)


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("fails", [1, 2, 3, 4])
def test_whatever_ends_it_early_leaves_everything_as_it_was(fails, error):
    model = network(dropout=0.5)
    method = samnesia.sam(model, sgd(model), 0.1, loss=Failing(fails, error))
    for p in model.parameters():
        p.grad = torch.randn_like(p)
    before, standing = observed(model), [p.grad for p in model.parameters()]
    with pytest.raises(type(error)) as caught:
        Vectorized(method, 3).backward(X, Y)  # two passes of two blocks
    assert caught.value is error
    assert_same(observed(model), before)
    assert all(p.grad is g for p, g in zip(model.parameters(), standing, strict=True))
    assert counted(method.last_step) == (0, 0, False, ())
    assert method.last_step.loss is None


def test_an_ascent_that_is_not_finite_moves_nothing_and_marks_the_gradient():
    """As in the loop: one micro-batch of infinities, and the others are not harmed on the way."""

    def overflows(output, target):
        return F.cross_entropy(output, target) * torch.where((target == 2).any(), torch.inf, 1.0)

    assert 0 < (Y == 2).sum() < len(Y)
    for row in (BY_NAME["sam"], BY_NAME["gsam"]):
        loop, side_by_side = pair(row, objective=overflows)
        by_loop(loop, X, Y, 1)
        Vectorized(side_by_side, 1).backward(X, Y)
        assert not side_by_side.last_step.finite and not loop.last_step.finite
        expected = gradients(loop.model)
        for name, gradient in gradients(side_by_side.model).items():
            torch.testing.assert_close(gradient, expected[name], rtol=1e-10, atol=1e-12, equal_nan=True)


def test_a_gradient_that_was_stepped_is_refused():
    model = network()
    side_by_side = vectorized(model)
    side_by_side.backward(X, Y)
    side_by_side.method.optimizer.step()
    with pytest.raises(StaleGradientError, match="zero_grad"):
        side_by_side.backward(X, Y)


def test_an_open_loop_is_closed_and_refused():
    model = network()
    side_by_side = vectorized(model)
    passes = side_by_side.method.passes()
    next(passes)
    with pytest.raises(PassesOpenError):
        side_by_side.backward(X, Y)


@pytest.mark.parametrize("y", [Y[:4], torch.tensor(0)], ids=["too few", "none"])
def test_rows_that_do_not_belong_together(y):
    x = X if y.ndim else X[:0]
    with pytest.raises(ConfigurationError, match=r"cannot cut a batch .* rows"):
        vectorized(network()).backward(x, y)


@pytest.mark.parametrize("name", ["micro_batch", "max_chunks"])
@pytest.mark.parametrize("value", [0, -1, 2.5, True, "4"], ids=repr)
def test_sizes_that_are_no_counts(name, value):
    method = sam(network())
    with pytest.raises(ConfigurationError, match=f"{name}={value!r}"):
        Vectorized(method, **{"micro_batch": 2, name: value})


def test_micro_batch_has_to_be_said():
    with pytest.raises(ConfigurationError, match="micro_batch=None"):
        Vectorized(sam(network()), None)


def test_a_method_without_a_loss_is_refused():
    model = network()
    with pytest.raises(ConfigurationError, match="loss="):
        Vectorized(samnesia.sam(model, sgd(model)), 4)


def test_kept_gradient_buffers_are_refused():
    with pytest.raises(ConfigurationError, match="keep_gradient_buffers"):
        vectorized(network(), keep_gradient_buffers=True)


def test_a_loss_per_sample_is_refused():
    model = network()
    method = samnesia.sam(model, sgd(model), loss=lambda o, t: F.cross_entropy(o, t, reduction="none"))
    with pytest.raises(ConfigurationError, match=r"loss of shape \(4,\)"):
        Vectorized(method, 4).backward(X, Y)


def test_a_loss_without_a_gradient_is_refused():
    model = network()
    method = samnesia.sam(model, sgd(model), loss=lambda o, t: F.cross_entropy(o.detach(), t))
    with pytest.raises(NoGradientError, match="pass 0"):
        Vectorized(method, 4).backward(X, Y)


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, lambda n: nn.InstanceNorm2d(n, track_running_stats=True)])
def test_running_statistics_in_training_are_refused(norm):
    with pytest.raises(UnsupportedError, match=r"Norm2d '2' in training.*GroupNorm.*passes\(\)"):
        vectorized(network(norm=norm))
    model = network(norm=norm).eval()
    side_by_side = vectorized(model)
    model.train()
    with pytest.raises(UnsupportedError, match="running statistics"):
        side_by_side.backward(X, Y)


def test_sparse_gradients_are_refused():
    model = nn.Sequential(nn.Embedding(5, 2, sparse=True), nn.Flatten(), nn.Linear(4, 3))
    with pytest.raises(UnsupportedError, match="sparse gradients of '0'"):
        vectorized(model)


@pytest.fixture
def one_process_group():
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("one_process_group")
def test_wrappers_that_communicate_are_refused():
    wrapped = nn.parallel.DistributedDataParallel(network())
    with pytest.raises(UnsupportedError, match=r"DistributedDataParallel .*average p\.grad"):
        vectorized(wrapped)
    vectorized(wrapped.module, sync="rank").backward(X, Y)


def test_hooks_on_gradients_are_refused():
    model = network()
    model[1].weight.register_hook(lambda gradient: 2 * gradient)
    with pytest.raises(UnsupportedError, match=r"hook on the gradient of parameter '1\.weight'"):
        vectorized(model)


class Writes(nn.Module):
    """A forward that does to a buffer, or to a branch, what `does` says."""

    def __init__(self, does):
        super().__init__()
        self.inner, self.does = network(), does
        self.register_buffer("calls", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(3, dtype=torch.float64))

    def forward(self, x):
        return self.does(self, self.inner(x))


def count(model, output):
    model.calls.add_(1)
    return output


def average(model, output):
    model.mean.lerp_(output.detach().mean(0), 0.1)
    return output


def rebind(model, output):
    model.calls = model.calls + 1
    return output


def branch(model, output):
    return output if output.sum() > 0 else 2 * output


def convert(model, output):
    return output * output.detach().sum().item()


@pytest.mark.parametrize("does", [count, average, rebind, branch, convert], ids=lambda does: does.__name__)
def test_forwards_that_cannot_run_side_by_side_are_refused_and_undone(does):
    model = Writes(does)
    side_by_side = vectorized(model)
    before = observed(model)
    with pytest.raises(UnsupportedError, match=r"cannot vectorize .*because.*loop over passes\(\)") as caught:
        side_by_side.backward(X, Y)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 450
    assert_same(observed(model), before)


def test_ascents_that_part_are_refused():
    class Fickle(samnesia.Ascent):
        num_gradients = 1

        def climb(self, point):
            gradients = yield samnesia.Need.GRADIENT
            if gradients[0].sum() > 0:
                yield samnesia.Need.GRADIENT

    model = network()
    method = samnesia.PerturbedGradient(model, sgd(model), ascent=Fickle(), loss=F.cross_entropy)
    with pytest.raises(UnsupportedError, match="other passes for one of them"):
        Vectorized(method, 1).backward(X, Y)


def test_an_error_of_the_model_stays_what_it_is():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied|unflatten") as caught:
        vectorized(network()).backward(torch.randn(8, 5, dtype=torch.float64), Y)
    assert not isinstance(caught.value, samnesia.SamnesiaError)


def test_copies_and_arguments():
    side_by_side = vectorized(network())
    its_copy = copy.deepcopy(side_by_side)
    its_copy.backward(X, Y)
    assert side_by_side.method.model[1].weight.grad is None
    assert its_copy.method.model[1].weight.grad is not None
    assert list(inspect.signature(Vectorized).parameters) == ["method", "micro_batch", "max_chunks"]
