"""Where recipes are found by their names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

from samnesia.perturb.errors import ConfigurationError
from samnesia.train.config import RunConfig
from samnesia.train.own import find_recipe
from samnesia.train.recipes.about import About


@dataclass(frozen=True)
class Recipe:
    """A named run; calling it returns the configuration."""

    name: str
    """``PROBLEM-METHOD``: what differs in nothing but the method shares the problem."""
    build: Callable[[], RunConfig]
    """Returns the configuration."""
    says: str
    """What it is, in a line."""
    about: About
    """Where it comes from, what was published for it, what it costs."""

    def __call__(self) -> RunConfig:
        """Return the configuration."""
        return self.build()

    @property
    def family(self) -> str:
        """The first word of the name: who ran it first."""
        return self.name.partition("-")[0]


RECIPES: dict[str, Recipe] = {}
"""Every recipe by its name."""


def register(name: str, build: Callable[[], RunConfig], *, says: str, about: About) -> None:
    """Add a recipe.

    Raises:
        ValueError: when the name is taken; that is a mistake in this package.
    """
    if name in RECIPES:
        raise ValueError(f"cannot add the recipe {name!r}, because there is one; use another name")
    RECIPES[name] = Recipe(name, build, says, about)


def recipe(about: About) -> Callable[[Callable[[], RunConfig]], Callable[[], RunConfig]]:
    """Register a function under its own name, with hyphens; the first line of its docstring says what it is."""

    def decorate(function: Callable[[], RunConfig]) -> Callable[[], RunConfig]:
        says = (function.__doc__ or "").partition("\n")[0]
        register(function.__name__.replace("_", "-"), function, says=says, about=about)
        return function

    return decorate


def find(name: str) -> RunConfig:
    """Return the configuration of the recipe ``name``, or of a function of a user's own file, ``FILE.py:function``.

    Raises:
        ConfigurationError: for an unknown name, with the nearest known one.
    """
    if ".py" in name:
        return find_recipe(name)
    if name not in RECIPES:
        raise ConfigurationError(f"cannot train recipe {name!r}, because there is no such recipe; {_advice(name)}")
    return RECIPES[name]()


def starting_with(prefix: str) -> list[Recipe]:
    """Return the recipes whose names begin with ``prefix``.

    Raises:
        ConfigurationError: if there is none, with the nearest known name.
    """
    found = [one for name, one in RECIPES.items() if name.startswith(prefix)]
    if not found:
        raise ConfigurationError(
            f"cannot list recipes with {prefix!r}, because no recipe begins with it; {_advice(prefix)}"
        )
    return found


def _advice(name: str) -> str:
    matches = get_close_matches(name, list(RECIPES), n=1, cutoff=0.5)
    if matches:
        return f"did you mean {matches[0]!r}?"
    families = dict.fromkeys(one.family for one in RECIPES.values())
    return f"there are those of {', '.join(families)}, see samnesia recipes"
