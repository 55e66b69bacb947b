"""The figure of error reduction: what lies far out is not left out without a word."""

from matplotlib.figure import Figure

from samnesia.study.report.figures.style import LIGHT
from samnesia.study.report.figures.switching import switching_plate
from samnesia.study.report.summary import summarize
from tests.study import synthetic


def test_what_lies_further_left_has_an_arrow_and_a_word(tmp_path):
    summary = summarize(synthetic.problems(tmp_path, contexts=2, arms=3, seeds=3))
    assert "An arrow" not in switching_plate(summary).caption
    row = summary["contexts"][0]["methods"][1]["error_reduction"]
    for estimate in row.values():
        estimate.update(mean=-600.0, low=-700.0, high=-500.0)
    plate = switching_plate(summary)
    assert "An arrow at the edge stands for what lies further left." in plate.caption
    axes = Figure().add_subplot()
    plate.panels[0].draw(axes, LIGHT)
    assert [line.get_marker() for line in axes.get_lines()].count("<") == len(row)
