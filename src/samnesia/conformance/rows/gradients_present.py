"""Parameters that have a gradient in some passes and not in others, or none, or shared, sparse, grouped ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samnesia.conformance.outcome import Violation, refused
from samnesia.conformance.problems import (
    CLASSES,
    FEATURES,
    TOLERANCE,
    Net,
    attempt,
    backward,
    batches,
    expect_close,
    expect_finite,
    expect_same,
    network,
    pass_over,
    perturbation,
    train,
    weights,
)
from samnesia.conformance.rows.algebra import equal_radii, formula_of, train_by_formula
from samnesia.conformance.subject import Candidate, Row

RHO = 0.1
MOVED = 1e-6  # far above rounding in float64, far below RHO: a perturbation that stayed


def unlike_passes(candidate: Candidate, first: tuple[int, ...], then: tuple[int, ...]) -> None:
    """Two steps at lr = 0 that go through the heads `first` in the first pass and through `then` in the others."""
    candidate.needs_passes(2)
    model = network(heads=2)
    subject = candidate.build(model, lr=0.0, rho=RHO)
    before = weights(model)
    for x, y in batches(2):

        def differentiate(index: int, x: Tensor = x, y: Tensor = y) -> Tensor:
            heads = first if index == 0 else then
            return backward(torch.stack([F.cross_entropy(model(x, head), y) for head in heads]).sum())

        subject.step(differentiate)
    expect_close(weights(model), before, MOVED, f"after two steps at lr = 0 and rho = {RHO} weights are off")


def _only_in_first(candidate: Candidate) -> None:
    unlike_passes(candidate, (0, 1), (0,))


def _only_in_last(candidate: Candidate) -> None:
    unlike_passes(candidate, (0,), (0, 1))


def _never(candidate: Candidate) -> None:
    model = network(heads=2)
    subject = candidate.build(model, rho=RHO, momentum=0.9)
    unused, used = weights(model.heads[1]), weights(model.trunk)
    train(subject, model, batches(2))
    expect_same(weights(model.heads[1]), unused, "weights that no forward uses differ from their start")
    if torch.equal(weights(model.trunk), used):
        raise Violation("weights that are used did not move in two steps")


def _nowhere(candidate: Candidate) -> None:
    model = network()
    subject = candidate.build(model, rho=RHO)
    before = weights(model)
    error = attempt(lambda: subject.step(lambda index: torch.zeros((), dtype=torch.float64)))
    if error is not None and not refused(error):
        raise error
    expect_same(weights(model), before, "after a step without any gradient weights differ from those before")
    train(subject, model, batches(1))  # and the next step is an ordinary one
    expect_finite(model, "after the next step")
    if torch.equal(weights(model), before):
        raise Violation("the step after one without any gradient did nothing")


def _used_then_unused(candidate: Candidate) -> None:
    model = network(heads=2)
    subject = candidate.build(model, rho=RHO)
    data = batches(3)
    for (x, y), head in zip(data[:2], (1, 0), strict=True):
        after_use = weights(model.heads[1])

        def differentiate(index: int, x: Tensor = x, y: Tensor = y, head: int = head) -> Tensor:
            return backward(F.cross_entropy(model(x, head), y))

        subject.step(differentiate)
    what = "a head used in step 1 and not in step 2 differs after step 2 from what it was before it"
    expect_close(weights(model.heads[1]), after_use, MOVED, what)


def _thawed(candidate: Candidate) -> None:
    model = network()
    model.trunk.requires_grad_(False)
    subject = candidate.build(model, rho=RHO)
    frozen = weights(model.trunk)
    train(subject, model, batches(1))
    expect_same(weights(model.trunk), frozen, "frozen weights differ after a step")
    model.trunk.requires_grad_(True)
    moved = 0.0
    for batch in batches(12):  # some methods perturb every tenth step
        moved = max(moved, float(perturbation(subject, model, pass_over(model, batch))[: len(frozen)].norm()))
    if candidate.claims.passes > 1 and not moved > MOVED:
        raise Violation("a layer that was frozen at construction is not perturbed once it is trained")
    if torch.equal(weights(model.trunk), frozen):
        raise Violation("a layer that was frozen at construction is not trained after it was thawed")


def _zero_gradient(candidate: Candidate) -> None:
    model = network()
    subject = candidate.build(model, rho=RHO)
    x, y = batches(1)[0]
    moved = perturbation(subject, model, lambda index: backward(0.0 * F.cross_entropy(model(x), y)))
    expect_finite(model, "after a step with a gradient of zeros")
    expect_close(moved, torch.zeros_like(moved), TOLERANCE, "with a gradient of zeros weights were perturbed")


class Tied(nn.Module):
    """Encoder and decoder share their matrix."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.encoder = nn.Linear(FEATURES, FEATURES)
        self.decoder = nn.Linear(FEATURES, FEATURES)
        self.decoder.weight = self.encoder.weight
        self.head = nn.Linear(FEATURES, CLASSES)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        output: Tensor = self.head(self.decoder(torch.tanh(self.encoder(x))))
        return output


def _tied(candidate: Candidate) -> None:
    formula = formula_of(candidate)
    model, by_hand = Tied(), Tied()
    train(candidate.build(model, rho=RHO), model, batches(3))
    base = torch.optim.SGD(by_hand.parameters(), lr=0.1)
    train_by_formula(formula, by_hand, base, batches(3), equal_radii(by_hand, RHO))
    what = "with tied weights, after 3 steps, weights differ from the formula with each counted once"
    expect_close(weights(model), weights(by_hand), TOLERANCE, what)


