"""What convert_rho says of other libraries: by their formulas in NumPy, and beside pytorch-optimizer itself.

Other packages do not fit into one environment with ours: `benchmarks/radii_of_peers.py` holds them against it, and
`tests/benchmarks/test_radii_of_peers.py` its results against the page.
"""

import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pytorch_optimizer.lr_scheduler.proportion import ProportionScheduler
from pytorch_optimizer.optimizer import sam as other
from torch.nn.utils import parameters_to_vector, vector_to_parameters

import samnesia
from samnesia.perturb.conversion.libraries import LIBRARIES
from tests.problems import batches, network, sgd

STEPS, DECAY = 6, 0.8
W = np.concatenate([np.full(p.numel(), "weight" in name) for name, p in network().named_parameters()])
"""Which entries of the flat vector belong to parameters whose name contains "weight"."""


def converted(conversion, build=network):
    """The weights after STEPS steps with the converted method; the learning rate falls by DECAY each."""
    model = build()
    method = conversion.build(model, sgd(model), loss=F.cross_entropy)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(method.optimizer, DECAY)
    for x, y in batches(STEPS):
        for p in method.passes():
            p.loss(model(x), y).backward()
        method.optimizer.step()
        method.optimizer.zero_grad()
        scheduler.step()
    return parameters_to_vector(model.parameters()).detach().numpy()


def formula(climb, combine=lambda g, perturbed: perturbed):
    """The same in NumPy: `climb(w, differentiate, step, lr)` returns the perturbed weights and the first gradient."""
    model = network()
    w = parameters_to_vector(model.parameters()).detach().numpy().copy()
    velocity, lr = np.zeros_like(w), 0.1
    for step, (x, y) in enumerate(batches(STEPS)):

        def differentiate(at, x=x, y=y):
            vector_to_parameters(torch.from_numpy(at), model.parameters())
            gradients = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
            return parameters_to_vector(gradients).numpy()

        perturbed, g = climb(w, differentiate, step, lr)
        velocity = 0.9 * velocity + combine(g, differentiate(perturbed))
        w, lr = w - lr * velocity, DECAY * lr
    return w


def once(perturbation):
    """One move along a perturbation that is a function of weights and gradient."""

    def climb(w, differentiate, step, lr):
        g = differentiate(w)
        return w + perturbation(w, g, lr), g

    return climb


def length(v):
    return np.sqrt((v * v).sum())


def plain(rho):
    return once(lambda w, g, lr: rho * g / length(g))


def squared(rho):
    return once(lambda w, g, lr: rho * w**2 * g / length(abs(w) * g))


def after(rho):
    return once(lambda w, g, lr: rho * abs(w) * g / length(g))


def before(rho):
    return once(lambda w, g, lr: rho * abs(w) * g / length(w * g))


def kwon(rho, eta):
    def perturbation(w, g, lr):
        t = np.where(W, abs(w) + eta, 1.0)
        return rho * t**2 * g / length(t * g)

    return once(perturbation)


def following(low, high, lr_min, lr_max):
    def perturbation(w, g, lr):
        return (low + (high - low) * (lr - lr_min) / (lr_max - lr_min)) * g / length(g)

    return once(perturbation)


def each(interval, climb):
    """Composer: on the step whose number, counted from 1, the interval divides."""

    def sometimes(w, differentiate, step, lr):
        return climb(w, differentiate, step, lr) if (step + 1) % interval == 0 else (w, None)

    return sometimes


def several(count, rho):
    """optax: each adversarial step has length rho."""

    def climb(w, differentiate, step, lr):
        for _ in range(count):
            g = differentiate(w)
            w = w + rho * g / length(g)
        return w, g

    return climb


def gap(alpha, *, unit=False):
    def combine(g, perturbed):
        g = g / length(g) if unit else g
        return perturbed - alpha * (g - (g @ perturbed) / (perturbed @ perturbed) * perturbed)

    return combine


