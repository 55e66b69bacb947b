"""Optional dependencies: imported where they are used, and named with the command that installs them when missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from samnesia.perturb.errors import SamnesiaError


class MissingExtraError(SamnesiaError, ImportError):
    """A package of an optional extra is not installed."""


def require(module: str, *, extra: str) -> ModuleType:
    """Import and return ``module``, which belongs to the extra ``samnesia[extra]``.

    Raises:
        MissingExtraError: if the package is not installed, with the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise  # the package is there, and something that it needs is not: its own message tells more
        raise MissingExtraError(
            f"cannot continue without {package}, because this part of samnesia is built on it; "
            f"run: pip install samnesia[{extra}]"
        ) from None
