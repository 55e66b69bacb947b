"""Configurations: JSON and back, and what is refused."""

import ast
import dataclasses
import json
import math
import pkgutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samnesia.perturb.errors import ConfigurationError
from samnesia.train import config, parts
from samnesia.train.config import (
    CNN,
    EMA,
    MLP,
    SGD,
    SWA,
    AdamW,
    BinaryCrossEntropy,
    Checkpoints,
    CifarResNet,
    Constant,
    Cosine,
    CrossEntropy,
    Digits,
    Evaluation,
    Folder,
    Hardware,
    Images,
    Linear,
    Logging,
    Mixing,
    Perturbed,
    Photographs,
    RunConfig,
    Steps,
    Table,
    renewed,
)
from samnesia.train.parts.methods import (
    ASAM,
    GSAM,
    METHODS,
    OBF,
    SAM,
    ASAMAfterNorm,
    OutputBias,
    Random,
    Unperturbed,
    method_name,
)
from samnesia.train.recipes import RECIPES

RADII = st.floats(0, 10)
MODULES = list(pkgutil.iter_modules(parts.__path__))
CONFIGS = st.builds(
    RunConfig,
    recipe=st.text(max_size=8),
    data=st.one_of(
        st.builds(Digits, flipped=st.floats(0, 1), shift=st.integers(0, 3), train=st.integers(1, 1596)),
        st.builds(Digits, marks=st.floats(0, 1)),
        st.builds(Photographs, names=st.lists(st.text(max_size=8), max_size=3).map(tuple), side=st.integers(2, 99)),
        st.builds(Table, name=st.sampled_from(["wine", "breast_cancer"]), train=st.integers(1, 99)),
        st.builds(
            Images,
            source=st.builds(Folder, root=st.text(max_size=8)),
            num_classes=st.none() | st.integers(2, 1000),
            mean=st.none() | st.just((0.5, 0.5, 0.5)),
            mixing=st.none() | st.builds(Mixing, mixup=st.floats(0.01, 2)),
        ),
    ),
    model=st.one_of(
        st.builds(CNN, channels=st.lists(st.integers(1, 64), max_size=3).map(tuple), hidden=st.integers(1, 99)),
        st.builds(MLP, hidden=st.lists(st.integers(1, 64), max_size=3).map(tuple), norm=st.booleans()),
        st.builds(CifarResNet),
    ),
    loss=st.one_of(st.builds(kind, smoothing=st.floats(0, 0.9)) for kind in (CrossEntropy, BinaryCrossEntropy)),
    optimizer=st.one_of(
        st.builds(SGD, lr=st.floats(1e-6, 10), weight_decay=st.floats(0, 1), decoupled=st.booleans()),
        st.builds(AdamW, lr=st.floats(1e-6, 10), betas=st.tuples(st.floats(0, 0.9), st.floats(0, 0.99))),
    ),
    schedule=st.one_of(
        st.builds(Cosine, warmup_epochs=st.floats(0, 9), final=st.floats(0, 1)),
        st.builds(Linear, warmup_epochs=st.floats(0, 9), final=st.floats(0, 1)),
        st.builds(Constant, warmup_epochs=st.floats(0, 9)),
        st.builds(Steps, milestones=st.lists(st.floats(0, 1), max_size=4).map(tuple), gamma=st.floats(0.01, 1)),
    ),
    method=st.one_of(
        st.just(Unperturbed()),
        st.builds(SAM, rho=RADII),
        st.builds(ASAM, rho=RADII, scaling=st.sampled_from(["element", "filter", "layer"])),
        st.builds(ASAMAfterNorm, rho=RADII, objective=st.none() | st.builds(OutputBias, gamma=st.floats(0, 1))),
        st.builds(GSAM, rho=RADII, alpha=st.floats(0, 1), backup=st.sampled_from(["raw", "normalized"])),
        st.builds(GSAM, rho=st.floats(0.1, 10), rho_min=st.floats(0, 0.1)),
        st.builds(OBF, rho=RADII, threshold=st.none() | st.floats(0.01, 0.99)),
        st.builds(Random, rho=RADII, clean_statistics=st.booleans()),
    ),
    when=st.builds(
        Perturbed, start_epoch=st.floats(0, 9), stop_epoch=st.none() | st.floats(0, 9), fresh_state=st.booleans()
    ),
    epochs=st.integers(1, 500),
    batch_size=st.sampled_from([16, 64]),
    micro_batch=st.sampled_from([None, 1, 5, 8]),
    device_batch=st.none() | st.integers(1, 99),
    drop_last=st.booleans(),
    clip_norm=st.none() | st.floats(1e-3, 1e3),
    average=st.none() | st.builds(EMA, decay=st.floats(0, 0.9999)) | st.builds(SWA, start_epoch=st.floats(0, 9)),
    shrink_perturb=st.floats(0, 1),
    checkpoints=st.builds(
        Checkpoints, every_epochs=st.none() | st.just(3), keep_epochs=st.lists(st.integers(0, 9), max_size=3).map(tuple)
    ),
    evaluation=st.builds(Evaluation, train=st.booleans()),
    logging=st.builds(Logging, every_steps=st.integers(0, 9), wandb=st.none() | st.text(max_size=5)),
    hardware=st.builds(
        Hardware,
        precision=st.sampled_from(["32-true", "bf16-mixed", "16-mixed", "64-true"]),
        strategy=st.sampled_from(["ddp", "fsdp"]),
        compile=st.booleans(),
    ),
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
        ("epochs", "3", "cannot use '3' for epochs, because it must be a whole number"),
        ("epochs", 3.5, "cannot use 3.5 for epochs, because it must be a whole number"),
        ("epochs", True, "cannot use True for epochs, because it must be a whole number"),
        ("micro_batch", "all", "cannot use 'all' for micro_batch, because it must be a whole number"),
        ("model.channels", [16, "x"], r"cannot use 'x' for model.channels\[1\], because it must be a whole number"),
        ("optimizer", 0.1, "cannot use kind None for optimizer, because it is unknown; known are SGD, AdamW"),
        ("optimizer.kind", "Adam", "cannot use kind 'Adam' for optimizer, because it is unknown; did you mean 'AdamW'"),
        ("hardware", "cpu", "cannot use 'cpu' for hardware, because it must be an object"),
        ("hardware.kind", "Laptop", "cannot use kind 'Laptop' for hardware, because it must be 'Hardware'"),
        ("hardware.precision", "half", "cannot use 'half' for hardware.precision, because it must be '32-true' or"),
        ("threads", 1, "cannot set threads, because there is no such field"),
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
        lambda: Hardware(threads=0),
        lambda: RunConfig("x", batch_size=80, micro_batch=0),
        lambda: RunConfig("x", batch_size=80, micro_batch=81),
        lambda: RunConfig("x", device_batch=0),
        lambda: RunConfig("x", clip_norm=0.0),
        lambda: RunConfig("x", clip_norm=math.inf),
        lambda: RunConfig("x", shrink_perturb=-0.1),
        lambda: RunConfig("x", shrink_perturb=math.nan),
        lambda: CrossEntropy(smoothing=1.0),
        lambda: BinaryCrossEntropy(smoothing=-0.1),
        lambda: EMA(decay=1.0),
        lambda: SWA(every_epochs=0),
        lambda: SWA(start_epoch=-1.0),
        lambda: AdamW(lr=-1.0),
        lambda: AdamW(betas=(0.9,)),
        lambda: AdamW(betas=(0.9, 1.0)),
        lambda: AdamW(eps=-1e-8),
        lambda: Linear(final=1.5),
        lambda: Steps(milestones=(1.5,)),
        lambda: Steps(gamma=0.0),
        lambda: Checkpoints(last=0),
        lambda: Checkpoints(every_epochs=0),
        lambda: Checkpoints(every_steps=0),
        lambda: Checkpoints(keep_epochs=(-1,)),
        lambda: Evaluation(every_epochs=0),
        lambda: Evaluation(batch_size=0),
        lambda: Logging(every_steps=-1),
        lambda: SAM(rho=0.1, rho_min=0.2),
        lambda: Hardware(workers=-1),
        lambda: RunConfig("x", clip_norm=0.0),
        lambda: RunConfig("x", clip_norm=math.nan),
        lambda: RunConfig("x", clip_norm=math.inf),
        lambda: RunConfig("x", seed=2**64),
        lambda: Hardware(threads=100_000),
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
        lambda: Digits(train=0),
        lambda: Digits(train=1597),
        lambda: Digits(marks=-0.1),
        lambda: Digits(marks=1.5),
        lambda: Digits(marks=math.nan),
        lambda: Digits(marks=0.9, flipped=0.4),
        lambda: Digits(marks=0.9, shift=1),
        lambda: Photographs(side=1),
        lambda: Photographs(per_region=0),
        lambda: Table(train=0),
        lambda: Table(validation=-1),
        lambda: CNN(channels=(16, 0)),
        lambda: CNN(channels=(4, 4, 4, 4)).build((1, 8, 8), 10),
        lambda: MLP(hidden=(0,)),
        lambda: MLP(norm=False, scale=0.0),
        lambda: MLP(scale=2.0),
        lambda: MLP(hidden=(), norm=False, scale=2.0),
        lambda: Cosine(warmup_epochs=-1),
        lambda: Constant(warmup_epochs=math.inf),
        lambda: Perturbed(start_epoch=-1.0),
        lambda: Perturbed(interval_steps=0),
    ],
)
def test_values_nothing_can_be_trained_with_are_refused_in_a_sentence(build):
    with pytest.raises(ConfigurationError, match=r"^cannot .*, because .*; "):
        build()


