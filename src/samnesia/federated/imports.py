"""Flower, imported where it is used."""

from __future__ import annotations

import warnings

from samnesia.extras import require


def import_flower() -> None:
    """Import Flower; that packages under it use what others of them deprecate is no news to a user.

    Raises:
        MissingExtraError: if it is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for module in ("flwr.app", "flwr.clientapp", "flwr.serverapp.strategy"):
            require(module, extra="federated")
