"""Methods as configuration: each builds the preset that it names, trains, and costs what it says."""

import dataclasses
import inspect
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

import samnesia
from samnesia.data.loader import Plan
from samnesia.perturb.errors import ConfigurationError, IdleScheduleWarning
from samnesia.train.config import (
    AESAM,
    ASAM,
    ESAM,
    GSAM,
    LESAM,
    MESA,
    METHODS,
    OBF,
    SAF,
    SAM,
    SAMON,
    WSAM,
    AdamW,
    FocalSAM,
    ImbSAM,
    IntervalSAM,
    LateSAM,
    Lookahead,
    Lookbehind,
    LookbehindASAM,
    LookSAM,
    MomentumSAM,
    OutputBias,
    OwnData,
    OwnLoss,
    OwnModel,
    Perturbed,
    RunConfig,
    ShrinkAndPerturb,
    Unperturbed,
    method_name,
)
from samnesia.train.parts.methods import Training
from tests.train.small import CLASSES, STEPS, clouds, config, net, smooth_net, trained

OF_THE_RUN = {
    "ae-sam": {"total_steps"},
    "esam": {"selection"},
    "imbsam": {"tail", "num_classes", "per_sample"},
    "focal-sam": {"class_shares", "per_sample"},
    "lookbehind-asam": {"ball"},
    "shrink": {"base_lr"},
    "saf": {"num_samples"},
}
"""Arguments that are no fields: the run gives them."""


def training(module, **changes):
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    losses = lambda output, target: F.cross_entropy(output, target, reduction="none")  # noqa: E731
    known = {"losses": losses, "class_counts": (3, 9, 1, 2, 8, 2), "total_steps": 20, "num_samples": 25}
    return Training(module, optimizer, F.cross_entropy, lr_min=0.0, lr_max=0.1, **known | changes)


@pytest.mark.parametrize("name", METHODS)
def test_fields_are_the_arguments_of_the_preset(name):
    """Those that are not are the trainer's: a lowest radius, an objective, and what decides which steps it perturbs."""
    method = METHODS[name]()
    arguments = inspect.signature(getattr(samnesia, method.preset)).parameters
    given = method.settings(training(net((1, 4, 4), CLASSES)))
    assert given.keys() - arguments.keys() <= {"objective", "total_steps", "selection", "loss"}
    fields = {field.name for field in dataclasses.fields(method)} - {"rho_min"}
    trainers = {"sam-interval": {"k"}, "sam-late": {"start"}, "lookbehind-asam": {"eta"}}.get(name, set())
    assert given.keys() == fields - trainers | OF_THE_RUN.get(name, set())
    for field in dataclasses.fields(method):
        if field.name in arguments.keys() - {"rho"} - OF_THE_RUN.get(name, set()):
            assert field.default == arguments[field.name].default, field.name


def parts(method):
    return [getattr(method, name) for name in ("rho", "ball", "ascent", "rule", "inner", "updates", "objective")]


@pytest.mark.parametrize(
    ("method", "preset"),
    [
        (SAM(0.1, steps=3), lambda m, o: samnesia.sam(m, o, 0.1, steps=3)),
        (GSAM(0.2, alpha=0.3), lambda m, o: samnesia.gsam(m, o, 0.2, alpha=0.3)),
        (WSAM(0.2, gamma=0.8, decoupled=False), lambda m, o: samnesia.wsam(m, o, 0.2, gamma=0.8, decoupled=False)),
        (LookSAM(0.2, k=3, alpha=0.5), lambda m, o: samnesia.looksam(m, o, 0.2, k=3, alpha=0.5)),
        (LESAM(0.2, sigma=0.1, steps=2), lambda m, o: samnesia.le_sam(m, o, 0.2, sigma=0.1, steps=2)),
        (AESAM(0.2, delta=0.8), lambda m, o: samnesia.ae_sam(m, o, 0.2, delta=0.8, total_steps=20)),
        (SAMON(0.2, eta=0.1), lambda m, o: samnesia.sam_on(m, o, 0.2, eta=0.1)),
        (Lookbehind(0.2, k=3, reuse=True), lambda m, o: samnesia.lookbehind(m, o, 0.2, k=3, reuse=True)),
        (
            LookbehindASAM(0.2, eta=0.1),
            lambda m, o: samnesia.lookbehind(m, o, 0.2, ball=samnesia.Ball(scaling=samnesia.ElementScaling(eta=0.1))),
        ),
        (Lookahead(k=2), lambda m, o: samnesia.lookahead(m, o, k=2)),
        (ShrinkAndPerturb(0.1), lambda m, o: samnesia.shrink_and_perturb(m, o, share=0.1, base_lr=0.1)),
        (
            ASAM(0.1, objective=OutputBias(gamma=0.5)),
            lambda m, o: samnesia.asam(
                m, o, 0.1, loss=F.cross_entropy, objective=samnesia.OutputBiasForgetting(gamma=0.5)
            ),
        ),
    ],
)
def test_what_is_built_is_the_preset(method, preset):
    module = net((1, 4, 4), CLASSES)
    given = training(module)
    assert parts(method.build(given)) == parts(preset(module, given.optimizer))


