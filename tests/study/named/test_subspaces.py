"""The study of subspaces: its claims, its arms, and what its cells measure of short runs."""

from dataclasses import replace

import pytest
import torch

from samnesia.models.subspaces.shapes import Curve, Line, Simplex
from samnesia.perturb.errors import ConfigurationError
from samnesia.study.engine.plan import make_plan
from samnesia.study.measured import Measured
from samnesia.study.named.cells.endpoints import FIRST, SECOND, Ends, Ensembled
from samnesia.study.named.subspaces import ARMS, MEASURES, PAIR, PROBLEMS, SUBSPACES, configuration, subspaces
from samnesia.train.config import MLP, SAM, Digits, OwnModel, Unperturbed
from samnesia.train.loaded import load
from samnesia.train.recipes import find
from tests.train import small

ENDS = Ends(points=3)


def test_it_is_asked_as_it_was_announced(tmp_path):
    for quick in (False, True):
        study = subspaces(quick=quick)
        design = study.design
        claims = [(one.measure, one.treatment["method"], one.control["method"], one.where["problem"], one.direction,
                   one.smallest) for one in design.primary]  # fmt: skip
        assert claims == [
            ("last", "line", "sgd", "digits-noisy", "higher", 1.0),
            ("last", "line", "sgd", "digits-few", "higher", 0.5),
            ("ece", "line", "sgd", "digits-few", "lower", 0.5),
            ("ensemble", "two-nets", "line", "digits-noisy", "higher", 1.0),
            ("ensemble", "two-nets", "line", "digits-few", "higher", 0.5),
        ]
        assert [one.claim.startswith("AGAINST") for one in design.primary] == [False] * 3 + [True] * 2
        assert len(design.seeds) >= 8 and not {*design.seeds} & {*design.tuning_seeds}
    assert len(make_plan(subspaces(quick=True), tmp_path).jobs) == 8 * 2 * 8


@pytest.mark.parametrize("problem", PROBLEMS)
def test_arms_differ_from_one_net_in_what_they_say_and_in_nothing_else(problem):
    plain, recipe = configuration("sgd", problem, 3), find(f"{problem}-sgd")
    same = {name: getattr(plain, name) for name in ("recipe", "checkpoints", "evaluation", "logging", "seed")}
    assert plain == replace(recipe, **same) and plain.subspace is None
    rho = find(f"{problem}-sam").method.rho
    expected = {
        "sgd-half-rate": {"optimizer": replace(plain.optimizer, lr=plain.optimizer.lr / 2)},
        PAIR: {},
        "line": {"subspace": Line(beta=1.0)},
        "simplex": {"subspace": Simplex(n=3, beta=1.0)},
        "curve": {"subspace": Curve(beta=1.0)},
        "line-layerwise": {"subspace": Line(beta=1.0, layerwise=True)},
        "sam": {"method": SAM(rho=rho)},
        "line-sam": {"method": SAM(rho=rho), "subspace": Line()},
        "line-sam-half-radius": {"method": SAM(rho=rho / 2), "subspace": Line()},
    }
    assert {*expected} == {*ARMS} - {"sgd"} and {*SUBSPACES} == {n for n, c in expected.items() if "subspace" in c}
    for name, changes in expected.items():
        assert configuration(name, problem, 3) == replace(plain, **changes), name


def short(method):
    """Three epochs of an arm on some digits."""
    config = configuration(method, "digits-noisy", 1)
    return replace(config, data=Digits(flipped=0.4, train=200), model=MLP(hidden=(8,)), batch_size=20, epochs=3)


def accuracy(model, loaded):
    hits = [(model(inputs).argmax(1) == targets).double() for inputs, targets in loaded.samples("test")]
    return 100.0 * torch.cat(hits).mean().item()


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    """A measured line: its directory, and what came out."""
    out, work = tmp_path_factory.mktemp("line"), Measured(short("line"), ENDS)
    small.quietly(work.run, out)
    return out, work.read(out).values


def test_a_line_is_measured_at_its_centre_and_its_ends(line):
    out, values = line
    loaded = load(out / "training", device="cpu")
    inputs = [x for x, _ in loaded.samples("train", batch_size=20)]
    nets = []
    for position in (0.0, 1.0):
        net = loaded.subspace.net(position)
        torch.optim.swa_utils.update_bn(inputs, net)
        nets.append(net.eval())
    ends = [accuracy(net, loaded) for net in nets]
    assert values["final.accuracy"] == pytest.approx(values["last.test_accuracy"], abs=1e-6)
    assert values["endpoints.accuracy"] == pytest.approx(sum(ends) / 2, abs=1e-6)
    assert values["endpoints.behind"] == pytest.approx(values["final.accuracy"] - sum(ends) / 2, abs=1e-6)
    together = accuracy(lambda x: nets[0](x) + nets[1](x), loaded)  # the sum of logits, as the paper
    assert values["ensemble.accuracy"] == pytest.approx(together, abs=1e-6)
    assert values["along.lowest"] <= min(ends) + 1e-6
    assert 0.0 <= values["endpoints.cosine"] <= 1.0 and 0.0 < values["final.ece"] < 100.0
    names = {one.value for one in MEASURES}
    assert names - {"best.test_accuracy"} <= values.keys() | {"gradient_evaluations", "seconds"}


def test_two_nets_start_apart_and_speak_together(tmp_path):
    work = Ensembled(short(PAIR), ENDS)
    small.quietly(work.run, tmp_path)
    values = work.read(tmp_path).values
    first, second = (load(tmp_path / name, device="cpu") for name in (FIRST, SECOND))
    assert not torch.equal(first.model[1].weight, second.model[1].weight)
    assert torch.equal(first.problem.train.batch([5])[0], second.problem.train.batch([5])[0])
    together = accuracy(lambda x: first.model(x) + second.model(x), first)
    assert values["last.test_accuracy"] == values["ensemble.accuracy"] == pytest.approx(together, abs=1e-6)
    assert values["gradient_evaluations"] == 2 * 3 * 10
    with pytest.raises(ConfigurationError, match=r"cannot use the result .* other settings"):
        replace(work, ends=Ends(bins=7)).read(tmp_path)
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(ConfigurationError, match=r"cannot read .* damaged"):
        work.read(tmp_path)
    small.quietly(work.run, tmp_path)  # what was trained stays
    assert work.read(tmp_path).values == values


def test_two_nets_need_a_model_that_starts_from_a_file():
    config = replace(short(PAIR), model=OwnModel(small.net), method=Unperturbed())
    with pytest.raises(ConfigurationError, match="cannot train an ensemble of this run, because"):
        Ensembled(config, ENDS)
