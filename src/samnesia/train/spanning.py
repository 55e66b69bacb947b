"""What a run along a subspace can be combined with."""

from __future__ import annotations

from samnesia.models.subspaces.subspace import Subspace
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.config import RunConfig
from samnesia.train.parts.methods import FunctionalSAM


def check_subspace(config: RunConfig, subspace: Subspace, *, in_parts: bool) -> None:
    """Refuse what would train something else than the subspace.

    Args:
        config: the run.
        subspace: what it trains.
        in_parts: whether each process holds a part of the model.

    Raises:
        ConfigurationError: for strategy fsdp, measures along the way, and a method that does not descend the loss.
    """
    called = subspace.shape.called
    if in_parts:
        raise ConfigurationError(
            f"cannot train {called} with strategy fsdp, because a forward mixes the whole weights of all endpoints and "
            "each process has a part of them; use --hardware.strategy ddp"
        )
    if config.record.measures:
        raise ConfigurationError(
            f"cannot record {', '.join(config.record.measures)} along {called}, because these measures perturb one net "
            "and the run has several endpoints; leave --record out, and measure its centre with samnesia measure"
        )
    if isinstance(config.method, FunctionalSAM) and subspace.shape.beta:
        raise ConfigurationError(
            f"cannot train {called} with a penalty and functional-sam, because its last pass knows the loss by what "
            "the outputs tell, and the penalty is about weights; use --subspace.beta 0, or another method"
        )