def test_rare_classes_are_those_with_fewest_samples():
    given = training(net((1, 4, 4), CLASSES))
    assert ImbSAM().settings(given)["tail"] == (2, 3, 5)
    assert ImbSAM(tail=(4, 0)).settings(given)["tail"] == (4, 0)
    assert FocalSAM().settings(given)["class_shares"] == (3.0, 9.0, 1.0, 2.0, 8.0, 2.0)


SPECIAL = {
    "ae-sam": None,  # its gradients decide
    "esam": 2 * 2 * STEPS,  # passes; the second is over half of the samples, and a forward pass is none
    "mesa": 2 * STEPS,  # a forward pass is none
}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_and_takes_the_gradients_that_it_says(name):
    run = config(method=METHODS[name](), epochs=2)
    result = trained(run)
    assert (result.steps, result.skipped_steps, result.method) == (2 * STEPS, 0, name)
    found, said = result.gradient_evaluations, SPECIAL.get(name, run.gradient_evaluations(STEPS))
    assert found == said if said is not None else 2 * STEPS < found <= 4 * STEPS
    first = 1 if name == "momentum-sam" else 0  # there is no momentum on the first step
    if name != "ae-sam":
        assert result.perturbed_steps == run.perturbed_steps(STEPS) - first
    assert RunConfig.from_json(run.to_json()) == run


@pytest.mark.parametrize(
    ("method", "added"),
    [
        (SAM(steps=3), 3.0),
        (Lookbehind(k=3), 5.0),
        (Lookbehind(k=3, reuse=True), 3.0),
        (MomentumSAM(), 0.0),
        (MESA(), 1 / 3),
        (SAF(), 0.0),
        (ESAM(share=0.5), 0.5 + 1 / 3),
        (ESAM(share=1.0), 1.0),
        (ImbSAM(), 2.0),
        (AESAM(), 0.5),
        (Lookahead(), 0.0),
    ],
)
def test_what_a_perturbed_step_costs_more(method, added):
    assert method.added_gradients == pytest.approx(added)


@pytest.mark.parametrize("method", [Lookbehind(k=3), Lookbehind(k=3, reuse=True), SAM(steps=2), OBF(steps=3)])
def test_several_rounds_and_steps_are_counted(method):
    run = config(method=method, when=Perturbed(start_epoch=0.4, interval_steps=2), epochs=2)
    assert trained(run).gradient_evaluations == run.gradient_evaluations(STEPS)


@pytest.mark.parametrize(
    ("method", "when", "fires"),
    [
        (IntervalSAM(k=2), Perturbed(), [0, 2, 4, 6, 8]),
        (IntervalSAM(k=2), Perturbed(interval_steps=3), [0, 6]),
        (IntervalSAM(k=4), Perturbed(start_epoch=0.2, interval_steps=2), [4, 8]),
        (LateSAM(start=0.5), Perturbed(), [5, 6, 7, 8, 9]),
        (LateSAM(start=0.5), Perturbed(start_epoch=1.4, stop_epoch=1.8), [7, 8]),
        (LateSAM(start=0.3), Perturbed(interval_steps=4), [4, 8]),
        (LookSAM(k=5), Perturbed(start_epoch=0.2), [5]),
        (LookSAM(k=2), Perturbed(start_epoch=1.0), [6, 8]),
        (SAM(), Perturbed(interval_steps=5), [0, 5]),
    ],
)
def test_a_method_perturbs_where_it_and_the_run_do(method, when, fires):
    run = config(method=method, when=when, epochs=2)
    window = run.window(STEPS)
    assert [step for step in range(2 * STEPS) if window(step)] == fires
    assert window.count(2 * STEPS) == run.perturbed_steps(STEPS) == len(fires)
    result = trained(run)
    assert result.perturbed_steps == len(fires)
    assert result.gradient_evaluations == run.gradient_evaluations(STEPS) == 2 * STEPS + len(fires)


def test_mesa_begins_where_the_run_says():
    """Before that it is the base optimizer; the average has been taken all along."""
    plain, all_along = (trained(config(method=method)).weight_norm for method in (Unperturbed(), MESA()))
    with pytest.warns(IdleScheduleWarning, match="a perturbation after 3 epochs fires on none of the 15 steps"):
        late = trained(config(method=MESA(), when=Perturbed(start_epoch=3.0))).weight_norm
    assert plain == late != all_along


@pytest.mark.parametrize("cut", [{}, {"micro_batch": 3}, {"device_batch": 4}])
def test_saf_holds_each_sample_to_what_was_said_of_it(cut):
    """From the second visit on, whatever the order: SAF of no weight is the base optimizer, as is one epoch."""
    plain, one, two, none, late = (
        trained(config(method=method, epochs=epochs, when=Perturbed(start_epoch=start), **cut))
        for method, epochs, start in (
            (Unperturbed(), 2, 0.0), (SAF(epochs=2, weight=5.0), 2, 0.0), (SAF(epochs=1, weight=5.0), 2, 0.0),
            (SAF(epochs=1, weight=0.0), 2, 0.0), (SAF(epochs=1, weight=5.0), 2, 1.5),
        )
    )  # fmt: skip
    assert plain.weight_norm == one.weight_norm == none.weight_norm != two.weight_norm
    assert late.weight_norm not in (plain.weight_norm, two.weight_norm)
    assert two.gradient_evaluations == plain.gradient_evaluations


