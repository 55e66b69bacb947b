"""Put the front of accuracy against cost into README and docs/findings/cost.md: `python scripts/update_front.py`.

From the numbers of the study `cost` that `scripts/update_findings.py` has kept, `docs/findings/cost.json`, and from
nothing else. A method is on the front where no other one is as good, by the mean, for as little or less.
`tests/test_front.py` holds README and page against that file.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from samnesia.study.judging.reduction import error_reduction
from samnesia.study.judging.statistics import Interval
from samnesia.study.report.figures import marks, style
from samnesia.study.report.figures.plates import write_files
from samnesia.study.report.figures.style import label, spread

ROOT = Path(__file__).resolve().parent.parent
STORED, PAGE, README = (ROOT / place for place in ("docs/findings/cost.json", "docs/findings/cost.md", "README.md"))
FIGURES = ROOT / "docs" / "findings" / "front"
START, END = "<!-- front: made by scripts/update_front.py -->", "<!-- /front -->"
PROBLEM = "digits-noisy"
PLAIN, FULL = "sgd", "sam"
SHARE, HOPE = 95.0, 1.15
"""Percent of SAM's gain that is to be kept, and the cost in plain trainings at which it was hoped for."""
CURVES = {
    "SAM over fewer epochs": ("sam-0.5x", "sam-1.0x", "sam-1.2x", "sam-1.33x", "sam"),
    "SGD over fewer and more": ("sgd-0.5x", "sgd", "sgd-longer"),
}
BESIDE, NEAR, FEW = 0.08, 0.033, 6
"""Marks whose costs differ by less (in plain trainings) make room for each other's names; least distance of names, in
shares of the axis; and of more marks than so many the names stand on the left."""


@dataclass(frozen=True)
class Arm:
    """What a method costs and reaches on the problem."""

    name: str
    cost: float
    """Gradient evaluations, in those of plain training."""
    seconds: float
    """Likewise."""
    last: list
    """Test accuracy at the last epoch: mean, ends of the interval, number of runs, value by seed."""
    best: list
    """Likewise at the best validation epoch."""
    kept: Interval | None
    """Percent of what SAM gains over plain training, at the last epoch (Fieller)."""
    front: bool
    """Whether none is as good for as little or less."""

    @property
    def shortened(self) -> bool:
        """Whether it is SAM or SGD over another number of epochs."""
        return self.name.endswith(("x", "longer"))


def arms_of(stored: dict) -> list[Arm]:
    """All of them, the cheapest first."""
    rows = stored["means"]["rows"]
    rows = rows.get(PROBLEM) or rows[""]
    plain, full = rows[PLAIN], rows[FULL]
    gain = dict(enumerate(one - other for one, other in zip(full["last"][4], plain["last"][4], strict=True)))
    found = []
    for name, row in rows.items():
        missed = dict(enumerate(one - own for one, own in zip(full["last"][4], row["last"][4], strict=True)))
        beaten = any(
            other["gradient_evaluations"] <= row["gradient_evaluations"] and other["last"][0] > row["last"][0]
            for other in rows.values()
        )
        found.append(
            Arm(
                name,
                row["gradient_evaluations"] / plain["gradient_evaluations"],
                row["seconds"] / plain["seconds"],
                row["last"],
                row["best"],
                None if name in (PLAIN, FULL) else error_reduction(missed, gain),
                not beaten,
            )
        )
    return sorted(found, key=lambda arm: (arm.cost, -arm.last[0]))


def answer(arms: list[Arm]) -> str:
    """What keeps enough of SAM's gain for least: of everything, and of methods that train for all epochs."""
    (full,) = (arm for arm in arms if arm.name == FULL)
    (plain,) = (arm for arm in arms if arm.name == PLAIN)
    enough = [arm for arm in arms if arm.kept is not None and arm.kept.mean >= SHARE]
    methods = [arm for arm in enough if not arm.shortened and arm.cost < full.cost]
    gain = f"{SHARE:g} % of what SAM gains over SGD ({full.last[0] - plain.last[0]:.1f} points)"
    hoped = [arm for arm in methods if arm.cost <= HOPE]
    return " ".join(
        [
            f"For least, {gain} is kept by {told(enough[0])}." if enough else f"Nothing keeps {gain}.",
            f"Of methods that train for all epochs and cost less than SAM, it is kept by {listed(methods)}; at the "
            f"{HOPE:g} plain trainings that were hoped for, by {listed(hoped)}.",
        ]
    )


def listed(arms: list[Arm]) -> str:
    return " and ".join(map(told, arms)) or "none"


def told(arm: Arm) -> str:
    return f"`{arm.name}`, {percent(arm.kept)} at {arm.cost:.2f} plain trainings"


def section(stored: dict, *, whole: bool) -> str:
    """Answer, figure and table: of all methods, or of the front with SGD."""
    arms = arms_of(stored)
    folder = "front" if whole else "docs/findings/front"
    shown = [arm for arm in arms if whole or arm.front or arm.name == PLAIN]
    lines = [
        START,
        "",
        answer(arms),
        "",
        "<picture>",
        f'  <source media="(prefers-color-scheme: dark)" srcset="{folder}/front-dark.svg">',
        f'  <img src="{folder}/front.svg" alt="Test accuracy against gradient evaluations and against seconds, per '
        'method">',
        "</picture>",
        "",
        f"| method | gradient evaluations, of SGD's | seconds, of SGD's | test accuracy, last epoch | best epoch | "
        f"of SAM's gain, last epoch |{' on the front |' if whole else ''}",
        "|---|---|---|---|---|---|" + ("---|" if whole else ""),
        *(row(arm, whole) for arm in shown),
        "",
        about(stored, shown is not arms and not whole),
        "",
        END,
    ]
    return "\n".join(lines)


