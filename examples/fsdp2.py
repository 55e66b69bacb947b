"""SAM on a model in parts (FSDP2, `fully_shard`), in as many processes as torchrun starts.

    torchrun --nproc-per-node 2 examples/fsdp2.py

Each process holds its part of weights, gradients and momentum, and trains on its part of each batch. The perturbation
is that of the whole batch: any number of processes takes the same steps, to rounding.
"""

import os

import torch
import torch.distributed as dist
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.distributed.fsdp import fully_shard

import samnesia

BATCH = 128


def network():
    torch.manual_seed(0)  # the same weights in every process, of which each keeps its part
    return nn.Sequential(
        *(nn.Linear(64, 64), nn.LayerNorm(64), nn.ReLU()),
        *(nn.Linear(64, 64), nn.LayerNorm(64), nn.ReLU()),
        nn.Linear(64, 10),
    )


def batches(epoch, rank=0, ranks=1):
    """A rank's part of the epoch's batches: every so-many-th sample of each."""
    images, labels = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(epoch))
    for batch in order.split(BATCH)[:-1]:  # a smaller last one might not be shared out evenly
        own = batch[rank::ranks]
        yield images[own].float() / 16, labels[own]


def train(epochs=3):
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if cuda else "gloo")
    mesh = dist.init_device_mesh("cuda" if cuda else "cpu", (dist.get_world_size(),))

    model = network()
    for layer in model:
        if isinstance(layer, nn.Linear):
            fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)  # after fully_shard: it holds the parts
    sam = samnesia.sam(model, optimizer, rho=0.1, loss=F.cross_entropy)

    for epoch in range(epochs):
        losses = []
        for x, y in batches(epoch, dist.get_rank(), dist.get_world_size()):
            x, y = x.to(mesh.device_type), y.to(mesh.device_type)
            for p in sam.passes():
                p.loss(model(x), y).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(sam.last_step.loss)
        mean = torch.tensor(losses, device=mesh.device_type).mean() / dist.get_world_size()
        dist.all_reduce(mean)
        if dist.get_rank() == 0:
            print(f"epoch {epoch}: training loss {mean:.6f}, {dist.get_world_size()} processes", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    train()
