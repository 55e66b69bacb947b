"""What is searched: fields of a run's configuration, each with a range or with choices."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.parts.schedules import radius_at
from samnesia.train.config import RunConfig
from samnesia.train.parts.checks import require
from samnesia.train.parts.methods import Radial
from samnesia.train.plain import flatten, to_plain

if TYPE_CHECKING:
    from optuna.trial import Trial

Values = dict[str, Any]
"""Values of the searched fields, by their dotted names."""

RHO = "method.rho"
WIDTH = 8.0
"""The radius is searched between the recipe's over this and times this."""
_FIXED = ("recipe", "seed", "epochs", "evaluation", "checkpoints", "logging", "record", "hardware")
_DIGITS = 3


@dataclass(frozen=True)
class Range:
    """Numbers from low to high; on a logarithmic scale, or whole ones."""

    name: str
    low: float
    high: float
    log: bool = False
    whole: bool = False

    def suggest(self, trial: Trial, own: Any) -> Any:
        """A value of this trial, to three digits: what is printed is what was trained with. The own one is kept."""
        if self.whole:
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log)
        value = trial.suggest_float(self.name, self.low, self.high, log=self.log)
        if value == own:
            return own
        return min(max(float(f"{value:.{_DIGITS}g}"), self.low), self.high)

    def at(self, share: float) -> Any:
        """The value at a share of the way from low to high."""
        if self.log:
            value = self.low * (self.high / self.low) ** share
        else:
            value = self.low + share * (self.high - self.low)
        return round(value) if self.whole else value

    def written(self, value: Any) -> Any:
        """The value as the sampler knows it."""
        return value

    def ends(self) -> tuple[Any, ...]:
        """The values that are to be tried out before anything is trained."""
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)

    def holds(self, value: Any) -> bool:
        """Whether the value can come up."""
        return type(value) in (int, float) and self.low <= value <= self.high

    def __str__(self) -> str:
        """As it is given on the command line."""
        return f"{self.name}={typed(self.low)}:{typed(self.high)}" + ":log" * self.log


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    name: str
    options: tuple[Any, ...]

    def suggest(self, trial: Trial, own: Any) -> Any:
        """A value of this trial."""
        known = {self.written(option): option for option in self.options}
        return known[trial.suggest_categorical(self.name, list(known))]

    def at(self, share: float) -> Any:
        """The option at a share of the way from the first to the last."""
        return self.options[min(int(share * len(self.options)), len(self.options) - 1)]

    def written(self, value: Any) -> str:
        """The value as the sampler knows it: a text, whatever it is."""
        return json.dumps(to_plain(value))

    def ends(self) -> tuple[Any, ...]:
        """The values that are to be tried out before anything is trained."""
        return self.options

    def holds(self, value: Any) -> bool:
        """Whether the value can come up."""
        return any(value == option and type(value) is type(option) for option in self.options)

    def __str__(self) -> str:
        """As it is given on the command line."""
        return f"{self.name}=" + "|".join(map(typed, self.options))


Searched = Range | Choice


@dataclass(frozen=True)
class Space:
    """What is searched of a configuration.

    Raises:
        ConfigurationError: for a field that is searched twice, one whose own value is not in its range, or an end of a
            range that the configuration refuses.
    """

    config: RunConfig
    """The recipe's own values, for all that is not searched."""
    searched: tuple[Searched, ...]
    """What is searched."""

    def __post_init__(self) -> None:
        names = [one.name for one in self.searched]
        require(
            len(set(names)) == len(names),
            f"cannot search {' '.join(names)}, because each field has one range; name each once",
        )
        for one in self.searched:
            own = self.own[one.name]
            require(
                one.holds(own),
                f"cannot search {one}, because the recipe's own value, {typed(own)}, is the first that is tried, and "
                f"is not among them; widen the range, or set --{one.name.replace('_', '-')} to a value inside",
            )
            for value in one.ends():
                method = self.apply({one.name: value}).method
                if isinstance(method, Radial):
                    radius_at(method.rho, 0, 0.0)  # refuses one that is negative

    @property
    def own(self) -> Values:
        """The recipe's own values."""
        flat = flatten(self.config.to_json())
        return {one.name: _frozen(flat[one.name]) for one in self.searched}

    def suggest(self, trial: Trial) -> Values:
        """The values of a trial."""
        return {one.name: one.suggest(trial, self.own[one.name]) for one in self.searched}

    def starts(self, count: int, seed: int) -> list[Values]:
        """The recipe's own values, and so many others, spread evenly over the space (a scrambled Halton sequence).

        As the sampler knows them.
        """
        from scipy.stats import qmc

        shares = qmc.Halton(len(self.searched), rng=seed).random(count)
        others = [
            {one.name: one.at(float(share)) for one, share in zip(self.searched, row, strict=True)} for row in shares
        ]
        return [{one.name: one.written(values[one.name]) for one in self.searched} for values in (self.own, *others)]

    def apply(self, values: Mapping[str, Any]) -> RunConfig:
        """The configuration with these values; raises ConfigurationError for what it refuses."""
        plain = self.config.to_json()
        for name, value in values.items():
            *parts, last = name.split(".")
            place = plain
            for part in parts:
                place = place[part]
            place[last] = to_plain(value)
        return RunConfig.from_json(plain)

    def to_json(self) -> dict[str, str]:
        """What is searched, as it is given on the command line, by name."""
        return {one.name: str(one).partition("=")[2] for one in self.searched}


