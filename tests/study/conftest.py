"""Fixtures of the study tests."""

import pytest

from samnesia.study.report import write_report
from tests.study import synthetic


@pytest.fixture(scope="session")
def compared(tmp_path_factory):
    """A comparison on disk with its report; for tests that only read."""
    out = synthetic.on_disk(synthetic.comparison(tmp_path_factory.mktemp("compared")))
    write_report(out)
    return out


@pytest.fixture(scope="session")
def studied(tmp_path_factory):
    """Four methods on three problems with a hypothesis on each, likewise, but for the image files."""
    return _reported(synthetic.claimed(tmp_path_factory.mktemp("studied"), contexts=3, arms=4, seeds=4))


@pytest.fixture(scope="session")
def correlated(tmp_path_factory):
    """A study of rank correlations over twelve cells, likewise."""
    return _reported(synthetic.correlations(tmp_path_factory.mktemp("correlated"), cells=12, seeds=3))


def _reported(results):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("samnesia.study.report._write_files", lambda *files: None)
        write_report(synthetic.on_disk(results))
    return results.out
