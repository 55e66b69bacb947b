"""The rows of the suite, a table per topic, numbered as the suite numbers them."""

from samnesia.conformance.rows import (
    algebra,
    batches,
    batchnorm,
    distributed,
    failure,
    gradients_present,
    precision,
    protocol,
    state,
)
from samnesia.conformance.subject import Row

TOPICS: dict[str, tuple[Row, ...]] = {
    "Algebra": algebra.ROWS,
    "Gradients present or not": gradients_present.ROWS,
    "Failure": failure.ROWS,
    "Batches": batches.ROWS,
    "BatchNorm and randomness": batchnorm.ROWS,
    "State": state.ROWS,
    "Precision": precision.ROWS,
    "Distributed (two processes)": distributed.ROWS,
    "Protocol": protocol.ROWS,
}
"""Topic -> rows, in the order of the card."""

ROWS: tuple[Row, ...] = tuple(row for rows in TOPICS.values() for row in rows)
