"""``samnesia federate``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from samnesia.commands.termination import Termination
from samnesia.commands.words import exchange, take, with_method
from samnesia.extras import require
from samnesia.federated.config import FEDERATED, FederatedConfig, read
from samnesia.federated.imports import import_flower
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.config import RunConfig
from samnesia.train.log import RESULT

if TYPE_CHECKING:
    from samnesia.train.log import RunResult

Engine = Literal["here", "simulation", "processes"]


@dataclass(frozen=True)
class Federate:
    """Train a model on the samples of many clients, which a server averages; built on Flower.

    Of a recipe; without one, list them:

    samnesia federate digits-fedasam-swa --out DIR

    Every field of the configuration can be overridden, as in `--partition.alpha 0.1 --participants 10 --seed 3`; those
    of a client's training by their own names (`--method.rho 0.2 --optimizer.lr 0.05`), or behind `--training.`.
    `samnesia resume DIR` goes on after a kill. The directory is that of a run: samnesia measure and evaluate read it.
    """

    recipe: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")] = None
    """Name of the federated recipe."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Directory of the run; must be empty, or not exist."""
    list: bool = False
    """List the recipes."""
    long: bool = False
    """Say of each what it reproduces, and its published number where known."""

    def run(self) -> int:
        """List the recipes."""
        from samnesia.federated.recipes import listing

        print("\n".join(listing(long=self.long)))
        return 0


@dataclass(frozen=True)
class FederateRecipe:
    """Train a model on the samples of many clients, which a server averages; built on Flower."""

    config: Annotated[FederatedConfig, tyro.conf.arg(name="")]
    out: Path
    """Directory of the run; must be empty, or not exist."""
    engine: Engine = "here"
    """Clients in this process, one after the other; in Flower's simulation; or in a process each, over loopback."""

    def run(self) -> int:
        """Train."""
        if self.engine == "here":
            from samnesia.federated.run import federate

            return _done(lambda **ways: federate(self.config, self.out, **ways), self.out)
        from samnesia.federated.flower import run_with_flower
        from samnesia.federated.run import write_down

        write_down(self.config, self.out)
        engine = self.engine
        return _done(lambda **ways: run_with_flower(self.config, self.out, engine, **ways), self.out)


def configuration(words: list[str]) -> tuple[FederatedConfig, str, list[str]]:
    """Return the configuration that the words after the command start from, its name, and the words left.

    Options of a client's training may be given without ``--training.``.

    Raises:
        ConfigurationError: for an unknown recipe, or a kind that there is not.
    """
    from samnesia.federated.recipes import find

    recipe, rest = words[0], with_method(words[1:])
    config, rest = exchange(find(recipe), [_of_training(word) for word in rest])
    return config, recipe, rest


def is_federated(directory: Path) -> bool:
    """Whether the run in a directory is a federated one."""
    return (directory / FEDERATED).exists()


def go_on(directory: Path) -> int:
    """Go on with a federated run, its clients in this process, or in Flower's simulation where it began there."""
    from samnesia.federated.flower import DIRECTORY, run_with_flower
    from samnesia.federated.run import resume

    config = read(directory)
    if (directory / DIRECTORY).exists() and not (directory / RESULT).exists():
        return _done(lambda **ways: run_with_flower(config, directory, "simulation", **ways), directory)
    return _done(lambda **ways: resume(directory, **ways), directory)


def _done(start: Callable[..., RunResult], out: Path) -> int:
    from samnesia.commands.train import summary
    from samnesia.federated.observers import Shown

    import_flower()
    require("lightning.fabric", extra="train")
    with Termination() as termination:
        try:
            result = start(watching=[Shown()], stop=termination.asked)
        except KeyboardInterrupt:
            began = (out / FEDERATED).exists()
            words = f"interrupted; go on with: samnesia resume {out}" if began else "interrupted before anything began"
            raise KeyboardInterrupt(words) from None
    print(summary(result, out))
    return 0


def _of_training(word: str) -> str:
    """An option of a client's training as what it is an option of."""
    head = word[2:].partition("=")[0].partition(".")[0].replace("-", "_")
    own = {field.name for field in fields(FederatedConfig)}
    of_training = {field.name for field in fields(RunConfig)} - own
    plain = head.removeprefix("no_")
    if word.startswith("--") and head not in own and plain in of_training:
        return f"--training.{word[2:]}"
    return word


def parsed(words: list[str], parse: Callable[..., Any]) -> Federate | FederateRecipe:
    """The command that these words mean; ``parse`` makes a dataclass of words."""
    if not words or words[0].startswith("-"):
        out, _ = take(words, "--out")
        if out is not None:
            raise ConfigurationError(
                "cannot train before the recipe is known, because it decides which options there are; name it first: "
                "samnesia federate RECIPE --out DIR"
            )
        bare: Federate = parse(Federate, words, prog="samnesia federate")
        return bare
    config, source, rest = configuration(words)
    default = FederateRecipe(config, out=tyro.MISSING)
    found: FederateRecipe = parse(FederateRecipe, rest, prog=f"samnesia federate {source}", default=default)
    return found
