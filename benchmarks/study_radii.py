"""Choose what the named studies need beside the recipes: on validation, with seeds that no reported figure uses.

    python benchmarks/study_radii.py [NAME ...] [--workers 2]

As benchmarks/choose_radii.py does it for the recipes: the score of a run is its validation accuracy (of wrong labels,
against the labels as given), averaged over the last five epochs, and the setting of the highest mean score over the
tuning seeds is chosen; of equals, the first. Test samples are not looked at.

Writes ``benchmarks/results/study_radii.json``; what stands there of the same base and seeds is not run again. The
chosen values stand in the studies themselves (``samnesia/study/named``).
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from choose_radii import TUNING_SEEDS, score
from joblib import Parallel, delayed

from samnesia.study.named import label_noise
from samnesia.train.config import ASAM, SAM, Digits, Method, Mixing, RunConfig, renewed
from samnesia.train.log import environment, write_json

RESULTS = Path(__file__).parent / "results" / "study_radii.json"


@dataclass(frozen=True)
class Search:
    """What is tried."""

    base: RunConfig
    settings: Sequence[Method | Mixing]
    seeds: tuple[int, ...]

    def configurations(self, setting: Method | Mixing) -> list[RunConfig]:
        """The runs of a setting."""
        if isinstance(setting, Mixing):
            assert isinstance(self.base.data, Digits)
            changed = replace(self.base, data=replace(self.base.data, mixing=setting))
        else:
            changed = replace(self.base, method=setting)
        return [replace(changed, seed=seed) for seed in self.seeds]


def noisy(noise: str, settings: Sequence[Method | Mixing]) -> Search:
    """Digits with wrong labels; where most are, an epoch's validation says little, and all tuning seeds are needed."""
    return Search(label_noise.base(noise), settings, TUNING_SEEDS if noise == "80" else TUNING_SEEDS[:3])


SEARCHES: dict[str, Callable[[], Search]] = {
    **{
        f"label-noise-{noise}-mixup": partial(noisy, noise, [Mixing(mixup=alpha) for alpha in (0.2, 1.0, 8.0)])
        for noise in ("0", "40", "80")
    },
    "label-noise-80-sam": partial(noisy, "80", [SAM(rho=rho) for rho in (0.1, 0.2, 0.4, 0.7)]),
    "label-noise-80-asam": partial(noisy, "80", [ASAM(rho=rho) for rho in (0.5, 1.0, 2.0, 4.0)]),
}


def choose(search: Search, earlier: dict[str, Any], workers: int) -> dict[str, Any]:
    """Score all settings, but for those that were scored earlier."""
    same = renewed(earlier.get("base", {})) == search.base.to_json() and earlier["seeds"] == list(search.seeds)
    known = {str(row["setting"]): row for row in (earlier["grid"] if same else [])}
    missing = [one for one in search.settings if str(asdict(one)) not in known]
    runs = [run for setting in missing for run in search.configurations(setting)]
    scores = iter(Parallel(n_jobs=workers)(delayed(score)(run) for run in runs))
    for setting in missing:
        found = [round(next(scores), 2) for _ in search.seeds]
        known[str(asdict(setting))] = {
            "setting": asdict(setting), "validation": round(statistics.fmean(found), 2), "per_seed": found
        }  # fmt: skip
    grid = [known[str(asdict(setting))] for setting in search.settings]
    return {
        "base": search.base.to_json(),
        "seeds": list(search.seeds),
        "grid": grid,
        "chosen": max(grid, key=lambda row: row["validation"])["setting"],
        "environment": environment(),
    }


def main() -> None:
    """Search, and write what was found."""
    import json

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(SEARCHES))
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    for name in options.names:
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        results[name] = choose(SEARCHES[name](), results.get(name, {}), options.workers)
        for row in results[name]["grid"]:
            print(name, row, flush=True)
        print(name, "chosen:", results[name]["chosen"], flush=True)
        write_json(RESULTS, results)


if __name__ == "__main__":
    main()
