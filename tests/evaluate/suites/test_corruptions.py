"""The suite of corruptions: numbers, table, notes and figures, with and without a baseline."""

import pytest

from samnesia.evaluate.corruptions import Baseline, CorruptionErrors, corruption_errors, mce
from samnesia.evaluate.predictions import Sampled
from samnesia.evaluate.suites import corruption_figures
from samnesia.evaluate.suites.corruptions import Corruptions
from samnesia.examine.bench import Look
from samnesia.examine.chosen import choose
from samnesia.examine.run import examine
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.loaded import load
from tests.examine.small import Told

LOOK = Look(split="test", samples=60, batch_size=100)
FEW = ("fog", "jpeg", "spatter")


@pytest.fixture(scope="module")
def examined(trained, tmp_path_factory):
    """Two runs with three families at two severities, SGD's as the baseline."""
    suite = Corruptions(families=FEW, severities=(1, 4), baseline="sgd")
    chosen = choose([trained["sam"], trained["sgd"]])
    return suite, examine(chosen, [suite], LOOK, tmp_path_factory.mktemp("out"), Told())


def test_numbers_are_those_of_the_functions(examined, trained):
    suite, found = examined
    entries = {entry.label: entry.values for entry in found.entries("corruptions")}
    by_hand = {
        name: corruption_errors(load(trained[name]), Sampled(count=60), families=FEW, severities=(1, 4))
        for name in ("sam", "sgd")
    }
    assert {name: CorruptionErrors.from_dict(values) for name, values in entries.items()} == by_hand
    base = Baseline.of("sgd", [by_hand["sgd"]])
    assert all(values["baseline"] == base.as_dict() for values in entries.values())
    rows, scores = suite.rows(entries["sam"]), suite.scores(entries["sam"])
    assert scores["mCE, sgd is 100"].value == pytest.approx(mce(by_hand["sam"], base))
    assert suite.rows(entries["sgd"])["mCE, sgd is 100"] == "100.0 %"
    assert rows["error, mean of 2 corruptions"] == f"{by_hand['sam'].mean:.1f} %"  # spatter is beside the 15
    assert list(rows)[-3:] == [f"error under {name}" for name in FEW]
    assert {name for name, score in scores.items() if score.main} == set(list(rows)[:2])


def test_the_baseline_is_evaluated_once(trained, tmp_path, monkeypatch):
    asked = []

    def counted(loaded, *args, **options):
        asked.append(loaded.directory)
        return CorruptionErrors("test", 1, 10.0, (1,), {"fog": (20.0,)})

    monkeypatch.setattr("samnesia.evaluate.corruptions.corruption_errors", counted)
    monkeypatch.setattr(Corruptions, "figures", lambda self, entries: iter(()))
    chosen = choose([trained["sam"], trained["sgd"]])
    examine(chosen, [Corruptions(severities=(1,), baseline="sgd")], LOOK, tmp_path, Told())
    assert asked == [trained["sam"], trained["sgd"]]


def test_figures_are_drawn_and_what_is_left_out_is_said(examined):
    suite, found = examined
    names = {path.name for path in found.figures}
    assert names == {f"corruptions{end}.{kind}" for end in ("", "-severity", "-parallel") for kind in ("png", "svg")}
    grey = CorruptionErrors("test", 1, 10.0, (1,), {"fog": (20.0,)}, {"saturate": "grey images have no colours"})
    assert list(suite.notes(grey.as_dict())) == [
        "the corruption saturate is left out, because grey images have no colours"
    ]


def test_lines_of_a_group_have_its_colour():
    one = CorruptionErrors("test", 1, 10.0, (1, 2), {"fog": (20.0, 30.0), "snow": (25.0, 35.0)})
    two = CorruptionErrors("test", 1, 11.0, (1, 2), {"fog": (22.0, 33.0), "snow": (26.0, 37.0)})
    groups = {"sgd": [one, two], "sam": [two, one], "obf": [one]}
    panels = corruption_figures.over_severity(groups).axes
    assert [panel.get_title(loc="left") or panel.get_title() for panel in panels] == ["Mean", "Fog", "Snow"]
    lines = panels[1].lines
    assert [line.get_ydata().tolist() for line in lines[:2]] == [[10.0, 20.0, 30.0], [11.0, 22.0, 33.0]]
    colours = [line.get_color() for line in lines]
    assert colours[0] == colours[1] != colours[2] == colours[3] != colours[4]
    assert len(corruption_figures.parallel(groups).axes) == 2  # each other group over the first
    (axes,) = corruption_figures.by_family(groups).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Clean", "Fog", "Snow"]


def test_options_that_cannot_be_meant(trained, tmp_path):
    with pytest.raises(ConfigurationError, match="with severities 0, because there are 1 to 5"):
        Corruptions(severities=(0,))
    with pytest.raises(ConfigurationError, match="baseline 'adam', because no run is called so; use one of sam, sgd"):
        examine(choose([trained["sam"], trained["sgd"]]), [Corruptions(baseline="adam")], LOOK, tmp_path, Told())
    loaded = load(trained["sam"])
    assert Corruptions().against(loaded) is None
