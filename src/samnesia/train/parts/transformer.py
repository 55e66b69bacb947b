"""A transformer for sequences of tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from samnesia.train.parts.checks import check_positive, require
from samnesia.train.parts.net import MOST_UNITS, Net, check_rate

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Transformer(Net):
    """A small pre-norm transformer encoder that classifies sequences of tokens, all of one length."""

    width: int = 32
    """Length of a token's embedding."""
    depth: int = 2
    """Number of blocks."""
    heads: int = 4
    """Attention heads; they divide the width."""
    mlp_ratio: float = 2.0
    """Hidden units of a block as a multiple of the width."""
    vocabulary: int = 1024
    """Tokens are 0 to vocabulary - 1; those of Text are 0 to 1023."""
    dropout: float = 0.0
    """Probability of a zero in attention and behind each layer of a block."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for what, most in (("width", MOST_UNITS), ("depth", MOST_UNITS), ("heads", self.width), ("vocabulary", 10**7)):
            value = getattr(self, what)
            require(
                1 <= value <= most,
                f"cannot build a transformer with {what} {value}, because that is a number from 1 to {most}; use such "
                "a number",
            )
        require(
            self.width % self.heads == 0,
            f"cannot build a transformer of width {self.width} with {self.heads} heads, because heads share the width "
            "equally; use a multiple",
        )
        check_positive(self.mlp_ratio, "build a transformer with mlp_ratio", "2")
        check_rate(self.dropout, "dropout")

    def _new(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        from samnesia.models.transformer import TokenClassifier

        require(
            len(shape) == 1,
            f"cannot build a transformer for inputs of shape {shape}, because it needs sequences of tokens (length,); "
            "use Text, or another model",
        )
        return TokenClassifier(
            shape[0],
            num_outputs,
            vocabulary=self.vocabulary,
            width=self.width,
            depth=self.depth,
            heads=self.heads,
            mlp_ratio=self.mlp_ratio,
            dropout=self.dropout,
        )
