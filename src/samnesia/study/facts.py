"""How a comparison was measured: terms and what they mean here, as the report lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from samnesia.sources import Source
from samnesia.study.cells import Study
from samnesia.study.figures import label
from samnesia.study.judged import Judged
from samnesia.study.wording import Summary, capital, listed
from samnesia.train.config import Digits, OwnData, OwnLoss, RunConfig
from samnesia.train.parts.methods import Unperturbed
from samnesia.train.recipes import RECIPES


@dataclass(frozen=True)
class Words:
    """What is said of the runs on some kind of data."""

    samples: str
    """What a sample is called."""
    pairing: str
    """What the runs of one seed share, and what another seed draws anew."""
    tuning: str
    """How the settings were chosen."""


DIGITS = Words(
    "images",
    "The runs of one seed share the split of the data, the initial weights and the order of the batches, whatever the "
    "method; another seed draws all three anew. All seeds split the same images, so an interval says what another "
    "split of these images would give, and nothing about new images.",
    "The radius of each perturbed method (for GSAM also alpha) was chosen from a grid by validation accuracy, on seeds "
    "that are not reported here, which split the same images in other ways (benchmarks/choose_radii.py). The settings "
    "of the base optimizer were not tuned against it, and are the same for all methods.",
)
OTHERS = Words(
    "images",
    "The runs of one seed share the data, the initial weights and the order of the batches, whatever the method; "
    "another seed draws weights and order anew, and with them the split of the data where the seed decides it. An "
    "interval says what other seeds would give, and nothing about other data.",
    "The settings of each method are those of its recipe. How they were chosen is not known to this page.",
)
OWN = Words(
    "samples", OTHERS.pairing, "The settings of each method are those of the user's file. How they were chosen is not "
    "known to this page.",
)  # fmt: skip
COST = (
    "Gradient evaluations are forward-backward passes over a batch; seconds are wall time of training and evaluation "
    "of one run. Both are means per run, at equal numbers of epochs, not at equal cost."
)


def words_of(config: RunConfig) -> Words:
    """What is said of runs on this data."""
    return {Digits: DIGITS, OwnData: OWN}.get(type(config.data), OTHERS)


def facts(study: Study, summary: Summary) -> list[tuple[str, str]]:
    """How it was measured: terms and what they mean here."""
    methods, seeds = len(summary["methods"]), [str(seed) for seed in summary["seeds"]]
    config, judged = next(iter(study.results.values())).config, Judged.of(summary)
    words = words_of(config)
    parts = [
        (
            "Runs",
            f"{methods} methods \N{MULTIPLICATION SIGN} {len(seeds)} seeds ({listed(seeds)}); "
            f"{len(study.results)} of {methods * len(seeds)} runs finished.",
        ),
        ("Data", _data(config)),
        ("Pairing", words.pairing),
        ("Perturbation", _perturbation(study)),
        ("Tuning", _tuning(study, words)),
        (capital(judged.measure.replace("_", " ")), _judging(judged, words, config)),
    ]
    if any(row["flipped_fitted"]["last"]["mean"] is not None for row in summary["methods"]):
        parts.append(("Flipped labels fitted", _flipped(words)))
    parts.append(
        (
            "Intervals",
            f"Student\N{RIGHT SINGLE QUOTATION MARK}s t over {_counted(summary)}, {100 * summary['confidence']:g} %; "
            f"differences to {label(summary['baseline'])} are paired within seeds. Each interval stands alone: none is "
            "widened for the number of methods compared. Fewer than three seeds give no interval, nor do equal numbers "
            "for all seeds.",
        )
    )
    parts.append(("Cost", COST))
    parts.extend(_environment(environment) for environment in summary["environments"])
    if summary["command"]:
        parts.append(("Command", str(summary["command"])))
    return parts


def _counted(summary: Summary) -> str:
    seeds = len(summary["seeds"])
    counts = {
        value["n"] for row in summary["methods"] for name in ("score", "difference") for value in row[name].values()
    }
    return f"n = {seeds} seeds" if counts == {seeds} else f"the finished ones of {seeds} seeds (n stands with the row)"


def _perturbation(study: Study) -> str:
    configs = [run.config for run in study.results.values() if not isinstance(run.config.method, Unperturbed)]
    if not configs:
        return "None of the methods perturbs."
    when, epochs = configs[0].when, configs[0].epochs
    end = "" if when.stop_epoch is None or when.stop_epoch >= epochs else f" to epoch {when.stop_epoch:g}"
    start = f"from epoch {when.start_epoch:g} of {epochs} on{end}"
    text = f"Weights are perturbed {start}" + (f", on every step that {when.interval_steps} divides"
                                                      if when.interval_steps > 1 else "")  # fmt: skip
    if when.start_epoch:
        text += f"; the first {when.start_epoch:g} epochs are those of the base optimizer alone, the same for all"
    return f"{text}."


def _tuning(study: Study, words: Words) -> str:
    changed = {
        method
        for (method, _), run in study.results.items()
        if run.recipe not in RECIPES or RECIPES[run.recipe]().method != run.config.method
    }
    if not changed or words is OWN:
        return words.tuning
    names = listed([label(method) for method in study.methods if method in changed])
    return f"{words.tuning} This does not hold for {names}, whose settings here are not those of the recipe."


def _judging(judged: Judged, words: Words, config: RunConfig) -> str:
    if judged.measure == "accuracy" and not isinstance(config.loss, OwnLoss):
        clean = ", against clean labels" if _flips(config) else ""
        text = f"Share of the {judged.split} {words.samples} classified correctly{clean}."
    else:
        unit = f", in {judged.unit}" if judged.unit else ""
        text = f"{capital(judged.name)}{unit}: {'higher' if judged.higher_is_better else 'lower'} is better."
    text += f" The best epoch is the earliest with the {judged.top} {judged.chosen} of the run; "
    if judged.chosen_on == judged.split:
        return f"{text}it is chosen on the {words.samples} that are reported, and is better than it would be on others."
    return f"{text}it is chosen without looking at the {judged.split} {words.samples}."


def _flipped(words: Words) -> str:
    return (
        f"Share of the wrongly labelled training {words.samples} for which the network predicts just that wrong "
        "label: 100 % has learned all of the noise by heart."
    )


def _flips(config: RunConfig) -> bool:
    """Whether labels may be flipped on this data: then it is to be said which are clean."""
    return hasattr(config.data, "flipped")


def _data(config: RunConfig) -> str:
    data = config.data
    if isinstance(data, OwnData):
        source = Source.parse(data.function)
        return f"What {source.function} of {source.file} returns."
    return data.says


def _environment(environment: Mapping[str, Any]) -> tuple[str, str]:
    named = (
        ("hardware", ""), ("threads", "torch threads "), ("python", "Python "), ("torch", "torch "),
        ("numpy", "NumPy "), ("samnesia", "samnesia "), ("commit", "commit "),
    )  # fmt: skip
    return "Ran on", ", ".join(f"{prefix}{environment[key]}" for key, prefix in named if environment.get(key)) + "."
