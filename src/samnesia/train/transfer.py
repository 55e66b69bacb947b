"""From the weights of a run onto other data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from samnesia.perturb.errors import ConfigurationError
from samnesia.train.parts.net import Net

if TYPE_CHECKING:
    from samnesia.train.config import RunConfig


def starting_from(config: RunConfig, path: Path | str) -> RunConfig:
    """Return ``config`` with the model of another run, its weights, and a new head.

    All else is that of ``config``: data, loss, optimizer, method. The head is new also where there are as many classes,
    as other data have other ones; ``model.new_head`` False keeps it.

    Args:
        config: what is to be trained.
        path: the directory of a run (its last checkpoint), or one of its checkpoints, such as
            ``RUN/checkpoints/best``.

    Raises:
        ConfigurationError: if there is no such run, or its model is a function of a user's own.
    """
    from samnesia.train.loaded import find

    run, _ = find(path)
    model = run.config.model
    if not isinstance(model, Net):
        raise ConfigurationError(
            f"cannot start from the model of {path}, because that is a function of its user's own, which nobody else "
            "can give a new head; load the weights in a function of your own by "
            "samnesia.models.weights.load_weights(net, path, new_head=True)"
        )
    return replace(config, model=replace(model.at_random(), weights=str(path), new_head=True))
