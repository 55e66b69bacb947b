"""The whole chain of Vani et al. (ICML 2024): train, corrupt the test images, measure the curvature, transfer.

Loss ascent and output-bias forgetting in SAM, GSAM and ASAM, and plain training. The quick form is tiny: handwritten
digits with wrong labels, and patches of photographs to transfer to. The full form has the paper's nets and settings on
ImageNet and CIFAR, as far as they are known (the recipes that begin with vani); of its test sets, those of others are
not in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from samnesia.study.design import Design, Factor, Levels, Measure, Study
from samnesia.study.hypotheses import Also, Difference
from samnesia.study.measured import AtEnd, Measured
from samnesia.study.named.cells.vani_chain import Chain, Tuning
from samnesia.study.named.cells.vani_robustness import OnCorrupted
from samnesia.study.named.registry import named
from samnesia.train.config import SGD, Checkpoints, Cosine, Evaluation, Logging, Perturbed, Photographs, RunConfig
from samnesia.train.parts.methods import ASAM, GSAM, OBF, SAM, Method, OutputBias, Unperturbed
from samnesia.train.recipes import RECIPES, find

METHODS = ("sgd", "sam", "obf", "gsam", "gsam-obf", "asam", "asam-obf")
PAIRS = (("sam", "obf"), ("gsam", "gsam-obf"), ("asam", "asam-obf"))
"""Loss ascent and OBF in each framework."""
SOURCE = "digits-noisy"
"""The problem of the tiny form."""
SMALLEST = 1.0  # points of accuracy
CORRUPTIONS = (
    "gaussian-noise", "shot-noise", "impulse-noise", "defocus-blur", "glass-blur", "motion-blur", "zoom-blur", "snow",
    "frost", "fog", "brightness", "contrast", "elastic-transform", "pixelate", "jpeg", "speckle-noise", "gaussian-blur",
    "spatter", "saturate",
)  # fmt: skip
"""All families, named here so that the list of studies needs no torch; the last four are beside the mean."""
CORRUPTED = 5000
"""Images of ImageNet's validation that are corrupted, each in 95 ways."""
TUNED_WITH = ("sam", "obf")
"""What fine-tuning after plain pretraining perturbs with; after all others it does not perturb."""


def measures(targets: tuple[str, ...], families: tuple[str, ...]) -> tuple[Measure, ...]:
    """What is measured, with transfer to these data, and under these families of corruptions."""
    return (
        Measure("accuracy", "last.test_accuracy", "test accuracy, last epoch", "%", True),
        Measure("robust", "robust.mean", "accuracy on corrupted test images", "%", True),
        *(
            Measure(f"after-{name}", f"after-{name}.last.test_accuracy", f"plain fine-tuning on {name}", "%", True)
            for name in targets
        ),
        *(
            Measure(f"before-{name}", f"before-{name}.last.test_accuracy", f"perturbed fine-tuning on {name}", "%",
                    True)
            for name in targets
        ),
        Measure("lambda-max", "final.lambda_max", "λmax"),
        Measure("worst", "final.worst", "worst-case rise of the loss", "nats"),
        *(Measure(name, f"robust.{name}", f"accuracy under {name}", "%", True) for name in families),
        Measure("seconds", "seconds", "wall time of the pretraining", "s", False),
    )  # fmt: skip


