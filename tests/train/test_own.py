"""A user's own problem: data, model, loss and measure from a file, from the configuration to the result."""

import json
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchmetrics import MeanAbsoluteError

from samnesia.data.problem import Problem, TensorSplit
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.config import SGD, CrossEntropy, Digits, OwnData, OwnLoss, OwnModel, RunConfig
from samnesia.train.loop import resume, train
from samnesia.train.own import find_recipe
from samnesia.train.parts.methods import SAM
from samnesia.train.recipes import find

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def load(seed):
    """A line with noise; the second input is a weight of the sample that the model takes as it is."""
    x = torch.linspace(-1, 1, 50)[:, None]
    noise = 0.1 * torch.randn(50, generator=torch.Generator().manual_seed(seed))
    y = 3 * x[:, 0] + noise
    held_out = torch.arange(50) % 5 == 0
    return {"train": Weighted(x[~held_out], y[~held_out]), "test": Weighted(x[held_out], y[held_out])}


class Weighted(torch.utils.data.TensorDataset):
    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return {"x": x, "weight": torch.ones(1)}, y


class Line(nn.Linear):
    def forward(self, batch):
        return (batch["weight"] * super().forward(batch["x"])).squeeze(1)


def line(shape, num_outputs):
    return Line(shape[0], num_outputs)


def huber(output, target):
    return F.huber_loss(output, target)


def mae():
    return MeanAbsoluteError()


def config(**changes):
    whole = RunConfig(
        recipe="line",
        data=OwnData(load, num_outputs=1),
        model=OwnModel(line),
        loss=OwnLoss(huber, measure=mae, name="mae", unit="mm", higher_is_better=False),
        optimizer=SGD(lr=0.1),
        method=SAM(rho=0.01),
        epochs=3,
        batch_size=15,
    )
    return replace(whole, **changes)


def test_a_run_of_own_parts_is_judged_by_its_own_measure():
    result = train(config())
    assert result.judged_by == {"split": "test", "measure": "mae", "unit": "mm", "higher_is_better": False}
    assert result.chosen_on == "test"
    assert result.curves["test_mae"][-1] < result.curves["test_mae"][0]
    assert result.score("last") == result.last["test_mae"]
    assert result.score("best") == min(result.curves["test_mae"])
    assert {"train_loss", "test_loss", "train_mae"} <= result.curves.keys()
    assert result.perturbed_steps == 6


def test_without_a_measure_the_loss_judges():
    result = train(config(loss=OwnLoss(huber), epochs=1))
    assert (result.judged_by["measure"], result.judged_by["higher_is_better"]) == ("loss", False)


def test_the_loss_is_exact_whatever_the_batches_of_evaluation():
    whole = config(epochs=1)
    rows = [
        train(replace(whole, evaluation=replace(whole.evaluation, batch_size=size))).last["train_loss"]
        for size in (40, 7)
    ]
    assert rows[0] == pytest.approx(rows[1], rel=1e-6)


def test_micro_batches_cut_dictionaries_too():
    """Without a radius, perturbations of 4 samples give the gradient of the whole batch."""
    plain = train(config(method=SAM(rho=0.0))).last["test_mae"]
    cut = train(config(method=SAM(rho=0.0), micro_batch=4, device_batch=3)).last["test_mae"]
    assert cut == pytest.approx(plain, rel=1e-4)


def test_data_workers_see_the_same_samples():
    own = config(epochs=1)
    assert train(replace(own, hardware=replace(own.hardware, workers=1))).curves == train(own).curves


def test_the_configuration_goes_through_json_and_repeats_the_run(tmp_path):
    first = train(config(), tmp_path / "one")
    read = RunConfig.from_json(json.loads((tmp_path / "one" / "config.json").read_text()))
    assert read == config()
    assert train(read).curves == first.curves


@pytest.fixture
def user_file(tmp_path):
    path = tmp_path / "lines_of_a_user.py"
    path.write_text(
        textwrap.dedent(
            """
            import torch
            from torch import nn
            from samnesia.data.problem import Problem, TensorSplit
            from samnesia.train.config import MLP, OwnData, RunConfig

            SAMPLES = 20

            def load(seed):
                x = torch.randn(SAMPLES, 3, generator=torch.Generator().manual_seed(seed))
                return Problem(TensorSplit(x, (x[:, 0] > 0).long()), None, None, num_outputs=2, shape=(3,))

            def sgd():
                return RunConfig("mine", data=OwnData(load), model=MLP(hidden=(8,)), epochs=20, batch_size=10)

            def nothing():
                return None

            def fails():
                return sgd()["epochs"]
            """
        )
    )
    return path


