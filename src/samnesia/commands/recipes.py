"""``samnesia recipes``."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from samnesia.train.log import claim
from samnesia.train.recipes import listing, starting_with


@dataclass(frozen=True)
class Recipes:
    """List the recipes: the families, or those whose names begin with PREFIX, a line each."""

    prefix: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PREFIX")] = ""
    """How the names of those to list begin, such as vani-vit-s32."""
    long: bool = False
    """Say of each what it reproduces, its published number where known, and an estimate of its GPU-hours."""
    out: Path | None = None
    """Also write the whole configuration of each into this directory, as RECIPE.json."""

    def run(self) -> int:
        """List them."""
        found = starting_with(self.prefix)
        if self.out is not None:
            claim(self.out, what="the recipes")
            for recipe in found:
                (self.out / f"{recipe.name}.json").write_text(json.dumps(recipe().to_json(), indent=1) + "\n")
        lines = listing.long if self.long else listing.short if self.prefix else listing.families
        print("\n".join(lines(found)))
        return 0
