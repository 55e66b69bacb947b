"""What every measure stands on: the model is seen in one state, and left in the one it was in."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from samnesia.measure.batches import rows_of
from samnesia.measure.statistics import BatchStatistics
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError, UnsupportedError


def net() -> nn.Module:
    """Convolution, normalization, dropout, a frozen layer."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(48, 4),
        nn.Linear(4, 4),
    ).double()
    model[6].requires_grad_(False)
    model(torch.randn(16, 1, 6, 6, dtype=torch.float64))
    return model


def data(samples: int = 22) -> TensorDataset:
    """Images and classes."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(samples, 1, 6, 6, generator=generator, dtype=torch.float64)
    return TensorDataset(inputs, torch.randint(0, 4, (samples,), generator=generator))


def everything(model: nn.Module) -> list[object]:
    """All that measuring must not change."""
    return [
        [(name, value.clone()) for name, value in model.state_dict().items()],
        [m.training for m in model.modules()],
        [p.requires_grad for p in model.parameters()],
        [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        torch.get_rng_state(),
        random.getstate(),
        np.random.get_state()[1].copy(),  # type: ignore[index, union-attr]
    ]


def same(left: object, right: object) -> bool:
    """Equality through lists and tensors, to the bit."""
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))  # type: ignore[arg-type]
    if isinstance(left, Tensor):
        return torch.equal(left, right)  # type: ignore[arg-type]
    if isinstance(left, np.ndarray):
        return bool((left == right).all())
    return left == right


def test_loss_and_gradient_are_those_of_all_samples_at_once_whatever_the_batches():
    model, samples = net(), data()
    subject = Subject(model, nn.CrossEntropyLoss(), DataLoader(samples, batch_size=5))
    model.eval()
    loss = nn.functional.cross_entropy(model(samples.tensors[0]), samples.tensors[1])
    loss.backward()
    expected = [p.grad for p in model.parameters() if p.requires_grad]
    assert subject.loss() == pytest.approx(loss.item(), rel=1e-13)
    assert subject.names == ["0.weight", "0.bias", "1.weight", "1.bias", "5.weight", "5.bias"]
    for found, wanted in zip(subject.gradient(), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-13)
    assert subject.products == 2
    assert subject.samples == 22
    assert subject.num_batches == 5


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_the_model_is_left_as_it_was(training: bool, fails: bool):
    model = net().train(training)
    model[1].eval()  # a mode of its own
    model[0].weight.grad = torch.ones_like(model[0].weight)
    loader = DataLoader(data(), batch_size=5)
    before = everything(model)
    subject = Subject(model, nn.CrossEntropyLoss(), loader, statistics=BatchStatistics())
    offsets = [torch.full_like(p, 1e-3) for p in subject.parameters]
    try:
        with subject.looking(), subject.at(offsets):
            torch.rand(3), random.random(), np.random.rand()
            subject.gradient()
            assert not model[4].training and model[1].training
            if fails:
                raise KeyError
    except KeyError:
        assert fails
    assert same(before, everything(model))


def test_batch_statistics_are_those_of_training():
    model, samples = net(), data(20)
    subject = Subject(model, nn.CrossEntropyLoss(), DataLoader(samples, batch_size=10), statistics=BatchStatistics())
    model.train()
    model[4].eval()
    inputs, targets = samples.tensors
    losses = [nn.functional.cross_entropy(model(inputs[i : i + 10]), targets[i : i + 10]) for i in (0, 10)]
    assert subject.loss() == pytest.approx(float(sum(loss.item() for loss in losses)) / 2, rel=1e-12)
    assert subject.describe()["normalization"] == "statistics of each batch"
    assert subject.describe()["dropout"] == "off"


def test_other_statistics_need_no_other_look_at_the_data():
    passes: list[int] = []

    class Counted(DataLoader[tuple[Tensor, Tensor]]):
        def __iter__(self) -> Any:
            passes.append(1)
            return super().__iter__()

    subject = Subject(net(), nn.CrossEntropyLoss(), Counted(data(20), batch_size=10))
    made, loss = len(passes), subject.loss()
    other = subject.with_statistics(BatchStatistics())
    assert len(passes) == made + 1
    fresh = Subject(net(), nn.CrossEntropyLoss(), DataLoader(data(20), 10), statistics=BatchStatistics())
    assert other.loss() == fresh.loss()
    assert other.products == 1 and subject.products == 1
    assert subject.loss() == loss != other.loss()


def test_loss_and_gradient_of_a_batch_are_of_one_forward():
    subject = Subject(net(), nn.CrossEntropyLoss(), DataLoader(data(20), batch_size=10))
    calls: list[int] = []
    subject.model.register_forward_hook(lambda *_: calls.append(1))
    with subject.looking():
        batch = next(subject.batches())
        loss, gradient = subject.loss_and_gradient_of(batch)
        assert len(calls) == 1 and not loss.requires_grad
        assert loss == subject.loss_of(batch)
        assert same(gradient, subject.gradient_of(batch))


def test_some_samples_are_drawn_by_a_seed_and_only_they_are_loaded():
    class Counting(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
        loaded: set[int] = set()

        def __len__(self) -> int:
            return 22

        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            self.loaded.add(index)
            return data()[index]  # type: ignore[return-value]

    shuffling = Subject(net(), nn.CrossEntropyLoss(), DataLoader(Counting(), 4, shuffle=True), samples=9, seed=3)
    assert len(Counting.loaded) == 9
    assert shuffling.num_batches == 3
    plain = [(x, y) for x, y in DataLoader(data(), 5)]
    listed = Subject(net(), nn.CrossEntropyLoss(), plain, samples=9, seed=3)
    assert listed.loss() == pytest.approx(shuffling.loss(), rel=1e-12)
    assert "9 of 22 by seed 3" in listed.describe()["drawn"]
    other = Subject(net(), nn.CrossEntropyLoss(), plain, samples=9, seed=4)
    assert other.loss() != pytest.approx(listed.loss(), rel=1e-6)


def test_attention_can_be_differentiated_twice():
    torch.manual_seed(0)
    model = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 8, batch_first=True), nn.Flatten(), nn.Linear(24, 3))
    subject = Subject(model, nn.CrossEntropyLoss(), [(torch.randn(4, 3, 8), torch.tensor([0, 1, 2, 0]))])
    with subject.looking():
        for batch in subject.batches():
            gradient = subject.gradient_of(batch, create_graph=True)
            second = torch.autograd.grad(sum(g.sum() for g in gradient), subject.parameters, allow_unused=True)  # type: ignore[arg-type]
    assert sum(float(g.abs().sum()) for g in second if g is not None) > 0.0


class Two(NamedTuple):
    """Inputs with names."""

    left: Tensor
    right: tuple[Tensor, None]


class Weighted(nn.Module):
    """A mean that is none over samples."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """By the weight of classes."""
        return nn.functional.cross_entropy(output, target, torch.tensor([1.0, 2.0, 3.0, 9.0], dtype=torch.float64))


def shifting() -> object:
    """A loader of other images each time."""

    class Shifting:
        def __iter__(self) -> object:
            return iter([(torch.rand(4, 1, 6, 6, dtype=torch.float64), torch.arange(4))] * 3)

    return Shifting()


@pytest.mark.parametrize(
    ("criterion", "batches", "options", "sentence"),
    [
        (nn.CrossEntropyLoss(), DataLoader(data(), 5, shuffle=True), {}, "a loader that shuffles"),
        (nn.CrossEntropyLoss(), [], {}, "an empty loader"),
        (nn.CrossEntropyLoss(), shifting(), {}, "batches that change from one pass to the next"),
        (nn.CrossEntropyLoss(), [torch.ones(3)], {}, "a batch of type Tensor"),
        (nn.CrossEntropyLoss(), DataLoader(data(), 5), {"samples": 23}, "cannot draw 23 samples, because there are 22"),
        (nn.CrossEntropyLoss(), DataLoader(data(), 5), {"samples": 0}, "cannot measure 0 samples"),
        (nn.CrossEntropyLoss(), DataLoader(data(), 5), {"distributed": True}, "no process group"),
        (nn.CrossEntropyLoss(reduction="sum"), DataLoader(data(), 5), {}, "not the mean over the samples"),
        (nn.CrossEntropyLoss(reduction="none"), DataLoader(data(), 5), {}, "no single number"),
        (nn.CrossEntropyLoss(torch.tensor([1.0, 1.0, 1.0, 1.0001])), DataLoader(data(), 5), {}, "with class weights"),
        (Weighted(), DataLoader(data(), 5), {}, "class weights"),
        (lambda output, target: output.mean() * float("nan"), DataLoader(data(), 5), {}, "at a loss of nan"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(criterion, batches, options, sentence):
    model = net().train()
    before = everything(model)
    with pytest.raises(ConfigurationError, match=sentence):
        Subject(model, criterion, batches, **options)
    assert same(before, everything(model))


def test_a_loader_that_changes_later_is_refused_in_the_pass_that_differs():
    batches = [(x, y) for x, y in DataLoader(data(), 5)]
    subject = Subject(net(), nn.CrossEntropyLoss(), batches)
    batches[3] = (batches[3][0] + 1.0, batches[3][1])
    with pytest.raises(ConfigurationError, match="batch 3 is not what it was"):
        subject.loss()


def test_a_frozen_model_has_nothing_to_measure():
    with pytest.raises(UnsupportedError, match="without trainable parameters"):
        Subject(net().requires_grad_(False), nn.CrossEntropyLoss(), DataLoader(data(), 5))


def test_rows_of_a_batch_are_a_smaller_batch_whatever_its_inputs_are():
    x, y = torch.arange(12.0).view(4, 3), torch.arange(4)
    inputs, targets = rows_of(({"a": x, "b": [x + 1.0, torch.ones(())], "c": "text"}, y), torch.tensor([2, 0]))
    assert torch.equal(targets, torch.tensor([2, 0]))
    assert torch.equal(inputs["a"], x[[2, 0]]) and torch.equal(inputs["b"][0], x[[2, 0]] + 1.0)
    assert torch.equal(inputs["b"][1], torch.ones(())) and inputs["c"] == "text"


def test_named_tuples_stay_what_they_are_in_a_smaller_batch():
    x, y = torch.arange(12.0).view(4, 3), torch.arange(4)
    inputs, _ = rows_of((Two(x, (x + 1.0, None)), y), torch.tensor([2, 0]))
    assert isinstance(inputs, Two)
    assert torch.equal(inputs.left, x[[2, 0]]) and torch.equal(inputs.right[0], x[[2, 0]] + 1.0)


def test_which_samples_were_drawn_and_how_many_a_batch_has():
    samples = data()
    for source in (DataLoader(samples, batch_size=5), [(x, y) for x, y in DataLoader(samples, batch_size=5)]):
        subject = Subject(net(), nn.CrossEntropyLoss(), source, samples=9, seed=3)
        targets = torch.cat([targets for _, targets in subject.batches()])
        assert torch.equal(targets, samples.tensors[1][subject.chosen])
        assert sum(subject.batch_sizes) == 9
    whole = Subject(net(), nn.CrossEntropyLoss(), DataLoader(samples, batch_size=5))
    assert whole.chosen is None
    assert whole.batch_sizes == [5, 5, 5, 5, 2]


class Flipping:
    """Random flips by a generator of its own: the sum of an image stays what it is."""

    def __init__(self):
        self.generator = torch.Generator().manual_seed(0)

    def __iter__(self):
        for x, y in DataLoader(data(), 11):
            flipped = torch.rand(len(x), 1, 1, 1, generator=self.generator) < 0.5
            yield torch.where(flipped, x.flip(-1), x), y


class Dealing:
    """Samples of one class change places, with their targets."""

    def __init__(self):
        self.passes = 0

    def __iter__(self):
        self.passes += 1
        yield data().tensors[0][:8].roll(self.passes, 0), torch.zeros(8, dtype=torch.int64)


@pytest.mark.parametrize("source", [Flipping, Dealing])
def test_changes_that_leave_sums_alone_are_seen(source):
    with pytest.raises(ConfigurationError, match="batches that change from one pass to the next"):
        Subject(net(), nn.CrossEntropyLoss(), source())


class Inner(nn.Module):
    """Autocast inside the forward, by a context that was made before."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.cast = nn.Linear(6, 3), torch.autocast("cpu", torch.bfloat16)

    def forward(self, x):
        with self.cast:
            return self.linear(x).float()


