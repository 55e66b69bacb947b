"""The apps that Flower starts: the same functions as in one process, behind real messages.

The run configuration of the server app has ``out``, the directory in which ``samnesia federate`` has written the run
down; clients are told the configuration with each message, and need only the data.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flwr.serverapp import ServerApp

from samnesia.federated.client import client_app
from samnesia.federated.run import resume

if TYPE_CHECKING:
    from flwr.app import Context
    from flwr.serverapp import Grid

client = client_app()
server = ServerApp()


@server.main()
def serve(grid: Grid, context: Context) -> None:
    """Begin the run, or go on with it."""
    resume(Path(str(context.run_config["out"])), grid=grid)
