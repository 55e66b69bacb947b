"""Fixtures of the study tests."""

import pytest

from tests.study.study_files import make_study


@pytest.fixture
def study(tmp_path):
    """Five methods over five seeds."""
    return make_study(tmp_path / "study")
