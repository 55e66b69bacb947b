"""Draw the gallery of docs/corruptions.md and make its tables anew: `python scripts/update_corruptions.py`.

The constants are those of the code, the speeds those of benchmarks/results/corruptions.json. With `--tables`, only the
tables; `tests/data/corruptions/test_page.py` compares them.
"""

from __future__ import annotations

import json
import sys
from dataclasses import astuple, fields
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

    from samnesia.data.corruptions import Family

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "corruptions.md"
GALLERY = ROOT / "docs" / "evaluating" / "corruptions.png"
SPEEDS = ROOT / "benchmarks" / "results" / "corruptions.json"
SHOWN = (1, 3, 5)
TILE, GAP, NAME, COLUMNS = 84, 3, 15, 2


def constants() -> str:
    """A row for each family: the constants of its five severities at each side."""
    from samnesia.data.corruptions import FAMILIES

    rows = ["| family | constants | 224 pixels, ImageNet-C's | 32 pixels, CIFAR-10-C's | 8 pixels, ours |"]
    rows.append("|---|---|---|---|---|")
    for name, family in FAMILIES.items():
        kinds = dict.fromkeys(", ".join(field.name for field in fields(one)) for one in family.at_224)
        sides = " | ".join(_five(family, side) for side in (224, 32, 8))
        rows.append(f"| `{name}` | {'; '.join(kinds)} | {sides} |")
    return "\n".join(rows)


def _five(family: Family, side: int) -> str:
    return " · ".join(_one(astuple(family.at(severity, side)[0])) for severity in range(1, 6))


def _one(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in values)


def speeds() -> str:
    """A row for each family: images a second."""
    from samnesia.data.corruptions import FAMILIES

    found = json.loads(SPEEDS.read_text(encoding="utf-8"))
    rows = ["| images a second | 8 x 8, grey | 32 x 32 | 224 x 224 |", "|---|---|---|---|"]
    for name in FAMILIES:
        cells = [found["images_per_second"][name].get(side) for side in ("8", "32", "224")]
        rows.append(f"| `{name}` | {' | '.join('' if cell is None else f'{_rounded(cell):,}' for cell in cells)} |")
    machine = found["environment"]
    return "\n".join(rows) + (
        f"\n\nOne thread, seconds of the processor; all families and severities on the 797 test images of the digits "
        f"take {found['digits_seconds']:.1f} s. Made by `python benchmarks/corruptions.py` on {machine['hardware']}, "
        f"with NumPy {machine['numpy']}."
    )


def _rounded(speed: float) -> int:
    """To two digits."""
    return int(float(f"{speed:.1e}"))


def with_tables(page: str) -> str:
    """The page with both tables as they are now."""
    for mark, table in (("constants", constants()), ("speeds", speeds())):
        start, end = f"<!-- {mark}: made by scripts/update_corruptions.py -->", f"<!-- /{mark} -->"
        before, found, rest = page.partition(start)
        if not found or end not in rest:
            raise SystemExit(f"cannot put the {mark} into {PAGE}, because it lacks the marks {start} and {end}")
        page = before + start + "\n\n" + table + "\n\n" + end + rest.partition(end)[2]
    return page


def gallery() -> Image:
    """Each family on a photograph of 224 pixels and on a digit of 8, at severities 1, 3 and 5."""
    import numpy as np
    import torch
    from matplotlib import get_data_path
    from PIL import Image, ImageDraw, ImageFont
    from skimage.data import astronaut
    from sklearn.datasets import load_digits

    from samnesia.data.corruptions import FAMILIES, Corrupted

    photograph = np.asarray(Image.fromarray(astronaut()).resize((224, 224), Image.Resampling.LANCZOS)) / 255.0
    kinds = [
        (torch.from_numpy(photograph).float().permute(2, 0, 1)[None], Image.Resampling.BOX),
        (torch.from_numpy(load_digits().images[3:4] / 16.0).float()[:, None], Image.Resampling.NEAREST),
    ]
    font = ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf", 11)
    step, block = TILE + GAP, len(SHOWN) * len(kinds) * (TILE + GAP) + 4 * GAP
    rows = -(-(len(FAMILIES) + 1) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * block, rows * (step + NAME)), "white")
    pen = ImageDraw.Draw(sheet)
    changes = {"As they are": [None] * len(SHOWN)} | {
        family.words: [Corrupted(family, severity) for severity in SHOWN] for family in FAMILIES.values()
    }
    for place, (name, row) in enumerate(changes.items()):
        left, top = place // rows * block, place % rows * (step + NAME)
        pen.text((left, top), name, fill="#1b1b1f", font=font)
        for number, (images, resampling) in enumerate(kinds):
            for column, change in enumerate(row):
                if change is not None and change.family.against(images.shape[1]):
                    continue
                found = images if change is None else change(images, [0])
                pixels = (found[0] * 255).round().byte().permute(1, 2, 0).expand(-1, -1, 3).numpy()
                tile = Image.fromarray(np.ascontiguousarray(pixels)).resize((TILE, TILE), resampling)
                sheet.paste(tile, (left + (number * len(SHOWN) + column) * step + number * GAP, top + NAME))
    return sheet.quantize(256, kmeans=3, dither=Image.Dither.NONE)


def main() -> None:
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    if "--tables" not in sys.argv:
        GALLERY.parent.mkdir(exist_ok=True)
        gallery().save(GALLERY, optimize=True)


if __name__ == "__main__":
    main()
