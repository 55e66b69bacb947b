"""Does a perturbation forget the mark or the digit? Measured on test images, whose marks are dealt out at random.

Where the mark of an image speaks for another class than the image itself, a net has to choose. With the logits x, the
*lean* is ``x[mark] - x[digit]``, a mean over these images. A perturbation under which it falls takes more from what
the mark says than from what the digit says: it forgets the shortcut. One under which it rises forgets the signal.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from samnesia.perturb.errors import ConfigurationError
from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    from samnesia.measure.forgetting.probes import Probe
    from samnesia.measure.subject import Subject
    from samnesia.train.loaded import Loaded

NULLS = {"noise": "rise_matched", "permuted": "permuted_labels"}
"""Against which the own perturbation is held, by their names in the values and in records."""
EFFECTS = ("lean", "followed", "resisted", "rise_right", "rise_wrong")


@dataclass(frozen=True)
class OnMarks:
    """What the own perturbation of a run does to marks and digits, a mean over its checkpoints and several batches.

    Values, of the perturbation (``marks.own.NAME``) and of its nulls (``marks.noise``, of equal rise of the loss
    on the batch; ``marks.permuted``, of permuted labels):

    * ``lean``: its change, in nats of odds; above zero more is lost of the digit than of the mark;
    * ``followed``: change of the percentage of misleading marks that are followed;
    * ``resisted``: change of the percentage of the same images that are classified as the digit;
    * ``rise_right``, ``rise_wrong``: rise of the loss of the training images with right and with wrong marks.

    A run without a perturbation has zeros: nothing changes. ``marks.before`` is the lean of the net itself at the last
    checkpoint. Predictions are those of evaluation, by running statistics.
    """

    perturbations: int = 3
    """Training batches of the m of training that perturb, each by itself, at each checkpoint."""

    def __post_init__(self) -> None:
        require(
            self.perturbations >= 1,
            f"cannot look at marks with perturbations {self.perturbations}, because it must be 1 or more; change it",
        )

    def of(self, loaded: Loaded) -> tuple[dict[str, float | None], list[str]]:
        """The values of a run, by all of its checkpoints; a null that cannot be made at any is not there."""
        from samnesia.train.loaded import SavedRun

        run = SavedRun(loaded.directory)
        found: dict[str, list[float]] = {}
        for position in run.positions:
            for name, value in self._at(run.load(position)).items():
                found.setdefault(name, []).append(value)
        values: dict[str, float | None] = {name: sum(of) / len(of) for name, of in found.items()}
        return values | {"marks.before": found["marks.before"][-1]}, []

    def _at(self, loaded: Loaded) -> dict[str, float]:
        """Those of one checkpoint."""
        from samnesia.measure.forgetting.probes import CommonProbe
        from samnesia.train.record.scene import nulls

        own = loaded.perturbation()
        scene = _Scene.of(loaded, loaded.config.micro_batch or loaded.config.batch_size)
        found = {"marks.before": scene.looks()["lean"]}
        if own is None:
            return found | {f"marks.{kind}.{name}": 0.0 for kind in ("own", *NULLS) for name in EFFECTS}
        probe = CommonProbe(rho=own.rho, ball=own.ball, ascent=own.ascent, objective=own.objective)
        others = nulls(probe)
        probes: dict[str, Probe] = {"own": probe} | {kind: others[null] for kind, null in NULLS.items()}
        for kind, one in probes.items():
            with suppress(ConfigurationError):  # noise, where the loss does not rise
                effects = scene.effects(one, self.perturbations)
                found |= {f"marks.{kind}.{name}": value for name, value in effects.items()}
        return found


@dataclass(frozen=True, eq=False)
class _Scene:
    """A net, its training data in batches of m, and its test images."""

    loaded: Loaded
    subject: Subject

    @staticmethod
    def of(loaded: Loaded, m: int) -> _Scene:
        from samnesia.measure.subject import Subject

        samples = loaded.samples("train", batch_size=m)
        return _Scene(loaded, Subject(loaded.model, loaded.criterion, samples))

    def effects(self, probe: Probe, perturbations: int) -> dict[str, float]:
        """By how much what is looked at changes under a probe: a mean over batches."""
        from samnesia.measure.forgetting.probing import perturbing

        numbers = perturbing(self.subject.batch_sizes, perturbations)
        batches = [batch for i, batch in enumerate(self.subject.batches()) if i in numbers]
        before = self.looks()
        totals = dict.fromkeys(EFFECTS, 0.0)
        for index in range(perturbations):
            move = probe.perturbation(self.subject, batches, index)
            with self.subject.at(move):
                after = self.looks()
            totals = {name: total + (after[name] - before[name]) / perturbations for name, total in totals.items()}
        return totals

    def looks(self) -> dict[str, float]:
        """The lean, both percentages on misleading test marks, and the losses of training, as the weights stand."""
        import torch
        from torch.nn.functional import cross_entropy

        test, train = (self.loaded.split(name) for name in ("test", "train"))
        with self.subject.looking(), torch.no_grad():
            (x, y), (x_train, y_train) = (
                (self.loaded.model(images), labels)
                for images, labels in (split.batch(range(len(split))) for split in (test, train))
            )
        marks, marks_train = (split.second_labels[0].classes for split in (test, train))
        away = marks != y
        x, y, marks = x[away], y[away], marks[away]
        rows, predicted = torch.arange(len(x)), x.argmax(1)
        losses = cross_entropy(x_train, y_train, reduction="none")
        right = marks_train == y_train
        return {
            "lean": float((x[rows, marks] - x[rows, y]).mean()),
            "followed": 100.0 * float((predicted == marks).double().mean()),
            "resisted": 100.0 * float((predicted == y).double().mean()),
            "rise_right": float(losses[right].mean()),
            "rise_wrong": float(losses[~right].mean()),
        }
