"""Fine-tuning of a small transformer on few labelled snippets of text: SAM and its kin against AdamW.

Text is the source of modules of Python's standard library (the recipes that begin with text), and so depends on the
version of Python, which every run writes down with a digest of its text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from samnesia.study.design import Design, Factor, Levels, Measure, Study
from samnesia.study.hypotheses import Difference
from samnesia.study.named.cells.transfers import BEFORE, SCRATCH, Arm, Transfer
from samnesia.study.named.cells.vani_chain import Chain
from samnesia.study.named.registry import named

TARGET = "text-few"
ARMS = {
    "adamw": Arm("adamw"),
    "adamw-2x": Arm("adamw", epochs=2),
    "sam": Arm("sam"),
    "asam": Arm("asam"),
    "gsam": Arm("gsam"),
    "obf": Arm("obf"),
}
"""Methods around AdamW, and AdamW alone for twice the epochs: as many gradients as SAM."""
SMALLEST = 1.0  # points of test accuracy
MEASURES = (
    Measure(BEFORE, f"{BEFORE}.last.test_accuracy", "test accuracy of fine-tuning, last epoch", "%", True),
    Measure("best", f"{BEFORE}.best.test_accuracy", "test accuracy of fine-tuning, best epoch", "%", True),
    Measure("loss", f"{BEFORE}.last.test_loss", "test loss of fine-tuning, last epoch", "nats", False),
    Measure(SCRATCH, f"{SCRATCH}.last.test_accuracy", "test accuracy without a pretraining", "%", True),
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
        return Transfer.to(TARGET).tuned(ARMS[levels["method"]], seed)


QUICK = Form("text-tuning-quick", tuple(range(8)))
FULL = Form("text-tuning", tuple(range(20)))


@named
def text_tuning(quick: bool = False) -> Study:
    """Does SAM fine-tune a small transformer better than AdamW, on few snippets of text and at equal gradients?"""
    form = QUICK if quick else FULL
    design = Design(
        name=form.name,
        question="Does SAM fine-tune a small transformer on text better than AdamW, with few labels?",
        factors=(Factor("method", tuple(ARMS)),),
        measures=MEASURES,
        seeds=form.seeds,
        tuning_seeds=(1000, 1001, 1002),
        primary=(
            _less("SAM fine-tunes better than AdamW", "sam", "adamw", smallest=SMALLEST),
            _less("SAM fine-tunes better than AdamW at equal gradients", "sam", "adamw-2x", smallest=SMALLEST),
            _less("OBF fine-tunes better than SAM", "obf", "sam", smallest=SMALLEST),
        ),
        exploratory=tuple(_looked_at()),
        notes=(
            "That SAM improves fine-tuning on text, most where labels are few, is the claim of Bahri, Mobahi and Tay "
            "(ACL 2022), about language models of another size; that OBF is better than loss ascent is Vani et al.'s "
            "(ICML 2024), about images.",
            "Snippets of 32 tokens from the source of Python's standard library: which module is a snippet from? A "
            "transformer of two blocks and width 32 is pretrained on 64 modules by AdamW, the same for all methods, "
            "and fine-tuned on eight other modules with eight labelled snippets each.",
            "The learning rate was chosen by AdamW alone, and each method's radius at that rate from four or five "
            "(GSAM has SAM's), on validation and tuning seeds after plain pretraining: "
            "benchmarks/transfer_settings.py. The 144 validation snippets are more than the 64 labels that are trained "
            "on.",
            "The text is that of the Python that ran it: version and digest stand in the environment of each run.",
        ),
    )
    return Study(design, form.chain)


def _looked_at() -> Iterator[Difference]:
    """The exploratory effects."""
    for method, control in (("adamw-2x", "adamw"), ("asam", "adamw"), ("gsam", "adamw"), ("obf", "adamw"),
                            ("asam", "sam"), ("gsam", "sam")):  # fmt: skip
        yield _less(f"accuracy: {method} less {control}", method, control)
    for measure in ("best", "loss", SCRATCH):
        for method in ("sam", "asam", "obf"):
            yield _less(f"{measure}: {method} less adamw", method, "adamw", measure)


def _less(claim: str, treatment: str, control: str, measure: str = BEFORE, smallest: float = 0.0) -> Difference:
    """A method less another."""
    return Difference(
        claim=claim, measure=measure, treatment={"method": treatment}, control={"method": control}, smallest=smallest
    )
