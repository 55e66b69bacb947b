"""From a run onto other data: by one option, and what does not fit in one sentence."""

from dataclasses import replace

import pytest
import torch

from samnesia.cli import main
from samnesia.models.weights import read_weights
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.config import CNN, Checkpoints, Digits, Evaluation
from samnesia.train.log import read_config
from samnesia.train.loop import train
from samnesia.train.recipes import find
from samnesia.train.transfer import starting_from
from tests.train import small

LOW, HIGH = (0, 1, 2, 3, 4), (5, 6, 7, 8, 9)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short run of a small net on digits 0 to 4."""
    out = tmp_path_factory.mktemp("pretrained") / "low"
    config = replace(
        find("digits-sgd"), data=Digits(classes=LOW, train=200), model=CNN(channels=(4, 6), hidden=8), epochs=2,
        evaluation=Evaluation(every_epochs=2), checkpoints=Checkpoints(every_epochs=1, best=True),
    )  # fmt: skip
    small.quietly(train, config, out)
    return out


def test_one_command_transfers_a_run_onto_other_data(run, tmp_path, capsys):
    out = tmp_path / "tuned"
    words = [
        "train",
        "photographs-obf",
        "--start-from",
        str(run),
        "--data.side",
        "8",
        "--epochs",
        "1",
        "--out",
        str(out),
    ]
    assert main(words) == 0, capsys.readouterr().err
    config, recipe = read_config(out), find("photographs-obf")
    assert config.model == CNN(channels=(4, 6), hidden=8, weights=str(run), new_head=True)
    assert (config.method, config.optimizer) == (recipe.method, recipe.optimizer)
    net = config.model.build((1, 8, 8), 8)
    (name,) = (path for path in (run / "checkpoints").glob("epoch0002*"))
    theirs = read_weights(name / "model.safetensors")
    ours = net.state_dict()
    last = [key for key in ours if key.startswith(list(ours)[-1].partition(".")[0] + ".")]
    assert len(last) == 2  # the head alone is new, with as many classes as there are now
    for key, value in ours.items():
        assert torch.equal(value, theirs[key]) != (key in last), key
    assert ours[last[0]].shape == (8, 8)


def test_a_checkpoint_and_as_many_classes_start_with_a_new_head_too(run):
    config = starting_from(replace(find("digits-sgd"), data=Digits(classes=HIGH, train=50)), run / "checkpoints/best")
    assert config.model.new_head and config.model.weights == str(run / "checkpoints/best")
    heads = [list(one.build((1, 8, 8), 5).parameters())[-2]
             for one in (config.model, replace(config.model, new_head=False))]  # fmt: skip
    assert not torch.equal(*heads)
    assert small.quietly(train, replace(config, epochs=1, batch_size=10)).steps == 5


def test_what_was_transferred_can_be_transferred_again(run, tmp_path):
    first = replace(starting_from(find("digits-sgd"), run), epochs=1)
    small.quietly(train, first, tmp_path / "again")
    again = starting_from(find("digits-sgd"), tmp_path / "again")
    assert again.model == replace(first.model, weights=str(tmp_path / "again"))


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["photographs-sgd"], "for inputs of the same size"),
        (["digits-sgd", "--model.no-new-head"], "its head has 5; set new_head"),
    ],
)
def test_what_does_not_fit_is_one_sentence(run, tmp_path, capsys, words, part):
    assert main(["train", *words, "--start-from", str(run), "--epochs", "1", "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert part in line and line.startswith("samnesia: cannot start from")


def test_runs_that_are_none_and_models_of_ones_own_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="no such file"):
        starting_from(find("digits-sgd"), tmp_path / "nothing")
    small.quietly(train, small.config(epochs=1, checkpoints=Checkpoints()), tmp_path / "own")
    with pytest.raises(ConfigurationError, match=r"function of its user's own.*load_weights"):
        starting_from(find("digits-sgd"), tmp_path / "own")
