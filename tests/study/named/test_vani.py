"""The chain of Vani et al.: each link, that it goes on where it was, and what the study asks."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest

from samnesia.cli import main
from samnesia.perturb.errors import ConfigurationError
from samnesia.study.engine.jobs import Job
from samnesia.study.engine.store import Finished, find_cell
from samnesia.study.judging.verdicts import judge
from samnesia.study.measured import TRAINING
from samnesia.study.named.cells.vani_chain import PLAIN, PRETRAINING
from samnesia.study.named.cells.vani_robustness import KINDS, Disturbances
from samnesia.study.named.vani import METHODS, PAIRS, TUNED_WITH, Full, Tiny, measures, vani
from samnesia.train.config import BinaryCrossEntropy, CrossEntropy, OutputBias
from samnesia.train.loaded import load
from samnesia.train.log import read_config, read_result
from samnesia.train.recipes import find
from tests.study import synthetic
from tests.train import small

SHORT = Tiny(epochs=5, tuning_epochs=2)
NOTHING = Disturbances(noise=(0.0,), blur=(0.0,), shift=(0.0,), contrast=(1.0,))


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    """A cell with both ways of fine-tuning, and its work."""
    directory, levels = tmp_path_factory.mktemp("vani") / "cell", {"method": "obf", "net": "cnn"}
    work = SHORT.chain(levels, 3)
    small.quietly(Job(directory, levels, 3, work).do)
    return directory, work


def test_images_are_disturbed_as_it_is_said():
    images = np.random.default_rng(0).standard_normal((50, 1, 8, 8)).astype(np.float32)
    noisy = KINDS["noise"](images, 0.5, 3)
    assert (noisy - images).std() == pytest.approx(0.5, rel=0.05) and not (
        noisy == KINDS["noise"](images, 0.5, 4)
    ).all()
    np.testing.assert_array_equal(noisy, KINDS["noise"](images, 0.5, 3))
    blurred = KINDS["blur"](images, 1.0, 0)
    assert blurred.std() < 0.5 * images.std()
    np.testing.assert_allclose(KINDS["blur"](np.ones_like(images), 2.0, 0), 1.0, rtol=1e-6)
    np.testing.assert_array_equal(KINDS["shift"](images, 1.0, 0)[:, :, 1:, 1:], images[:, :, :-1, :-1])
    weak = KINDS["contrast"](images, 0.2, 0)
    np.testing.assert_allclose(weak.mean((1, 2, 3)), images.mean((1, 2, 3)), atol=1e-6)
    np.testing.assert_allclose(weak.std((1, 2, 3)), 0.2 * images.std((1, 2, 3)), rtol=1e-5)


def test_without_a_disturbance_it_is_the_accuracy_of_the_test_and_with_much_that_of_chance(cell):
    directory, _ = cell
    loaded = load(directory / PRETRAINING / TRAINING)
    tested = read_result(directory / PRETRAINING / TRAINING).last["test_accuracy"]
    assert NOTHING.of(loaded) == pytest.approx({f"robust.{kind}": tested for kind in (*KINDS, "mean")}, abs=1e-4)
    lost = replace(NOTHING, noise=(100.0,)).of(loaded)
    assert lost["robust.noise"] < 30.0 < tested and lost["robust.mean"] == pytest.approx(
        (3 * tested + lost["robust.noise"]) / 4
    )


def test_a_cell_has_all_that_is_measured(cell):
    directory, work = cell
    found = find_cell(directory)
    assert isinstance(found, Finished), found
    for measure in measures(("photographs",)):
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
    other = replace(work, disturbances=NOTHING)
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
