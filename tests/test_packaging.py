"""The promises of pyproject.toml, constraints.txt and the files that repeat them."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[0-9][A-Za-z0-9.]*)")


def constraint_lines():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def pins():
    matches = [PIN.fullmatch(line) for line in constraint_lines()]
    return {canonicalize_name(match["name"]): match["version"] for match in matches if match}


def requirements(*lists):
    """What the lists ask of others; our own extras within extras are left out."""
    parsed = [Requirement(text) for texts in lists for text in texts]
    return [requirement for requirement in parsed if requirement.name != "samnesia"]


def test_constraints_hold_versions_only():
    assert [line for line in constraint_lines() if not PIN.fullmatch(line)] == []


def test_constraints_are_sorted_and_name_each_package_once():
    names = [line.split("==")[0].lower() for line in constraint_lines()]
    assert names == sorted(names)
    assert len({canonicalize_name(name) for name in names}) == len(names)


@pytest.mark.parametrize("requirement", requirements(PROJECT["dependencies"], *EXTRAS.values()), ids=str)
def test_every_dependency_is_pinned_within_its_range(requirement):
    version = pins()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version), f"{requirement} against the pin {version}"


def test_core_needs_torch_and_numpy_alone():
    assert {requirement.name for requirement in requirements(PROJECT["dependencies"])} == {"torch", "numpy"}


def test_train_needs_neither_torchvision_nor_timm():
    names = {requirement.name for requirement in requirements(EXTRAS["train"])}
    assert names.isdisjoint({"torchvision", "timm"})


def test_all_is_every_extra():
    (everything,) = (Requirement(text) for text in EXTRAS["all"])
    assert everything.name == "samnesia"
    assert everything.extras == set(EXTRAS) - {"all"}


def test_installed_version_is_the_declared_one():
    assert importlib.metadata.version("samnesia") == PROJECT["version"]


def test_changelog_and_citation_name_the_version():
    assert f"version: {PROJECT['version']}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_types_are_published():
    import samnesia

    assert (Path(samnesia.__file__).parent / "py.typed").is_file()


def test_command_leads_to_a_function():
    (command,) = importlib.metadata.entry_points(group="console_scripts", name="samnesia")
    assert callable(command.load())


def test_importing_the_package_imports_no_framework():
    program = "import samnesia, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert {"torch", "torchvision", "timm", "lightning", "sklearn", "matplotlib"}.isdisjoint(loaded)


@pytest.mark.parametrize("ci, arguments", [("", ["--no-skips"]), ("true", [])], ids=["option", "ci"])
def test_a_skip_fails_the_session_on_demand(pytester, monkeypatch, ci, arguments):
    monkeypatch.setenv("CI", ci)
    pytester.makeconftest((ROOT / "tests" / "conftest.py").read_text())
    pytester.makepyfile(
        test_one="import pytest\n\ndef test_passes(): pass\n\ndef test_skipped(): pytest.skip('why')",
        test_module="import pytest\n\npytest.importorskip('no_such_module')",
        test_expected="import pytest\n\n@pytest.mark.xfail\ndef test_fails(): assert False",
    )
    result = pytester.runpytest_inprocess("--continue-on-collection-errors", *arguments)
    result.assert_outcomes(passed=1, failed=1, errors=1, xfailed=1)
    result.stdout.fnmatch_lines_random(["*skips are failures here: *why", "*skips are failures here: *no_such_module*"])


def test_a_skip_is_a_skip_otherwise(pytester, monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    pytester.makeconftest((ROOT / "tests" / "conftest.py").read_text())
    pytester.makepyfile("import pytest\n\ndef test_skipped(): pytest.skip('why')")
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(skipped=1)
    assert result.ret == pytest.ExitCode.OK
