"""All oracles of the family with the settings that tests use, and their deliberately wrong versions.

rho comes with the `Run` (tests use RHO = 0.1, the second group 0.06). `MUTATIONS[name][mutation]` holds the rules to be
replaced: a comparison with `ORACLES[name]` must pass, and must fail with `mutate(name, mutation)`. `PROBLEMS` names the
methods that are told apart only on a problem of their own; `DRAWS` what `Run.draws` holds for the methods that read it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests import oracles as o
from tests.family import stepping as s
from tests.family.driver import Method, Oracle, nothing
from tests.mutations import ETA, RHO

__all__ = ["DRAWS", "MUTATIONS", "ORACLES", "PROBLEMS", "RHO", "mutate"]

ORACLES: dict[str, Oracle] = {
    "multi-step sam": Method(epsilon=s.several(3)),
    "lookbehind sam": s.Lookbehind(),
    "lookbehind asam": s.Lookbehind(perturb=o.asam(eta=ETA)),
    "lookahead": Method(epsilon=nothing, after=s.lookahead(3, 0.5)),
}
MUTATIONS: dict[str, dict[str, dict[str, Any]]] = {}
PROBLEMS: dict[str, Any] = {}
DRAWS: dict[str, str] = {}


def mutate(name: str, mutation: str) -> Oracle:
    """The oracle with the named rule replaced."""
    return replace(ORACLES[name], **MUTATIONS[name][mutation])
