"""The studies of transfer: what a cell trains from what, what is claimed, and that it finds what is planted."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from samnesia.study.engine.jobs import Job
from samnesia.study.engine.store import Finished, find_cell
from samnesia.study.judging.verdicts import judge
from samnesia.study.measured import TRAINING
from samnesia.study.named import text_tuning as of_text
from samnesia.study.named import transfer as of_images
from samnesia.study.named.cells.transfers import AFTER, BEFORE, SCRATCH, Arm, Transfer
from samnesia.study.named.cells.vani_chain import PLAIN, PRETRAINING
from samnesia.study.named.text_tuning import text_tuning
from samnesia.study.named.transfer import ARMS, MEASURES, TARGETS, transfer
from samnesia.train.config import Perturbed, Text
from samnesia.train.log import read_config
from samnesia.train.parts.methods import SAM, Unperturbed
from samnesia.train.recipes import find
from samnesia.train.recipes.transfer import TASKS
from tests.study import synthetic
from tests.train import small

CHOICE = Path(__file__).parents[3] / "benchmarks" / "results" / "transfer_settings.json"


def short(task, **changed):
    """A task of two epochs that perturbs from the beginning."""
    run = replace(task.run, epochs=2, when=Perturbed(), **changed)
    return replace(task, run=replace(run, schedule=replace(run.schedule, warmup_epochs=0.0)))


@pytest.fixture
def cell(tmp_path, monkeypatch):
    """A cell with both ways, two epochs of each run, and its work."""
    for name in ("transfer-low", "transfer-high"):
        monkeypatch.setitem(TASKS, name, short(TASKS[name]))
    levels = {"method": "sam", "from": "digits"}
    work = of_images.QUICK.chain(levels, 3)
    small.quietly(Job(tmp_path / "cell", levels, 3, work).do)
    return tmp_path / "cell", work


def test_each_way_starts_from_what_it_says(cell):
    directory, work = cell
    found = find_cell(directory)
    assert isinstance(found, Finished), found
    for measure in MEASURES:
        assert math.isfinite(found.outcome.values[measure.value]), measure
    first, plain = read_config(directory / PRETRAINING / TRAINING), read_config(directory / PLAIN)
    after, before, scratch = (read_config(directory / name) for name in (AFTER, BEFORE, SCRATCH))
    assert isinstance(first.method, SAM) and isinstance(plain.method, Unperturbed)
    assert replace(first, method=plain.method) == plain and first.data.classes == (0, 1, 2, 3, 4)
    assert isinstance(after.method, Unperturbed) and isinstance(before.method, SAM) and before.method == scratch.method
    assert after.model.weights == str(directory / PRETRAINING / TRAINING) and after.model.new_head
    assert before.model.weights == str(directory / PLAIN) and before.model.new_head
    assert scratch == replace(before, model=before.model.at_random())
    assert after.data == before.data and after.data.classes == (5, 6, 7, 8, 9) and after.data.train == 50
    assert work.settings["robustness"] == {} and json.dumps(work.settings)


def test_runs_are_those_of_the_recipes():
    for target, arms in (*((one, ARMS) for one in TARGETS.values()), ("text-few", of_text.ARMS)):
        transferred = Transfer.to(target)
        for name, arm in arms.items():
            ending = name.removesuffix("-2x")
            chain = transferred.tuned(arm, 5) if target == "text-few" else transferred.both(arm, 5)
            for one in chain.runs:
                assert one.seed == 5 and one.model.weights is None
            before = next(one for one in chain.tunings if one.name == BEFORE).config
            recipe = find(f"{target}-{ending}")
            assert recipe.model.weights == f"runs/{transferred.source}-{TASKS[target].base}"
            assert before.epochs == recipe.epochs * (2 if name.endswith("-2x") else 1)
            for part in ("data", "optimizer", "schedule", "method", "when", "batch_size", "loss"):
                assert getattr(before, part) == getattr(recipe, part), part
    plain = Transfer.to("transfer-high").both(Arm("sgd"), 0)
    assert [one.plain for one in plain.tunings] == [None] * 3  # its own pretraining is the plain one


def test_claims_are_those_of_the_papers_for_each_way_and_direction():
    for quick in (True, False):
        design = transfer(quick=quick).design
        assert len(design.seeds) >= 8 and not {*design.seeds} & {*design.tuning_seeds}
        asked = [
            (one.where["from"], one.measure, one.treatment["method"], one.control["method"]) for one in design.primary
        ]
        assert asked == [(source, way, *pair) for source in TARGETS for way in (AFTER, BEFORE)
                         for pair in (("sam", "sgd"), ("obf", "sam"))]  # fmt: skip
        assert {one.smallest for one in design.primary} == {1.0}
        text = text_tuning(quick=quick).design
        assert [(one.treatment["method"], one.control["method"]) for one in text.primary] == [
            ("sam", "adamw"), ("sam", "adamw-2x"), ("obf", "sam"),
        ]  # fmt: skip
        assert len(text.seeds) >= 8 and {one.measure for one in text.primary} == {BEFORE}


def test_a_cell_of_text_is_measured_and_says_what_its_text_was(tmp_path, monkeypatch):
    two = Text(("argparse", "difflib"), length=16, per_region=2)
    for name, data in (("text-modules", two), ("text-few", replace(two, modules=("optparse", "shutil"), labelled=8))):
        monkeypatch.setitem(TASKS, name, short(TASKS[name], data=data, batch_size=16))
    levels = {"method": "sam"}
    small.quietly(Job(tmp_path / "cell", levels, 0, of_text.QUICK.chain(levels, 0)).do)
    found = find_cell(tmp_path / "cell")
    assert isinstance(found, Finished), found
    for measure in of_text.MEASURES:
        assert math.isfinite(found.outcome.values[measure.value]), measure
    assert found.outcome.environment["data"] == two.load(0).made_from


@pytest.mark.parametrize("study", [transfer, text_tuning])
def test_planted_gains_are_found(tmp_path, study):
    design = study(quick=True).design

    def planted(gains, out):
        def run(levels, seed):
            own = np.random.default_rng([seed, *"".join(levels.values()).encode()])
            return {one.value: 50.0 + gains.get(levels["method"], 0.0) + 0.5 * own.normal()
                    for one in design.measures}, {}  # fmt: skip

        results = synthetic.results_of(design, run, out)
        return {one.verdict for one in judge(results.design, results.table)}

    assert planted({"sam": 4.0, "obf": 8.0}, tmp_path / "better") == {"supported"}
    assert planted({"sam": -4.0, "obf": -8.0}, tmp_path / "worse") == {"contradicted"}


def test_settings_are_those_that_validation_chose():
    found = json.loads(CHOICE.read_text())
    assert {*found} == {*TASKS}
    for name, task in TASKS.items():
        one = found[name]
        assert min(one["seeds"]) >= 1000 and len(one["seeds"]) >= 3
        assert one["base"] == replace(task.run, model=task.run.model.at_random()).to_json()
        for choice in (one["rate"], *one["methods"].values()):
            scores = {row["setting"]: row["validation"] for row in choice["grid"]}
            assert scores[choice["chosen"]] == max(scores.values())
        assert float(one["rate"]["chosen"]) == task.run.optimizer.lr
        assert {*one["methods"]} == {*task.methods} - {task.base, "gsam"}
        chosen = {method: float(choice["chosen"]) for method, choice in one["methods"].items()}
        assert {method: task.methods[method].rho for method in chosen} == chosen, name
        if "gsam" in task.methods:  # it has SAM's radius
            assert task.methods["gsam"].rho == chosen["sam"]
