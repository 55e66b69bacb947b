"""The command from its words to its files, and from the committed file to the committed table and figure."""

import copy
import json
import sys

import pytest

from benchmarks.stepcost import command
from benchmarks.stepcost.command import main
from benchmarks.stepcost.rows import AGAIN, FLOORS, ROWS
from benchmarks.stepcost.summary import END, START, estimate, lines, report, section, spread, table

FILES = {"step_cost_cpu.json", "step_cost_cpu.md", "step_cost_cpu.svg", "step_cost_cpu-dark.svg"}
METHODS = ("sam", "random_perturbation", "pytorch-optimizer SAM")
TINY = ["--tiny", "--rounds", "2", "--seconds", "0"]


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    main([*TINY, "--methods", *METHODS, "--out", str(out)])
    assert {path.name for path in out.iterdir()} == FILES
    return json.loads((out / "step_cost_cpu.json").read_text())


def test_a_run_holds_the_rows_and_rounds_that_were_asked_for(result):
    assert [problem["name"] for problem in result["problems"]] == ["resnet20", "vit", "mlp"]
    for problem in result["problems"]:
        assert [row["name"] for row in problem["rows"]] == [row.name for row in (*FLOORS, *AGAIN)] + list(METHODS)
        for row in problem["rows"]:
            assert len(row["seconds"]) == len(row["outside_seconds"]) == 2
            assert all(0 < out < total for out, total in zip(row["outside_seconds"], row["seconds"], strict=True))
    assert {"torch", "pytorch_optimizer", "hardware", "commit", "load"} <= result["environment"].keys()
    assert result["threads"] == 1 and result["scaled_training"] is None


def test_a_run_without_choice_holds_all_rows(tmp_path):
    main([*TINY, "--models", "mlp", "--out", str(tmp_path)])
    (problem,) = json.loads((tmp_path / "step_cost_cpu.json").read_text())["problems"]
    assert [row["name"] for row in problem["rows"]] == [row.name for row in ROWS]


def test_the_family_has_files_of_its_own(tmp_path):
    main(
        [
            *TINY,
            "--suite",
            "family",
            "--clock",
            "cpu",
            "--methods",
            "sam",
            "looksam, k=5",
            "mesa",
            "--out",
            str(tmp_path),
        ]
    )
    assert {path.name for path in tmp_path.iterdir()} == {name.replace("cost_", "cost_family_") for name in FILES}
    run = json.loads((tmp_path / "step_cost_family_cpu.json").read_text())
    assert [problem["name"] for problem in run["problems"]] == ["resnet20", "mlp"]
    assert "The machine was busy" in report(run)
    head, *_, looksam, mesa = table(run["problems"][1]).splitlines()
    assert head.endswith("| peak, P | kept, P | held against |")
    assert looksam.startswith("| `looksam, k=5` | 1.2 |") and looksam.endswith("| 1.00 | 20 % 2 passes; 80 % 1 pass |")
    assert mesa.endswith("| 1 pass and a forward |")


def test_table_and_figure_are_made_again_of_the_file_alone(result, tmp_path, capsys):
    source = tmp_path / "step_cost_cpu.json"
    source.write_text(json.dumps(result))
    main(["--from", str(source)])
    assert {path.name for path in tmp_path.iterdir()} == FILES
    assert capsys.readouterr().out == report(result) + "\n"
    assert (tmp_path / "step_cost_cpu.md").read_text() == report(result)


def test_the_table_goes_between_the_marks_of_a_readme(result, tmp_path):
    source, readme = tmp_path / "step_cost_cpu.json", tmp_path / "README.md"
    source.write_text(json.dumps(result))
    readme.write_text(f"before\n{START}\nold\n{END}\nafter\n")
    main(["--from", str(source), "--readme", str(readme)])
    assert readme.read_text() == f"before\n{section(result)}\nafter\n"
    assert section(result).count("\n| ") == 1 + len(AGAIN) + len(METHODS) and "old" not in readme.read_text()
    readme.write_text("no marks")
    with pytest.raises(SystemExit, match="cannot place the table, because the file has no lines"):
        main(["--from", str(source), "--readme", str(readme)])


def test_the_suite_for_gpus_runs_on_the_cpu_as_well(tmp_path):
    main([*TINY, "--suite", "gpu", "--device", "cpu", "--methods", "sam", "--out", str(tmp_path)])
    result = json.loads((tmp_path / "step_cost_cpu.json").read_text())
    assert [problem["autocast"] for problem in result["problems"]] == ["bfloat16", "bfloat16", None]
    scaled = {row["name"]: row for row in result["scaled_training"]["rows"]}
    assert "sam" in scaled and "gsam" not in scaled
    for row in scaled.values():
        assert row["last_loss"] < row["first_loss"] and row["finite_weights"] and row["skipped_steps"] == 0
    assert "with a gradient scaler" in (tmp_path / "step_cost_cpu.md").read_text()


def row(name, seconds, outside, *, floor="floor, 2 passes", kind="samnesia", **counts):
    zeros = {"operators": 0, "host_reads": 0, "bytes_moved": 0, "live_bytes": 0, "peak_bytes": 0}
    times = {"seconds": seconds, "outside_seconds": outside}
    return {
        "name": name,
        "kind": kind,
        "passes": 2,
        "floor": floor,
        "device_peak_bytes": None,
        **zeros,
        **times,
        **counts,
    }


