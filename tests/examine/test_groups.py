"""Runs that differ by their seed alone stand together."""

from dataclasses import dataclass, replace
from pathlib import Path

from samnesia.examine.chosen import Chosen, Place
from samnesia.examine.groups import groups_of
from samnesia.train.checkpoint import Position
from samnesia.train.config import SAM, RunConfig, Unperturbed


@dataclass
class Entrant:
    """A run that is only named."""

    config: RunConfig
    directory = Path("runs")


def chosen(label, config, epoch=3):
    run = Entrant(config)
    place = Place(label, run, Position(epoch), averaged=False)
    return Chosen(label, run, (place,), (place,))


def seeds(label, config, numbers=(0, 1)):
    return [chosen(f"{label}{seed}", replace(config, seed=seed)) for seed in numbers]


SGD, SAMS = RunConfig("a", method=Unperturbed()), RunConfig("a", method=SAM(rho=0.1))


def test_a_group_is_named_by_its_method():
    found = groups_of([*seeds("one-", SGD), *seeds("other-", SAMS), chosen("alone", replace(SAMS, epochs=3))])
    assert found == {"one-0": "sgd", "one-1": "sgd", "other-0": "sam", "other-1": "sam", "alone": "alone"}


def test_groups_of_one_method_are_named_by_what_their_labels_share():
    wide = replace(SAMS, method=SAM(rho=0.2))
    found = groups_of([*seeds("sam-narrow-seed", SAMS), *seeds("sam-wide-seed", wide)])
    assert list(found.values()) == ["sam", "sam", "sam-wide", "sam-wide"]
    found = groups_of([chosen("sam", replace(SAMS, batch_size=4)), *seeds("x", SAMS), *seeds("y", wide)])
    assert list(found.values()) == ["sam", "x", "x", "y", "y"]


def test_nothing_but_the_seed_may_differ():
    again = [chosen("once", SGD), chosen("twice", SGD)]
    assert groups_of(again) == {"once": "once", "twice": "twice"}
    epochs = [chosen("early", SGD, epoch=1), chosen("late", replace(SGD, seed=1), epoch=3)]
    assert groups_of(epochs) == {"early": "early", "late": "late"}