FORGETTING = "BorealisAI/perturbed-forgetting"
CLAIMS = [
    (dict(rho=0.1, source="davda54/sam"), [plain(0.1)]),
    (dict(rho=2.0, source="davda54/sam", adaptive=True), [squared(2.0)]),
    (dict(rho=0.5, source="SamsungLabs/ASAM"), [kwon(0.5, 0.01)]),
    (dict(rho=0.5, source="SamsungLabs/ASAM", eta=0.0), [kwon(0.5, 0.0)]),
    (dict(rho=0.1, source="SamsungLabs/ASAM:SAM"), [plain(0.1)]),
    (dict(rho=0.1, source="juntang-zhuang/GSAM", gsam_alpha=0.4), [plain(0.1), gap(0.4)]),
    (dict(rho=2.0, source="juntang-zhuang/GSAM", gsam_alpha=0.4, adaptive=True), [squared(2.0), gap(0.4)]),
    (
        dict(rho=0.2, source="juntang-zhuang/GSAM", gsam_alpha=0.4, min_value=0.05, max_lr=0.1, min_lr=0.01),
        [following(0.05, 0.2, 0.01, 0.1), gap(0.4)],
    ),
    (dict(rho=0.1, source="google-research/sam"), [plain(0.1)]),
    (dict(rho=0.6, source="google-research/big_vision", alpha=0.6), [plain(0.6), gap(0.6)]),
    (
        dict(rho=6.0, source="google-research/big_vision", alpha=0.1, adaptive_perturbation=True),
        [after(6.0), gap(0.1)],
    ),
    (
        dict(rho=0.6, source="google-research/big_vision", alpha=0.6, rho_min=0.1, lr_max=0.1),
        [following(0.1, 0.6, 0.0, 0.1), gap(0.6)],
    ),
    (dict(rho=0.05, source="composer.algorithms.SAM"), [plain(0.05)]),
    (dict(rho=0.5, source="composer.algorithms.SAM", interval=3), [each(3, plain(0.5))]),
    (dict(rho=0.05, source="optax.contrib.sam"), [several(1, 0.05)]),
    (dict(rho=0.1, source="optax.contrib.sam", sync_period=3), [several(2, 0.1)]),
    (dict(rho=0.6, source=FORGETTING), [plain(0.6)]),
    (dict(rho=6.0, source=FORGETTING, after_norm=True), [after(6.0)]),
    (dict(rho=0.8, source=FORGETTING, before_norm=True), [before(0.8)]),
    (dict(rho=0.8, source=FORGETTING, before_norm=True, after_norm=True), [squared(0.8)]),
    (dict(rho=0.6, source=FORGETTING, rho_min=0.0, lr_max=0.1), [following(0.0, 0.6, 0.0, 0.1)]),
    (dict(rho=0.6, source=FORGETTING, alpha=0.4), [plain(0.6), gap(0.4)]),
    (dict(rho=0.04, source=FORGETTING, alpha=0.01, normalized=True), [plain(0.04), gap(0.01, unit=True)]),
    (dict(rho=6.0, source=FORGETTING, alpha=0.1, after_norm=True), [after(6.0), gap(0.1)]),
]


def named(claim):
    call, _ = claim
    return ",".join(str(value) if name == "source" else f"{name}={value}" for name, value in call.items())


@pytest.mark.parametrize("claim", CLAIMS, ids=named)
def test_the_formula_of_the_other_side(claim):
    call, parts = claim
    conversion = samnesia.convert_rho(**call)
    assert conversion.exact
    np.testing.assert_allclose(converted(conversion), formula(*parts), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("call", "other_formula"),
    [
        (dict(rho=0.5, source="SamsungLabs/ASAM"), squared(0.5)),
        (dict(rho=2.0, source="davda54/sam", adaptive=True), after(2.0)),
        (dict(rho=0.8, source=FORGETTING, before_norm=True), squared(0.8)),
        (dict(rho=0.5, source="composer.algorithms.SAM", interval=3), plain(0.5)),
        (dict(rho=0.1, source="optax.contrib.sam", sync_period=3), several(2, 0.05)),
    ],
)
def test_the_formula_of_another_convention_trains_something_else(call, other_formula):
    assert abs(converted(samnesia.convert_rho(**call)) - formula(other_formula)).max() > 1e-4


# -- pytorch-optimizer itself ----------------------------------------------------------------------------------------


