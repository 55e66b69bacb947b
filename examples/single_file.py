"""A whole comparison in one file: SGD and SAM on digits of which 40 % have a wrong label, paired by seed."""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

import samnesia

METHODS = {
    "sgd": lambda model, optimizer: samnesia.unperturbed(model, optimizer),
    "sam": lambda model, optimizer: samnesia.sam(model, optimizer, rho=0.1),
}


def load(seed):
    """800 training images with labels of which 40 % are moved to another class, and clean test images."""
    generator = torch.Generator().manual_seed(seed)
    images, labels = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
    order = torch.randperm(len(images), generator=generator)
    images, labels = images.float()[order].reshape(-1, 1, 8, 8) / 16, labels[order]
    noisy = labels[:800].clone()
    noisy[:320] = (noisy[:320] + torch.randint(1, 10, (320,), generator=generator)) % 10
    return (images[:800], noisy), (images[800:], labels[800:])


def network():
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten()),
        nn.Linear(512, 10),
    )


def train(build, seed, epochs):
    torch.manual_seed(seed)  # the same start, and the same order of batches, for each method
    (images, labels), (test_images, test_labels) = load(seed)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs * 8)
    method = build(model, optimizer)
    for _ in range(epochs):
        for batch in torch.randperm(800).split(100):
            for _ in method.passes():
                F.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
    model.eval()
    with torch.no_grad():
        return 100 * (model(test_images).argmax(1) == test_labels).float().mean().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    for seed in range(arguments.seeds):
        accuracy = {name: train(build, seed, arguments.epochs) for name, build in METHODS.items()}
        print(f"seed {seed}: " + ", ".join(f"{name} {value:.1f} %" for name, value in accuracy.items()))


if __name__ == "__main__":
    main()
