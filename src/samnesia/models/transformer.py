"""A small transformer encoder that classifies sequences of tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from samnesia.perturb.errors import ConfigurationError

EMBEDDING_STD = 0.1


class TokenClassifier(nn.Module):
    """Token and position embeddings, pre-norm encoder blocks (``torch.nn.TransformerEncoder``), mean, linear head.

    Attention is computed by the kernel that can be differentiated twice, so that curvature can be measured and methods
    with a second derivative can train it.

    Args:
        length: tokens of a sequence; all have as many.
        num_classes: number of logits.
        vocabulary: tokens are 0 to ``vocabulary - 1``.
        width: length of an embedding; heads share it equally.
        depth: number of blocks.
        heads: attention heads of a block.
        mlp_ratio: hidden units of a block as a multiple of its width.
        dropout: probability of a zero, where ``torch.nn.TransformerEncoderLayer`` has it.
    """

    def __init__(
        self,
        length: int,
        num_classes: int,
        *,
        vocabulary: int,
        width: int = 32,
        depth: int = 2,
        heads: int = 4,
        mlp_ratio: float = 2.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.empty(length, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, round(mlp_ratio * width), dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, depth, norm=nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Linear(width, num_classes)
        self._reset()

    def _reset(self) -> None:
        """Start anew: ``TransformerEncoder`` begins with equal blocks, copies of one."""
        for block in self.encoder.layers:
            for module in block.modules():
                if isinstance(module, nn.Linear):
                    nn.init.xavier_uniform_(module.weight)
                    nn.init.zeros_(module.bias)
                elif isinstance(module, nn.MultiheadAttention):
                    nn.init.xavier_uniform_(module.in_proj_weight)
        nn.init.normal_(self.tokens.weight, std=EMBEDDING_STD)
        nn.init.normal_(self.positions, std=EMBEDDING_STD)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits ``[n, num_classes]`` of tokens, int64 ``[n, length]``.

        Raises:
            ConfigurationError: for a token outside of the vocabulary (on a CPU; elsewhere the device says so).
        """
        try:
            embedded = self.tokens(tokens) + self.positions
        except IndexError:
            raise ConfigurationError(
                f"cannot embed the token {int(tokens.max())}, because the vocabulary of this model is 0 to "
                f"{self.tokens.num_embeddings - 1}; give the model a vocabulary as large as that of its data"
            ) from None
        with sdpa_kernel(SDPBackend.MATH):
            features: Tensor = self.encoder(embedded)
        logits: Tensor = self.head(features.mean(dim=1))
        return logits
