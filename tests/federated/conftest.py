"""Flower is imported once, before warnings are errors: packages under it use what others of them deprecate."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import flwr.app  # noqa: F401
    import flwr.clientapp  # noqa: F401
    import flwr.serverapp.strategy  # noqa: F401
