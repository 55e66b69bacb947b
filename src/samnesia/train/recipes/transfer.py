"""Transfer in small: pretraining on one set of classes, and fine-tuning on few labels of another; images and text.

Both protocols of Vani et al. (ICML 2024) are these recipes: pretrain with a method and fine-tune plainly
(``samnesia train transfer-high-sgd --model.weights runs/transfer-low-sam``), or pretrain plainly and fine-tune with a
method (``transfer-high-sam``, which starts from ``runs/transfer-low-sgd``). Learning rates and radii were chosen on
validation and tuning seeds by benchmarks/transfer_settings.py; docs/transfer.md says how.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from samnesia.train.config import (
    CNN,
    SGD,
    AdamW,
    Checkpoints,
    Cosine,
    Digits,
    Perturbed,
    Photographs,
    RunConfig,
    Text,
    Transformer,
)
from samnesia.train.parts.methods import ASAM, GSAM, OBF, SAM, Method, Unperturbed
from samnesia.train.recipes.about import About
from samnesia.train.recipes.problems import WORDS
from samnesia.train.recipes.registry import register

NET = CNN(channels=(16, 32), hidden=64)
PRETRAINED_ON = (
    "argparse", "ast", "asyncio.events", "asyncio.selector_events", "asyncio.sslproto", "asyncio.streams",
    "asyncio.tasks", "asyncio.unix_events", "base64", "bdb", "calendar", "concurrent.futures.process", "dataclasses",
    "difflib", "dis", "doctest", "email.message", "enum", "fractions", "ftplib", "functools", "heapq", "http.cookiejar",
    "http.server", "inspect", "ipaddress", "locale", "logging", "logging.config", "logging.handlers", "mailbox",
    "mimetypes", "multiprocessing.connection", "multiprocessing.managers", "multiprocessing.pool", "optparse", "pdb",
    "pickletools", "platform", "plistlib", "pstats", "pydoc", "random", "smtplib", "socket", "socketserver", "ssl",
    "subprocess", "tarfile", "tempfile", "threading", "tokenize", "trace", "traceback", "typing", "unittest.case",
    "unittest.mock", "urllib.parse", "urllib.request", "uuid", "xml.etree.ElementTree", "xmlrpc.client",
    "xmlrpc.server", "zipfile",
)  # fmt: skip
"""Modules that text is pretrained on."""
TUNED_ON = (
    "asyncio.base_events", "configparser", "http.client", "imaplib", "pickle", "shutil", "statistics",
    "xml.dom.minidom",
)  # fmt: skip
"""Other modules, to be told apart from few snippets."""


@dataclass(frozen=True)
class Task:
    """Data to pretrain on or to fine-tune on: how, and with which methods."""

    says: str
    """What the data are, in a few words."""
    run: RunConfig
    """What all methods share, from random weights; without a name."""
    methods: Mapping[str, Method]
    """By the ending of the recipe's name."""
    images: int
    """Training samples of an epoch."""
    source: str | None = None
    """The task whose weights it starts from; None is at random."""
    base: str = "sgd"
    """The ending of the method that does not perturb."""
    gmacs: float = 0.0000916
    """Multiply-adds of one sample's forward pass, in 1e9."""

    def training(self, name: str, method: Method) -> RunConfig:
        """The run of a recipe."""
        run = replace(self.run, recipe=name, method=method)
        if self.source is None:
            return run
        model: Any = self.run.model
        return replace(run, model=replace(model, weights=f"runs/{self.source}-{self.base}", new_head=True))


def _run(**changed: object) -> RunConfig:
    shared = RunConfig(
        recipe="transfer",
        model=NET,
        schedule=Cosine(warmup_epochs=2.0),
        checkpoints=Checkpoints(every_epochs=None, last=1, best=False),
    )
    return replace(shared, **changed)  # type: ignore[arg-type]


