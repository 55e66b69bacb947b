"""What is measured on one step: the model at its weights, some of its data, and the perturbations of that moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor

from samnesia.data.problem import Batch
from samnesia.measure.calibration.links import Link
from samnesia.measure.forgetting.probes import (
    CommonProbe,
    NormMatched,
    OtherBatch,
    PermutedLabels,
    Perturbation,
    Probe,
    RiseMatched,
)
from samnesia.measure.forgetting.probing import HeldOut, probe_forgetting
from samnesia.measure.forgetting.result import BATCH, RUNNING
from samnesia.measure.sharpness.micro import m_sharpness
from samnesia.measure.statistics import BatchStatistics, RunningStatistics, Statistics, normalizers
from samnesia.measure.subject import Subject
from samnesia.perturb.flow.criteria import Pass


@dataclass(frozen=True)
class Scene:
    """What all measures of a step look at."""

    subject: Subject
    """Training data in batches of m, as training sees them in this epoch, without mixing."""
    own: Probe | None
    """The perturbation that the method makes on this step; None where it makes none."""
    m: int
    """Samples of a perturbation."""
    perturbations: int
    """How many of the batches perturb."""
    held_out: HeldOut | None
    groups: dict[str, Tensor]
    others: dict[str, Tensor]
    link: Link
    parts: int | None
    """Most samples in a forward with a backward."""
    each_pass: Callable[[Pass], None]
    """What training does at the start of each pass."""

    def common(self, rho: float) -> Probe:
        """SAM's perturbation of this radius."""
        return CommonProbe(rho=rho, parts=self.parts, each_pass=self.each_pass)

    def forgetting(self, probe: Probe) -> dict[str, Any]:
        """What is forgotten under a probe, as plain values."""
        return probe_forgetting(
            self.subject,
            probe,
            perturbations=self.perturbations,
            held_out=self.held_out,
            groups=self.groups,
            others=self.others,
            link=self.link,
        ).as_dict()

    def sharpness(self, rho: float) -> dict[str, Any]:
        """m-sharpness by running statistics and, where layers keep them, by those of each batch."""
        ways: dict[str, Statistics] = {RUNNING: RunningStatistics()}
        if normalizers(self.subject.model):
            ways[BATCH] = BatchStatistics()
        values = {}
        for name, way in ways.items():
            values[name] = m_sharpness(self.subject.with_statistics(way), rho, self.m).rise.as_dict()
        return {"values": values, "rho": rho, "m": self.m}


@final
@dataclass(frozen=True)
class AsTrained(Probe):
    """A probe that is given other batches than those that are looked at: mixed ones, as training sees them."""

    probe: Probe
    batches: Sequence[Batch]
    """In place of those that perturb, in their order."""

    def perturbation(self, subject: Subject, batches: Sequence[Batch], index: int) -> Perturbation:
        """That of the probe on its own batches."""
        return self.probe.perturbation(subject, self.batches, index)

    def source(self, index: int, count: int) -> int:
        """That of the probe."""
        return self.probe.source(index, count)

    def __str__(self) -> str:
        """After the probe."""
        return f"{self.probe}, of mixed samples"


def nulls(own: Probe) -> dict[str, Probe]:
    """Against what the forgetting of an own perturbation has to hold its own, by name.

    Of mixed samples, whose targets are no labels of a batch, none are permuted.
    """
    noise = NormMatched(own)
    found: dict[str, Probe] = {"norm_matched": noise, "rise_matched": RiseMatched(noise, own)}
    if not isinstance(own, AsTrained):
        found["permuted_labels"] = PermutedLabels(own)
    return {**found, "other_batch": OtherBatch(own)}
