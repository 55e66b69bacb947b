"""``samnesia lifelong``."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from samnesia.commands.termination import Termination
from samnesia.commands.words import exchange, take, with_method
from samnesia.extras import require
from samnesia.lifelong.config import LIFELONG, LifelongConfig
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.config import RunConfig
from samnesia.train.log import RESULT

if TYPE_CHECKING:
    from samnesia.train.log import RunResult


@dataclass(frozen=True)
class Lifelong:
    """Learn tasks one after the other, and see what is forgotten of the earlier ones.

    Of a recipe; without one, list them:

    samnesia lifelong split-digits-sam --out DIR

    Every field of the configuration can be overridden, as in `--tasks.count 2 --memory.kind Balanced --memory.size 20
    --ewc.kind EWC --ewc.strength 50 --no-known`; those of the training of a task by their own names (`--method
    lookbehind --method.rho 0.1 --optimizer.lr 0.02 --seed 3`), or behind `--training.`. `samnesia resume DIR` goes on
    after a kill.
    """

    recipe: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")] = None
    """Name of the recipe."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Directory of the sequence; must be empty, or not exist."""

    def run(self) -> int:
        """List the recipes."""
        from samnesia.lifelong.recipes import listing

        print("\n".join(listing()))
        return 0


@dataclass(frozen=True)
class LifelongRecipe:
    """Learn tasks one after the other, and see what is forgotten of the earlier ones."""

    config: Annotated[LifelongConfig, tyro.conf.arg(name="")]
    out: Path
    """Directory of the sequence; must be empty, or not exist."""

    def run(self) -> int:
        """Learn."""
        from samnesia.lifelong.course import learn

        return _done(lambda **ways: learn(self.config, self.out, **ways), self.out)


def configuration(words: list[str]) -> tuple[LifelongConfig, str, list[str]]:
    """Return the configuration that the words after the command start from, its name, and the words left.

    Options of the training of a task may be given without ``--training.``.

    Raises:
        ConfigurationError: for an unknown recipe, or a kind that there is not.
    """
    from samnesia.lifelong.recipes import find

    recipe, rest = words[0], with_method(words[1:])
    config, rest = exchange(find(recipe), [_of_training(word) for word in rest])
    return config, recipe, rest


def is_lifelong(directory: Path) -> bool:
    """Whether a sequence of tasks lies in a directory."""
    return (directory / LIFELONG).exists()


def go_on(directory: Path) -> int:
    """Go on with a sequence of tasks; one that has finished is shown."""
    from samnesia.lifelong.course import resume

    if (directory / RESULT).exists():
        print(f"the sequence of tasks in {directory} has finished: there is nothing left to do")
    return _done(lambda **ways: resume(directory, **ways), directory)


def parsed(words: list[str], parse: Callable[..., Any]) -> Lifelong | LifelongRecipe:
    """The command that these words mean; ``parse`` makes a dataclass of words."""
    if not words or words[0].startswith("-"):
        out, _ = take(words, "--out")
        if out is not None:
            raise ConfigurationError(
                "cannot learn before the recipe is known, because it decides which options there are; name it first: "
                "samnesia lifelong RECIPE --out DIR"
            )
        bare: Lifelong = parse(Lifelong, words, prog="samnesia lifelong")
        return bare
    config, source, rest = configuration(words)
    default = LifelongRecipe(config, out=tyro.MISSING)
    found: LifelongRecipe = parse(LifelongRecipe, rest, prog=f"samnesia lifelong {source}", default=default)
    return found


def _done(start: Callable[..., RunResult], out: Path) -> int:
    from samnesia.lifelong.shown import Shown

    require("lightning.fabric", extra="train")
    for name in ("lightning.fabric", "lightning.pytorch"):  # they announce every process, and what they grant
        logging.getLogger(name).setLevel(logging.WARNING)
    with Termination() as termination:
        try:
            result = start(watch=Shown(), stop=termination.asked)
        except KeyboardInterrupt:
            began = is_lifelong(out)
            words = f"interrupted; go on with: samnesia resume {out}" if began else "interrupted before anything began"
            raise KeyboardInterrupt(words) from None
    _tell(result, out)
    return 0


def _tell(result: RunResult, out: Path) -> None:
    """Print the accuracy matrix and draw it."""
    from samnesia.lifelong.table import lines

    made = json.loads((out / RESULT).read_text(encoding="utf-8"))["lifelong"]
    split = result.judged_by["split"]
    matrix = made["matrix"][split]
    print("\n".join(lines(matrix, result.last, split=split, measure=made["measure"])))
    cost = f"{result.gradient_evaluations} gradient evaluations, {result.seconds:.1f} s, written to {out}"
    print(f"{cost}; figure: {_drawn(matrix, out)}")


def _drawn(matrix: list[list[float]], out: Path) -> str:
    """Draw the matrix; returns where it lies."""
    from samnesia.lifelong.figures import draw

    return str(draw(matrix, out)[-1])


def _of_training(word: str) -> str:
    """An option of the training of a task as what it is an option of."""
    head = word[2:].partition("=")[0].partition(".")[0].replace("-", "_")
    own = {field.name for field in fields(LifelongConfig)}
    of_training = {field.name for field in fields(RunConfig)} - own
    if word.startswith("--") and head not in own and head.removeprefix("no_") in of_training:
        return f"--training.{word[2:]}"
    return word
