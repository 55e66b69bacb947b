"""Products equal the matrix written out, in one pass over ragged batches, and leave nothing behind."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import Tensor, nn

from samnesia.measure.curvature.finite import DifferenceHessian
from samnesia.measure.curvature.operators import GaussNewton, Hessian, Operator, _curvlinops
from samnesia.measure.statistics import BatchStatistics
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError, UnsupportedError
from tests.measure.curvature import cases
from tests.measure.test_subject import everything, same


def product(subject, matrix) -> tuple[Tensor, Tensor]:
    operator = Operator(subject, matrix)
    vector = operator.space.gaussian(7)
    return vector, operator(vector)


@pytest.mark.parametrize("name", cases.CASES)
def test_the_hessian_is_the_dense_one(name):
    vector, found = product(cases.CASES[name].subject(), Hessian())
    expected = cases.dense_hessian(name) @ vector
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", cases.CASES)
def test_the_gauss_newton_matrix_is_the_dense_one(name):
    vector, found = product(cases.CASES[name].subject(), GaussNewton())
    torch.testing.assert_close(found, cases.dense_gauss_newton(name) @ vector, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", cases.DENSE)
def test_differences_are_the_dense_hessian_within_their_error(name):
    operator = Operator(cases.CASES[name].subject(), DifferenceHessian())
    slope = operator.space.join(operator.subject.gradient())
    direction = slope / slope.norm()
    expected = cases.dense_hessian(name) @ direction
    off = float((operator(direction) - expected).norm() / expected.norm())
    assert off <= operator.error < 1e-6
    vector, found = product(operator.subject, DifferenceHessian(step=1e-5))
    torch.testing.assert_close(found, cases.dense_hessian(name) @ vector, rtol=1e-5, atol=1e-6)


def test_single_precision_differences_say_that_they_are_coarser():
    model = cases.cnn().float()
    batches = [(x.float(), y) for x, y in cases.CASES["cnn, cross-entropy"].batches()]
    operator = Operator(Subject(model, nn.CrossEntropyLoss(), batches), DifferenceHessian())
    assert 1e-6 < operator.error < 1e-2


@pytest.mark.xfail(
    strict=True, raises=AssertionError, reason="torch's tangents of LayerNorm's backward are wrong: docs/decisions.md"
)
def test_why_the_hessian_is_not_that_of_curvlinops():
    curvlinops = _curvlinops()
    case = cases.CASES["vit, cross-entropy"]
    subject = case.subject()
    with subject.looking():
        operator = curvlinops.HessianLinearOperator(
            subject.model, nn.CrossEntropyLoss(), subject.parameters, case.batches(), check_deterministic=False
        )
        vector = torch.randn(operator.shape[1], dtype=torch.float64)
        found = operator @ vector
    torch.testing.assert_close(found, cases.dense_hessian("vit, cross-entropy") @ vector, rtol=1e-3, atol=1e-4)


class Counting:
    """Batches that know how often they were asked for, and how many are alive."""

    def __init__(self, batches):
        self.batches, self.given, self.alive, self.most = batches, 0, 0, 0

    def __iter__(self):
        for inputs, targets in self.batches:
            self.given += 1
            inputs = inputs.clone()
            self.alive += 1
            weakref.finalize(inputs, self.gone)
            self.most = max(self.most, self.alive)
            yield inputs, targets
            del inputs

    def gone(self):
        self.alive -= 1


@pytest.mark.parametrize("matrix", [Hessian(), GaussNewton(), DifferenceHessian(step=1e-5)], ids=repr)
def test_one_pass_per_product_and_no_batch_is_kept(matrix):
    batches = Counting(list(zip(cases.images().split(2), cases.classes().split(2), strict=True)))
    subject = Subject(cases.cnn(), nn.CrossEntropyLoss(), batches)
    operator = Operator(subject, matrix)
    vector = operator.space.gaussian(0)
    operator(vector)
    gc.collect()
    before, passes, batches.most = batches.given, subject.products, batches.alive
    gc.disable()
    try:
        for _ in range(3):
            operator(vector)
    finally:
        gc.enable()
    assert batches.given - before == 3 * 11
    assert subject.products - passes == 3
    assert batches.most <= 3  # of eleven; the last one is held until the next is there


@pytest.mark.parametrize("matrix", [Hessian(), GaussNewton(), DifferenceHessian()], ids=repr)
@pytest.mark.parametrize("name", ["cnn, cross-entropy", "vit, cross-entropy"])
def test_the_model_is_left_as_it_was(name, matrix):
    case = cases.CASES[name]
    model = case.model().train()
    next(model.parameters()).grad = torch.ones_like(next(model.parameters()))
    before, fast = everything(model), torch.backends.mha.get_fastpath_enabled()
    product(case.subject(model), matrix)
    assert same(before, everything(model))
    assert torch.backends.mha.get_fastpath_enabled() == fast
    assert all(p.grad is None for p in list(model.parameters())[1:])


def test_frozen_parameters_are_no_part_of_it():
    model = cases.cnn()
    model[0].requires_grad_(False)
    model[1].requires_grad_(False)
    subject = cases.CASES["cnn, cross-entropy"].subject(model)
    for matrix, dense in (
        (Hessian(), cases.dense_hessian("cnn, cross-entropy")),
        (GaussNewton(), cases.dense_gauss_newton("cnn, cross-entropy")),
    ):
        vector, found = product(subject, matrix)
        assert len(vector) == 196
        torch.testing.assert_close(found, dense[-196:, -196:] @ vector, rtol=1e-9, atol=1e-11)


def test_tied_weights_count_once():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 5), nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5)).double()
    model[4].weight = model[2].weight
    subject = Subject(model, nn.CrossEntropyLoss(), [(cases.images(), cases.classes())])
    vector, exact = product(subject, Hessian())
    _, differences = product(subject, DifferenceHessian(step=1e-5))
    torch.testing.assert_close(exact, differences, rtol=1e-5, atol=1e-7)
    product(subject, GaussNewton())


def test_by_the_statistics_of_each_batch_the_hessian_is_that_of_training():
    case = cases.CASES["cnn, cross-entropy"]
    subject = case.subject(statistics=BatchStatistics())
    vector, found = product(subject, Hessian())
    model = case.model().train()
    parameters = list(model.parameters())
    loss = sum(case.criterion(model(x), y) * len(y) for x, y in case.batches()) / cases.SAMPLES
    slope = torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters, create_graph=True)])
    expected = torch.cat([h.flatten() for h in torch.autograd.grad(slope @ vector, parameters)])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
    with pytest.raises(UnsupportedError, match="Gauss-Newton matrix by the statistics of each batch"):
        product(subject, GaussNewton())


class Once(torch.autograd.Function):
    """Without a second derivative."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        return 2.0 * ctx.saved_tensors[0] * g


