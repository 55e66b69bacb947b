"""What only a CUDA device can show: `pytest -m gpu tests/gpu` on a machine that has one."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import samnesia
from tests.battery import BY_NAME, METHODS
from tests.problems import loss_of

pytestmark = pytest.mark.gpu


def net(device="cuda", dtype=torch.float64):
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 3))
    return nn.Sequential(*layers).to(device=device, dtype=dtype)


def batch(device="cuda", dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(16, 1, 6, 6, generator=generator, dtype=torch.float64)
    labels = torch.randint(3, (16,), generator=generator)
    return images.to(device=device, dtype=dtype), labels.to(device)


def weights(model):
    return torch.cat([p.detach().reshape(-1).cpu() for p in model.parameters()])


def train(method, model, optimizer, x, y, steps=5):
    for _ in range(steps):
        for p in method.passes():
            loss_of(p, model, x, y).backward()
        optimizer.step()
        optimizer.zero_grad()
    return weights(model)


@pytest.mark.parametrize("row", METHODS, ids=str)
def test_equals_the_cpu_and_restores_bit_by_bit(row):
    if "random" in row.name or "noise" in row.name:  # generators of the two devices draw different numbers
        devices = ["cuda"]
    else:
        devices = ["cpu", "cuda"]
    results = []
    for device in devices:
        model = net(device).eval()  # no dropout: its masks differ between devices
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        before = weights(model)
        assert torch.equal(train(row(model, optimizer), model, optimizer, *batch(device)), before)
        optimizer.param_groups[0]["lr"] = 0.1
        results.append(train(row(model, optimizer), model, optimizer, *batch(device)))
    torch.testing.assert_close(results[0], results[-1], rtol=1e-9, atol=1e-12)


def test_replayed_dropout_leaves_the_random_state_of_one_pass():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = batch()
    torch.manual_seed(3)
    F.cross_entropy(model(x), y)
    one_pass = torch.cuda.get_rng_state()
    torch.manual_seed(3)
    outputs = []
    for p in samnesia.sam(model, optimizer, rho=0.0, loss=F.cross_entropy, replay_dropout=True).passes():
        outputs.append(model(x))
        p.loss(outputs[-1], y).backward()
    assert torch.equal(*outputs)
    assert torch.equal(torch.cuda.get_rng_state(), one_pass)


def test_half_precision_with_a_gradient_scaler_skips_an_overflow_and_goes_on():
    model = net(dtype=torch.float32)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    method = samnesia.gsam(model, optimizer, rho=0.05, loss=F.cross_entropy)
    scaler = torch.amp.GradScaler("cuda", init_scale=2.0**10)
    x, y = batch(dtype=torch.float32)
    losses = []
    for step in range(20):
        for p in method.passes():
            with torch.autocast("cuda", dtype=torch.float16):
                loss = loss_of(p, model, x, y)
            scaler.scale(loss * (float("inf") if step == 7 and p.last else 1.0)).backward()
        before = weights(model)
        scaler.step(optimizer)
        assert torch.equal(weights(model), before) == (step == 7)
        scaler.update()
        optimizer.zero_grad()
        losses.append(method.last_step.loss)
    assert method.steps == 19
    assert losses[-1] < 0.7 * losses[0]


def test_parameters_on_two_devices_share_one_norm():
    first, second = nn.Linear(5, 4).double(), nn.Linear(4, 3).double().cuda()
    model = nn.ModuleList([first, second])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    method = samnesia.sam(model, optimizer, rho=0.05)
    x, y = torch.randn(8, 5, dtype=torch.float64), torch.randint(3, (8,)).cuda()
    for _ in method.passes():
        F.cross_entropy(second(torch.tanh(first(x)).cuda()), y).backward()
    assert method.last_step.perturbation_norm == pytest.approx(0.05, rel=1e-9)


@pytest.mark.parametrize("name", ["sam", "asam element", "gsam"])
def test_a_whole_step_in_a_cuda_graph(name):
    """Captured once with gradient buffers that stay, replayed on new batches: the weights of the eager run."""
    results = []
    for captured in (False, True):
        model = net().train()
        model[4].p = 0.0
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        method = BY_NAME[name](model, optimizer, keep_gradient_buffers=True, measure_every=1000)
        x, y = batch()

        def once(model=model, method=method, optimizer=optimizer, x=x, y=y):
            for p in method.passes():
                loss_of(p, model, x, y).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)

        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                once()
        torch.cuda.current_stream().wait_stream(side)
        if captured:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                once()
        for k in range(4):
            x.copy_(batch()[0] * (1 + k))
            graph.replay() if captured else once()
        results.append(weights(model))
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-14)


def test_a_copy_of_the_weights_in_host_memory():
    """Restored bit by bit, and that much less memory of the device is in use in the last pass."""
    used = []
    for offload in (False, True):
        model = nn.Sequential(nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 3)).cuda()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        method = samnesia.sam(model, optimizer, rho=0.5, steps=2, offload=offload, measure_every=1000)
        before = weights(model)
        x, y = torch.randn(4, 2048, device="cuda"), torch.randint(3, (4,), device="cuda")
        for _ in range(2):
            for _ in method.passes():
                torch.cuda.synchronize()
                held = torch.cuda.memory_allocated()
                F.cross_entropy(model(x), y).backward()
            optimizer.step()
        assert torch.equal(weights(model), before)
        used.append(held)
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    assert used[0] - used[1] == pytest.approx(size, rel=0.05)


def test_nothing_waits_for_the_device():
    """Passes of every method, with torch made to raise at whatever would synchronize."""
    for row in METHODS:
        model = net().train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, foreach=True)
        method = row(model, optimizer)
        x, y = batch()
        train(method, model, optimizer, x, y, steps=1)
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            for p in method.passes():
                loss_of(p, model, x, y).backward()
            optimizer.step()
            optimizer.zero_grad()
        finally:
            torch.cuda.set_sync_debug_mode("default")
