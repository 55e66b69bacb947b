"""What the ranks run: the trainer itself."""

from pathlib import Path

from samnesia.train import loop
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
    return {"curves": result.curves, "weights": weights, "norm": result.weight_norm, "report": result.report}


def several(configs, outs=None):
    """`trained` for each configuration."""
    return [trained(config, out) for config, out in zip(configs, outs or [None] * len(configs), strict=True)]


def begin(config, out):
    """Train into a directory."""
    loop.train(config, Path(out))


def go_on(out):
    """Resume from a directory."""
    loop.resume(Path(out))