class Words(nn.Module):
    """An embedding, whose gradient is sparse or not, and a linear layer."""

    def __init__(self, sparse: bool) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.embedding = nn.Embedding(10, FEATURES, sparse=sparse)
        self.head = nn.Linear(FEATURES, CLASSES)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        output: Tensor = self.head(self.embedding(x).mean(1))
        return output


def _sparse(candidate: Candidate) -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randint(10, (8, 3), generator=generator)
    y = torch.randint(CLASSES, (8,), generator=generator)
    trained = []
    for model in (Words(sparse=False), Words(sparse=True)):
        before = weights(model)
        subject = candidate.build(model, rho=RHO)
        error = attempt(lambda: train(subject, model, [(x, y)] * 3))  # noqa: B023 (called at once)
        if error is not None:
            if model.embedding.sparse and refused(error):
                expect_same(weights(model), before, "sparse gradients are refused, but weights differ afterwards")
                return
            raise error
        trained.append(weights(model))
    what = "with a sparse embedding, after 3 steps, weights differ from those with a dense one"
    expect_close(trained[1], trained[0], TOLERANCE, what)


def _groups(candidate: Candidate) -> None:
    formula = formula_of(candidate)
    model, by_hand = network(), network()
    rho = {name: 0.3 if name.startswith("trunk") else 0.1 for name, _ in model.named_parameters()}

    def grouped(model: Net) -> list[dict[str, object]]:
        return [
            {"params": list(model.trunk.parameters()), "lr": 0.05, "rho": 0.3},
            {"params": list(model.heads.parameters()), "lr": 0.2, "rho": 0.1},
        ]

    train(candidate.build(model, params=grouped(model), rho=0.1), model, batches(3))
    train_by_formula(formula, by_hand, torch.optim.SGD(grouped(by_hand), lr=0.1), batches(3), rho)
    what = "with two groups of rho 0.3 and 0.1, after 3 steps, weights differ from the formula (one norm over both)"
    expect_close(weights(model), weights(by_hand), TOLERANCE, what)


def _converted(candidate: Candidate) -> None:
    late, early = network().float(), network().float()
    subject = candidate.build(late, rho=RHO)
    late.double()
    early.double()
    reference = candidate.build(early, rho=RHO)
    batch = batches(1)[0]
    torch.manual_seed(0)
    expected = perturbation(reference, early, pass_over(early, batch))
    torch.manual_seed(0)
    actual = perturbation(subject, late, pass_over(late, batch))
    what = "after model.double() the perturbation differs from that of an optimizer built later"
    expect_close(actual, expected, TOLERANCE, what)
    expect_close(weights(late), weights(early), TOLERANCE, "after model.double() a step differs from the one due")


def replaced_storage(candidate: Candidate) -> None:
    """As `.to()` does it, there and back: the parameter is the same object, its storage another one."""
    model, twin = network(), network().float().double()
    subject, reference = candidate.build(model, rho=RHO), candidate.build(twin, rho=RHO)
    model.float().double()
    for one, net in ((reference, twin), (subject, model)):
        torch.manual_seed(0)
        train(one, net, batches(2))
    expect_close(weights(model), weights(twin), TOLERANCE, "after .float().double() two steps differ from those due")


ROWS = (
    Row(
        "21",
        "A gradient in the first pass only: restored all the same",
        "With stochastic depth, experts or several heads a layer stays perturbed for ever, a little further each time.",
        _only_in_first,
    ),
    Row(
        "22",
        "A gradient in the last pass only",
        "Training stops with an error from inside the optimizer as soon as a branch differs between the passes.",
        _only_in_last,
    ),
    Row(
        "23a",
        "Parameters that never get a gradient",
        "Any model with an unused layer or a head of another task stops with an error, or its weights drift.",
        _never,
    ),
    Row(
        "23b",
        "No gradient at all: nothing happens, or a clear refusal",
        "An empty batch or a fully frozen stage ends the run with an error that says nothing.",
        _nowhere,
    ),
    Row(
        "24",
        "Used in one step, unused in the next",
        "A stale record is applied: a head that was not even used is thrown back or moved away.",
        _used_then_unused,
    ),
    Row(
        "25",
        "Frozen at construction, thawed later",
        "In gradual unfreezing the thawed layers are never perturbed: fine-tuning with SAM is fine-tuning without.",
        _thawed,
    ),
    Row(
        "26",
        "A gradient of zeros perturbs nothing and breaks nothing",
        "One batch without signal (all masked, loss clamped) turns every weight into NaN.",
        _zero_gradient,
    ),
    Row("27", "Tied weights count once", "Language models with tied embeddings train with another radius.", _tied),
    Row(
        "28",
        "Sparse gradients: right, or refused in words",
        "Embedding tables end the run with an error from deep inside, or are perturbed wrongly.",
        _sparse,
    ),
    Row(
        "29",
        "Two groups with lr and rho of their own",
        "Layer-wise rates or radii are ignored, or each group gets its own norm: the sum is another radius.",
        _groups,
    ),
    Row(
        "30a",
        "model.double() after construction",
        "The perturbation goes to dead tensors: SAM silently becomes plain training.",
        _converted,
    ),
    Row(
        "30b",
        "Storage replaced after construction, as .to() and loads do",
        "As above, after moving the model or loading weights into it.",
        replaced_storage,
    ),
)
