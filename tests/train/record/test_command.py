"""``--record`` on the command line."""

from __future__ import annotations

import pytest

from samnesia.cli import main
from samnesia.commands.words import configuration
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.config import RecordForgetting, Recording, RecordSharpness
from tests.train.small import lines

SMALL = ("--epochs", "2", "--data.train", "80", "--batch-size", "20", "--record.points", "3", "--record.samples", "60")


def recorded(*words: str) -> Recording:
    """What these words make of a recipe."""
    config, _, _ = configuration(["digits-noisy-sam", *words])
    return config.record


def test_measures_are_named():
    assert recorded() == Recording()
    assert recorded("--record", "forgetting", "sharpness") == Recording(RecordForgetting(), RecordSharpness())
    assert recorded("--record", "sharpness", "--seed", "3") == Recording(sharpness=RecordSharpness())
    assert recorded("--seed", "3", "--record", "forgetting") == Recording(RecordForgetting())
    assert recorded("--record.forgetting.kind", "RecordForgetting") == Recording(RecordForgetting())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--record"], "cannot record nothing; name a measure behind --record: forgetting, sharpness"),
        (["--record", "--seed"], "cannot record nothing"),
        (["--record", "forgeting"], "there is no such measure; did you mean 'forgetting'?"),
        (["--record", "forgetting", "--record", "sharpness"], "cannot set --record twice"),
        (["--record", "sharpness", "sharpness"], "twice"),
    ],
)
def test_what_names_no_measure_is_refused(words, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        recorded(*words)


def test_a_run_is_recorded_with_options_of_its_own(tmp_path, capsys):
    out = tmp_path / "run"
    words = ["train", "digits-noisy-sam", "--out", str(out), "--record", "forgetting", "sharpness", *SMALL,
             "--record.forgetting.rho", "0.3"]  # fmt: skip
    assert main(words) == 0, capsys.readouterr().err
    found = lines(out / "records.jsonl")
    assert [line["step"] for line in found] == [0, 2, 5]
    assert all(line["forgetting"]["common"]["norm"]["value"] == pytest.approx(0.3, rel=1e-5) for line in found)
    assert found[0]["sharpness"]["rho"] == 0.05
