"""The arms of a comparison: the recipes of a problem, and what they may differ in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from samnesia.perturb.errors import ConfigurationError
from samnesia.train import recipes
from samnesia.train.config import METHODS, OwnLoss, RunConfig, Unperturbed
from samnesia.train.own import find_recipe
from samnesia.train.parts.names import nearest_method
from samnesia.train.plain import differences

ALL = "all"
BASELINES = ("ema", "swa", "smoothing")
"""Second parts of the names of recipes that differ from the base optimizer's in something else than the method."""
_ENDINGS = {*METHODS, *BASELINES, "adamw"}
_VARIANTS = ("-steps", "-obf", "-eta0")
"""What may follow the name of a method in that of a recipe."""


def all_named(problem: str, methods: Sequence[str], left_out: Sequence[str] = ()) -> tuple[str, ...]:
    """The methods, with all that the problem has beside them in the place of ``all``, without those left out.

    Raises:
        ConfigurationError: for all methods of a file, or of a problem that has none, and for one to be left out that is
            not among them.
    """
    named = _with_all(problem, methods)
    for one in left_out:
        if one not in named:
            raise ConfigurationError(
                f"cannot leave out {one!r}, because it is none of the methods to be compared; "
                f"{nearest_method(one, named)}"
            )
    return tuple(one for one in named if one not in left_out)


def _with_all(problem: str, methods: Sequence[str]) -> tuple[str, ...]:
    if ALL not in methods:
        return tuple(methods)
    if problem.endswith(".py"):
        raise ConfigurationError(
            f"cannot compare all methods of {problem}, because not every function of a file is a run; name them"
        )
    if not (known := [second for name in recipes.RECIPES if (second := _method_of(problem, name))]):
        _recipe(problem, ALL)
    others = [one for one in known if one not in methods]
    return tuple(one for method in methods for one in (others if method == ALL else (method,)))


def _method_of(problem: str, name: str) -> str | None:
    """The second part of a recipe's name; None where the recipe is another problem's."""
    second = name.removeprefix(f"{problem}-")
    kind = second
    for variant in _VARIANTS:
        kind = kind.removesuffix(variant)
    return second if second != name and kind in _ENDINGS else None


def arms_of(
    problem: str, methods: Sequence[str], *, seeds: Sequence[int], overrides: Mapping[str, Any]
) -> dict[str, RunConfig]:
    """The configuration of each method, with the first seed.

    An override that begins with a method and a colon, as in ``swa:average.start_epoch``, is for that method alone.

    Raises:
        ConfigurationError: for an unknown recipe or override, for seeds or methods that are none or repeat, or methods
            that differ in more than the method, an average of the weights, and the smoothing of labels.
    """
    for name, values in (("methods", methods), ("seeds", seeds)):
        if not values:
            raise ConfigurationError(f"cannot compare without {name}, because nothing would run; name one or more")
        if twice := [value for place, value in enumerate(values) if value in values[:place]]:
            raise ConfigurationError(
                f"cannot compare with {name} {' '.join(map(str, values))}, because {twice[0]} stands there twice; name "
                "it once"
            )
    for name, instead in (("seed", "seeds"), ("recipe", "the problem and the methods")):
        if name in overrides:
            raise ConfigurationError(
                f"cannot override {name} in a comparison, because each of its runs has its own; give {instead} instead"
            )
    for seed in seeds[1:]:  # the configurations below have the first
        override(_recipe(problem, methods[0]), {"seed": seed})
    own = {method: _recipe(problem, method) for method in methods}
    everywhere, alone = _by_method(overrides, methods)
    _check_of_all(own, everywhere)
    arms = {
        method: override(config, {**everywhere, **alone.get(method, {}), "seed": seeds[0]})
        for method, config in own.items()
    }
    _check_alike(arms)
    return arms


def problem_name(problem: str) -> str:
    """The name of a problem in results: of a file, that without its folder and ending."""
    return Path(problem).stem if problem.endswith(".py") else problem