def typed(value: Any) -> str:
    """A value of a field as it is typed: 2, 0.05, None, [16,32]."""
    if isinstance(value, tuple):
        return f"[{','.join(map(typed, value))}]"
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def make_space(config: RunConfig, search: Sequence[str] = ()) -> Space:
    """The space that ``NAME=LOW:HIGH``, ``NAME=LOW:HIGH:log`` and ``NAME=A|B|C`` describe; of nothing, the radius.

    Raises:
        ConfigurationError: for words of another form, a field that is not there (with the nearest), one that cannot be
            searched, or a range that is upside down.
    """
    return Space(config, tuple(_searched(config, text) for text in search) or (_radius(config),))


def _radius(config: RunConfig) -> Range:
    method = config.method
    require(
        isinstance(method, Radial) and method.rho > 0.0,
        f"cannot search the radius of {config.recipe}, because its method has none that could be varied; say what to "
        "search, as in --search optimizer.lr=0.01:0.2:log",
    )
    assert isinstance(method, Radial)
    low = max(method.rho / WIDTH, method.rho_min or 0.0)
    return Range(RHO, float(f"{low:.{_DIGITS}g}") if method.rho_min is None else low, method.rho * WIDTH, log=True)


def _searched(config: RunConfig, text: str) -> Searched:
    name, equals, values = text.partition("=")
    name = name.strip().removeprefix("--").replace("-", "_")
    if not (name and equals and values):
        raise ConfigurationError(
            f"cannot search {text!r}, because a search is a field and its values; write NAME=LOW:HIGH, "
            "NAME=LOW:HIGH:log, or NAME=A|B|C"
        )
    hints = _hints(config, name)
    if "|" in values:
        options = tuple(_option(word.strip(), hints) for word in values.split("|"))
        require(len(set(options)) == len(options), f"cannot choose from {values!r}, because an option repeats; drop it")
        return Choice(name, options)
    return _range(name, values, hints)


def _range(name: str, values: str, hints: tuple[Any, ...]) -> Range:
    low, *rest = values.split(":")
    form = f"cannot search {name} over {values!r}, because a range is LOW:HIGH or LOW:HIGH:log, in numbers; write it so"
    require(len(rest) in (1, 2) and (len(rest) == 1 or rest[1] == "log"), form)
    try:
        ends = float(low), float(rest[0])
    except ValueError:
        raise ConfigurationError(form) from None
    whole, log = float not in hints, len(rest) == 2
    require(
        float in hints or int in hints,
        f"cannot search {name} from {low} to {rest[0]}, because it is no number; write the choices, as in {name}=a|b",
    )
    require(
        all(map(math.isfinite, ends)) and ends[0] < ends[1],
        f"cannot search {name} from {low} to {rest[0]}, because a range goes from a smaller number to a larger; turn "
        "it round",
    )
    require(
        not log or ends[0] > 0.0,
        f"cannot search {name} from {low} on a logarithmic scale, because that has positive numbers only; begin above "
        "0, or leave :log out",
    )
    require(
        not whole or all(end.is_integer() for end in ends),
        f"cannot search {name} from {low} to {rest[0]}, because it is a whole number; give whole ends",
    )
    return Range(name, *ends, log=log, whole=whole)


def _hints(config: RunConfig, name: str) -> tuple[Any, ...]:
    """The types that a field may have; raises ConfigurationError for what is no field that could be searched."""
    part: Any = config
    *parents, last = name.split(".")
    for parent in parents:
        part = getattr(part, parent, None) if is_dataclass(part) else None
    if last == "kind" and is_dataclass(part):
        raise ConfigurationError(
            f"cannot search {name}, because another kind has other fields; choose it beforehand by --{name}, and tune "
            "each"
        )
    known = [one for one in flatten(config.to_json()) if not one.endswith("kind") and not _fixed(one)]
    if not is_dataclass(part) or not hasattr(part, last) or is_dataclass(getattr(part, last)):
        near = get_close_matches(name, known, n=1, cutoff=0.4) or [
            one for one in known if one.rpartition(".")[2] == last
        ]
        advice = f"did you mean {near[0]!r}?" if near else f"samnesia train {config.recipe} --help lists them"
        raise ConfigurationError(f"cannot search {name}, because {config.recipe} has no such field; {advice}")
    require(
        not _fixed(name),
        f"cannot search {name}, because trials are compared epoch by epoch over the same seeds, and it would change "
        f"what is compared; set it for all of them by --{name.replace('_', '-')}, or leave it",
    )
    hint = get_type_hints(type(part))[last]
    return (hint, *get_args(hint))


def _fixed(name: str) -> bool:
    return name.partition(".")[0] in _FIXED


def _option(word: str, hints: tuple[Any, ...]) -> Any:
    """The value that a word stands for, in the type of the field."""
    if word.lower() in ("none", "null") and type(None) in hints:
        return None
    try:
        value = json.loads(word.lower() if word in ("True", "False") else word)
    except ValueError:
        return word
    if isinstance(value, bool):
        return value if bool in hints else word
    if isinstance(value, int | float):
        return float(value) if float in hints else value if int in hints else word
    return word if "{" in word else _frozen(value)  # no field is an object


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
