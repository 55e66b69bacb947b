"""Configurations over the problem of problem.py."""

from dataclasses import replace

from samnesia.train.config import SGD, Checkpoints, Hardware, Logging, OwnData, OwnModel, RunConfig
from tests.train.distributed import problem

DOUBLE = Hardware(accelerator="cpu", precision="64-true")
SMALL = RunConfig(
    "small",
    data=OwnData(problem.data),
    model=OwnModel(problem.net),
    optimizer=SGD(lr=0.1, momentum=0.9),
    epochs=2,
    batch_size=10,
    drop_last=False,
    checkpoints=Checkpoints(every_steps=3, last=2, best=True, keep_epochs=(0, 1)),
    logging=Logging(every_steps=1),
    hardware=DOUBLE,
)


def fsdp(config):
    return replace(config, hardware=replace(config.hardware, strategy="fsdp"))
