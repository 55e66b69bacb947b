"""The part about subspaces: what it tells of a line, and that it has nothing to say of one net."""

import pytest

from samnesia.examine.chosen import choose
from samnesia.examine.parts import PARTS, USUAL, Subspace
from samnesia.examine.run import examine
from samnesia.perturb.errors import ConfigurationError, SamnesiaError
from samnesia.train.config import Line, Simplex
from samnesia.train.log import read_result
from tests.examine.small import LOOK, Told
from tests.train.small import config, trained


def test_a_line_and_a_simplex_are_drawn_with_their_ends_together(tmp_path):
    for name, shape in (("line", Line()), ("simplex", Simplex(n=3))):
        trained(config(subspace=shape, epochs=1), tmp_path / name)
    chosen = choose([tmp_path / "line", tmp_path / "simplex"])
    part = Subspace(points=3)
    found = examine(chosen, [part], LOOK, tmp_path / "out", Told())
    assert {path.stem for path in found.figures} == {"subspace-line", "subspace-simplex"}
    line, simplex = found.entries("subspace")
    accuracy = read_result(tmp_path / "line").last["test_accuracy"]
    assert part.rows(line.values)["centre accuracy"] == f"{accuracy:.1f} %"
    assert [len(entry.values["ways"]) for entry in (line, simplex)] == [1, 3]
    figures = dict(part.figures([line, simplex]))
    assert [len(axes.lines) for axes in figures["subspace-line"].axes] == [4, 4]  # way, two ends, ends together
    assert [len(axes.lines) for axes in figures["subspace-simplex"].axes] == [7, 7]  # three ways, their ends
    level = figures["subspace-line"].axes[0].lines[-1].get_ydata()
    assert list(level) == [pytest.approx(100 * line.values["ensemble"]["accuracy"])] * 2
    assert list(part.notes(line.values)) == [
        "a line, on 19 test samples; BatchNorm's statistics are estimated anew at each place, from all training "
        "samples without augmentation"
    ]


def test_of_one_net_there_is_nothing_to_say(tmp_path):
    trained(config(epochs=1), tmp_path / "net")
    with pytest.raises(SamnesiaError, match="because the run trained one net"):
        examine(choose([tmp_path / "net"]), [Subspace()], LOOK, tmp_path / "out", Told())
    assert "subspace" in PARTS and "subspace" not in USUAL


def test_a_way_has_two_ends():
    with pytest.raises(ConfigurationError, match="cannot look along a subspace at 1 places"):
        Subspace(points=1)
