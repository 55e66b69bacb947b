"""Runs of a user's own file: a function that returns the configuration, named as ``FILE.py:function``."""

from __future__ import annotations

from dataclasses import replace

from samnesia.perturb.errors import ConfigurationError
from samnesia.sources import Source
from samnesia.train.config import RunConfig


def find_recipe(text: str) -> RunConfig:
    """Return the configuration that ``FILE.py:function`` makes, filed under ``file:function``.

    Raises:
        ConfigurationError: when there is no such file or function, it raises, or returns no :class:`RunConfig`.
    """
    source = Source.parse(text, what="a run", example="my_run.py:sam")
    config = source.call(what="make a run")
    if not isinstance(config, RunConfig):
        raise ConfigurationError(
            f"cannot train what {source.name} returned, because that requires a samnesia.train.config.RunConfig, and "
            f"it is a {type(config).__name__}; return a RunConfig"
        )
    return replace(config, recipe=source.name)
