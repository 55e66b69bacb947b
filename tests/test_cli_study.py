"""``samnesia study``: what it lists, plans, runs, keeps and refuses."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from samnesia import cli
from samnesia.study import named, report
from samnesia.study.named import registry
from samnesia.study.named.registry import NamedStudy
from tests.study import tiny_study

STUDY = """
from samnesia.study.design import Design, Factor, Study
from tests.study import tiny_study


def two(quick=False):
    return tiny_study.study(seeds=(0, 1, 2), name="two-quick" if quick else "two")


def hot():
    return tiny_study.study(before=tiny_study.too_hot)


def all_hot():
    def fails(draw, directory):
        raise ValueError("too hot")

    return tiny_study.study(before=fails)


def slip():
    return tiny_study.study(seeds=(0, 1000))


def number():
    return 3


def broken():
    return 1 / 0
"""


@pytest.fixture
def samnesia(capsys, monkeypatch):
    """Run the command line in this process; returns (exit code, standard output, standard error)."""
    monkeypatch.setattr(report, "_write_files", lambda *arguments: None)  # image files cost most of the time

    def run(*words):
        code = cli.main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "cli_tiny_study.py"
    path.write_text(STUDY)
    yield path
    sys.modules.pop("cli_tiny_study", None)
    sys.path.remove(str(tmp_path)) if str(tmp_path) in sys.path else None


def test_without_a_name_the_studies_are_listed(samnesia):
    code, out, err = samnesia("study")
    assert (code, err) == (0, "")
    assert re.search(
        r"^problems +SGD, SAM, ASAM, GSAM, OBF and random perturbation over five problems", out, re.MULTILINE
    )


def test_a_list_of_studies_needs_no_torch():
    code = "import sys; from samnesia.cli import main; main(['study']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120, capture_output=True).returncode == 0


def test_help_names_what_is_to_be_given(samnesia):
    for command in ("study", "compare", "demo"):
        _, out, _ = samnesia(command, "--help")
        assert "--out DIR" in out and "--workers N" in out and "{None}" not in out


def test_a_plan_says_what_would_run_and_writes_nothing(samnesia, file, tmp_path):
    code, out, err = samnesia("study", f"{file}:two", "--plan", "--seeds", 5)
    assert (code, err) == (0, "")
    for part in ("two: Does it run?", "  method: sgd, sam", "  seeds: 0 to 4; tuned on 1000", ": 20 runs",
                 "1 hypothesis", "  sam is higher (higher, smallest effect of interest 0 points)",
                 "Power: 1 hypothesis, 5 seeds; each test at 0.025 (half of alpha 0.05).\n"):  # fmt: skip
        assert part in out
    samnesia("study", f"{file}:two", "--plan", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert "two-quick: " in samnesia("study", f"{file}:two", "--plan", "--quick")[1]


def test_a_study_runs_prints_its_power_before_and_its_verdicts_after(samnesia, file, tmp_path):
    out = tmp_path / "out"
    code, printed, err = samnesia("study", f"{file}:two", "--out", out, "--workers", 1)
    assert (code, err) == (0, "")
    power, first, verdict = (printed.index(text) for text in ("Power: 1 hypothesis", "1/12 sgd", "ndecided: "))
    assert power < first < verdict
    assert printed.endswith(f"Report: {out / 'report.html'}\n")
    assert (out / "report.html").stat().st_size > 10_000
    assert json.loads((out / "study.json").read_text())["command"] == f"samnesia study {file}:two --out {out}"
    assert len(pd.read_parquet(out / "table.parquet")) == 12

    code, printed, err = samnesia("study", f"{file}:two", "--out", out, "--workers", 1, "--seeds", 4)
    assert (code, err) == (0, "")
    assert "12 of 16 runs are finished already and kept." in printed
    assert json.loads((out / "study.json").read_text())["command"].endswith(f"two --seeds 4 --out {out}")


def test_all_studies_run_and_one_that_fails_does_not_stop_the_rest(samnesia, tmp_path, monkeypatch):
    def two(quick=False):
        return tiny_study.study(seeds=(0, 1), name="two-quick" if quick else "two")

    def whole():
        return tiny_study.study(seeds=(0, 1))

    monkeypatch.setattr(named, "STUDIES", {name: NamedStudy(name, make, "") for name, make in
                                           {"two": two, "whole": whole, "last": two}.items()})  # fmt: skip
    monkeypatch.setattr(registry, "STUDIES", named.STUDIES)
    code, printed, err = samnesia("study", "--all", "--tiny", "--out", tmp_path / "out", "--workers", 1)
    assert (code, err) == (1, "")
    assert "whole: cannot run whole in a quick form" in printed
    assert printed.endswith("2 of 3 studies are complete; not so: whole\n")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["last", "two"]
    command = json.loads((tmp_path / "out" / "two" / "study.json").read_text())["command"]
    assert command == f"samnesia study two --quick --out {tmp_path / 'out' / 'two'}"
    assert samnesia("study", "two", "--all")[2].startswith("samnesia: cannot run the study two and --all")


def test_a_report_is_made_anew_without_the_authors_python(samnesia, file, tmp_path):
    out = tmp_path / "out"
    samnesia("study", f"{file}:two", "--out", out, "--workers", 1)
    before = (out / "compare.json").read_text()
    file.unlink()
    (out / "report.html").unlink()
    (out / "table.parquet").unlink()
    code, printed, err = samnesia("report", out, "--out", tmp_path / "copy")
    assert (code, err) == (0, "")
    assert printed == f"written: {tmp_path / 'copy' / 'report.html'}\n"
    assert (tmp_path / "copy" / "compare.json").read_text() == before


def test_failed_cells_are_named_and_make_exit_code_one(samnesia, file, tmp_path):
    code, printed, err = samnesia("study", f"{file}:hot", "--out", tmp_path / "out", "--workers", 1)
    assert (code, err) == (1, "")
    assert "\ncells/sam,steps-seed1 failed: ValueError: too hot\n" in printed


ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "own_study.py"


def test_the_study_of_the_documentation_runs(samnesia, tmp_path):
    """One epoch with the perturbation from its beginning: that it runs is what is tried here."""
    block = re.search(r"```py\n(# my_study.py\n.*?)```", (ROOT / "docs" / "studies.md").read_text(), re.DOTALL)[1]
    file = tmp_path / "my_documented_study.py"
    quick = block.replace("seed=seed", "seed=seed, epochs=1").replace("start_epoch=4", "start_epoch=0")
    file.write_text(quick.replace("CNN()", "CNN(channels=(2,))"))
    code, out, err = samnesia("study", f"{file}:radii", "--out", tmp_path / "out", "--workers", 1, "--seeds", 1)
    sys.path.remove(str(tmp_path))
    assert (code, err) == (0, "")
    assert "3/3 large, seed 0: test accuracy, last epoch " in out


def test_the_example_is_planned(samnesia):
    code, out, err = samnesia("study", f"{EXAMPLE}:wrong_labels", "--plan")
    assert (code, err) == (0, "")
    assert "4 design cells x 5 seeds: 20 runs\n1 hypothesis" in out


@pytest.mark.slow
def test_the_example_ends_with_a_verdict(tmp_path):
    done = subprocess.run([sys.executable, EXAMPLE, tmp_path / "out"], capture_output=True, text=True, check=True)
    assert "\nSupported: sam minus sgd in test accuracy" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("problem", "--out", "OUT"), "FILE.py:function, a function of a file of your own; did you mean 'problems'?"),
        (("problems",), "cannot run the study problems, because it is not known where to; name a directory with --out"),
        (("FILE:tow", "--out", "OUT"), "cannot make a study by 'tow'"),
        (("FILE:number", "--out", "OUT"), "requires a samnesia.study.design.Study, and it is a int; return a Study"),
        (("FILE:broken", "--out", "OUT"), "raises ZeroDivisionError: division by zero (line "),
        (("FILE:slip", "--out", "OUT"), "cannot report seeds [1000] of the study tiny"),
        (("nowhere.py:two", "--out", "OUT"), "there is no such Python file"),
        (("FILE:hot", "--quick", "--out", "OUT"), "its function takes no quick; leave --quick out"),
        (("FILE:two", "--workers", "0", "--out", "OUT"), "cannot run with 0 workers"),
        (("FILE:two", "--seeds", "0", "--out", "OUT"), "cannot run with 0 seeds"),
        (("FILE:two", "--out", "FOREIGN"), "the directory is not empty and holds no study that could be continued"),
        (("FILE:two", "--out", "OTHER"), "because it holds results of another one, 'tiny'; use another --out"),
        (("FILE:two", "--ray", "127.0.0.1:9", "--out", "RAY"), "cannot reach Ray at '127.0.0.1:9'"),
        (("FILE:all_hot", "--workers", "1", "--out", "HOT"), "none of its cells has finished (the first failure: "),
    ],
)  # fmt: skip
def test_user_errors_are_one_sentence(samnesia, file, tmp_path, words, sentence):
    (tmp_path / "FOREIGN").mkdir()
    (tmp_path / "FOREIGN" / "thesis.tex").touch()
    if "OTHER" in words:
        assert samnesia("study", f"{file}:hot", "--out", tmp_path / "OTHER", "--workers", 1)[0] == 1
    words = [word.replace("FILE", str(file)) for word in words]
    words = [str(tmp_path / word) if word.isupper() else word for word in words]
    code, _, err = samnesia("study", *words)
    assert code == 2
    assert err.startswith("samnesia: cannot ") and err.count("\n") == 1
    assert sentence.replace("OTHER", str(tmp_path / "OTHER")) in err
    assert not (tmp_path / "OUT").exists()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("study.json", "{", "study.json, because it is no valid JSON"),
        ("cells/sam,steps-seed0/outcome.json", "{", "remove it; the same command makes it anew"),
    ],
)
def test_damaged_files_are_one_sentence(samnesia, file, tmp_path, name, content, sentence):
    out = tmp_path / "out"
    samnesia("study", f"{file}:two", "--out", out, "--workers", 1)
    (out / name).write_text(content)
    for words in (("study", f"{file}:two", "--out", out), ("report", out)):
        code, _, err = samnesia(*words)
        assert (code, err.count("\n")) == (2, 1)
        assert sentence in err


def test_a_damaged_table_is_written_anew(samnesia, file, tmp_path):
    out = tmp_path / "out"
    samnesia("study", f"{file}:two", "--out", out, "--workers", 1)
    whole = (out / "table.parquet").read_bytes()
    (out / "table.parquet").write_bytes(b"PAR1")
    assert samnesia("study", f"{file}:two", "--out", out, "--workers", 1)[0] == 0
    assert (out / "table.parquet").read_bytes() == whole


def test_a_missing_extra_is_named(samnesia, file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, err = samnesia("study", f"{file}:two", "--out", tmp_path / "out", "--ray", "local")
    assert (code, err.count("\n")) == (2, 1)
    assert "pip install samnesia[study]" in err
