"""How a row ends: it passes, it fails with measured evidence, or it does not apply, with the reason."""

from __future__ import annotations

import dis
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from samnesia.conformance.subject import Candidate, Row

LONGEST = 200  # characters of an error that are quoted

Status = Literal["pass", "fail", "n/a"]


class Violation(Exception):
    """The subject does not hold a row; the text is the evidence."""


class NotApplicable(Exception):
    """The row does not apply to the subject; the text is the reason."""


@dataclass(frozen=True)
class Result:
    """The outcome of one row: evidence of a failure, the reason of an n/a, nothing beside a pass."""

    row: str
    status: Status
    evidence: str = ""
    seconds: float = 0.0


def run_row(row: Row, candidate: Candidate) -> Result:
    """Check one row. Whatever the subject raises is a failure with its first line; only Ctrl-C of yours gets out."""
    began = time.perf_counter()
    status, evidence = _outcome(row, candidate)
    return Result(row.id, status, evidence, round(time.perf_counter() - began, 3))


def _outcome(row: Row, candidate: Candidate) -> tuple[Status, str]:
    for name, reason in candidate.claims.without.items():
        if row.answers_to(name):
            return "n/a", reason
    try:
        with torch.random.fork_rng(), warnings.catch_warnings(), torch.enable_grad():
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            row.check(candidate)
    except NotApplicable as reason:
        return "n/a", str(reason)
    except Violation as violation:
        return "fail", str(violation)
    except Exception as error:
        return "fail", "raised " + first_line(error)
    return "pass", ""


def first_line(error: BaseException) -> str:
    """The type of an error and the first line of its text."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {shorten(text[0], LONGEST, placeholder=' …')}" if text else type(error).__name__


def refused(error: Exception) -> bool:
    """Whether an error is a refusal: somebody wrote `raise` for this case, outside of torch itself.

    An `assert` is none, because it vanishes under `python -O`; neither is what an operation on unfit values runs into.
    """
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None or isinstance(error, AssertionError):
        return False
    code = last.tb_frame.f_code  # not its source, which may be absent, or edited meanwhile
    raised_by_torch = Path(torch.__file__).parent in Path(code.co_filename).parents
    return not raised_by_torch and code.co_code[last.tb_lasti] == dis.opmap["RAISE_VARARGS"]
