"""A part of the loss that is trained at the unperturbed weights: in general, ImbSAM and Focal-SAM."""

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial

import pytest
import torch
import torch.nn.functional as F

import samnesia
from samnesia.perturb.errors import ConfigurationError, ObjectiveNotUsedError
from tests.problems import (
    assert_close,
    assert_same,
    batch,
    batches,
    differentiate,
    flat,
    gradients,
    network,
    sgd,
    train,
    train_plainly,
    weights,
)

X, Y = batch()
HALF = samnesia.ClassWeighted((0.5, 0.5, 0.5))


def of(preset, **options):
    model = network()
    return preset(model, sgd(model), **{"rho": 0.2, "loss": F.cross_entropy, **options})


def trained(method, data):
    train(method, method.model, data)
    return weights(method.model)


def plainly(data):
    model = network()
    train_plainly(model, sgd(model), data)
    return weights(model)


def gradient(criterion, *, at=None):
    """Of `criterion` at the initial weights, or at those of `at`."""
    model = network()
    if at is not None:
        model.load_state_dict(at)
    criterion(model(X), Y).backward()
    return gradients(model)


# -- in general --------------------------------------------------------------------------------------------------------


def test_by_hand():
    """The rest ascends, and is taken at the perturbed weights; the remainder at the weights."""
    remainder, rest = samnesia.ClassWeighted((1.0, 0.3, 0.0)), samnesia.ClassWeighted((0.0, 0.7, 1.0))
    method = of(samnesia.sam, remainder=remainder)
    differentiate(method, method.model, X, Y)
    start, uphill = weights(network()), gradient(rest)
    length = flat(uphill).norm()
    perturbed = {name: start[name] + 0.2 * g / length for name, g in uphill.items()}
    there, here = gradient(rest, at=perturbed), gradient(remainder)
    assert_close(gradients(method.model), {name: here[name] + there[name] for name in here}, 1e-12)
    assert method.last_step.gradient_evaluations == 3
    assert method.last_step.loss == pytest.approx(F.cross_entropy(network()(X), Y).item(), rel=1e-12)


def test_all_of_the_loss_is_trained_on_steps_that_are_not_perturbed():
    method = of(samnesia.sam, remainder=HALF, when=samnesia.after(3))
    assert_same(trained(method, batches(3)), plainly(batches(3)))
    trained(method, batches(1))
    assert method.last_step.gradient_evaluations == 3
    model = network()
    base = samnesia.unperturbed(model, sgd(model), loss=F.cross_entropy, remainder=HALF)
    assert_same(trained(base, batches(3)), plainly(batches(3)))


def test_micro_batches_add_up():
    whole, parts = of(samnesia.sam, remainder=HALF, rho=0.0), of(samnesia.sam, remainder=HALF, rho=0.0)
    differentiate(whole, whole.model, X, Y)
    for rows in (slice(0, 5), slice(5, 8)):
        differentiate(parts, parts.model, X[rows], Y[rows], scale=len(Y[rows]) / 8)
    assert_close(gradients(parts.model), gradients(whole.model), 1e-12)
    assert_close(gradients(parts.model), gradient(F.cross_entropy), 1e-12)


@dataclass(frozen=True)
class Stays(samnesia.Ascent):
    """Moves nothing after its gradient, which is the step's."""

    num_gradients = 1

    def climb(self, point) -> Generator[samnesia.Need, list[torch.Tensor], None]:
        yield samnesia.Need.GRADIENT


def test_an_ascent_that_stays_leaves_the_whole_gradient():
    method = of(samnesia.PerturbedGradient, ascent=Stays(), remainder=HALF)
    differentiate(method, method.model, X, Y)
    assert_close(gradients(method.model), gradient(F.cross_entropy), 1e-14)
    assert method.last_step.gradient_evaluations == 2


def test_an_objective_ascends_in_place_of_the_rest():
    method = of(samnesia.sam, remainder=HALF, objective=samnesia.OutputBiasForgetting())
    differentiate(method, method.model, X, Y)
    start, uphill = weights(network()), gradient(samnesia.OutputBiasForgetting())
    length = flat(uphill).norm()
    there = gradient(HALF, at={name: start[name] + 0.2 * g / length for name, g in uphill.items()})
    here = gradient(HALF)
    assert_close(gradients(method.model), {name: here[name] + there[name] for name in here}, 1e-12)


def test_a_rule_combines_the_gradients_of_the_rest():
    method = of(samnesia.gradient_norm_penalty, share=0.0, remainder=HALF)
    differentiate(method, method.model, X, Y)
    assert_close(gradients(method.model), gradient(F.cross_entropy), 1e-12)


