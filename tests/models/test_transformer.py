"""The classifier of tokens: what it computes, that it trains, and that its curvature can be measured."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from samnesia import measure
from samnesia.models.transformer import TokenClassifier
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.config import SAM, AdamW, Checkpoints, Evaluation, RunConfig, Text, Transformer
from samnesia.train.loaded import load
from samnesia.train.loop import train
from tests.train.small import quietly


@pytest.fixture
def net():
    torch.manual_seed(0)
    return TokenClassifier(6, 3, vocabulary=20, width=8, depth=2, heads=2).double()


def test_logits_depend_on_tokens_and_their_places(net):
    tokens = torch.tensor([[1, 2, 3, 4, 5, 6], [2, 1, 3, 4, 5, 6]])
    logits = net(tokens)
    assert logits.shape == (2, 3) and not torch.allclose(logits[0], logits[1])
    with torch.no_grad():
        net.positions.zero_()
    torch.testing.assert_close(*net(tokens))  # a bag of words then


def test_blocks_do_not_start_as_copies_of_each_other(net):
    first, second = (block.self_attn.in_proj_weight for block in net.encoder.layers)
    assert not torch.equal(first, second)


def test_the_loss_is_the_same_in_evaluation_with_and_without_gradients(net):
    tokens = torch.randint(20, (4, 6))
    net.eval()
    with torch.no_grad():
        fast = net(tokens)
    torch.testing.assert_close(fast, net(tokens), rtol=1e-12, atol=1e-12)


def test_products_with_the_hessian_are_those_of_differences_of_gradients(net):
    tokens, labels = torch.randint(20, (12, 6)), torch.randint(3, (12,))
    subject = measure.Subject(net, F.cross_entropy, [(tokens, labels)])
    pair = measure.eigenpairs(subject, 1, ends="largest", tolerance=1e-6, max_products=200).largest[0]
    step = [1e-5 * v for v in pair.vector]
    with subject.looking():
        with subject.at(step):
            above = subject.gradient()
        with subject.at([-v for v in step]):
            below = subject.gradient()
    for v, a, b in zip(pair.vector, above, below, strict=True):
        torch.testing.assert_close((a - b) / 2e-5, pair.value * v, rtol=1e-3, atol=1e-4 * abs(pair.value))


def test_a_token_outside_of_the_vocabulary_is_refused(net):
    with pytest.raises(ConfigurationError, match="token 20"):
        net(torch.full((1, 6), 20))


@pytest.mark.parametrize(
    "changed", [{"width": 30}, {"heads": 0}, {"depth": 0}, {"mlp_ratio": 0.0}, {"dropout": 1.0}, {"vocabulary": 0}]
)
def test_settings_without_a_meaning_are_refused(changed):
    with pytest.raises(ConfigurationError, match=next(iter(changed))):
        Transformer(**changed)


def test_images_are_refused():
    with pytest.raises(ConfigurationError, match="sequences of tokens"):
        Transformer().build((1, 8, 8), 10)


def test_a_run_on_text_learns_and_writes_down_what_its_text_was(tmp_path):
    config = RunConfig(
        "text",
        data=Text(("argparse", "difflib", "tarfile"), length=16, per_region=4),
        model=Transformer(width=16, depth=1),
        optimizer=AdamW(lr=1e-2, weight_decay=0.05),
        method=SAM(rho=0.05),
        epochs=4,
        batch_size=16,
        evaluation=Evaluation(every_epochs=4),
        checkpoints=Checkpoints(every_epochs=None, best=False),
    )
    result = quietly(train, config, tmp_path / "run")
    assert result.last["train_accuracy"] > 60 and result.last["test_accuracy"] > 45  # chance is 33
    assert result.environment["data"] == config.data.load(0).made_from
    again = quietly(train, config)
    assert again.last == result.last
    loaded = load(tmp_path / "run")
    subject = measure.Subject(loaded.model, loaded.criterion, loaded.samples("test"))
    assert subject.loss() == pytest.approx(result.last["test_loss"], rel=1e-5)
    tuned = replace(config, data=Text(("optparse", "mailbox"), length=16, per_region=4), epochs=1,
                    model=replace(config.model, weights=str(tmp_path / "run"), new_head=True))  # fmt: skip
    assert quietly(train, tuned).steps == 4
