"""Exact evaluation: every sample of a split counts once, on however many processes and in whatever batches."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from samnesia.data.loader import evaluation_loader
from samnesia.data.problem import Batch, Problem, SecondLabel, Split
from samnesia.perturb.errors import ConfigurationError, SamnesiaError
from samnesia.train import randomness
from samnesia.train.config import RunConfig
from samnesia.train.engine import Engine
from samnesia.train.log import Row
from samnesia.train.measures import Criterion, MeanOfSamples, hits


class Evaluator:
    """The figures of a problem's splits, without augmentation."""

    def __init__(self, config: RunConfig, engine: Engine, problem: Problem) -> None:
        self._config, self._engine = config, engine
        self._num_outputs = problem.num_outputs
        self._measures = config.loss.measures(problem.num_outputs)
        splits = {"train": problem.train, "validation": problem.validation, "test": problem.test}
        if not config.evaluation.train and problem.judged_on != "train":
            del splits["train"]
        self._splits: dict[str, Split] = {name: split for name, split in splits.items() if split is not None}
        self._seconds = {name: _second_labels(name, split) for name, split in self._splits.items()}
        self._check_names()

    @torch.no_grad()
    def rehearse(self, module: nn.Module, criterion: Criterion, split: Split) -> None:
        """Try model, loss and measures on two samples, before anything is written or trained.

        Raises:
            ConfigurationError: if they do not fit each other or the data.
        """
        inputs, targets = self._engine.move(split.batch(range(min(2, len(split)))))
        if not len(targets):
            return
        module.eval()
        before, what = randomness.torch_state(), "the model"
        try:
            output = self._engine.predict(module, inputs)
            classes = self._num_outputs if targets.dtype == torch.int64 and targets.ndim == 1 else 0
            if output.ndim == 2 and output.shape[1] < classes:
                raise ValueError(f"it gives {output.shape[1]} outputs for {classes} classes")
            what = "the loss"
            loss = criterion(output, targets)
            if loss.numel() != 1:
                raise ValueError(f"it gives {tuple(loss.shape)} numbers where training needs one")
            for name, measure in self._measures.items():
                what = f"the measure {name}"
                self._on_device(measure.build()).update(output, targets)
        except SamnesiaError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ConfigurationError(
                f"cannot train with this model, loss and data, because on two samples {what} fails: {reason}; see that "
                "what the model takes and gives has the shape of the data's inputs and targets"
            ) from error
        finally:
            randomness.restore_torch(before)
            self._engine.settle(module)

    @torch.no_grad()
    def row(self, module: nn.Module) -> Row:
        """Return the figures by name; None where one does not exist or is not finite."""
        module.eval()
        self._engine.agree_on_buffers(module)
        row: Row = {}
        for name, split in self._splits.items():
            row |= self._figures(module, name, split)
        self._engine.settle(module)
        return row

    def _figures(self, module: nn.Module, name: str, split: Split) -> Row:
        metrics = {f"{name}_{key}": self._on_device(measure.build()) for key, measure in self._measures.items()}
        figures = [figure for second in self._seconds[name] for figure in second.figures]
        shares = {figure: self._on_device(MeanOfSamples(hits(1), 100.0)) for figure in figures}
        for (inputs, targets), indices in self._batches(split):
            output = self._engine.predict(module, inputs)
            for metric in metrics.values() if indices else ():
                metric.update(output, targets)
            for second in self._seconds[name] if indices else ():
                for figure, members, classes in second.shares(targets, indices):
                    shares[figure].update(output[members], classes[members])
        row: Row = dict.fromkeys(_FLIPPED) if name == "train" else {}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The ``compute`` method")  # a rank without samples has its share of sums
            return row | {key: _number(metric.compute()) for key, metric in (metrics | shares).items()}

    def _check_names(self) -> None:
        names = [f"{name}_{key}" for name in self._splits for key in self._measures]
        names += [figure for seconds in self._seconds.values() for second in seconds for figure in second.figures]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ConfigurationError(
                f"cannot measure {', '.join(sorted(twice))} by a second label, because a figure requires a name of its "
                "own, and this one is taken; use another name"
            )

    def _on_device(self, metric: Metric) -> Metric:
        moved: Metric = metric.to(self._engine.device)
        return moved

    def _batches(self, split: Split) -> Iterator[tuple[Batch, list[int]]]:
        """This rank's batches on its device, as many on every rank: those beyond its samples have no indices.

        A model in parts needs all ranks in every forward.
        """
        engine, size = self._engine, self._config.evaluation.batch_size
        most = math.ceil(math.ceil(len(split) / engine.ranks) / size)
        loader = evaluation_loader(
            split,
            batch=size,
            rank=engine.rank,
            ranks=engine.ranks,
            workers=self._config.hardware.workers,
            pin=engine.device.type == "cuda",
        )
        count = 0
        for batch, indices in loader:
            yield engine.move(batch), indices
            count += 1
        for _ in range(most - count):
            yield engine.move(split.batch([0])), []


_FLIPPED = ("flipped_fitted", "flipped_recovered")
"""In every row on training samples; None where their labels are not known to be partly wrong."""


def _second_labels(name: str, split: Split) -> tuple[SecondLabel, ...]:
    """The split's own, and the true classes where training sees wrong ones."""
    if name != "train" or split.clean_labels is None:
        return split.second_labels
    fitted, recovered = _FLIPPED
    return (SecondLabel(split.clean_labels, followed=recovered, resisted=fitted), *split.second_labels)


def _number(value: Tensor) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
