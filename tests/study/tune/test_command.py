"""``samnesia tune`` on the command line."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from samnesia import cli
from samnesia.commands.words import configuration
from samnesia.study.tune.space import make_space
from samnesia.study.tune.suggestion import range_around, suggest_for, warm_up_epochs
from samnesia.train.config import ASAM, SAM, Perturbed
from samnesia.train.recipes import find


@pytest.fixture
def samnesia(capsys):
    """Run the command line in this process; returns (exit code, standard output, standard error)."""

    def run(*words):
        code = cli.main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


SMALL = ("--epochs", 2, "--when.start-epoch", 1, "--data.train", 100, "--batch-size", 50)


def test_a_search_from_words(samnesia, tmp_path):
    out = tmp_path / "out"
    words = ("tune", "digits-sam", *SMALL, "--budget", 3, "--seeds", 1, "--confirm", 3, "--out", out)
    code, said, err = samnesia(*words, "--search", "method.rho=0.05:0.5:log", "optimizer.nesterov=true|false")
    assert (code, err) == (0, "")
    assert "trial 0 (the recipe's own): method.rho 0.2, optimizer.nesterov False: " in said
    assert "on fresh seeds" in said and "without perturbation" in said
    content = json.loads((out / "tune.json").read_text())
    assert content["command"] == (
        "samnesia tune digits-sam --data.train 100 --when.start-epoch 1 --epochs 2 --batch-size 50 --budget 3 "
        f"--search method.rho=0.05:0.5:log 'optimizer.nesterov=true|false' --seeds 1 --confirm 3 --out {out}"
    )
    advice = said.splitlines()[-2]
    assert re.search(r"(?i)\b(use|keep): samnesia train digits-sam --data\.train 100 ", advice)
    config, _, rest = configuration(advice.partition("samnesia train ")[2].split())
    assert config == find("digits-sam") and rest[-2:] == ["--out", "DIR"]


def test_a_suggestion_without_a_search(samnesia, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, said, err = samnesia("tune", "digits-noisy-sam", "--suggest", *SMALL)
    assert (code, err) == (0, "")
    assert said.startswith("digits-noisy-sam after 1 epoch of plain training:\n    radius    mean rise of the loss")
    assert "Rule: the radius at which the loss rises by" in said
    assert list(tmp_path.iterdir()) == []
    command = said.splitlines()[-1].removeprefix("As a search: ")
    assert command.startswith("samnesia tune digits-noisy-sam --data.train 100 --when.start-epoch 1 --epochs 2 ")
    assert " --budget 30 --search method.rho=" in command and command.endswith(":log --out DIR")
    code, _, err = samnesia(*command.replace(" 30 ", " 2 ").split()[1:], "--seeds", 1, "--confirm", 0)
    assert (code, err) == (0, ""), "the command that is printed can be run"


def test_the_range_around_a_suggestion_holds_the_own_radius():
    """Also one of many digits, far away from it, and not below the lowest radius."""
    found = SimpleNamespace(low=0.0512345, high=3.3)
    for rho, rho_min, text in ((0.4, None, "0.0512:3.3:log"), (0.00123456789, None, "0.00123456789:3.3:log"),
                               (9.87654321, None, "0.0512:9.87654321:log"), (0.4, 0.2, "0.2:3.3:log"),
                               (0.0, None, "0:3.3")):  # fmt: skip
        config = replace(find("digits-sam"), method=SAM(rho=rho, rho_min=rho_min))
        assert range_around(found, config) == f"method.rho={text}"
        (one,) = make_space(config, [range_around(found, config)]).searched
        assert one.holds(rho)


def test_a_search_around_the_suggestion(samnesia, tmp_path):
    words = ("tune", "digits-noisy-sam", *SMALL, "--budget", 2, "--seeds", 1, "--confirm", 0, "--suggest")
    code, said, _ = samnesia(*words, "--out", tmp_path / "out")
    assert code == 0
    low, high, _ = json.loads((tmp_path / "out" / "tune.json").read_text())["definition"]["search"]["method.rho"].split(
        ":"
    )
    tried = said.partition("Try ")[2].partition(",")[0].split(" to ")
    assert float(low) <= 0.4 <= float(high)
    assert float(low) == pytest.approx(min(0.4, float(tried[0])), rel=0.1)
    assert float(high) == pytest.approx(max(0.4, float(tried[1])), rel=0.1)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "cannot tune before the recipe is known"),
        (
            ("digits-sma",),
            "cannot train recipe 'digits-sma', because there is no such recipe; did you mean 'digits-sam'?",
        ),
        (("digits-sam",), "cannot tune without a budget"),
        (("digits-sam", "--budget", "30"), "cannot tune without --out"),
        (("digits-sam", "--budget", "0", "--out", "x"), "cannot tune with a budget of 0 runs"),
        (("digits-sam", "--budget", "30", "--out", "x", "--workers", "0"), "cannot tune with 0 workers"),
        (("digits-sam", "--budget", "30", "--out", "x", "--serch", "a"), "did you mean '--search'?"),
        (("digits-sam", "--budget", "30", "--out", "x", "--search", "rho=1:2"), "did you mean 'method.rho'?"),
        (
            ("digits-sam", "--budget", "30", "--out", "x", "--search", "=1:2"),
            "cannot search '=1:2', because a search is",
        ),
        (("digits-sam", "--budget", "30", "--out", "x", "--search", "method.rho=-1:1"), "cannot perturb with rho=-1.0"),
        (("digits-sgd", "--budget", "30", "--out", "x"), "cannot search the radius of digits-sgd"),
        (("digits-sgd", "--suggest"), "cannot suggest a radius for digits-sgd, because its method has none"),
        (("digits-obf", "--suggest"), "the probe follows the gradient of the loss, and its perturbation does not"),
        (("digits-random", "--suggest"), "the probe follows the gradient of the loss, and its perturbation does not"),
    ],
)
def test_what_is_refused(samnesia, tmp_path, monkeypatch, words, reason):
    monkeypatch.chdir(tmp_path)
    code, said, err = samnesia("tune", *words)
    assert (code, said) == (2, "")
    assert err.startswith("samnesia: cannot ") and reason in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_help(samnesia):
    code, said, _ = samnesia("tune", "--help")
    assert code == 0 and "samnesia tune digits-noisy-sam --budget 30 --out DIR" in said
    for option in ("--out", "--budget", "--search", "--seeds", "--confirm", "--workers", "--suggest"):
        assert option in said
    code, said, _ = samnesia("tune", "digits-sam", "--help")
    assert code == 0 and "--method.rho" in said and "--budget" in said and "--source" not in said


def test_the_probe_of_a_recipe_is_made_where_it_begins_to_perturb():
    config = find("digits-sam")
    assert warm_up_epochs(config) == 4
    assert warm_up_epochs(replace(config, when=Perturbed(start_epoch=60.0))) == 60
    assert warm_up_epochs(replace(config, when=Perturbed())) == 4
    assert warm_up_epochs(replace(config, when=Perturbed(), epochs=2)) == 1


def test_the_probe_takes_the_geometry_and_the_batches_of_the_recipe():
    sam = replace(find("digits-noisy-sam"), epochs=1, when=Perturbed())
    asam = replace(sam, method=ASAM(rho=1.0))
    found = {name: suggest_for(config, seed=5, warm_up=0) for name, config in (("sam", sam), ("asam", asam))}
    assert 2.0 < found["asam"].rho / found["sam"].rho < 20.0
    assert suggest_for(sam, seed=5, warm_up=0) == found["sam"]
    assert suggest_for(sam, seed=5, warm_up=1).loss < found["sam"].loss - 0.1
    small = suggest_for(replace(sam, micro_batch=10), seed=5, warm_up=0)
    assert small.slope > 1.2 * found["sam"].slope, "gradients of fewer samples are longer"
