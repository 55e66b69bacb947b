"""A table of your own, with your own network, loss and measure: regression, judged by the root mean squared error.

samnesia train examples/own_table.py:sam --out runs/table
samnesia compare examples/own_table.py --methods sgd sam --out runs/tables
"""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_diabetes
from torch import nn
from torchmetrics import MeanSquaredError

from samnesia.data.problem import Problem, TensorSplit
from samnesia.train.config import SGD, OwnData, OwnLoss, OwnModel, RunConfig
from samnesia.train.parts.methods import SAM, Unperturbed

MEAN, SPREAD = 152.0, 77.0  # of the targets, roughly


def load(seed):
    """442 patients, ten columns; another split for each seed."""
    columns, progression = (torch.as_tensor(array).float() for array in load_diabetes(return_X_y=True, scaled=False))
    columns = (columns - columns.mean(0)) / columns.std(0)
    order = torch.randperm(len(columns), generator=torch.Generator().manual_seed(seed))
    train, validation, test = (TensorSplit(columns[rows], progression[rows]) for rows in order.split([300, 60, 82]))
    return Problem(train, validation, test, num_outputs=1, shape=(10,))


class Network(nn.Module):
    def __init__(self, columns, width=64):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(columns, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.head = nn.Linear(width, 1)

    def forward(self, x):
        return MEAN + SPREAD * self.head(self.layers(x)).squeeze(1)


def network(shape, num_outputs):
    return Network(columns=shape[0])


def squared_error(output, target):
    return F.mse_loss(output, target) / SPREAD**2


def rmse():
    return MeanSquaredError(squared=False)


def run(method):
    """Everything but the method: what a comparison holds equal."""
    return RunConfig(
        recipe="table",
        data=OwnData(load),
        model=OwnModel(network),
        loss=OwnLoss(squared_error, measure=rmse, name="rmse", higher_is_better=False),
        optimizer=SGD(lr=0.05, momentum=0.9, weight_decay=1e-4),
        method=method,
        epochs=30,
        batch_size=50,
    )


def sgd():
    return run(Unperturbed())


def sam():
    return run(SAM(rho=0.1))
