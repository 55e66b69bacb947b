"""The learning rates of the study of widths, against the committed losses of plain training."""

import json

import pytest

from benchmarks.widths_rates import FACTORS, RESULTS, rates
from samnesia.study.named.widths import FAMILIES, net_name

LOSSES = json.loads(RESULTS.read_text())["loss"]


@pytest.mark.parametrize("net", [net_name(name, width) for name, family in FAMILIES.items() for width in family.widths])
def test_the_rule_is_within_a_factor_of_two_of_the_best_rate_at_every_width(net):
    assert set(LOSSES[net]) == set(FACTORS)
    assert min(LOSSES[net], key=LOSSES[net].get) in ("0.5", "1", "2")


def test_the_factor_multiplies_the_rule():
    work = rates().work
    (rule,) = {work({"net": "vit-28", "rate": "1"}, 1000).config.optimizer.lr}
    assert work({"net": "vit-28", "rate": "4"}, 1000).config.optimizer.lr == pytest.approx(4 * rule)
    assert rule == pytest.approx(0.003 * 64 / 28)
