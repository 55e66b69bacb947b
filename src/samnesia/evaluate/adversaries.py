"""Accuracy and loss of a classifier under attack: FGSM and PGD, over several sizes of what may be changed.

A sample counts as right where the model is right of the image itself, and of the worst that an attack has found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from samnesia.adversaries import NORMS, Attack, Losses, blind, fgsm, pgd, worst
from samnesia.evaluate.predictions import Sampled, batches, seen, together
from samnesia.measure.estimate import Estimate
from samnesia.measure.estimate import plain as finite
from samnesia.perturb.errors import ConfigurationError, UnsupportedError
from samnesia.train.parts.losses import BinaryCrossEntropy, CrossEntropy

if TYPE_CHECKING:
    from samnesia.train.loaded import Loaded


@dataclass(frozen=True)
class Strength:
    """How hard PGD tries."""

    steps: int = 20
    """Steps, of 2.5 / steps of the radius each."""
    restarts: int = 1
    """Random starts, of which the worst counts for each sample."""


@dataclass(frozen=True)
class UnderAttack:
    """A classifier under an attack.

    Attributes:
        attack: fgsm or pgd.
        norm: in which changes are small: linf or l2.
        eps: their largest size, in pixels of 0 to 1.
        accuracy: share that is right of the image and of the attacked one, 0 to 1, with its standard error.
        loss: the mean of the attacked images, without smoothing; NaN where it is not finite.
    """

    attack: str
    norm: str
    eps: float
    accuracy: Estimate
    loss: float

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "accuracy": self.accuracy.as_dict(), "loss": finite(self.loss)}

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> UnderAttack:
        """What :meth:`as_dict` has written."""
        loss = float("nan") if written["loss"] is None else written["loss"]
        return cls(**{**written, "accuracy": Estimate.from_dict(written["accuracy"]), "loss": loss})


@dataclass(frozen=True)
class Robustness:
    """A classifier under attacks of several sizes.

    Attributes:
        split: whose samples.
        samples: how many.
        clean: share that is right without attack, 0 to 1.
        loss: the mean without attack.
        blind: share of the samples whose gradient is zero or not finite, so that attacks without random start see no
            way uphill.
        attacks: by norm and attack, in the order of sizes.
    """

    split: str
    samples: int
    clean: Estimate
    loss: float
    blind: float
    attacks: tuple[UnderAttack, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "split": self.split,
            "samples": self.samples,
            "clean": self.clean.as_dict(),
            "loss": finite(self.loss),
            "blind": self.blind,
            "attacks": [one.as_dict() for one in self.attacks],
        }

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Robustness:
        """What :meth:`as_dict` has written."""
        return cls(
            written["split"],
            written["samples"],
            Estimate.from_dict(written["clean"]),
            float("nan") if written["loss"] is None else written["loss"],
            written["blind"],
            tuple(map(UnderAttack.from_dict, written["attacks"])),
        )

    def of(self, norm: str, attack: str) -> list[UnderAttack]:
        """The attacks of a kind, by ascending size."""
        return sorted(
            (one for one in self.attacks if (one.norm, one.attack) == (norm, attack)), key=lambda one: one.eps
        )

    def doubts(self) -> Iterator[str]:
        """What speaks against taking the accuracies at their word, a sentence each.

        Signs of gradients that hide the way uphill are those of A. Athalye et al., ICML 2018: one step does better than
        several, more room makes an attack weaker, or there is no gradient.
        """
        if self.blind > BLIND:
            yield (
                f"of {100 * self.blind:.1f} % of the samples the gradient is zero: the model withstands attacks by "
                "gradients there because they see no way, not because there is none"
            )
        for norm in dict.fromkeys(one.norm for one in self.attacks):
            symbol = NORMS[norm].symbol
            several, one_step = self.of(norm, "pgd"), {one.eps: one for one in self.of(norm, "fgsm")}
            for near, far in zip(several, several[1:], strict=False):
                if far.accuracy.value > near.accuracy.value + SLACK:
                    yield (
                        f"accuracy under PGD in {symbol} rises from {near.eps:.3g} to {far.eps:.3g}: PGD takes too few "
                        "steps or starts there, or gradients hide the way"
                    )
            for one in several:
                if one.eps in one_step and one_step[one.eps].accuracy.value < one.accuracy.value - SLACK:
                    yield (
                        f"FGSM in {symbol} at {one.eps:.3g} finds more than PGD: PGD takes too few steps or starts, or "
                        "gradients hide the way"
                    )


BLIND = 0.05
"""Share of samples without a gradient above which it is said."""
SLACK = 0.01
"""By how much accuracies may be out of order, by the chance of starts."""


def robustness(
    loaded: Loaded,
    sampled: Sampled | None = None,
    *,
    radii: Mapping[str, Sequence[float]],
    strength: Strength | None = None,
    one_step: bool = True,
    seed: int = 0,
) -> Robustness:
    """Accuracy and loss under PGD, and FGSM beside it.

    The same on one process and on several, in batches of any size but for rounding; random starts are functions of seed
    and sample number.

    Args:
        loaded: the model and its data.
        sampled: which samples of which split; None is all of the test split.
        radii: by norm (linf, l2), the sizes of what may be changed, in pixels of 0 to 1.
        strength: of PGD.
        one_step: whether FGSM is tried as well.
        seed: of random starts.

    Raises:
        ConfigurationError: for data that are no images, and radii that are no sizes.
        UnsupportedError: for targets that are no classes.
    """
    sampled, strength = sampled or Sampled(), strength or Strength()
    tried = list(_attacks(radii, strength, one_step))
    found = together(_under(loaded, sampled, tried, strength.restarts, seed))
    right, loss = found.outputs[..., 0].double(), found.outputs[..., 1].double()
    # places of each row: the image itself, its blindness, then the attacks
    return Robustness(
        sampled.split,
        len(found),
        Estimate.of(right[:, 0].tolist()),
        float(loss[:, 0].mean()),
        float(right[:, 1].mean()),
        tuple(
            UnderAttack(name, attack.norm.name, attack.eps, Estimate.of(right[:, place].tolist()),
                        float(loss[:, place].mean()))
            for place, (name, attack) in enumerate(tried, start=2)
        ),
    )  # fmt: skip


def _attacks(radii: Mapping[str, Sequence[float]], strength: Strength, one_step: bool) -> Iterator[tuple[str, Attack]]:
    for norm, sizes in radii.items():
        if norm not in NORMS:
            raise ConfigurationError(
                f"cannot attack in the norm {norm!r}, because there is none; there are {', '.join(NORMS)}"
            )
        for eps in sizes:
            if one_step:
                yield "fgsm", fgsm(NORMS[norm], eps)
            yield "pgd", pgd(NORMS[norm], eps, steps=strength.steps)


def _under(
    loaded: Loaded, sampled: Sampled, tried: Sequence[tuple[str, Attack]], restarts: int, seed: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For this process's batches: whether samples are right and their loss ``[n, 2 + attacks, 2]``; targets; rows."""
    problem, source = loaded.problem, loaded.split(sampled.split)
    losses = _losses(loaded)
    for inputs, targets, rows in batches(loaded, sampled):
        numbers = rows.tolist()
        pixels = seen(problem.pixels(source, numbers), loaded)
        exposure = problem.exposure
        assert exposure is not None  # else there are no pixels
        with torch.no_grad():
            outputs = loaded.model(inputs)
        if targets.ndim != 1 or targets.is_floating_point() or outputs.ndim != 2:
            raise UnsupportedError(
                "cannot evaluate accuracy under attack, because the targets are no classes; leave the suite "
                "adversaries out"
            )
        clean = outputs.argmax(1) == targets
        sightless = blind(loaded.model, exposure, losses, pixels, targets)
        scores = [(clean, losses(outputs, targets)), (sightless, torch.zeros_like(sightless))]
        for _, attack in tried:
            one = worst(loaded.model, exposure, losses, pixels, targets, attack, numbers=numbers, seed=seed,
                        restarts=restarts)  # fmt: skip
            scores.append((clean & one.right, one.loss))
        both = [torch.stack([right.cpu().double(), loss.cpu().double()], dim=-1) for right, loss in scores]
        yield torch.stack(both, dim=1), targets, rows


def _losses(loaded: Loaded) -> Losses:
    """The loss of each sample without smoothing; of a loss of one's own, of which the mean is known, one by one."""
    match loaded.config.loss:
        case CrossEntropy() | BinaryCrossEntropy() as loss:
            return replace(loss, smoothing=0.0).of_samples()
        case _:
            criterion = loaded.criterion
            return lambda outputs, targets: torch.stack(
                [criterion(outputs[i : i + 1], targets[i : i + 1]) for i in range(len(targets))]
            )
