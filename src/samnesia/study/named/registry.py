"""Where studies are found: by their names, or in a user's own file."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from samnesia.perturb.errors import ConfigurationError
from samnesia.sources import Source
from samnesia.study.design import Study
from samnesia.train.plain import nearest

QUICK = "quick"
Make = Callable[..., Study]


@dataclass(frozen=True)
class NamedStudy:
    """A study with a name; calling it makes the study."""

    name: str
    """Its name on the command line."""
    make: Make
    """Makes it; one that takes ``quick`` has a small form, for a look."""
    says: str
    """What it asks, in a line."""

    def __call__(self, *, quick: bool = False) -> Study:
        """Make the study."""
        return self.make(*_arguments(self.make, self.name, quick=quick))


STUDIES: dict[str, NamedStudy] = {}
"""Every named study by its name."""


def named(make: Make) -> Make:
    """Register a function under its own name, with hyphens; the first line of its docstring says what it asks."""
    name = make.__name__.replace("_", "-")
    STUDIES[name] = NamedStudy(name, make, (make.__doc__ or "").partition("\n")[0])
    return make


def find_study(name: str, *, quick: bool = False) -> Study:
    """Return the study of a name, or the one that a function of a user's own file, ``FILE.py:function``, makes.

    Raises:
        ConfigurationError: for an unknown name; a function that is not there, raises, or returns no :class:`Study`; or
            one without a small form when that is asked for.
    """
    if ".py" in name:
        source = Source.parse(name, what="a study", example="my_study.py:radii")
        function = source.load(what="make a study")
        made: Any = source.call(*_arguments(function, name, quick=quick), what="make a study")
        if not isinstance(made, Study):
            raise ConfigurationError(
                f"cannot run what {source.name} returned, because that requires a samnesia.study.design.Study, and it "
                f"is a {type(made).__name__}; return a Study"
            )
        return made
    if name not in STUDIES:
        raise ConfigurationError(
            f"cannot run the study {name!r}, because it is neither the name of a study nor FILE.py:function, a "
            f"function of a file of your own; {nearest(name, list(STUDIES))}"
        )
    return STUDIES[name](quick=quick)


def _arguments(make: Callable[..., Any], name: str, *, quick: bool) -> tuple[bool, ...]:
    takes = list(inspect.signature(make).parameters)
    if quick and takes != [QUICK]:
        raise ConfigurationError(
            f"cannot run {name} in a quick form, because its function takes no {QUICK}; leave --quick out, or write "
            f"def {name.rpartition(':')[2]}({QUICK}=False)"
        )
    return (quick,) if takes == [QUICK] else ()
