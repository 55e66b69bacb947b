"""Accuracy on test images that are disturbed: noise, blur, a shift, and less contrast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from samnesia.train.loaded import Loaded

    Images = NDArray[np.float32]


def noise(images: Images, size: float, seed: int) -> Images:
    """Gaussian noise of this standard deviation; inputs are standardised, so that 1 is as large as the image."""
    import numpy as np

    drawn = np.random.default_rng(seed).standard_normal(images.shape)
    disturbed: Images = (images + size * drawn).astype(np.float32)
    return disturbed


def blur(images: Images, size: float, seed: int) -> Images:
    """A Gaussian blur of this standard deviation in pixels."""
    from scipy.ndimage import gaussian_filter

    blurred: Images = gaussian_filter(images, (0.0, 0.0, size, size), mode="nearest")
    return blurred


def shift(images: Images, size: float, seed: int) -> Images:
    """A shift by so many pixels to the right and down, interpolated; what comes in repeats the edge."""
    from scipy.ndimage import shift as shifted

    moved: Images = shifted(images, (0.0, 0.0, size, size), order=1, mode="nearest")
    return moved


def contrast(images: Images, size: float, seed: int) -> Images:
    """Differences to each image's mean, times this."""
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    weak: Images = mean + size * (images - mean)
    return weak


KINDS: dict[str, Callable[[Images, float, int], Images]] = {
    "noise": noise,
    "blur": blur,
    "shift": shift,
    "contrast": contrast,
}


@dataclass(frozen=True)
class Disturbances:
    """How strongly test images are disturbed, in several strengths of each kind.

    Values: ``robust.noise`` and so on, the accuracy in percent as a mean over the strengths, and ``robust.mean``, that
    of the kinds.
    """

    noise: tuple[float, ...]
    """Standard deviations, in units of standardised inputs."""
    blur: tuple[float, ...]
    """Standard deviations in pixels."""
    shift: tuple[float, ...]
    """Pixels."""
    contrast: tuple[float, ...]
    """Factors, 1 is as it was."""

    def of(self, loaded: Loaded) -> dict[str, float | None]:
        """The accuracy of a run's final weights on its disturbed test images; the noise is the same for all runs."""
        import torch
        from torchmetrics.functional import accuracy

        found: dict[str, float | None] = {}
        batches = list(loaded.samples("test"))
        classes = loaded.problem.num_outputs
        targets = torch.cat([batch[1] for batch in batches])
        for kind, disturb in KINDS.items():
            shares = []
            for size in getattr(self, kind):
                outputs = []
                for number, (inputs, _) in enumerate(batches):
                    disturbed = torch.from_numpy(disturb(inputs.cpu().numpy(), size, number)).to(inputs)
                    with torch.no_grad():
                        outputs.append(loaded.model(disturbed))
                share = accuracy(torch.cat(outputs), targets, task="multiclass", num_classes=classes)
                shares.append(100.0 * float(share))
            found[f"robust.{kind}"] = sum(shares) / len(shares)
        found["robust.mean"] = sum(value for value in found.values() if value is not None) / len(KINDS)
        return found
