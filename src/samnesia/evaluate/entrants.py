"""What is evaluated beside runs on their own data: runs on other data, and pretrained models of timm."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from samnesia.examine.chosen import Entrant, find_run
from samnesia.models.weights import find_weights, head_names, read_weights
from samnesia.perturb.errors import ConfigurationError
from samnesia.train import randomness
from samnesia.train.checkpoint import Position
from samnesia.train.config import Folder, Images, OwnData, RunConfig, Timm
from samnesia.train.loaded import Loaded, SavedRun, device_of

if TYPE_CHECKING:
    from samnesia.data.problem import Problem
    from samnesia.train.parts.data import Data

TIMM = "timm:"
_LOOKS = ("image_size", "mean", "std", "crop_pct", "interpolation")
"""How images look to a model, in the words of :class:`samnesia.train.config.Images`."""


@dataclass(frozen=True)
class Finder:
    """What a user's word means: a run, a checkpoint, or a pretrained model.

    Attributes:
        data: to evaluate on; None is the data of each run.
        weights: a file of weights for the model of timm that is named; None is timm's own.
    """

    data: Data | OwnData | None = None
    weights: Path | None = None

    def __call__(self, word: str | Path) -> tuple[Entrant, Position]:
        """The entrant and its checkpoint.

        Raises:
            ConfigurationError: if there is none, or it cannot be evaluated on these data.
        """
        text = str(word)
        if text.startswith(TIMM):
            if self.data is None:
                raise ConfigurationError(
                    f"cannot evaluate {text} without data, because it brings none; give --data DIR with a folder of "
                    "images per class, or other data by --data.kind"
                )
            model = Pretrained(text.removeprefix(TIMM), self.data, self.weights)
            return model, model.positions[0]
        run, position = find_run(text)
        if self.data is None:
            return run, position
        return Elsewhere(run.directory, self.data), position

    def check(self, words: tuple[str, ...]) -> None:
        """Raise ConfigurationError for weights without the one model that they are for."""
        named = [word for word in words if word.startswith(TIMM)]
        if self.weights is not None and len(named) != 1:
            raise ConfigurationError(
                f"cannot use --weights {self.weights} for {len(named)} models of timm, because they are those of one; "
                f"name it, as in {TIMM}resnet18"
            )


class Elsewhere(SavedRun):
    """A run whose checkpoints are evaluated on other data than it was trained on.

    Raises:
        ConfigurationError: for data of another kind.
    """

    def __init__(self, directory: Path, data: Data | OwnData) -> None:
        super().__init__(directory)
        self._trained = SavedRun(directory)
        self.config = replace(self.config, data=_alike(self.config.data, data, directory))

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of an epoch, when it was trained."""
        return self._trained.steps_per_epoch

    def load(self, position: Position, *, averaged: bool = False, device: str | torch.device | None = None) -> Loaded:
        """Read a checkpoint; raises ConfigurationError also where the data have other classes than the model."""
        problem = self.problem
        with randomness.isolated(self.config.seed):
            net = self.config.model.at_random().build(problem.shape, problem.num_outputs)
        check_classes(net, self._store.read(position).model, problem.num_outputs, str(self.directory))
        return super().load(position, averaged=averaged, device=device)


