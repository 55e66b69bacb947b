"""Recipes: what there is, that each says what the papers say, and that runs of a problem differ in the method alone."""

import dataclasses
import json
from collections import defaultdict
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from samnesia.perturb.errors import ConfigurationError
from samnesia.train.config import CNN, CrossEntropy, Digits, Perturbed, RunConfig, renewed
from samnesia.train.parts.methods import METHODS, SAM, Random, Unperturbed, method_name
from samnesia.train.recipes import RECIPES, About, find, gradients_per_image, recipe, register, starting_with
from samnesia.train.recipes.family import BASELINES
from samnesia.train.recipes.listing import FAMILIES
from samnesia.train.recipes.problems import BENCHES
from tests.train.recipes_table import PUBLISHED, TABLE, YARDSTICKS
from tests.train.tiny import BUNDLED

DEMO = ("digits", "digits-noisy")
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
ESSENTIAL = {
    "recipe", "data.kind", "model.kind", "loss.kind", "loss.smoothing", "optimizer.kind", "optimizer.lr",
    "optimizer.weight_decay", "optimizer.decayed", "schedule.kind", "schedule.warmup_epochs", "method.kind",
    "epochs", "batch_size", "micro_batch", "clip_norm",
}  # fmt: skip


def flatten(part, prefix=""):
    """Yield (dotted name, JSON value, whether it is the default of its part) of every field, parts within parts too."""
    for field in dataclasses.fields(part):
        value, name = getattr(part, field.name), f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            yield f"{name}.kind", type(value).__name__, False
            yield from flatten(value, f"{name}.")
        else:
            plain = list(value) if isinstance(value, tuple) else value
            yield name, plain, value == field.default


# part fields whose kind a row need not name: how a run is watched, not what it is
WATCHING = {"checkpoints.kind", "evaluation.kind", "logging.kind", "record.kind", "hardware.kind", "when.kind"}


def test_the_table_has_a_row_for_every_recipe_and_no_other():
    assert sorted(TABLE) == sorted(RECIPES)


@pytest.mark.parametrize("name", TABLE)
def test_a_recipe_is_what_its_row_says_field_by_field(name):
    row, left, wrong = TABLE[name], dict(TABLE[name]), []
    assert row.keys() >= ESSENTIAL
    for field, value, default in flatten(find(name)):
        left.pop(field, None)
        said = row.get(field)
        if field in row and not (value == pytest.approx(said) if isinstance(said, float) else value == said):
            wrong.append(f"{field}: {value}, and the table says {said}")
        if field not in row and field not in WATCHING and not default:
            wrong.append(f"{field}: {value}, of which the table says nothing")
    wrong += [f"{field}: the table says {said}, and there is no such field" for field, said in left.items()]
    assert not wrong, "\n".join(wrong)


def test_a_changed_field_of_a_recipe_is_found(monkeypatch):
    """The comparison above must be able to fail, for a field of the row and for one that it leaves out."""
    config = find("vani-vit-s32-gsam-obf")
    changes = [
        {"optimizer": dataclasses.replace(config.optimizer, eps=1e-6)},
        {"method": dataclasses.replace(config.method, alpha=1.0)},
        {"data": dataclasses.replace(config.data, holdout=5)},
        {"schedule": dataclasses.replace(config.schedule, final=0.0)},
    ]
    for change in changes:
        changed = dataclasses.replace(config, **change)
        monkeypatch.setitem(RECIPES, config.recipe, lambda changed=changed: changed)
        with pytest.raises(AssertionError, match="the table says"):
            test_a_recipe_is_what_its_row_says_field_by_field(config.recipe)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_filed_under_its_name_and_method(name):
    config, entry = find(name), RECIPES[name]
    assert config.recipe == entry.name == name
    base = {"SGD": "sgd", "AdamW": "adamw"}[type(config.optimizer).__name__]
    method = base if type(config.method) is Unperturbed else method_name(config.method)
    method = next((one for one in BASELINES if name == f"digits-noisy-{one}"), method)
    assert name.removesuffix("-eta0").endswith(f"-{method}")
    assert entry.family in FAMILIES
    assert entry.says.strip() and entry.about.source.strip()


def unlabelled(config):
    """Without the labels of the Bootstrap arm, which are predicted by a first run of the same method."""
    if getattr(config.data, "relabel", None) is None:
        return config
    return dataclasses.replace(config, data=dataclasses.replace(config.data, relabel="predicted.npy"))


