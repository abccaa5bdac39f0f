"""A tower with a head: the module that embeds and that is trained."""

from __future__ import annotations

from typing import Protocol

import torch

from ensembler.images.preprocess import Preprocess
from predictors.shared.heads import HeadConfig, make_head


class HeadedConfig(Protocol):
    """The part of a config that describes the head."""

    @property
    def head(self) -> HeadConfig:
        """The head's layers."""

    @property
    def normalise_output(self) -> bool:
        """Whether vectors are scaled to unit length."""


class Headed(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Images → features → head → vectors, of unit length where the config says so.

    Its `state_dict` is the layout of our checkpoints: `tower.*` and, if there is a head, `head.*`.
    Subclasses define the features.

    Attributes:
        config: the config of tower and head.
        tower: the module from pixels to activations.
        head: the module from features to vectors.
        dim: vector dimension.
        preprocess: the preprocessing that its images need.
    """

    def __init__(
        self, config: HeadedConfig, tower: torch.nn.Module, width: int, preprocess: Preprocess
    ) -> None:
        """Put a new head on a tower.

        Args:
            config: the config of tower and head.
            tower: the tower.
            width: width of the features.
            preprocess: the preprocessing that the tower's images need.
        """
        super().__init__()
        self.config = config
        self.tower = tower
        self.head = make_head(config.head, width)
        self.dim: int = config.head.dim or width
        self.preprocess = preprocess

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Compute the features that the head is given.

        Args:
            pixels: (n, 3, height, width) float, with mean and std of `preprocess`.

        Returns:
            (n, width).
        """
        raise NotImplementedError

    def vectors(self, features: torch.Tensor) -> torch.Tensor:
        """The vectors, (n, dim), of (n, width) features."""
        vectors = self.head(features)
        if not self.config.normalise_output:
            return vectors
        return torch.nn.functional.normalize(vectors, dim=-1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """The vectors, (n, dim), of (n, 3, height, width) normalised pixels."""
        return self.vectors(self.features(pixels))
