"""The sentences of a report: what the numbers say, with their intervals, and nothing beyond."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from samnesia.study.cells import Study
from samnesia.study.figures import Curves, label
from samnesia.study.statistics import LEAST
from samnesia.train.config import RunConfig
from samnesia.train.parts.methods import Unperturbed
from samnesia.train.recipes import RECIPES

Summary = Mapping[str, Any]
Estimate = Mapping[str, Any]
PAIRING = (
    "The runs of one seed share the split of the data, the initial weights and the order of the batches, whatever the "
    "method; another seed draws all three anew. All seeds split the same images, so an interval says what another "
    "split of these images would give, and nothing about new images."
)
ACCURACY = (
    "Share of the test images classified correctly, against clean labels. The best epoch is the earliest with the "
    "highest validation accuracy of the run; it is chosen without looking at the test images."
)
FLIPPED = (
    "Share of the wrongly labelled training images for which the network predicts just that wrong label: 100 % has "
    "learned all of the noise by heart."
)
COST = (
    "Gradient evaluations are forward-backward passes over a batch; seconds are wall time of training and evaluation "
    "of one run. Both are means per run, at equal numbers of epochs, not at equal cost."
)
TUNING = (
    "The radius of each perturbed method (for GSAM also alpha) was chosen from a grid by validation accuracy, on seeds "
    "that are not reported here, which split the same images in other ways (benchmarks/choose_radii.py). The settings "
    "of the base optimizer were not tuned against it, and are the same for all methods."
)
AT = {"last": "at the last epoch", "best": "at the best validation epoch"}


def plain(value: float | None, digits: int = 1) -> str:
    """A number with a true minus sign and thin groups of thousands; a dash where there is none."""
    if value is None:
        return "\N{EN DASH}"
    return f"{value:,.{digits}f}".replace(",", "\N{NARROW NO-BREAK SPACE}").replace("-", "\N{MINUS SIGN}")


def signed(value: float | None) -> str:
    """A difference with its sign; a dash where there is none."""
    return plain(value) if value is None else f"{value:+.1f}".replace("-", "\N{MINUS SIGN}")


def ends(value: Estimate) -> str:
    """``93.9 to 95.5``, with ``n = 4`` where runs are missing; in words where equal numbers give no interval."""
    if value["low"] is not None:
        interval = f"{plain(value['low'])} to {plain(value['high'])}"
    else:
        interval = "all seeds equal" if value["n"] >= LEAST else ""
    missing = f"n = {value['n']}" if 0 < value["n"] < len(value["per_seed"]) else ""
    return ", ".join(part for part in (interval, missing) if part)


def percent_ends(value: Estimate) -> str:
    """The same of a share in percent, with the interval cut at 0 and 100."""
    if value["low"] is None:
        return ends(value)
    return ends({**value, "low": max(0.0, value["low"]), "high": min(100.0, value["high"])})


def estimate(value: Estimate) -> str:
    """``94.7 (93.9 to 95.5)`` of a share in percent; the mean alone where there is no interval."""
    return plain(value["mean"]) + (f" ({percent_ends(value)})" if percent_ends(value) else "")


def signed_estimate(value: Estimate) -> str:
    """``+12.1 (10.3 to 13.9)``; the mean alone where there is no interval."""
    return signed(value["mean"]) + (f" ({ends(value)})" if ends(value) else "")


def plus_minus(form: Callable[[float | None], str], value: Estimate) -> str:
    """``94.7 ±0.8``: the mean in ``form`` and half the width of its interval, which is symmetric."""
    half = "" if value["low"] is None else f" \N{PLUS-MINUS SIGN}{plain((value['high'] - value['low']) / 2)}"
    return form(value["mean"]) + half


def entry(value: object) -> str:
    """One value of a configuration, as a reader would write it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(entry(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def listed(parts: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def headline(summary: Summary) -> str:
    """What helped at the last epoch and what of it remains at the best validation epoch, in one sentence."""
    base = label(summary["baseline"])
    rows = [row for row in summary["methods"][1:] if row["difference"]["last"]["mean"] is not None]
    rows.sort(key=lambda row: -row["difference"]["last"]["mean"])
    if not rows:
        row = summary["methods"][0]
        if row["accuracy"]["last"]["mean"] is None:
            return f"No run of {base}, the baseline, has finished, so that nothing can be compared with it yet."
        last, best = (estimate(row["accuracy"][point]) for point in AT)
        return f"{base} reaches {last} % test accuracy at the last epoch and {best} % at the best validation epoch."
    top = rows[0]
    name, last, best = label(top["method"]), top["difference"]["last"], top["difference"]["best"]
    if last["low"] is None:
        cause = "All seeds differ equally, which gives" if last["n"] >= LEAST else "Fewer than three seeds give"
        return (
            f"{cause} no interval: at the last epoch {name} differs from {base} by {signed(last['mean'])} "
            f"points, at the best validation epoch by {signed(best['mean'])}."
        )
    above = [label(row["method"]) for row in rows if _side(row["difference"]["last"]) > 0]
    if not above:
        return (
            f"No method is told apart from {base} for the better at the last epoch: the highest, {name}, differs by "
            f"{signed_estimate(last)} points, and by {signed_estimate(best)} at the best validation epoch."
        )
    most = f", {name} by most:" if len(above) > 1 else " by"
    return (
        f"{listed(above)} {'ends' if len(above) == 1 else 'end'} above {base} at the last epoch{most} "
        f"{signed_estimate(last)} points; {_remainder(name, best)}."
    )


def findings(summary: Summary) -> list[str]:
    """One sentence for the last and one for the best epoch: the baseline, and every method beside it by its side."""
    return [_finding(summary, point) for point in AT if summary["methods"][0]["accuracy"][point]["mean"] is not None]


def troubles(summary: Summary) -> list[str]:
    """One sentence for each run that failed, is missing, collapsed or skipped steps."""
    failed = [
        f"{label(failure['method'])}, seed {failure['seed']}, failed: {failure['reason']}"
        for failure in summary["failures"]
    ]
    failed += [f"{label(run['method'])}, seed {run['seed']}, has not run yet." for run in summary["missing"]]
    return failed + [f"{label(row['method'])}, {note}" for row in summary["methods"] for note in row["notes"]]


def unbroken(sentence: str) -> str:
    """The sentence with intervals in parentheses kept on one line."""
    return re.sub(r"\([^)]*\)", lambda interval: interval[0].replace(" ", "\N{NO-BREAK SPACE}"), sentence)


def describe_accuracy(summary: Summary) -> str:
    """The accuracy figure in words, for those who cannot see it."""
    rows = [
        f"{label(row['method'])} {estimate(row['accuracy']['last'])} last, {estimate(row['accuracy']['best'])} best"
        for row in summary["methods"]
    ]
    return f"Test accuracy in percent by method, mean and interval: {'; '.join(rows)}."


def describe_differences(summary: Summary) -> str:
    """The figure of paired differences in words."""
    rows = [
        f"{label(row['method'])} {signed_estimate(row['difference']['last'])} last, "
        f"{signed_estimate(row['difference']['best'])} best"
        for row in summary["methods"][1:]
    ]
    return f"Paired difference to {label(summary['baseline'])} in points of test accuracy: {'; '.join(rows)}."


def describe_curves(curves: Curves, ylabel: str) -> str:
    """A figure of curves in words: where each method's mean starts, and where it ends."""
    parts = []
    for method, seeds in curves.items():
        if seeds:
            start, end = ([seed[place] for seed in seeds if seed[place] is not None] for place in (0, -1))
            parts.append(f"{label(method)} from {_mean(start)} to {_mean(end)}")
    return f"Curves over epochs of {ylabel}, mean over seeds: {'; '.join(parts)}."


def facts(study: Study, summary: Summary) -> list[tuple[str, str]]:
    """How it was measured: terms and what they mean here."""
    methods, seeds = len(summary["methods"]), [str(seed) for seed in summary["seeds"]]
    parts = [
        (
            "Runs",
            f"{methods} methods \N{MULTIPLICATION SIGN} {len(seeds)} seeds ({listed(seeds)}); "
            f"{len(study.results)} of {methods * len(seeds)} runs finished.",
        ),
        ("Data", _data(next(iter(study.results.values())).config)),
        ("Pairing", PAIRING),
        ("Perturbation", _perturbation(study)),
        ("Tuning", _tuning(study)),
        ("Accuracy", ACCURACY),
    ]
    if any(row["flipped_fitted"]["last"]["mean"] is not None for row in summary["methods"]):
        parts.append(("Flipped labels fitted", FLIPPED))
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
    estimates = [row[name][point] for row in summary["methods"] for name in ("accuracy", "difference") for point in AT]
    counts = {value["n"] for value in estimates}
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


def _tuning(study: Study) -> str:
    changed = {
        method
        for (method, _), run in study.results.items()
        if run.recipe not in RECIPES or RECIPES[run.recipe]().method != run.config.method
    }
    if not changed:
        return TUNING
    names = listed([label(method) for method in study.methods if method in changed])
    return f"{TUNING} This does not hold for {names}, whose settings here are not those of the recipe."


def _data(config: RunConfig) -> str:
    text = " ".join((inspect.getdoc(type(config.data)) or "").split())
    if config.data.flipped:
        text += (
            f" {100 * config.data.flipped:g} % of the training and of the validation labels are moved to another "
            "class; the test labels are clean."
        )
    return text


def _environment(environment: Mapping[str, Any]) -> tuple[str, str]:
    named = (
        ("hardware", ""), ("threads", "torch threads "), ("python", "Python "), ("torch", "torch "),
        ("numpy", "NumPy "), ("samnesia", "samnesia "), ("commit", "commit "),
    )  # fmt: skip
    return "Ran on", ", ".join(f"{prefix}{environment[key]}" for key, prefix in named if environment.get(key)) + "."


def _finding(summary: Summary, point: str) -> str:
    base = summary["methods"][0]
    groups: dict[str, list[str]] = {
        "above it": [], "not told apart from it": [], "below it": [], "differing from it, without an interval": []
    }  # fmt: skip
    for row in sorted(summary["methods"][1:], key=lambda row: -(row["difference"][point]["mean"] or 0.0)):
        difference = row["difference"][point]
        if difference["mean"] is not None:
            side = ("not told apart from it", "above it", "below it")[_side(difference)]
            side = side if difference["low"] is not None else "differing from it, without an interval"
            groups[side].append(f"{label(row['method'])} {signed_estimate(difference)}")
    told = "; ".join(f"{side}: {', '.join(names)}" for side, names in groups.items() if names)
    start = f"{AT[point].capitalize()} {label(base['method'])} reaches {estimate(base['accuracy'][point])} %"
    return f"{start}; {told}." if told else f"{start}."


def _remainder(name: str, best: Estimate) -> str:
    at = "at the best validation epoch"
    if best["low"] is None:
        cause = "all seeds differ equally" if best["n"] >= LEAST else "there are fewer than three seeds"
        return f"{at} {name} has no interval, because {cause}"
    if _side(best) > 0:
        return f"{at} {signed_estimate(best)} remain"
    if _side(best) < 0:
        return f"{at} {name} is below, by {signed_estimate(best)}"
    return f"{at} {name} is not told apart from it, with {signed_estimate(best)}"


def _side(difference: Estimate) -> int:
    """1 above zero, -1 below, 0 where the interval holds zero or does not exist."""
    if difference["low"] is None:
        return 0
    return int(difference["low"] > 0.0) - int(difference["high"] < 0.0)


def _mean(values: Sequence[float | None]) -> str:
    present = [value for value in values if value is not None]
    return plain(sum(present) / len(present)) if present else plain(None)
