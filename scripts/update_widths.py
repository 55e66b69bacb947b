"""Put the results of the study of widths into docs/widths.md: `python scripts/update_widths.py runs/widths`.

Copies the accuracies of all runs and the verdicts to `docs/findings/widths.json`, draws the figures beside it, and
rewrites what stands between the markers, from that file alone. `tests/test_findings.py` holds the page against it.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np

from samnesia.measure import figures
from samnesia.study.named import peaks
from samnesia.study.named.widths import FAMILIES, GEOMETRIES, PLAIN, method_name, net_name

ROOT = Path(__file__).resolve().parent.parent
PAGE, DATA = ROOT / "docs" / "widths.md", ROOT / "docs" / "findings"
START, END = "<!-- widths: made by scripts/update_widths.py -->", "<!-- /widths -->"
MEASURES = {"test": "last.test_accuracy", "validation": "last.validation_accuracy"}
DASH = "\N{EN DASH}"
TITLES = {"mlp": "MLP", "cnn": "CNN", "vit": "ViT"}
ALL_WITHIN = peaks.STEP**2
"""All best radii within a grid step of one radius: the largest over the smallest."""


class Results:
    """What the page says, from the figures of the runs."""

    def __init__(self, stored: dict, measure: str = "test") -> None:
        """By net and method, a figure per seed."""
        self.scores = {net: {m: np.array(of) for m, of in row.items()} for net, row in stored[measure].items()}

    def curve(self, net: str, geometry: str) -> np.ndarray:
        """Accuracy, [seeds, radii]."""
        return np.stack([self.scores[net][method_name(geometry, rho)] for rho in GEOMETRIES[geometry].radii], axis=1)

    def peak(self, net: str, geometry: str) -> peaks.Peak:
        """The best radius."""
        return peaks.peak(GEOMETRIES[geometry].radii, self.curve(net, geometry), self.scores[net][PLAIN])

    def transfer(self, nets: list[str], geometry: str) -> peaks.Transfer:
        """Whether one radius serves these nets."""
        curves = {net: self.curve(net, geometry) for net in nets}
        return peaks.transfer(GEOMETRIES[geometry].radii, curves, {net: self.scores[net][PLAIN] for net in nets})

    def exponent(self, family: str, geometry: str) -> float | None:
        """The b of radius = a width^b, where all five are determined."""
        best = [self.peak(net, geometry).rho for net in nets_of(family)]
        return None if None in best else peaks.exponent(FAMILIES[family].widths, best)

    def cost(self, family: str, geometry: str) -> list[float] | None:
        """Points that the common radius, rounded to the grid, loses at each width against the best one of the grid."""
        common = self.transfer(nets_of(family), geometry).common
        if common is None:
            return None
        radii = np.array(GEOMETRIES[geometry].radii)
        place = int(np.argmin(np.abs(np.log(radii / common))))
        means = [self.curve(net, geometry).mean(0) for net in nets_of(family)]
        return [float(of.max() - of[place]) for of in means]


def nets_of(family: str) -> list[str]:
    return [net_name(family, width) for width in FAMILIES[family].widths]


def section(stored: dict) -> str:
    """Answer, best radii, what a common radius costs, verdicts."""
    results = Results(stored)
    environment = stored["environment"]
    about = (
        f"Made by `{stored['command']}` at commit {environment['commit']} with torch {environment['torch']} on "
        f"{environment['hardware']}, {environment['threads']} thread a run; seeds "
        f"{', '.join(map(str, stored['seeds']))}."
    )
    return "\n".join(
        [
            START,
            "",
            about,
            "",
            "### Does one radius hold?",
            "",
            answers(results),
            "",
            "### Best radii",
            "",
            "[2.5 and 97.5 % over draws of seeds]; in round brackets the best radius by validation.",
            "",
            best_radii(results, Results(stored, "validation")),
            "",
            "![Best radius over width, by family and ball](findings/widths_best.svg)",
            "",
            "![Test accuracy over the radius, a line per width](findings/widths_curves.svg)",
            "",
            "### Verdicts on one radius for all widths",
            "",
            verdicts(stored),
            "",
            END,
        ]
    )


def answers(results: Results) -> str:
    """A row per ball and family: spread, exponent, and what the common radius costs."""
    lines = [
        "| ball | family | largest / smallest best radius | within one grid step | common radius | b of width^b | "
        "points lost with it, by width |",
        "|---|---|---|---|---|---|---|",
    ]
    for geometry in GEOMETRIES:
        for family in FAMILIES:
            found = results.transfer(nets_of(family), geometry)
            b, cost = results.exponent(family, geometry), results.cost(family, geometry)
            lines.append(
                f"| `{geometry}` | {TITLES[family]} | {ratio(found)} | "
                f"{'**yes**' if found.holds else 'no'} | {number(found.common)} | "
                f"{DASH if b is None else f'{b:+.2f}'} | "
                f"{DASH if cost is None else ', '.join(f'{of:.1f}' for of in cost)} |"
            )
        everything = results.transfer([net for family in FAMILIES for net in nets_of(family)], geometry)
        one = everything.spread is not None and everything.spread <= ALL_WITHIN
        lines.append(
            f"| `{geometry}` | all 15 nets | {ratio(everything)} | "
            f"{'**yes**' if one else 'no'} (of one radius) | {number(everything.common)} | | |"
        )
    return "\n".join(lines)


def best_radii(results: Results, validation: Results) -> str:
    """A row per net, a column per ball."""
    lines = [
        f"| net | plain, % | {' | '.join(f'`{geometry}` | best, %' for geometry in GEOMETRIES)} |",
        f"|---|---|{'---|---|' * len(GEOMETRIES)}",
    ]
    for family in FAMILIES:
        for net in nets_of(family):
            plain = float(results.scores[net][PLAIN].mean())
            cells = [f"{plain:.1f}"]
            for geometry in GEOMETRIES:
                found = results.peak(net, geometry)
                by_validation = validation.peak(net, geometry)
                shown = interval(found.rho, found.low, found.high)
                if found.doubt:
                    shown = f"{found.doubt}: {found.best:g}" if found.doubt == "edge" else found.doubt
                cells += [f"{shown} ({number(by_validation.rho)})", f"{plain + found.gain:.1f}"]
            lines.append(f"| {net} | {' | '.join(cells)} |")
    return "\n".join(lines)


def verdicts(stored: dict) -> str:
    """A row per family, a column per ball: the radius, the verdict, and the points over plain training."""
    found = {(one["family"], one["geometry"]): one for one in stored["verdicts"]}
    lines = [
        f"| better than plain training by a point, over five widths | {' | '.join(f'`{of}`' for of in GEOMETRIES)} |",
        f"|---|{'---|' * len(GEOMETRIES)}",
    ]
    for family in FAMILIES:
        cells = [
            f"at {GEOMETRIES[geometry].fixed[family]:g}: **{one['verdict']}** {one['effect']:+.1f} "
            f"[{one['low']:+.1f}, {one['high']:+.1f}]"
            for geometry in GEOMETRIES
            for one in [found[family, geometry]]
        ]
        lines.append(f"| {TITLES[family]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def number(value: float | None) -> str:
    """To two digits."""
    return DASH if value is None else f"{float(f'{value:.2g}'):g}"


def ratio(found: peaks.Transfer) -> str:
    """Largest over smallest, to two decimals, as the limit is 2."""
    ends = "" if found.low is None or found.high is None else f" [{found.low:.2f}, {found.high:.2f}]"
    return DASH if found.spread is None else f"{found.spread:.2f}{ends}"


def interval(value: float | None, low: float | None, high: float | None) -> str:
    """With its interval."""
    ends = "" if low is None or high is None else f" [{number(low)}, {number(high)}]"
    return f"{number(value)}{ends}"


def draw(stored: dict) -> None:
    """Write both figures."""
    results = Results(stored)
    with figures.style():
        figures.save(best_figure(results), DATA, "widths_best")
        figures.save(curves_figure(results), DATA, "widths_curves")
    for path in DATA.glob("widths_*.png"):
        path.unlink()  # the page shows the SVG


def best_figure(results: Results):
    """Best radius over width: a panel per family, a line per ball."""
    figure, axes = figures.panels(len(FAMILIES))
    for one, family in zip(axes, FAMILIES, strict=True):
        widths = FAMILIES[family].widths
        for place, geometry in enumerate(GEOMETRIES):
            look = {"color": figures.colour(place), "marker": figures.marker(place), "label": geometry}
            found = [results.peak(net, geometry) for net in nets_of(family)]
            rho = [math.nan if of.rho is None else of.rho for of in found]
            errors = [
                [0.0 if of.rho is None or of.low is None else max(0.0, of.rho - of.low) for of in found],
                [0.0 if of.rho is None or of.high is None else max(0.0, of.high - of.rho) for of in found],
            ]
            one.errorbar(widths, rho, yerr=errors, linewidth=1.4, markersize=4, capsize=2, **look)
        common = results.peak(nets_of(family)[2], "l2").rho
        if common is not None:
            root = [common * (width / widths[2]) ** 0.5 for width in widths]
            one.plot(widths, root, color=figures.RULE, linewidth=1.2, zorder=0)
        one.set(xscale="log", yscale="log", xlabel="width", ylabel="best radius", title=TITLES[family], ylim=(0.006, 4))
        one.set_xticks(widths, [str(width) for width in widths])
        one.minorticks_off()
        figures.tidy(one)
    handles = [
        figures.sample(geometry, color=figures.colour(place), marker=figures.marker(place))
        for place, geometry in enumerate(GEOMETRIES)
    ]
    figures.name_below(figure, [*handles, figures.sample("√width, through the middle l2", color=figures.RULE)])
    return figure


def curves_figure(results: Results):
    """Accuracy over the radius: a row per ball, a column per family, a line per width."""
    figure, axes = figures.panels(len(GEOMETRIES) * len(FAMILIES), height=2.3)
    places = iter(axes)
    for geometry, of in GEOMETRIES.items():
        for family in FAMILIES:
            one = next(places)
            for place, net in enumerate(nets_of(family)):
                look = {"color": SHADES[place], "label": net.partition("-")[2]}
                one.plot(
                    of.radii, results.curve(net, geometry).mean(0), marker="o", markersize=2.5, linewidth=1.1, **look
                )
                found = results.peak(net, geometry).rho
                if found is not None:
                    one.axvline(found, color=SHADES[place], linewidth=0.8, linestyle=":")
            one.set(xscale="log", xlabel=f"radius ({geometry})", ylabel="test accuracy, %", title=TITLES[family])
            one.set_ylim(bottom=40)
            figures.tidy(one, legend=True)
    return figure


SHADES = ("#9ecae1", "#6baed6", "#4292c6", "#2171b5", "#08306b")
"""Light to dark: narrow to wide."""


def stored_of(out: Path) -> dict:
    """What is kept of a study's directory."""
    from samnesia.study.engine.run import read_results
    from samnesia.study.judging.verdicts import judge

    results = read_results(out)
    table = results.table
    unfinished = table[table["status"] != "finished"]
    if len(unfinished):
        raise SystemExit(f"{len(unfinished)} runs of {out} have not finished: run the study's command again")
    seeds = sorted(int(seed) for seed in table["seed"].unique())
    figures_of = {
        name: {
            str(net): {str(method): one.sort_values("seed")[value].tolist() for method, one in of.groupby("method")}
            for net, of in table.groupby("net")
        }
        for name, value in MEASURES.items()
    }
    summary = json.loads((out / "compare.json").read_text())
    return {
        "command": f"samnesia study {results.design.name}",
        "environment": summary["environments"][0],
        "environments": len(summary["environments"]),
        "seeds": seeds,
        "verdicts": [claimed(one) for one in judge(results.design, table)],
        **figures_of,
    }


def claimed(verdict) -> dict:
    """What the page says of a verdict; levels are GEOMETRY-RADIUS and FAMILY-WIDTH."""
    hypothesis, estimate = verdict.hypothesis, verdict.estimate
    return {
        "claim": hypothesis.claim,
        "geometry": hypothesis.treatment["method"].partition("-")[0],
        "family": hypothesis.over["net"][0].partition("-")[0],
        "verdict": verdict.verdict,
        "effect": estimate.effect,
        "low": estimate.low,
        "high": estimate.high,
        "sentence": verdict.sentence,
    }


def with_section(page: str, stored: dict) -> str:
    """The page with the section in place of the one it has."""
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    return before + section(stored) + after


def main() -> None:
    """Copy, draw and rewrite."""
    stored = stored_of(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/widths"))
    DATA.mkdir(parents=True, exist_ok=True)
    (DATA / "widths.json").write_text(json.dumps(stored) + "\n")
    draw(stored)
    PAGE.write_text(with_section(PAGE.read_text(), stored))


if __name__ == "__main__":
    main()
