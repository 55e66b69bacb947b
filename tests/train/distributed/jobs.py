"""What the ranks run: the trainer itself."""

import os

from samnesia.data.loader import Plan
from samnesia.perturb.errors import SamnesiaError
from samnesia.train import loop
from samnesia.train.engine import Engine
from samnesia.train.run import Run


class Kept:
    """Keeps the last run that was built, to look into what a result does not tell."""

    def __init__(self):
        self.run = None
        self._build = Run.__init__

    def __enter__(self):
        kept = self

        def build(run, *arguments, **named):
            kept._build(run, *arguments, **named)
            kept.run = run

        Run.__init__ = build
        return self

    def __exit__(self, *_):
        Run.__init__ = self._build


def trained(config, out=None):
    """The figures and the final weights of a run, as lists; every rank calls it."""
    with Kept() as kept:
        result = loop.train(config, out)
    run = kept.run
    weights = {name: value.double().tolist() for name, value in run.engine.model_state(run.module).items()}
    figures = {"curves": result.curves, "norm": result.weight_norm, "skipped": result.skipped_steps}
    return {"weights": weights, **figures}


def several(configs, outs=None):
    """`trained` for each configuration."""
    return [trained(config, out) for config, out in zip(configs, outs or [None] * len(configs), strict=True)]


def train_or_go_on(configs, outs):
    """Train each configuration into its directory, from where it stands; finished ones stay as they are."""
    for config, out in zip(configs, outs, strict=True):
        if (out / "config.json").exists():
            loop.resume(out)
        else:
            loop.train(config, out)


def stopped(config, out, after):
    """Train or go on, and stop as SIGTERM on the last rank alone would, in that step; say what was raised."""
    calls = []

    def stop():
        calls.append(None)
        return int(os.environ["RANK"]) == int(os.environ["WORLD_SIZE"]) - 1 and len(calls) > after

    try:
        loop.train(config, out, stop=stop)
    except SamnesiaError as error:
        return f"{type(error).__name__}: {error}"


def stopped_each(configs, outs, *, after):
    """`stopped` for each configuration."""
    return [stopped(config, out, after) for config, out in zip(configs, outs, strict=True)]


def refused(config, out):
    """What training, or going on, is refused with."""
    try:
        train_or_go_on([config], [out])
    except SamnesiaError as error:
        return f"{type(error).__name__}: {error}"


def plan_of(config, *, ranks):
    """How a run on so many ranks is cut."""
    samples = len(config.data.load(config.seed).train)
    return Plan(
        samples, config.batch_size, config.micro_batch, config.device_batch, config.drop_last, config.seed, ranks
    )


def statistics_of_ranks(config, out):
    """BatchNorm's means on each rank, as training left them before they were evaluated."""
    evaluate, seen = Engine.agree_on_buffers, []

    def look(engine, module):
        seen.append(module.norm.running_mean.tolist())
        evaluate(engine, module)

    Engine.agree_on_buffers = look
    try:
        loop.train(config, out)
    finally:
        Engine.agree_on_buffers = evaluate
    return {"before": seen[0]}
