"""The loops of frameworks give the weights of the bare loop: a method needs only groups, gradients and a backward."""

import logging

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import samnesia
from samnesia.perturb.errors import PassesError
from tests.battery import BY_NAME
from tests.problems import batches, flat, network, sgd, train, weights

ROWS = [BY_NAME[name] for name in ("sam", "sam 3 steps", "gsam", "asam + obf", "random")]


def bare(row, data):
    model = network(norm=nn.BatchNorm2d)
    method = row(model, sgd(model))
    train(method, model, data)
    return model


def assert_equal(model, expected):
    assert torch.equal(flat(weights(model)), flat(weights(expected)))
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), expected.buffers(), strict=True))


# -- Lightning Fabric ------------------------------------------------------------------------------------------------


@pytest.fixture
def fabric():
    from lightning.fabric import Fabric

    torch.set_default_dtype(torch.float64)  # to which Fabric casts what a model returns
    yield Fabric(accelerator="cpu", devices=1, precision="64-true")
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_fabric(fabric, row):
    inner = network(norm=nn.BatchNorm2d)
    model, optimizer = fabric.setup(inner, sgd(inner))
    method = row(model, optimizer)
    for x, y in batches(3):
        for p in method.passes():
            loss = p.loss(model(x), y)
            if p.needs_gradient:
                fabric.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
    assert method.steps == 3
    assert_equal(inner, bare(row, batches(3)))


def test_fabric_knows_the_names_inside(fabric):
    """ASAM scales what is called a weight, whatever the wrapper calls it."""
    inner = network(norm=nn.BatchNorm2d)
    model, optimizer = fabric.setup(inner, sgd(inner))
    method = BY_NAME["asam element"](model, optimizer)
    for x, y in batches(3):
        for p in method.passes():
            fabric.backward(p.loss(model(x), y))
        optimizer.step()
        optimizer.zero_grad()
    assert_equal(inner, bare(BY_NAME["asam element"], batches(3)))


def test_fabric_with_closures(fabric):
    inner = network(norm=nn.BatchNorm2d)
    method = BY_NAME["sam"](inner, sgd(inner))
    model, optimizer = fabric.setup(inner, samnesia.as_optimizer(method))

    for x, y in batches(3):

        def closure(x=x, y=y):
            optimizer.zero_grad()
            loss = method.criterion(model(x), y)
            fabric.backward(loss)
            return loss

        optimizer.step(closure)
    assert method.steps == 3
    assert_equal(inner, bare(BY_NAME["sam"], batches(3)))


