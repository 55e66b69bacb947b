"""The records of a run, read again."""

from __future__ import annotations

import json
from pathlib import Path

from samnesia.perturb.errors import ConfigurationError
from samnesia.train.log import RECORDS, Row


def read_records(run: Path | str) -> list[Row]:
    """The lines of ``records.jsonl`` in the directory of a run, in the order of the steps.

    A line that is being written just now is left out.

    Raises:
        ConfigurationError: if nothing was recorded there, or the file is damaged.
    """
    path = Path(run) / RECORDS
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigurationError(
            f"cannot read {path}, because the run has recorded nothing; train it with --record forgetting sharpness"
        ) from None
    whole, _, _ = text.rpartition("\n")
    try:
        return [json.loads(line) for line in whole.splitlines()]
    except ValueError as error:
        raise ConfigurationError(f"cannot read {path}, because a line is no valid JSON ({error}); restore it") from None
