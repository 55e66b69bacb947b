"""The settings of two studies are those that benchmarks/study_settings.py has chosen."""

import json
from pathlib import Path

from samnesia.study.named.few import DATA
from samnesia.study.named.m_sharpness import CHOSEN as RADII_OF_M
from samnesia.study.named.m_sharpness import FEW, FULL, QUICK, WHOLE, m_sharpness
from samnesia.study.named.unnormalized import CHOSEN, EPOCHS, INPUTS, METHODS, RADII, RATES, Setting, unnormalized
from samnesia.train.config import renewed

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results" / "study_settings.json"


def chosen(arm):
    """What was chosen for an arm, all that was tried, and the configuration that was chosen."""
    found = json.loads(RESULTS.read_text())[arm]
    tried = {row["setting"]: row["validation"] for row in found["grid"]}
    assert tried[found["chosen"]] == max(tried.values()) and min(found["seeds"]) >= 1000
    (config,) = (row["config"] for row in found["grid"] if row["setting"] == found["chosen"])
    return found["chosen"], tried, renewed(config)


def test_radii_for_several_m():
    for problem in DATA:
        for m in (WHOLE, FEW):
            setting, tried, config = chosen(f"m-sharpness {problem} {m}")
            assert RADII_OF_M[problem, m] == setting and {*tried} < {*FULL.radii} and setting in QUICK.radii
            assert m_sharpness().work({"problem": problem, "m": m, "rho": setting}, 0).config.to_json() == config


def test_rates_and_radii_for_raw_inputs():
    for problem in EPOCHS:
        for inputs in INPUTS:
            best = RATES.index(CHOSEN[problem, inputs, "sgd"].lr)
            for method in METHODS:
                setting, tried, config = chosen(f"unnormalized {problem} {inputs} {method}")
                assert CHOSEN[problem, inputs, method] == Setting(*map(float, setting.split()))
                rates = RATES if method == "sgd" else RATES[max(0, best - 1) : best + 2]
                assert list(tried) == [f"{lr:g} {rho:g}" for lr in rates for rho in RADII[method]]
                levels = {"problem": problem, "input": inputs, "method": method}
                assert unnormalized().work(levels, 0).config.to_json() == config