def test_fabric_mixed_precision_and_clipping():
    from lightning.fabric import Fabric

    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    inner = network().float()
    model, optimizer = fabric.setup(inner, sgd(inner))
    method, losses = BY_NAME["sam"](model, optimizer, measure_every=1), []
    for _ in range(20):
        x, y = batches(1)[0]
        for p in method.passes():
            fabric.backward(p.loss(model(x.float()), y))
        fabric.clip_gradients(model, optimizer, max_norm=1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(method.last_step.loss)
    assert losses[-1] < 0.5 * losses[0]
    assert method.last_step.cosine > 1 - 1e-5


# -- Lightning -------------------------------------------------------------------------------------------------------


@pytest.fixture
def trainer(tmp_path):
    import lightning

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return lightning.Trainer(
        accelerator="cpu",
        devices=1,
        precision="64-true",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )


def lightning_module(row):
    import lightning

    class Manual(lightning.LightningModule):
        """Manual optimization: the loop over passes stands in `training_step`."""

        def __init__(self):
            super().__init__()
            self.automatic_optimization = False
            self.net = network(norm=nn.BatchNorm2d)

        def configure_optimizers(self):
            optimizer = sgd(self.net)
            self.method = row(self.net, optimizer)
            return optimizer

        def training_step(self, batch, index):
            x, y = batch
            optimizer = self.optimizers()
            for p in self.method.passes():
                loss = p.loss(self.net(x), y)
                if p.needs_gradient:
                    self.manual_backward(loss)
            optimizer.step()
            optimizer.zero_grad()

    class Automatic(lightning.LightningModule):
        """Automatic optimization: the trainer passes closures."""

        def __init__(self):
            super().__init__()
            self.net = network(norm=nn.BatchNorm2d)

        def configure_optimizers(self):
            self.method = row(self.net, sgd(self.net))
            return samnesia.as_optimizer(self.method)

        def training_step(self, batch, index):
            x, y = batch
            return self.method.criterion(self.net(x), y)

    return Manual, Automatic


@pytest.mark.filterwarnings("ignore:.*treespec, LeafSpec.*:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*does not have many workers.*:UserWarning")
@pytest.mark.parametrize("kind", [0, 1], ids=["manual", "automatic"])
@pytest.mark.parametrize("row", [BY_NAME[name] for name in ("sam 3 steps", "gsam + obf")], ids=str)
def test_lightning(trainer, row, kind):
    module = lightning_module(row)[kind]()
    trainer.fit(module, torch.utils.data.DataLoader(batches(3), batch_size=None))
    assert module.method.steps == trainer.global_step == 3
    assert_equal(module.net, bare(row, batches(3)))


# -- Accelerate ------------------------------------------------------------------------------------------------------


@pytest.fixture
def accelerator():
    """Accelerate keeps its configuration for the whole process."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState, PartialState

    def build(**options):
        return Accelerator(cpu=True, **options)

    yield build
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_accelerate(accelerator, row):
    accelerator = accelerator()
    inner = network(norm=nn.BatchNorm2d)
    model, optimizer = accelerator.prepare(inner, sgd(inner))
    method = row(model, optimizer)
    for x, y in batches(3):
        for p in method.passes():
            loss = p.loss(model(x), y)
            if p.needs_gradient:
                accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
    assert method.steps == 3
    assert_equal(inner, bare(row, batches(3)))


@pytest.mark.parametrize("row", [BY_NAME[name] for name in ("sam", "gsam normalized")], ids=str)
def test_accelerate_accumulates_over_micro_batches(accelerator, row):
    """Its optimizer ignores `step` and `zero_grad` until the last micro-batch."""
    accelerator = accelerator(gradient_accumulation_steps=2)
    inner = network()
    model, optimizer = accelerator.prepare(inner, sgd(inner))
    method, micro_batches = row(model, optimizer), []
    for x, y in batches(6):
        with accelerator.accumulate(model):
            for p in method.passes():
                accelerator.backward(p.loss(model(x), y))
            micro_batches.append(method.last_step.micro_batches)
            optimizer.step()
            optimizer.zero_grad()
    assert micro_batches == [1, 2] * 3
    assert method.steps == 3

    expected = network()
    reference = row(expected, sgd(expected))
    for pair in zip(*[iter(batches(6))] * 2, strict=True):
        for x, y in pair:
            for p in reference.passes():
                (p.loss(expected(x), y) / 2).backward()
        reference.optimizer.step()
        reference.optimizer.zero_grad()
    assert torch.equal(flat(weights(inner)), flat(weights(expected)))


def test_accelerate_with_mixed_precision_and_clipping(accelerator):
    accelerator = accelerator(mixed_precision="bf16")
    inner = network().float()
    model, optimizer = accelerator.prepare(inner, sgd(inner))
    method, losses = BY_NAME["sam"](model, optimizer), []
    for _ in range(20):
        x, y = batches(1)[0]
        for p in method.passes():
            accelerator.backward(p.loss(model(x.float()), y))
        accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(method.last_step.loss)
    assert losses[-1] < 0.5 * losses[0]


def test_accelerate_passes_no_closure_on_by_itself(accelerator):
    accelerator = accelerator()
    inner = network()
    method = BY_NAME["sam"](inner, sgd(inner))
    model, optimizer = accelerator.prepare(inner, samnesia.as_optimizer(method))
    x, y = batches(1)[0]
    accelerator.backward(F.cross_entropy(model(x), y))
    with pytest.raises(PassesError, match="cannot step without a closure"):
        optimizer.step()
