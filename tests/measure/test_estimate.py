"""An estimate, and its one form in JSON."""

from __future__ import annotations

import json
import math

import pytest

from samnesia.measure.estimate import Estimate, plain


def test_a_mean_has_its_standard_error_and_a_single_value_none():
    found = Estimate.of([1.0, 2.0, 4.0])
    assert found.value == pytest.approx(7.0 / 3.0) and found.count == 3
    assert found.error == pytest.approx(math.sqrt(7.0 / 3.0 / 3.0))
    alone = Estimate.of([2.0])
    assert math.isnan(alone.error) and str(alone) == "2"


def test_it_is_written_without_what_is_not_finite_and_read_back():
    found = Estimate(0.25, 0.5, 4)
    assert found.as_dict() == {"value": 0.25, "error": 0.5, "count": 4}
    assert Estimate.from_dict(json.loads(json.dumps(found.as_dict(), allow_nan=False))) == found
    assert Estimate(math.inf, math.nan, 1).as_dict() == {"value": None, "error": None, "count": 1}
    nothing = Estimate.from_dict({"value": None, "error": None, "count": 1})
    assert math.isnan(nothing.value) and math.isnan(nothing.error)


def test_plain_keeps_finite_numbers_alone():
    assert [plain(x) for x in (0.0, -1.5, math.nan, math.inf, -math.inf, None)] == [0.0, -1.5, None, None, None, None]
