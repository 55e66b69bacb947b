"""The words after ``samnesia train``: where the configuration comes from, and which kinds its parts are of."""

from __future__ import annotations

import dataclasses
import json
import types
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar, Union, get_args, get_origin, get_type_hints

from samnesia.perturb.errors import ConfigurationError
from samnesia.train.config import METHODS, Images, Recording, RunConfig
from samnesia.train.log import CONFIG
from samnesia.train.parts.names import advice_on_method
from samnesia.train.plain import nearest
from samnesia.train.recipes import find

ALIASES = {"--log-wandb": "--logging.wandb"}


class Configuration(Protocol):
    """What options are about: a dataclass of parts that goes through JSON."""

    @property
    def recipe(self) -> str:
        """The recipe that it started from."""

    def to_json(self) -> dict[str, Any]:
        """As plain values."""

    @classmethod
    def from_json(cls, plain: dict[str, Any], /) -> Self:
        """Of plain values."""


C = TypeVar("C", bound=Configuration)


def configuration(words: list[str], command: str = "train") -> tuple[RunConfig, str, list[str]]:
    """Return the configuration that the words after a command start from, how they name it, and the words left.

    ``--start-from RUN`` puts the model and the weights of another run into it, with a new head.

    Raises:
        ConfigurationError: when they name none, or two, or it cannot be read.
    """
    words = with_method(_recorded([_alias(word) for word in words]))
    start, words = take(words, "--start-from")
    path, rest = take(words, "--config")
    if path is not None:
        if rest and not rest[0].startswith("-"):
            raise ConfigurationError(
                f"cannot {command} {rest[0]} and what is written in {path}, because a run has one configuration; name "
                "one"
            )
        config, source = _read(Path(path)), f"--config {path}"
    elif not rest or rest[0].startswith("-"):
        raise ConfigurationError(
            f"cannot {command} before the recipe is known, because it decides which options there are; name it first: "
            f"samnesia {command} RECIPE --out DIR"
        )
    else:
        config, source, rest = find(rest[0]), rest[0], rest[1:]
    if start is not None:
        from samnesia.train.transfer import starting_from

        config = starting_from(config, start)
    config, rest = exchange(config, rest)
    return config, source, rest


def named(source: str) -> RunConfig:
    """Return the configuration that :func:`configuration` said is named so, without the options that follow.

    Raises:
        ConfigurationError: when it cannot be found or read.
    """
    option, _, path = source.partition(" ")
    return _read(Path(path)) if option == "--config" else find(source)


def take(words: list[str], option: str) -> tuple[str | None, list[str]]:
    """Return the value of an option, or None, and the other words.

    Raises:
        ConfigurationError: when it is given twice, or without a value.
    """
    values, rest, left = [], [], iter(words)
    for word in left:
        name, equals, value = word.partition("=")
        if name != option:
            rest.append(word)
            continue
        found = value if equals else next(left, "")
        values.append("" if found.startswith("--") else found)
    if len(values) > 1:
        raise ConfigurationError(f"cannot set {option} twice, because one value would be lost; give it once")
    if values == [""]:
        raise ConfigurationError(f"cannot set {option}, because its value is missing; write it behind the option")
    return (values[0] if values else None), rest


def chosen_data(words: list[str]) -> tuple[Any, list[str]]:
    """Return the data that ``--data`` and ``--data.…`` name, with their kinds; None where there are none.

    ``--data DIR`` is a directory of images, ``--data.kind Digits`` (or any other kind) the data of a configuration.
    Options of the kind are left among the words.

    Raises:
        ConfigurationError: for a directory that is not there, or a kind that is none.
    """
    directory, words = take(words, "--data")
    if directory is None and not any(word.startswith("--data.") for word in words):
        return None, words
    from samnesia.evaluate.entrants import image_folder

    config = RunConfig("evaluate", data=Images() if directory is None else image_folder(Path(directory)))
    ours = [word for word in words if word.startswith("--data.") and word.partition("=")[0].endswith(".kind")]
    config, words = exchange(config, words) if ours else (config, words)
    return config.data, words


