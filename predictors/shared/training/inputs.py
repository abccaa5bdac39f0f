"""Inputs of a training: the pixels of each image, or its features, computed once.

A tower that is frozen throughout gives the same features of an image in every epoch and fold. So
where images are not augmented either, it runs once, and the head learns from a file of features.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ensembler.images.preprocess import Preprocess
from ensembler.training.recipe import Augment
from predictors.shared.headed import Headed
from predictors.shared.pixels import to_tensor
from predictors.shared.training.draws import Draw
from predictors.shared.training.loading import load_batches

Loaded = NDArray[Any]  # an entry for each image: (n, height, width, 3) uint8, or (n, width) float32


class InputReader(Protocol):
    """A source of a model's inputs: the protocol of `PixelReader` and `FeatureReader`."""

    def load(
        self, batches: Iterable[Sequence[Draw]], augment: Augment | None
    ) -> Generator[Loaded, None, None]:
        """Read one batch after another, an entry for each image.

        Closing the iterator stops the threads that read ahead.

        Raises:
            InputError: an image cannot be read; the message names it.
        """

    def tensor(self, loaded: Loaded, device: torch.device) -> torch.Tensor:
        """The tensor of a loaded batch, or of a part of it, on a device."""

    def module(self, model: torch.nn.Module) -> torch.nn.Module:
        """The module that makes vectors from such tensors, with the model's own parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelReader:
    """Pixels, decoded every time.

    Attributes:
        folder: the folder that the images' paths are relative to.
        preprocess: the size and normalisation of the pixels.
        workers: decoding threads.
    """

    folder: Path
    preprocess: Preprocess
    workers: int

    def load(
        self, batches: Iterable[Sequence[Draw]], augment: Augment | None
    ) -> Generator[Loaded, None, None]:
        """Pixels, (batch, height, width, 3) uint8; see `InputReader.load`."""
        return load_batches(batches, self.folder, self.preprocess, augment, workers=self.workers)

    def tensor(self, loaded: Loaded, device: torch.device) -> torch.Tensor:
        """Normalised pixels, (n, 3, height, width)."""
        return to_tensor(loaded, self.preprocess, device)

    def module(self, model: torch.nn.Module) -> torch.nn.Module:
        """The model itself."""
        return model


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureReader:
    """Features, rows of a table.

    Attributes:
        table: (images, width) float32, memory-mapped.
        rows: path of an image → its row.
    """

    table: NDArray[np.float32]
    rows: Mapping[str, int]

    def load(
        self, batches: Iterable[Sequence[Draw]], augment: Augment | None
    ) -> Generator[Loaded, None, None]:
        """Features, (batch, width) float32, not augmented; see `InputReader.load`."""
        del augment
        for batch in batches:
            yield self.table[[self.rows[draw.image] for draw in batch]]

    def tensor(self, loaded: Loaded, device: torch.device) -> torch.Tensor:
        """Features, (n, width)."""
        return torch.from_numpy(loaded).to(device)

    def module(self, model: Headed) -> torch.nn.Module:
        """The part of the model behind its tower."""
        return OnFeatures(model)


class OnFeatures(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A model without its tower: from features to vectors."""

    def __init__(self, model: Headed) -> None:
        """Share the model's parameters."""
        super().__init__()
        self.model = model

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Vectors, (n, dim), of features, (n, width)."""
        return self.model.vectors(features)
