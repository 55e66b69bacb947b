"""The problems of docs/problems.md by plain SGD alone: its settings, how far it gets, and what simpler means reach.

    python benchmarks/problems.py settings [PROBLEM ...] [--workers 2]
    python benchmarks/problems.py figures [PROBLEM ...] [--seeds 10] [--workers 2]
    python benchmarks/problems.py simple [--seeds 10]

``settings`` trains PROBLEM-sgd with each learning rate and weight decay of a grid on the tuning seeds. The score is
that of benchmarks/choose_radii.py, validation accuracy averaged over the last five epochs; the best mean over the seeds
is chosen, of equals the first. No test image is looked at, and no method that perturbs is run.

``figures`` trains PROBLEM-sgd as it is on seeds 0, 1, ...; ``simple`` fits logistic regressions to the same splits: on
hand-made features of the patches of photographs (local binary patterns, histogram, spectrum, orientations; all of the
standardised patch that the CNN sees), on the same of three textures alone, on pixels, and on the features of the wines,
standardised.

Each writes its part of ``benchmarks/results/problems.json`` as it goes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import warnings
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from choose_radii import AVERAGED_EPOCHS, TUNING_SEEDS, score
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy import stats

from samnesia.data.problem import TensorSplit
from samnesia.train.config import Photographs, RunConfig
from samnesia.train.log import RunResult, environment, write_json
from samnesia.train.loop import train
from samnesia.train.recipes import find
from samnesia.train.recipes.problems import BENCHES

RESULTS = Path(__file__).parent / "results" / "problems.json"
USUAL_RATES = (0.01, 0.03, 0.1, 0.3)
RATES = {"wine": (0.001, 0.003, 0.01, 0.03)}
DECAYS = (5e-4, 2e-3, 1e-2)


def read() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return found


def note(problem: str, part: str, content: Any) -> None:
    results = read()
    results.setdefault(problem, {})[part] = content
    write_json(RESULTS, results)


def summary(values: list[float]) -> dict[str, Any]:
    """Mean with its 95 % t-interval over seeds, standard deviation, and the values."""
    half = statistics.stdev(values) / len(values) ** 0.5 * float(stats.t.ppf(0.975, len(values) - 1))
    mean = statistics.fmean(values)
    return {
        "n": len(values),
        "mean": round(mean, 2),
        "low": round(mean - half, 2),
        "high": round(mean + half, 2),
        "sd": round(statistics.stdev(values), 2),
        "per_seed": [round(value, 2) for value in values],
    }


def settings(problem: str, workers: int) -> None:
    base = find(f"{problem}-sgd")
    grid = [
        replace(base.optimizer, lr=lr, weight_decay=decay) for lr in RATES.get(problem, USUAL_RATES) for decay in DECAYS
    ]
    configs = [replace(base, optimizer=optimizer, seed=seed) for optimizer in grid for seed in TUNING_SEEDS]
    scores = iter(Parallel(n_jobs=workers)(delayed(score)(config) for config in configs))
    rows = []
    for optimizer in grid:
        per_seed = [round(next(scores), 2) for _ in TUNING_SEEDS]
        mean = round(statistics.fmean(per_seed), 2)
        rows.append(
            {"lr": optimizer.lr, "weight_decay": optimizer.weight_decay, "validation": mean, "per_seed": per_seed}
        )
        print(problem, rows[-1], flush=True)
    best = max(rows, key=lambda row: row["validation"])
    chosen = {key: best[key] for key in ("lr", "weight_decay")}
    same = chosen.items() <= asdict(base.optimizer).items()
    print(problem, "chosen:", chosen, "as in the recipe" if same else "NOT as in the recipe", flush=True)
    content = {
        "seeds": list(TUNING_SEEDS),
        "score": f"validation accuracy in percent, mean of the last {AVERAGED_EPOCHS} epochs",
        "environment": environment(),
        "chosen": chosen,
        "grid": rows,
    }
    note(problem, "settings", content)


def figures(problem: str, seeds: int, workers: int) -> None:
    config = find(f"{problem}-sgd")
    runs: list[RunResult] = Parallel(n_jobs=workers)(
        delayed(train)(replace(config, seed=seed)) for seed in range(seeds)
    )
    names = [
        name for name, value in runs[0].last.items() if value is not None and name not in ("epoch", "learning_rate")
    ]
    content: dict[str, Any] = {"environment": environment(), "seconds": summary([run.seconds for run in runs])}
    for point in ("last", "best"):
        content[point] = {name: summary([float(getattr(run, point)[name]) for run in runs]) for name in names}
    print(problem, f"{content['seconds']['mean']} s", flush=True)
    for name in names:
        print(
            " ",
            name,
            *({key: content[point][name][key] for key in ("mean", "low", "high", "sd")} for point in ("last", "best")),
        )
    note(problem, "sgd", content)


Features = Callable[[TensorSplit], NDArray[Any]]


def simple(problem: str, of: dict[str, tuple[RunConfig, Features]], seeds: int, *, strength: float) -> None:
    """Test accuracy of logistic regressions on features of the splits of a configuration's data."""
    found: dict[str, Any] = {}
    for name, (config, features) in of.items():
        found[name] = summary([100 * logistic(config, seed, features, strength) for seed in range(seeds)])
        print(problem, name, {key: found[name][key] for key in ("mean", "low", "high", "sd")}, flush=True)
    note(problem, "logistic_regression", {"environment": environment(), "inverse_regularisation": strength, **found})


