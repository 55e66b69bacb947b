"""Fixtures of the study tests."""

import pytest

from samnesia.study.cells import write_study
from samnesia.study.report import write_report
from tests.study.study_files import COURSES, make_study


@pytest.fixture
def study(tmp_path):
    """Five methods over five seeds."""
    return make_study(tmp_path / "study")


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """The same, with its report; for tests that only read."""
    out = make_study(tmp_path_factory.mktemp("study"))
    write_study(out, "digits-noisy", methods=tuple(COURSES), seeds=range(5), command="samnesia compare <&> --out x")
    write_report(out)
    return out