class Untracked(Once):
    """Whose second derivative comes out as zero, because the gradient is computed outside of autograd."""

    @staticmethod
    def backward(ctx, g):
        return torch.from_numpy(2.0 * ctx.saved_tensors[0].detach().numpy()) * g


def through(function):
    def criterion(output: Tensor, target: Tensor) -> Tensor:
        return function.apply(output).mean()

    return criterion


def partly(output: Tensor, target: Tensor) -> Tensor:
    """A weight that follows the output, but not the gradient."""
    losses = nn.functional.cross_entropy(output, target, reduction="none")
    return (losses * losses.detach() ** 2).mean()


@pytest.mark.parametrize("matrix", [Hessian(), GaussNewton()], ids=repr)
@pytest.mark.parametrize(
    ("criterion", "sentence"),
    [
        (through(Once), "its second derivative by autograd is not that of its gradient"),
        (nn.MultiMarginLoss(), "with the criterion MultiMarginLoss, because it has no second derivative"),
        (through(Untracked), "its second derivative by autograd is not that of its gradient"),
        (partly, "criterion partly, because its second derivative by autograd is not that of its gradient"),
    ],
)
def test_a_criterion_without_a_second_derivative_is_refused(criterion, sentence, matrix):
    model = cases.cnn()
    before = everything(model)
    subject = Subject(model, criterion, [(cases.images(), cases.classes())])
    with pytest.raises(UnsupportedError, match=sentence):
        product(subject, matrix)
    assert same(before, everything(model))
    if "through" in repr(criterion):  # but its gradient is one, and so are differences of it
        _, found = product(subject, DifferenceHessian())
        _, expected = product(Subject(model, lambda o, t: o.square().mean(), subject._batches._source), Hessian())
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "criterion", [nn.CrossEntropyLoss(), nn.L1Loss(), nn.HuberLoss(), nn.HingeEmbeddingLoss(), lambda o, t: o.mean()]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_criteria_with_kinks_and_linear_ones_are_not_refused(criterion, dtype):
    targets = torch.randn(cases.SAMPLES, cases.CLASSES).sign().to(dtype)
    targets = cases.classes() if isinstance(criterion, nn.CrossEntropyLoss) else targets
    subject = Subject(cases.cnn().to(dtype), criterion, [(cases.images().to(dtype), targets)])
    assert product(subject, Hessian())[1].isfinite().all()
    assert product(subject, GaussNewton())[1].isfinite().all()


