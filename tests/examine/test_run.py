"""Measurements of runs: the figures are those of the functions, written once, kept through kills, and drawn."""

import json
import math
import os
import shutil

import pytest
import torch
from matplotlib.contour import ContourSet
from safetensors.torch import load_file

from samnesia.examine import run as engine
from samnesia.examine.bench import Look
from samnesia.examine.parts import Calibration, Curvature, Forgetting, Landscape, Sharpness
from samnesia.examine.parts.part import latest, rounded
from samnesia.examine.store import plain
from samnesia.measure import figures
from samnesia.measure.calibration.calibration import calibration_of
from samnesia.measure.curvature.spectrum import eigenpairs
from samnesia.measure.sharpness.worst import worst_case
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError, UnsupportedError
from samnesia.train.checkpoint import Store
from samnesia.train.config import OwnData, OwnLoss, OwnModel
from samnesia.train.loaded import load
from tests.examine.small import LOOK, PARTS, Told, examined, two_runs
from tests.train.small import config, smooth_net, trained


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return two_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def everything(runs, tmp_path_factory):
    """Both runs, all parts, along training."""
    out, told = tmp_path_factory.mktemp("everything") / "out", Told()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(figures, "DPI", 40)
        return examined(runs, out, watch=told, along=True, draw=True), told


@pytest.fixture(scope="module")
def once(runs, tmp_path_factory):
    """Both runs, all parts, at their last checkpoints; and what was there of runs and process before and after."""

    def around():
        return [state(path) for path in runs], torch.get_rng_state().tolist(), torch.get_num_threads()

    before = around()
    found = examined(runs, tmp_path_factory.mktemp("once") / "out")
    return found, before, around()


