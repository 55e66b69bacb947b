"""What the ranks run: the command line of an evaluation."""

import json
from pathlib import Path
from unittest.mock import patch

from samnesia import cli
from samnesia.examine import run


def evaluated(words, out):
    """Exit code on each rank, and what was written; figures take longer than all else."""
    with patch.object(run, "_drawn", lambda *_: {}):
        code = cli.main(["evaluate", *words, "--out", str(out), "--device", "cpu"])
    path = Path(out, "evaluate.json")
    return code, json.loads(path.read_text()) if path.exists() else None
