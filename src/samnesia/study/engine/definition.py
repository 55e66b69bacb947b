"""What a study's directory says of the study: ``study.json``, and which changes of it are none of the definition.

::

    {
      "schema": 1,
      "design": {...},                          # as Design.to_json
      "command": "samnesia study ...",          # what runs what is missing; null when it was started from Python
      "shared": {"sgd,gradients-seed0": "sgd,steps-seed0", ...},   # cells of equal settings, and where they were run
      "history": [{"time", "results", "says", "seeds", "commit"}, ...]   # see Change; the first is its beginning
    }

A study is defined before there are results. From the first result on, its definition stands, but that seeds may be
added, levels at the end of a factor, hypotheses about these levels, and notes; what was added, and how many results had
been seen by then, is kept. Hypotheses that were there stay about the levels that were there: those that range over a
factor which gets another level are written down with the earlier ones (``over``).
A design without hypotheses decides nothing and is only a choice of cells, which may be another one every time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.design import Design
from samnesia.study.engine.store import read_object
from samnesia.study.hypotheses import Hypothesis
from samnesia.train.log import environment, write_json
from samnesia.train.parts.checks import require
from samnesia.train.plain import differences, from_plain, to_plain

STUDY, SCHEMA = "study.json", 1


@dataclass(frozen=True)
class Change:
    """What was written into a study's definition, and when."""

    time: str
    """UTC, ISO 8601."""
    results: int
    """Finished cells that were there: from the first one on, a change may have been made with an eye on them."""
    says: str
    """What was changed, as in: seeds 10, 11 added."""
    seeds: tuple[int, ...] = ()
    """Reported seeds that it added."""
    commit: str | None = None
    """Commit of samnesia's source, where it is a checkout."""

    @staticmethod
    def now(results: int, says: str, seeds: tuple[int, ...] = ()) -> Change:
        """A change that is made now."""
        time = datetime.now(UTC).isoformat(timespec="seconds")
        return Change(time, results, says, seeds, environment()["commit"])


@dataclass(frozen=True)
class Definition:
    """The content of ``study.json``."""

    design: Design
    """The study as it was defined."""
    command: str | None = None
    """The command that runs what is missing."""
    shared: Mapping[str, str] = field(default_factory=dict)
    """Of each cell that shares its run with another one of equal settings: the name of that one."""
    history: tuple[Change, ...] = ()
    """What was changed, from its beginning on."""

    def write(self, out: Path) -> None:
        """Write it to ``out``."""
        content = {
            "schema": SCHEMA,
            "design": self.design.to_json(),
            "command": self.command,
            "shared": dict(self.shared),
            "history": [{key: value for key, value in to_plain(one).items() if key != "kind"} for one in self.history],
        }
        write_json(out / STUDY, content)

    @staticmethod
    def find(out: Path) -> Definition | None:
        """Read it from ``out``; None where there is none.

        Raises:
            ConfigurationError: when it is damaged, or of another version.
        """
        path = out / STUDY
        remedy = "restore it, or remove this one file; the command of the study writes it anew"
        if not path.exists():
            return None
        plain = read_object(path, remedy=remedy)
        if plain.keys() >= {"recipe", "methods", "seeds"}:  # of a comparison, before studies had designs
            raise ConfigurationError(
                f"cannot use {path}, because it was written by an earlier version; remove this one file and run the "
                f"same command again, which keeps the finished runs: {plain.get('command') or 'samnesia compare'}"
            )
        try:
            require(plain.get("schema") == SCHEMA, f"its schema is {plain.get('schema')!r}, not {SCHEMA}")
            return Definition(
                Design.from_json(plain.get("design")),
                from_plain(str | None, plain.get("command"), path="command"),
                from_plain(dict[str, str], plain.get("shared"), path="shared"),
                from_plain(tuple[Change, ...], plain.get("history"), path="history"),
            )
        except ConfigurationError as error:
            raise ConfigurationError(f"cannot use {path}, because it is damaged ({error}); {remedy}") from None

    def changed_to(self, asked: Design, *, results: int, out: Path) -> tuple[Design, tuple[Change, ...]]:
        """The design that holds from now on, with the seeds of both, and the changes that lead to it.

        Args:
            asked: the design of this call.
            results: finished cells that are there.
            out: the directory, for messages.

        Raises:
            ConfigurationError: when the definition was changed under results, with the differences.
        """
        there = self.design
        if not results:
            return asked, (Change.now(0, "defined", asked.seeds),)
        before, now = _held(there, asked)
        found = _differences(there, asked, before, now)
        require(
            not found or there.name == asked.name,
            f"cannot run the study {asked.name!r} in {out}, because it holds results of another one, {there.name!r}; "
            "use another --out",
        )
        require(
            not found,
            f"cannot go on with the study in {out}, because its definition has changed since its first result "
            f"({'; '.join(found)}); restore it, or use another --out for another study",
        )
        if not there.primary and not asked.primary:
            return asked, self.history
        new = tuple(seed for seed in asked.seeds if seed not in there.seeds)
        changes = []
        if new:
            says = f"seed{'s' if len(new) > 1 else ''} {', '.join(map(str, new))} added"
            changes.append(Change.now(results, says, new))
        for name, kept in _grown(there, asked).items():
            says = _added(name, asked.factor(name).levels[len(kept) :])
            if any(name in one.over for one in before):
                says += f"; what was claimed over all levels of {name} stays about {', '.join(kept)}"
            changes.append(Change.now(results, says))
        claims = [one.claim for one in there.primary]
        if more := [one.claim for one in asked.primary if one.claim not in claims]:
            changes.append(Change.now(results, f"hypotheses added: {'; '.join(more)}"))
        if there.notes != asked.notes:
            changes.append(Change.now(results, "notes changed"))
        return replace(asked, seeds=(*there.seeds, *new), primary=now), (*self.history, *changes)


