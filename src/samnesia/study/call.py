"""A user's own training function as the work of a cell."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import math
import random
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samnesia.perturb.errors import ConfigurationError
from samnesia.sources import DIGITS, Source
from samnesia.study.work import Outcome

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from samnesia.perturb.flow.passes import PerturbedGradient

MakeMethod = Callable[["nn.Module", "Optimizer"], "PerturbedGradient"]
TrainFunction = Callable[[MakeMethod, int], Any]
SCORE = "score"
"""Name of the one value that comes out of a call."""


@dataclass(frozen=True)
class Call:
    """Call ``function(make, seed)`` with the global random generators seeded, and keep the score that it returns."""

    function: TrainFunction
    """Trains, and returns the score."""
    make: MakeMethod
    """Makes the method of a model and its optimizer."""
    method: str
    """Name of the method."""
    seed: int
    """What Python's, NumPy's and torch's generators are seeded with."""

    @property
    def settings(self) -> dict[str, Any]:
        """Method and seed, and both functions with digests of their code as far as it can be read."""
        return {
            "kind": "Call",
            "method": self.method,
            "make": described(self.make),
            "function": described(self.function),
            "seed": self.seed,
        }

    def score(self) -> float:
        """Train.

        Raises:
            ConfigurationError: when the function never makes its method, or does not return a finite number.
            Exception: whatever the function raises.
        """
        made = 0

        def make_method(model: nn.Module, optimizer: Optimizer) -> PerturbedGradient:
            nonlocal made
            made += 1
            return self.make(model, optimizer)

        with _seeded(self.seed):
            found = self.function(make_method, self.seed)
        if not made:
            raise ConfigurationError(
                "cannot compare runs that train without their method, because the training function did not call "
                "make_method(model, optimizer); call it, and run its passes"
            )
        try:
            score = float(found.detach() if hasattr(found, "detach") else found)
        except (TypeError, ValueError, RuntimeError):
            raise ConfigurationError(
                f"cannot use the {type(found).__name__} that the training function returned, because a score is one "
                "number; return a float"
            ) from None
        if not math.isfinite(score):
            raise ConfigurationError(
                f"cannot use the score {score}, because a mean requires finite scores; see why the run diverged"
            )
        return score

    def run(self, directory: Path) -> None:
        """Train, and write the score; what a kill has interrupted begins anew."""
        from samnesia.train.log import RESULT, environment, write_json

        start = time.perf_counter()
        score = self.score()
        seconds = time.perf_counter() - start
        content = {SCORE: score, "seconds": seconds, "settings": self.settings, "environment": environment()}
        write_json(directory / RESULT, content)

    def read(self, directory: Path) -> Outcome:
        """Read the score; raises ConfigurationError when the file is damaged, or of a function that has changed."""
        from samnesia.train.log import RESULT
        from samnesia.train.plain import differences

        try:
            plain = json.loads((directory / RESULT).read_text(encoding="utf-8"))
            there, values = dict(plain["settings"]), {SCORE: float(plain[SCORE])}
            found = Outcome(values, seconds=float(plain["seconds"]), environment=dict(plain["environment"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"cannot read {directory / RESULT}, because it does not hold the score of a run ({error}); remove the "
                "directory and run the same call again"
            ) from None
        if changed := differences(there, json.loads(json.dumps(self.settings))):
            raise ConfigurationError(
                f"cannot use the score in {directory}, because it was run with other settings ({'; '.join(changed)}); "
                "use another out, or the function of the first run"
            )
        return found

    def done(self, directory: Path) -> float:
        """0: how far a call is, nobody knows."""
        return 0.0


def described(function: Any) -> Any:
    """What is called, as plain JSON values that change when its code or its bound arguments do.

    A function is its name and a digest of the code in its file that it depends on; a partial, its function and its
    arguments. Of a lambda, or of a function inside another one, the digest is of its own lines alone.
    """
    if isinstance(function, functools.partial):
        keywords = {name: _value(value) for name, value in function.keywords.items()}
        return {"partial": described(function.func), "arguments": _value(function.args), "keywords": keywords}
    try:
        source = Source.of(function).with_digest()
    except ConfigurationError:
        name = f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', type(function).__qualname__)}"
        return name + _own_lines(function)
    return source.name + (f"@{source.digest}" if source.digest else "")


def name_of(function: Any) -> str:
    """The name of a function, or of the one that a partial calls."""
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


def _own_lines(function: Any) -> str:
    try:
        text = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        return ""
    return f"@{hashlib.sha256(text.encode()).hexdigest()[:DIGITS]}"


def _value(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_value(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _value(item) for key, item in value.items()}
    return described(value) if callable(value) else f"a {type(value).__module__}.{type(value).__qualname__}"


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    import numpy as np
    import torch

    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):  # named, or it warns of several
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
