"""The processes that examine together: one reads and writes, all compute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from samnesia.train.engine import Engine


class Company:
    """One process alone."""

    leads = True
    """Whether this one writes."""

    def share(self, item: Any) -> Any:
        """The item of the process that leads."""
        return item

    def part(self) -> None:
        """Leave the others, all being done."""


@final
class Several(Company):
    """The processes that torchrun has started; they meet here.

    Args:
        engine: of the trainer, which knows devices and processes; not launched yet.
    """

    def __init__(self, engine: Engine) -> None:
        engine.launch()
        self._engine, self.leads = engine, engine.leads

    @property
    def device(self) -> str:
        """This process's own."""
        return str(self._engine.device)

    def share(self, item: Any) -> Any:
        """The item of the process that leads."""
        return self._engine.share(item)

    def part(self) -> None:
        """End the connection."""
        import torch.distributed as dist

        self._engine.wait()
        dist.destroy_process_group()
