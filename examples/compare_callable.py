"""Does SAM help in a training loop of your own? A paired comparison over seeds, without our trainer."""

import argparse
from functools import partial

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

import samnesia


def train(make_method, seed, epochs):
    """Any loop: it gets its method from `make_method`, and returns a score."""
    images, labels = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    images, labels = images.float()[order] / 16, labels[order]

    model = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    method = make_method(model, optimizer)
    for _ in range(epochs):
        for batch in torch.randperm(500).split(50):
            for _ in method.passes():
                F.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
            optimizer.zero_grad()
    model.eval()
    with torch.no_grad():
        return 100 * (model(images[500:]).argmax(1) == labels[500:]).float().mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    methods = {
        "sgd": samnesia.unperturbed,
        "sam": partial(samnesia.sam, rho=0.1),
        "asam": partial(samnesia.asam, rho=1.0),
    }
    print(samnesia.compare(partial(train, epochs=arguments.epochs), methods, range(arguments.seeds)))


if __name__ == "__main__":
    main()
