"""The mapper of a prefix captioner, trained between a frozen CLIP and a language model."""

from __future__ import annotations

import torch
from torch import nn

from ensembler.errors import PredictorError
from predictors.clip_gpt2.config import MapperConfig


class PrefixMapper(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """An image's embedding → the tokens that a language model continues (ClipCap, Mokady 2021).

    The embedding is unfolded to tokens, learned queries follow them, and a transformer's outputs
    for the queries are the prefix. Its `state_dict` is the checkpoint's layout.

    Attributes:
        prefix_tokens: number of tokens in a prefix.
    """

    def __init__(self, config: MapperConfig, features: int, width: int) -> None:
        """Build the mapper, newly initialised.

        Args:
            config: the mapper's config.
            features: width of an embedding.
            width: width of the language model's tokens.

        Raises:
            PredictorError: the width is not divisible by the number of heads.
        """
        super().__init__()
        if width % config.heads:
            raise PredictorError(
                f"mapper.heads = {config.heads} does not divide the language model's width of"
                f" {width}: give a divisor of it"
            )
        self.prefix_tokens = config.prefix_tokens
        self.unfold = nn.Linear(features, config.feature_tokens * width)
        self.queries = nn.Parameter(torch.randn(config.prefix_tokens, width))
        # Not nn.TransformerEncoder, whose layers are copies and so would start with equal weights.
        self.layers = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    width, config.heads, 2 * width, dropout=0.0, batch_first=True, norm_first=True
                )
                for _ in range(config.layers)
            )
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Compute the prefixes of embeddings.

        Args:
            features: (n, features).

        Returns:
            (n, prefix_tokens, width).
        """
        rows, width = len(features), self.queries.shape[1]
        unfolded = self.unfold(features).view(rows, -1, width)
        queries = self.queries.expand(rows, -1, -1)
        return self.layers(torch.cat([unfolded, queries], dim=1))[:, -self.prefix_tokens :]
