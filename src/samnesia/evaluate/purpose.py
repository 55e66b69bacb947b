"""``samnesia evaluate`` as a purpose of the engine that ``samnesia measure`` runs on."""

from __future__ import annotations

from samnesia.evaluate.bench import EvaluationBench
from samnesia.examine.purpose import Purpose

EVALUATING = Purpose(
    verb="evaluate",
    done="evaluated",
    doing="evaluating",
    results="evaluations",
    result="evaluate.json",
    rooms=(
        "evaluate",
        "adversaries",
        "measure",
        "perturb",
        "data",
        "train/loaded.py",
        "train/drawn.py",
        "train/measures.py",
    ),
    bench=EvaluationBench,
)
