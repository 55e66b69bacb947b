"""Runs along a subspace: they stop and go on exactly, are evaluated at the centre, and are read back as it."""

from dataclasses import replace

import pytest
import torch
from torch.optim.swa_utils import update_bn

from samnesia.data.loader import Plan
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError, RunStopped
from samnesia.train import randomness
from samnesia.train.along import Along, along
from samnesia.train.checkpoint import Position, Store
from samnesia.train.config import (
    ASAM,
    EMA,
    MLP,
    OBF,
    SAM,
    SGD,
    SWA,
    Checkpoints,
    Curve,
    Evaluation,
    FunctionalSAM,
    Hardware,
    Line,
    Lookbehind,
    Recording,
    RecordSharpness,
    RunConfig,
    Simplex,
)
from samnesia.train.loaded import load
from samnesia.train.log import read_result
from samnesia.train.loop import _chunks, _step, resume, train, train_epoch
from tests.train.small import BATCH, STEPS, TRAIN, After, begun, clouds, config, net, quietly, smooth, trained
from tests.train.test_resume import numbers

KINDS = {
    "line": {"subspace": Line(), "method": SAM(0.1)},
    "simplex": {"subspace": Simplex(n=3, layerwise=True), "average": SWA(), "micro_batch": 5, "method": SAM(0.1)},
    "curve": {"subspace": Curve(), "method": OBF(0.1), "average": EMA(decay=0.8)},
    "rounds": {"subspace": Line(), "method": Lookbehind(0.1)},
    "mixed": {"subspace": Line(), "method": ASAM(0.5), "hardware": Hardware(precision="bf16-mixed")},
}


@pytest.mark.parametrize("name", [pytest.param(k, marks=[pytest.mark.slow] if k == "rounds" else []) for k in KINDS])
def test_a_stopped_run_ends_as_the_unbroken_one(name, tmp_path):
    """Stopped in the middle of an epoch, and right before an evaluation."""
    run_config = config(**KINDS[name])
    trained(run_config, tmp_path / "unbroken")
    with pytest.raises(RunStopped):
        train(run_config, tmp_path / "broken", stop=After(3))
    with pytest.raises(RunStopped):
        resume(tmp_path / "broken", stop=After(2 * STEPS - 3))
    quietly(resume, tmp_path / "broken")
    assert numbers(tmp_path / "broken") == numbers(tmp_path / "unbroken")


def test_the_place_of_a_step_is_that_of_seed_and_step_and_each_pass_stands_there(monkeypatch):
    run, places = begun(config(subspace=Simplex(n=3), method=SAM(0.1), seed=7)), []
    forward = run.subspace.forward
    monkeypatch.setattr(run.subspace, "forward", lambda *x: (places.append(run.subspace.position), forward(*x))[1])
    for pieces in run.batches(range(1)):
        run.model.train()
        _step(run, _chunks(run, pieces), BATCH)
        run.position = Position(0, run.position.step + 1)
    for step in range(STEPS):
        run.subspace.draw(randomness.generator(7, randomness.PLACE, step))
        assert all(torch.equal(place, run.subspace.position) for place in places[2 * step : 2 * step + 2])
    assert len(places) == 2 * STEPS and len({tuple(place[0].tolist()) for place in places}) == STEPS


def test_sgd_along_a_line_is_that_of_its_formula():
    """w_i <- w_i - lr * share_i * (the gradient at the mixture), without a penalty, momentum or decay."""
    run_config = smooth(subspace=Line(beta=0.0), optimizer=SGD(lr=0.1, momentum=0.0, weight_decay=0.0), epochs=1)
    run = begun(run_config)
    nets = [[p.detach().clone() for p in end.parameters()] for end in run.subspace.endpoints]

    class Never:
        journals = ()

        def after_step(self):
            pass

    train_epoch(run, run.batches(range(1)), Never())
    model, data = run.subspace.net(), clouds(0).train
    plan = Plan(TRAIN, BATCH, None, None, drop_last=True, seed=0)
    draws = begun(run_config).subspace
    for step in range(STEPS):
        draws.draw(randomness.generator(0, randomness.PLACE, step))
        shares = draws.position[0].tolist()
        weights = [sum(s * w for s, w in zip(shares, ws, strict=True)) for ws in zip(*nets, strict=True)]
        for p, w in zip(model.parameters(), weights, strict=True):
            p.data, p.grad = w.clone(), None
        inputs, targets = data.batch(plan.batch_of(0, step))
        torch.nn.functional.cross_entropy(model(inputs.double()), targets).backward()
        rate = run_config.learning_rate(step, STEPS)
        for share, own in zip(shares, nets, strict=True):
            for w, p in zip(own, model.parameters(), strict=True):
                w -= rate * share * p.grad
    for end, own in zip(run.subspace.endpoints, nets, strict=True):
        for p, w in zip(end.parameters(), own, strict=True):
            torch.testing.assert_close(p.detach(), w, rtol=1e-11, atol=1e-13)


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    """A run along a line, evaluated every second epoch, with an average."""
    out = tmp_path_factory.mktemp("line") / "run"
    trained(config(**KINDS["line"], average=SWA(), epochs=4, checkpoints=Checkpoints(last=9),
                   evaluation=Evaluation(every_epochs=2)), out)  # fmt: skip
    return out


