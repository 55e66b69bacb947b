"""Forgetting of a model: the estimators on the data that it should be measured on, and nothing changed."""

from __future__ import annotations

import json
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from samnesia.measure.calibration.links import Sigmoid
from samnesia.measure.forgetting.corrections import PlugIn
from samnesia.measure.forgetting.estimators import Estimator, forgotten
from samnesia.measure.forgetting.hidden import hidden_information, noise_scale
from samnesia.measure.forgetting.probes import CommonProbe, OtherBatch, OwnProbe, PermutedLabels, RiseMatched
from samnesia.measure.forgetting.probing import HeldOut, HiddenLayer, probe_forgetting
from samnesia.measure.subject import Subject
from samnesia.perturb.errors import ConfigurationError, UnsupportedError
from tests.measure.forgetting.test_probes import batches, net, trained
from tests.measure.test_subject import everything, same


def joined(pairs: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """All samples."""
    return torch.cat([x for x, _ in pairs]), torch.cat([y for _, y in pairs])


def logits(model: nn.Module, inputs: Tensor, offsets: list[Tensor] | None, *, batch: int | None = None) -> Tensor:
    """At w or w + e, by running statistics or by those of each batch."""
    saved = {name: value.clone() for name, value in model.state_dict().items()}
    model.train(batch is not None)
    with torch.no_grad():
        for p, offset in zip(model.parameters(), offsets or [], strict=False):
            p += offset
        found = torch.cat([model(part) for part in inputs.split(batch or len(inputs))])
    model.load_state_dict(saved)
    return found


@pytest.mark.parametrize("view", ["running", "batch"])
def test_every_estimate_is_that_of_its_samples(view: str):
    model, data = net(), batches(6)
    subject = Subject(model, F.cross_entropy, data)
    probe, size = CommonProbe(rho=0.4), 10 if view == "batch" else None
    x, y = joined(data)
    held_x, held_y = x.flip(0) * 1.1, y.flip(0)
    held_out = HeldOut(list(zip(held_x.split(10), held_y.split(10), strict=True)))
    group = torch.arange(60) % 3 == 0
    found = probe_forgetting(subject, probe, perturbations=3, groups={"third": group}, held_out=held_out)
    assert found.perturbations == 3 and found.m == 10
    values: dict[tuple[str, str, str], list[float]] = {}
    for index, number in enumerate((0, 2, 4)):
        offsets = probe.perturbation(subject, [data[i] for i in (0, 2, 4)], index)
        inside = torch.arange(60) // 10 == number
        seen = [logits(model, x, e, batch=size) for e in (None, offsets)]
        pointwise = Estimator().forgotten(*seen, y)
        for group_name, members in (("all", torch.ones(60, dtype=torch.bool)), ("third", group)):
            for split, mask in (("exposed", members & inside), ("training", members & ~inside)):
                for name, each in pointwise.items():
                    values.setdefault((split, group_name, name), []).append(float(each[mask].mean()))
            rises = [values[split, group_name, "loss_rise"][-1] for split in ("exposed", "training")]
            values.setdefault(("exposed", group_name, "input_exposed"), []).append(rises[0] - rises[1])
        held = forgotten(*(logits(model, held_x, e, batch=size) for e in (None, offsets)), held_y)
        for name in pointwise:
            values.setdefault(("held_out", "all", name), []).append(held[name].value)
    for (split, group_name, name), each in values.items():
        estimate = found.of(name, split, group_name, view)
        assert estimate.value == pytest.approx(sum(each) / 3.0, rel=1e-9, abs=1e-12), (split, group_name, name)
        assert estimate.error == pytest.approx(float(torch.tensor(each).std()) / math.sqrt(3.0), rel=1e-4, abs=1e-9)
        assert estimate.count == 3
    share = found.of("superfluous_share", "exposed", statistics=view).value
    both = [sum(values["exposed", "all", name]) for name in ("superfluous", "output")]
    assert share == pytest.approx(both[0] / both[1], rel=1e-9)
    looked_at = {"exposed": {"all": 30, "third": 10}, "held_out": {"all": 60}}
    assert {split: found.samples[split] for split in looked_at} == looked_at
    assert found.samples["training"]["all"] == 50


def test_nothing_is_forgotten_at_radius_zero_to_the_bit():
    model = net()
    found = probe_forgetting(
        Subject(model, F.cross_entropy, batches()),
        CommonProbe(rho=0.0),
        groups={"even": torch.arange(40) % 2 == 0},
        held_out=HeldOut(batches()),
        layer=HiddenLayer("2"),
    )
    for view in ("running", "batch"):
        for split in ("exposed", "training", "held_out"):
            for groups in found.cells[view][split].values():
                for name, estimate in groups.items():
                    if not name.endswith("_before") and name != "superfluous_share":
                        assert estimate.value == 0.0 and estimate.error == 0.0, name
    assert found.norm.value == 0.0


@pytest.mark.parametrize("training", [True, False])
def test_measuring_leaves_model_method_and_generators_as_they_were(training: bool):
    model = net(dropout=0.3)
    method = trained("sam", model)
    subject = Subject(model, F.cross_entropy, batches())
    model.train(training)
    state, step, before = method.state_dict(), method.last_step, everything(model)
    probe_forgetting(subject, OwnProbe(method), held_out=HeldOut(batches()), layer=HiddenLayer("2"))
    assert same(everything(model), before)
    assert method.state_dict() == state and method.last_step is step
    assert all(not module._forward_hooks for module in model.modules())


def test_an_interrupted_measure_leaves_the_model_as_it_was():
    model = net()
    before = everything(model)
    subject = Subject(model, F.cross_entropy, batches())
    with pytest.raises(ConfigurationError, match="did you mean"):
        probe_forgetting(subject, CommonProbe(), layer=HiddenLayer("22"))
    with pytest.raises(ConfigurationError, match="each sample requires one"):
        probe_forgetting(subject, CommonProbe(), groups={"some": torch.ones(3, dtype=torch.bool)})
    assert same(everything(model), before)


def test_groups_and_other_labels_follow_the_samples_that_are_drawn():
    model = net()
    x, y = joined(batches(8))
    loader = DataLoader(TensorDataset(x, y), batch_size=10)
    subject = Subject(model, F.cross_entropy, loader, samples=40, seed=3)
    assert subject.chosen is not None
    groups, others = {"third": torch.arange(80) % 3 == 0}, {"other": torch.arange(80) % 2}
    found = probe_forgetting(subject, CommonProbe(rho=0.4), groups=groups, others=others)
    drawn = Subject(model, F.cross_entropy, DataLoader(TensorDataset(x[subject.chosen], y[subject.chosen]), 10))
    wanted = probe_forgetting(
        drawn,
        CommonProbe(rho=0.4),
        groups={name: values[subject.chosen] for name, values in groups.items()},
        others={name: values[subject.chosen] for name, values in others.items()},
    )
    assert found.as_dict() == wanted.as_dict()
    assert found.of("superfluous_other", "training", "third").value != 0.0


def test_the_order_of_batches_that_do_not_perturb_does_not_matter():
    model, data = net(), batches(4)
    here = probe_forgetting(Subject(model, F.cross_entropy, data), CommonProbe(rho=0.4), perturbations=1)
    there = probe_forgetting(
        Subject(model, F.cross_entropy, [data[i] for i in (0, 3, 1, 2)]), CommonProbe(rho=0.4), perturbations=1
    )
    for split in ("exposed", "training"):
        for name, estimate in here.cells["running"][split]["all"].items():
            assert there.of(name, split).value == pytest.approx(estimate.value, rel=1e-9, abs=1e-12)


def test_a_hidden_layer_is_looked_at_with_one_noise():
    model, data = net(), batches()
    subject, probe = Subject(model, F.cross_entropy, data), CommonProbe(rho=0.4)
    found = probe_forgetting(subject, probe, perturbations=1, layer=HiddenLayer("2"))
    x, y = joined(data)
    offsets = probe.perturbation(subject, data, 0)
    old, new = (logits(model[:3], x, None if e is None else e[:4]) for e in (None, offsets))
    scale = noise_scale(old, y)
    values = [hidden_information(h, y, scale=scale)["superfluous"].value for h in (old, new)]
    cells = found.cells["running"]
    total = sum(n * cells[split]["all"]["hidden"].value for split, n in (("exposed", 10), ("training", 30))) / 40
    assert total == pytest.approx(values[0] - values[1], rel=1e-9)


def test_without_layers_that_keep_statistics_there_is_one_view():
    model = nn.Sequential(nn.Linear(6, 3)).double()
    found = probe_forgetting(Subject(model, F.cross_entropy, batches()), CommonProbe())
    assert list(found.cells) == ["running"]


def test_a_sigmoid_net_with_soft_targets():
    model = net()
    data = [(x, F.one_hot(y, 3).double() * 0.9 + 0.1 / 3) for x, y in batches()]

    def criterion(output: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(output, target, reduction="none").sum(1).mean()

    found = probe_forgetting(
        Subject(model, criterion, data), CommonProbe(rho=0.4), link=Sigmoid(), correction=PlugIn(), perturbations=2
    )
    assert found.method == {"link": "Sigmoid", "correction": "PlugIn"}
    assert found.of("loss_rise", "exposed").value > 0.0


def test_a_result_is_plain_json_says_that_it_is_a_reconstruction_and_where_samples_are_few():
    found = probe_forgetting(Subject(net(), F.cross_entropy, batches()), CommonProbe(rho=0.0), perturbations=1)
    plain = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert plain["values"]["running"]["exposed"]["all"]["superfluous_share"]["value"] is None
    assert plain["m"] == 10 and plain["norm"] == {"value": 0.0, "error": None, "count": 1}
    text = str(found)
    assert "reconstruction" in text and "only" in text and "input_exposed" in text
    with pytest.raises(ConfigurationError, match="there are only 'exposed', 'training'"):
        found.of("output", "held_out")


def test_what_cannot_be_measured_is_refused():
    model = net()
    spread = Subject(model, F.cross_entropy, batches())
    spread.distributed = True
    with pytest.raises(UnsupportedError, match="measure in one process"):
        probe_forgetting(spread, CommonProbe())
    with pytest.raises(ConfigurationError, match="no variance"):
        lonely = HeldOut([(batches()[0][0][:1], batches()[0][1][:1])])
        probe_forgetting(Subject(model, F.cross_entropy, batches()), CommonProbe(), held_out=lonely)
    with pytest.raises(ConfigurationError, match="between 1 and 4"):
        probe_forgetting(Subject(model, F.cross_entropy, batches()), CommonProbe(), perturbations=5)
    ragged = [*batches(), (batches()[0][0][:1], batches()[0][1][:1])]
    with pytest.raises(ConfigurationError, match="no variance"):
        probe_forgetting(Subject(model, F.cross_entropy, ragged), CommonProbe())
    line = nn.Linear(6, 2).double()
    for targets, words in ((lambda y: y.double(), "a distribution over"), (lambda y: y[:, None, None], "one class")):
        data = [(x, targets(y)) for x, y in batches()]
        with pytest.raises(UnsupportedError, match=words):
            probe_forgetting(Subject(line, lambda output, _: output.square().mean(), data), CommonProbe())


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.line = nn.Linear(6, 3).double()

    def forward(self, x):
        return {"logits": self.line(x)}


def test_outputs_that_are_no_logits_are_refused():
    named = Subject(Named(), lambda output, y: F.cross_entropy(output["logits"], y), batches())
    with pytest.raises(UnsupportedError, match="outputs of type dict"):
        probe_forgetting(named, CommonProbe())
    first, (x, y), *_ = batches()
    with pytest.raises(ConfigurationError, match="outputs that are not finite"):
        probe_forgetting(
            Subject(Named().line, F.cross_entropy, [first, (math.nan * x, y)]), CommonProbe(), perturbations=1
        )


def test_other_training_data_are_without_the_batch_that_perturbed():
    model, data = net(), batches(6)
    subject = Subject(model, F.cross_entropy, data)
    x, y = joined(data)
    nulls = [OtherBatch(CommonProbe(rho=0.4)), PermutedLabels(OtherBatch(CommonProbe(rho=0.4)))]
    for probe in (*nulls, RiseMatched(nulls[0], CommonProbe(rho=0.2))):
        found = probe_forgetting(subject, probe, perturbations=3)
        rises, apart = [], []
        for index, (number, other) in enumerate(((0, 2), (2, 4), (4, 0))):
            offsets = probe.perturbation(subject, [data[i] for i in (0, 2, 4)], index)
            seen = [logits(model, x, e) for e in (None, offsets)]
            rise = Estimator().forgotten(*seen, y)["loss_rise"]
            places = torch.arange(60) // 10
            rises.append(float(rise[(places != number) & (places != other)].mean()))
            apart.append(float(rise[places == number].mean()) - rises[-1])
        assert found.of("loss_rise", "training").value == pytest.approx(sum(rises) / 3.0, rel=1e-9)
        assert found.of("input_exposed", "exposed").value == pytest.approx(sum(apart) / 3.0, rel=1e-9)
        assert found.samples["training"]["all"] == 40


def test_held_out_loaders_leave_the_global_generators_alone():
    subject, before = Subject(net(), F.cross_entropy, batches()), torch.get_rng_state()
    held_out = HeldOut(DataLoader(TensorDataset(*joined(batches())), batch_size=10))
    probe_forgetting(subject, CommonProbe(), perturbations=2, held_out=held_out)
    assert torch.equal(before, torch.get_rng_state())


def test_a_dead_layer_has_no_noise_of_its_own():
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3)).double()
    nn.init.constant_(model[0].bias, -100.0)
    subject = Subject(model, F.cross_entropy, batches())
    with pytest.raises(ConfigurationError, match=r"the noise of the layer '1'.*is it dead.*scale="):
        probe_forgetting(subject, CommonProbe(), perturbations=2, layer=HiddenLayer("1"))
    found = probe_forgetting(subject, CommonProbe(), perturbations=2, layer=HiddenLayer("1", scale=0.5))
    assert found.of("hidden_before", "training").value == pytest.approx(0.0, abs=1e-12)
