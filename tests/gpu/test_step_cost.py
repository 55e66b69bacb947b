"""The step-cost benchmark on a CUDA device: events, allocator and float16 training, on networks of no size."""

import json

import pytest

from benchmarks.stepcost.command import main

pytestmark = pytest.mark.gpu


def test_a_run_measures_time_and_peak_of_the_device(tmp_path):
    main(["--suite", "gpu", "--tiny", "--rounds", "3", "--seconds", "0.01", "--out", str(tmp_path)])
    result = json.loads((tmp_path / "step_cost_cuda.json").read_text())
    for problem in result["problems"]:
        for row in problem["rows"]:
            assert row["device_peak_bytes"] > problem["parameter_bytes"]
            assert all(0 <= out < total for out, total in zip(row["outside_seconds"], row["seconds"], strict=True))
            assert row["bytes_moved"] > 0 or row["kind"] == "floor"
    for row in result["scaled_training"]["rows"]:
        assert row["finite_weights"] and row["last_loss"] < row["first_loss"]
