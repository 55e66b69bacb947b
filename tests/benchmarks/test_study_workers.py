"""The measurement of workers runs, in small, and finds equal tables."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "study_workers.py"


def test_the_runs_of_the_study_are_those_of_the_recipes():
    study = runpy.run_path(str(SCRIPT))["study"](2, 3)
    work = study.work({"method": "sam"}, 1)
    assert (work.config.recipe, work.config.epochs, work.config.seed) == ("digits-noisy-sam", 3, 1)
    assert work.config.hardware.threads == 1
    assert work.config.perturbed_steps(10) > 0
    assert len(list(study.design.cells())) * len(study.design.seeds) == 4


@pytest.mark.slow
def test_the_command_writes_what_it_measured(tmp_path):
    out = tmp_path / "results.json"
    options = "--seeds 1 --epochs 1 --rounds 2".split()
    subprocess.run([sys.executable, SCRIPT, *options, "--out", out], check=True, capture_output=True, timeout=300)
    content = json.loads(out.read_text())
    assert len(content["rounds"]) == 2
    assert all(
        round_["ratio"] == pytest.approx(round_["one"]["seconds"] / round_["several"]["seconds"], abs=0.01)
        for round_ in content["rounds"]
    )
    assert content["command"].startswith("python benchmarks/study_workers.py --seeds 1")
