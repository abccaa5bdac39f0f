"""A tower with a head on it: what embeds, and what is trained."""

from __future__ import annotations

from typing import Protocol

import torch

from ensembler.images.preprocess import Preprocess
from predictors.shared.heads import HeadConfig, make_head


class HeadedConfig(Protocol):
    """What a config says of the head."""

    @property
    def head(self) -> HeadConfig:
        """Its layers."""

    @property
    def normalise_output(self) -> bool:
        """Whether vectors are of unit length."""


class Headed(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Images → features → head → vectors, of unit length where the config says so.

    Its `state_dict` is our checkpoint's layout: `tower.*` and, unless there is no head, `head.*`.
    Who derives from it says what the features are.

    Attributes:
        config: of tower and head.
        tower: from pixels to what features are made of.
        head: from features to vectors.
        dim: numbers in a vector.
        preprocess: how it wants its images.
    """

    def __init__(
        self, config: HeadedConfig, tower: torch.nn.Module, width: int, preprocess: Preprocess
    ) -> None:
        """Put a new head on a tower.

        Args:
            config: of both.
            tower: as it is built.
            width: of the features.
            preprocess: how the tower wants its images.
        """
        super().__init__()
        self.config = config
        self.tower = tower
        self.head = make_head(config.head, width)
        self.dim: int = config.head.dim or width
        self.preprocess = preprocess

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """What the head is given.

        Args:
            pixels: (n, 3, height, width) float, with mean and std of `preprocess`.

        Returns:
            (n, width).
        """
        raise NotImplementedError

    def vectors(self, features: torch.Tensor) -> torch.Tensor:
        """(n, dim) vectors of (n, width) features."""
        vectors = self.head(features)
        if not self.config.normalise_output:
            return vectors
        return torch.nn.functional.normalize(vectors, dim=-1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, dim) vectors of (n, 3, height, width) normalised pixels."""
        return self.vectors(self.features(pixels))