def test_leaving_a_pass_restores_all():
    method = of(samnesia.sam, remainder=HALF)
    before = weights(method.model)
    for index in range(3):
        for p in method.passes():
            if p.index == index:
                break
            p.loss(method.model(X), Y).backward()
        assert_same(weights(method.model), before)
        assert all(parameter.grad is None for parameter in method.model.parameters())


def test_a_loss_of_ones_own_is_refused():
    method = of(samnesia.sam, remainder=HALF)
    with pytest.raises(ObjectiveNotUsedError):
        for _ in method.passes():
            F.cross_entropy(method.model(X), Y).backward()
    with pytest.raises(ConfigurationError, match=r"^cannot use remainder=ClassWeighted without loss=.*because.*; "):
        of(samnesia.sam, remainder=HALF, loss=None)


# -- ImbSAM and Focal-SAM ----------------------------------------------------------------------------------------------


def imbsam(tail, **options):
    return of(samnesia.imbsam, tail=tail, num_classes=3, **options)


def focal(**options):
    return of(samnesia.focal_sam, **{"class_shares": (0.5, 0.3, 0.2), **options})


def test_imbsam_is_sam_where_all_classes_are_the_tail():
    assert_close(trained(imbsam((0, 1, 2)), batches(4)), trained(of(samnesia.sam), batches(4)), 1e-12)


def test_imbsam_is_the_base_optimizer_where_none_is():
    method = imbsam(())
    assert_close(trained(method, batches(4)), plainly(batches(4)), 1e-12)
    assert method.last_step.gradient_evaluations == 3


def test_imbsam_does_not_move_for_a_batch_without_the_tail():
    """What cancels is zero, and not a direction of rounding errors."""
    method = imbsam((2,))
    head = Y != 2
    differentiate(method, method.model, X[head], Y[head])
    assert method.last_step.perturbation_norm == 0.0
    differentiate(method, method.model, X[~head], Y[~head])
    assert method.last_step.perturbation_norm > 0.0


def test_imbsam_takes_distributions():
    hard, soft = imbsam((1,)), imbsam((1,))
    differentiate(hard, hard.model, X, Y)
    differentiate(soft, soft.model, X, F.one_hot(Y, 3).double())
    assert_close(gradients(soft.model), gradients(hard.model), 1e-12)


def test_focal_sam_is_sam_without_focus():
    assert_close(trained(focal(gamma=0.0), batches(4)), trained(of(samnesia.sam), batches(4)), 1e-12)


def test_focal_sam_takes_counts_for_shares():
    assert_close(trained(focal(), batches(3)), trained(focal(class_shares=[50, 30, 20]), batches(3)), 1e-12)


def test_focal_sam_is_imbsam_in_the_limit():
    """Of two classes, the one with nearly all samples is spared wholly, the other not at all."""
    almost = focal(class_shares=(1.0, 1e-12, 0.0))
    assert_close(trained(almost, batches(4)), trained(imbsam((1, 2)), batches(4)), 1e-9)


def test_smoothed_labels_keep_both_parts_of_the_same_loss():
    """The samples' losses are asked of the loss itself."""
    smooth = partial(F.cross_entropy, label_smoothing=0.2)
    assert_close(trained(imbsam((), loss=smooth, rho=1.0), batches(2)), trained(unperturbed(smooth), batches(2)), 1e-12)
    everything = imbsam((0, 1, 2), loss=smooth)
    assert_close(trained(everything, batches(2)), trained(of(samnesia.sam, loss=smooth), batches(2)), 1e-12)


def unperturbed(loss):
    model = network()
    return samnesia.unperturbed(model, sgd(model), loss=loss)


def test_a_loss_that_cannot_tell_its_samples_needs_per_sample():
    def mean(output, target):
        return F.cross_entropy(output, target)

    with pytest.raises(ConfigurationError, match=r"^cannot tell the samples' losses.*because.*; .*per_sample="):
        imbsam((1,), loss=mean)
    given = imbsam((1,), loss=mean, per_sample=partial(F.cross_entropy, reduction="none"))
    assert_close(trained(given, batches(2)), trained(imbsam((1,)), batches(2)), 1e-12)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: imbsam((3,)), r"classes \[3\]"),
        (lambda: imbsam((-1,)), r"classes \[-1\]"),
        (lambda: focal(class_shares=()), r"class_shares=\(\)"),
        (lambda: focal(class_shares=(1.0, -1.0)), "class_shares="),
        (lambda: focal(class_shares=(0, 0)), "class_shares="),
        (lambda: focal(gamma=-1.0), "gamma=-1.0"),
        (lambda: focal(share=0.0), "share=0.0"),
    ],
)
def test_what_cannot_be_is_refused(build, words):
    with pytest.raises(ConfigurationError, match=f"^cannot .*{words}.*because.*; "):
        build()
