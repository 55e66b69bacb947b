"""Bad input: an error of the right kind, one sentence with cause and remedy, and nothing changed."""

import re
import subprocess
import sys
import textwrap

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import samnesia
from samnesia.perturb import errors as e
from tests.battery import OBF
from tests.problems import assert_same, batch, differentiate, network, observed, sgd

X, Y = batch()


def build(preset=samnesia.sam, **options):
    return lambda model: preset(model, sgd(model), **options)


def bad_pass(act, preset=samnesia.sam, **options):
    """`act(p, model, method)` is the body of each pass."""

    def call(model):
        method = preset(model, sgd(model), **{"loss": F.cross_entropy, **options})
        for p in method.passes():
            act(p, model, method)

    return call


def with_sparse_gradient(model):
    embedding = nn.Sequential(nn.Embedding(5, 3, sparse=True))
    differentiate(samnesia.sam(embedding, sgd(embedding), loss=F.cross_entropy), embedding, Y, Y)


def second_flow(model):
    method = samnesia.sam(model, sgd(model))
    first = method.passes()
    next(first)
    method.passes()


def step_inside(p, model, method):
    p.loss(model(X), Y).backward()
    method.optimizer.step()


def eval_inside(p, model, method):
    p.loss(model(X), Y).backward()
    model.eval()


def foreign_parameter(model):
    samnesia.sam(model, sgd(nn.Linear(2, 2)))


def hooked(model):
    model[1].weight.register_post_accumulate_grad_hook(lambda parameter: None)
    samnesia.sam(model, sgd(model))


def frozen(model):
    optimizer = sgd(model)
    samnesia.sam(model.requires_grad_(False), optimizer)


