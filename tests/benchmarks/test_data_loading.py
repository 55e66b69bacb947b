"""The measurement of data loading runs, and both contenders load the same images."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "data_loading.py"


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(SCRIPT))


# timm leaves it to Python to close the files that it has read
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_both_load_every_image_once_in_the_same_form(script, tmp_path):
    size = script["photographs"](tmp_path, 40)
    assert 60_000 < size / 40 < 200_000  # ImageNet's files have about 110,000 bytes
    for load in (script["ours"](script["problem_of"](tmp_path)), script["timms"](tmp_path)):
        torch.manual_seed(0)
        batches = list(load(0, 0))
        assert [len(inputs) for inputs, _ in batches][:1] == [32]
        inputs, labels = (torch.cat(parts)[:40] for parts in zip(*batches, strict=True))
        assert inputs.shape[1:] == (3, 224, 224)
        assert inputs.dtype == torch.float32
        assert -1.5 < float(inputs.mean()) < 1.5
        assert set(labels.tolist()) == {0, 1, 2, 3}


@pytest.mark.slow
def test_the_command_writes_what_it_measured(script, tmp_path):
    out = tmp_path / "results.json"
    options = "--images 64 --rounds 1 --workers 0 1 --net resnet18 --steps 1".split()
    command = [sys.executable, str(SCRIPT), *options, "--out", str(out)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    results = json.loads(out.read_text())
    assert script["table"](results) in printed
    assert [row["workers"] for row in results["rows"]] == [0, 1]
    assert all(row["ours"] > 0 and row["low"] <= row["ratio"] <= row["high"] for row in results["rows"])
    assert 0 <= results["training"]["waiting_percent"] <= 100
    assert results["environment"]["timm"]