PROBLEM = {
    "parameter_bytes": 1000,
    "rows": [
        row("floor, 2 passes", [1.0, 2.0, 4.0], [0.0, 0.0, 0.0], kind="floor", live_bytes=1000, peak_bytes=2000),
        row("floor, 2 passes, again", [1.1, 2.0, 3.6], [0.0, 0.0, 0.0], kind="floor", live_bytes=1000, peak_bytes=2000),
        row(
            "sam", [1.5, 2.4, 5.2], [0.5, 0.5, 0.8],
            operators=7, host_reads=1, bytes_moved=7100, live_bytes=2010, peak_bytes=3500,
        ),
    ],
}  # fmt: skip


def test_ratios_are_paired_by_round():
    sam = lines(PROBLEM)[-1]
    assert sam.ratio.median == pytest.approx(1.3), "median of 1.5, 1.2, 1.3"
    assert sam.ratio.low == pytest.approx(1.2) and sam.ratio.high == pytest.approx(1.5)
    assert sam.share.median == pytest.approx(25.0), "median of 50, 25, 20"
    assert sam.outside.median == pytest.approx(500.0)
    assert (sam.live, sam.peak, sam.copies_moved) == (1.01, 1.5, 7.1)
    assert spread(lines(PROBLEM)).median == pytest.approx(1.0)


def test_mixed_steps_are_held_against_as_mixed_a_floor():
    """Half of the first round's steps, and all of the second's, have one pass less."""
    half = {"floor, 2 passes": 0.5, "floor, 1 pass": 0.5}
    mixed = row("mixed", [1.5, 1.0], [0.0, 0.0], floor_shares=[half, {"floor, 1 pass": 1.0}], passes=1.25)
    ones = row("floor, 1 pass", [1.0, 1.0], [0.0, 0.0], kind="floor")
    twos = row("floor, 2 passes", [3.0, 9.0], [0.0, 0.0], kind="floor")
    (*_, line) = lines({"parameter_bytes": 1000, "rows": [ones, twos, mixed]})
    assert line.ratio.median == pytest.approx((0.75 + 1.0) / 2)
    assert line.floor == "25 % 2 passes; 75 % 1 pass"


def test_the_table_shows_them():
    head, rule, floor, again, sam = table(PROBLEM).splitlines()
    assert head.startswith("| row | passes | time, ms | time / floor |") and rule.count("---") == head.count("|") - 1
    assert floor.startswith("| floor, 2 passes | 2 | 2000.0 | 1 |")
    assert "1.000 [0.900, 1.100]" in again
    assert sam == (
        "| `sam` | 2 | 2400.0 | 1.300 [1.200, 1.500] | 500.00 [500.00, 800.00] | 25.00 [20.00, 50.00] "
        "| 7 | 1 | 7.1 | 1.01 | 1.50 |"
    )


def test_a_device_has_its_peak_in_the_table():
    problem = copy.deepcopy(PROBLEM)
    for index, entry in enumerate(problem["rows"]):
        entry["device_peak_bytes"] = (index + 1) * 2**20
    head, *_, sam = table(problem).splitlines()
    assert head.endswith("| device peak, MiB |") and sam.endswith("| 3 |")


def test_intervals_cover_as_often_as_they_say():
    """Medians of normal samples of 15; the percentile bootstrap errs a little to the safe side."""
    import numpy as np

    generator = np.random.default_rng(0)
    found = [estimate(generator.normal(1.0, 0.1, size=15)) for _ in range(100)]
    assert 88 <= sum(e.low <= 1.0 <= e.high for e in found) <= 100
    assert estimate([2.0]) == estimate([2.0, 2.0, 2.0])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--models", "alexnet"], "cannot measure alexnet, because the suite has only resnet20, vit, mlp"),
        (["--methods", "lars"], "cannot measure lars, because the rows are 'sam', 'asam'"),
        (["--rounds", "0"], "choose --rounds >= 1"),
        (["--rounds", "many"], "cannot measure step cost: argument --rounds: invalid int value: 'many'; see --help"),
        (["--suite", "tpu"], "argument --suite: invalid choice: 'tpu'"),
        (["--clock", "cpu", "--device", "cuda"], "cannot take the CPU's time on CUDA"),
        (["--tiny"], "cannot put a part of a run into benchmarks/results"),
        (["--methods", "sam"], "cannot put a part of a run into benchmarks/results"),
        (["--from", "missing.json"], "cannot read missing.json, because it is no JSON file of a run"),
    ],
)
def test_mistakes_get_one_sentence(words, sentence):
    with pytest.raises(SystemExit) as exit:
        main(words)
    message = str(exit.value)
    assert sentence in message and "\n" not in message


def test_a_file_of_another_schema_is_refused(tmp_path):
    (tmp_path / "other.json").write_text('{"schema": 0}')
    with pytest.raises(SystemExit, match="reads results of schema 1"):
        main(["--from", str(tmp_path / "other.json")])


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    with pytest.raises(SystemExit, match="cannot continue without pytorch_optimizer"):
        main([])


def test_cuda_is_not_promised_where_there_is_none(monkeypatch):
    monkeypatch.setattr(command.torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="torch sees no CUDA device here"):
        main(["--suite", "gpu"])
