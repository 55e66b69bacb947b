"""Is SAM led astray by a rescaling that changes nothing, and is ASAM not?

The first layer of a ReLU net is made c times as large and the next one as much smaller: the same function (Dinh et al.,
2017). Kwon et al. (ICML 2021, section 3) build ASAM so that its ball goes along with such a rescaling, and SAM's does
not. Here the rescaled nets are trained. Gradients of the two layers are c times as small and as large then, and SGD
would be another method; so its learning rate is c**2 times as large for the one and as small for the other. With that,
SGD takes the same functions step by step, and whatever changes with c is due to the perturbation alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from samnesia.study.design import Design, Factor, Levels, Measure, Study
from samnesia.study.hypotheses import Difference, Hypothesis
from samnesia.study.looks import AtBalls
from samnesia.study.measured import Measured
from samnesia.study.named import measures
from samnesia.study.named.few import DATA, base
from samnesia.study.named.registry import named
from samnesia.study.work import Work
from samnesia.train.config import (
    ASAM,
    MLP,
    SGD,
    LayerSAM,
    Method,
    RunConfig,
    Unperturbed,
)
from samnesia.train.recipes import find

METHODS: dict[str, Callable[[], Method]] = {
    "sgd": Unperturbed,
    "sam": lambda: find("digits-few-sam").method,
    "asam": lambda: find("digits-few-asam").method,
    "asam-exact": lambda: replace(_asam(), eta=0.0, scaled="all"),
    "layer-sam": LayerSAM,
}
"""ASAM as it is used, which adds 0.01 to the scales and leaves biases alone, and as its theory has it."""
ONE, FAR = "1", "16"
"""c of the claims; powers of two, by which numbers are multiplied without rounding."""
SCALES = (ONE, "0.0625", "0.25", "4", FAR)
SMALLEST = 1.0  # points of test accuracy
LOOK = AtBalls(rho=0.05, adaptive_rho=0.5, samples=400)

MEASURES = (
    measures.LAST,
    measures.BEST,
    measures.LAST_LOSS,
    measures.TRAIN,
    measures.FLIPPED,
    Measure("worst", "final.worst", "worst-case sharpness at the end", "nats"),
    Measure("worst-adaptive", "final.worst_adaptive", "adaptive worst-case sharpness at the end", "nats"),
    measures.EVALUATIONS,
    measures.SECONDS,
)


@dataclass(frozen=True)
class Form:
    """How much of the study is run."""

    name: str
    """Of the study."""
    methods: tuple[str, ...]
    """Levels of the method, plain SGD first."""
    scales: tuple[str, ...]
    """Levels of c, 1 first."""
    seeds: tuple[int, ...]
    """Reported ones."""

    def study(self) -> Study:
        """The study in this form."""
        design = Design(
            name=self.name,
            question="Does SAM suffer from a rescaling of layers that leaves the function as it is, and ASAM not?",
            factors=(Factor("method", self.methods), Factor("scale", self.scales), Factor("problem", tuple(DATA))),
            measures=MEASURES,
            seeds=self.seeds,
            tuning_seeds=tuple(range(1000, 1005)),
            primary=tuple(one for problem in DATA for one in _claims(problem)),
            exploratory=tuple(one for problem in DATA for one in self._looked_at(problem)),
            notes=(
                "The claims are those of Kwon et al. (ICML 2021, section 3) about sharpness, carried over to training.",
                "scale is the factor c of the first layer's initial weights and biases; the second layer's weights "
                "are divided by it.",
                "Learning rates of the rescaled tensors are multiplied by c squared or divided by it, and their decay "
                "the other way round: SGD takes the same functions with every c, and so do asam-exact and (in the full "
                "form) layer-sam, up to rounding. That is no finding but how they are built.",
                "asam adds 0.01 to the scale of each weight and does not scale biases, as it is used; asam-exact does "
                "neither.",
                "Radii of sam and asam are those of the recipes for digits-few, chosen at c = 1 by validation "
                "accuracy on the tuning seeds, and are the same for all c and for wrong labels; whoever tunes anew "
                "after a rescaling may find another one. asam-exact has that of asam, layer-sam its default.",
                "Nets and settings are those of the recipes for digits-few, without BatchNorm, for half as many "
                "epochs.",
                f"Worst-case sharpness is of the training loss, over a ball of radius {LOOK.rho:g} for all nets, the "
                f"adaptive one over one of {LOOK.adaptive_rho:g}.",
            ),
        )
        return Study(design, _work)

    def _looked_at(self, problem: str) -> Iterator[Hypothesis]:
        where = {"problem": problem}
        for method in self.methods:
            for scale in self.scales[1:]:
                if (method, scale) != ("sam", FAR):
                    yield _moved(f"{method}, c = {scale} less c = 1 ({problem})", "last", method, scale, problem)
        for scale in self.scales:
            for method in ("sam", "asam"):
                yield Difference(
                    claim=f"{method} less sgd at c = {scale} ({problem})", measure="last",
                    treatment={"method": method}, control={"method": "sgd"}, where=where | {"scale": scale},
                )  # fmt: skip
        yield _moved(f"sam, c = {FAR} less c = 1, best epoch ({problem})", "best", "sam", FAR, problem)
        for measure, words in (("worst", "worst-case sharpness"), ("worst-adaptive", "adaptive sharpness")):
            for method in ("sgd", "sam"):
                said = f"{words} of the same kind of net, {method}, c = {FAR} less c = 1 ({problem})"
                yield _moved(said, measure, method, FAR, problem)


QUICK = Form("scale-invariance-quick", tuple(METHODS)[:4], (ONE, "4", FAR), tuple(range(6)))
FULL = Form("scale-invariance", tuple(METHODS), SCALES, tuple(range(12)))


@named
def scale_invariance(quick: bool = False) -> Study:
    """Whether SAM suffers from a rescaling of layers that leaves the function as it is, and ASAM does not."""
    return (QUICK if quick else FULL).study()


def _work(levels: Levels, seed: int) -> Work:
    problem, scale = levels["problem"], float(levels["scale"])
    return Measured(configuration(problem, METHODS[levels["method"]](), scale, seed), LOOK)


def _asam() -> ASAM:
    method = find("digits-few-asam").method
    assert isinstance(method, ASAM)
    return method


def configuration(problem: str, method: Method, scale: float, seed: int) -> RunConfig:
    """The run of a method from rescaled initial weights, with learning rates that go along."""
    plain = base("scale-invariance", problem, method, seed)
    model, optimizer = plain.model, plain.optimizer
    assert isinstance(model, MLP) and isinstance(optimizer, SGD)
    rates = (scale**2, scale**2, scale**-2, 1.0, 1.0, 1.0)
    return replace(plain, model=replace(model, scale=scale), optimizer=replace(optimizer, rates=rates))


def _moved(claim: str, measure: str, method: str, scale: str, problem: str) -> Difference:
    return Difference(
        claim=claim,
        measure=measure,
        treatment={"scale": scale},
        control={"scale": ONE},
        where={"method": method, "problem": problem},
    )


def _claims(problem: str) -> Iterator[Difference]:
    """That SAM changes by what changes nothing, and that ASAM is the better one then."""
    claim = _moved(f"SAM loses accuracy on {problem} by a rescaling to c = {FAR}", "last", "sam", FAR, problem)
    yield replace(claim, direction="lower", smallest=SMALLEST)
    yield Difference(
        claim=f"ASAM is better than SAM on {problem} from weights rescaled to c = {FAR}",
        measure="last",
        treatment={"method": "asam"},
        control={"method": "sam"},
        where={"scale": FAR, "problem": problem},
        smallest=SMALLEST,
    )