@pytest.mark.parametrize("inside", [False, True])
def test_around_autocast_neither_casts_nor_hides_that_weights_moved(inside):
    torch.manual_seed(0)
    model = Inner() if inside else nn.Linear(6, 3)
    subject = Subject(model, nn.CrossEntropyLoss(), [(torch.randn(8, 6), torch.arange(8) % 3)])

    def losses():
        found = []
        for size in (0.0, 1.0):
            with subject.looking(), subject.at([size * p.detach() for p in subject.parameters]), torch.enable_grad():
                found.append(float(subject.loss_of(next(subject.batches())).detach()))
        return found

    with subject.looking():
        alone = losses()
    with torch.autocast("cpu", torch.bfloat16), subject.looking():
        assert losses() == alone
    assert alone[0] != alone[1]


def test_class_weights_are_seen_where_each_batch_has_one_class():
    batches = [(torch.randn(6, 4, generator=torch.Generator().manual_seed(i)), torch.full((6,), i)) for i in range(3)]
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    Subject(model, nn.CrossEntropyLoss(), batches)
    with pytest.raises(ConfigurationError, match="not the mean over the samples"):
        Subject(model, lambda o, t: nn.functional.cross_entropy(o, t, torch.tensor([1.0, 2.0, 3.0])), batches)


