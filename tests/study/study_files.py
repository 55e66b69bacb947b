"""Cells as the trainer would leave them, with curves that are made up: what is tested here stands on files alone."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np

from samnesia.train.config import RunConfig
from samnesia.train.log import SCHEMA
from samnesia.train.parts.methods import METHODS

# Test accuracy at its best and at the end, and the flipped labels fitted at the end, by method.
COURSES = {
    "sgd": (88.0, 79.0, 62.0),
    "sam": (95.0, 93.0, 9.0),
    "asam": (95.5, 94.5, 6.0),
    "gsam": (94.0, 92.0, 12.0),
    "obf": (91.0, 84.0, 40.0),
}
ENVIRONMENT = {
    "python": "3.11.2", "torch": "2.15.0", "numpy": "2.4.6", "samnesia": "0.1.0", "hardware": "a made-up processor",
    "threads": 1, "commit": None, "started": "2000-01-01T00:00:00Z",
}  # fmt: skip


def make_config(problem, method, seed, epochs=20):
    return RunConfig(f"{problem}-{method}", method=METHODS[method](), seed=seed, epochs=epochs)


def make_result(config, method):
    known = method if method in COURSES else "obf"
    generator = np.random.default_rng([config.seed, list(COURSES).index(known)])
    best, last, fitted = COURSES[known]
    epochs = config.epochs
    share = np.arange(1, epochs + 1) / epochs
    shift = np.random.default_rng(config.seed).normal(0.0, 1.5)  # what the methods of one seed share
    noise = generator.normal(0.0, 0.5, epochs)
    accuracy = np.clip(best * (1 - np.exp(-8 * share)) - (best - last) * share**2 + shift + noise, 0.0, 100.0)
    curves = {
        "epoch": list(range(epochs)),
        "test_accuracy": accuracy.tolist(),
        "validation_accuracy": (0.6 * accuracy + generator.normal(0.0, 0.5, epochs)).tolist(),
        "learning_rate": [0.05] * epochs,
        "flipped_fitted": np.clip(fitted * share**2 + np.abs(noise), 0.0, 100.0).tolist(),
    }
    peak = int(np.argmax(curves["validation_accuracy"]))
    passes = 1 if method == "sgd" else 2
    return {
        "schema": SCHEMA, "recipe": config.recipe, "method": method, "seed": config.seed, "config": config.to_json(),
        "environment": ENVIRONMENT, "parameters": 22650, "curves": curves,
        "last": {name: values[-1] for name, values in curves.items()},
        "best": {name: values[peak] for name, values in curves.items()},
        "steps": 10 * epochs, "skipped_steps": 0, "gradient_evaluations": 10 * epochs * passes,
        "seconds": 2.0 * passes + math.fabs(shift), "report": {}, "weight_norm": 14.0, "collapsed": None,
    }  # fmt: skip


def write_run(directory, config, method):
    """What the trainer leaves of a run."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config.to_json()))
    (directory / "result.json").write_text(json.dumps(make_result(config, method)))


def make_study(out, problem="digits-noisy", methods=tuple(COURSES), seeds=(0, 1, 2, 3, 4), **changes):
    for method in methods:
        for seed in seeds:
            config = dataclasses.replace(make_config(problem, method, seed), **changes)
            write_run(out / "cells" / f"{method}-seed{seed}", config, method)
    return out