def override(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """The configuration with other values for some of its fields, given by dotted names.

    Raises:
        ConfigurationError: for a name that is no field (with the nearest one) or a value of a wrong type.
    """
    plain = config.to_json()
    for name, value in values.items():
        *parts, last = name.split(".")
        place = plain
        for part in parts:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise ConfigurationError(
                    f"cannot set {name}, because {part} is a value without fields; name a field of the configuration"
                )
        place[last] = value
    return RunConfig.from_json(plain)


def _recipe(problem: str, method: str) -> RunConfig:
    if problem.endswith(".py"):
        return find_recipe(f"{problem}:{method.replace('-', '_')}")
    if f"{problem}-{method}" in recipes.RECIPES:
        return recipes.find(f"{problem}-{method}")
    if any(name.startswith(f"{problem}-") for name in recipes.RECIPES):
        known = [name.removeprefix(f"{problem}-") for name in recipes.RECIPES if name.startswith(f"{problem}-")]
        raise ConfigurationError(
            f"cannot compare method {method!r} on {problem}, because there is no recipe {problem}-{method}; "
            f"{nearest_method(method, known)}"
        )
    endings = tuple(f"-{name}" for name in _ENDINGS)
    problems = {name.removesuffix(end) for name in recipes.RECIPES for end in endings if name.endswith(end)}
    matches = get_close_matches(problem, sorted(problems), n=1, cutoff=0.5)
    advice = f"did you mean {matches[0]!r}?" if matches else "see samnesia recipes, or name a file of your own, FILE.py"
    raise ConfigurationError(f"cannot compare on problem {problem!r}, because no recipe begins with it; {advice}")


def _by_method(
    overrides: Mapping[str, Any], methods: Sequence[str]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The overrides for all methods, and those for one of them."""
    everywhere: dict[str, Any] = {}
    alone: dict[str, dict[str, Any]] = {}
    for name, value in overrides.items():
        method, colon, field = name.partition(":")
        if not colon:
            everywhere[name] = value
            continue
        if method not in methods:
            raise ConfigurationError(
                f"cannot set {field} for {method!r}, because it is none of the methods to be compared; "
                f"{nearest_method(method, methods)}"
            )
        if field in ("seed", "recipe"):
            raise ConfigurationError(
                f"cannot override {field} in a comparison, because each of its runs has its own; leave it out"
            )
        alone.setdefault(method, {})[field] = value
    return everywhere, alone


def _check_of_all(arms: Mapping[str, RunConfig], overrides: Mapping[str, Any]) -> None:
    """Refuse overrides of the method or the average that only some of the arms have."""
    for name, value in overrides.items():
        part, _, field = name.partition(".")
        if part not in ("method", "average") or not field:
            continue
        having = [arm for arm, config in arms.items() if hasattr(getattr(config, part), field)]
        without = [arm for arm in arms if arm not in having]
        if having and without:
            raise ConfigurationError(
                f"cannot set {name} in this comparison, because {without[0]} has no such setting; set it for each that "
                f"has it, as in --set {having[0]}:{name}={value}"
            )


def _check_alike(arms: Mapping[str, RunConfig]) -> None:
    """Refuse arms that differ in more than method, average and smoothing; epochs are the affair of the budget."""
    first, *others = arms
    for other in others:
        there, asked = (_common(arms[name]).to_json() for name in (first, other))
        if found := differences(there, asked):
            raise ConfigurationError(
                f"cannot compare {other} with {first}, because a comparison requires equal settings but for method, "
                f"average, smoothing and seed, and theirs differ ({'; '.join(found)}); make them equal"
            )


def _common(config: RunConfig) -> RunConfig:
    """What all arms have to have in common."""
    loss = config.loss if isinstance(config.loss, OwnLoss) else replace(config.loss, smoothing=0.0)
    return replace(config, recipe="", method=Unperturbed(), average=None, loss=loss, epochs=1)
