"""What a method of a run is called: on the command line, in recipes and results, and in Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from samnesia.names import meant
from samnesia.train.parts.cheaper import IntervalSAM, LateSAM
from samnesia.train.parts.methods import METHODS

_SCHEDULED: dict[type, str] = {IntervalSAM: "interval_sam", LateSAM: "late_sam"}
"""SAM with a schedule: a preset of its own in Python, and a window of the run here."""
_VARIANTS = {
    "steps": ("steps", "--method.steps 2"),
    "obf": ("objective", "--method.objective.kind OutputBias"),
}
_NO_METHODS = {
    "ema": "--average.kind EMA",
    "swa": "--average.kind SWA",
    "smoothing": "--loss.smoothing 0.1",
    "label-smoothing": "--loss.smoothing 0.1",
}


def preset_name(name: str) -> str:
    """The preset of :mod:`samnesia` that ``--method NAME`` trains by: ``late_sam`` of ``sam-late``."""
    kind = METHODS[name]
    return _SCHEDULED.get(kind, kind.preset)


def advice_on_method(name: str) -> str:
    """What to write in place of ``--method NAME`` where there is no such method, as the end of a sentence."""
    plain = name.replace("_", "-")
    if plain in _NO_METHODS:
        return f"it is no perturbation: give {_NO_METHODS[plain]}, beside any method"
    base, _, variant = plain.rpartition("-")
    if base in METHODS and variant in _VARIANTS:
        field, option = _VARIANTS[variant]
        if field in {one.name for one in fields(METHODS[base])}:
            return f"give --method {base} {option}"
    return nearest_method(name, list(METHODS))


def nearest_method(name: str, known: Sequence[str]) -> str:
    """Advice that names the known method nearest to a name, which may be that of a preset in Python."""
    presets = {preset_name(one): one for one in reversed(METHODS) if one in known}
    found = presets.get(name.replace("-", "_")) or meant(name, known)
    if not found and (preset := meant(name, presets)):
        found = presets[preset]
    return f"did you mean {found!r}?" if found else f"known are {', '.join(known)}"
