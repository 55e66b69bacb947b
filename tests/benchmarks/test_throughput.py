"""The measurement of throughput runs on the CPU, and both loops take the same steps."""

import json
import runpy
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SMALL = ["--device", "cpu", "--image-size", "32", "--batch", "4", "--steps", "2", "--warm-up", "1", "--rounds", "1"]


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)  # as `python benchmarks/throughput.py` has it
        yield runpy.run_path(str(BENCHMARKS / "throughput.py"), run_name="throughput")


def check(script, out, words, methods):
    script["main"]([*SMALL, *words, "--out", str(out)])
    assert {path.name for path in out.iterdir()} == {"throughput_cpu.json", "throughput_cpu.md"}
    result = json.loads((out / "throughput_cpu.json").read_text())
    assert (out / "throughput_cpu.md").read_text() == script["report"](result)
    for net in result["nets"]:
        assert [(row["method"], row["loop"]) for row in net["rows"]] == [
            (method, kind) for method in ["base", *methods] for kind in ("bare", "trainer")
        ]
        norms = [row["weight_norm"] for row in net["rows"]]
        assert norms[0::2] == pytest.approx(norms[1::2], rel=1e-9), "the loops did not take the same steps"
        assert len(set(norms[0::2])) == 1 + len(methods), "two methods took the same steps"
        assert all(row["seconds"][0] > 0 for row in net["rows"])
    return result


def test_both_loops_take_the_same_steps(script, tmp_path):
    result = check(script, tmp_path, ["--nets", "vit_s16", "--methods", "SAM"], ["SAM"])
    assert result["nets"][0]["optimizer"] == "AdamW"
    assert result["settings"]["image_size"] == 32


@pytest.mark.slow
def test_all_nets_and_methods(script, tmp_path):
    result = check(script, tmp_path, [], ["SAM", "GSAM", "OBF"])
    assert [net["name"] for net in result["nets"]] == ["resnet50", "vit_s16"]


def row(method, kind, seconds, peak):
    return {"method": method, "loop": kind, "seconds": seconds, "peak_bytes": [peak] * len(seconds), "weight_norm": 1.0}


def test_the_table_shows_ratios_that_are_paired_by_round(script):
    rows = [
        row("base", "bare", [1.0, 2.0, 4.0], 100 * 2**20),
        row("base", "trainer", [1.0, 2.0, 4.0], 100 * 2**20),
        row("SAM", "bare", [2.0, 4.0, 8.0], 150 * 2**20),
        row("SAM", "trainer", [2.5, 5.0, 10.0], 160 * 2**20),
    ]
    lines = script["table"]({"title": "", "optimizer": "SGD", "rows": rows}, batch=8).splitlines()
    assert lines[2] == "| SGD | bare | 4.0 | 1 | 1 | 100 | 1.000 |"
    assert lines[4] == "| SAM | bare | 2.0 | 0.500 [0.500, 0.500] | 1 | 150 | 1.500 |"
    assert lines[5] == "| SAM | trainer | 1.6 | 0.400 [0.400, 0.400] | 0.800 [0.800, 0.800] | 160 | 1.600 |"


@pytest.mark.parametrize("words", [["--device", "cpu"], ["--device", "cpu", "--steps", "0"]])
def test_mistakes_get_one_sentence(script, words):
    with pytest.raises(SystemExit, match="cannot"):
        script["main"](words)


def test_cuda_is_not_promised_where_there_is_none(script, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit, match="torch sees no CUDA device here"):
        script["main"]([])
