"""Studies made up in memory: what a report looks like is decided by their numbers, and nothing is trained."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd

from samnesia.study.design import Design, Factor, Measure
from samnesia.study.engine.definition import Change, Definition
from samnesia.study.engine.run import Results
from samnesia.study.engine.store import CELLS, cell_name, write_failure, write_outcome
from samnesia.study.hypotheses import Correlation, Difference, StrongerCorrelation
from samnesia.study.work import Outcome

METHODS = ("sgd", "sam", "asam", "gsam", "obf", "random", "late sam", "m-sam")
PROBLEMS = ("digits-noisy", "digits-few", "textures", "wine, raw features".replace(",", ""), "shortcut")
ENVIRONMENT = {"python": "3.11.2", "torch": "2.15.0", "hardware": "a made-up processor", "threads": 1, "commit": None}
ACCURACY = (
    Measure("last", "last.test_accuracy", "test accuracy, last epoch", "%", True),
    Measure("best", "best.test_accuracy", "test accuracy, best validation epoch", "%", True),
)


def results_of(design, run, out, broken=(), history=None):
    """The results of a study whose cells return `run(levels, seed)`, values and curves; cells in `broken` failed."""
    rows, outcomes = [], {}
    for seed in design.seeds:
        for levels in design.cells():
            directory = f"{CELLS}/{cell_name(levels, seed)}"
            row = {**levels, "seed": seed, "status": "finished", "reason": None, "directory": directory}
            if (*levels.values(), seed) in broken:
                rows.append(row | {"status": "failed", "reason": "RuntimeError: out of memory", "config": "{}"})
                continue
            values, curves = run(levels, seed)
            outcomes[directory] = Outcome(values, curves, values.get("seconds", 1.0), ENVIRONMENT)
            rows.append(row | {"config": json.dumps({**levels, "seed": seed, "epochs": 30})} | values)
    history = history or (Change("2000-01-01T00:00:00+00:00", 0, "defined", design.seeds),)
    return Results(out, design, pd.DataFrame(rows), outcomes, history, "samnesia study made-up.py --out runs/made-up")


def problems(out, contexts=5, arms=8, seeds=10, **changes):
    """Methods on problems: the gain depends on both, and on the epoch."""
    names = [*PROBLEMS, *(f"problem {place}" for place in range(6, 20))][:contexts]
    methods = METHODS[:arms]
    primary = (
        Difference(claim="SAM is better than SGD on all problems", measure="last", treatment={"method": "sam"},
                   control={"method": "sgd"}, smallest=0.5),
        Difference(claim="At its best epoch ASAM is better than SAM on digits-noisy", measure="best",
                   treatment={"method": "asam"}, control={"method": "sam"}, where={"problem": "digits-noisy"},
                   smallest=1.0),
        Difference(claim="Random perturbation helps on few digits", measure="last", treatment={"method": "random"},
                   control={"method": "sgd"}, where={"problem": "digits-few"}, smallest=2.0),
        Difference(claim="OBF unlearns the shortcut", measure="last", treatment={"method": "obf"},
                   control={"method": "sgd"}, where={"problem": "shortcut"}, smallest=1.0),
    )  # fmt: skip
    design = Design(
        "problems", "Which perturbations help on which problems?",
        (Factor("problem", tuple(names)), Factor("method", methods)), ACCURACY, tuple(range(100, 100 + seeds)),
        tuning_seeds=tuple(range(5)), notes=("Radii were chosen on validation, on the tuning seeds.",),
        primary=tuple(one for one in primary if _known(one, names, methods)), **changes,
    )  # fmt: skip
    return results_of(design, _problem_run, out, broken={("textures", "gsam", 103)})


def claimed(out, **sizes):
    """The same with a hypothesis on every method and problem."""
    results = problems(out, **sizes)
    problem, method = (factor.levels for factor in results.design.factors)
    primary = tuple(
        Difference(claim=f"{arm.upper()} is better than SGD on {where}", measure="last", treatment={"method": arm},
                   control={"method": "sgd"}, where={"problem": where}, smallest=0.5)
        for where in problem for arm in method[1:]
    )  # fmt: skip
    return replace(results, design=replace(results.design, primary=primary))


def _known(hypothesis, problems_there, methods_there):
    sides = {hypothesis.treatment["method"], hypothesis.control["method"]}
    return sides <= set(methods_there) and hypothesis.where.get("problem", problems_there[0]) in problems_there


def _problem_run(levels, seed, epochs=30):
    place, arm = sum(map(ord, levels["problem"])) % 7, METHODS.index(levels["method"])
    shared = np.random.default_rng([seed, place])
    own = np.random.default_rng([seed, place, arm])
    level = 68.0 + 4.0 * place + shared.normal(0.0, 1.2)
    gain = (0.0, 3.0, 3.6, 2.4, 1.0, -0.5, 2.0, 4.0)[arm] * (1.6 - 0.35 * place) + own.normal(0.0, 0.7)
    share = np.arange(1, epochs + 1) / epochs
    loss = (6.0 - place) * (0.2 if arm else 1.0)
    curve = (level + gain + loss / 2) * (1 - np.exp(-9 * share)) - loss * share**2 + own.normal(0.0, 0.3, epochs)
    curve = np.clip(curve, 0.0, 99.5)
    best = int(np.argmax(curve + own.normal(0.0, 1.0, epochs)))
    passes = (1.0, 1.95, 1.95, 1.95, 1.95, 1.95, 1.1, 1.95)[arm]
    values = {
        "last.test_accuracy": curve[-1], "best.test_accuracy": curve[best], "gradient_evaluations": 400.0 * passes,
        "seconds": 3.0 * passes * float(own.uniform(0.95, 1.1)), "steps": 400.0,
    }  # fmt: skip
    return values, {"epoch": list(range(epochs)), "test_accuracy": curve.tolist()}


def correlations(out, cells=20, seeds=5):
    """Which measure ranks runs as their generalization gap does: sharpness does, weight norm does not."""
    rates = tuple(f"{rate:g}" for rate in np.geomspace(0.01, 0.3, max(cells // 4, 1)).round(3))
    design = Design(
        "sharpness", "Does sharpness rank runs as their generalization gap does?",
        (Factor("method", METHODS[:4]), Factor("learning rate", rates)),
        (
            Measure("gap", "gap", "generalization gap", "points", False),
            Measure("sharpness", "sharpness", "worst-case sharpness"),
            Measure("flatness", "flatness", "average flatness"),
            Measure("norm", "weight_norm", "weight norm"),
        ),
        tuple(range(10, 10 + seeds)),
        primary=(
            Correlation(claim="Sharper minima have larger gaps", x="sharpness", y="gap", smallest=0.3),
            Correlation(claim="At equal weight norm too", x="sharpness", y="gap", given="norm", smallest=0.3),
            StrongerCorrelation(claim="Sharpness ranks gaps better than weight norm does", x="sharpness", rival="norm",
                                y="gap", smallest=0.1),
        ),
        covariates=("norm", "flatness"),
    )  # fmt: skip
    return results_of(design, _correlated_run, out)


def _correlated_run(levels, seed):
    arm, rate = METHODS.index(levels["method"]), float(levels["learning rate"])
    cell = np.random.default_rng([arm, round(1000 * rate)])
    own = np.random.default_rng([seed, arm, round(1000 * rate)])
    hidden = cell.normal(0.0, 1.0) - 0.6 * arm
    values = {
        "gap": 8.0 + 2.0 * hidden + own.normal(0.0, 0.8),
        "sharpness": float(np.exp(0.8 * hidden + own.normal(0.0, 0.5))),
        "flatness": 3.0 - hidden + own.normal(0.0, 1.0),
        "weight_norm": 14.0 + cell.normal(0.0, 2.0) + own.normal(0.0, 0.3),
        "seconds": 4.0 + float(own.uniform()),
    }  # fmt: skip
    return values, {}


# Test accuracy at its best and at the end, and the flipped labels fitted at the end, by method.
COURSES = {
    "sgd": (88.0, 79.0, 62.0),
    "sam": (95.0, 93.0, 9.0),
    "asam": (95.5, 94.5, 6.0),
    "gsam": (94.0, 92.0, 12.0),
    "obf": (91.0, 84.0, 40.0),
}


def comparison(out, methods=tuple(COURSES), seeds=5, run=None, **changes):
    """Methods on one problem, without hypotheses: a course as on digits with wrong labels."""
    design = Design(
        "digits-noisy", "Which methods differ from SGD on digits-noisy?", (Factor("method", methods),), ACCURACY,
        tuple(range(seeds)),
    )  # fmt: skip
    return results_of(replace(design, **changes), run or forgetting_run, out)


def forgetting_run(levels, seed, epochs=20):
    """A run that learns, and then fits what is wrong."""
    method = levels["method"]
    best, last, fitted = COURSES[method]
    own = np.random.default_rng([seed, list(COURSES).index(method)])
    share = np.arange(1, epochs + 1) / epochs
    shift = np.random.default_rng(seed).normal(0.0, 1.5)  # what the methods of one seed share
    noise = own.normal(0.0, 0.5, epochs)
    accuracy = np.clip(best * (1 - np.exp(-8 * share)) - (best - last) * share**2 + shift + noise, 0.0, 100.0)
    peak = int(np.argmax(accuracy + own.normal(0.0, 0.5, epochs)))
    passes = 1 if method == "sgd" else 2
    curves = {
        "epoch": list(range(epochs)), "test_accuracy": accuracy.tolist(),
        "flipped_fitted": np.clip(fitted * share**2 + np.abs(noise), 0.0, 100.0).tolist(),
    }  # fmt: skip
    values = {
        f"{point}.{name}": curve[place]
        for name, curve in curves.items()
        for point, place in (("last", -1), ("best", peak))
    }
    costs = {"gradient_evaluations": 200.0 * passes, "seconds": 2.0 * passes + abs(shift), "steps": 200.0}
    return values | costs, curves


def on_disk(results):
    """Leave the results in their directory as the engine does, with whatever `result.json` the cells had."""
    design, out = results.design, results.out
    out.mkdir(parents=True, exist_ok=True)
    Definition(design, results.command, {}, results.history).write(out)
    for row in results.table.to_dict("records"):
        directory = out / row["directory"]
        settings = json.loads(row["config"])
        if row["status"] == "failed":
            write_failure(directory, settings, row["reason"], None)
        elif row["status"] == "finished":
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "result.json").write_text("{}")
            write_outcome(directory, settings, results.outcomes[row["directory"]])
    return out


def changed(results, change):
    """The same results with `change(row)` made of every row of the table: what it returns is updated."""
    rows = [row | (change(row) or {}) for row in results.table.to_dict("records")]
    return replace(results, table=pd.DataFrame(rows))
