"""`pytest --conformance FILE.py:make`: an item per row, in sessions of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

MUTANTS = Path(__file__).parent / "mutants.py"
MINE = f"""
import importlib.util
spec = importlib.util.spec_from_file_location("mutants_of_mine", {str(MUTANTS)!r})
mutants = importlib.util.module_from_spec(spec)
import sys
sys.modules[spec.name] = mutants
spec.loader.exec_module(mutants)
make = mutants.reference

def momentum(setup):
    return mutants.subject(mutants.FreezesByMomentum(setup))
"""


@pytest.fixture
def mine(pytester):
    return pytester.makepyfile(mine=MINE)


def test_an_item_per_row_and_a_reason_for_every_skip(pytester, mine):
    result = pytester.runpytest_inprocess("--conformance", f"{mine}:make", "--conformance-rows", "1,47,48", "-rs")
    result.assert_outcomes(passed=5, skipped=1)
    result.stdout.fnmatch_lines(["*does not claim to replay random numbers*"])
    assert result.ret == 0


def test_a_failure_shows_evidence_and_practice_and_no_traceback(pytester, mine):
    result = pytester.runpytest_inprocess("--conformance", f"{mine}:momentum", "--conformance-rows", "47a", "-v")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*mine.py:momentum::row 47a FAILED*",
            "after 3 steps buffer norm.num_batches_tracked is 6, not 3*",
            "In practice: Evaluation uses statistics of the perturbed model*",
        ]
    )
    assert "Traceback" not in result.stdout.str() and "outcome.py" not in result.stdout.str()


def test_tests_that_are_named_run_as_well_and_others_do_not(pytester, mine):
    named = pytester.makepyfile(test_named="def test_named(): pass")
    words = ("--conformance", f"{mine}:make", "--conformance-rows", "1")
    pytester.runpytest_inprocess(*words).assert_outcomes(passed=1)
    pytester.runpytest_inprocess(*words, str(named)).assert_outcomes(passed=2)
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


def test_the_parametrized_form_of_the_documentation(pytester, mine):
    page = (Path(__file__).resolve().parents[2] / "docs" / "conformance.md").read_text()
    (block,) = [part.split("```")[0] for part in page.split("```py\n") if part.startswith("# test_conformance.py")]
    pytester.makepyfile(my_sam=mine.read_text())
    pytester.makepyfile(test_conformance=block)
    result = pytester.runpytest_inprocess("-k", "1 or 48", "test_conformance.py")
    outcomes = result.parseoutcomes()
    assert outcomes["passed"] > 3 and outcomes["skipped"] == 1 and "failed" not in outcomes


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--conformance", "nowhere.py:make"], "there is no such Python file"),
        (["--conformance", "mine.py:make", "--conformance-rows", "99"], "the suite has no row of that name"),
    ],
)
def test_what_a_user_can_get_wrong_is_one_sentence(pytester, mine, words, sentence):
    result = pytester.runpytest_inprocess(*words)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: cannot *{sentence}*"])


def test_loading_the_plugin_imports_nothing_heavy():
    program = "import samnesia.conformance.pytest_plugin, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert {"torch", "numpy", "rich"}.isdisjoint(loaded)
    assert [name for name in loaded if name.startswith("samnesia")] == [
        "samnesia",
        "samnesia.conformance",
        "samnesia.conformance.pytest_plugin",
    ]
