"""m-sharpness with its micro-batches side by side: kinds of models, trees of tensors, random numbers."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import samnesia
from samnesia import Vectorized
from tests.battery import BY_NAME
from tests.perturb.vectorized.test_m_sharpness import X, Y, assert_same_report, by_loop, pair, vectorized
from tests.problems import assert_close, gradients, network, sgd


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


class WithScale(nn.Module):
    """A parameter without dimensions, as the scale of logits often is, and one without entries."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.logit_scale = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
        self.empty = nn.Parameter(torch.zeros(0, 3, dtype=torch.float64))
        self.inner = network()

    def forward(self, x):
        return self.logit_scale.exp() * self.inner(x) + self.empty.sum(0)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("name", ["sam", "sam 3 steps", "asam element", "asam all, eta 0", "gsam", "random"])
def test_a_parameter_without_dimensions_and_one_without_entries(name, groups):
    """On a step that measures rounding and on one that does not; with one radius and with a second for the scale."""
    methods = []
    for _ in range(2):
        model = WithScale()
        scale, *others = model.parameters()
        held = [{"params": [scale, *others]}, {"params": [scale], "rho": 0.3}, {"params": others}]
        methods.append(BY_NAME[name](model, torch.optim.SGD(held[:1] if groups == 1 else held[1:], lr=0.1)))
    loop, side_by_side = methods
    for _ in range(2):
        by_loop(loop, X, Y, 3)
        Vectorized(side_by_side, 3).backward(X, Y)
        assert_close(gradients(side_by_side.model), gradients(loop.model))
        assert_same_report(side_by_side.last_step, loop.last_step)
        for method in methods:
            method.optimizer.step()
            method.optimizer.zero_grad()


class Summed(nn.Module):
    """Sums of parameters: autograd hands out one tensor as the gradient of both, unless something lies between."""

    def __init__(self, between):
        super().__init__()
        torch.manual_seed(2)
        self.weight, self.delta = (nn.Parameter(torch.randn(3, 4, dtype=torch.float64)) for _ in range(2))
        self.bias, self.shift = (nn.Parameter(torch.randn(3, dtype=torch.float64)) for _ in range(2))
        self.between = between

    def forward(self, x):
        return F.linear(x, self.weight + self.between(self.delta), self.bias + self.between(self.shift))


def returns_what_it_was_given(model, optimizer):
    class Perturbed(samnesia.Rule):
        def combine(self, point, clean, perturbed):
            return list(perturbed)

    parts = {"ascent": samnesia.GradientAscent(), "rule": Perturbed(), "loss": F.cross_entropy}
    return samnesia.PerturbedGradient(model, optimizer, rho=0.1, **parts)


ALIASED = [*(BY_NAME[name] for name in ("sam", "asam element", "gsam", "gsam normalized")), returns_what_it_was_given]


@pytest.mark.parametrize("size", [2, 8])
@pytest.mark.parametrize("row", ALIASED, ids=lambda row: getattr(row, "name", "own rule"))
def test_gradients_that_are_one_tensor_are_not_written_twice(row, size):
    apart, shared = Summed(torch.Tensor.clone), Summed(lambda parameter: parameter)
    loop, side_by_side = row(apart, sgd(apart)), row(shared, sgd(shared))
    by_loop(loop, X, Y, size)
    Vectorized(side_by_side, size).backward(X, Y)
    assert_close(gradients(shared), gradients(apart))
    assert_same_report(side_by_side.last_step, loop.last_step)


class WithUnusedAndFrozen(nn.Module):
    """A parameter that has no part in the output, a frozen one, and one that the optimizer does not hold."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.unused, self.frozen = nn.Linear(2, 2).double(), nn.Linear(4, 4).double().requires_grad_(False)
        self.elsewhere, self.last = nn.Linear(4, 4).double(), nn.Linear(4, 3).double()

    def forward(self, x):
        return self.last(torch.tanh(self.elsewhere(torch.tanh(self.frozen(x)))))


class Recurring(nn.Module):
    """One module under two names, after which ``functional_call`` does not put its parameters back."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Flatten(), nn.Linear(X[0].numel(), 4)).double()
        self.again = self.hidden = nn.Linear(4, 4).double()
        self.last = nn.Linear(4, 3).double()

    def forward(self, x):
        return self.last(torch.tanh(self.again(torch.tanh(self.hidden(torch.tanh(self.first(x)))))))


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
    "module with two names": Recurring,
    "parametrized": parametrized,
    "GroupNorm": lambda: network(norm=lambda n: nn.GroupNorm(1, n)),
    "BatchNorm without statistics": without_statistics,
    "BatchNorm in eval()": in_eval_mode,
}


@pytest.mark.parametrize("row", [BY_NAME["sam"], BY_NAME["gsam"]], ids=str)
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_kinds_of_models(make, row):
    loop, side_by_side = pair(row, make)
    parameters = list(side_by_side.model.parameters())
    by_loop(loop, X, Y, 4)
    Vectorized(side_by_side, 4).backward(X, Y)
    assert_close(gradients(side_by_side.model), gradients(loop.model))
    assert all(now is before for now, before in zip(side_by_side.model.parameters(), parameters, strict=True))


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


def test_parametrizations_that_are_cached():
    loop, side_by_side = pair(BY_NAME["sam"], parametrized)
    by_loop(loop, X, Y, 4)
    with nn.utils.parametrize.cached():
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