def _added(factor: str, levels: Sequence[str]) -> str:
    return f"level{'s' if len(levels) > 1 else ''} {', '.join(map(repr, levels))} added to the factor {factor}"


def _grown(there: Design, asked: Design) -> dict[str, tuple[str, ...]]:
    """The factors that have more levels now, with those that they had."""
    now = {factor.name: factor.levels for factor in asked.factors}
    return {
        factor.name: factor.levels
        for factor in there.factors
        if len(now.get(factor.name, ())) > len(factor.levels)
        and now[factor.name][: len(factor.levels)] == factor.levels
    }


def _held(there: Design, asked: Design) -> tuple[tuple[Hypothesis, ...], tuple[Hypothesis, ...]]:
    """The hypotheses of both: those that were there are about the levels that were there, also in what is asked."""
    before = tuple(one.keeping_to(_grown(there, asked)) for one in there.primary)
    over = {one.claim: one.over for one in before}
    return before, tuple(replace(one, over=over.get(one.claim, {}) | one.over) for one in asked.primary)


def _differences(there: Design, asked: Design, held: Sequence[Hypothesis], claimed: Sequence[Hypothesis]) -> list[str]:
    """What of a definition, with these hypotheses, may not change under results, as "name: there -> asked"."""
    if not there.primary and not asked.primary:
        names = [[factor.name for factor in design.factors] for design in (there, asked)]
        return differences({"factors": names[0]}, {"factors": names[1]})
    before, now = _compared(there, held), _compared(asked, claimed)
    kept = {
        factor.name: list(factor.levels[: len(there.factor(factor.name).levels)])
        for factor in asked.factors
        if factor.name in before["factors"]
    }
    added = {
        (name, level) for name, levels in now["factors"].items() for level in levels[len(kept.get(name, levels)) :]
    }
    now["factors"] = {name: kept.get(name, levels) for name, levels in now["factors"].items()}
    now["primary"] = {
        claim: one for claim, one in now["primary"].items() if claim in before["primary"] or not added & _levels_of(one)
    }
    found = differences(before, now)
    if not found:
        cells, before_cells = list(asked.cells()), list(there.cells())
        gone = [levels for levels in before_cells if levels not in cells]
        # Without a new level, a cell that was left out could have run before, and hypotheses would average over it now.
        back = [levels for levels in cells if levels not in before_cells and not added & levels.items()]
        found = [f"cell {', '.join(levels.values())}: there -> left out" for levels in gone]
        found += [f"cell {', '.join(levels.values())}: left out -> there" for levels in back]
    return found


def _levels_of(hypothesis: Mapping[str, Any]) -> set[tuple[str, str]]:
    """The levels, each with its factor, that a hypothesis is about: with a new one, it could not be said before."""
    parts = (hypothesis.get(name, {}) for name in ("treatment", "control", "where"))
    ranged = {(name, level) for name, levels in hypothesis["over"].items() for level in levels}
    return {named for part in parts for named in part.items()} | ranged


def _compared(design: Design, primary: Sequence[Hypothesis]) -> dict[str, Any]:
    """A design with these hypotheses as plain values by name, without what may change."""
    plain = design.to_json() | {"primary": [to_plain(one) for one in primary]}
    for name in ("seeds", "notes", "left_out", "exploratory"):
        del plain[name]
    plain["factors"] = {factor["name"]: factor["levels"] for factor in plain["factors"]}
    plain["measures"] = {measure.pop("name"): measure for measure in plain["measures"]}
    plain["primary"] = {f"hypothesis {one.pop('claim')!r}": one for one in plain["primary"]}
    return plain
