"""The tidy table of a study: a row per design cell and seed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samnesia.study.design import COLUMNS, Design
from samnesia.study.engine.store import CELLS, Failed, Finished, cell_name, find_cell

if TYPE_CHECKING:
    import pandas as pd

TABLE = "table.parquet"


def make_table(out: Path, design: Design, shared: Mapping[str, str]) -> tuple[pd.DataFrame, dict[str, Finished]]:
    """Make a study's table from what is on disk.

    Columns: one of texts for each factor; ``seed``; ``status`` (finished, failed or missing); ``reason`` of a failure;
    ``directory``, relative to ``out``; ``config``, the settings of the cell's work as JSON (missing where nothing is on
    disk); then a column of float64 for each value that came out of a cell, ``seconds`` and the values of all measures
    among them, NaN where there is none.

    Args:
        out: directory of the study.
        design: its design.
        shared: where cells of equal settings were run.

    Returns:
        The table, seed by seed, and what is on disk of each finished cell, by directory as in the table.

    Raises:
        ConfigurationError: when a file of a cell is damaged.
    """
    import pandas as pd

    finished: dict[str, Finished] = {}
    rows = list(_rows(out, design, shared, finished))
    texts = [*(factor.name for factor in design.factors), *(name for name in COLUMNS if name != "seed")]
    values = dict.fromkeys(measure.value for measure in design.measures)
    for row in rows:
        values |= dict.fromkeys(name for name in row if name not in (*texts, "seed"))
    kinds: dict[str, str] = dict.fromkeys((factor.name for factor in design.factors), "object") | {"seed": "int64"}
    kinds |= dict.fromkeys(texts, "object") | dict.fromkeys(values, "float64")
    columns = {name: pd.Series([row.get(name) for row in rows], dtype=kind) for name, kind in kinds.items()}
    return pd.DataFrame(columns), finished


def write_table(table: pd.DataFrame, out: Path) -> Path:
    """Write the table to ``out``/table.parquet, through a temporary file that is moved into place."""
    path = out / TABLE
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        table.to_parquet(temporary, index=False)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _rows(
    out: Path, design: Design, shared: Mapping[str, str], finished: dict[str, Finished]
) -> Iterator[dict[str, Any]]:
    cells = list(design.cells())
    for seed in design.seeds:
        for levels in cells:
            name = cell_name(levels, seed)
            directory = f"{CELLS}/{shared.get(name, name)}"
            found = finished.get(directory) or find_cell(out / directory)
            row: dict[str, Any] = {**levels, "seed": seed, "status": "missing", "directory": directory}
            if isinstance(found, Failed):
                row |= {"status": "failed", "reason": found.reason, "config": json.dumps(found.settings)}
            elif found is not None:
                finished[directory] = found
                row |= {"status": "finished", "config": json.dumps(found.settings), "seconds": found.outcome.seconds}
                row |= found.outcome.values
            yield row