CONFIGURATION, UNSUPPORTED = e.ConfigurationError, e.UnsupportedError
BAD_INPUT = {
    "negative rho": (build(rho=-0.1), CONFIGURATION),
    "rho is NaN": (build(rho=float("nan")), CONFIGURATION),
    "rho is infinite": (build(rho=float("inf")), CONFIGURATION),
    "rho of a group": (
        lambda model: samnesia.sam(model, torch.optim.SGD([{"params": model.parameters(), "rho": -1}], lr=0.1)),
        CONFIGURATION,
    ),
    "no ascent steps": (build(steps=0), CONFIGURATION),
    "steps along noise": (build(samnesia.random_perturbation, steps=2), CONFIGURATION),
    "epsilon of zero": (build(epsilon=0.0), CONFIGURATION),
    "epsilon is NaN": (build(epsilon=float("nan")), CONFIGURATION),
    "unknown scope": (build(sync="host"), CONFIGURATION),
    "unknown option": (build(replay_droput=True), CONFIGURATION),
    "unknown scaling": (build(samnesia.asam, scaling="channel"), CONFIGURATION),
    "unknown scaled": (build(samnesia.asam, scaled="bias"), CONFIGURATION),
    "negative eta": (build(samnesia.asam, eta=-1.0), CONFIGURATION),
    "alpha is NaN": (build(samnesia.gsam, alpha=float("nan")), CONFIGURATION),
    "unknown backup": (build(samnesia.gsam, backup="none"), CONFIGURATION),
    "threshold of one": (build(samnesia.obf, rho=0.1, loss=F.cross_entropy, threshold=1.0), CONFIGURATION),
    "gamma above one": (build(samnesia.obf, rho=0.1, loss=F.cross_entropy, gamma=2.0), CONFIGURATION),
    "unknown link": (build(samnesia.obf, rho=0.1, loss=F.cross_entropy, link="probit"), CONFIGURATION),
    "objective without loss": (build(samnesia.sam, objective=OBF()), CONFIGURATION),
    "rule without clean gradient": (
        build(samnesia.PerturbedGradient, ascent=samnesia.RandomAscent(), rule=samnesia.SurrogateGap()),
        CONFIGURATION,
    ),
    "every 0": (lambda model: samnesia.every(0), CONFIGURATION),
    "after -1": (lambda model: samnesia.after(-1), CONFIGURATION),
    "before 0": (lambda model: samnesia.before(0), CONFIGURATION),
    "randomly 0": (lambda model: samnesia.randomly(0.0), CONFIGURATION),
    "disordered law": (lambda model: samnesia.proportional_to_lr(0.2, 0.1, 0.0, 1.0), CONFIGURATION),
    "p.loss without loss=": (bad_pass(lambda p, model, _: p.loss(model(X), Y), loss=None), CONFIGURATION),
    "state of another kind": (lambda model: samnesia.sam(model, sgd(model)).load_state_dict({}), CONFIGURATION),
    "no classes": (lambda model: OBF()(torch.zeros(3), torch.zeros(3)), UNSUPPORTED),
    "soft targets of another shape": (lambda model: OBF()(torch.zeros(3, 2), torch.zeros(3, 4)), UNSUPPORTED),
    "sparse gradient": (with_sparse_gradient, UNSUPPORTED),
    "bfloat16 weights": (lambda model: build()(model.bfloat16()), UNSUPPORTED),
    "float16 weights": (lambda model: build()(model.half()), UNSUPPORTED),
    "LBFGS": (lambda model: samnesia.sam(model, torch.optim.LBFGS(model.parameters())), UNSUPPORTED),
    "parameter of another model": (foreign_parameter, UNSUPPORTED),
    "hook on a gradient": (hooked, UNSUPPORTED),
    "nothing to train": (frozen, UNSUPPORTED),
    "pass without gradient": (bad_pass(lambda *_: None), e.NoGradientError),
    "objective not used": (
        bad_pass(lambda p, model, _: F.cross_entropy(model(X), Y).backward(), samnesia.obf, rho=0.1),
        e.ObjectiveNotUsedError,
    ),
    "unseen loss under a normalized backup": (
        bad_pass(lambda p, model, _: F.cross_entropy(model(X), Y).backward(), samnesia.gsam, backup="normalized"),
        e.PassesError,
    ),
    "step inside": (bad_pass(step_inside), e.PassesOpenError),
    "evaluation inside": (bad_pass(eval_inside), e.PassesOpenError),
    "state inside": (bad_pass(lambda p, model, method: model.state_dict()), e.PassesOpenError),
    "second flow": (second_flow, e.PassesOpenError),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_one_sentence_with_cause_and_remedy(name):
    call, kind = BAD_INPUT[name]
    with pytest.raises(e.SamnesiaError) as caught:
        call(network())
    assert type(caught.value) is kind
    message = str(caught.value)
    assert re.fullmatch(r"cannot [^;]+, because .+[;:] .+", message), message
    assert "\n" not in message and ". " not in message and not message.endswith("."), "one sentence"
    assert len(message) < 400


CHANGE_THE_MODEL = {
    "bfloat16 weights",
    "float16 weights",
    "evaluation inside",
    "hook on a gradient",
    "nothing to train",
}


@pytest.mark.parametrize("name", sorted(BAD_INPUT.keys() - CHANGE_THE_MODEL))
def test_bad_input_harms_nothing(name):
    """Weights, gradients and buffers are as before, and the model can be trained."""
    model = network()
    before = observed(model)
    with pytest.raises(e.SamnesiaError):
        BAD_INPUT[name][0](model)
    after = observed(model)
    del before["random state"], after["random state"]  # some calls build a model of their own
    assert_same(after, before)
    differentiate(samnesia.sam(model, sgd(model), loss=F.cross_entropy), model, X, Y)


def test_an_unknown_option_names_the_nearest():
    model = network()
    with pytest.raises(CONFIGURATION, match="did you mean 'replay_dropout'"):
        samnesia.sam(model, sgd(model), replay_droput=True)


def test_kinds_are_also_the_builtin_ones():
    """So that code that knows nothing of this library may catch them."""
    assert issubclass(e.ConfigurationError, ValueError)
    assert issubclass(e.UnsupportedError, TypeError)
    assert issubclass(e.PassesError, RuntimeError)
    for error in (e.NoGradientError, e.ObjectiveNotUsedError, e.PassesOpenError):
        assert issubclass(error, e.PassesError)


def test_the_tree_in_the_docstring_is_the_tree():
    classes = {name for name, value in vars(e).items() if isinstance(value, type)}
    assert (
        set(re.findall(r"\b\w+(?:Error|Warning|Stopped)\b", e.__doc__))
        - {
            "ValueError",
            "TypeError",
            "RuntimeError",
            "UserWarning",
        }
        == classes
    )
    for name in classes:
        assert issubclass(getattr(e, name), e.SamnesiaError | e.SamnesiaWarning)


def test_user_errors_raise_also_under_optimization():
    """`python -O` drops assertions."""
    program = """
        import torch, samnesia
        from samnesia.perturb import errors
        assert False, "assertions are on"
        def expect(error, call):
            try:
                call()
            except error as caught:
                print(type(caught).__name__)
        model = torch.nn.Linear(2, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        expect(errors.ConfigurationError, lambda: samnesia.sam(model, optimizer, rho=-1))
        expect(errors.UnsupportedError, lambda: samnesia.sam(torch.nn.Linear(2, 2), optimizer))
        method = samnesia.sam(model, optimizer)
        expect(errors.NoGradientError, lambda: list(method.passes()))
        passes = method.passes()
        next(passes)
        expect(errors.PassesOpenError, optimizer.step)
        expect(errors.PassesOpenError, method.passes)
    """
    command = [sys.executable, "-O", "-W", "error", "-c", textwrap.dedent(program)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.split() == [
        "ConfigurationError",
        "UnsupportedError",
        "NoGradientError",
        "PassesOpenError",
        "PassesOpenError",
    ]