@dataclass(frozen=True)
class Tiny:
    """Digits with 40 % wrong labels and a small CNN, and patches of photographs to transfer to: seconds a run."""

    nets: tuple[str, ...] = ("cnn",)
    targets: tuple[str, ...] = ("photographs",)
    families: tuple[str, ...] = tuple(name for name in CORRUPTIONS if name != "saturate")  # digits are grey
    epochs: int = 30
    tuning_epochs: int = 12

    def chain(self, levels: Levels, seed: int) -> Chain:
        """What a cell does."""
        method = levels["method"]
        tunings = [Tuning("after-photographs", self._tuning(Unperturbed(), seed))]
        if method in TUNED_WITH:
            perturbed: Method = SAM(rho=0.05) if method == "sam" else OBF(rho=0.05, gamma=0.0)
            plain = self._pretraining("sgd", seed)
            tunings.append(Tuning("before-photographs", self._tuning(perturbed, seed), plain))
        measured = Measured(self._pretraining(method, seed), AtEnd(rho=0.1, m=80, samples=400, vectors=0, nulls=False))
        return Chain(measured, (OnCorrupted(self.families),), tuple(tunings))

    def _pretraining(self, method: str, seed: int) -> RunConfig:
        name, _, obf = method.partition("-")
        base = find(f"{SOURCE}-{name}")
        if obf:
            assert isinstance(base.method, GSAM | ASAM)
            base = replace(base, method=replace(base.method, objective=OutputBias()))
        return _short(replace(base, recipe=f"vani-{SOURCE}", epochs=self.epochs), seed)

    def _tuning(self, method: Method, seed: int) -> RunConfig:
        source = self._pretraining("sgd", seed)
        run = replace(
            source,
            recipe="vani-photographs",
            data=Photographs(side=8),
            method=method,
            when=Perturbed(),
            optimizer=SGD(lr=0.03, momentum=0.9, weight_decay=0.0),
            schedule=Cosine(warmup_epochs=1.0),
            epochs=self.tuning_epochs,
            batch_size=64,
        )
        return _short(run, seed)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader has to know of it."""
        return (
            f"Pretraining is that of the recipes of {SOURCE} for {self.epochs} epochs, with radii that were chosen on "
            "validation for each method; OBF in GSAM and ASAM has the radius of loss ascent. Fine-tuning is on patches "
            f"of 8 x 8 pixels from eight photographs for {self.tuning_epochs} epochs, with settings that were not "
            "tuned; perturbed fine-tuning has radius 0.05, and OBF its margin (gamma 0), as the paper's.",
            "Eight pixels a side are few: this is the chain in small, and says nothing about ImageNet.",
        )


@dataclass(frozen=True)
class Full:
    """The paper's nets on ImageNet, and transfer to CIFAR-10 and CIFAR-100."""

    nets: tuple[str, ...] = ("vit-s32", "resnet-50")
    targets: tuple[str, ...] = ("cifar10", "cifar100")
    families: tuple[str, ...] = CORRUPTIONS

    def chain(self, levels: Levels, seed: int) -> Chain:
        """What a cell does."""
        net, method = levels["net"], levels["method"]
        tunings = [Tuning(f"after-{data}", self._tuning(net, data, "obf-sgd", Unperturbed(), seed))
                   for data in self.targets]  # fmt: skip
        if method in TUNED_WITH:
            plain = self._pretraining(net, "sgd", seed)
            for data in self.targets:
                kind = f"{self._ending(net, 'sgd')}-{method}"
                tunings.append(Tuning(f"before-{data}", self._tuning(net, data, kind, None, seed), plain))
        measured = Measured(
            self._pretraining(net, method, seed),
            AtEnd(rho=0.05, m=64, samples=8192, vectors=0, nulls=False),
        )
        # ImageNet-R, -Sketch, -V2 and ReaL, where there are folders of them, are further test sets of this chain
        return Chain(measured, (OnCorrupted(self.families, samples=CORRUPTED),), tuple(tunings))

    def hours(self, chain: Chain) -> float:
        """GPU-hours of the training of a cell: estimates of its recipes (docs/recipes.md)."""
        known = {one.recipe: RECIPES[one.recipe].about for one in chain.runs if one.recipe in RECIPES}
        return sum(known[one.recipe].gpu_hours(one) for one in chain.runs)

    @staticmethod
    def _ending(net: str, method: str) -> str:
        """What a method is called in the recipes of a net."""
        adaptive = "asam-after" if net.startswith("vit") else "asam-before"
        plain = "adamw" if net.startswith("vit") else "sgd"
        name = plain if method == "sgd" else method
        return name.replace("asam", adaptive)

    def _pretraining(self, net: str, method: str, seed: int) -> RunConfig:
        return replace(find(f"vani-{net}-{self._ending(net, method)}"), seed=seed)

    def _tuning(self, net: str, data: str, kind: str, method: Method | None, seed: int) -> RunConfig:
        """The recipe of this protocol, with its loss, for any pretraining; `method` None is the recipe's."""
        recipe = find(f"vani-{net}-{data}-after-{kind}")
        return replace(recipe, model=recipe.model.at_random(), method=method or recipe.method, seed=seed)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader has to know of it, its cost among it."""
        levels = [{"net": net, "method": method} for net in self.nets for method in METHODS]
        hours = sum(self.hours(self.chain(one, 0)) for one in levels)
        return (
            f"One seed of all cells trains for about {hours:,.0f} GPU-hours of an A100 at 40 % of its bf16 peak: six "
            "operations per multiply-add, image and gradient evaluation, without data loading, evaluation and the "
            "lower share that small images reach. Plain pretraining is repeated in the cells that fine-tune from it.",
            f"Corruptions are made on the fly, of {CORRUPTED:,} validation images drawn by the seed of the run, and "
            "are not the published files.",
            "Settings are those of the released scripts (docs/recipes.md), where the course of the radius differs "
            "between loss ascent and OBF. ImageNet-R, -Sketch, -V2 and ReaL, which the paper tests on, are not here.",
        )


def _short(run: RunConfig, seed: int) -> RunConfig:
    return replace(
        run,
        checkpoints=Checkpoints(every_epochs=None, last=1, best=False),
        evaluation=Evaluation(every_epochs=6),
        logging=Logging(every_steps=0),
        seed=seed,
    )


@named
def vani(quick: bool = False) -> Study:
    """The chain of Vani et al.: train, corrupt the test, measure curvature, transfer; loss ascent against OBF."""
    form = Tiny() if quick else Full()
    design = Design(
        name="vani-quick" if quick else "vani",
        question="Is output-bias forgetting better than loss ascent: in accuracy, under corruptions, and in transfer?",
        factors=(Factor("method", METHODS), Factor("net", form.nets)),
        measures=measures(form.targets, form.families),
        seeds=tuple(range(6 if quick else 3)),
        tuning_seeds=tuple(range(1000, 1005)) if quick else (),
        primary=tuple(_claims(form.targets)),
        exploratory=tuple(_looked_at(form.targets, form.families)),
        notes=(
            "The claims are those of Vani et al. (ICML 2024), whose tables could not be read: OBF is better than loss "
            "ascent in SAM, GSAM and ASAM, in accuracy, on robustness sets and in transfer, sometimes in sharper "
            "regions.",
            *form.notes,
        ),
    )
    return Study(design, form.chain)


def _claims(targets: tuple[str, ...]) -> Iterator[Difference]:
    """What is claimed: of each framework in accuracy, of OBF in SAM all along the chain."""
    for plain, forgetting in PAIRS:
        yield _less(f"OBF in {plain.upper()} is more accurate than loss ascent", "accuracy", forgetting, plain)
    yield _less("OBF in SAM is more accurate than loss ascent on corrupted images", "robust", "obf", "sam")
    for name in targets:
        yield _less(f"Pretraining with OBF transfers better to {name} than with SAM", f"after-{name}", "obf", "sam")
        yield _less(f"Fine-tuning with OBF is better on {name} than with SAM", f"before-{name}", "obf", "sam")
    yield replace(_less("OBF in SAM is more accurate, in a sharper region", "accuracy", "obf", "sam"),
                  also=(Also(measure="lambda-max"),))  # fmt: skip


def _looked_at(targets: tuple[str, ...], families: tuple[str, ...]) -> Iterator[Difference]:
    """The exploratory effects."""
    along = {"robust": "corrupted images", **{f"after-{name}": f"transfer to {name}" for name in targets},
             "lambda-max": "λmax"}  # fmt: skip
    for measure, words in along.items():
        for plain, forgetting in PAIRS:
            if (measure, plain) not in {("robust", "sam"), *((f"after-{name}", "sam") for name in targets)}:
                yield _less(f"{words}: {forgetting} less {plain}", measure, forgetting, plain, 0.0)
    for measure, words in {"accuracy": "accuracy", **along}.items():
        for method in ("sam", "obf"):
            yield _less(f"{words}: {method} less sgd", measure, method, "sgd", 0.0)
    for name in families:
        yield _less(f"under {name}: obf less sam", name, "obf", "sam", 0.0)


def _less(claim: str, measure: str, treatment: str, control: str, smallest: float = SMALLEST) -> Difference:
    """A method less another."""
    return Difference(
        claim=claim, measure=measure, treatment={"method": treatment}, control={"method": control}, smallest=smallest
    )