@pytest.mark.parametrize("micro_batch", [1, 30, 80])
def test_a_micro_batch_need_not_divide_the_batch(micro_batch):
    assert RunConfig("x", batch_size=80, micro_batch=micro_batch).micro_batch == micro_batch


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
    assert fires.first == 16
    assert all(map(Perturbed().window(10), range(50)))


def test_every_method_has_one_name():
    assert [method_name(kind()) for kind in METHODS.values()] == list(METHODS)


def test_configurations_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RunConfig("x").epochs = 3


def test_steps_of_a_broken_epoch_are_not_rounded_up():
    """1.1 * 10 is 11.000000000000002."""
    assert [s for s in range(50) if Perturbed(start_epoch=1.1, stop_epoch=2.2).window(10)(s)] == list(range(11, 22))


@given(st.integers(0, 10**6), st.integers(1, 5005))
def test_a_window_from_a_whole_step_starts_there(step, steps_per_epoch):
    assert Perturbed(start_epoch=step / steps_per_epoch).window(steps_per_epoch).start == step


@pytest.mark.parametrize("file", [config.__file__, *(Path(p, f"{m.name}.py") for p in parts.__path__ for m in MODULES)])
def test_every_field_is_explained(file):
    """Each field of a configuration is followed by the sentence that --help shows."""
    for node in ast.parse(Path(file).read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name not in ("Window", "Training"):  # which are no configuration
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
    assert RunConfig("x", method=SAM(), when=late, epochs=5).perturbed_steps(10) == 10
    assert RunConfig("x", method=SAM(), when=late, epochs=3).perturbed_steps(10) == 0
    assert RunConfig("x", epochs=5).perturbed_steps(10) == 0


def test_settings_from_before_a_field_came_are_those_of_today():
    today = RunConfig("x", epochs=5).to_json()
    before = {name: value for name, value in today.items() if name != "record"}
    assert renewed(before) == today
    assert renewed({"config": before, "seeds": [1]}) == {"config": today, "seeds": [1]}
    assert renewed({"radius": 0.1, "part": {"kind": "SAM"}}) == {"radius": 0.1, "part": {"kind": "SAM"}}
    unreadable = before | {"nobody_knows": 1}
    assert renewed(unreadable) == unreadable
