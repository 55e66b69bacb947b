"""What holds for every test: fixed seeds, and no silent gaps where nobody looks."""

import os
import random
import signal

import hypothesis
import numpy
import pytest
import torch

# A shell ignores Ctrl-C for what it starts in the background, and children inherit that: tests that send it would hang.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Same examples on every run and machine; no deadline, because no test may depend on the clock.
hypothesis.settings.register_profile("samnesia", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("samnesia")

# The tensors of the tests are tiny: a second thread only waits, and on a busy machine for long.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeds():
    random.seed(0)
    numpy.random.seed(0)
    torch.manual_seed(0)


def pytest_addoption(parser):
    parser.addoption("--no-skips", action="store_true", help="a skipped test fails (always so where CI=true)")


def pytest_configure(config):
    no_skips = config.getoption("--no-skips") or os.environ.get("CI", "").lower() in {"1", "true"}
    if no_skips:
        config.pluginmanager.register(NoSkips(), "no-skips")


class NoSkips:
    """Turns skips into failures: a test that CI skips is a test that nobody runs."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        return self._refuse((yield))

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector):
        return self._refuse((yield))

    @staticmethod
    def _refuse(report):
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
            report.outcome = "failed"
            report.longrepr = f"skipped, and skips are failures here: {reason}"
        return report
