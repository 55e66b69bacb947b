"""The bench of ``samnesia evaluate``: a checkpoint, looked at once to see that it gives numbers."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import torch

from samnesia.evaluate.predictions import Sampled, seen
from samnesia.examine.bench import Bench
from samnesia.perturb.errors import ConfigurationError
from samnesia.train.parts.methods import method_name

if TYPE_CHECKING:
    from samnesia.examine.chosen import Place
    from samnesia.train.loaded import Loaded


class EvaluationBench(Bench):
    """Holds one checkpoint at a time; suites read the samples by themselves, in shares of each process."""

    _ready: Place | None = None

    def prepare(self, place: Place) -> None:
        """Put a checkpoint on the bench; raises ConfigurationError where it cannot be read, or gives no numbers."""
        loaded = self.loaded(place)
        if place is not self._ready:
            _check_numbers(loaded, self.look.split)
            self._ready = place

    def describe(self, place: Place) -> dict[str, Any]:
        """What has to stand beside each number."""
        loaded, look = self.loaded(place), self.look
        source = loaded.split(look.split)
        count = len(Sampled(look.split, look.samples, look.seed).numbers(source))
        drawn = f"all {count}" if count == len(source) else f"{count} of {len(source)} by seed {look.seed}"
        return {
            "checkpoint": {
                "recipe": loaded.config.recipe,
                "method": method_name(loaded.config.method),
                "seed": loaded.config.seed,
                "epoch": loaded.position.epoch,
                "step": loaded.position.step,
                "weights": type(loaded.config.average).__name__ if loaded.averaged else "as trained",
            },
            "looked_at": {
                "split": look.split,
                "samples": count,
                "drawn": drawn,
                "mode": "evaluation",
                "dtype": str(next(loaded.model.parameters()).dtype).removeprefix("torch."),
                "device": loaded.device.type,
            },
        }


@torch.no_grad()
def _check_numbers(loaded: Loaded, split: str) -> None:
    """Refuse a model whose first outputs are not finite; every process looks at the same samples."""
    source = loaded.split(split)
    numbers = list(islice(range(len(source)), 8))
    if not numbers:
        raise ConfigurationError(f"cannot evaluate on the {split} split, because it is empty; choose another")
    inputs = seen(source.batch(numbers)[0], loaded)
    outputs = loaded.model(inputs)
    if not isinstance(outputs, torch.Tensor) or not outputs.isfinite().all():
        what = "numbers that are not finite" if isinstance(outputs, torch.Tensor) else f"a {type(outputs).__name__}"
        raise ConfigurationError(
            f"cannot evaluate {loaded.directory}, because the model puts out {what}; look at its weights, or name "
            "another checkpoint"
        )
