"""Errors on corrupted images: by hand, over severities, against a baseline."""

import json
import math
from dataclasses import replace

import pytest
import torch

from samnesia.data.corruptions import FAMILIES, MAIN, Corrupted
from samnesia.evaluate.corruptions import (
    ALEXNET,
    Baseline,
    CorruptionErrors,
    corruption_error,
    corruption_errors,
    mce,
    relative_corruption_error,
    relative_mce,
)
from samnesia.evaluate.predictions import Sampled
from samnesia.perturb.errors import ConfigurationError, UnsupportedError

SOME = Sampled(count=150)


def errors(clean, **families):
    """Found at severities 1 and 2."""
    return CorruptionErrors(
        "test", 10, clean, (1, 2), {name.replace("_", "-"): both for name, both in families.items()}
    )


@pytest.fixture(scope="module")
def found(loaded):
    """Of the run with SAM, with all that applies to digits."""
    return corruption_errors(loaded, SOME)


def test_errors_are_those_of_the_model_on_corrupted_images(loaded):
    found = corruption_errors(loaded, SOME, families=("snow", "jpeg"), severities=(2, 5), seed=4)
    split, numbers = loaded.problem.test, SOME.numbers(loaded.problem.test)
    pixels = loaded.problem.pixels(split, numbers)
    for name in ("snow", "jpeg"):
        for severity, error in zip((2, 5), found.errors[name], strict=True):
            images = Corrupted(FAMILIES[name], severity, 4)(pixels, numbers)
            predicted = loaded.model(loaded.problem.exposure.inputs(images)).argmax(1)
            wrong = (predicted != split.labels[torch.tensor(numbers)]).double().mean().item()
            assert error == pytest.approx(100 * wrong, abs=1e-9)
    assert found.samples == 150 and found.split == "test" and not found.left_out
    again = corruption_errors(
        loaded, replace(SOME, batch_size=37), families=("snow", "jpeg"), severities=(2, 5), seed=4
    )
    assert again == found


def test_errors_rise_with_severity_and_above_those_on_clean_images(found):
    assert len(found.errors) == 18 and found.left_out == {"saturate": "grey images have no colours"}
    rising = [found.clean, *found.by_severity]
    assert all(before < after for before, after in zip(rising, rising[1:], strict=False)), rising
    assert found.counted == MAIN
    assert found.mean == pytest.approx(sum(found.by_severity) / 5)
    assert found.mean == pytest.approx(sum(sum(found.errors[name]) for name in MAIN) / 75)
    assert CorruptionErrors.from_dict(json.loads(json.dumps(found.as_dict()))) == found


def test_the_mean_corruption_error_is_that_of_the_paper():
    one = errors(10.0, snow=(20.0, 40.0), fog=(10.0, 30.0))
    base = Baseline.of("base", [errors(25.0, snow=(50.0, 70.0), fog=(30.0, 50.0))])
    assert corruption_error(one, base) == pytest.approx({"snow": 100 * 60 / 120, "fog": 100 * 40 / 80})
    relative = {"snow": 100 * (60 - 20) / (120 - 50), "fog": 100 * (40 - 20) / (80 - 50)}
    assert relative_corruption_error(one, base) == pytest.approx(relative)
    assert mce(one, base) == pytest.approx(50.0)
    assert relative_mce(one, base) == pytest.approx(sum(relative.values()) / 2)
    assert mce(one, Baseline.of("itself", [one])) == pytest.approx(100.0)
    with pytest.raises(ConfigurationError, match="errors under fog are not known; evaluate it with the same"):
        mce(one, Baseline("base", 25.0, {"snow": 60.0}))


def test_a_baseline_of_seeds_is_their_mean_and_one_without_errors_divides_nothing():
    base = Baseline.of("two", [errors(10.0, snow=(20.0, 40.0)), errors(20.0, snow=(30.0, 30.0))])
    assert (base.clean, base.means) == (15.0, {"snow": 30.0})
    assert base == Baseline(**json.loads(json.dumps(base.as_dict())))
    perfect = Baseline("perfect", 0.0, {"snow": 0.0})
    assert math.isnan(mce(errors(10.0, snow=(20.0, 40.0)), perfect))
    assert set(ALEXNET.means) == set(MAIN) and all(56 < mean < 93 for mean in ALEXNET.means.values())


def test_extra_families_count_only_where_there_are_no_others():
    both = errors(10.0, snow=(20.0, 40.0), spatter=(90.0, 90.0))
    assert both.counted == ("snow",) and both.mean == 30.0 and both.by_severity == (20.0, 40.0)
    assert errors(10.0, spatter=(90.0, 80.0)).mean == 85.0


def test_what_cannot_be_evaluated_is_said(loaded):
    with pytest.raises(ConfigurationError, match="no such family; use some of gaussian-noise"):
        corruption_errors(loaded, SOME, families=("rain",))
    with pytest.raises(UnsupportedError, match="saturate, because grey images have no colours"):
        corruption_errors(loaded, SOME, families=("saturate",))
    with pytest.raises(ConfigurationError, match="cannot evaluate no corruption"):
        corruption_errors(loaded, SOME, severities=())
    blind = replace(loaded, problem=replace(loaded.problem, exposure=None))
    with pytest.raises(UnsupportedError, match="because the data are no images; use a classifier of images"):
        corruption_errors(blind, SOME)
    small = replace(loaded, problem=replace(loaded.problem, shape=(2, 8, 8)))
    with pytest.raises(UnsupportedError, match="the images have 2 channels of 8 x 8 pixels"):
        corruption_errors(small, SOME)
