"""Weights from a file into a model: what fits exactly, and a head that may be new."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from samnesia.extras import require
from samnesia.perturb.errors import ConfigurationError
from samnesia.perturb.modules import parameter_name

FILE = "model.safetensors"
_PICKLED = (".pt", ".pth")


def load_weights(net: nn.Module, path: str | Path, *, new_head: bool = False) -> None:
    """Load the weights at ``path`` into ``net``; every tensor must be there and fit, but for a new head.

    The learned position embedding of a vision transformer is interpolated (bicubic, by timm) to the grid of ``net``.

    Args:
        net: the model; with ``new_head`` its head stays as it is.
        path: a run directory (its last checkpoint), a directory with ``model.safetensors``, a ``.safetensors`` file, or
            a ``.pt`` or ``.pth`` file with a state dict (read with ``weights_only=True``).
        new_head: do not load the head (the last linear layer), whatever its size.

    Raises:
        ConfigurationError: for a file that is missing or cannot be read, a head of another number of classes without
            ``new_head``, and weights of another model, naming the first tensor that does not fit.
    """
    file = find_weights(path)
    theirs = read_weights(file)
    ours = net.state_dict()
    heads = tuple(f"{name}." for name in head_names(net))
    if new_head:
        ours = {name: tensor for name, tensor in ours.items() if not name.startswith(heads)}
        theirs = {name: tensor for name, tensor in theirs.items() if not name.startswith(heads)}
    theirs = _on_our_grid(net, theirs)
    _check_fit(ours, theirs, heads, file)
    net.load_state_dict({**net.state_dict(), **theirs})


def first_sentence(error: Exception) -> str:
    """Return what another library's error says first, without its full stop, to stand inside a sentence of ours."""
    return (str(error).splitlines() or [""])[0].partition(". ")[0].rstrip(".") or type(error).__name__


def head_names(net: nn.Module) -> list[str]:
    """Return the names of the layers that make the logits: timm's classifier, else the last linear layer."""
    classifier = getattr(net, "get_classifier", None)
    if classifier is None:
        return [name for name, module in net.named_modules() if isinstance(module, nn.Linear)][-1:]
    heads = classifier()
    heads = heads if isinstance(heads, tuple) else (heads,)
    return [name for name, module in net.named_modules() if any(module is head for head in heads)]


def find_weights(path: str | Path) -> Path:
    """Return the file that ``path`` means: itself, the one in it, or that of the last checkpoint of a run.

    Raises:
        ConfigurationError: if there is none.
    """
    path = Path(path)
    if path.is_file():
        return path
    checkpoints = [
        entry
        for entry in (path / "checkpoints").glob("*")
        if not entry.name.startswith(".") and (entry / FILE).is_file()
    ]
    if (path / FILE).is_file():
        return path / FILE
    if checkpoints:
        return max(checkpoints, key=_position) / FILE
    what = f"it holds no {FILE} and no checkpoints" if path.is_dir() else "there is no such file or directory"
    raise ConfigurationError(
        f"cannot start from the weights at {path}, because {what}; give a run directory, one of its checkpoints or a "
        ".safetensors file"
    )


def _position(checkpoint: Path) -> tuple[list[int], str]:
    """The numbers in ``epoch009-step000123``: epoch 1000 follows 999, though its name comes first in the alphabet."""
    return [int(digits) for digits in re.findall(r"\d+", checkpoint.name)], checkpoint.name


def read_weights(file: Path) -> dict[str, Tensor]:
    """Return the tensors of ``file`` by name, on the CPU, without the prefixes that wrappers add.

    Raises:
        ConfigurationError: if it cannot be read, or holds other things than tensors.
    """
    if file.suffix != ".safetensors" and file.suffix not in _PICKLED:
        raise ConfigurationError(
            f"cannot read weights from {file}, because only .safetensors, .pt and .pth files are known; save them with "
            "safetensors.torch.save_file(model.state_dict(), path)"
        )
    safetensors = require("safetensors.torch", extra="train")
    try:
        if file.suffix == ".safetensors":
            content = safetensors.load_file(file)
        else:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in as many ways as there are bytes
        raise ConfigurationError(
            f"cannot read weights from {file}, because it is damaged or holds other things than tensors "
            f"({first_sentence(error)}); copy it again or take an earlier checkpoint"
        ) from error
    for key in ("state_dict", "model"):  # where training scripts put the weights among other things
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ConfigurationError(
            f"cannot read weights from {file}, because it does not hold one tensor per name; save model.state_dict() "
            "alone"
        )
    return {parameter_name(name): tensor for name, tensor in content.items()}


def _on_our_grid(net: nn.Module, theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Interpolate the position embedding of a timm ViT trained on images of another size."""
    ours, embedding = getattr(net, "pos_embed", None), theirs.get("pos_embed")
    grid = getattr(getattr(net, "patch_embed", None), "grid_size", None)
    if ours is None or embedding is None or grid is None or embedding.ndim != 3 or ours.shape == embedding.shape:
        return theirs
    prefix = ours.shape[1] - math.prod(grid)  # class and register tokens that have a position
    patches = embedding.shape[1] - prefix
    if patches < 1 or math.isqrt(patches) ** 2 != patches or embedding.shape[2] != ours.shape[2]:
        return theirs
    layers = require("timm.layers", extra="vision")
    return {**theirs, "pos_embed": layers.resample_abs_pos_embed(embedding, list(grid), num_prefix_tokens=prefix)}


def _check_fit(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], heads: tuple[str, ...], file: Path) -> None:
    for name in [*ours, *sorted(theirs)]:
        mine, other = ours.get(name), theirs.get(name)
        if mine is not None and other is not None and mine.shape == other.shape:
            continue
        if mine is not None and other is not None and name.startswith(heads) and mine.shape[1:] == other.shape[1:]:
            raise ConfigurationError(
                f"cannot start from {file} with {len(mine)} classes, because its head has {len(other)}; set new_head "
                "to start with a new head"
            )
        if mine is None or other is None:
            here, there = ("has", "lack") if other is None else ("lacks", "hold")
            difference = f"this model {here} {name!r} and the weights {there} it"
        else:
            difference = f"{name!r} has shape {tuple(mine.shape)} here and {tuple(other.shape)} there"
        raise ConfigurationError(
            f"cannot start from {file}, because it is a checkpoint of another model: {difference}; configure the model "
            "that it was saved from, for inputs of the same size"
        )
