"""Do perturbations that fewer samples share generalize better, and is their sharpness the better measure?

Foret et al. (ICLR 2021, section 4.1, figure 3) find both: the smaller m, the lower the error over radii, and the better
m-sharpness predicts the gap of generalization. The nets here have no BatchNorm: with it, fewer samples would share the
statistics of a batch as well, and nobody could tell the two apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from samnesia.study.design import Design, Factor, Levels, Measure, Study
from samnesia.study.hypotheses import Correlation, Difference, Hypothesis, StrongerCorrelation
from samnesia.study.looks import AtSizes
from samnesia.study.measured import Measured
from samnesia.study.named import measures
from samnesia.study.named.few import DATA, base
from samnesia.study.named.registry import named
from samnesia.study.work import Work
from samnesia.train.config import SAM, RunConfig, Unperturbed

PLAIN = "0"
"""The radius of plain SGD, whose gradient does not depend on m."""
WHOLE, FEW = "40", "5"
"""m of the claims: the whole batch, and an eighth of it."""
CHOSEN: dict[tuple[str, str], str] = {
    ("digits-few-noisy", "40"): "0.4",
    ("digits-few-noisy", "5"): "0.2",
    ("digits-few", "40"): "0.1",
    ("digits-few", "5"): "0.2",
}
"""Radius by problem and m, of the highest validation accuracy on tuning seeds: benchmarks/study_settings.py."""
SMALLEST = {"digits-few-noisy": 1.0, "digits-few": 0.5}
"""Points of test accuracy. SGD errs on 5 % of clean digits, so that a point would be a fifth of all errors there."""
RADIUS = 0.1
"""At which all nets are measured."""
MEASURED = (1, 5, 40, 400)
"""m of the sharpness that is measured; 400 are all training samples."""
SMALLEST_TAU, SMALLEST_GAIN = 0.2, 0.1

MEASURES = (
    measures.LAST,
    measures.BEST,
    measures.LAST_LOSS,
    measures.TRAIN,
    measures.FLIPPED,
    *(Measure(f"sharpness-{m}", f"final.m_sharpness.{m}", f"{m}-sharpness at the end", "nats") for m in MEASURED),
    measures.EVALUATIONS,
    measures.SECONDS,
)


@dataclass(frozen=True)
class Form:
    """How much of the study is run."""

    name: str
    """Of the study."""
    sizes: tuple[str, ...]
    """Levels of m, that of the whole batch first."""
    radii: tuple[str, ...]
    """Levels of rho, plain SGD first."""
    seeds: tuple[int, ...]
    """Reported ones."""

    def study(self) -> Study:
        """The study in this form."""
        design = Design(
            name=self.name,
            question="Do perturbations that fewer samples share generalize better, and does their sharpness tell?",
            factors=(Factor("m", self.sizes), Factor("rho", self.radii), Factor("problem", tuple(DATA))),
            measures=MEASURES,
            seeds=self.seeds,
            tuning_seeds=(1000, 1001, 1002),
            compared="m",
            primary=(*(_better(problem) for problem in DATA), *_tells()),
            exploratory=tuple(one for problem in DATA for one in self._looked_at(problem)),
            notes=(
                "The claims are those of Foret et al. (ICLR 2021, section 4.1, figure 3).",
                f"Batches have {WHOLE} samples; m of them share a perturbation. A run costs as many gradient "
                "evaluations with any m.",
                "The radius of each m is that of the highest validation accuracy, chosen on the tuning seeds; other "
                "settings are those of the recipes for digits-few, for half as many epochs, and were chosen for "
                "plain SGD on clean labels.",
                f"rho {PLAIN} is plain SGD, one run per problem and seed.",
                f"m-sharpness is measured of the final weights on the training set, at radius {RADIUS:g} for all nets, "
                "by one step of ascent for each m samples, as in training.",
                "The nets have no BatchNorm, so that m changes the perturbation and nothing else.",
            ),
        )
        return Study(design, _work)

    def _looked_at(self, problem: str) -> Iterator[Hypothesis]:
        where = {"problem": problem}
        for size in self.sizes[1:]:
            for rho in self.radii[1:]:
                yield Difference(
                    claim=f"m {size} less m {WHOLE} at rho {rho} ({problem})", measure="last", treatment={"m": size},
                    control={"m": WHOLE}, where=where | {"rho": rho},
                )  # fmt: skip
        for size in (WHOLE, FEW):
            yield Difference(
                claim=f"SAM with m {size} at its radius less SGD ({problem})", measure="last", where=where,
                treatment={"m": size, "rho": CHOSEN[problem, size]}, control={"m": WHOLE, "rho": PLAIN},
            )  # fmt: skip
        yield replace(_better(problem), claim=f"m {FEW} less m {WHOLE} at their radii, best epoch ({problem})",
                      measure="best")  # fmt: skip
        for m in MEASURED:
            yield Correlation(
                claim=f"{m}-sharpness with accuracy ({problem})", x=f"sharpness-{m}", y="last", where=where,
            )  # fmt: skip
        for m in MEASURED[:-1]:
            yield StrongerCorrelation(
                claim=f"{m}-sharpness less that of all samples, as a flaw ({problem})", x=f"sharpness-{m}",
                rival=f"sharpness-{MEASURED[-1]}", y="last", signs=(-1, -1), where=where,
            )  # fmt: skip


QUICK = Form("m-sharpness-quick", (WHOLE, "10", FEW), (PLAIN, "0.1", "0.2", "0.4"), tuple(range(6)))
FULL = Form("m-sharpness", (WHOLE, "20", "10", FEW, "1"), (PLAIN, "0.05", "0.1", "0.2", "0.4", "0.8"), tuple(range(10)))


@named
def m_sharpness(quick: bool = False) -> Study:
    """Whether perturbations that fewer samples share generalize better, and their sharpness tells the error better."""
    return (QUICK if quick else FULL).study()


def _work(levels: Levels, seed: int) -> Work:
    config = configuration(levels["problem"], levels["m"], levels["rho"], seed)
    return Measured(config, AtSizes(MEASURED, rho=RADIUS, samples=400))


def configuration(problem: str, m: str, rho: str, seed: int) -> RunConfig:
    """The run of a cell; plain SGD is the same for all m."""
    plain = rho == PLAIN
    run = base("m-sharpness", problem, Unperturbed() if plain else SAM(rho=float(rho)), seed)
    return replace(run, micro_batch=None if plain or m == WHOLE else int(m))


def _better(problem: str) -> Difference:
    return Difference(
        claim=f"A perturbation for each {FEW} samples is better than one for {WHOLE} on {problem}",
        measure="last",
        treatment={"m": FEW, "rho": CHOSEN[problem, FEW]},
        control={"m": WHOLE, "rho": CHOSEN[problem, WHOLE]},
        where={"problem": problem},
        smallest=SMALLEST[problem],
    )


def _tells() -> Iterator[Hypothesis]:
    few, all_ = f"sharpness-{FEW}", f"sharpness-{MEASURED[-1]}"
    yield Correlation(
        claim=f"The higher the {FEW}-sharpness of a net, the lower its accuracy", x=few, y="last", within=("problem",),
        direction="lower", smallest=SMALLEST_TAU,
    )  # fmt: skip
    yield StrongerCorrelation(
        claim=f"{FEW}-sharpness tells the error better than the sharpness of all samples at once", x=few, rival=all_,
        y="last", signs=(-1, -1), within=("problem",), smallest=SMALLEST_GAIN,
    )  # fmt: skip