@pytest.fixture
def double_norm(monkeypatch):
    """Its norm, which it rounds to single precision, in the precision of the weights."""

    def square(param_groups, device=None, *, weight_adaptive=False):
        squares = [
            (p.grad * p.abs() if weight_adaptive and group.get("adaptive") else p.grad).square().sum()
            for group in param_groups
            for p in group["params"]
        ]
        return torch.stack(squares).sum().reshape(1)

    monkeypatch.setattr(other, "get_global_gradient_norm", square)


def wrapping(name, *, gradient_first=True, **settings):
    """One of its classes that build the base optimizer themselves."""

    def train(model, rho):
        optimizer = getattr(other, name)(
            *([] if gradient_first else [model]),
            model.parameters(),
            torch.optim.SGD,
            rho=rho,
            lr=0.1,
            momentum=0.9,
            **settings,
        )
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer.base_optimizer, DECAY)
        for x, y in batches(STEPS):

            def closure(x=x, y=y):
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                return loss

            if gradient_first:
                closure()
            optimizer.step(closure)
            scheduler.step()

    return train


def surrogate_gap(*, min_value=None, **settings):
    """Its GSAM, whose radius is a scheduler's."""

    def train(model, rho):
        base = sgd(model)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(base, DECAY)
        low = rho if min_value is None else min_value
        radius = ProportionScheduler(scheduler, max_lr=0.1, min_lr=0.01, max_value=rho, min_value=low)
        optimizer = other.GSAM(model.parameters(), base, model, radius, **settings)
        for x, y in batches(STEPS):
            optimizer.set_closure(F.cross_entropy, x, y)
            optimizer.step()
            scheduler.step()
            optimizer.update_rho_t()

    return train


THEIRS = [
    (dict(rho=0.1, source="pytorch_optimizer.SAM"), wrapping("SAM")),
    (dict(rho=0.1, source="pytorch_optimizer.SAM", perturb_eps=1e-3), wrapping("SAM", perturb_eps=1e-3)),
    (dict(rho=2.0, source="pytorch_optimizer.SAM", adaptive=True), wrapping("SAM", adaptive=True)),
    (dict(rho=0.1, source="pytorch_optimizer.GSAM"), surrogate_gap()),
    (dict(rho=2.0, source="pytorch_optimizer.GSAM", alpha=0.2, adaptive=True), surrogate_gap(alpha=0.2, adaptive=True)),
    (
        dict(rho=0.2, source="pytorch_optimizer.GSAM", min_value=0.05, max_lr=0.1, min_lr=0.01),
        surrogate_gap(min_value=0.05),
    ),
]

WSAM = dict(rho=0.1, source="pytorch_optimizer.WSAM")
CLOSURE = dict(gradient_first=False)
THEIRS += [
    (dict(**WSAM), wrapping("WSAM", **CLOSURE)),
    (dict(**WSAM, gamma=0.8, decouple=False), wrapping("WSAM", gamma=0.8, decouple=False, **CLOSURE)),
    (dict(**WSAM, gamma=0.5, adaptive=True), wrapping("WSAM", gamma=0.5, adaptive=True, **CLOSURE)),
    (
        dict(**WSAM, gamma=0.75, adaptive=True, decouple=False),
        wrapping("WSAM", gamma=0.75, adaptive=True, decouple=False, **CLOSURE),
    ),
]
FRIENDLY = dict(source="pytorch_optimizer.FriendlySAM")
THEIRS += [
    (dict(rho=0.1, **FRIENDLY, sigma=0.9, lmbda=0.8), wrapping("FriendlySAM", sigma=0.9, lmbda=0.8)),
    (dict(rho=2.0, **FRIENDLY, lmbda=0.7, adaptive=True), wrapping("FriendlySAM", lmbda=0.7, adaptive=True)),
]
LOOKSAM = dict(source="pytorch_optimizer.LookSAM")
INEXACT = [
    (dict(rho=0.3, **LOOKSAM, k=3), wrapping("LookSAM", k=3)),
    (dict(rho=2.0, **LOOKSAM, k=3, adaptive=True), wrapping("LookSAM", k=3, adaptive=True)),
]


def trained(train, rho, build=network):
    model = build()
    train(model, rho)
    return parameters_to_vector(model.parameters()).detach().numpy()