def alike(config):
    """Without the method, and without what a baseline has in its place."""
    if config.recipe in {f"digits-noisy-{name}" for name in BASELINES}:
        config = dataclasses.replace(config, average=None, loss=CrossEntropy())
    return dataclasses.replace(config, recipe="", method=Unperturbed())


def test_recipes_of_a_problem_differ_in_their_method_alone():
    problems = defaultdict(list)
    for name in RECIPES:
        config = find(name)
        endings = (*METHODS, *BASELINES, "adamw", "asam-eta0", f"{method_name(config.method)}")
        ending = max((e for e in endings if name.endswith(f"-{e}")), key=len)
        problems[name.removesuffix(f"-{ending}")].append(config)
    assert sum(len(configs) > 1 for configs in problems.values()) > 80
    for configs in problems.values():
        shared = {alike(unlabelled(config)) for config in configs}
        assert len(shared) == 1, [config.recipe for config in configs]
        assert len({(config.method, config.average, config.loss) for config in configs}) == len(configs)


def test_every_problem_of_ours_has_every_method():
    ours = {name for name in RECIPES if name.split("-")[0] in ("digits", "photographs", "wine")}
    ours = {name for name in ours if not name.startswith("digits-robust-")}  # a study's, of two methods
    methods = ("sgd", "sam", "asam", "gsam", "obf", "random")
    family = {*METHODS, "sam-steps", "obf-steps", *BASELINES} - {*methods}
    wanted = {f"{problem}-{method}" for problem in (*DEMO, *BENCHES) for method in methods}
    assert ours == wanted | {f"digits-noisy-{method}" for method in family}


def test_settings_of_the_family_are_those_chosen_on_validation():
    """Where any were tried: by benchmarks/choose_radii.py, on seeds that no reported figure uses."""
    chosen = json.loads((RESULTS / "radii_family.json").read_text())["digits-noisy"]
    assert min(chosen["seeds"]) >= 1000 and find("digits-noisy-sgd").to_json() == renewed(chosen["base"])
    for name, found in chosen["methods"].items():
        config = find(f"digits-noisy-{name}")
        part = config.average or (config.loss if name == "smoothing" else config.method)
        assert dataclasses.asdict(part) == found["chosen"], name
        best = max(found["grid"], key=lambda row: row["validation"])
        assert found["chosen"].items() <= best.items()


@pytest.mark.parametrize("problem", [*DEMO, *BENCHES])
def test_radii_are_those_chosen_on_validation(problem):
    """By benchmarks/choose_radii.py, on seeds that no reported figure uses."""
    chosen = json.loads((RESULTS / "radii.json").read_text())[problem]
    assert min(chosen["seeds"]) >= 1000
    for name in ("sam", "asam", "gsam", "obf", "random"):
        found = chosen["methods"][name]
        method = dataclasses.asdict(find(f"{problem}-{name}").method)
        assert found["chosen"].items() <= method.items()
        assert {key: value for key, value in method.items() if key not in found["chosen"]}.items() <= {
            field.name: field.default for field in dataclasses.fields(find(f"{problem}-{name}").method)
        }.items()
        best = max(found["grid"], key=lambda row: row["validation"])
        assert found["chosen"].items() <= best.items()


@pytest.mark.parametrize("problem", BENCHES)
def test_settings_are_those_chosen_by_sgd_alone_on_validation(problem):
    """By benchmarks/problems.py, on seeds that no reported figure uses."""
    found = json.loads((RESULTS / "problems.json").read_text())[problem]["settings"]
    assert min(found["seeds"]) >= 1000
    best = max(found["grid"], key=lambda row: row["validation"])
    optimizer = find(f"{problem}-sgd").optimizer
    assert (optimizer.lr, optimizer.weight_decay) == (best["lr"], best["weight_decay"])
    assert found["chosen"].items() <= best.items()


def test_published_numbers_are_those_of_the_table():
    found = {name: one.about.published for name, one in RECIPES.items() if one.about.published is not None}
    assert {name: (p.measure, p.value, p.mark) for name, p in found.items()} == PUBLISHED
    assert not any(name.startswith("vani") for name in found)  # the paper's results could not be read


