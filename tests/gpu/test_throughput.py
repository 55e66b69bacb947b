"""The measurement of throughput on a CUDA device: time, the allocator's peak, and pinned images, in small."""

import json
import runpy
from pathlib import Path

import pytest

pytestmark = pytest.mark.gpu

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SMALL = ["--image-size", "64", "--batch", "8", "--steps", "3", "--warm-up", "2", "--rounds", "2"]


def test_a_run_measures_time_and_peak_of_the_device(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    runpy.run_path(str(BENCHMARKS / "throughput.py"), run_name="throughput")["main"]([*SMALL, "--out", str(tmp_path)])
    (path,) = tmp_path.glob("throughput_*.json")
    for net in json.loads(path.read_text())["nets"]:
        rows = {(row["method"], row["loop"]): row for row in net["rows"]}
        for kind in ("bare", "trainer"):
            base, gsam = max(rows["base", kind]["peak_bytes"]), max(rows["GSAM", kind]["peak_bytes"])
            assert 0 < base < gsam  # which holds the weights and the clean gradient once more
        for method in ("base", "SAM", "GSAM", "OBF"):
            bare, trainer = rows[method, "bare"], rows[method, "trainer"]
            assert trainer["weight_norm"] == pytest.approx(bare["weight_norm"], rel=1e-3)
            assert min(bare["seconds"] + trainer["seconds"]) > 0
