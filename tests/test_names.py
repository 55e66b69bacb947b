"""Names that were meant, in both vocabularies."""

import pytest

import samnesia
from samnesia.commands.words import configuration
from samnesia.names import meant
from samnesia.perturb.errors import ConfigurationError
from samnesia.study.comparison.arms import arms_of
from samnesia.train.parts.methods import METHODS
from samnesia.train.parts.names import nearest_method, preset_name


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("sam-steps", "give --method sam --method.steps 2"),
        ("sam_steps", "give --method sam --method.steps 2"),
        ("asam-obf", "give --method asam --method.objective.kind OutputBias"),
        ("ema", "it is no perturbation: give --average.kind EMA, beside any method"),
        ("smoothing", "give --loss.smoothing 0.1"),
        ("late_sam", "did you mean 'sam-late'?"),
        ("late-sam", "did you mean 'sam-late'?"),
        ("interval_sam", "did you mean 'sam-interval'?"),
        ("momentum_sam", "did you mean 'momentum-sam'?"),
        ("gradient_norm_penalty", "did you mean 'penalty'?"),
        ("shrink_and_perturb", "did you mean 'shrink'?"),
        ("random_perturbation", "did you mean 'random'?"),
        ("unperturbed", "did you mean 'sgd'?"),
        ("asam_after_norm", "did you mean 'asam-after'?"),
        ("lookahed", "did you mean 'lookahead'?"),
        ("Lookbehind", "did you mean 'lookbehind'?"),
        ("xyz", "known are sgd, sam, layer-sam"),
    ],
)
def test_methods_of_the_trainer(name, advice):
    with pytest.raises(ConfigurationError, match="^cannot train by .*because there is no such method; ") as caught:
        configuration(["digits-sgd", "--method", name])
    assert advice in str(caught.value)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("sam_late", "did you mean 'late_sam'?"),
        ("sam_interval", "did you mean 'interval_sam'?"),
        ("penalty", "did you mean 'gradient_norm_penalty'?"),
        ("shrink", "did you mean 'shrink_and_perturb'?"),
        ("random", "did you mean 'random_perturbation'?"),
        ("asam_after", "did you mean 'asam_after_norm'?"),
        ("sgd", "did you mean 'unperturbed'?"),
        ("sam_steps", "write samnesia.sam(..., steps=2)"),
        ("asam_obf", "write samnesia.asam(..., objective=samnesia.OutputBiasForgetting())"),
        ("ema", "PyTorch has it: torch.optim.swa_utils.AveragedModel"),
        ("lookbhind", "did you mean 'lookbehind'?"),
    ],
)
def test_presets_in_python(name, advice):
    with pytest.raises(AttributeError, match=f"^module 'samnesia' has no attribute '{name}'; ") as caught:
        getattr(samnesia, name)
    assert str(caught.value).endswith(advice)


def test_private_names_get_no_advice():
    with pytest.raises(AttributeError, match="no attribute '__wrapped__'$"):
        _ = samnesia.__wrapped__


def test_arms_of_a_comparison():
    for name, found in {
        "late_sam": "sam-late",
        "sam_steps": "sam-steps",
        "swaa": "swa",
        "lookbehnd": "lookbehind",
    }.items():
        with pytest.raises(ConfigurationError, match=f"no recipe digits-noisy-.*did you mean '{found}'"):
            arms_of("digits-noisy", ("sgd", name), seeds=(0,), overrides={})


def test_presets_have_one_name_or_two():
    """Each name leads to a preset that there is, and the name of each preset back to it."""
    for name in METHODS:
        assert callable(getattr(samnesia, preset_name(name)))
        assert nearest_method(name, list(METHODS)) == f"did you mean {name!r}?"


def test_nothing_is_near_nothing():
    assert meant("", ["sam"]) is None and meant("sam", []) is None
