"""Bootstrap, as the work of one cell: train, then train anew on the labels that the first run predicts.

Foret et al., ICLR 2021, §3.3 ("Bootstrap + SAM" of Table 4)::

    CELL/first/        the run on the labels as given
    CELL/labels.npy    what its last weights predict for its training images, as evaluation sees them
    CELL/second/       the run on these, from the initial weights of the first
    CELL/result.json   what both have cost, written last
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from samnesia.perturb.errors import ConfigurationError
from samnesia.study.training import Training
from samnesia.study.work import Outcome
from samnesia.train.config import Digits, RunConfig
from samnesia.train.log import RESULT, read_config, write_json
from samnesia.train.parts.checks import require
from samnesia.train.plain import differences

FIRST, SECOND, LABELS = "first", "second", "labels.npy"
COSTS = ("gradient_evaluations", "seconds", "steps")


@dataclass(frozen=True)
class Retrained:
    """Train one run on digits, then another one of the same settings on what the first predicts.

    Its values are those of the second run (:class:`samnesia.study.training.Training`), but for the
    ``gradient_evaluations``, ``steps`` and ``seconds``, which are of both; and ``labels_wrong``, the percentage of the
    labels of the second run that are not the true ones.
    """

    config: RunConfig
    """Either run, the first without a look at the test set."""

    def __post_init__(self) -> None:
        require(
            isinstance(self.config.data, Digits) and self.config.checkpoints.last >= 1,
            "cannot train on predicted labels, because that requires digits, and a checkpoint to predict them by; set "
            "data to Digits and checkpoints.last to 1",
        )

    @property
    def settings(self) -> dict[str, Any]:
        """Those of a run, and that there are two."""
        return {"retrained": self.config.to_json()}

    def run(self, directory: Path) -> None:
        """Train both, or go on where that was interrupted."""
        if not (directory / FIRST / RESULT).exists():
            self._first.run(directory / FIRST)
        labels = (directory / LABELS).resolve()
        wrong = _predict(directory / FIRST, labels)
        if not (directory / SECOND / RESULT).exists():
            self._second(str(labels)).run(directory / SECOND)
        write_json(directory / RESULT, {"settings": self.settings, "labels_wrong": wrong})

    def read(self, directory: Path) -> Outcome:
        """Read both; raises ConfigurationError when a file is damaged, or of other settings."""
        try:
            content = json.loads((directory / RESULT).read_text(encoding="utf-8"))
            settings, wrong = content["settings"], content["labels_wrong"]
        except (OSError, ValueError, KeyError, TypeError):
            raise ConfigurationError(
                f"cannot read {directory / RESULT}, because it is damaged; remove it; the same command makes it again"
            ) from None
        if found := differences(settings, self.settings):
            raise ConfigurationError(
                f"cannot use the result in {directory}, because it was run with other settings ({'; '.join(found)}); "
                "use another --out, or the settings of the first run"
            )
        first = self._first.read(directory / FIRST)
        data = read_config(directory / SECOND).data
        second = self._second(getattr(data, "relabel", None)).read(directory / SECOND)
        costs = {name: (first.values[name] or 0.0) + (second.values[name] or 0.0) for name in COSTS}
        return replace(
            second,
            values={**second.values, **costs, "labels_wrong": wrong},
            seconds=first.seconds + second.seconds,
            notes=(*first.notes, *second.notes),
        )

    def done(self, directory: Path) -> float:
        """The share of the two runs."""
        return (self._first.done(directory / FIRST) + Training(self.config).done(directory / SECOND)) / 2.0

    @property
    def _first(self) -> Training:
        evaluation = replace(self.config.evaluation, every_epochs=self.config.epochs, test=False)
        return Training(replace(self.config, evaluation=evaluation))

    def _second(self, labels: str | None) -> Training:
        data = self.config.data
        return Training(replace(self.config, data=replace(data, relabel=labels) if isinstance(data, Digits) else data))


def _predict(run: Path, out: Path) -> float:
    """Write the labels that a run predicts; returns the percentage of them that is wrong."""
    import numpy as np
    import torch

    from samnesia.data.digits import NUM_IMAGES, training_images
    from samnesia.data.relabel import UNKNOWN
    from samnesia.train.loaded import load

    loaded = load(run)
    with torch.inference_mode():
        samples = loaded.samples("train")
        predicted = torch.cat([loaded.model(images).argmax(1).cpu() for images, _ in samples])
    labels = np.full(NUM_IMAGES, UNKNOWN, dtype=np.int64)
    labels[training_images(loaded.config.seed, len(predicted))] = predicted.numpy()
    with out.open("wb") as file:
        np.save(file, labels)
    true = loaded.problem.train.clean_labels
    return 100.0 * float(np.mean(predicted.numpy() != np.asarray(true)))
