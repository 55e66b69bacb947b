"""What the study of forgetting measures, and what it looks at without a verdict."""

from __future__ import annotations

from collections.abc import Iterator

from samnesia.study.design import Measure
from samnesia.study.hypotheses import Correlation, Difference, Hypothesis, StrongerCorrelation

ACCURACY, LOST, RISE, LARGEST = "accuracy", "lost-own-along", "rise-own-along", "lambda-max"
"""What is to be explained; the primary outcome, E2 under the own perturbation on its batch over the last third; and its
rivals: the rise of the loss there, which is m-sharpness, and the largest eigenvalue of the Hessian at the end."""
GROUPS = {"digits-noisy": ("flipped", "clean"), "digits-shortcut": ("mark wrong", "mark right")}
"""Groups of training samples by problem: those whose label, or mark, is wrong, and the others."""
SECOND = {"digits-noisy": ("true", "true classes"), "digits-shortcut": ("mark", "marks")}
"""By problem, further labels of the samples: their name in the records, and in words."""
NULLS = {
    "norm_matched": "random of its norm",
    "rise_matched": "random of its loss rise",
    "permuted_labels": "its labels permuted",
    "other_batch": "of another batch",
}
_OWN = "recorded.late.own.exposed"


def _nats(name: str, value: str, label: str) -> Measure:
    return Measure(name, value, label, "nats")


def _square() -> Iterator[Measure]:
    """{own, common} x {along training, at the end}, of forgetting and of sharpness."""
    times = (("along", "recorded.late", "last third"), ("end", "final", "at the end"))
    for probe in ("own", "common"):
        for when, prefix, said in times:
            place = f"{prefix}.{probe}.exposed"
            yield _nats(f"lost-{probe}-{when}", f"{place}.superfluous", f"E2 lost, {probe}, {said}")
            yield _nats(f"rise-{probe}-{when}", f"{place}.loss_rise", f"m-sharpness, {probe}, {said}")


def _nulls() -> Iterator[Measure]:
    for null, words in NULLS.items():
        yield _nats(f"lost-{null}", f"final.{null}.exposed.superfluous", f"E2 lost, {words}, at the end")
    yield Measure("norm-own", "final.own.norm", "norm of the own perturbation")
    yield Measure("norm-rise_matched", "final.rise_matched.norm", "norm of noise of its loss rise")


def of_problem(problem: str) -> tuple[Measure, ...]:
    """What is measured on this problem alone: groups of samples, and the labels that are known besides."""
    second, words = SECOND[problem]
    grouped = [
        one
        for group in GROUPS[problem]
        for one in (
            _nats(f"lost-{group}", f"{_OWN}.{group}.superfluous", f"E2 lost, {group}"),
            _nats(f"rise-{group}", f"{_OWN}.{group}.loss_rise", f"loss rise, {group}"),
        )
    ]
    return (
        *grouped,
        _nats(f"lost-{second}", f"{_OWN}.superfluous_{second}", f"E2 lost, given the {words}"),
        _nats(f"useful-{second}", f"{_OWN}.useful_{second}", f"information about the {words} lost"),
    )


ESTIMATORS = (
    _nats("output", f"{_OWN}.output", "E1 lost"),
    _nats("useful", f"{_OWN}.useful", "I(Ŷ;Y) lost"),
    Measure("share", f"{_OWN}.superfluous_share", "E2 / E1 lost"),
    _nats("divergence", f"{_OWN}.divergence", "E3, divergence"),
    Measure("drop", f"{_OWN}.accuracy_drop", "E3, drop of accuracy"),
    _nats("exposed", f"{_OWN}.input_exposed", "E4"),
    _nats("lost-training", "recorded.late.own.training.superfluous", "E2 lost on other training data"),
    _nats("lost-held-out", "recorded.late.own.held_out.superfluous", "E2 lost on held-out data"),
    _nats("lost-batch", "recorded.late.own-batch.exposed.superfluous", "E2 lost, by batch statistics"),
    _nats("lost-all", "recorded.all.own.exposed.superfluous", "E2 lost, whole run"),
    _nats("lost-last", "recorded.last.own.exposed.superfluous", "E2 lost, last recorded step"),
)
"""Under the own perturbation, on its batch in the last third of training, where nothing else is said."""
SHARPNESS = (
    Measure(LARGEST, "final.lambda_max", "λmax at the end"),
    Measure("trace", "final.trace", "trace at the end"),
    _nats("worst", "final.worst", "worst-case sharpness at the end"),
    _nats("worst-adaptive", "final.worst_adaptive", "adaptive worst-case sharpness at the end"),
)
SQUARE = tuple(_square())
MEASURES = (
    Measure(ACCURACY, "last.test_accuracy", "test accuracy, last epoch", "%", True),
    Measure("train", "last.train_accuracy", "training accuracy, last epoch", "%"),
    *SQUARE,
    *SHARPNESS,
    *ESTIMATORS,
    *_nulls(),
    *(one for problem in GROUPS for one in of_problem(problem)),
    Measure("seconds", "seconds", "wall time of training and recording", "s", False),
)


