"""The chain of Vani et al.: each link, that it goes on where it was, and what the study asks."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest

from samnesia.cli import main
from samnesia.data.corruptions import FAMILIES
from samnesia.evaluate.corruptions import corruption_errors
from samnesia.evaluate.predictions import Sampled
from samnesia.perturb.errors import ConfigurationError
from samnesia.study.engine.jobs import Job
from samnesia.study.engine.store import Finished, find_cell
from samnesia.study.judging.verdicts import judge
from samnesia.study.measured import TRAINING
from samnesia.study.named.cells.vani_chain import PLAIN, PRETRAINING
from samnesia.study.named.cells.vani_robustness import OnCorrupted
from samnesia.study.named.vani import CORRUPTIONS, METHODS, PAIRS, TUNED_WITH, Full, Tiny, measures, vani
from samnesia.train.config import BinaryCrossEntropy, CrossEntropy, OutputBias
from samnesia.train.loaded import load
from samnesia.train.log import read_config
from samnesia.train.recipes import find
from tests.study import synthetic
from tests.train import small

SHORT = Tiny(families=("shot-noise", "fog", "spatter"), epochs=5, tuning_epochs=2)


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    """A cell with both ways of fine-tuning, and its work."""
    directory, levels = tmp_path_factory.mktemp("vani") / "cell", {"method": "obf", "net": "cnn"}
    work = SHORT.chain(levels, 3)
    small.quietly(Job(directory, levels, 3, work).do)
    return directory, work


def test_accuracy_on_corrupted_images_is_that_of_the_suite(cell):
    directory, work = cell
    loaded = load(directory / PRETRAINING / TRAINING)
    look = OnCorrupted(("fog", "spatter"), severities=(2, 4), samples=100)
    errors = corruption_errors(
        loaded, Sampled(count=100, seed=3), families=("fog", "spatter"), severities=(2, 4), seed=3
    )
    values, notes = look.of(loaded)
    assert values == pytest.approx(
        {f"robust.{name}": 100 - sum(errors.errors[name]) / 2 for name in ("fog", "spatter")}
        | {"robust.mean": 100 - sum(errors.errors["fog"]) / 2}
    )
    assert not notes and work.robustness == (OnCorrupted(SHORT.families),)
    assert Tiny().families == tuple(name for name in FAMILIES if name != "saturate")
    assert Full().families == CORRUPTIONS == tuple(FAMILIES)


def test_a_cell_has_all_that_is_measured(cell):
    directory, work = cell
    found = find_cell(directory)
    assert isinstance(found, Finished), found
    for measure in measures(("photographs",), SHORT.families):
        assert math.isfinite(found.outcome.values[measure.value]), measure
    assert work.done(directory) == pytest.approx((1 + 0.9 + 2) / 4, abs=0.1)
    assert work.done(directory / "elsewhere") == 0.0


def test_one_way_starts_from_the_perturbed_pretraining_and_the_other_from_a_plain_one(cell):
    directory, work = cell
    after, before = (read_config(directory / name) for name in ("after-photographs", "before-photographs"))
    assert after.model.weights == str(directory / PRETRAINING / TRAINING) and after.model.new_head
    assert before.model.weights == str(directory / PLAIN) and before.model.new_head
    plain = read_config(directory / PLAIN)
    assert plain == SHORT.chain({"method": "sgd", "net": "cnn"}, 3).config
    assert replace(plain, method=work.config.method) == work.config
    assert type(after.method).__name__ == "Unperturbed" and before.method.gamma == 0.0
    assert replace(before, method=after.method, model=after.model) == after


def test_it_goes_on_from_what_has_finished_and_refuses_other_settings(cell, tmp_path):
    directory, work = tmp_path / "cell", cell[1]
    shutil.copytree(cell[0], directory)
    (directory / "result.json").write_text("{")
    with pytest.raises(ConfigurationError, match="damaged"):
        work.read(directory)
    pretrained = directory / PRETRAINING / TRAINING / "metrics.jsonl"
    before = pretrained.stat().st_mtime_ns
    # Fine-tuning starts from a directory that its configuration names: in another place it is another run.
    small.quietly(work.run, directory)
    assert pretrained.stat().st_mtime_ns == before
    assert work.read(directory).values == pytest.approx(
        work.read(cell[0]).values | {name: value for name, value in work.read(directory).values.items()
                                     if name.endswith("seconds")}, abs=1e-6,
    )  # fmt: skip
    other = replace(work, robustness=())
    with pytest.raises(ConfigurationError, match="other settings"):
        other.read(directory)


def test_claims_are_of_obf_against_loss_ascent_all_along_the_chain():
    for quick, targets in ((True, 1), (False, 2)):
        design = vani(quick=quick).design
        assert design.factor("method").levels == METHODS
        pairs = [(one.control["method"], one.treatment["method"]) for one in design.primary]
        assert {*pairs} == {*PAIRS} and len(pairs) == 5 + 2 * targets
        assert design.primary[-1].parts[1].measure == "lambda-max"
        assert "could not be read" in design.notes[0]


def test_the_full_form_has_the_papers_settings_and_its_cost_is_said(capsys):
    full = Full()
    for net, loss in (("vit-s32", BinaryCrossEntropy), ("resnet-50", CrossEntropy)):
        chains = {method: full.chain({"net": net, "method": method}, 1) for method in METHODS}
        for method, chain in chains.items():
            assert chain.config == replace(find(chain.config.recipe), seed=1)
            assert (getattr(chain.config.method, "objective", None) is not None) == method.endswith("-obf")
            after = [one for one in chain.tunings if one.name.startswith("after")]
            assert all(type(one.config.loss) is loss and one.plain is None for one in after)
            assert [one.config for one in after] == [one.config for one in chains["sgd"].tunings]
            before = [one for one in chain.tunings if one.name.startswith("before")]
            assert len(before) == 2 * (method in TUNED_WITH) and len(after) == 2
            assert all(one.plain == chains["sgd"].config for one in before)
            assert full.hours(chain) > full.hours(chains["sgd"]) or method == "sgd"
    assert main(["study", "vani", "--plan"]) == 0
    printed = capsys.readouterr().out
    assert "GPU-hours of an A100" in printed and "14 design cells" in printed


def test_the_tiny_form_is_the_quick_one(capsys):
    assert main(["study", "vani", "--quick", "--plan"]) == 0
    assert capsys.readouterr().out.startswith("vani-quick: ")
    tiny = Tiny().chain({"net": "cnn", "method": "gsam-obf"}, 0).config
    assert tiny.method == replace(find("digits-noisy-gsam").method, objective=OutputBias())
    assert len(tiny.to_json()) and json.dumps(Tiny().chain({"net": "cnn", "method": "sam"}, 0).settings)


def test_planted_gains_of_obf_are_found(tmp_path):
    design = vani(quick=True).design

    def run(levels, seed):
        own = np.random.default_rng([seed, *levels["method"].encode()])
        better = 4.0 if "obf" in levels["method"] else 0.0
        return {one.value: 50.0 + better + 0.3 * own.normal() for one in design.measures}, {}

    results = synthetic.results_of(design, run, tmp_path)
    assert {one.verdict for one in judge(results.design, results.table)} == {"supported"}