def kinds(hint: Any) -> tuple[str, ...]:
    """Return the names of the kinds that a part of this type can be of; none where there is no choice."""
    if get_origin(hint) not in (Union, types.UnionType):
        return ()
    members = get_args(hint)
    parts = [kind.__name__ for kind in members if isinstance(kind, type) and dataclasses.is_dataclass(kind)]
    return (*parts, *("None" for kind in members if kind is type(None))) if parts else ()


def _alias(word: str) -> str:
    name, equals, value = word.partition("=")
    return ALIASES.get(name, name) + equals + value


def _recorded(words: list[str]) -> list[str]:
    """``--record NAME ...`` as the kinds of the parts that it stands for.

    Raises:
        ConfigurationError: for a name of no measure, or none.
    """
    if "--record" not in words:
        return words
    if words.count("--record") > 1:
        raise ConfigurationError("cannot set --record twice, because one would be lost; name all measures behind one")
    start = words.index("--record")
    stop = next((i for i in range(start + 1, len(words)) if words[i].startswith("-")), len(words))
    hints = get_type_hints(Recording)
    known = {name: chosen[0] for name, hint in hints.items() if (chosen := kinds(hint))}
    expanded: list[str] = []
    for name in words[start + 1 : stop]:
        if name not in known:
            raise ConfigurationError(
                f"cannot record {name!r}, because there is no such measure; {nearest(name, [*known])}"
            )
        expanded += [f"--record.{name}.kind", known[name]]
    if not expanded:
        raise ConfigurationError(f"cannot record nothing; name a measure behind --record: {', '.join(known)}")
    return [*words[:start], *expanded, *words[stop:]]


def with_method(words: list[str]) -> list[str]:
    """``--method NAME`` as the kind of the method that results call so.

    Raises:
        ConfigurationError: for a name of no method.
    """
    name, rest = take(words, "--method")
    if name is None:
        return words
    if name not in METHODS:
        raise ConfigurationError(f"cannot train by {name!r}, because there is no such method; {advice_on_method(name)}")
    return [*rest, "--method.kind", METHODS[name].__name__]


def _read(path: Path) -> RunConfig:
    path = path / CONFIG if path.is_dir() else path
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigurationError(
            f"cannot read {path}, because there is no such file; name the config.json of a run"
        ) from None
    except ValueError as error:
        raise ConfigurationError(f"cannot read {path}, because it is no valid JSON ({error})") from None
    return RunConfig.from_json(plain)


def exchange(config: C, words: list[str]) -> tuple[C, list[str]]:
    """Give parts the kinds that ``--PART.kind NAME`` asks for, each with its defaults, outer parts first.

    Raises:
        ConfigurationError: for a part that comes in no kinds, or an unknown kind.
    """
    names = {word.partition("=")[0] for word in words if word.startswith("--")}
    options = sorted((name for name in names if name.endswith(".kind")), key=lambda name: (name.count("."), name))
    for option in options:
        path = option[2:].replace("-", "_").split(".")[:-1]
        kind, words = take(words, option)
        config = _with_kind(config, path, str(kind), words)
    return config, words


def _with_kind(config: C, path: list[str], kind: str, words: list[str]) -> C:
    plain = config.to_json()
    parent: Any = plain
    for name in path[:-1]:
        parent = parent.get(name) if isinstance(parent, dict) else None
    if not isinstance(parent, dict) or path[-1] not in parent or not _choices(config, path):
        raise ConfigurationError(
            f"cannot choose the kind of {'.'.join(path)}, because {config.recipe} has no such part in kinds; "
            f"see samnesia train {config.recipe} --help"
        )
    parent[path[-1]] = None if kind == "None" else {"kind": kind, **_texts(path, words)}
    return config.from_json(plain)


def _choices(config: Configuration, path: list[str]) -> tuple[str, ...]:
    part: Any = config
    for name in path[:-1]:
        part = getattr(part, name)
    return kinds(get_type_hints(type(part))[path[-1]])


def _texts(path: list[str], words: list[str]) -> dict[str, str]:
    """The texts that a part cannot be made without, from the options of it that follow."""
    required = ("name", "root", "train", "function")
    given = {name: take(words, f"--{'.'.join(path)}.{name}".replace("_", "-"))[0] for name in required}
    return {name: value for name, value in given.items() if value is not None}