class Stubborn(nn.Module):
    """A model without a second derivative."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(36, 4)

    def forward(self, x):
        return Once.apply(self.linear(x.flatten(1)))


@pytest.mark.parametrize("matrix", [Hessian(), GaussNewton()], ids=repr)
def test_a_model_without_a_second_derivative_is_refused(matrix):
    subject = Subject(Stubborn().double(), nn.CrossEntropyLoss(), [(cases.images(), cases.classes())])
    with pytest.raises(UnsupportedError, match=r"cannot multiply with the .*=DifferenceHessian\(\)"):
        product(subject, matrix)
    assert product(subject, DifferenceHessian())[1].isfinite().all()


@pytest.mark.parametrize("matrix", [Hessian(), GaussNewton(), DifferenceHessian(), DifferenceHessian(1e-5)], ids=repr)
def test_a_loss_that_is_not_finite_is_refused(matrix):
    batches = [(x.clone(), y) for x, y in cases.CASES["cnn, cross-entropy"].batches()]
    batches[1][0][3] = float("nan")  # the first batch is looked at by the subject itself
    subject = Subject(cases.cnn(), nn.CrossEntropyLoss(), batches)
    with pytest.raises(ConfigurationError, match="not finite"):
        product(subject, matrix)


@pytest.mark.parametrize("step", [0.0, -1.0, float("inf"), float("nan")])
def test_a_step_that_is_none_is_refused(step):
    with pytest.raises(ConfigurationError, match="cannot take differences over a step"):
        DifferenceHessian(step)


class Recurring(nn.Module):
    """One module under two names, after which ``torch.func.functional_call`` does not put its parameters back."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.again = self.hidden = nn.Linear(3, 3).double()
        self.last = nn.Linear(3, 2).double()

    def forward(self, x):
        return self.last(torch.tanh(self.again(torch.tanh(self.hidden(x)))))


def test_a_module_with_two_names_keeps_its_parameters():
    model = Recurring()
    batch = (torch.randn(6, 3, dtype=torch.float64), torch.arange(6) % 2)
    before = list(model.parameters())
    product(Subject(model, nn.CrossEntropyLoss(), [batch]), GaussNewton())
    assert all(now is one for now, one in zip(model.parameters(), before, strict=True))


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, x):
        return {"logits": self.linear(x)}


def test_an_output_that_is_no_tensor_has_a_hessian_and_no_gauss_newton_matrix():
    batch = (torch.randn(6, 3), torch.arange(6) % 2)
    subject = Subject(Named(), lambda output, target: nn.functional.cross_entropy(output["logits"], target), [batch])
    product(subject, Hessian())
    with pytest.raises(UnsupportedError, match="output is a dict"):
        product(subject, GaussNewton())
