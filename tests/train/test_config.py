"""Configurations: JSON and back, and what is refused."""

import ast
import dataclasses
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samnesia.perturb.errors import ConfigurationError
from samnesia.train import config, methods
from samnesia.train.config import CNN, MLP, SGD, Constant, Cosine, Digits, Perturbed, RunConfig
from samnesia.train.parts.methods import ASAM, GSAM, METHODS, OBF, SAM, Random, Unperturbed, method_name
from samnesia.train.recipes import RECIPES

RADII = st.floats(0, 10)
CONFIGS = st.builds(
    RunConfig,
    recipe=st.text(max_size=8),
    data=st.builds(Digits, flipped=st.floats(0, 1), shift=st.integers(0, 3)),
    model=st.one_of(
        st.builds(CNN, channels=st.lists(st.integers(1, 64), max_size=3).map(tuple), hidden=st.integers(1, 99)),
        st.builds(MLP, hidden=st.lists(st.integers(1, 64), max_size=3).map(tuple)),
    ),
    optimizer=st.builds(SGD, lr=st.floats(1e-6, 10), weight_decay=st.floats(0, 1)),
    schedule=st.one_of(
        st.builds(Cosine, warmup_epochs=st.floats(0, 9)), st.builds(Constant, warmup_epochs=st.floats(0, 9))
    ),
    method=st.one_of(
        st.just(Unperturbed()),
        st.builds(SAM, rho=RADII),
        st.builds(ASAM, rho=RADII, scaling=st.sampled_from(["element", "filter", "layer"])),
        st.builds(GSAM, rho=RADII, alpha=st.floats(0, 1), backup=st.sampled_from(["raw", "normalized"])),
        st.builds(OBF, rho=RADII, threshold=st.none() | st.floats(0.01, 0.99)),
        st.builds(Random, rho=RADII, clean_statistics=st.booleans()),
    ),
    when=st.builds(Perturbed, start_epoch=st.floats(0, 9), stop_epoch=st.none() | st.floats(0, 9)),
    epochs=st.integers(1, 500),
    batch_size=st.sampled_from([16, 64]),
    micro_batch=st.sampled_from([None, 8]),
    seed=st.integers(0, 2**31),
)


@given(CONFIGS)
def test_json_round_trip(run):
    assert RunConfig.from_json(json.loads(json.dumps(run.to_json(), allow_nan=False))) == run


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_survives_json(name):
    config = RECIPES[name]()
    assert RunConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_missing_fields_take_their_defaults():
    assert RunConfig.from_json({"kind": "RunConfig", "recipe": "x"}) == RunConfig("x")


def test_whole_numbers_are_good_for_floats():
    plain = RunConfig("x", method=SAM()).to_json()
    plain["method"]["rho"] = 1
    assert RunConfig.from_json(plain).method == SAM(rho=1.0)


