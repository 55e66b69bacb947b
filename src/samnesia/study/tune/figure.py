"""The score against each searched value."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from samnesia.study.report.figures.style import LIGHT, Palette, make_panels, style_context
from samnesia.study.tune.result import Trial
from samnesia.study.tune.space import Choice, Searched, typed
from samnesia.study.tune.tuning import Tuning

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "tune"
_HEIGHT = 3.0
_COLUMNS = 3
_ASIDE = 0.04


def write_figures(tuning: Tuning) -> list[Path]:
    """Write ``tune.png`` and ``tune.svg``: a panel for each searched field."""
    paths = [tuning.out / f"{NAME}.{kind}" for kind in ("png", "svg")]
    draws = [_panel(tuning, one) for one in tuning.plan.space.searched]
    with style_context():
        figure = make_panels(draws, LIGHT, _HEIGHT, columns=_COLUMNS)
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper left", frameon=False, fontsize=7,
                      ncols=2 if len(draws) == 1 else 4, handletextpad=0.3, columnspacing=1.0,
                      labelcolor=LIGHT.muted)  # fmt: skip
        figure.patch.set(facecolor=LIGHT.surface, alpha=1.0)
        for path in paths:
            figure.savefig(path, dpi=200, metadata={"Date": None} if path.suffix == ".svg" else None)
    return paths


def _panel(tuning: Tuning, one: Searched) -> Any:
    def draw(axes: Axes, palette: Palette) -> None:
        _draw(axes, palette, tuning, one)

    return draw


def _draw(axes: Axes, palette: Palette, tuning: Tuning, one: Searched) -> None:
    plan, best = tuning.plan, tuning.best
    own, found = palette.methods[0], palette.methods[1]
    axes.axvline(_position(one, plan.space.own[one.name]), color=own, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1,
                 label="the recipe's own")  # fmt: skip
    finished = [trial for trial in tuning.trials if trial.ending == "finished"]
    for trial in finished:
        place = _place(one, trial)
        axes.plot([place] * len(trial.scores), trial.scores, "o", markersize=2.4, color=found, alpha=0.5, mew=0)
        if len(trial.scores) > 1:
            axes.plot([place] * 2, [min(trial.scores), max(trial.scores)], color=found, linewidth=0.8, alpha=0.5)
    _points(axes, one, finished, "o", found, "mean over the seeds, each seed small")
    given_up = [trial for trial in tuning.trials if trial.ending != "finished" and trial.score is not None]
    _points(axes, one, given_up, "x", palette.muted, "given up, as it was then")
    if best is not None and best.score is not None:
        axes.plot(_place(one, best), best.score, "o", markersize=10, mfc="none", mew=1.2,
                  color=palette.methods[2], label="best", zorder=5)  # fmt: skip
    _axes(axes, palette, tuning, one)


def _points(axes: Axes, one: Searched, trials: list[Trial], marker: str, colour: str, label: str) -> None:
    if trials:
        places = [_place(one, trial) for trial in trials]
        axes.plot(
            places,
            [float(trial.score or 0.0) for trial in trials],
            marker,
            markersize=5.2,
            color=colour,
            label=label,
            zorder=4,
        )


def _axes(axes: Axes, palette: Palette, tuning: Tuning, one: Searched) -> None:
    axes.patch.set_alpha(0.0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color(palette.muted)
    axes.grid(axis="y", color=palette.rule, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=palette.muted, labelcolor=palette.ink, length=3, width=0.7)
    axes.set_xlabel(one.name, color=palette.ink)
    score = tuning.plan.score
    axes.set_ylabel(score.curve.replace("_", " ") + (f" ({score.unit})" if score.unit else ""), color=palette.ink)
    if isinstance(one, Choice):
        axes.set_xticks(range(len(one.options)), [typed(option) for option in one.options])
        axes.set_xlim(-0.5, len(one.options) - 0.5)
    elif one.log:
        from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())


def _place(one: Searched, trial: Trial) -> float:
    """Where a trial is drawn; of a choice, those of one option lie side by side."""
    aside = _ASIDE * (trial.number * 4 % 9 - 4) if isinstance(one, Choice) else 0.0
    return _position(one, trial.values[one.name]) + aside


def _position(one: Searched, value: Any) -> float:
    return float(one.options.index(value)) if isinstance(one, Choice) else float(value)