def looked_at(
    problem: str, perturbations: tuple[str, ...], sizes: tuple[str, ...], far: str | None
) -> Iterator[Hypothesis]:
    """The exploratory effects on one problem.

    Args:
        problem: the problem.
        perturbations: those that are ranked.
        sizes: levels of m, the smallest first.
        far: the level of random perturbations that are matched in the rise of the loss; None where there is none.
    """
    where, over = {"problem": problem}, {"perturbation": perturbations}
    for measure in (*SQUARE, *SHARPNESS, *ESTIMATORS, *of_problem(problem)):
        yield Correlation(
            claim=f"{measure.label} ({problem})", x=measure.name, y=ACCURACY, where=where, over=over,
            within=("rho",),
        )  # fmt: skip
    for name, words in ((LOST, "E2 lost"), (RISE, "m-sharpness"), (LARGEST, "λmax")):
        yield Correlation(
            claim=f"CONFOUNDED, pooled: {words} ({problem})", x=name, y=ACCURACY, where=where, over=over,
        )  # fmt: skip
    for given, words in (("train", "training accuracy"), (RISE, "loss rise")):
        yield Correlation(
            claim=f"within rho, at equal {words}: E2 lost ({problem})", x=LOST, y=ACCURACY, where=where, over=over,
            within=("rho",), given=given,
        )  # fmt: skip
    for null, words in NULLS.items():
        yield StrongerCorrelation(
            claim=f"E2 lost at the end, own less {words} ({problem})",
            x="lost-own-end", rival=f"lost-{null}", y=ACCURACY, where=where, over=over, within=("rho",),
        )  # fmt: skip
    yield from _mediation(problem, perturbations, sizes)
    yield from _groups(problem)
    if far is not None:
        for name, words in ((ACCURACY, "accuracy"), (LOST, "E2 lost"), (RISE, "loss rise")):
            yield Difference(
                claim=f"{words}, loss ascent less random of like loss rise ({problem})", measure=name, where=where,
                treatment={"perturbation": "loss-ascent"}, control={"perturbation": far},
            )  # fmt: skip


def _mediation(problem: str, perturbations: tuple[str, ...], sizes: tuple[str, ...]) -> Iterator[Hypothesis]:
    """Whether m acts by what is forgotten: its effect on both, and their relation at equal m."""
    where, over = {"problem": problem}, {"perturbation": perturbations}
    for name, words in ((ACCURACY, "accuracy"), (LOST, "E2 lost"), (RISE, "loss rise")):
        yield Difference(
            claim=f"{words}, m {sizes[0]} less m {sizes[-1]} ({problem})", measure=name, where=where, over=over,
            treatment={"m": sizes[0]}, control={"m": sizes[-1]},
        )  # fmt: skip
    yield Correlation(
        claim=f"within rho and m: E2 lost ({problem})", x=LOST, y=ACCURACY, where=where, over=over,
        within=("rho", "m"),
    )  # fmt: skip


def _groups(problem: str) -> Iterator[Hypothesis]:
    """What loss ascent does to each group, less what output-bias forgetting does."""
    for group in GROUPS[problem]:
        yield Difference(
            claim=f"loss rise of {group}, loss ascent less obf-1 ({problem})", measure=f"rise-{group}",
            where={"problem": problem}, treatment={"perturbation": "loss-ascent"}, control={"perturbation": "obf-1"},
        )  # fmt: skip
    yield Difference(
        claim=f"accuracy, loss ascent less obf-1 ({problem})", measure=ACCURACY, where={"problem": problem},
        treatment={"perturbation": "loss-ascent"}, control={"perturbation": "obf-1"},
    )  # fmt: skip