def test_numbers_of_other_papers_are_yardsticks_and_named_as_such():
    found = {name: one.about.yardstick for name, one in RECIPES.items() if one.about.yardstick is not None}
    wanted = {f"{problem}-{method}": value for problem, row in YARDSTICKS.items() for method, value in row.items()}
    assert {name: yardstick.value for name, yardstick in found.items()} == wanted
    assert all("Zhuang" in yardstick.source and yardstick.mark == "text" for yardstick in found.values())


@pytest.mark.parametrize(
    ("config", "gradients"),
    [
        (RunConfig("x"), 1.0),
        (RunConfig("x", method=SAM()), 2.0),
        (RunConfig("x", method=SAM(), when=Perturbed(start_epoch=70.0), epochs=80), 1.125),
        (RunConfig("x", method=SAM(), when=Perturbed(stop_epoch=20.0, interval_steps=5), epochs=80), 1.05),
        (RunConfig("x", method=Random()), 1.0),
        (RunConfig("x", method=Random(clean_statistics=True)), 4 / 3),
    ],
)
def test_gradients_per_image(config, gradients):
    assert gradients_per_image(config) == pytest.approx(gradients)


def test_gpu_hours_of_a_run_that_can_be_counted_by_hand():
    about = About("x", images=1000, gmacs=2.0)
    config = RunConfig("x", method=SAM(), epochs=10)
    operations = 2 * 3 * 2e9 * 1000 * 10 * 2  # per multiply-add, forward and backward, images, epochs, gradients
    assert about.gpu_hours(config) == pytest.approx(operations / (0.4 * 312e12) / 3600)


def nets():
    """One recipe for each net and image size."""
    found = {}
    for name, one in RECIPES.items():
        config = one()
        found.setdefault((str(config.model), str(getattr(config.data, "image_size", config.data))), name)
    return found.values()


def fresh(model):
    """The model without the weights that it would start from."""
    names = {field.name for field in dataclasses.fields(model)}
    absent = {"weights": None, "new_head": False, "pretrained": False}
    return dataclasses.replace(model, **{name: value for name, value in absent.items() if name in names})


def inputs_and_outputs(config):
    if isinstance(config.data, BUNDLED):
        problem = config.data.load(0)
        return problem.train.batch([0])[0], problem.num_outputs
    return torch.empty(1, 3, config.data.image_size, config.data.image_size), 10


@pytest.mark.parametrize("name", nets())
def test_multiply_adds_are_those_of_the_net(name):
    config, about = find(name), RECIPES[name].about
    inputs, outputs = inputs_and_outputs(config)
    with torch.device("meta"):
        net = fresh(config.model).build(tuple(inputs.shape[1:]), outputs).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(torch.empty_like(inputs, device="meta"))
    tolerance = 0.1 if isinstance(config.model, CNN) and isinstance(config.data, Digits) else 0.01
    assert counter.get_total_flops() / 2e9 == pytest.approx(about.gmacs, rel=tolerance)


def test_a_name_is_taken_once():
    about = About("x", images=1, gmacs=1.0)
    with pytest.raises(ValueError, match="cannot add the recipe 'digits-sam'"):
        register("digits-sam", lambda: find("digits-sam"), says="again", about=about)


def test_a_function_of_ones_own_becomes_a_recipe(monkeypatch):
    monkeypatch.setattr("samnesia.train.recipes.registry.RECIPES", {})
    from samnesia.train.recipes import registry

    @recipe(About("me", images=10, gmacs=1.0))
    def my_run_sam():
        """What it is.

        And more.
        """
        return RunConfig("my-run-sam", method=SAM())

    assert registry.find("my-run-sam") == my_run_sam()
    assert registry.RECIPES["my-run-sam"].says == "What it is."


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("digits-noisy-samm", "did you mean 'digits-noisy-sam'"),
        ("digit-sgd", "did you mean 'digits-sgd'"),
        (
            "q",
            "there are those of digits, photographs, wine, transfer, text, vani, foret, kwon, mordido, zhou, "
            "subspaces, wortsman, see samnesia recipes",
        ),
    ],
)
def test_unknown_recipe_names_the_nearest(name, advice):
    with pytest.raises(ConfigurationError, match=f"cannot train recipe '{name}', because .*; {advice}"):
        find(name)


def test_recipes_by_how_their_names_begin():
    assert {one.name for one in starting_with("digits-noisy")} == {n for n in RECIPES if n.startswith("digits-noisy")}
    assert len(starting_with("")) == len(RECIPES)
    with pytest.raises(ConfigurationError, match="cannot list recipes with 'digist', because .*; did you mean 'digits"):
        starting_with("digist")
