"""Names that were meant: methods are called otherwise in Python than on the command line, and elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches


def meant(name: str, known: Iterable[str]) -> str | None:
    """The known name that is nearest: of the same words in any order, of these and others, or of like letters.

    ::

        >>> meant("late_sam", ["sam", "sam-late", "sam-interval"])
        'sam-late'
        >>> meant("lookahed", ["lookahead", "lookbehind"])
        'lookahead'
    """
    by_words = {one: _words(one) for one in known}
    words = _words(name)
    if found := [one for one, its in by_words.items() if words and words <= its]:
        return min(found, key=lambda one: len(by_words[one]))
    plain = {"-".join(re.findall(r"\w+", one.lower().replace("_", "-"))): one for one in reversed(by_words)}
    close = get_close_matches(name.lower().replace("_", "-"), plain, n=1, cutoff=0.6)
    return plain[close[0]] if close else None


def preset_advice(name: str, known: Iterable[str]) -> str:
    """What to write for an unknown public name in Python, as the end of a sentence; empty where nothing is near."""
    if name.startswith("_"):
        return ""
    known = list(known)
    base, _, variant = name.replace("-", "_").rpartition("_")
    if variant in _VARIANTS and base in known:
        return f"; write samnesia.{base}(..., {_VARIANTS[variant]})"
    if name.replace("-", "_") in _OF_TORCH:
        return f"; PyTorch has it: {_OF_TORCH[name.replace('-', '_')]}"
    found = meant(_OTHERWISE.get(name, name), known)
    return f"; did you mean {found!r}?" if found else ""


_VARIANTS = {"steps": "steps=2", "obf": "objective=samnesia.OutputBiasForgetting()"}
_OTHERWISE = {"sgd": "unperturbed"}
_OF_TORCH = {
    "ema": "torch.optim.swa_utils.AveragedModel",
    "swa": "torch.optim.swa_utils.AveragedModel",
    "smoothing": "F.cross_entropy(label_smoothing=0.1)",
    "label_smoothing": "F.cross_entropy(label_smoothing=0.1)",
}


def _words(name: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", name.lower()))
