"""How a study was measured: terms and what they mean here, as the report lists them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samnesia.sources import Source
from samnesia.study.design import Design
from samnesia.study.hypotheses import Correlation, Difference, StrongerCorrelation
from samnesia.study.judging import numbers
from samnesia.study.judging.numbers import counted, ranges
from samnesia.study.report.contexts import Grid
from samnesia.study.report.figures.style import label
from samnesia.study.report.judged import Judged
from samnesia.study.report.settings import run_settings
from samnesia.study.report.wording import QUOTE, Summary, capital, listed
from samnesia.train.config import Digits, OwnData, OwnLoss, RunConfig
from samnesia.train.parts.methods import Unperturbed
from samnesia.train.recipes import RECIPES

if TYPE_CHECKING:
    from samnesia.study.engine.run import Results

Fact = tuple[str, str]
TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class Words:
    """What is said of the runs on some kind of data."""

    samples: str
    """What a sample is called."""
    pairing: str
    """What the runs of one seed share, and what another seed draws anew."""
    tuning: str
    """How the settings were chosen; empty where that is not known."""


DIGITS = Words(
    "images",
    "The runs of one seed share the split of the data, the initial weights and the order of the batches; another seed "
    "draws all three anew. All seeds split the same images, so an interval says what another "
    "split of these images would give, and nothing about new images.",
    "The radius of each perturbed method (for GSAM also alpha) was chosen from a grid by validation accuracy, on seeds "
    "that are not reported here, which split the same images in other ways (benchmarks/choose_radii.py). The settings "
    "of the base optimizer were not tuned against it, and are the same for all methods.",
)
OTHERS = Words(
    "samples",
    "The runs of one seed share the data, the initial weights and the order of the batches; another seed draws weights "
    "and order anew, and with them the split of the data where the seed decides it. An interval says what other seeds "
    "would give, and nothing about other data.",
    "",
)
OF_RECIPES = "The settings of each method are those of its recipe. How they were chosen is not known to this page."
OF_FILES = (
    f"The settings of each method are those of the user{QUOTE}s file. How they were chosen is not known to this page."
)
OF_STUDY = "The settings are the study's own. How they were chosen is not known to this page."
PAIRED = "Runs of one seed are pairs: what a seed decides, it decides alike for all of them."
COST = (
    "Gradient evaluations are forward-backward passes over a batch; seconds are wall time of training and evaluation "
    "of one run. Both are means per run"
)


@dataclass(frozen=True)
class Trained:
    """A finished training run: the name of its context, its level of the compared factor, and its settings."""

    context: str
    arm: str
    config: RunConfig

    @property
    def words(self) -> Words:
        """What is said of runs on its data."""
        return DIGITS if isinstance(self.config.data, Digits) else OTHERS


def facts(results: Results, grid: Grid, summary: Summary) -> list[Fact]:
    """How it was measured: terms and what they mean here."""
    judged, trained = Judged.of(summary), trained_runs(grid)
    parts = [*_question(grid), ("Runs", _runs(grid, summary)), *_notes(grid), *_data(trained)]
    parts.append(("Pairing", _pairing(trained)))
    if trained:
        parts.append(("Perturbation", _joined([_perturbation(one) for one in _per_context(trained)])))
    parts += [*_tuning(grid, trained), *_judging(judged, trained)]
    if any(one["flipped_fitted"]["last"]["mean"] is not None for one in summary["methods"]):
        samples = trained[0].words.samples if trained else OTHERS.samples
        parts.append(("Flipped labels fitted", _flipped(samples)))
    parts += [("Intervals", _intervals(summary, grid)), *_reliability(results), ("Cost", _cost(trained))]
    parts += [_environment(environment) for environment in summary["environments"]]
    if summary["command"]:
        parts.append(("Command", str(summary["command"])))
    return parts


def trained_runs(grid: Grid) -> list[Trained]:
    """The runs that our trainer made: one of each finished cell, whose settings but for the seed are those of all."""
    found = []
    for context in grid.contexts:
        for arm in context.arms:
            row = next(iter(grid.finished(grid.cell(context, arm)).values()), None)
            plain = run_settings(json.loads(row["config"])) if row is not None else {}
            if plain.get("kind") == RunConfig.__name__:
                found.append(Trained(context.name, arm, RunConfig.from_json(dict(plain))))
    return found


def _question(grid: Grid) -> list[Fact]:
    """Of a study with hypotheses it stands at the top of the page."""
    if grid.design.primary:
        return []
    return [("Question", f"{grid.design.question} No hypothesis was written down before: all of this is exploratory.")]


def _runs(grid: Grid, summary: Summary) -> str:
    cells, seeds = list(grid.design.cells()), summary["seeds"]
    varied = grid.varied() or [grid.design.compared]
    counts = [counted(len({cell[name] for cell in cells}), name) for name in varied]
    finished = sum(len(grid.finished(cell)) for cell in cells)
    full = f" {TIMES} ".join([*counts, f"{counted(len(seeds), 'seed')} ({ranges(seeds)})"])
    left_out = "" if not grid.design.left_out else f", of which {counted(len(cells), 'combination')} run"
    return f"{full}{left_out}; {finished} of {len(cells) * len(seeds)} runs finished."


def _notes(grid: Grid) -> list[Fact]:
    return [("Notes" if place == 0 else "", note) for place, note in enumerate(grid.design.notes)]


def _data(trained: Sequence[Trained]) -> list[Fact]:
    by_text: dict[str, list[str]] = {}
    for one in trained:
        names = by_text.setdefault(_data_in_words(one.config), [])
        if one.context not in names:
            names.append(one.context)
    if len(by_text) == 1:
        return [("Data", text) for text in by_text]
    return [("Data" if place == 0 else "", f"{'; '.join(names)}: {text}")
            for place, (text, names) in enumerate(by_text.items())]  # fmt: skip


def _data_in_words(config: RunConfig) -> str:
    data = config.data
    if isinstance(data, OwnData):
        source = Source.parse(data.function)
        return f"What {source.function} of {source.file} returns."
    return data.says


def _pairing(trained: Sequence[Trained]) -> str:
    said = {one.words.pairing for one in trained}
    return said.pop() if len(said) == 1 else OTHERS.pairing if said else PAIRED


def _per_context(trained: Sequence[Trained]) -> list[Trained]:
    """One run of each context, of a method that perturbs where there is one."""
    found: dict[str, Trained] = {}
    for one in trained:
        if one.context not in found or isinstance(found[one.context].config.method, Unperturbed):
            found[one.context] = one
    return list(found.values())


def _perturbation(one: Trained) -> str:
    config = one.config
    if isinstance(config.method, Unperturbed):
        return "None of the methods perturbs."
    when, epochs = config.when, config.epochs
    end = "" if when.stop_epoch is None or when.stop_epoch >= epochs else f" to epoch {when.stop_epoch:g}"
    text = f"Weights are perturbed from epoch {when.start_epoch:g} of {epochs} on{end}"
    if when.interval_steps > 1:
        text += f", on every step that {when.interval_steps} divides"
    if when.start_epoch:
        text += f"; the first {when.start_epoch:g} epochs are those of the base optimizer alone"
    return f"{text}."


def _tuning(grid: Grid, trained: Sequence[Trained]) -> list[Fact]:
    design, parts = grid.design, []
    if design.tuning_seeds:
        chosen = ranges(design.tuning_seeds)
        noun = "seed" if len(design.tuning_seeds) == 1 else "seeds"
        parts.append(f"Settings were chosen on {noun} {chosen}, which are not reported.")
    if trained and not design.notes:
        parts.append(_joined([_tuning_of(one) for one in trained]))
        changed = [one.arm for one in trained if _is_changed(one) and not isinstance(one.config.data, OwnData)]
        if changed and parts[-1] != OF_STUDY:
            names = listed([label(arm) for arm in dict.fromkeys(changed)])
            parts.append(f"This does not hold for {names}, whose settings here are not those of the recipe.")
    return [("Tuning", " ".join(parts))] if any(parts) else []


def _tuning_of(one: Trained) -> str:
    if isinstance(one.config.data, OwnData):
        return OF_FILES
    return OF_STUDY if one.config.recipe not in RECIPES else one.words.tuning or OF_RECIPES


def _is_changed(one: Trained) -> bool:
    return one.config.recipe not in RECIPES or RECIPES[one.config.recipe]().method != one.config.method


def _judging(judged: Judged, trained: Sequence[Trained]) -> list[Fact]:
    split, measure = _split_of(judged.name)
    own = any(isinstance(one.config.loss, OwnLoss) for one in trained)
    samples = _joined(list(dict.fromkeys(one.words.samples for one in trained))) or OTHERS.samples
    if measure == "accuracy" and trained and not own:
        clean = ", against clean labels" if any(getattr(one.config.data, "flipped", 0.0) for one in trained) else ""
        text = f"Share of the {split} {samples} classified correctly{clean}."
    else:
        unit = f", in {judged.unit}" if judged.unit else ""
        text = f"{capital(judged.name)}{unit}{_direction(judged)}."
    if averaged := list(dict.fromkeys(label(one.arm) for one in trained if one.config.average is not None)):
        text += f" Of {listed(averaged)} it is that of the average of the weights, also where the best epoch is chosen."
    return [(capital(measure), text + _best_epoch(judged, split, measure, samples))]


def _split_of(name: str) -> tuple[str, str]:
    """``test accuracy`` as split and measure; the split is empty where none is named."""
    split, _, measure = name.partition(" ")
    return (split, measure) if split in ("test", "validation", "training") else ("", name)


def _direction(judged: Judged) -> str:
    if judged.higher_is_better is None:
        return ""
    return f": {'higher' if judged.higher_is_better else 'lower'} is better"


def _best_epoch(judged: Judged, split: str, measure: str, samples: str) -> str:
    chosen = re.fullmatch(r"best (\w+) epoch", judged.points.get("best", ""))
    if chosen is None:
        return ""
    text = f" The best epoch is the earliest with the {judged.top} {chosen[1]} {measure} of the run; "
    if chosen[1] == split:
        return f"{text}it is chosen on the {samples} that are reported, and is better than it would be on others."
    return f"{text}it is chosen without looking at the {split} {samples}."


def _flipped(samples: str) -> str:
    return (
        f"Share of the wrongly labelled training {samples} for which the network predicts just that wrong label: 100 % "
        "has learned all of the noise by heart."
    )


def _intervals(summary: Summary, grid: Grid) -> str:
    seeds = len(summary["seeds"])
    blocks = [summary["methods"], *(context["methods"] for context in summary["contexts"])]
    counts = {
        value["n"]
        for rows in blocks
        for row in rows
        for name in ("score", "difference")
        for value in row[name].values()
        if value["n"] or name == "score"
    }
    over = f"n = {seeds} seeds" if counts == {seeds} else f"the finished ones of {seeds} seeds (n stands with the row)"
    means = "Means over contexts are taken within each seed, so that seeds are what is counted. "
    return (
        f"Student{QUOTE}s t over {over}, {100 * summary['confidence']:g} %; differences to "
        f"{label(summary['baseline'])} are paired within seeds. {means if summary['contexts'] else ''}Each interval "
        "stands alone: none is widened for the number of comparisons. "
        "Fewer than three seeds give no interval, nor do equal numbers for all seeds."
    )


def _reliability(results: Results) -> list[Fact]:
    """Of the measures that are ranked, how well seeds agree on which cells have more of them."""
    from samnesia.study.judging.estimates import reliability

    design, told = results.design, []
    for name in ranked_measures(design):
        found = reliability(design, results.table, name)
        if found.value is not None:
            ends = "" if found.low is None else f" ({numbers.plain(found.low, 2)} to {numbers.plain(found.high, 2)})"
            told.append(f"{design.measure(name).label} {numbers.plain(found.value, 2)}{ends}")
    if not told:
        return []
    start = f"Correlation of a cell{QUOTE}s mean with that of as many new seeds, from split halves"
    end = "What seeds do not agree on cannot rank with anything."
    return [("Reliability", f"{start}: {'; '.join(told)}. {end}")]


def ranked_measures(design: Design) -> list[str]:
    """The measures that hypotheses or covariates relate to others, in the order of the design."""
    named = {*design.covariates, *([design.measures[0].name] if design.covariates else [])}
    for one in (*design.primary, *design.exploratory):
        match one:
            case Correlation():
                named |= {one.x, one.y}
            case StrongerCorrelation():
                named |= {one.x, one.rival, one.y}
            case Difference():
                pass
    return [measure.name for measure in design.measures if measure.name in named]


def _cost(trained: Sequence[Trained]) -> str:
    by_context: dict[str, set[int]] = {}
    for one in trained:
        by_context.setdefault(one.context, set()).add(one.config.epochs)
    if trained and all(len(epochs) == 1 for epochs in by_context.values()):
        return f"{COST}, at equal numbers of epochs, not at equal cost."
    return f"{COST}."


def _joined(texts: Sequence[str]) -> str:
    return " ".join(dict.fromkeys(text for text in texts if text))


def _environment(environment: Mapping[str, Any]) -> Fact:
    named = (
        ("hardware", ""), ("threads", "torch threads "), ("python", "Python "), ("torch", "torch "),
        ("numpy", "NumPy "), ("samnesia", "samnesia "), ("commit", "commit "),
    )  # fmt: skip
    return "Ran on", ", ".join(f"{prefix}{environment[key]}" for key, prefix in named if environment.get(key)) + "."