@pytest.mark.usefixtures("double_norm")
@pytest.mark.parametrize("claim", THEIRS, ids=named)
def test_pytorch_optimizer_with_a_norm_in_double_precision(claim):
    call, train = claim
    conversion = samnesia.convert_rho(**call)
    assert conversion.exact
    np.testing.assert_allclose(converted(conversion), trained(train, call["rho"]), rtol=0, atol=1e-10)


@pytest.mark.usefixtures("double_norm")
@pytest.mark.parametrize("claim", INEXACT, ids=named)
def test_what_is_said_to_differ_from_pytorch_optimizer_does(claim):
    call, train = claim
    conversion = samnesia.convert_rho(**call)
    assert not conversion.exact and conversion.note
    assert abs(converted(conversion) - trained(train, call["rho"])).max() > 1e-5


def one_tensor():
    torch.manual_seed(1)
    return torch.nn.Linear(4, 3, bias=False).double()


@pytest.mark.usefixtures("double_norm")
@pytest.mark.parametrize("claim", INEXACT, ids=named)
def test_looksam_differs_by_projecting_tensor_by_tensor_and_by_nothing_else(claim):
    call, train = claim
    ours, theirs = converted(samnesia.convert_rho(**call), one_tensor), trained(train, call["rho"], one_tensor)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-7)  # it adds 1e-8 to a norm


