"""By how much farther OBF goes than loss ascent for an equal rise of the loss: the pilot of the study ascent-direction.

    python benchmarks/ascent_rises.py

On each problem SAM is run with the constant radius of its recipe, and OBF with multiples of it, on a tuning seed, as
long as in the study's quick form. Between the multiples the mean rise of the loss over the run is interpolated on
logarithmic scales, to where it is first that of loss ascent; beyond them, the nearest multiple is taken. Accuracies are
not looked at. Writes ``benchmarks/results/ascent_rises.json``; the factors, in two figures, stand in
``samnesia/study/named/ascent_direction.py``.
"""

from __future__ import annotations

import itertools
import math
import tempfile
from pathlib import Path

from samnesia.study.named.ascent_direction import EPOCHS, FARTHER, LOSS, NORM, PROBLEMS, configuration, perturbed
from samnesia.study.training import Training
from samnesia.train.config import RunConfig
from samnesia.train.log import environment, write_json

RESULTS = Path(__file__).parent / "results" / "ascent_rises.json"
SEED = 1000
MULTIPLES = (1.0, 2.0, 4.0, 8.0)


def rise(config: RunConfig) -> float:
    """Mean rise of the loss over a run."""
    with tempfile.TemporaryDirectory() as directory:
        work = Training(config)
        work.run(Path(directory) / "run")
        found = work.read(Path(directory) / "run").values["recorded.all.own.exposed.loss_rise"]
    return math.nan if found is None else found


def equal(target: float, rises: list[float]) -> float:
    """The multiple at which the rise is first the target."""
    points = [(math.log(x), math.log(y)) for x, y in zip(MULTIPLES, rises, strict=True) if y > 0.0]
    for (x, y), (further, higher) in itertools.pairwise(points):
        if y <= math.log(target) <= higher:
            return math.exp(x + (further - x) * (math.log(target) - y) / (higher - y))
    return math.exp(min(points, key=lambda point: abs(point[1] - math.log(target)))[0])


def main() -> None:
    results = {}
    for problem in PROBLEMS:
        tried = [(LOSS, 1.0), *((NORM, multiple) for multiple in MULTIPLES)]
        methods = [perturbed(direction, problem, "sam", "constant", farther) for direction, farther in tried]
        target, *rises = [rise(configuration(problem, method, SEED, EPOCHS[problem])) for method in methods]
        farther = float(f"{equal(target, rises):.2g}")
        agrees = "as in the study" if FARTHER[problem] == farther else "NOT as in the study"
        print(problem, f"{target:.3g}", [f"{one:.3g}" for one in rises], farther, agrees, flush=True)
        results[problem] = {"loss ascent": target, "obf": dict(zip(map(str, MULTIPLES), rises, strict=True)),
                            "farther": farther}  # fmt: skip
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    write_json(RESULTS, {"seed": SEED, "epochs": EPOCHS, "problems": results, "environment": environment()})


if __name__ == "__main__":
    main()
