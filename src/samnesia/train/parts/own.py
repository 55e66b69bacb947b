"""A user's own data, model and loss: functions of a Python file, named as ``FILE.py:function``.

A function may be given itself as well; it is written down by its file and its name, with a digest of its code behind an
``@``. A configuration read from a file is refused when the code is no longer that of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samnesia.sources import Source, written
from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    from torch import nn

    from samnesia.data.problem import Problem
    from samnesia.measure.calibration.links import Link
    from samnesia.train.measures import Criterion, Measure

    Function = str | Callable[..., Any]


@dataclass(frozen=True)
class OwnData:
    """Data of your own."""

    function: str
    """FILE.py:function, called with the seed; returns a Problem, or data sets (train, validation, test)."""
    num_outputs: int | None = None
    """Outputs of the model per sample; None is as the Problem says."""

    if TYPE_CHECKING:

        def __init__(self, function: Function, num_outputs: int | None = None) -> None: ...

    def __post_init__(self) -> None:
        _write(self, "function", what="data", example="my_data.py:load")
        require(
            self.num_outputs is None or self.num_outputs >= 1,
            f"cannot train a model of {self.num_outputs} outputs, because it must have 1 or more; change num_outputs",
        )

    def load(self, seed: int) -> Problem:
        """Return the splits of this seed.

        Raises:
            ConfigurationError: when the function is not there, its code is not the one of the configuration, it raises,
                or returns something else than data.
        """
        from samnesia.data.datasets import as_problem

        source = Source.parse(self.function)
        found = source.call(seed, what="load data")
        return as_problem(found, seed=seed, num_outputs=self.num_outputs, where=source.name)


@dataclass(frozen=True)
class OwnModel:
    """A model of your own."""

    function: str
    """FILE.py:function, called with the shape of one input and the number of outputs; returns a module."""

    if TYPE_CHECKING:

        def __init__(self, function: Function) -> None: ...

    def __post_init__(self) -> None:
        _write(self, "function", what="a model", example="my_model.py:net")

    def build(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Return the model; raises ConfigurationError when the function is not there, raises, or returns no module."""
        from torch import nn

        source = Source.parse(self.function)
        model = source.call(shape, num_outputs, what="build a model")
        require(
            isinstance(model, nn.Module),
            f"cannot train the {type(model).__name__} that {source.name} returned, because a model is a "
            "torch.nn.Module; return one",
        )
        built: nn.Module = model
        return built

    def at_random(self) -> OwnModel:
        """Return the same: what it starts from is the function's business."""
        return self


@dataclass(frozen=True)
class OwnLoss:
    """A loss of your own, and what the run is judged by."""

    function: str
    """FILE.py:function, called with output and target; returns the mean loss over the samples."""
    measure: str | None = None
    """FILE.py:function, called with nothing; returns a torchmetrics.Metric. None judges the run by its loss."""
    name: str = "score"
    """Name of the measure, as in test_score."""
    unit: str = ""
    """Unit of the measure, for people; % is a share of 0 to 100."""
    higher_is_better: bool = True
    """Whether a larger value of the measure is better."""

    if TYPE_CHECKING:

        def __init__(
            self,
            function: Function,
            measure: Function | None = None,
            name: str = "score",
            unit: str = "",
            higher_is_better: bool = True,
        ) -> None: ...

    def __post_init__(self) -> None:
        _write(self, "function", what="a criterion", example="my_loss.py:huber")
        if self.measure is not None:
            _write(self, "measure", what="a measure", example="my_loss.py:rmse")
        require(
            self.name.isidentifier() and self.name != "loss",
            f"cannot name a measure {self.name!r}, because its name becomes that of a column, and the loss has one "
            "already; use letters, digits and _",
        )

    def criterion(self) -> Criterion:
        """Return (output, target) -> scalar; raises ConfigurationError when the function is not there."""
        function: Criterion = Source.parse(self.function).load(what="compute a loss")
        return function

    def of_samples(self) -> None:
        """Return None: of a loss of your own, only the mean over a batch is known."""

    def of_evaluation(self) -> Criterion:
        """Return the same: what of it is for training only is not known."""
        return self.criterion()

    def link(self) -> Link:
        """Return how the outputs of a classifier become probabilities: by the softmax, as far as is known."""
        from samnesia.measure.calibration.links import Softmax

        return Softmax()

    def measures(self, num_outputs: int) -> Mapping[str, Measure]:
        """Return what evaluation reports, by name: the measure, if there is one, and the loss.

        The loss is the mean over batches weighted by their samples: exact for a criterion that is a mean over samples.
        """
        from samnesia.train.measures import MeanOfSamples, Measure

        criterion = self.criterion()

        def of_samples(output: Any, target: Any) -> Any:
            return criterion(output, target).detach().expand(len(target))

        loss = {"loss": Measure(lambda: MeanOfSamples(of_samples), higher_is_better=False)}
        if self.measure is None:
            return loss
        source = Source.parse(self.measure)
        build = source.load(what="measure a run")
        return {self.name: Measure(build, self.unit, self.higher_is_better), **loss}


def _write(part: OwnData | OwnModel | OwnLoss, field: str, *, what: str, example: str) -> None:
    object.__setattr__(part, field, written(getattr(part, field), what=what, example=example))
