"""A first radius for a recipe: some epochs of plain training, then the probe of :mod:`samnesia.measure.radius`."""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from samnesia.perturb.errors import ConfigurationError, RunStopped, TrainingCollapsedWarning
from samnesia.study.tune.space import RHO, typed
from samnesia.train.config import RunConfig
from samnesia.train.parts.checks import require
from samnesia.train.parts.methods import Radial, Unperturbed
from samnesia.train.parts.saving import Checkpoints, Evaluation, Logging
from samnesia.train.parts.when import Perturbed

if TYPE_CHECKING:
    from samnesia.data.problem import Batch
    from samnesia.measure.radius import RadiusSuggestion
    from samnesia.perturb.flow.passes import PerturbedGradient
    from samnesia.train.run import Run

_WARM_UP = 1 / 20


def warm_up_epochs(config: RunConfig) -> int:
    """Epochs of plain training before the probe: until the method perturbs, a twentieth of the run at least."""
    return min(max(math.ceil(config.when.start_epoch), math.ceil(_WARM_UP * config.epochs)), config.epochs)


def suggest_for(
    config: RunConfig,
    *,
    seed: int,
    batches: int = 8,
    warm_up: int | None = None,
    radii: Sequence[float] | None = None,
) -> RadiusSuggestion:
    """Train a recipe's model plainly for a few epochs, and probe for a first radius of its method.

    The test and validation splits are not looked at; nothing is left on disk.

    Args:
        config: the recipe.
        seed: of the run.
        batches: how many batches are probed, of as many samples as share a perturbation.
        warm_up: epochs before the probe; None is :func:`warm_up_epochs`.
        radii: where to measure, rising; None finds a dozen around the aim.

    Raises:
        ConfigurationError: for a method whose perturbation does not follow the gradient of the loss.
    """
    with warmed_up(replace(config, seed=seed), warm_up) as run:
        return probe(config, run, batches=batches, radii=radii)


@contextmanager
def warmed_up(config: RunConfig, warm_up: int | None = None) -> Iterator[Run]:
    """A recipe's run after some epochs of plain training; None is :func:`warm_up_epochs`.

    Raises:
        ConfigurationError: for a method that cannot be probed, before anything is trained.
    """
    from samnesia.train import randomness
    from samnesia.train.checkpoint import Store
    from samnesia.train.engine import Engine
    from samnesia.train.run import Run

    plain = replace(
        config,
        method=Unperturbed(),
        when=Perturbed(),
        average=None,
        evaluation=Evaluation(train=False, test=False, every_epochs=config.epochs),
        checkpoints=Checkpoints(every_epochs=None, best=False),
        logging=Logging(every_steps=0),
    )
    with tempfile.TemporaryDirectory() as directory, randomness.isolated(config.seed):
        problem = plain.data.load(config.seed)
        run = Run(plain, Engine(plain.hardware), problem)
        _method(config, run)
        _train(plain, Path(directory) / "run", steps=run.plan.steps * _epochs(config, warm_up))
        newest = Store(Path(directory) / "run").newest()
        if newest is not None:
            run.restore(newest)
        run.model.train()
        yield run


def probe(config: RunConfig, run: Run, *, batches: int = 8, radii: Sequence[float] | None = None) -> RadiusSuggestion:
    """Probe a run as it stands for the method of a configuration."""
    from samnesia.measure.radius import suggest_rho

    method = _method(config, run)
    return suggest_rho(
        run.model, config.loss.criterion(), _batches(run, config, batches), batches=batches,
        ball=method.ball, radii=radii, ascent=method.ascent,  # type: ignore[arg-type]  # checked by _method
    )  # fmt: skip


def range_around(found: RadiusSuggestion, config: RunConfig) -> str:
    """The range to search around a suggestion, as on the command line; the recipe's own radius lies inside."""
    method = config.method
    assert isinstance(method, Radial)  # or there was no suggestion
    low = max(float(f"{found.low:.3g}"), method.rho_min or 0.0)
    high = float(f"{found.high:.3g}")
    log = ":log" if method.rho > 0.0 else ""
    return f"{RHO}={typed(min(low, method.rho))}:{typed(max(high, method.rho))}{log}"


def _epochs(config: RunConfig, warm_up: int | None) -> int:
    return warm_up_epochs(config) if warm_up is None else min(warm_up, config.epochs)


def _method(config: RunConfig, run: Run) -> PerturbedGradient:
    """The recipe's method, for its geometry; raises ConfigurationError where the probe would follow another way."""
    require(
        isinstance(config.method, Radial),
        f"cannot suggest a radius for {config.recipe}, because its method has none; name a recipe that perturbs",
    )
    method = config.method.build(
        replace(config.training(run.model, run.optimizer, run.problem, run.plan.steps), lr_min=0.0)
    )
    if method.objective is not None or not hasattr(method.ascent, "direction"):
        raise ConfigurationError(
            f"cannot suggest a radius for {config.recipe}, because the probe follows the gradient of the loss, and its "
            "perturbation does not; search its radius over a wide range"
        )
    return method


def _train(config: RunConfig, out: Path, *, steps: int) -> None:
    from samnesia.train.loop import train

    if not steps:
        return
    left = iter(range(steps - 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingCollapsedWarning)
        try:
            train(config, out, stop=lambda: next(left, None) is None)
        except RunStopped:
            pass


def _batches(run: Run, config: RunConfig, count: int) -> list[Batch]:
    """Training samples of the epoch that the run has come to, as many at a time as share a perturbation."""
    from samnesia.data.loader import TrainingView

    size, epoch = config.micro_batch or config.batch_size, run.position.epoch
    view, order = TrainingView(run.problem, None), run.plan.order(epoch)
    starts = range(0, max(len(order) - size + 1, 1), size)[:count]
    return [run.engine.move(view.__getitems__([(epoch, int(i)) for i in order[k : k + size]])) for k in starts]