def test_saf_is_told_which_samples_it_is_given(monkeypatch):
    """Each of an epoch once, and the inputs that bear the number."""
    told = []
    recall = samnesia.PastTeacher.recall

    def noted(teacher, output, samples, memory):
        told.extend(samples.tolist())
        return recall(teacher, output, samples, memory)

    monkeypatch.setattr(samnesia.PastTeacher, "recall", noted)
    run = config(method=SAF(), epochs=2, device_batch=3)
    trained(run)
    plan = Plan(len(clouds(run.seed).train), run.batch_size, None, None, run.drop_last, run.seed)
    expected = [plan.batch_of(epoch, step).tolist() for epoch in range(2) for step in range(plan.steps)]
    assert told == [number for batch in expected for number in batch]


def test_a_selection_goes_by_the_loss_that_is_trained():
    given = training(net((1, 4, 4), CLASSES), losses=lambda output, target: output.sum(1))
    selection = ESAM(share=0.3).build(given).selection
    assert selection.share == 0.3 and selection.per_sample is given.losses


def mean_loss(output, target):
    return F.cross_entropy(output, target)


def targets_of_two(seed):
    """Distributions over the classes in the place of labels."""
    problem = clouds(seed)
    split = problem.train
    return replace(problem, train=type(split)(split.inputs, F.one_hot(split.labels, CLASSES).float()))


def mixed_clouds(seed):
    return replace(clouds(seed), mix=lambda inputs, targets, epoch, indices: (inputs, targets))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"method": LookSAM(), "when": Perturbed(stop_epoch=1.0)}, "cannot end the perturbation of LookSAM before"),
        ({"method": MESA(), "when": Perturbed(interval_steps=2)}, "cannot leave out steps of MESA after"),
        ({"method": SAF(), "when": Perturbed(stop_epoch=1.0)}, "cannot leave out steps of SAF after"),
        ({"method": SAF(epochs=0)}, "cannot keep outputs with epochs=0, because"),
        ({"method": SAF(), "data": OwnData(mixed_clouds)}, "cannot hold samples to what was said of them before where"),
        ({"method": ESAM(), "loss": OwnLoss(mean_loss)}, "cannot select samples by their losses with a loss of your"),
        ({"method": ImbSAM(), "loss": OwnLoss(mean_loss)}, "cannot tell the losses of classes apart in a loss of your"),
        ({"method": FocalSAM(), "data": OwnData(targets_of_two)}, "cannot tell rare classes from frequent ones, becau"),
        ({"method": ImbSAM(tail=(17,))}, r"cannot perturb for the classes \[17\], because"),
        ({"method": SAMON(), "model": OwnModel(smooth_net)}, "cannot perturb only normalization layers, because"),
        ({"method": Lookbehind(), "micro_batch": 3}, "cannot perturb for 3 of 10 samples with lookbehind, because"),
        ({"method": Lookbehind(k=0)}, "cannot .*, because"),
        ({"method": Lookahead(k=0)}, "cannot look ahead k=0 steps, because"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(changes, sentence, tmp_path):
    with pytest.raises(ConfigurationError, match=f"^{sentence}") as refused:
        trained(config(**changes), tmp_path / "run")
    assert "\n" not in str(refused.value) and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: IntervalSAM(k=0), "cannot perturb on every 0-th step, because"),
        (lambda: LookSAM(k=-1), "cannot perturb on every -1-th step, because"),
        (lambda: LateSAM(start=1.5), "cannot leave the perturbation out of a share of 1.5, because"),
        (lambda: LookSAM(0.1, rho_min=0.2), "cannot lower the radius from 0.1 to 0.2, because"),
    ],
)
def test_settings_that_mean_nothing_are_refused_at_once(build, sentence):
    with pytest.raises(ConfigurationError, match=f"^{sentence}"):
        build()


def test_momentum_sam_needs_a_momentum():
    run = config(method=MomentumSAM(), optimizer=replace(config().optimizer, momentum=0.0))
    with pytest.raises(ConfigurationError, match="cannot perturb along the momentum"):
        trained(run)
    assert trained(replace(run, optimizer=AdamW(lr=0.01))).perturbed_steps == 3 * STEPS - 1


def test_names_in_results():
    assert [method_name(kind()) for kind in METHODS.values()] == [*METHODS]
    assert method_name(SAM(steps=2)) == "sam-steps" and method_name(OBF(steps=2)) == "obf-steps"
    assert method_name(GSAM(objective=OutputBias())) == "gsam-obf"
    assert len({kind for kind in METHODS.values()}) == len(METHODS)
