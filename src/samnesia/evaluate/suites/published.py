"""Errors on published corrupted images: ImageNet-C, CIFAR-10-C, CIFAR-100-C."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from samnesia.evaluate.suites.corruptions import Corruptions, Known
from samnesia.examine.parts.part import Entry, Values
from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from samnesia.evaluate.corruptions import CorruptionErrors
    from samnesia.evaluate.published import Corrupted
    from samnesia.examine.bench import Bench
    from samnesia.examine.chosen import Place
    from samnesia.train.loaded import Loaded


@dataclass(frozen=True)
class Published(Corruptions):
    """Published corrupted images: the files of ImageNet-C, or the arrays of CIFAR-10-C and CIFAR-100-C."""

    families: tuple[str, ...] = ()
    """Which corruptions, by name; none is the 15 of the mean corruption error, without the four of ``extra``."""
    baseline: str | None = None
    """Run that corruption errors are relative to, or group of runs; None is AlexNet, on the whole of ImageNet-C."""
    imagenet_c: str | None = None
    """ImageNet-C: folder of the corruptions, or of noise, blur, weather, digital and extra."""
    cifar_c: str | None = None
    """CIFAR-10-C or CIFAR-100-C: folder of the arrays."""
    classes: str | None = None
    """JSON or CSV file with class numbers of folders, beside those known by the names of the folders trained on."""
    missing: Literal["stop", "skip"] = "stop"
    """What happens where a set is incomplete: nothing of the suite is evaluated, or what is there of it."""
    damaged: Literal["stop", "skip"] = "stop"
    """What happens at images that cannot be decoded: nothing of the suite is evaluated, or they are left out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.imagenet_c is None or self.cifar_c is None,
            "cannot evaluate on ImageNet-C and CIFAR-C together, because a model has the classes of one of them; set "
            "either imagenet_c or cifar_c",
        )

    @property
    def name(self) -> str:
        """On the command line."""
        return "published"

    def against(self, loaded: Loaded) -> str | None:
        """It needs a data set, and a model of images in files."""
        from samnesia.evaluate.shifts import unseen

        named = self.imagenet_c or self.cifar_c
        return unseen(loaded) or (None if named else "no data set is named, such as --published.imagenet-c FOLDER")

    def _compared(self, bench: Bench, *, place: Place, bases: Sequence[Place], known: Known) -> Values:
        from samnesia.data.published.classes import IMAGENET
        from samnesia.evaluate.corruptions import ALEXNET
        from samnesia.evaluate.published import PublishedErrors

        values = super()._compared(bench, place=place, bases=bases, known=known)
        of_imagenet = self.imagenet_c is not None and bench.loaded(place).problem.num_outputs == IMAGENET
        if of_imagenet and not bases and PublishedErrors.from_dict(values).whole:
            values["baseline"] = ALEXNET.as_dict()
        return values

    def _errors(self, bench: Bench, place: Place, loaded: Loaded, known: Known) -> CorruptionErrors:
        from samnesia.evaluate.predictions import sampled_by
        from samnesia.evaluate.published import published_errors

        if (digest := place.digest) not in known:
            known[digest] = published_errors(
                loaded,
                self._open(loaded),
                sampled_by(bench.look),
                severities=self.severities,
                skip_damaged=self.damaged == "skip",
                progress=bench.progress,
            )
        return known[digest]

    def _open(self, loaded: Loaded) -> Corrupted:
        from samnesia.data.corruptions import MAIN
        from samnesia.data.published.cifar_c import open_cifar_c
        from samnesia.data.published.classes import classes_of
        from samnesia.data.published.imagenet_c import open_imagenet_c

        families, severities, skip = self.families or MAIN, self.severities, self.missing == "skip"
        if self.imagenet_c is not None:
            classes = classes_of(loaded.problem, self.classes)
            return open_imagenet_c(self.imagenet_c, classes, corruptions=families, severities=severities, skip=skip)
        assert self.cifar_c is not None  # else the suite does not apply
        outputs = loaded.problem.num_outputs
        return open_cifar_c(self.cifar_c, outputs, corruptions=families, severities=severities, skip=skip)

    def notes(self, values: Values) -> Iterator[str]:
        """What was left out."""
        from samnesia.data.published.labelled import some

        yield from super().notes(values)
        if values["missing"]:
            yield f"the set is incomplete: {some(values['missing'])} missing"
        if values["damaged"]:
            yield f"{values['damaged']} damaged images are left out"

    def captions(self) -> Mapping[str, str]:
        """How to read the figures."""
        return {f"published-{name}": caption for name, caption in super().captions().items()}

    def figures(self, entries: Sequence[Entry]) -> Iterator[tuple[str, Figure]]:
        """As of images that are corrupted here, under names of their own."""
        for name, figure in super().figures(entries):
            yield f"published-{name}", figure
