"""The measurement of the trainer's loop: it runs, compares like with like, and says what its figures say."""

import copy
import json
import runpy
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)  # as `python benchmarks/loop_overhead.py` has it
        yield runpy.run_path(str(BENCHMARKS / "loop_overhead.py"), run_name="loop_overhead")


@pytest.fixture(scope="module")
def written(script, tmp_path_factory):
    out, said = tmp_path_factory.mktemp("overhead"), []
    script["main"](["--quick", "--epochs", "2", "--batch", "4", "--out", str(out)], said.append)
    assert said == [(out / "loop_overhead_cpu.md").read_text()]
    return json.loads((out / "loop_overhead_cpu.json").read_text())


def test_every_loop_takes_every_step_and_ends_with_the_same_weights(script, written):
    assert [method["method"] for method in written["methods"]] == ["SGD", "SAM"]
    for method in written["methods"]:
        assert len(set(method["weight_norms"])) == 3
        first, *others = method["weight_norms"].values()
        assert others == pytest.approx([first, first], rel=1e-6)
        assert method["logged_steps"] == 7  # of 62
        for row in method["rows"].values():
            assert (len(row["seconds"]), len(row["epoch_end_seconds"])) == (60, 1)
            assert all(0 < out < total for out, total in zip(row["outside_seconds"], row["seconds"], strict=True))
        assert "same weights: yes" in script["verdict"](method)
    sgd, sam = (method["weight_norms"]["bare PyTorch"] for method in written["methods"])
    assert sgd != sam


def made(added_ms, *, steps=60, step_ms=100.0, outside_ms=1.0):
    """A result in which the trainer adds so much to each step."""

    def row(more):
        return {
            "seconds": [(step_ms + more) / 1e3] * steps,
            "outside_seconds": [(outside_ms + more) / 1e3] * steps,
            "epoch_end_seconds": [(step_ms + more + 5) / 1e3],
        }

    rows = {"samnesia train": row(added_ms), "bare PyTorch": row(0.0), "bare PyTorch, again": row(0.0)}
    return {"rows": rows, "weight_norms": dict.fromkeys(rows, 1.0), "method": "SGD"}


@pytest.mark.parametrize(("added_ms", "within"), [(1.0, True), (3.0, False)])
def test_the_verdict_follows_the_figures(script, added_ms, within):
    method = made(added_ms)
    assert script["ratio"](method, "samnesia train").median == pytest.approx(1 + added_ms / 100)
    assert script["added"](method, "samnesia train").median == pytest.approx(added_ms)
    verdict = script["verdict"](method)
    assert ("NOT within" not in verdict) is within
    other = copy.deepcopy(method)
    other["weight_norms"]["samnesia train"] = 1.1
    assert "same weights: NO" in script["verdict"](other)


def test_the_first_block_and_what_does_not_fill_one_are_left_out(script):
    assert script["blocks"]([100.0] * 10 + [1.0] * 10 + [2.0] * 15) == [10.0, 20.0]


def test_the_clock_leaves_torch_as_it_was(script):
    import torch

    before = torch.Tensor.backward
    with script["Clock"]().watching():
        assert torch.Tensor.backward is not before
    assert torch.Tensor.backward is before


@pytest.mark.parametrize("words", [["--quick"], ["--epochs", "1"]])
def test_mistakes_get_one_sentence(script, words):
    with pytest.raises(SystemExit, match="cannot"):
        script["main"](words)
