"""What ``samnesia recipes`` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from samnesia.train.recipes.about import ASSUMED_SHARE
from samnesia.train.recipes.registry import Recipe

FAMILIES = {
    "digits": "this project's demo and problems: scikit-learn's digits, seconds on a CPU",
    "photographs": "this project's problem: patches of scikit-image's photographs, seconds on a CPU",
    "wine": "this project's problem: scikit-learn's wines with raw features, seconds on a CPU",
    "transfer": "this project's problem: from some digits or photographs to few labels of others, seconds on a CPU",
    "text": "this project's problem: source of Python's library, a transformer by few labels, seconds on a CPU",
    "vani": "Vani et al., ICML 2024: ImageNet, and CIFAR fine-tuning, with OBF and its rivals",
    "foret": "Foret et al., ICLR 2021: CIFAR, ImageNet, EfficientNet fine-tuning, wrong labels",
    "kwon": "Kwon et al., ICML 2021: ASAM on CIFAR",
    "mordido": "Mordido et al., ICML 2024: the baselines of Lookbehind on CIFAR",
    "zhou": "Zhou et al., ICLR 2025: SAM in the late phase of training on CIFAR-10",
    "subspaces": "this project's own: lines, curves and simplexes of nets on digits, seconds on a CPU",
    "wortsman": "Wortsman et al., ICML 2021: lines, curves and simplexes of nets on CIFAR-10 and ImageNet",
}
"""What the first words of the names stand for."""

ESTIMATE = (
    "GPU-hours are an estimate for one A100: 6 operations per multiply-add of the forward pass, image and gradient "
    f"evaluation, at {100 * ASSUMED_SHARE:g} % of the peak of --hardware.precision bf16-mixed; small images reach less."
)


def families(recipes: Iterable[Recipe]) -> Iterator[str]:
    """A line per family, with how many recipes it has."""
    for family, count in Counter(one.family for one in recipes).items():
        yield f"{family:11} {count:3} recipes  {FAMILIES[family]}"
    yield "samnesia recipes PREFIX lists those whose names begin so; --long says what each reproduces, and its cost."


def short(recipes: Iterable[Recipe]) -> Iterator[str]:
    """A line per recipe."""
    recipes = list(recipes)
    width = max(len(one.name) for one in recipes)
    for one in recipes:
        yield f"{one.name:{width}}  {one.says}"


def long(recipes: Iterable[Recipe]) -> Iterator[str]:
    """What each recipe reproduces, its published number and its cost, in a few lines each."""
    for one in recipes:
        about = one.about
        yield one.name
        yield f"  what       {one.says}"
        yield f"  source     {about.source}"
        yield f"  published  {about.published or 'not known here'}"
        if about.yardstick is not None:
            yield f"  yardstick  {about.yardstick}: another paper's number, not its authors' own"
        yield f"  GPU-hours  {_hours(about.gpu_hours(one()))}"
        yield ""
    yield ESTIMATE


def _hours(hours: float) -> str:
    return "under 0.01" if hours < 0.01 else f"about {hours:.2g}" if hours < 100 else f"about {round(hours, -1):.0f}"
