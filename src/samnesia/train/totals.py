"""What adds up over the steps of a run, and what it means for the result."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from samnesia.perturb.flow.report import StepReport
from samnesia.train.log import RunResult
from samnesia.train.parts.methods import Unperturbed


@dataclass
class Totals:
    """What accumulates over the steps of a run."""

    steps: int = 0
    skipped: int = 0
    perturbed: int = 0
    skipped_perturbed: int = 0
    gradient_evaluations: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def note(self, report: StepReport, *, finite: bool, scale: float, attacks: int = 0) -> None:
        """Take in what the method reports of a step; its gradients were multiplied with ``scale``.

        ``attacks`` are the gradient evaluations of adversarial training.
        """
        self.gradient_evaluations += attacks + report.gradient_evaluations // max(1, report.micro_batches)
        self._add("gradient_norm", None if report.gradient_norm is None else report.gradient_norm / scale)
        if report.perturbed:
            self.perturbed += 1
            self.skipped_perturbed += not finite
            self._add("perturbation_norm", report.perturbation_norm)
            self._add("cosine", report.cosine)
        if finite:
            self.steps += 1
        else:
            self.skipped += 1

    def mean(self, name: str) -> float | None:
        """Return the mean over the steps on which there was such a figure."""
        return self.sums[name] / self.counts[name] if name in self.sums else None

    def to_state(self) -> dict[str, Any]:
        """Return it as plain values."""
        return dataclasses.asdict(self)

    def _add(self, name: str, value: float | None) -> None:
        if value is not None and math.isfinite(value):
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1


def collapse(result: RunResult, num_outputs: int) -> str | None:
    """Return the sentence of the warning if the run learned nothing, None if it did."""
    attempted = result.steps + result.skipped_steps
    perturbed, lost = result.perturbed_steps or 0, result.skipped_perturbed_steps or 0
    chance, accuracy = 100.0 / num_outputs, result.last.get("train_accuracy", result.last.get(result.figure))
    classifies = result.judged_by["measure"] == "accuracy"
    learned = result.skipped_steps <= attempted / 2 and not (classifies and (accuracy or 0.0) <= 1.5 * chance)
    if learned and lost <= perturbed / 2:
        return None
    if learned:
        return (
            f"{result.recipe} (seed {result.seed}) trained mostly without its method: {lost} of {perturbed} perturbed "
            "steps were not finite and were skipped; lower rho"
        )
    parts = [f"training accuracy {accuracy or 0.0:.1f} % where chance is {chance:.1f} %"] if classifies else []
    if result.skipped_steps:
        parts.append(f"{result.skipped_steps} of {attempted} steps not finite")
    figures = ", ".join(parts)
    run = f"{result.recipe} (seed {result.seed}) " + ("ended near chance" if classifies else "trained on few steps")
    norm = result.report["perturbation_norm"]
    if isinstance(result.config.method, Unperturbed) or norm is None:
        return f"{run}: {figures}; lower the learning rate, or train longer"
    relative = f", {100 * norm / result.weight_norm:.0f} % of the weights'" if result.weight_norm else ""
    return (
        f"{run} with rho {result.config.method.rho:g} (mean length of the perturbation {norm:.3g}{relative}): "
        f"{figures}; lower rho, perturb from a later epoch on, or train longer"
    )
