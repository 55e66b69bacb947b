"""A model of ImageNet's 1000 classes that knows them by their colours, and a run that has trained it."""

import torch
from torch import nn

from samnesia.train.config import SGD, Checkpoints, Evaluation, OwnModel, RunConfig
from samnesia.train.parts.data import Images
from samnesia.train.parts.sources import Folder
from tests.data.published_sets import COLOURS, SIZE
from tests.train.small import trained


class Colours(nn.Module):
    """Logits are minus half the squared distances of an image's mean colour to the colours of the classes, but for what
    is common to all of them."""

    def __init__(self, colours):
        super().__init__()
        self.classes = nn.Linear(3, len(colours))
        with torch.no_grad():
            self.classes.weight.copy_(colours)
            self.classes.bias.copy_(-0.5 * (colours**2).sum(1))

    def forward(self, images):
        return self.classes(images.mean((2, 3)))


def knowing(shape, num_outputs):
    return Colours(torch.from_numpy(COLOURS[:num_outputs] / 255.0).float())


def run(root, out, **options):
    """A step of a rate that changes nothing; the model sees pixels of 0 to 1 in their size."""
    config = RunConfig(
        recipe="colours",
        data=Images(Folder(str(root)), image_size=SIZE, mean=None, std=None, **options),
        model=OwnModel(knowing),
        optimizer=SGD(lr=1e-12, momentum=0.0),
        epochs=1,
        batch_size=500,
        drop_last=False,
        checkpoints=Checkpoints(last=1, best=False),
        evaluation=Evaluation(batch_size=64),
    )
    trained(config, out)
    return out
