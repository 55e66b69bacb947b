"""Transfer by both ways of Vani et al.: perturb in pretraining and fine-tune plainly, or the other way round.

In small: digits 0 to 4 to digits 5 to 9 by 50 labels, and patches of photographs to digits by 100 labels (the recipes
that begin with transfer).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from samnesia.study.design import Design, Factor, Levels, Measure, Study
from samnesia.study.hypotheses import Difference
from samnesia.study.named.cells.transfers import AFTER, BEFORE, SCRATCH, Arm, Transfer
from samnesia.study.named.cells.vani_chain import Chain
from samnesia.study.named.registry import named

TARGETS = {"digits": "transfer-high", "photographs": "transfer-digits"}
"""Tasks that fine-tune, by what was pretrained on."""
ARMS = {
    "sgd": Arm("sgd"),
    "sgd-2x": Arm("sgd", epochs=2),
    "sam": Arm("sam"),
    "asam": Arm("asam"),
    "gsam": Arm("gsam"),
    "obf": Arm("obf"),
}
"""Methods, and plain training for twice the epochs: as many gradients as SAM."""
SMALLEST = 1.0  # points of test accuracy
WAYS = {AFTER: "Pretraining with", BEFORE: "Fine-tuning with"}
MEASURES = (
    Measure(AFTER, f"{AFTER}.last.test_accuracy", "plain fine-tuning after this pretraining", "%", True),
    Measure(BEFORE, f"{BEFORE}.last.test_accuracy", "this fine-tuning after plain pretraining", "%", True),
    Measure(SCRATCH, f"{SCRATCH}.last.test_accuracy", "this training without a pretraining", "%", True),
    Measure("after-best", f"{AFTER}.best.test_accuracy", "plain fine-tuning after it, best epoch", "%", True),
    Measure("before-best", f"{BEFORE}.best.test_accuracy", "this fine-tuning, best epoch", "%", True),
    Measure("after-loss", f"{AFTER}.last.test_loss", "test loss of plain fine-tuning after it", "nats", False),
    Measure("before-loss", f"{BEFORE}.last.test_loss", "test loss of this fine-tuning", "nats", False),
    Measure("pretraining", "last.test_accuracy", "test accuracy of the pretraining", "%", True),
)


@dataclass(frozen=True)
class Form:
    """How much of the study is run."""

    name: str
    """Of the study."""
    seeds: tuple[int, ...]
    """Reported seeds."""

    def chain(self, levels: Levels, seed: int) -> Chain:
        """What a cell does."""
        return Transfer.to(TARGETS[levels["from"]]).both(ARMS[levels["method"]], seed)


QUICK = Form("transfer-quick", tuple(range(8)))
FULL = Form("transfer", tuple(range(20)))


@named
def transfer(quick: bool = False) -> Study:
    """Do perturbed pretraining and perturbed fine-tuning transfer better? Two directions, few labels."""
    form = QUICK if quick else FULL
    design = Design(
        name=form.name,
        question="Does what a method learns transfer better, and does a method transfer better what was learned?",
        factors=(Factor("method", tuple(ARMS)), Factor("from", tuple(TARGETS))),
        measures=MEASURES,
        seeds=form.seeds,
        tuning_seeds=(1000, 1001, 1002),
        primary=tuple(_claims()),
        exploratory=tuple(_looked_at()),
        notes=(
            "The ways are those of Vani et al. (ICML 2024): perturbed pretraining and plain fine-tuning, and plain "
            "pretraining and perturbed fine-tuning; that OBF is better than loss ascent in both is their claim. That "
            "SAM is better than plain training in fine-tuning is Foret et al.'s (ICLR 2021, §3.2), and in transfer "
            "after pretraining Zhuang et al.'s as well (ICLR 2022).",
            "Digits 0 to 4 (500 labels) to digits 5 to 9 (50 labels), and patches of 8 x 8 pixels of eight photographs "
            "(768) to all digits (100 labels). Fine-tuning has a new head and trains all weights.",
            "Learning rates were chosen by plain SGD, and each method's radius at that rate from four or five, on "
            "validation and tuning seeds: that of fine-tuning after plain pretraining, that of pretraining by plain "
            "fine-tuning after it; GSAM has SAM's (benchmarks/transfer_settings.py). The 200 validation images are "
            "more than the labels that are trained on: radii are chosen better than a user with so few labels could.",
            "sgd-2x trains for twice the epochs in pretraining and in fine-tuning: as many gradients as SAM.",
        ),
    )
    return Study(design, form.chain)


def _claims() -> Iterator[Difference]:
    """What is claimed: each way and direction, SAM against SGD and OBF against SAM."""
    for source in TARGETS:
        for way, words in WAYS.items():
            for method, control in (("sam", "sgd"), ("obf", "sam")):
                claim = f"{words} {method.upper()} transfers better from {source} than with {control.upper()}"
                yield _less(claim, way, method, control, source, SMALLEST)


def _looked_at() -> Iterator[Difference]:
    """The exploratory effects."""
    pairs = (("sam", "sgd-2x"), ("sgd-2x", "sgd"), ("asam", "sgd"), ("gsam", "sgd"), ("gsam", "sam"), ("obf", "sgd"))
    for source in TARGETS:
        for way in WAYS:
            for method, control in pairs:
                yield _less(f"{way}: {method} less {control} (from {source})", way, method, control, source)
        for method in ("sam", "obf"):
            for measure in ("after-best", "before-best", "after-loss", "before-loss", SCRATCH, "pretraining"):
                yield _less(f"{measure}: {method} less sgd (from {source})", measure, method, "sgd", source)


def _less(claim: str, measure: str, treatment: str, control: str, source: str, smallest: float = 0.0) -> Difference:
    """A method less another."""
    return Difference(
        claim=claim, measure=measure, treatment={"method": treatment}, control={"method": control},
        where={"from": source}, smallest=smallest,
    )  # fmt: skip
