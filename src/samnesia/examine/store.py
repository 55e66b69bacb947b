"""What measurements leave on disk.

::

    OUT/measure.json, evaluate.json     what was asked for last, all of it: see :mod:`samnesia.examine.run`
    OUT/figures/curvature.png, .svg     ...
    OUT/parts/curvature-2f1c….json      a measurement each, written as soon as it is there, and never done again

A part is known by what decides its numbers: what is measured and its options, how it is looked at, weights and
configuration of its checkpoints, and the code that measures.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samnesia.perturb.errors import ConfigurationError
from samnesia.train.log import locked, write_json

if TYPE_CHECKING:
    from samnesia.examine.purpose import Purpose

FIGURES, PARTS = "figures", "parts"
SCHEMA = 1


class Store:
    """The directory of measurements. Of several processes the one that leads reads and writes, and tells the others.

    Args:
        out: where it lies.
        purpose: what is kept there.

    Raises:
        ConfigurationError: if it is a file, or holds other things.
    """

    def __init__(self, out: Path, purpose: Purpose) -> None:
        self.out, self._result, self._company = out, purpose.result, purpose.company
        what = purpose.results
        if out.exists() and not out.is_dir():
            raise ConfigurationError(f"cannot write {what} to {out}, because it is a file; choose another --out")
        if out.is_dir() and any(out.iterdir()) and not (out / PARTS).is_dir():
            raise ConfigurationError(
                f"cannot write {what} to {out}, because the directory holds other things, and nothing in it may "
                "be overwritten; choose another --out"
            )

    def open(self) -> None:
        """Make it, and remove what a killed process has left half written."""
        if not self._company.leads:
            return
        (self.out / PARTS).mkdir(parents=True, exist_ok=True)
        for directory, name in ((self.out, self._result), (self.out / PARTS, "*.json")):
            for left in directory.glob(f".{name}.*"):
                left.unlink(missing_ok=True)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let no other process work on it meanwhile."""
        with locked(self.out, what="measurements") if self._company.leads else nullcontext():
            yield

    def find(self, what: str, key: Mapping[str, Any]) -> dict[str, Any] | None:
        """What was measured, if it was; a file that cannot be read is as none."""
        found: dict[str, Any] | None = self._company.share(self._read(what, key) if self._company.leads else None)
        return found

    def _read(self, what: str, key: Mapping[str, Any]) -> dict[str, Any] | None:
        try:
            found = json.loads(self._path(what, key).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) and found.get("key") == plain(key) else None

    def keep(self, what: str, key: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
        """Write a measurement down."""
        whole: dict[str, Any] = plain({"key": key, **content})
        if self._company.leads:
            write_json(self._path(what, key), whole)
        return whole

    def write(self, content: Mapping[str, Any]) -> None:
        """Write down all that was asked for."""
        if self._company.leads:
            write_json(self.out / self._result, plain(content))

    def _path(self, what: str, key: Mapping[str, Any]) -> Path:
        digest = hashlib.sha256(json.dumps(plain(key), sort_keys=True).encode()).hexdigest()
        return self.out / PARTS / f"{what}-{digest[:16]}.json"


@lru_cache(maxsize=2)
def code(rooms: tuple[str, ...]) -> str:
    """A digest of the code that measures: what another version has measured is measured again."""
    package = Path(__file__).resolve().parent.parent
    files = sorted(file for room in rooms for file in _python(package / room))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _python(room: Path) -> Iterable[Path]:
    return room.rglob("*.py") if room.is_dir() else [room]


def plain(value: Any) -> Any:
    """A value for JSON: tuples as lists, arrays and tensors too, and None for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