class Pretrained:
    """A model of timm with the weights that it comes with, or those of a file, as if it were a run.

    Images look as its pretrained configuration says: size, crop, interpolation, mean and standard deviation.

    Raises:
        ConfigurationError: for a name that timm does not know.
    """

    def __init__(self, name: str, data: Data | OwnData, weights: Path | None = None) -> None:
        from samnesia.models.zoo import pretrained_look

        look = pretrained_look(name)
        self.directory = Path(f"{TIMM}{name}")
        file = None if weights is None else str(weights)
        seen = _with_look(data, look) if isinstance(data, Images) else data
        model = Timm(name=name, pretrained=file is None, weights=file)
        self.config = RunConfig(str(self.directory), seen, model, drop_last=False)
        self.positions: tuple[Position, ...] = (Position(0),)
        self.steps_per_epoch = 1

    def stage(self, position: Position) -> str:
        """In words."""
        return "pretrained"

    @cached_property
    def problem(self) -> Problem:
        """The data."""
        with randomness.isolated(self.config.seed):
            return self.config.data.load(self.config.seed)

    @cached_property
    def model(self) -> nn.Module:
        """The model with its weights."""
        from samnesia.models.zoo import pretrained_classes

        problem, model, name = self.problem, self.config.model, str(self.directory)
        with randomness.isolated(self.config.seed):
            net = model.at_random().build(problem.shape, problem.num_outputs)
            file = getattr(model, "weights", None)
            if file is not None:
                check_classes(net, read_weights(find_weights(file)), problem.num_outputs, f"{name} with {file}")
            else:
                _check_count(pretrained_classes(net), problem.num_outputs, name)
            return model.build(problem.shape, problem.num_outputs)

    def digest(self, position: Position, *, averaged: bool = False) -> str:
        """What stands for weights and configuration."""
        found = hashlib.sha256(json.dumps(self.config.to_json(), sort_keys=True).encode())
        for name, value in self.model.state_dict().items():
            found.update(name.encode())
            found.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return found.hexdigest()

    def load(self, position: Position, *, averaged: bool = False, device: str | torch.device | None = None) -> Loaded:
        """The model, ready to be looked at."""
        if averaged:
            raise ConfigurationError(
                f"cannot take the average of the weights of {self.directory}, because it comes with one set of them; "
                "leave --average out"
            )
        model = self.model.eval().to(device_of(device))
        criterion, digest = self.config.loss.of_evaluation(), self.digest(position)
        return Loaded(self.directory, position, self.config, model, criterion, self.problem, False, digest)


def image_folder(path: Path) -> Images:
    """The data in a directory of images: of splits (``train``, ``val``, ``test``), or of classes.

    Raises:
        ConfigurationError: if it is no directory.
    """
    if not path.is_dir():
        raise ConfigurationError(
            f"cannot find the data {path}, because there is no such directory; name one with a folder of images per "
            "class, or a kind of data: --data.kind Digits"
        )
    held_out = next((name for name in ("val", "test", "validation") if (path / name).is_dir()), ".")
    train = "train" if held_out != "." and (path / "train").is_dir() else held_out
    return Images(source=Folder(str(path), train=train, test=held_out))


def check_classes(net: nn.Module, weights: Mapping[str, Tensor], classes: int, what: str) -> None:
    """Raise ConfigurationError if weights are of a model for another number of classes than the data have.

    Args:
        net: the model, built for the data.
        weights: of the one that is evaluated, by the same names.
        classes: of the data.
        what: is evaluated.
    """
    ours = net.state_dict()
    for head in head_names(net):
        for part in ("weight", "bias"):
            name = f"{head}.{part}"
            if name in weights and name in ours:
                _check_count(len(weights[name]) * classes // len(ours[name]), classes, what)


def _check_count(known: int | None, classes: int, what: str) -> None:
    if known is not None and known != classes:
        raise ConfigurationError(
            f"cannot evaluate {what} on these data, because its model tells {known} classes apart, and the data have "
            f"{classes}; give data of the same classes, or a model for these"
        )


def _alike(own: object, other: Data | OwnData, directory: Path) -> Data | OwnData:
    """The other data, as a model sees them that was trained on its own."""
    if isinstance(own, Images) and isinstance(other, Images):
        return _with_look(other, {name: getattr(own, name) for name in _LOOKS})
    if type(own) is not type(other) and not isinstance(other, OwnData) and not isinstance(own, OwnData):
        raise ConfigurationError(
            f"cannot evaluate {directory} on {type(other).__name__}, because it was trained on {type(own).__name__}, "
            f"which look otherwise; give data of that kind: --data.kind {type(own).__name__}"
        )
    return other


def _with_look(data: Images, look: Mapping[str, Any]) -> Images:
    """Images that look so, but for what the user has said."""
    default = Images()
    silent = {name: value for name, value in look.items() if getattr(data, name) == getattr(default, name)}
    return replace(data, **silent)