def state(directory):
    return {path: path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def test_the_figures_are_those_of_the_functions_on_the_same_samples(runs, once):
    found = once[0]
    loaded = load(runs[1], device="cpu")
    samples = loaded.samples("train", 40, batch_size=16)
    subject = Subject(loaded.model, loaded.criterion, samples)
    _, calibrated = found.entries("calibration")
    assert calibrated.values["train"] == plain(calibration_of(subject, bins=5, groups=samples.groups).as_dict())
    assert set(calibrated.values) == {"train", "test"} and set(calibrated.values["train"]["groups"]) == {
        "flipped",
        "clean",
    }
    _, curved = found.entries("curvature")
    pairs = eigenpairs(subject, 2, max_products=30, seed=0)
    expected = [pair.value for pair in pairs.largest]
    assert [pair["value"] for pair in curved.values["hessian"]["eigenvalues"]["largest"]] == expected
    _, sharp = found.entries("sharpness")
    assert [one["rho"] for one in sharp.values["l2"]] == [0.05, 0.2]
    assert sharp.values["l2"][1]["worst"] == plain(worst_case(subject, 0.2, steps=3).as_dict())
    assert sharp.values["m"] == 10  # as it was trained with


def test_all_of_it_is_written_down(everything, runs):
    found, told = everything
    content = json.loads((found.out / "measure.json").read_text())
    assert content == found.content
    assert set(content["runs"]) == {"sgd", "sam"}
    names = [part.name for part in PARTS]
    assert list(dict.fromkeys(one["what"] for one in content["measures"])) == names
    along = [one for one in content["measures"] if one["what"] == "curvature" and one["run"] == "sam"]
    assert [one["epoch"] for one in along] == [0.0, 1.0, 2.0, 3.0]
    one = along[-1]
    assert one["looked_at"]["drawn"] == "40 of 53 by seed 0, in order"
    assert one["looked_at"]["mode"] == "evaluation" and one["looked_at"]["criterion"] == "mean_cross_entropy"
    assert one["checkpoint"]["perturbation"]["rho"] == 0.2 and one["checkpoint"]["method"] == "sam"
    assert one["options"]["k"] == 2 and one["passes"] > 0
    assert not list(found.out.rglob(".*.json*"))
    assert told.stopped and told.depth == 0 and len(told.names) == told.tasks


def test_figures_of_all_parts_are_drawn(everything):
    found, _ = everything
    names = {path.stem for path in found.figures}
    assert names == {
        "calibration-train", "calibration-test", "curvature", "curvature-along", "curvature-spectra-along", "sharpness",
        "sharpness-along", "landscape-lines", "landscape-planes", "landscape-way-sgd", "landscape-way-sam",
        "landscape-between-sgd-to-sam", "forgetting-common", "forgetting-common-along", "forgetting-own",
        "forgetting-own-along",
    }  # fmt: skip
    assert {path.suffix for path in found.figures} == {".png", ".svg"}
    assert all(path.stat().st_size > 2000 for path in found.figures)
    assert found.content["figures"] == [str(path.relative_to(found.out)) for path in found.figures]
    svg = (found.out / "figures" / "sharpness.svg").read_text()
    assert all(f">{word}<" in svg for word in ("sgd", "sam", "worst case", "Euclidean ball"))


def test_the_way_between_two_runs_has_its_ends_at_their_losses(everything, runs):
    found, _ = everything
    (between,) = [e for e in found.entries("landscape") if "connection" in e.values]
    assert between.label == "sgd to sam" and between.values["samples_of"] == "sgd"
    train = between.values["connection"]["train"]
    at = dict(zip(train["positions"], train["losses"], strict=True))
    assert at[0.0] < 3.0 and math.isfinite(at[1.0])
    weights = [load(path, device="cpu").model.state_dict() for path in runs]
    names = [name for name, _ in load(runs[0], device="cpu").model.named_parameters()]
    distance = math.sqrt(sum(float((weights[0][n] - weights[1][n]).square().sum()) for n in names))
    assert between.values["connection"]["distance"] == pytest.approx(distance, rel=1e-5)


def test_sgd_has_no_perturbation_of_its_own(everything):
    found, _ = everything
    values = {entry.label: entry.values for entry in found.entries("forgetting")}
    assert "own" in values["sam"] and "own" not in values["sgd"] and "common" in values["sgd"]
    assert values["sam"]["own"]["norm"]["value"] == pytest.approx(0.2, rel=1e-5)
    assert set(values["sam"]["common"]["values"]["running"]) == {"exposed", "training", "held_out"}
    assert {"all", "flipped", "clean"} <= set(values["sam"]["common"]["values"]["running"]["training"])


def test_what_was_measured_is_not_measured_again(runs, tmp_path, monkeypatch):
    parts = [Calibration(bins=5), Curvature(k=1, products=10, steps=4, vectors=1, trace_vectors=2)]
    first = examined(runs, tmp_path / "out", parts)
    assert first.reused == 0

    def never(*_):
        raise AssertionError("measured again")

    with monkeypatch.context() as patched:
        patched.setattr(Calibration, "measure", never)
        patched.setattr(Curvature, "measure", never)
        again = examined(runs, tmp_path / "out", parts)
        assert again.reused == 4 and again.content == first.content
        assert examined(runs[1:], tmp_path / "out", parts, labels=("other name",)).reused == 2
    for other in (
        {"parts": [Calibration(bins=6)]},
        {"parts": parts[:1], "look": Look(samples=39, batch_size=16, device="cpu")},
        {"parts": parts[:1], "look": Look(samples=40, batch_size=16, seed=1, device="cpu")},
        {"parts": parts[:1], "look": Look(samples=40, batch_size=16, batch_statistics=True, device="cpu")},
    ):
        assert examined(runs[1:], tmp_path / "out", **other).reused == 0
    with monkeypatch.context() as patched:  # another version of samnesia
        patched.setattr(engine, "code", lambda _: "another")
        assert examined(runs[1:], tmp_path / "out", parts[:1]).reused == 0
    checkpoint = runs[1] / "checkpoints" / "epoch0002-step000000"
    assert examined([checkpoint], tmp_path / "out", parts[:1]).reused == 0


def test_what_is_there_when_it_is_killed_is_kept(runs, tmp_path, monkeypatch):
    parts = [Calibration(bins=5)]
    whole = examined(runs, tmp_path / "whole", parts, along=True)
    left, keep = [3], engine.Store.keep

    def killed(self, *arguments):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return keep(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(engine.Store, "keep", killed)
        with pytest.raises(KeyboardInterrupt):
            examined(runs, tmp_path / "out", parts, along=True)
    assert len(json.loads((tmp_path / "out" / "measure.json").read_text())["measures"]) == 3
    (tmp_path / "out" / "parts" / ".calibration-0.json.77").write_text("{")  # half written
    again = examined(runs, tmp_path / "out", parts, along=True)
    assert again.reused == 3
    for one, other in zip(again.content["measures"], whole.content["measures"], strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    assert not list((tmp_path / "out" / "parts").glob(".*"))


def test_a_damaged_part_is_measured_again(runs, tmp_path):
    first = examined(runs[:1], tmp_path / "out", [Calibration()])
    (part,) = (tmp_path / "out" / "parts").iterdir()
    part.write_text(part.read_text()[:100])
    again = examined(runs[:1], tmp_path / "out", [Calibration()])
    assert again.reused == 0
    assert again.content["measures"][0]["values"] == first.content["measures"][0]["values"]


def test_runs_and_process_are_left_as_they_are(once):
    _, before, after = once
    assert after == before


def test_measurements_are_the_same_to_the_bit_alone_and_along_training(once, everything):
    alone, along = ({(o["what"], o["run"], *o["checkpoints"]): o["values"] for o in found.content["measures"]}
                    for found in (once[0], everything[0]))  # fmt: skip
    assert alone and alone == {key: along[key] for key in alone}


def regression(seed):
    from samnesia.data.problem import Problem, TensorSplit

    inputs = torch.randn(30, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    return Problem(TensorSplit(inputs, inputs.flatten(1)[:, :1]), None, None, num_outputs=1, shape=(1, 4, 4))


def squares(output, target):
    return (output - target).square().mean()


def test_what_means_nothing_for_a_model_is_said_and_the_rest_measured(tmp_path):
    own = config(data=OwnData(regression), model=OwnModel(smooth_net), loss=OwnLoss(squares), epochs=1)
    trained(own, tmp_path / "run")
    parts = [Calibration(), Sharpness(rho=(0.1,), adaptive_rho=(), linf_rho=(), steps=2, directions=2), Forgetting()]
    found = examined([tmp_path / "run"], tmp_path / "out", parts, Look(device="cpu"))
    assert [one["what"] for one in found.content["measures"]] == ["sharpness"]
    assert [sentence.partition(":")[0] for sentence in found.refused] == [
        "calibration of run, epoch 1", "forgetting of run, epoch 1",
    ]  # fmt: skip
    assert found.content["refused"] == list(found.refused)
    with pytest.raises(UnsupportedError, match="calibration of run, epoch 1: cannot measure the calibration"):
        examined([tmp_path / "run"], tmp_path / "other", parts[:1], Look(device="cpu"))


def test_a_landscape_without_classes_has_no_valleys(tmp_path):
    for name, seed in (("a", 0), ("b", 1)):
        own = config(data=OwnData(regression), model=OwnModel(smooth_net), loss=OwnLoss(squares), epochs=1, seed=seed)
        trained(own, tmp_path / name)
    paths = [tmp_path / "a", tmp_path / "b"]
    found = examined(paths, tmp_path / "out", [Landscape(points=3, plane_points=0)], Look(device="cpu"))
    between = found.entries("landscape")[-1].values
    assert "verdict" not in between and between["connection"]["held_out"] is None


def broken(run, out):
    """A copy whose last weights are NaN."""
    copied = shutil.copytree(run, out, symlinks=True)
    store = Store(copied)
    last = store.read(store.positions()[-1])
    shutil.rmtree(store.path(last.position))
    for tensor in last.model.values():
        if tensor.is_floating_point():
            tensor.fill_(math.nan)
    store.save(last)
    assert load_file(store.path(last.position) / "model.safetensors")
    return copied


def test_a_loss_that_is_not_finite_is_refused_with_the_name_of_the_run(runs, tmp_path):
    copied = broken(runs[0], tmp_path / "broken")
    with pytest.raises(ConfigurationError, match="broken, epoch 3: .*at a loss of nan"):
        examined([copied], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_or_checkpoint_that_cannot_be_looked_at_is_said_once_and_the_rest_measured(runs, tmp_path):
    nan, damaged = broken(runs[0], tmp_path / "broken"), shutil.copytree(runs[1], tmp_path / "damaged", symlinks=True)
    weights = damaged / "checkpoints" / "epoch0000-step000000" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    parts = [Calibration(bins=5), Curvature(k=1, products=10, steps=4, vectors=1, trace_vectors=2)]
    found = examined([nan, damaged], tmp_path / "out", parts, along=True)
    assert [sentence.partition(":")[0] for sentence in found.refused] == ["broken, epoch 3", "damaged, epoch 0"]
    assert "at a loss of nan" in found.refused[0] and "bytes where" in found.refused[1]
    assert len(found.content["measures"]) == 2 * (3 + 3)
    manifest = damaged / "checkpoints" / "epoch0001-step000000" / "manifest.json"
    manifest.write_text("{")
    again = examined([damaged], tmp_path / "again", parts[:1], along=True)
    assert len(again.refused) == 2 and [entry.epoch for entry in again.entries("calibration")] == [2.0, 3.0]


def test_a_single_batch_that_perturbs_leaves_no_other_training_samples(runs, tmp_path):
    part = Forgetting(m=40)
    found = examined(runs, tmp_path / "out", [part], along=True)
    for one in found.content["measures"]:
        assert "training" not in one["values"]["common"]["values"]["running"]
        rows = part.rows(one["values"])
        assert any("exposed" in name for name in rows) and "common: KL" not in rows
        assert ["m = 40" in note for note in part.notes(one["values"])] == [True]
    names = {name for name, _ in part.figures(found.entries("forgetting"))}
    assert names == {"forgetting-common", "forgetting-common-along", "forgetting-own", "forgetting-own-along"}


def test_passes_are_counted_for_every_part(everything):
    assert all(one["passes"] > 0 for one in everything[0].content["measures"])


def test_a_single_sample_has_no_bound_but_a_sharpness(runs, tmp_path):
    part = PARTS[2]
    found = examined(runs[1:], tmp_path / "out", [part], Look(samples=1, device="cpu"))
    (entry,) = found.entries("sharpness")
    assert entry.values["l2"][0]["bound"] is None and entry.values["l2"][0]["worst"]["rise"]["value"] >= 0.0
    assert ["with two or more" in note for note in part.notes(entry.values)] == [True]


def test_the_default_makes_batches_enough_for_errors():
    look = Look()
    assert look.samples is not None and look.samples / look.batch_size >= 8


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (74.5312, 3.104, "74.5 ± 3.1"), (1.422, 0.0934, "1.422 ± 0.093"), (14.31, 0.0996, "14.31 ± 0.10"),
        (12345.0, 123.0, "12340 ± 120"), (100.0, 0.0, "100 ± 0"), (0.12345, None, "0.1235"), (None, None, "none"),
        (1.23456e-9, 1.23e-11, "1.235e-09 ± 1.2e-11"), (-0.188, 0.017, "-0.188 ± 0.017"),
    ],
)  # fmt: skip
def test_an_error_has_two_digits_and_the_value_its_decimals(value, error, text):
    assert rounded({"value": value, "error": error}) == text


def test_planes_of_several_runs_have_one_scale(everything):
    entries = [entry for entry in everything[0].entries("landscape") if "plane" in entry.values]
    (figure,) = [figure for name, figure in PARTS[3].figures(entries) if name == "landscape-planes"]
    filled = [next(c for c in axes.collections if isinstance(c, ContourSet) and c.filled) for axes in figure.axes[:2]]
    assert list(filled[0].levels) == list(filled[1].levels)
    losses = [loss for entry in latest(entries).values() for row in entry.values["plane"]["losses"] for loss in row]
    assert filled[0].levels[0] <= min(losses) and filled[0].levels[-1] >= max(losses)


def test_nothing_of_others_is_overwritten(runs, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigurationError, match="it is a file"):
        examined(runs[:1], tmp_path / "file", PARTS[:1])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    with pytest.raises(ConfigurationError, match="holds other things"):
        examined(runs[:1], tmp_path / "full", PARTS[:1])
    assert os.listdir(tmp_path / "full") == ["mine"]
    with pytest.raises(ConfigurationError, match="'validation'|validation"):
        examined(runs[:1], tmp_path / "no", PARTS[:1], Look(split="dev", device="cpu"))  # type: ignore[arg-type]


def test_numbers_that_json_lacks_are_null():
    value = {"a": (1, math.inf, float("nan")), "b": torch.tensor([1.5]), 3: True, "c": None, "d": "x"}
    assert plain(value) == {"a": [1, None, None], "b": [1.5], "3": True, "c": None, "d": "x"}


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: Calibration(bins=0), "0 bins"),
        (lambda: Curvature(k=0), "k 0"),
        (lambda: Curvature(k=5, products=9), "products 9, because it must be 10 or more"),
        (lambda: Curvature(tolerance=2.0), "tolerance of 2.0"),
        (lambda: Sharpness(rho=(0.0,)), "rho \\(0.0,\\)"),
        (lambda: Sharpness(rho=(), adaptive_rho=(), linf_rho=()), "without a radius"),
        (lambda: Sharpness(m=0), "m 0"),
        (lambda: Landscape(points=1), "of 1 and 17 points"),
        (lambda: Landscape(span=-1.0), "span -1.0"),
        (lambda: Forgetting(rho=-1.0), "rho -1.0"),
        (lambda: Forgetting(perturbations=0), "perturbations 0"),
        (lambda: Look(samples=0), "samples 0"),
        (lambda: Look(batch_size=0), "batch_size 0"),
    ],
)
def test_options_are_checked_when_they_are_made(make, expected):
    with pytest.raises(ConfigurationError, match=expected):
        make()


def test_options_that_are_tuples_come_back_as_written(runs, tmp_path):
    found = examined(runs[:1], tmp_path / "out", [PARTS[2]])
    assert found.content["measures"][0]["options"]["rho"] == [0.05, 0.2]
    assert found.content["look"] == LOOK.decisive
