"""Runs of milliseconds to be measured, and parts that cost next to nothing."""

from contextlib import nullcontext
from unittest.mock import patch

from samnesia.examine import run
from samnesia.examine.bench import Look
from samnesia.examine.chosen import choose
from samnesia.examine.parts import Calibration, Curvature, Forgetting, Landscape, Sharpness
from samnesia.examine.watch import Watch
from samnesia.train.config import SAM, Checkpoints, Unperturbed
from tests.train.small import config, trained

KEPT = Checkpoints(last=1, best=False, keep_epochs=(0, 1, 2))
LOOK = Look(samples=40, batch_size=16, device="cpu")
PARTS = (
    Calibration(bins=5),
    Curvature(k=2, products=30, steps=6, vectors=2, trace_vectors=4),
    Sharpness(rho=(0.05, 0.2), adaptive_rho=(0.5,), linf_rho=(0.01,), steps=3, directions=2),
    Landscape(points=5, plane_points=3),
    Forgetting(perturbations=2),
)


class Told(Watch):
    """Remembers what it was told."""

    def __init__(self):
        self.names, self.tasks, self.depth, self.stopped = [], 0, 0, False

    def start(self, tasks):
        self.tasks = tasks

    def measure(self, name):
        self.names.append(name)

    def measured(self, seconds):
        assert seconds is None or seconds >= 0.0

    def refused(self, how):
        pass

    def stop(self):
        self.stopped = True

    def begin(self, name, passes):
        assert passes > 0
        self.depth += 1

    def advance(self, passes):
        assert passes >= 0

    def end(self):
        self.depth -= 1


def two_runs(directory):
    """SGD and SAM for three epochs each, with their checkpoints from the first weights on."""
    paths = []
    for name, method in (("sgd", Unperturbed()), ("sam", SAM(rho=0.2))):
        paths.append(directory / name)
        trained(config(method=method, checkpoints=KEPT), paths[-1])
    return paths


def examined(paths, out, parts=PARTS, look=LOOK, watch=None, draw=False, **options):
    """Measure them; figures take longer than all else."""
    with nullcontext() if draw else patch.object(run, "_drawn", lambda *_: {}):
        return run.examine(choose(paths, **options), parts, look, out, watch or Told())