def test_figures_of_a_line_are_those_of_its_midpoint(line):
    """With the statistics of the weights between the ends, over the batches of the epoch."""
    state, model = Store(line).read(Position(4)).model, net((1, 4, 4), 6)
    middle = {n: (state[f"endpoints.0.{n}"] + state[f"endpoints.1.{n}"]) / 2 for n, _ in model.named_parameters()}
    model.load_state_dict(middle, strict=False)
    train, plan = clouds(0).train, Plan(TRAIN, BATCH, None, None, drop_last=True, seed=0)
    update_bn([train.batch(plan.batch_of(3, step), 3)[0] for step in range(STEPS)], model)
    torch.testing.assert_close(state["endpoints.0.1.running_mean"], model[1].running_mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(state["endpoints.0.1.running_var"], model[1].running_var, rtol=1e-4, atol=1e-5)
    loaded, last = load(line, device="cpu"), read_result(line).last
    for name, value in loaded.model.named_parameters():
        torch.testing.assert_close(value, middle[name])
    for averaged, prefix in ((False, ""), (True, "average_")):
        one = load(line, averaged=averaged, device="cpu")
        for split in ("train", "test"):
            subject = Subject(one.model, one.criterion, one.samples(split, batch_size=7))
            assert subject.loss() == pytest.approx(last[f"{prefix}{split}_loss"], rel=1e-5)


def test_what_is_measured_is_said_to_be_the_midpoint(line):
    loaded = load(line, device="cpu")
    assert loaded.describe()["weights"] == "as trained, midpoint of a line"
    assert "all of a line but its midpoint" in loaded.left_out()
    assert loaded.perturbation() is None and loaded.subspace.shape == Line()
    assert load(line, averaged=True, device="cpu").describe()["weights"] == "SWA, midpoint of a line"


def test_statistics_that_are_of_no_net_are_refused(line):
    with pytest.raises(ConfigurationError, match="cannot look at .*epoch0003.* because BatchNorm's statistics"):
        load(line / "checkpoints" / "epoch0003-step000000")
    with pytest.raises(ConfigurationError, match="of averages at the end"):
        load(line / "checkpoints" / "epoch0002-step000000", averaged=True)
    assert load(line / "checkpoints" / "epoch0002-step000000").subspace is not None


def test_accuracy_along_a_line(line):
    loaded = load(line, device="cpu")
    found = along(loaded, points=3)
    (way,) = found.ways.values()
    assert [one.position for one in way] == [0.0, 0.5, 1.0] and found.samples == 19
    assert (way[0].accuracy, way[2].accuracy) == tuple(end.accuracy for end in found.endpoints)
    assert way[1].accuracy == found.centre.accuracy
    inputs = [x for x, _ in loaded.samples("train", batch_size=BATCH)]
    nets = [loaded.subspace.net(position) for position in (0.0, 1.0)]
    for one in nets:
        update_bn(inputs, one)
        one.eval()
    ((x, y),) = loaded.samples("test", batch_size=99)
    together = sum(one(x) for one in nets)
    assert found.ensemble.accuracy == pytest.approx((together.argmax(1) == y).double().mean().item())
    expected = torch.nn.functional.cross_entropy(together / 2, y).item()
    assert found.ensemble.loss == pytest.approx(expected, rel=1e-5)
    assert Along.from_dict(found.as_dict()) == found
    with pytest.raises(ConfigurationError, match="at 1 places"):
        along(loaded, points=1)


def test_one_net_has_nothing_to_look_along(tmp_path):
    trained(config(epochs=1), tmp_path)
    with pytest.raises(ConfigurationError, match="because it trained one net"):
        along(load(tmp_path, device="cpu"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"record": Recording(sharpness=RecordSharpness())}, "cannot record sharpness along a line"),
        ({"method": FunctionalSAM(0.1)}, "cannot train a line with a penalty and functional-sam"),
    ],
)
def test_what_would_train_something_else_is_refused(changes, said):
    with pytest.raises(ConfigurationError, match=f"{said}.*because .*;"):
        begun(config(subspace=Line(), **changes))
    begun(config(subspace=Line(beta=0.0), method=FunctionalSAM(0.1)))


def test_endpoints_from_one_file_are_refused(tmp_path):
    from safetensors.torch import save_file

    model = MLP(hidden=(3,), norm=False, weights=str(tmp_path / "net.safetensors"))
    save_file(model.at_random().build((1, 4, 4), 6).state_dict(), model.weights)
    with pytest.raises(ConfigurationError, match="endpoints that start equal"):
        begun(config(subspace=Line(), model=model))


def test_a_configuration_goes_through_json():
    for shape in (None, Line(beta=0.5), Curve(layerwise=True), Simplex(n=5)):
        written = config(subspace=shape).to_json()
        assert RunConfig.from_json(written) == config(subspace=shape)
    assert RunConfig.from_json({k: v for k, v in config().to_json().items() if k != "subspace"}) == config()


def test_the_loss_that_is_logged_has_the_penalty(tmp_path):
    """Its gradient is perturbed and stepped with the rest."""
    without, with_it = (trained(replace(smooth(subspace=Line(beta=beta)), epochs=1)) for beta in (0.0, 50.0))
    assert without.weight_norm != with_it.weight_norm
    run = begun(smooth(subspace=Line(beta=2.0)))
    run.draw()
    inputs, targets = torch.randn(4, 1, 4, 4).double(), torch.arange(4)
    loss = run.method.training_loss(run.model(inputs), targets)
    plain = torch.nn.functional.cross_entropy(run.model(inputs), targets)
    assert loss.item() == pytest.approx(plain.item() + run.subspace.penalty().item())
