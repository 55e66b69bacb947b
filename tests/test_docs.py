"""Every block of the documentation that is marked `python` runs, in the order in which a reader meets them.

Blocks marked `py` are other people's code, shown for comparison, and are not run.
"""

import re
import warnings
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import samnesia

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#([^)\s]+))?\)")


def what_the_reader_has():
    """Names that blocks may use without having made them."""
    model = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 3)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(8, 4), torch.randint(3, (8,))
    return {
        "F": F,
        "loader": [(x, y)] * 2,
        "loss_function": F.cross_entropy,
        "method": samnesia.sam(model, optimizer, loss=F.cross_entropy),
        "model": model,
        "optimizer": optimizer,
        "samnesia": samnesia,
        "scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1),
        "torch": torch,
        "x": x,
        "y": y,
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_blocks_run(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text, names = document.read_text(), what_the_reader_has()
    for block in BLOCK.finditer(text):
        lines_before = text.count("\n", 0, block.start(1))
        with warnings.catch_warnings():
            # a block may schedule an optimizer that no block has stepped
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            exec(compile("\n" * lines_before + block[1], document, "exec"), names)


def test_there_are_blocks():
    assert sum(len(BLOCK.findall(document.read_text())) for document in DOCUMENTS) > 15


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_inside_the_repository_lead_somewhere(document):
    for target, anchor in LINK.findall(document.read_text()):
        path = document.parent / target
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", h).lower().replace(" ", "-") for h in headings}, anchor