@pytest.mark.parametrize("ignored", [-100, 3])
def test_targets_that_the_criterion_ignores_are_refused_in_whichever_batch_they_are(ignored):
    batches = [(x, y.clamp(max=2)) for x, y in DataLoader(data(), 5)]
    Subject(net(), nn.CrossEntropyLoss(ignore_index=ignored), batches)
    batches[2] = batches[2][0], batches[2][1].index_fill(0, torch.tensor([1, 3]), ignored)
    sentence = f"2 targets of batch 2 that the criterion ignores .ignore_index={ignored}"
    with pytest.raises(ConfigurationError, match=sentence):
        Subject(net(), nn.CrossEntropyLoss(ignore_index=ignored), batches)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_in_half_precision_are_refused_by_their_type(dtype):
    model = nn.Linear(6, 3).to(dtype)
    with pytest.raises(UnsupportedError, match=rf"'weight' of type {dtype}.*deepcopy.model..float"):
        Subject(model, nn.CrossEntropyLoss(), [(torch.randn(8, 6).to(dtype), torch.arange(8) % 3)])


def test_a_loss_in_half_precision_of_whole_weights_is_not_taken_for_another_mean():
    torch.manual_seed(0)
    model = nn.Linear(6, 3)

    def rounded(output: Tensor, target: Tensor) -> Tensor:
        return nn.functional.cross_entropy(output, target).bfloat16()

    for seed in range(20):
        torch.manual_seed(seed)
        Subject(model, rounded, [(torch.randn(8, 6), torch.arange(8) % 3)])


