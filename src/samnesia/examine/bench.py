"""The bench: the checkpoint that is looked at, its samples, and how they are looked at."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from samnesia.train.parts.checks import require

if TYPE_CHECKING:
    from samnesia.examine.chosen import Place
    from samnesia.measure.progress import Progress
    from samnesia.measure.subject import Subject
    from samnesia.train.drawn import Drawn
    from samnesia.train.loaded import Loaded


_INDECISIVE = ("device", "threads", "workers")


@dataclass(frozen=True)
class Look:
    """What is looked at of each checkpoint, and how."""

    split: Literal["train", "validation", "test"] = "train"
    """The split whose samples are looked at."""
    samples: int | None = 1000
    """How many, drawn by --seed; None, or more than there are, takes all."""
    seed: int = 0
    """Which samples are drawn, and all else that is drawn."""
    batch_size: int = 100
    """Samples in a forward and backward. Errors over batches need several. By batch statistics, another size is another
    function."""
    batch_statistics: bool = False
    """Normalize by the statistics of each batch, as in training, and not by running ones."""
    device: str | None = None
    """cpu or cuda; None is a GPU where there is one."""
    threads: int | None = None
    """CPU threads of torch; None is as the first run was trained with."""
    workers: int | None = None
    """Processes that load data; None is as the run was trained with."""

    def __post_init__(self) -> None:
        for name, least in (("samples", 1), ("seed", 0), ("batch_size", 1), ("threads", 1), ("workers", 0)):
            value = getattr(self, name)
            require(
                value is None or value >= least,
                f"cannot look at runs with {name} {value}, because it must be {least} or more; change it",
            )

    @property
    def decisive(self) -> dict[str, Any]:
        """What of it decides the numbers, but for their last digits."""
        return {name: value for name, value in asdict(self).items() if name not in _INDECISIVE}


class Bench:
    """Holds one checkpoint at a time; the samples stay as long as the run is the same."""

    def __init__(self, look: Look, progress: Progress) -> None:
        self.look, self.progress = look, progress
        self._place: Place | None = None
        self._loaded: Loaded | None = None
        self._subject: Subject | None = None
        self._subjects: list[Subject] = []  # all of the checkpoint, for their passes
        self._drawn: dict[str, Drawn] = {}

    def loaded(self, place: Place) -> Loaded:
        """The checkpoint, read back."""
        if self._loaded is None or place is not self._place:
            if self._place is not None and self._place.run is not place.run:
                self._drawn.clear()
            self._place, self._loaded, self._subject, self._subjects = place, None, None, []
            self._loaded = self.another(place)
        return self._loaded

    def another(self, place: Place) -> Loaded:
        """A checkpoint beside the one on the bench."""
        loaded = place.run.load(place.position, averaged=place.averaged, device=self.look.device)
        if self.look.workers is None:
            return loaded
        hardware = replace(loaded.config.hardware, workers=self.look.workers)
        return replace(loaded, config=replace(loaded.config, hardware=hardware))

    def prepare(self, place: Place) -> None:
        """Put a checkpoint on the bench; raises ConfigurationError where it cannot be looked at."""
        self.subject(place)

    def samples(self, place: Place, split: str | None = None) -> Drawn:
        """The samples of a split, by default the one that is looked at."""
        name, look, loaded = split or self.look.split, self.look, self.loaded(place)
        if name not in self._drawn:
            self._drawn[name] = loaded.samples(name, look.samples, seed=look.seed, batch_size=look.batch_size)
        return self._drawn[name]

    def subject(self, place: Place) -> Subject:
        """Model, criterion and samples."""
        loaded = self.loaded(place)
        if self._subject is None:
            self._subject = self.subject_of(loaded, self.samples(place))
        return self._subject

    def subject_of(self, loaded: Loaded, samples: Drawn) -> Subject:
        """A subject of another model, or of other samples."""
        from samnesia.measure.statistics import BatchStatistics, RunningStatistics
        from samnesia.measure.subject import Subject

        statistics = BatchStatistics() if self.look.batch_statistics else RunningStatistics()
        made = Subject(loaded.model, loaded.criterion, samples, statistics=statistics, progress=self.progress)
        self._subjects.append(made)
        return made

    @property
    def passes(self) -> int:
        """Passes over samples so far, of all subjects of the checkpoint on the bench."""
        return sum(subject.products for subject in self._subjects)

    def describe(self, place: Place) -> dict[str, Any]:
        """What has to stand beside each figure of a checkpoint."""
        samples = self.samples(place)
        seen = {**self.subject(place).describe(), "split": samples.split, "drawn": samples.drawn}
        return {"checkpoint": self.loaded(place).describe(), "looked_at": seen}
