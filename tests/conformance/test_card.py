"""Rows, cards and files: what is there, how it is written, and what is refused in one sentence."""

import json
import re
import sys
from pathlib import Path

import pytest
import torch

from samnesia import ConfigurationError
from samnesia.conformance import ROWS, Candidate, Card, Closure, Result, Row, Violation, load, run
from samnesia.conformance.card import check_out, choose, write
from samnesia.conformance.outcome import first_line, refused
from samnesia.conformance.rows import TOPICS
from tests.conformance import mutants

SUITE = set(range(1, 82))


def test_rows_are_numbered_as_the_suite_and_each_once():
    ids = [row.id for row in ROWS]
    assert len(set(ids)) == len(ids) > 50
    assert {int(re.fullmatch(r"(\d+)[a-d]?", name)[1]) for name in ids} <= SUITE
    numbers = [int(re.match(r"\d+", name)[0]) for name in ids]
    assert numbers == sorted(numbers)
    assert sum(map(len, TOPICS.values())) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_every_row_says_what_breaks_in_practice_in_one_sentence(row):
    assert row.breaks.endswith(".") and len(row.breaks.split()) > 3
    assert not row.title.endswith(".")


def some_card():
    results = (Result("1", "pass", seconds=0.5), Result("2", "fail", "off by | 1.0"), Result("48", "n/a", "no replay"))
    return Card("mine.py:make", results, {"torch": "2.15.0"}, "samnesia conformance mine.py:make")


def test_a_card_survives_its_file(tmp_path):
    card = some_card()
    write(card, tmp_path / "cards" / "card.json")
    assert Card.from_json(json.loads((tmp_path / "cards" / "card.json").read_text())) == card
    write(card, tmp_path / "cards" / "card.json")  # a card may be written over


def test_a_card_counts_and_shows_evidence():
    card = some_card()
    assert card.counts == "1 pass, 1 fail, 1 not applicable"
    assert not card.conforms
    page = card.markdown()
    assert page.startswith("# Conformance card: mine.py:make\n")
    assert "    samnesia conformance mine.py:make\n" in page
    assert "| ✗ fail |" in page and "off by \\| 1.0" in page and "no replay" in page
    assert all(row.breaks in page for row in ROWS if row.id in ("1", "2", "48"))


@pytest.mark.parametrize("name", ["card.txt", "card"])
def test_a_card_is_json_or_markdown(tmp_path, name):
    with pytest.raises(ConfigurationError, match="cards are written as .json or .md"):
        check_out(tmp_path / name)


def test_a_card_is_not_written_over_anything(tmp_path):
    (tmp_path / "thesis.md").write_text("# Years of work\n")
    with pytest.raises(ConfigurationError, match="what stands there is none and would be lost"):
        write(some_card(), tmp_path / "thesis.md")


def test_rows_are_chosen_by_id_or_number():
    assert [row.id for row in choose(["47", "1"])] == ["1", "47a", "47b", "47c", "47d"]
    assert choose([]) == ROWS
    with pytest.raises(ConfigurationError, match="cannot find row '99', because the suite has no row of that name"):
        choose(["1", "99"])


# -- what a subject can do wrong --------------------------------------------------------------------------------------


def failing_row(error):
    def check(candidate):
        raise error

    return Row("1", "title", "It breaks.", check)


@pytest.mark.parametrize(
    ("error", "evidence"),
    [
        (Violation("off by 1.0"), "off by 1.0"),
        (KeyError("old_p"), "raised KeyError: 'old_p'"),
        (RuntimeError("first\nsecond"), "raised RuntimeError: first"),
        (RuntimeError(), "raised RuntimeError"),
        (RuntimeError("word " * 100), "raised RuntimeError: " + "word " * 39 + "…"),
    ],
    ids=str,
)
def test_whatever_a_subject_raises_is_a_failure_with_its_first_line(error, evidence):
    card = run(Candidate(mutants.reference), subject="x", rows=[failing_row(error)])
    (result,) = card.results
    assert (result.status, result.evidence) == ("fail", evidence)


