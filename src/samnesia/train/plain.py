"""Frozen dataclasses to plain JSON values and back, strictly: what is unknown or of another type is an error."""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from samnesia.perturb.errors import ConfigurationError

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def to_plain(value: Any) -> Any:
    """Return dataclasses as dictionaries with their ``kind`` (the class's name) first, tuples as lists."""
    if dataclasses.is_dataclass(value):
        fields = {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"kind": type(value).__name__, **fields}
    if isinstance(value, tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    return value


def from_plain(kind: Any, plain: Any, *, path: str = "") -> Any:
    """Return a value of the type ``kind`` from what :func:`to_plain` made of it.

    Fields that are missing take their defaults, so that old configurations stay readable.

    Args:
        kind: dataclass, union of dataclasses, ``Literal``, ``tuple[T, ...]``, ``dict[str, T]``, ``T | None``,
            bool, int, float or str.
        plain: the JSON value.
        path: where it stands, for messages.

    Raises:
        ConfigurationError: for an unknown field or kind (naming the nearest known one), or a value of a wrong type.
    """
    origin = get_origin(kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _dataclass(kind, plain, path)
    if origin in (Union, types.UnionType):
        return _union(get_args(kind), plain, path)
    if origin is tuple and isinstance(plain, list):
        return tuple(from_plain(get_args(kind)[0], item, path=f"{path}[{i}]") for i, item in enumerate(plain))
    if origin is dict and isinstance(plain, dict):
        return {key: from_plain(get_args(kind)[1], item, path=f"{path}.{key}") for key, item in plain.items()}
    if origin is Literal and plain in get_args(kind):
        return plain
    if kind is float and type(plain) in (int, float):
        return float(plain)
    if isinstance(kind, type) and type(plain) is kind:
        return plain
    expected = " or ".join(map(repr, get_args(kind))) if origin is Literal else _WORDS.get(kind, str(kind))
    raise ConfigurationError(f"cannot use {plain!r} for {path}, because it must be {expected}; change it")


def flatten(plain: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted keys; an empty mapping stays a value."""
    flat: dict[str, Any] = {}
    for key, value in plain.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def differences(there: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """The entries in which two plain values differ, each as ``name: there -> asked``."""
    old, new = flatten(there), flatten(asked)
    absent = object()

    def shown(value: object) -> str:
        return "absent" if value is absent else json.dumps(value)

    return [
        f"{key}: {shown(old.get(key, absent))} -> {shown(new.get(key, absent))}"
        for key in dict.fromkeys((*old, *new))
        if old.get(key, absent) != new.get(key, absent)
    ]


def nearest(name: str, known: list[str]) -> str:
    """Return advice that names the known word nearest to ``name``: ``did you mean 'epochs'?``."""
    if not known:
        return "it has none"
    matches = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {matches[0]!r}?" if matches else f"known are {', '.join(known)}"


def _dataclass(kind: Any, plain: Any, path: str) -> Any:
    if not isinstance(plain, dict):
        raise ConfigurationError(f"cannot use {plain!r} for {path or 'a configuration'}, because it must be an object")
    hints = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    values = {}
    for name, value in plain.items():
        where = f"{path}.{name}" if path else name
        if name == "kind":
            if value != kind.__name__:
                raise ConfigurationError(f"cannot use kind {value!r} for {path}, because it must be {kind.__name__!r}")
        elif name not in names:
            raise ConfigurationError(f"cannot set {where}, because there is no such field; {nearest(name, names)}")
        else:
            values[name] = from_plain(hints[name], value, path=where)
    missing = [
        field.name
        for field in dataclasses.fields(kind)
        if field.name not in values
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigurationError(f"cannot build {path or kind.__name__}, because {missing[0]} is missing; add it")
    return kind(**values)


def _union(members: tuple[Any, ...], plain: Any, path: str) -> Any:
    if plain is None and type(None) in members:
        return None
    known = {
        member.__name__: member for member in members if isinstance(member, type) and dataclasses.is_dataclass(member)
    }
    others = [member for member in members if member is not type(None) and member not in known.values()]
    if others and not isinstance(plain, dict):
        return from_plain(others[0], plain, path=path)
    kind = plain.get("kind") if isinstance(plain, dict) else None
    if kind not in known:
        raise ConfigurationError(
            f"cannot use kind {kind!r} for {path}, because it is unknown; {nearest(str(kind), list(known))}"
        )
    return _dataclass(known[kind], plain, path)
