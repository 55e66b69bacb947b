"""What can be measured of a run: a part each, with its options, its figures, and its lines in the table."""

from samnesia.examine.parts.calibration import Calibration
from samnesia.examine.parts.part import Part

PARTS: dict[str, type[Part]] = {
    "calibration": Calibration,
}
"""Every part by its name on the command line, in the order in which they are measured and shown."""

__all__ = ["PARTS", "Calibration", "Part"]