class Backwards(torch.utils.data.Sampler[int]):
    """An order of its own, and a generator that it draws from for nothing."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def __iter__(self) -> Any:
        torch.rand(1, generator=self.generator)
        return iter(range(21, -1, -1))


@pytest.mark.parametrize("samples", [None, 9])
@pytest.mark.parametrize("sampler", [False, True])
def test_generators_of_a_loader_are_left_as_they_were(samples, sampler):
    generator = torch.Generator().manual_seed(3)
    order = {"sampler": Backwards(generator)} if sampler else {"generator": generator}
    before = generator.get_state()
    subject = Subject(net(), nn.CrossEntropyLoss(), DataLoader(data(), 5, **order), samples=samples)
    assert torch.equal(before, generator.get_state())
    subject.gradient()
    next(subject.batches())
    assert torch.equal(before, generator.get_state())


def test_inference_mode_is_refused_in_a_sentence():
    model, batches = net(), list(DataLoader(data(), 5))
    subject = Subject(model, nn.CrossEntropyLoss(), batches)
    with torch.inference_mode():
        with pytest.raises(UnsupportedError, match="under torch.inference_mode"):
            Subject(model, nn.CrossEntropyLoss(), batches)
        with pytest.raises(UnsupportedError, match="under torch.inference_mode"):
            subject.gradient()


@pytest.mark.parametrize("how", ["in place", "a part in place", "a part wrapped", "wrapped"])
def test_a_compiled_model_is_differentiated_twice(how):
    torch.manual_seed(0)
    model: nn.Module = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3))
    plain = Subject(model, nn.CrossEntropyLoss(), [(torch.randn(8, 6), torch.arange(8) % 3)])

    def second(subject: Subject) -> list[Tensor]:
        with subject.looking():
            gradient = subject.gradient_of(next(subject.batches()), create_graph=True)
            return list(torch.autograd.grad(sum(g.square().sum() for g in gradient), subject.parameters))  # type: ignore[arg-type]

    wanted = second(plain)
    if how == "in place":
        model.compile(backend="aot_eager")
    elif how == "a part in place":
        model[0].compile(backend="aot_eager")
    elif how == "a part wrapped":
        model[0] = torch.compile(model[0], backend="aot_eager")
    else:
        model = torch.compile(model, backend="aot_eager")
    model(torch.randn(8, 6)).sum().backward()
    assert same(wanted, second(Subject(model, nn.CrossEntropyLoss(), list(plain.batches()))))


def test_what_is_no_model_or_no_criterion_is_refused_in_a_sentence():
    with pytest.raises(ConfigurationError, match="cannot measure a int by a CrossEntropyLoss"):
        Subject(3, nn.CrossEntropyLoss(), DataLoader(data(), 5))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="cannot measure a Sequential by a NoneType"):
        Subject(net(), None, DataLoader(data(), 5))  # type: ignore[arg-type]


def test_a_subject_says_what_it_is():
    subject = Subject(net(), nn.CrossEntropyLoss(), DataLoader(data(), 5))
    assert repr(subject) == "Subject(Sequential of 232 trained parameters, 22 samples in 5 batches)"
