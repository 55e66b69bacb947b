"""Recipes: named runs. A recipe is a function that returns the whole configuration of a run.

To try something else, change a copy (``dataclasses.replace``), override fields on the command line, or write a function
of your own and call :func:`samnesia.train.loop.train` with what it returns. What the recipes reproduce, and what was
chosen where the papers are silent, stands in docs/recipes.md.
"""

from __future__ import annotations

from samnesia.train.recipes import (
    family,
    foret_cifar,
    foret_imagenet,
    foret_noise,
    foret_tuning,
    kwon,
    mordido,
    problems,
    robust,
    subspaces,
    transfer,
    vani,
    vani_transfer,
    zhou,
)
from samnesia.train.recipes.about import About, Published, gradients_per_image
from samnesia.train.recipes.bootstrap import write_predictions
from samnesia.train.recipes.demo import digits, digits_noisy
from samnesia.train.recipes.registry import RECIPES, Recipe, find, recipe, register, starting_with

for _family in (
    family, problems, transfer, vani, vani_transfer, foret_cifar, foret_imagenet, foret_tuning, foret_noise, kwon,
    mordido, zhou, robust, subspaces,
):  # fmt: skip
    _family.register_all()

__all__ = [
    "RECIPES",
    "About",
    "Published",
    "Recipe",
    "digits",
    "digits_noisy",
    "find",
    "gradients_per_image",
    "recipe",
    "register",
    "starting_with",
    "write_predictions",
]