def _changed(path, value):
    plain = RunConfig("x", method=SAM()).to_json()
    *parents, last = path.split(".")
    place = plain
    for parent in parents:
        place = place[parent]
    place[last] = value
    return plain


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("epoch", 3, "cannot set epoch, because there is no such field; did you mean 'epochs'"),
        ("method.roh", 0.1, "cannot set method.roh, because there is no such field; did you mean 'rho'"),
        ("method.kind", "ASMA", "cannot use kind 'ASMA' for method, because it is unknown; did you mean 'ASAM'"),
        ("method", 3, "cannot use kind None for method"),
        ("epochs", "3", "cannot use '3' for epochs, because it must be int"),
        ("epochs", 3.5, "cannot use 3.5 for epochs, because it must be int"),
        ("epochs", True, "cannot use True for epochs, because it must be int"),
        ("micro_batch", "all", "cannot use 'all' for micro_batch, because it must be int"),
        ("model.channels", [16, "x"], r"cannot use 'x' for model.channels\[1\], because it must be int"),
        ("optimizer", 0.1, "cannot use 0.1 for optimizer, because it must be an object"),
        ("optimizer.kind", "Adam", "cannot use kind 'Adam' for optimizer, because it must be 'SGD'"),
    ],
)
def test_what_is_no_configuration_is_refused(path, value, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        RunConfig.from_json(_changed(path, value))


def test_literals_are_checked():
    plain = RunConfig("x", method=ASAM()).to_json()
    plain["method"]["scaling"] = "column"
    with pytest.raises(ConfigurationError, match="it must be 'element' or 'filter' or 'layer'"):
        RunConfig.from_json(plain)


def test_a_configuration_needs_its_name():
    with pytest.raises(ConfigurationError, match="recipe is missing"):
        RunConfig.from_json({"epochs": 3})


@pytest.mark.parametrize(
    "build",
    [
        lambda: RunConfig("x", epochs=0),
        lambda: RunConfig("x", batch_size=1),
        lambda: RunConfig("x", seed=-1),
        lambda: RunConfig("x", threads=0),
        lambda: RunConfig("x", batch_size=80, micro_batch=30),
        lambda: RunConfig("x", batch_size=80, micro_batch=1),
        lambda: RunConfig("x", label_smoothing=1.0),
        lambda: RunConfig("x", clip_norm=0.0),
        lambda: RunConfig("x", clip_norm=math.nan),
        lambda: RunConfig("x", clip_norm=math.inf),
        lambda: RunConfig("x", seed=2**64),
        lambda: RunConfig("x", threads=100_000),
        lambda: RunConfig("x", epochs=10**9),
        lambda: CNN(channels=(10**9,)),
        lambda: MLP(hidden=(10**9,)),
        lambda: Cosine(warmup_epochs=1e308),
        lambda: Perturbed(start_epoch=1e308),
        lambda: Perturbed(stop_epoch=math.inf),
        lambda: Perturbed(stop_epoch=math.nan),
        lambda: SGD(lr=0.0),
        lambda: SGD(lr=math.nan),
        lambda: SGD(momentum=1.0),
        lambda: SGD(weight_decay=-1e-4),
        lambda: SGD(momentum=0.0, nesterov=True),
        lambda: Digits(flipped=1.5),
        lambda: Digits(shift=8),
        lambda: CNN(channels=(16, 0)),
        lambda: CNN(channels=(4, 4, 4, 4)).build((1, 8, 8), 10),
        lambda: MLP(hidden=(0,)),
        lambda: Cosine(warmup_epochs=-1),
        lambda: Constant(warmup_epochs=math.inf),
        lambda: Perturbed(start_epoch=-1.0),
        lambda: Perturbed(interval_steps=0),
    ],
)
def test_values_nothing_can_be_trained_with_are_refused_in_a_sentence(build):
    with pytest.raises(ConfigurationError, match=r"^cannot .*, because .*; "):
        build()


def test_cosine_warms_up_to_one_and_ends_near_zero():
    factors = [Cosine().factor(step, total_steps=100, warmup_steps=10) for step in range(100)]
    assert factors[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert factors[10] == 1.0
    assert all(a > b for a, b in zip(factors[10:], factors[11:], strict=False))
    assert 0 < factors[-1] < 1e-3


def test_constant_stays_where_it_is():
    factors = [Constant().factor(step, total_steps=100, warmup_steps=4) for step in range(100)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert set(factors[4:]) == {1.0}
    assert Constant().factor(0, total_steps=10, warmup_steps=0) == 1.0


def test_window_counts_steps():
    fires = Perturbed(start_epoch=1.5, stop_epoch=3.0, interval_steps=2).window(steps_per_epoch=10)
    assert [step for step in range(50) if fires(step)] == list(range(16, 30, 2))
    assert all(map(Perturbed().window(10), range(50)))


def test_every_method_has_one_name():
    assert [method_name(kind()) for kind in METHODS.values()] == list(METHODS)


def test_configurations_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RunConfig("x").epochs = 3


@pytest.mark.parametrize("module", [config, methods])
def test_every_field_is_explained(module):
    """Each field of a configuration is followed by the sentence that --help shows."""
    for node in ast.parse(Path(module.__file__).read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name != "Window":  # the one that is not configuration
            for field, after in zip(node.body, [*node.body[1:], None], strict=True):
                if isinstance(field, ast.AnnAssign):
                    assert isinstance(after, ast.Expr), f"{node.name}.{field.target.id}"


@pytest.mark.parametrize(
    ("window", "text"),
    [
        (Perturbed(), "a perturbation on every step"),
        (Perturbed(start_epoch=4.0), "a perturbation after 4 epochs"),
        (
            Perturbed(1.0, 2.5, 3),
            "a perturbation after 1 epoch, before 2.5 epochs are over, on every step that 3 divides",
        ),
    ],
)
def test_a_window_is_told_in_epochs(window, text):
    assert str(window.window(10)) == text


@pytest.mark.parametrize("window", [Perturbed(), Perturbed(1.25, None, 7), Perturbed(0.5, 2.0, 3), Perturbed(9.0)])
def test_a_window_counts_its_steps(window):
    window = window.window(10)
    for total in (0, 5, 13, 50):
        assert window.count(total) == sum(map(window, range(total)))


def test_a_configuration_knows_how_many_steps_it_perturbs():
    late = Perturbed(start_epoch=4.0)
    assert RunConfig("x", method=SAM(), when=late, epochs=5).perturbed_steps == 10
    assert RunConfig("x", method=SAM(), when=late, epochs=3).perturbed_steps == 0
    assert RunConfig("x", epochs=5).perturbed_steps == 0