def _sgd(lr: float, weight_decay: float) -> SGD:
    return SGD(lr=lr, momentum=0.9, weight_decay=weight_decay)


LATER = Perturbed(start_epoch=2.0)
"""Of pretraining on images: after the warm-up, as in the problems."""
TASKS: dict[str, Task] = {
    "transfer-low": Task(
        "Digits 0 to 4, to pretrain on",
        _run(data=Digits(classes=(0, 1, 2, 3, 4), train=500), optimizer=_sgd(0.03, 5e-4), when=LATER, epochs=12,
             batch_size=50),
        {"sgd": Unperturbed(), "sam": SAM(rho=0.02), "asam": ASAM(rho=1.0), "gsam": GSAM(rho=0.02, alpha=0.2),
         "obf": OBF(rho=0.05)},
        images=500,
    ),
    "transfer-high": Task(
        "Digits 5 to 9 by 50 labels, after digits 0 to 4",
        _run(data=Digits(classes=(5, 6, 7, 8, 9), train=50), optimizer=_sgd(0.03, 0.0), epochs=30, batch_size=10),
        {"sgd": Unperturbed(), "sam": SAM(rho=0.02), "asam": ASAM(rho=0.25), "gsam": GSAM(rho=0.02, alpha=0.2),
         "obf": OBF(rho=0.1)},
        images=50,
        source="transfer-low",
    ),
    "transfer-patches": Task(
        "Patches of 8 x 8 pixels of eight photographs, to pretrain on",
        _run(data=Photographs(side=8), optimizer=_sgd(0.1, 5e-4), when=LATER, epochs=12, batch_size=64),
        {"sgd": Unperturbed(), "sam": SAM(rho=0.05), "asam": ASAM(rho=0.5), "gsam": GSAM(rho=0.05, alpha=0.2),
         "obf": OBF(rho=0.05)},
        images=768,
    ),
    "transfer-digits": Task(
        "Digits by 100 labels, after patches of photographs",
        _run(data=Digits(train=100), optimizer=_sgd(0.1, 0.0), epochs=30, batch_size=20),
        {"sgd": Unperturbed(), "sam": SAM(rho=0.2), "asam": ASAM(rho=0.5), "gsam": GSAM(rho=0.2, alpha=0.2),
         "obf": OBF(rho=0.05)},
        images=100,
        source="transfer-patches",
    ),
    "text-modules": Task(
        "Snippets of 64 modules of Python's library, to pretrain on",
        _run(data=Text(PRETRAINED_ON, per_region=8), model=Transformer(), schedule=Cosine(warmup_epochs=0.5),
             optimizer=AdamW(lr=0.01, weight_decay=0.05), epochs=4, batch_size=64),
        {"adamw": Unperturbed()},
        images=4096,
        base="adamw",
        gmacs=0.000656,
    ),
    "text-few": Task(
        "Snippets of eight other modules by 64 labels",
        _run(data=Text(TUNED_ON, labelled=8), model=Transformer(), optimizer=AdamW(lr=0.01, weight_decay=0.05),
             epochs=24, batch_size=16),
        {"adamw": Unperturbed(), "sam": SAM(rho=0.2), "asam": ASAM(rho=0.5), "gsam": GSAM(rho=0.2, alpha=0.2),
         "obf": OBF(rho=0.05)},
        images=64,
        source="text-modules",
        base="adamw",
        gmacs=0.000656,
    ),
}  # fmt: skip
"""By the beginning of the recipe's name."""
SAYS = WORDS | {"adamw": WORDS["sgd"]}


def register_all() -> None:
    """Register them."""
    for name, task in TASKS.items():
        about = About("this project's own problem, docs/transfer.md", images=task.images, gmacs=task.gmacs)
        for ending, method in task.methods.items():
            recipe = f"{name}-{ending}"
            build = partial(task.training, recipe, method)
            register(recipe, build, says=f"{task.says}: {SAYS[ending]}.", about=about)
