"""Values of the wrong kind, for each number that a preset or a schedule takes: one sentence, never a raw TypeError."""

import inspect
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import samnesia
from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.parts.numbers import integer, number

NEEDED = {
    "ae_sam": {"total_steps": 10},
    "esam": {"loss": F.cross_entropy},
    "focal_sam": {"class_shares": [5, 3, 2], "loss": F.cross_entropy},
    "functional_sam": {"loss": F.cross_entropy},
    "imbsam": {"num_classes": 3, "tail": [2], "loss": F.cross_entropy},
    "late_sam": {"start": 3},
    "mesa": {"loss": F.cross_entropy},
    "obf": {"rho": 0.1, "loss": F.cross_entropy},
    "saf": {"num_samples": 16, "loss": F.cross_entropy},
}
SCHEDULES = {
    samnesia.every: {"k": 2},
    samnesia.after: {"start": 2},
    samnesia.before: {"stop": 2},
    samnesia.randomly: {"p": 0.5},
    samnesia.proportional_to_lr: {"rho_min": 0.0, "rho_max": 0.1, "lr_min": 0.0, "lr_max": 0.1},
}
OPTIONS = ("epsilon", "seed", "measure_every", "total_steps")


def model_and_optimizer():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    return model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def numeric(function):
    """Arguments annotated as numbers, and whether None is one of their values."""
    for name, parameter in inspect.signature(function).parameters.items():
        kinds = {kind.strip() for kind in str(parameter.annotation).split("|")}
        if kinds & {"int", "float"}:
            yield name, "None" in kinds


PRESETS = {
    name: preset
    for name, preset in ((name, getattr(samnesia, name)) for name in samnesia.__all__)
    if inspect.isfunction(preset) and list(inspect.signature(preset).parameters)[:2] == ["model", "optimizer"]
}
ROWS = [(name, argument, none) for name, preset in PRESETS.items() for argument, none in numeric(preset)]


def wrong(*, none_is_right):
    return ["0.1", "x", [1.0], True, math.nan, torch.ones(2), *([] if none_is_right else [None])]


def test_the_rows_are_those_of_the_presets():
    asked = {("gsam", "alpha", False), ("late_sam", "start", False), ("sam", "steps", False), ("sam", "rho", False)}
    assert asked <= set(ROWS)
    assert len(ROWS) > 70 and set(NEEDED) <= set(PRESETS)


@pytest.mark.parametrize(("name", "argument", "none_is_right"), ROWS)
def test_a_value_that_is_no_number_is_refused_in_a_sentence(name, argument, none_is_right):
    for value in wrong(none_is_right=none_is_right):
        with pytest.raises(ConfigurationError, match=r"cannot .*, because .*; \w+"):
            PRESETS[name](*model_and_optimizer(), **{**NEEDED.get(name, {}), argument: value})


@pytest.mark.parametrize("option", OPTIONS)
def test_a_common_option_that_is_no_number_is_refused_in_a_sentence(option):
    for value in [*wrong(none_is_right=option == "total_steps"), -1]:
        with pytest.raises(ConfigurationError, match="cannot .* because .*; "):
            samnesia.sam(*model_and_optimizer(), **{option: value})


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_of_what_is_no_number_is_refused_in_a_sentence(schedule):
    right = SCHEDULES[schedule]
    schedule(**right)
    for argument in inspect.signature(schedule).parameters:
        for value in wrong(none_is_right=False):
            with pytest.raises(ConfigurationError, match="cannot .* because .*; "):
                schedule(**{**right, argument: value})


@pytest.mark.parametrize("option", ["ball", "ascent", "rule", "selection", "teacher", "descent", "inner", "updates"])
@pytest.mark.parametrize("value", ["x", 3, samnesia.Lookahead, [samnesia.Lookahead]])
def test_a_part_that_is_none_is_refused_in_a_sentence(option, value):
    with pytest.raises(ConfigurationError, match=f"cannot take {option}=.* because .*; give "):
        samnesia.PerturbedGradient(*model_and_optimizer(), loss=F.cross_entropy, **{option: value})


@pytest.mark.parametrize("option", ["loss", "objective", "remainder"])
@pytest.mark.parametrize("value", ["cross_entropy", 3, nn.CrossEntropyLoss])
def test_a_criterion_that_cannot_be_called_is_refused_in_a_sentence(option, value):
    with pytest.raises(ConfigurationError, match=f"cannot take {option}=.* because .*; write "):
        samnesia.sam(*model_and_optimizer(), **{"loss": F.cross_entropy, option: value})


@pytest.mark.parametrize("preset", [samnesia.sam, samnesia.lookahead, samnesia.shrink_and_perturb, samnesia.wsam])
def test_one_update_is_no_list_of_updates(preset):
    with pytest.raises(ConfigurationError, match="give a list"):
        preset(*model_and_optimizer(), updates=samnesia.Lookahead())


@pytest.mark.parametrize(("preset", "option"), [(samnesia.asam, "scaling"), (samnesia.obf, "link")])
def test_a_choice_that_is_no_text_is_refused_in_a_sentence(preset, option):
    with pytest.raises(ConfigurationError, match=r"^cannot .*\[1\].* because .*; choose"):
        preset(*model_and_optimizer(), rho=0.1, **{"loss": F.cross_entropy, option: [1]})


@pytest.mark.parametrize("names", ["0.weight", ["0.weight", 1], 3])
def test_names_that_are_no_list_of_texts_are_refused_in_a_sentence(names):
    with pytest.raises(ConfigurationError, match="give a list of their names"):
        samnesia.sam_on(*model_and_optimizer(), names=names)


def test_numbers_of_other_libraries_are_numbers():
    for value in (1, 0.5, np.float32(0.5), np.int64(2), torch.tensor(0.5), np.array(0.5)):
        assert number(value) == float(value)
    for value in (1, np.int64(2)):
        assert integer(value) == value
    for value in (1.0, True, "1", None, torch.tensor(1)):
        assert math.isnan(integer(value))
    samnesia.sam(*model_and_optimizer(), rho=torch.tensor(0.05), steps=np.int64(2))
