"""``samnesia evaluate`` in two processes is that in one, bit by bit; files come from the one that leads."""

import shutil
from dataclasses import replace

import pytest

from samnesia.train.config import Evaluation
from samnesia.train.recipes import find
from tests.train.distributed.evaluations import evaluated, refused
from tests.train.small import trained

CHEAP = (
    *("--samples", "150", "--batch-size", "32", "--noisy-weights.draws", "2"),
    *("--adversaries.steps", "3", "--adversaries.linf", "0.03", "--adversaries.l2", "0.5"),
    *("--corruptions.families", "gaussian-noise", "pixelate", "--corruptions.severities", "1", "5"),
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A run on digits with wrong labels."""
    out = tmp_path_factory.mktemp("digits") / "sgd"
    trained(replace(find("digits-noisy-sgd"), epochs=2, evaluation=Evaluation(every_epochs=2)), out)
    return out


def decisive(content):
    """What does not depend on when and where it was measured."""
    measures = [{name: value for name, value in one.items() if name != "seconds"} for one in content["measures"]]
    return {
        **{name: value for name, value in content.items() if name not in ("environment", "command")},
        "measures": measures,
    }


def test_all_suites_give_the_same_numbers_on_two_processes(ranks, digits, tmp_path):
    words = [str(digits), *CHEAP]
    (first, there), (second, _) = ranks.run(evaluated, words, tmp_path / "two")
    code, alone = evaluated(words, tmp_path / "one")
    assert first == second == code == 0
    assert decisive(there) == decisive(alone)
    assert {one["what"] for one in there["measures"]} >= {"clean", "corruptions", "noisy-weights"}
    assert (tmp_path / "two" / "report.html").exists() and not list((tmp_path / "two").rglob(".*.json*"))
    (first, again), _ = ranks.run(evaluated, words, tmp_path / "two")
    assert first == 0 and decisive(again) == decisive(there)
    assert [one["seconds"] for one in again["measures"]] == [one["seconds"] for one in there["measures"]]


def test_what_cannot_be_evaluated_ends_all_processes(ranks, digits, tmp_path):
    copied = shutil.copytree(digits, tmp_path / "damaged", symlinks=True)
    weights = next((copied / "checkpoints").glob("epoch0002*")) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    clean = ("--suite", "clean")
    codes = [code for code, _ in ranks.run(evaluated, [str(copied), *clean], tmp_path / "none")]
    assert codes == [2, 2] and not (tmp_path / "none").exists()
    (first, there), (second, _) = ranks.run(evaluated, [str(copied), str(digits), *clean], tmp_path / "some")
    assert first == second == 1 and {one["run"] for one in there["measures"]} == {"sgd"}


def test_what_one_process_cannot_read_is_refused_by_all(ranks):
    assert ranks.run(refused) == ["cannot read image 7"] * 2