def row(arm: Arm, whole: bool) -> str:
    kept = percent(arm.kept) if arm.kept else ("100 %" if arm.name == FULL else "0 %")
    cells = [f"`{arm.name}`", f"{arm.cost:.2f}", f"{arm.seconds:.2f}", level(arm.last), level(arm.best), kept]
    return f"| {' | '.join(cells + ([('yes' if arm.front else '')] if whole else []))} |"


def about(stored: dict, front_alone: bool) -> str:
    seeds = stored["seeds"]
    environment = stored["environments"][0]
    which = "The front and SGD, of " if front_alone else "All "
    return (
        f"{which}{len(arms_of(stored))} methods on `{PROBLEM}`, the problem on which SAM gains most; mean [95 % "
        f"interval] over n = {len(seeds)} seeds. Radii of the cheaper methods were searched less than SAM's. Made by "
        f"`{stored['command']}` at commit {environment['commit']} on {environment['hardware']}, several runs at once, "
        "so that seconds are coarse."
    )


def percent(value: Interval) -> str:
    ends = "" if value.low is None else f" [{value.low:.0f}, {value.high:.0f}]"
    return f"{value.mean:.0f} %{ends}".replace("-", "\N{MINUS SIGN}")


def level(value: list) -> str:
    return f"{value[0]:.1f} [{value[1]:.1f}, {value[2]:.1f}]"


# The figure.


def draw(axes, palette, *, arms: list[Arm], by: str, words: str) -> None:
    """Accuracy against one of the costs, names beside the marks; against seconds those of the front, SGD and SAM."""
    places = {arm.name: (getattr(arm, by), arm.last[0]) for arm in arms}
    for number, (name, members) in enumerate(CURVES.items()):
        points = [places[member] for member in members if member in places]
        axes.plot(*zip(*points, strict=True), color=palette.methods[number + 1], linewidth=1.0, label=name, zorder=1)
    for arm in arms:
        colour = palette.ink if arm.front else palette.muted
        x = places[arm.name][0]
        axes.plot([x, x], arm.last[1:3], color=colour, linewidth=1.0, zorder=2)
        axes.plot(
            x, arm.last[0], "o", markersize=4.5, color=colour, mfc=colour if arm.front else palette.surface, zorder=3
        )
    marks.style_axes(axes, palette, grid="y")
    axes.set_xlim(min(x for x, _ in places.values()) - 0.15, max(x for x, _ in places.values()) + 0.45)
    axes.set_xlabel(words, color=palette.ink)
    axes.set_ylabel("test accuracy, last epoch (%)", color=palette.ink)
    axes.legend(loc="lower left", frameon=False, labelcolor=palette.ink)
    means = [arm.last[0] for arm in arms]
    axes.set_ylim(min(means) - 3.0, max(means) + 3.0)  # the interval of one that collapses on some seeds goes on
    said = [arm for arm in arms if arm.front or arm.name in (PLAIN, FULL) or (by == "cost" and not arm.shortened)]
    name_marks(axes, palette, said, places)


def name_marks(axes, palette, arms: list[Arm], places: dict) -> None:
    low, high = axes.get_ylim()
    columns: list[list[Arm]] = []
    for arm in sorted(arms, key=lambda arm: places[arm.name]):
        if columns and places[arm.name][0] - places[columns[-1][0].name][0] < BESIDE:
            columns[-1].append(arm)
        else:
            columns.append([arm])
    for column in columns:  # marks of about one cost: their names make room for each other
        heights = spread([places[arm.name][1] for arm in column], gap=NEAR * (high - low))
        side, turned = (-5, "right") if len(column) > FEW else (5, "left")
        lift = 8 if column is columns[0] else 0  # above the names that the next column has on its left
        for arm, height in zip(column, heights, strict=True):
            axes.annotate(
                label(arm.name), (places[arm.name][0], height), xytext=(side, lift), textcoords="offset points",
                va="center", ha=turned,
                fontsize=6.5, color=palette.ink if arm.front else palette.muted,
            )  # fmt: skip


def draw_all(arms: list[Arm]) -> None:
    """`front.svg` and `front-dark.svg`."""
    from functools import partial

    panels = [
        partial(draw, arms=arms, by="cost", words="gradient evaluations, in those of SGD"),
        partial(draw, arms=arms, by="seconds", words="seconds, in those of SGD"),
    ]
    with style.style_context():
        for name, palette in (("front", style.LIGHT), ("front-dark", style.DARK)):
            write_files(FIGURES, name, panels, palette, 4.6)
            (FIGURES / f"{name}.png").unlink()


def with_section(page: str, part: str) -> str:
    """The page with the part in place of the one it has."""
    before, _, rest = page.partition(START)
    return before + part + rest.partition(END)[2]


def main() -> None:
    """Draw and rewrite."""
    stored = json.loads(STORED.read_text())
    draw_all(arms_of(stored))
    for page, whole in ((PAGE, True), (README, False)):
        page.write_text(with_section(page.read_text(), section(stored, whole=whole)))


if __name__ == "__main__":
    main()
