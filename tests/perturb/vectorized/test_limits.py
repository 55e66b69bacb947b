"""m-sharpness with its micro-batches side by side: one sentence where it cannot be had, and nothing harmed."""

import copy
import inspect
from collections import UserDict

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
from tests.battery import BY_NAME
from tests.perturb.vectorized.test_m_sharpness import X, Y, by_loop, counted, pair, sam, vectorized
from tests.problems import assert_same, gradients, network, observed, sgd


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


@pytest.mark.parametrize("batch_of_others", [UserDict(x=X), X.numpy()], ids=["mapping", "array"])
def test_what_might_hide_tensors_is_not_given_whole_to_each_micro_batch(batch_of_others):
    with pytest.raises(ConfigurationError, match=r"cannot cut a (UserDict|ndarray)"):
        vectorized(network()).backward(batch_of_others, Y)


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


def test_a_loss_that_is_no_tensor_is_refused():
    def number(output, target):
        return 1.0

    for options in ({"loss": number}, {"loss": number, "objective": F.cross_entropy}, {"objective": number}):
        model = network()
        method = samnesia.sam(model, sgd(model), **{"loss": F.cross_entropy, **options})
        with pytest.raises(ConfigurationError, match="cannot vectorize .* a loss that is a float, because"):
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


@pytest.mark.parametrize("error", [IndexError("Target 9 is out of it."), ValueError("no"), TypeError("no")], ids=repr)
@pytest.mark.parametrize("fails", [1, 2])
def test_errors_under_vmap_that_name_no_cause(error, fails):
    """Whether vmap or the model is at fault cannot be told: one sentence says both, and the error is its cause."""
    model = network()
    method = samnesia.sam(model, sgd(model), 0.1, loss=Failing(fails, error))
    before = observed(model)
    expected = rf"cannot vectorize .*vmap.*met {type(error).__name__} \({error}".rstrip(".")
    with pytest.raises(UnsupportedError, match=expected) as caught:
        Vectorized(method, 4).backward(X, Y)
    assert caught.value.__cause__ is error
    assert "\n" not in str(caught.value) and "loop over passes()" in str(caught.value)
    assert_same(observed(model), before)


def test_an_error_of_an_ascent_stays_what_it_is():
    class Wrong(samnesia.Ascent):
        num_gradients = 1

        def climb(self, point):
            yield samnesia.Need.GRADIENT
            raise ValueError("wrong")

    model = network()
    method = samnesia.PerturbedGradient(model, sgd(model), ascent=Wrong(), loss=F.cross_entropy)
    with pytest.raises(ValueError, match="^wrong$"):
        Vectorized(method, 4).backward(X, Y)


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
