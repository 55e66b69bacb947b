"""Peers on PyTorch, called as their own documentation calls them; prints their last weights as JSON.

    python torch_peers.py SOURCE [CLONE]

It needs nothing of ours, so that it runs wherever the peer does. CLONE is a checkout of a peer without a package.
"""

import json
import sys
from importlib import metadata
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent))
import problem  # noqa: E402 (found by its folder: there is no package of ours here)


def network():
    """The problem's net with its first weights."""
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)).double()
    model.load_state_dict({name: torch.from_numpy(value) for name, value in problem.weights().items()})
    return model


def steps(optimizer):
    """The batches, with the learning rate of each step set."""
    for (x, y), lr in zip(problem.batches(), problem.rates(), strict=True):
        for group in optimizer.param_groups:
            group["lr"] = lr
        yield torch.from_numpy(x), torch.from_numpy(y)


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=problem.LR, momentum=problem.MOMENTUM)


def davda54(model, rho, **settings):
    from sam import SAM

    optimizer = SAM(model.parameters(), torch.optim.SGD, rho=rho, lr=problem.LR, momentum=problem.MOMENTUM, **settings)
    for x, y in steps(optimizer):
        F.cross_entropy(model(x), y).backward()
        optimizer.first_step(zero_grad=True)
        F.cross_entropy(model(x), y).backward()
        optimizer.second_step(zero_grad=True)


def samsung(model, rho, kind="ASAM", **settings):
    import asam

    optimizer = sgd(model)
    minimizer = getattr(asam, kind)(optimizer, model, rho=rho, **settings)
    for x, y in steps(optimizer):
        F.cross_entropy(model(x), y).backward()
        minimizer.ascent_step()
        F.cross_entropy(model(x), y).backward()
        minimizer.descent_step()


def samsung_sam(model, rho):
    samsung(model, rho, "SAM")


def juntang_zhuang(model, rho, min_value=None, max_lr=problem.LR, min_lr=0.0, **settings):
    from gsam import GSAM, ProportionScheduler

    base = sgd(model)
    schedule = torch.optim.lr_scheduler.ExponentialLR(base, problem.DECAY)
    low = rho if min_value is None else min_value
    radius = ProportionScheduler(schedule, max_lr=max_lr, min_lr=min_lr, max_value=rho, min_value=low)
    optimizer = GSAM(model.parameters(), base, model, rho_scheduler=radius, **settings)
    for x, y in problem.batches():
        optimizer.set_closure(F.cross_entropy, torch.from_numpy(x), torch.from_numpy(y))
        optimizer.step()
        schedule.step()
        optimizer.update_rho_t()


def composer(model, rho, **settings):
    from composer.algorithms.sam import SAMOptimizer

    base = sgd(model)
    optimizer = SAMOptimizer(base, rho=rho, **settings)
    for x, y in steps(base):

        def closure(x=x, y=y, **_):  # its trainer's closure takes ddp_sync= and loss_dict=
            base.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            return loss

        optimizer.step(closure)


SQUARED = {"adaptive": True}
FOLLOWING = {"min_value": 0.05, "max_lr": 0.1, "min_lr": 0.01}
PEERS = {
    "davda54/sam": (davda54, [{"rho": 0.1}, {"rho": 2.0, **SQUARED}]),
    "SamsungLabs/ASAM": (samsung, [{"rho": 0.5}, {"rho": 0.5, "eta": 0.0}]),
    "SamsungLabs/ASAM:SAM": (samsung_sam, [{"rho": 0.1}]),
    "juntang-zhuang/GSAM": (
        juntang_zhuang,
        [
            {"rho": 0.1, "gsam_alpha": 0.4},
            {"rho": 2.0, "gsam_alpha": 0.4, **SQUARED},
            {"rho": 0.2, "gsam_alpha": 0.4, **FOLLOWING},
        ],
    ),
    "composer.algorithms.SAM": (composer, [{"rho": 0.05}, {"rho": 0.5, "interval": 3}]),
}
PACKAGES = {"composer.algorithms.SAM": ("mosaicml",)}


def main(source, clone=None):
    """Every case of one source."""
    if clone:
        sys.path.insert(0, clone)
    train, cases = PEERS[source]
    answers = []
    for settings in cases:
        model = network()
        train(model, **settings)
        last = torch.nn.utils.parameters_to_vector(model.parameters()).tolist()
        answers.append({"settings": settings, "weights": last})
    names = (*PACKAGES.get(source, ()), "torch")
    print(json.dumps({"versions": {name: metadata.version(name) for name in names}, "answers": answers}))


if __name__ == "__main__":
    main(*sys.argv[1:])