def logistic(config: RunConfig, seed: int, features: Features, strength: float) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    problem = config.data.load(seed)
    assert isinstance(problem.train, TensorSplit) and isinstance(problem.test, TensorSplit)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=5000))
    model.fit(features(problem.train), problem.train.labels.numpy())
    return float(model.score(features(problem.test), problem.test.labels.numpy()))


def plain(split: TensorSplit) -> NDArray[Any]:
    return split.inputs.flatten(1).numpy()


def hand_made(split: TensorSplit) -> NDArray[Any]:
    return np.stack([_texture(patch) for patch in split.inputs[:, 0].double().numpy()])


def _texture(patch: NDArray[np.float64]) -> NDArray[np.float64]:
    """Uniform local binary patterns, histogram, radial log spectrum, orientations: 36 numbers for 16 x 16 pixels."""
    from skimage.feature import hog, local_binary_pattern

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Applying `local_binary_pattern` to floating-point images")
        codes = local_binary_pattern(patch, 8, 1, "uniform").astype(int)
    power = np.abs(np.fft.fft2(patch)) ** 2
    frequencies = np.fft.fftfreq(len(patch)) * len(patch)
    radii = np.minimum(np.hypot(frequencies[:, None], frequencies).round().astype(int), len(patch) // 2)
    return np.concatenate(
        [
            np.bincount(codes.ravel(), minlength=10) / patch.size,
            np.histogram(patch, bins=np.linspace(-2.5, 2.5, 11))[0] / patch.size,
            np.log1p(np.bincount(radii.ravel(), power.ravel()))[1:],
            hog(patch, orientations=8, pixels_per_cell=(8, 8), cells_per_block=(1, 1)).reshape(-1, 8).mean(0),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("settings", "figures", "simple"))
    parser.add_argument("problems", nargs="*")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.what == "simple":
        patches, wines = find("photographs-sgd"), find("wine-sgd")
        three = replace(patches, data=Photographs(("brick", "grass", "gravel"), side=32, per_region=9))
        photographs = {
            "hand-made features": (patches, hand_made),
            "pixels": (patches, plain),
            "hand-made features, three textures": (three, hand_made),
        }
        simple("photographs", photographs, arguments.seeds, strength=0.3)
        simple("wine", {"features, standardised": (wines, plain)}, arguments.seeds, strength=1.0)
        return
    for problem in arguments.problems or (*BENCHES, *(["digits-noisy"] if arguments.what == "figures" else [])):
        if arguments.what == "settings":
            settings(problem, arguments.workers)
        else:
            figures(problem, arguments.seeds, arguments.workers)


if __name__ == "__main__":
    main()
