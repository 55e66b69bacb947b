"""The candidate: a way to build subjects, wherever a row needs one, in this process or in another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, Self

import torch
from torch import nn

from samnesia.conformance.adapters import Subject
from samnesia.conformance.outcome import NotApplicable, first_line
from samnesia.conformance.pair import Pair
from samnesia.conformance.setup import Claims, Setup
from samnesia.perturb.errors import ConfigurationError
from samnesia.sources import Source

Make = Callable[[Setup], Subject]


EXAMPLE = "my_sam.py:make"


def _make(origin: Source) -> Make:
    """The function that a file holds; raises ConfigurationError."""
    make: Make = origin.load(what="build an optimizer", remedy=f"define def {origin.function}(setup) in it")
    return make


class Candidate:
    """Builds subjects by the user's `make`; owns the two processes of the distributed rows. Use it in a `with` block.

    Args:
        make: builds the optimizer under test from a `Setup`, behind an adapter.
        origin: what another process needs to have the same `make`; by default itself, then a function of a module.
        pair: two processes to share with other candidates, whose owner closes them; by default its own.
    """

    def __init__(self, make: Make, *, origin: Source | None = None, pair: Pair | None = None) -> None:
        self._make = make
        self.origin: Source | Make = origin or make
        self._owns_pair = pair is None
        self.pair = pair or Pair()

    @classmethod
    def of(cls, origin: Source | Make) -> Candidate:
        """The candidate that another process described by its `origin`."""
        return cls(_make(origin), origin=origin) if isinstance(origin, Source) else cls(origin)

    def build(
        self,
        model: nn.Module,
        *,
        params: list[Any] | None = None,
        rho: float = 0.05,
        optimizer: type[torch.optim.Optimizer] = torch.optim.SGD,
        replay_dropout: bool = False,
        **options: Any,
    ) -> Subject:
        """A subject for `model`, by default over plain SGD with learning rate 0.1."""
        setup = Setup(
            model=model,
            params=list(model.parameters()) if params is None else params,
            rho=rho,
            optimizer=optimizer,
            options={"lr": 0.1} | options,
            replay_dropout=replay_dropout,
        )
        subject = self._make(setup)
        if not isinstance(subject, Subject):
            raise ConfigurationError(
                f"cannot drive the {type(subject).__name__} that make(setup) returned, because the suite needs to know "
                "its protocol; return TwoStep(...), Closure(...) or Passes(...) of samnesia.conformance around it"
            )
        return subject

    @cached_property
    def simplest(self) -> Subject:
        """A subject for one linear layer; raises ConfigurationError if not even that can be built."""
        try:
            return self.build(nn.Linear(2, 2))
        except ConfigurationError:
            raise
        except Exception as error:
            raise ConfigurationError(
                f"cannot build the optimizer, because make(setup) raises {first_line(error)} on a model of one linear "
                "layer over plain SGD; mend it first"
            ) from error

    @property
    def claims(self) -> Claims:
        """What the subjects say of themselves."""
        return self.simplest.claims

    def needs_passes(self, count: int) -> None:
        """Raise NotApplicable for a subject with fewer passes."""
        if self.claims.passes < count:
            raise NotApplicable(f"takes {self.claims.passes} pass a step, and the row is about {count}")

    def __enter__(self) -> Self:
        """The candidate itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the two processes, if any were started."""
        if self._owns_pair:
            self.pair.close()


@dataclass(frozen=True)
class Row:
    """One property of the suite.

    Args:
        id: its number in the suite, with a letter where a number has several checks.
        title: the property.
        breaks: what goes wrong in practice when it does not hold, in one sentence.
        check: raises Violation with measured evidence, or NotApplicable with the reason.
    """

    id: str
    title: str
    breaks: str
    check: Callable[[Candidate], None]

    def answers_to(self, name: str) -> bool:
        """Whether `name` is its id, or its number without the letter."""
        return name in (self.id, self.id.rstrip("abcdefgh"))


def load(text: str, *, pair: Pair | None = None) -> Candidate:
    """The candidate that FILE.py:function names; raises ConfigurationError."""
    origin = Source.parse(text, what="an optimizer", example=EXAMPLE)
    return Candidate(_make(origin), origin=origin, pair=pair)
