"""A loaded torch module as a predictor."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ensembler.images.preprocess import Preprocess
from predictors.shared.pixels import to_tensor


class Embedder(Protocol):
    """A torch module from normalised pixels to vectors, in eval mode and without gradients.

    Attributes:
        dim: vector dimension.
        preprocess: the preprocessing that its images need.
    """

    dim: int
    preprocess: Preprocess

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """The vectors, (n, dim), of (n, 3, height, width) pixels."""

    def to(self, device: str) -> Any:  # noqa: ANN401 - the module itself
        """Move the module to a device."""


class TowerPredictor:
    """A `Predictor` that wraps a loaded tower.

    Attributes:
        dim: vector dimension.
        preprocess: the preprocessing that its images need.
    """

    def __init__(self, tower: Embedder, device: str) -> None:
        self.dim = tower.dim
        self.preprocess = tower.preprocess
        self._tower = tower.to(device)
        self._device = device

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed a batch; see `Predictor.embed`."""
        if not len(images):
            return np.empty((0, self.dim), np.float32)
        with torch.inference_mode():
            vectors = self._tower(to_tensor(images, self.preprocess, self._device))
        embedded: NDArray[np.float32] = vectors.float().cpu().numpy()
        return embedded
