"""What the ranks run: the command line of an evaluation."""

import json
from pathlib import Path
from unittest.mock import patch

import torch
import torch.distributed as dist

from samnesia import cli
from samnesia.evaluate.predictions import together
from samnesia.examine import run
from samnesia.examine.company import Several
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.config import Hardware
from samnesia.train.engine import Engine


def evaluated(words, out):
    """Exit code on each rank, and what was written; figures take longer than all else."""
    with patch.object(run, "_drawn", lambda *_: {}):
        code = cli.main(["evaluate", *words, "--out", str(out), "--device", "cpu"])
    path = Path(out, "evaluate.json")
    return code, json.loads(path.read_text()) if path.exists() else None


def refused():
    """What each rank is told where the last one cannot read its samples."""
    company = Several(Engine(Hardware(accelerator="cpu")))

    def batches():
        yield torch.zeros(1, 2), torch.zeros(1), torch.tensor([dist.get_rank()])
        if not company.leads:
            raise ConfigurationError("cannot read image 7")

    try:
        together(batches())
    except ConfigurationError as error:
        return str(error)
    finally:
        company.part()
    return "nothing"
