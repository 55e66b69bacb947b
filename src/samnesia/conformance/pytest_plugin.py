"""`pytest --conformance FILE.py:make`: the conformance suite as tests, one per row.

Every pytest session loads this file, so that it imports nothing of ours before the option is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from samnesia.conformance.subject import Candidate, Row


def pytest_addoption(parser: pytest.Parser) -> None:
    """The two options."""
    group = parser.getgroup("samnesia", "conformance of SAM-like optimizers")
    group.addoption(
        "--conformance",
        metavar="FILE.py:FUNCTION",
        help="check the optimizer that FUNCTION(setup) builds, a test per row; alone, unless tests are named as well",
    )
    group.addoption("--conformance-rows", metavar="ROW,ROW", default="", help="these rows only: 47 is 47a to 47d")


def pytest_configure(config: pytest.Config) -> None:
    """Without tests named by the user, collect none of theirs."""
    if config.getoption("--conformance") and config.args_source is not config.ArgsSource.ARGS:
        config.args = []


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the rows."""
    if not (text := config.getoption("--conformance")):
        return
    from samnesia.conformance.card import check_claims, choose
    from samnesia.conformance.subject import load
    from samnesia.perturb.errors import SamnesiaError

    names = [name.strip() for name in config.getoption("--conformance-rows").split(",") if name.strip()]
    try:
        rows, candidate = choose(names), load(text)
        check_claims(candidate)  # so that what cannot be built at all is one error, not one per row
    except SamnesiaError as error:
        raise pytest.UsageError(str(error)) from error
    config.add_cleanup(candidate.pair.close)
    card: CardNode = CardNode.from_parent(session, name=text, nodeid=text, rows=rows, candidate=candidate)
    items.extend(card.collect())


class CardNode(pytest.Collector):
    """The rows of one optimizer."""

    def __init__(self, *, rows: tuple[Row, ...], candidate: Candidate, **named: Any) -> None:
        super().__init__(**named)
        self.rows, self.candidate = rows, candidate

    def collect(self) -> Iterator[RowItem]:
        """An item per row."""
        for row in self.rows:
            item: RowItem = RowItem.from_parent(self, name=f"row {row.id}", row=row)
            yield item


class RowFailed(Exception):
    """A row failed; the text is what the report says of it."""


class RowItem(pytest.Item):
    """A row."""

    def __init__(self, *, row: Row, **named: Any) -> None:
        super().__init__(**named)
        self.row = row

    def runtest(self) -> None:
        """Check it; a row that does not apply is a skip with the reason."""
        from samnesia.conformance.outcome import run_row

        assert isinstance(self.parent, CardNode)
        result = run_row(self.row, self.parent.candidate)
        if result.status == "n/a":
            pytest.skip(result.evidence)
        if result.status == "fail":
            raise RowFailed(f"{self.row.title}\n{result.evidence}\nIn practice: {self.row.breaks}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Evidence without a traceback: the code that failed is not in this process's stack."""
        if isinstance(excinfo.value, RowFailed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Where, and what."""
        return self.path, None, f"{self.name}: {self.row.title}"
