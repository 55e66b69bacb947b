"""``samnesia tune``."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from samnesia.perturb.errors import ConfigurationError
from samnesia.train.config import RunConfig

if TYPE_CHECKING:
    from samnesia.study.tune import Origin


@dataclass(frozen=True)
class Tune:
    """Search for better settings of a recipe on validation, and say on fresh seeds whether they help.

    The radius, from an eighth of the recipe's own to eight times it:

    samnesia tune digits-noisy-sam --budget 30 --out DIR

    Other fields, with ranges (on a logarithmic scale with :log) or choices:

    samnesia tune my_run.py:sam --budget 60 --search method.rho=0.05:1:log 'optimizer.nesterov=true|false' --out DIR

    A first radius from a short probe, without a search: samnesia tune RECIPE --suggest

    Settings are chosen on the validation split; the test split is not looked at. Every field of the configuration can
    be set for all trials, as for `samnesia train`, such as --epochs 20 or --data.holdout 1000; --seed N takes other
    seeds. `samnesia tune RECIPE --help` explains the fields. The same command goes on after an interruption, and with a
    larger --budget it searches on.
    """

    recipe: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")]
    """Name of the recipe, or FILE.py:FUNCTION, which returns a RunConfig."""
    out: Path | None = None
    """Directory of the search; what has ended in it is kept."""
    budget: int | None = None
    """Training runs that the settings may cost together; what is given up early costs the share that was trained."""
    search: tuple[str, ...] = ()
    """What to search: NAME=LOW:HIGH, NAME=LOW:HIGH:log, NAME=A|B|C, one after the other."""
    seeds: int = 3
    """Tuning seeds of each setting."""
    confirm: int = 10
    """Fresh seeds that hold the best setting against the recipe's own, beside the budget; 0 is none."""
    workers: int = 1
    """Processes that train at the same time; with one, the result depends on --seed alone."""
    suggest: bool = False
    """Suggest a radius from a short probe after some epochs of plain training; with a budget, search around it."""
    config: Path | None = None
    """In place of RECIPE: a configuration that a run has written."""

    def run(self) -> int:
        """Tune the recipe as it is."""
        from samnesia.train.recipes import find

        options = {name: value for name, value in vars(self).items() if name not in ("recipe", "config")}
        return TuneRecipe(find(self.recipe), source=self.recipe, **options).run()


@dataclass(frozen=True)
class TuneRecipe:
    """Search for better settings of a recipe on validation, and say on fresh seeds whether they help."""

    config: Annotated[RunConfig, tyro.conf.arg(name="")]
    out: Path | None = None
    """Directory of the search; what has ended in it is kept."""
    budget: int | None = None
    """Training runs that the settings may cost together; what is given up early costs the share that was trained."""
    search: tuple[str, ...] = ()
    """What to search: NAME=LOW:HIGH, NAME=LOW:HIGH:log, NAME=A|B|C, one after the other."""
    seeds: int = 3
    """Tuning seeds of each setting."""
    confirm: int = 10
    """Fresh seeds that hold the best setting against the recipe's own, beside the budget; 0 is none."""
    workers: int = 1
    """Processes that train at the same time; with one, the result depends on --seed alone."""
    suggest: bool = False
    """Suggest a radius from a short probe after some epochs of plain training; with a budget, search around it."""
    source: Annotated[str, tyro.conf.Fixed, tyro.conf.Suppress] = ""
    """How the configuration was named."""

    def run(self) -> int:
        """Search, or suggest; 1 where a run of the confirmation has failed."""
        if self.budget is None and not self.suggest:
            raise ConfigurationError(
                "cannot tune without a budget, because a search ends when it is spent; say --budget 30 for the cost of "
                "30 runs, or --suggest for a first radius without a search"
            )
        if self.budget is not None and self.out is None:
            raise ConfigurationError("cannot tune without --out, because what was tried is kept there; say --out DIR")
        search = self._suggested() if self.suggest else self.search
        if self.budget is None or self.out is None:
            return 0
        from samnesia.study.tune import tune

        tuning = tune(
            self.config,
            search,
            self.budget,
            self.out,
            seeds=self.seeds,
            confirm=self.confirm,
            workers=self.workers,
            origin=self._origin,
            command=self.command(),
        )
        return int(tuning.confirmation is not None and bool(tuning.confirmation.failures))

    def _suggested(self) -> tuple[str, ...]:
        """What to search, with the suggested range of the radius where no other was named; it is printed."""
        from samnesia.study.tune.plan import FIRST_SEED
        from samnesia.study.tune.space import RHO
        from samnesia.study.tune.suggestion import range_around, suggest_for, warm_up_epochs

        found = suggest_for(self.config, seed=FIRST_SEED * (1 + self.config.seed))
        epochs = warm_up_epochs(self.config)
        print(f"{self.config.recipe} after {epochs} epoch{'s' * (epochs != 1)} of plain training:\n{found}")
        named = any(text.replace("-", "_").startswith(f"{RHO}=") for text in self.search)
        search = self.search if named else (*self.search, range_around(found, self.config))
        if self.budget is None:
            out = self.out or Path("DIR")
            print(f"As a search: {replace(self, search=search, budget=30, out=out, suggest=False).command()}")
        return search

    @property
    def _origin(self) -> Origin:
        from samnesia.commands.words import named
        from samnesia.study.tune import Origin

        return Origin(self.source, named(self.source))

    def command(self) -> str:
        """The command as it is typed."""
        words = ["samnesia", "tune", *shlex.split(self.source), *self._origin.options(self.config)]
        words += ["--budget", str(self.budget)]
        words += ["--search", *map(shlex.quote, self.search)] if self.search else []
        options = {"seeds": 3, "confirm": 10, "workers": 1}
        for name, usual in options.items():
            words += [f"--{name}", str(getattr(self, name))] if getattr(self, name) != usual else []
        return " ".join([*words, *["--suggest"] * self.suggest, "--out", shlex.quote(str(self.out))])
