"""What can be measured of a run: a part each, with its options, its figures, and its lines in the table."""

from samnesia.examine.parts.calibration import Calibration
from samnesia.examine.parts.curvature import Curvature
from samnesia.examine.parts.forgetting import Forgetting
from samnesia.examine.parts.landscape import Landscape
from samnesia.examine.parts.part import Part
from samnesia.examine.parts.sharpness import Sharpness
from samnesia.examine.parts.subspace import Subspace

PARTS: dict[str, type[Part]] = {
    "calibration": Calibration,
    "curvature": Curvature,
    "sharpness": Sharpness,
    "landscape": Landscape,
    "forgetting": Forgetting,
    "subspace": Subspace,
}
"""Every part by its name on the command line, in the order in which they are measured and shown."""
USUAL = tuple(name for name in PARTS if name != "subspace")
"""Those that are measured where none is named: what runs of one net have."""

__all__ = ["PARTS", "USUAL", "Calibration", "Curvature", "Forgetting", "Landscape", "Part", "Sharpness", "Subspace"]