def test_a_run_is_found_by_file_and_function(user_file):
    for found in (find_recipe(f"{user_file}:sgd"), find(f"{user_file}:sgd")):
        assert found.recipe == "lines_of_a_user:sgd"
        assert found.data.function.startswith(f"{user_file}:load@")


def test_a_run_without_test_data_is_judged_on_what_there_is(user_file):
    assert train(find(f"{user_file}:sgd")).judged_by["split"] == "train"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nothing", "requires a samnesia.train.config.RunConfig, and it is a NoneType; return a RunConfig"),
        ("fails", r"because it raises TypeError: .* \(line 20\); mend it first"),
        ("sma", "has no such function"),
    ],
)
def test_what_is_no_run_is_one_sentence(user_file, name, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        find(f"{user_file}:{name}")


def test_a_file_alone_is_no_run(user_file):
    with pytest.raises(ConfigurationError, match="not of the form FILE.py:function"):
        find(str(user_file))


def test_a_run_is_not_gone_on_with_under_other_code(user_file, tmp_path):
    out = tmp_path / "run"
    train(find(f"{user_file}:sgd"), out)
    (out / "result.json").unlink()
    user_file.write_text(user_file.read_text().replace("SAMPLES = 20", "SAMPLES = 30"))
    with pytest.raises(ConfigurationError, match="its code has changed since"):
        resume(out)


def raises(seed):
    raise KeyError("column")


def no_module(shape, num_outputs):
    return shape


def plain_problem(seed):
    split = TensorSplit(torch.zeros(4, 2), torch.zeros(4))
    return Problem(split, None, None, num_outputs=1, shape=(2,))


@pytest.mark.parametrize(
    ("refused", "sentence"),
    [
        (lambda: OwnData(lambda seed: None), "this one is a lambda"),
        (lambda: OwnData("nowhere.py:load"), "there is no such Python file"),
        (lambda: OwnData("load"), "cannot find data by 'load'"),
        (lambda: OwnData(load, num_outputs=0), "cannot train a model of 0 outputs"),
        (lambda: OwnData(load).load(0), "give OwnData a num_outputs"),
        (lambda: OwnData(plain_problem, num_outputs=2).load(0), "its problem says 1"),
        (lambda: OwnData(raises).load(0), "cannot load data by 'raises' .* KeyError: 'column'"),
        (lambda: OwnModel(no_module).build((2,), 1), "cannot train the tuple that test_own:no_module returned"),
        (lambda: OwnLoss(huber, measure=mae, name="loss"), "cannot name a measure 'loss'"),
        (lambda: OwnLoss(huber, name="mean error"), "cannot name a measure 'mean error'"),
    ],
)
def test_what_a_user_can_get_wrong_is_one_sentence(refused, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        refused()


@pytest.mark.parametrize("name", ["own_table.py:sgd", "own_table.py:sam", "own_text.py:adamw", "own_text.py:sam"])
def test_the_examples_are_runs_and_their_methods_differ_in_nothing_else(name):
    found = find(str(EXAMPLES / name))
    base = find(str(EXAMPLES / (name.partition(":")[0] + (":sgd" if "table" in name else ":adamw"))))
    assert replace(found, method=base.method, recipe=base.recipe) == base


def test_the_table_is_learnt():
    result = train(replace(find(str(EXAMPLES / "own_table.py:sam")), epochs=5))
    assert result.score("last") < 70  # the standard deviation of the targets is 77


def test_the_text_is_learnt():
    result = train(replace(find(str(EXAMPLES / "own_text.py:sam")), epochs=3))
    assert result.score("last") > 20  # by chance, 12.5 %


def test_own_parts_go_with_those_of_the_library():
    mixed = config(data=Digits(), model=OwnModel(flat), loss=CrossEntropy(), epochs=1, batch_size=80)
    assert train(mixed).score("last") > 30


def flat(shape, num_outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_outputs))
