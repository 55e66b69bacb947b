"""Text of your own, as tokens with a mask: which module of Python's standard library is a line of code from?

samnesia train examples/own_text.py:sam --out runs/text
samnesia compare examples/own_text.py --methods adamw sam --out runs/texts
"""

import re
import zlib
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

from samnesia.train.config import AdamW, CrossEntropy, OwnData, OwnModel, RunConfig
from samnesia.train.parts.methods import SAM, Unperturbed

MODULES = ("argparse", "ast", "doctest", "inspect", "pickle", "smtplib", "tarfile", "typing")
WORDS, LENGTH = 4096, 16  # words are known by a hash below WORDS; 0 is padding


class Lines(torch.utils.data.Dataset):
    """({"tokens": int64 [16], "mask": bool [16], true for words}, number of the module)."""

    def __init__(self, lines):
        self.lines = lines

    def __len__(self):
        return len(self.lines)

    def __getitem__(self, index):
        words, module = self.lines[index]
        tokens = torch.zeros(LENGTH, dtype=torch.int64)
        for place, word in enumerate(words[:LENGTH]):
            tokens[place] = 1 + zlib.crc32(word.encode()) % (WORDS - 1)
        return {"tokens": tokens, "mask": tokens > 0}, module


def load(seed):
    """150 lines of each module to train on, 50 for validation, 50 for the test; others for each seed."""
    generator = torch.Generator().manual_seed(seed)
    parts = [], [], []
    for module, name in enumerate(MODULES):
        text = Path(find_spec(name).origin).read_text(encoding="utf-8")
        lines = sorted({tuple(re.findall(r"\w+", line)) for line in text.splitlines()})
        lines = [line for line in lines if len(line) >= 3]
        order = torch.randperm(len(lines), generator=generator)[:250]
        for part, rows in zip(parts, order.split([150, 50, 50]), strict=True):
            part.extend((lines[row], module) for row in rows)
    return tuple(Lines(part) for part in parts)


class Reader(nn.Module):
    """One layer of attention, and the mean over the words."""

    def __init__(self, classes, width=32):
        super().__init__()
        self.words = nn.Embedding(WORDS, width, padding_idx=0)
        self.places = nn.Parameter(0.02 * torch.randn(LENGTH, width))
        self.attention = nn.TransformerEncoderLayer(width, nhead=2, dim_feedforward=64, batch_first=True)
        self.head = nn.Linear(width, classes)

    def forward(self, batch):
        features = self.words(batch["tokens"]) + self.places
        features = self.attention(features, src_key_padding_mask=~batch["mask"])
        weights = batch["mask"].unsqueeze(2).to(features.dtype)
        return self.head((features * weights).sum(1) / weights.sum(1))


def reader(shape, num_outputs):
    return Reader(num_outputs)


def run(method):
    """Everything but the method: what a comparison holds equal."""
    return RunConfig(
        recipe="text",
        data=OwnData(load, num_outputs=len(MODULES)),
        model=OwnModel(reader),
        loss=CrossEntropy(),
        optimizer=AdamW(lr=1e-2),
        method=method,
        epochs=8,
        batch_size=60,
    )


def adamw():
    return run(Unperturbed())


def sam():
    return run(SAM(rho=0.05))
