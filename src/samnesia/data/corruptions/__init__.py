"""Images made worse: the families of ImageNet-C, at five severities, for images of 8 x 8 pixels and more.

::

    from samnesia.data.corruptions import FAMILIES, Corrupted

    worse = Corrupted(FAMILIES["snow"], severity=3)(pixels, range(len(pixels)))

Pixels are 0 to 1, of shape ``[n, channels, height, width]``, with one channel or three. What each family does, and with
what constants, stands in docs/corruptions.md.
"""

from samnesia.data.corruptions.corrupted import LEAST_SIDE, SEVERITIES, Corrupted
from samnesia.data.corruptions.families import EXTRA, FAMILIES, MAIN, Family
from samnesia.data.corruptions.kinds import Corruption
from samnesia.data.corruptions.sampling import Draws

__all__ = ["EXTRA", "FAMILIES", "LEAST_SIDE", "MAIN", "SEVERITIES", "Corrupted", "Corruption", "Draws", "Family"]