def test_pytorch_optimizer_as_it_is_agrees_to_single_precision():
    ours = converted(samnesia.convert_rho(0.1, source="pytorch_optimizer.SAM"))
    np.testing.assert_allclose(ours, trained(wrapping("SAM"), 0.1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("source", [source for source in LIBRARIES if source.startswith("pytorch_optimizer")])
def test_settings_have_the_names_and_defaults_of_pytorch_optimizer(source):
    theirs = inspect.signature(getattr(other, source.split(".")[1])).parameters
    schedule = inspect.signature(ProportionScheduler).parameters
    for name, setting in inspect.signature(LIBRARIES[source]).parameters.items():
        if name != "rho":
            assert setting.default in ({**schedule, **theirs}[name].default, None), name


# -- what is said ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("claim", CLAIMS + THEIRS + INEXACT, ids=named)
def test_what_is_printed_is_the_call(claim):
    conversion = samnesia.convert_rho(**claim[0])
    model = network()
    names = {"samnesia": samnesia, "model": model, "optimizer": sgd(model)}
    method, built = eval(str(conversion), names), conversion.build(model, names["optimizer"])
    for part in ("rho", "ball", "ascent", "rule", "when", "sync", "epsilon", "replay_dropout", "updates"):
        assert getattr(method, part) == getattr(built, part), part


def test_a_conversion_reads_as_code_with_its_note():
    assert str(samnesia.convert_rho(2.0, source="davda54/sam", adaptive=True)) == (
        'samnesia.asam(model, optimizer, rho=2.0, eta=0.0, scaled="all")'
    )
    inexact = samnesia.Conversion(samnesia.sam, 0.1, exact=False, note="steps another gradient")
    assert str(inexact) == "samnesia.sam(model, optimizer, rho=0.1)  # not exact: steps another gradient"


def test_options_are_added_and_may_replace_what_the_other_library_had():
    model = network()
    conversion = samnesia.convert_rho(0.1, source="composer.algorithms.SAM", interval=3)
    method = conversion.build(model, sgd(model), sync="batch", seed=3)
    assert (method.sync, method.seed, method.when) == ("batch", 3, samnesia.every(3, phase=2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (dict(source="optax"), "did you mean 'optax.contrib.sam'"),
        (dict(source="davda/sam"), "did you mean 'davda54/sam'"),
        (dict(source="pytorch-optimizer.GSAM"), "did you mean 'pytorch_optimizer.GSAM'"),
        (dict(source="keras"), "the known sources are davda54/sam, "),
        (dict(source="davda54/sam", adaptiv=True), "did you mean 'adaptive'"),
        (dict(source="google-research/sam", eta=0.1), "what bears on it there is the radius alone"),
        (dict(source="juntang-zhuang/GSAM"), "without gsam_alpha, because it has no default there"),
        (dict(source="juntang-zhuang/GSAM", gsam_alpha=0.4, min_value=0.1), "one of min_value and max_lr"),
        (dict(source="optax.contrib.sam", sync_period=1), "takes no adversarial step"),
        (
            dict(source="composer.algorithms.SAM", interval=0),
            "with interval=0, because it is a whole number >= 1",
        ),
        (dict(source="composer.algorithms.SAM", interval=True), "with interval=True, because"),
        (dict(source="optax.contrib.sam", sync_period=2.5), "with sync_period=2.5, because it is a whole number"),
        (dict(source="davda54/sam", adaptive="yes"), "with adaptive='yes', because it is True or False there"),
        (dict(source="SamsungLabs/ASAM", eta="0.1"), "with eta='0.1', because it is a finite number there"),
        (dict(source="pytorch_optimizer.GSAM", max_lr="1"), "because it is a finite number or None there"),
        (dict(source="pytorch_optimizer.WSAM", gamma=1.0, adaptive=True), "with gamma=1.0, because sharpness weighs"),
        (dict(source="mosaicml/composer"), "did you mean 'composer.algorithms.SAM'"),
        (dict(source="google/optax"), "did you mean 'optax.contrib.sam'"),
        (dict(source=3), "; give one of them"),
    ],
)
def test_what_is_no_setting_there_is_refused(call, message):
    with pytest.raises(samnesia.ConfigurationError, match=re.escape(message)):
        samnesia.convert_rho(0.1, **call)


@pytest.mark.parametrize("rho", [-0.1, float("nan"), "0.1x"])
def test_a_radius_that_is_none_is_refused(rho):
    with pytest.raises(samnesia.ConfigurationError, match="choose rho >= 0"):
        samnesia.convert_rho(rho, source="davda54/sam")


REFUSED = [
    dict(source="pytorch_optimizer.BSAM"),
    dict(source="pytorch_optimizer.SAM", use_gc=True),
    dict(source="pytorch_optimizer.LookSAM", use_gc=True),
    dict(source="pytorch_optimizer.WSAM", max_norm=1.0),
    dict(source="google-research/big_vision", alpha=0.4, minimize_fp=False),
    dict(source=FORGETTING, before_norm=True, alpha=0.4),
]


@pytest.mark.parametrize("call", REFUSED, ids=lambda call: ",".join(call))
def test_where_no_radius_means_the_same_it_says_why(call):
    with pytest.raises(samnesia.UnsupportedError, match=r"^cannot convert .*, because .*; "):
        samnesia.convert_rho(0.1, **call)


# -- the page --------------------------------------------------------------------------------------------------------

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "radii.md").read_text()
PEERS = json.loads((ROOT / "benchmarks" / "results" / "radii_of_peers.json").read_text())["rows"]
ROW = re.compile(r"^\| `(convert_rho\(.*?\))` \| `(.*?)` \| (.*?) \|$", re.MULTILINE)
ROWS = [(eval(call, {"convert_rho": dict}, {}), written, checked) for call, written, checked in ROW.findall(PAGE)]


def how_checked(call):
    """What stands behind a row: a peer's own weights, pytorch-optimizer in these tests, or a formula in them."""
    for row in PEERS:
        if call == {"source": row["source"], **row["settings"]}:
            name, version = next(iter(row["versions"].items()))
            return f"code: {name} {version.split()[0][:7]}"
    if any(call == claim for claim, _ in THEIRS):
        [version] = re.findall(r"^pytorch_optimizer==(.*)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
        return f"code: pytorch-optimizer {version}"
    if any(call == claim for claim, _ in INEXACT):
        return f"not exact: {samnesia.convert_rho(**call).note}"
    assert any(call == claim for claim, _ in CLAIMS), call
    return "formula, not code"


def test_the_table_of_the_page_says_what_the_function_says_and_how_it_was_checked():
    for call, written, checked in ROWS:
        assert written == str(samnesia.convert_rho(**call)).split("  # ")[0]
        assert checked == how_checked(call)


def test_every_source_and_setting_is_on_the_page_or_in_the_docstring():
    docstring = inspect.getdoc(samnesia.convert_rho)
    shown = {call["source"] for call, _, _ in ROWS} | set(re.findall(r'source="(.*?)"', PAGE))
    assert shown == LIBRARIES.keys()
    for source, convert in LIBRARIES.items():
        assert source in docstring or f"``.{source.split('.')[-1]}``" in docstring
        for setting in set(inspect.signature(convert).parameters) - {"rho"}:
            assert setting in docstring, f"{source}: {setting}"
