"""What is searched: as it is written, as it is sampled, and what cannot be."""

from dataclasses import replace

import pytest

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.tune.space import Choice, Range, make_space
from samnesia.train.config import GSAM, METHODS, SAM
from samnesia.train.parts.methods import Radial
from samnesia.train.recipes import find
from tests.study.tune.planted import planted

SPACE = ("method.rho=0.05:1:log", "optimizer.weight-decay=0:0.01", "batch_size=20:160", "method.alpha=0.1|0.2")


class Fixed:
    """A trial that is given these values."""

    def __init__(self, **values):
        self._values = values

    def suggest_float(self, name, low, high, log=False):
        assert low <= self._values[name] <= high
        return self._values[name]

    suggest_int = suggest_float

    def suggest_categorical(self, name, choices):
        assert self._values[name] in choices
        return self._values[name]


def test_words_become_ranges_and_choices():
    space = make_space(find("digits-gsam"), SPACE)
    assert space.searched == (
        Range("method.rho", 0.05, 1.0, log=True),
        Range("optimizer.weight_decay", 0.0, 0.01),
        Range("batch_size", 20.0, 160.0, whole=True),
        Choice("method.alpha", (0.1, 0.2)),
    )
    assert [str(one) for one in space.searched] == [word.replace("-", "_") for word in SPACE]
    assert space.own == {"method.rho": 0.3, "optimizer.weight_decay": 5e-4, "batch_size": 80, "method.alpha": 0.2}
    assert make_space(find("digits-gsam"), list(map(str, space.searched))) == space


def test_without_words_the_radius_is_searched():
    (one,) = make_space(find("digits-noisy-sam")).searched
    assert one == Range("method.rho", 0.05, 3.2, log=True)
    config = replace(find("digits-noisy-sam"), method=SAM(rho=0.2, rho_min=0.1))
    (one,) = make_space(config).searched
    assert one == Range("method.rho", 0.1, 1.6, log=True)


@pytest.mark.parametrize("name", sorted(name for name, kind in METHODS.items() if issubclass(kind, Radial)))
def test_every_radius_can_be_searched(name):
    config = replace(find("digits-noisy-sgd"), method=METHODS[name]())
    (one,) = make_space(config).searched
    assert (one.name, one.log) == ("method.rho", True) and one.low < config.method.rho < one.high


@pytest.mark.parametrize("name", ["lookahead", "shrink", "mesa", "saf", "ema"])
def test_what_has_no_radius_asks_what_to_search(name):
    with pytest.raises(ConfigurationError, match="cannot search the radius of .*, because its method has none that"):
        make_space(find(f"digits-noisy-{name}"))


def test_values_are_put_into_the_configuration_and_nothing_else_is():
    config = find("digits-gsam")
    space = make_space(config, SPACE)
    assert space.apply(space.own) == config
    values = space.suggest(
        Fixed(**{"method.rho": 0.123456, "optimizer.weight_decay": 0.00712345, "batch_size": 33, "method.alpha": "0.1"})
    )
    assert values == {"method.rho": 0.123, "optimizer.weight_decay": 0.00712, "batch_size": 33, "method.alpha": 0.1}
    optimizer = replace(config.optimizer, weight_decay=0.00712)
    expected = replace(config, method=GSAM(rho=0.123, alpha=0.1), optimizer=optimizer, batch_size=33)
    assert space.apply(values) == expected


def test_choices_of_every_kind():
    space = make_space(
        find("digits-sam"),
        ("optimizer.nesterov=true|False", "clip_norm=None|0.5|1", "optimizer.decayed=all|matrices",
         "model.channels=[16,32]|[8]", "micro_batch=none|40"),
    )  # fmt: skip
    assert [one.options for one in space.searched] == [
        (True, False), (None, 0.5, 1.0), ("all", "matrices"), ((16, 32), (8,)), (None, 40),
    ]  # fmt: skip
    for one in space.searched:
        for option in one.options:
            assert one.suggest(Fixed(**{one.name: one.written(option)}), None) == option
            space.apply({one.name: option})