def test_ctrl_c_of_the_user_gets_out():
    with pytest.raises(KeyboardInterrupt):
        run(Candidate(mutants.reference), subject="x", rows=[failing_row(KeyboardInterrupt())])


def caught(function):
    try:
        function()
    except Exception as error:
        return error


def test_a_refusal_is_a_raise_that_somebody_wrote():
    def refuses():
        raise TypeError("cannot do this")

    def asserts():
        assert not refuses

    def of_torch():
        return torch.nn.Module().no_such_attribute

    assert refused(caught(refuses))
    assert not refused(caught(asserts))
    assert not refused(caught(of_torch))
    assert not refused(caught(lambda: {}["old_p"]))
    assert not refused(caught(lambda: torch.stack([])))
    assert not refused(ValueError("never raised"))
    assert first_line(caught(lambda: {}["old_p"])) == "KeyError: 'old_p'"


# -- what a user can get wrong ----------------------------------------------------------------------------------------

FILES = {
    "raises": "raise ValueError('no')",
    "leaves": "raise SystemExit(3)",
    "syntax": "def make(",
    "empty": "",
    "raising_make": "def make(setup): raise ValueError('no')",
    "no_adapter": "def make(setup): return setup.base()",
    "unknown_row": "from samnesia.conformance import *\n"
    "def make(setup): return Closure(setup.base(), Claims(without={'99': 'why'}))",
}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("missing.py:make", "because there is no such Python file"),
        ("missing.py", "not of the form FILE.py:function"),
        ("missing.py:", "not of the form FILE.py:function"),
        ("raises.py:make", "because it raises ValueError: no"),
        ("leaves.py:make", "because it raises SystemExit: 3"),
        ("syntax.py:make", "because it raises SyntaxError: "),
        ("empty.py:make", "has no such function; define def make"),
        ("raising_make.py:make", r"because make\(setup\) raises ValueError: no"),
        ("unknown_row.py:make", "cannot find row '99', because the suite has no row of that name"),
        ("no_adapter.py:make", r"return TwoStep\(...\), Closure\(...\) or Passes\(...\)"),
    ],
)
def test_what_a_user_can_get_wrong_is_one_sentence(tmp_path, name, sentence):
    for stem, text in FILES.items():
        (tmp_path / f"{stem}.py").write_text(text)
    with pytest.raises(ConfigurationError, match=sentence) as error:
        run(load(str(tmp_path / name)), subject="x", rows=ROWS[:1])
    assert str(error.value).startswith("cannot ")
    assert "\n" not in str(error.value)


def test_a_file_may_import_its_neighbours(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "neighbour_of_the_optimizer.py").write_text("RHO = 0.1")
    (tmp_path / "mine.py").write_text("import neighbour_of_the_optimizer as n\ndef make(setup): return n.RHO")
    with pytest.raises(ConfigurationError, match="cannot drive the float that make"):
        load(str(tmp_path / "mine.py") + ":make").claims  # noqa: B018


def test_versions_name_the_package_under_test():
    peers = Path(__file__).resolve().parents[2] / "benchmarks" / "conformance_peers" / "kozistr.py"
    with load(f"{peers}:wsam") as candidate:
        card = run(candidate, subject="WSAM", rows=choose(["1", "37"]))
    assert card.versions["pytorch-optimizer"] == "4.1.0"
    assert {result.row: result.status for result in card.results} == {"1": "fail", "37": "fail"}


def test_a_closure_is_numbered_whether_a_gradient_comes_first_or_not():
    class Closed:
        param_groups: list = []

        def zero_grad(self):
            pass

        def step(self, closure):
            closure()
            closure()

    calls = []
    Closure(Closed()).step(calls.append)
    Closure(Closed(), gradient_first=True).step(calls.append)
    assert calls == [0, 1, 0, 1, 2]