def test_the_first_settings_are_the_own_and_some_spread_evenly():
    space = make_space(find("digits-noisy-sam"))
    starts = [values["method.rho"] for values in space.starts(8, seed=3)]
    assert starts[0] == 0.4
    thirds = sorted(rho / 0.05 for rho in starts[1:])
    assert [sum(4.0**k <= ratio < 4.0 ** (k + 1) for ratio in thirds) for k in range(3)] in (
        [3, 3, 2], [3, 2, 3], [2, 3, 3],
    )  # fmt: skip
    assert starts == [values["method.rho"] for values in space.starts(8, seed=3)]
    assert starts != [values["method.rho"] for values in space.starts(8, seed=4)]
    mixed = make_space(find("digits-gsam"), SPACE).starts(6, seed=0)
    assert {values["method.alpha"] for values in mixed} == {"0.1", "0.2"}
    assert all(isinstance(values["batch_size"], int) for values in mixed)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("optimizer.lrr=0.1:1",), "has no such field; did you mean 'optimizer.lr'"),
        (("lr=0.1:1",), "has no such field; did you mean 'optimizer.lr'"),
        (("method=a|b",), "cannot search method, because digits-sam has no such field"),
        (("method.rho.x=1:2",), "has no such field"),
        (("method.rho=1:0.1:log",), "cannot search method.rho from 1 to 0.1, .*turn it round"),
        (("method.rho=1:1",), "turn it round"),
        (("method.rho=nan:1",), "turn it round"),
        (("method.rho=0:1:log",), "on a logarithmic scale, because that has positive numbers only"),
        (("method.rho=0.1:1:ln",), "a range is LOW:HIGH or LOW:HIGH:log"),
        (("method.rho=0.1",), "a range is LOW:HIGH or LOW:HIGH:log"),
        (("method.rho={}|[{}]",), "the recipe's own value, .*, is the first that is tried, and is not among them"),
        (("method.rho=a:b",), "a range is LOW:HIGH or LOW:HIGH:log"),
        (("method.rho=",), "write NAME=LOW:HIGH"),
        (("=1:2",), "cannot search '=1:2', .* write NAME=LOW:HIGH"),
        (("--=1:2",), "cannot search '--=1:2', .* write NAME=LOW:HIGH"),
        (("method.rho=-1:1",), "cannot perturb with rho=-1.0, because the radius"),
        (("method.rho=-1|0.2",), "cannot perturb with rho=-1.0, because the radius"),
        (("method.rho",), "write NAME=LOW:HIGH"),
        (
            ("method.rho=1:2",),
            "the recipe's own value, 0.2, is the first that is tried.*widen the range, or set --method",
        ),
        (("clip_norm=0.1:1",), "the recipe's own value, None, is the first"),
        (("batch_size=20.5:160",), "because it is a whole number"),
        (("optimizer.nesterov=0:1",), "because it is no number; write the choices"),
        (("optimizer.nesterov=true|true",), "because an option repeats"),
        (("optimizer.momentum=0.9|heavy",), "cannot use 'heavy' for optimizer.momentum"),
        (("optimizer.momentum=0.5:1.5",), "momentum"),
        (("method.kind=SAM|ASAM",), "because another kind has other fields; choose it beforehand by --method.kind"),
        (("seed=1:5",), "because trials are compared epoch by epoch over the same seeds"),
        (("epochs=5:50",), "set it for all of them by --epochs"),
        (("evaluation.every_epochs=1:5",), "because trials are compared epoch by epoch"),
        (("method.rho=0.1:1", "--method.rho=0.1:2"), "because each field has one range"),
    ],
)
def test_what_cannot_be_searched(words, reason):
    with pytest.raises(ConfigurationError, match=reason):
        make_space(find("digits-sam"), words)


def test_the_own_value_is_tried_as_it_is():
    """Others have three digits; this one may have more."""
    config = replace(find("digits-sam"), method=SAM(rho=0.123456))
    space = make_space(config)
    (start, *_) = space.starts(1, seed=0)
    assert space.suggest(Fixed(**start)) == space.own == {"method.rho": 0.123456}
    assert space.apply(space.suggest(Fixed(**start))) == config


def test_values_are_shown_as_they_are_typed():
    space = make_space(find("digits-sam"), ("method.rho=0.2|2|1e-5", "model.channels=[16,32]|[8]", "clip_norm=none|1"))
    assert [str(one) for one in space.searched] == [
        "method.rho=0.2|2|1e-05", "model.channels=[16,32]|[8]", "clip_norm=None|1",
    ]  # fmt: skip
    assert make_space(find("digits-sam"), list(map(str, space.searched))) == space
    assert str(make_space(find("digits-sam"), ("method.rho=0.05:2:log",)).searched[0]) == "method.rho=0.05:2:log"
    with pytest.raises(ConfigurationError, match=r"because the recipe's own value, 0.2, is"):
        make_space(find("digits-sam"), ("method.rho=1:2",))


def test_what_a_configuration_refuses_is_refused_at_once():
    config = replace(find("digits-noisy-sam"), method=SAM(rho=0.2, rho_min=0.1))
    with pytest.raises(ConfigurationError, match="cannot lower the radius from 0.05 to 0.1"):
        make_space(config, ("method.rho=0.05:1",))


def test_a_method_without_a_radius_needs_words():
    with pytest.raises(ConfigurationError, match="cannot search the radius of planted, .*--search optimizer.lr"):
        make_space(planted())
