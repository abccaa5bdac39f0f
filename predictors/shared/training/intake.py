"""What a training reads of each image: its pixels every time, or its features, computed once.

A tower that is frozen throughout says the same of an image in every epoch and for every fold. So
where nothing is done to images either, the tower is asked once, and the head learns from a file.
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


class Intake(Protocol):
    """How images come to a model."""

    def load(
        self, batches: Iterable[Sequence[Draw]], augment: Augment | None
    ) -> Generator[Loaded, None, None]:
        """What is read of one batch after another, an entry for each image.

        Closing the iterator ends whatever reads ahead.

        Raises:
            InputError: an image cannot be read; the message names it.
        """

    def tensor(self, loaded: Loaded, device: torch.device) -> torch.Tensor:
        """That, or a part of it, on a device."""

    def module(self, model: torch.nn.Module) -> torch.nn.Module:
        """What makes vectors of such tensors, by the model's own parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelIntake:
    """Images are decoded every time.

    Attributes:
        folder: that the images' paths are relative to.
        preprocess: what they are brought to.
        workers: threads that decode.
    """

    folder: Path
    preprocess: Preprocess
    workers: int

    def load(
        self, batches: Iterable[Sequence[Draw]], augment: Augment | None
    ) -> Generator[Loaded, None, None]:
        """(batch, height, width, 3); see `Intake.load`."""
        return load_batches(batches, self.folder, self.preprocess, augment, workers=self.workers)

    def tensor(self, loaded: Loaded, device: torch.device) -> torch.Tensor:
        """(n, 3, height, width), normalised."""
        return to_tensor(loaded, self.preprocess, device)

    def module(self, model: torch.nn.Module) -> torch.nn.Module:
        """The model itself."""
        return model


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureIntake:
    """Images are rows of a table.

    Attributes:
        table: (images, width) float32, memory-mapped.
        rows: of each image, by its path.
    """

    table: NDArray[np.float32]
    rows: Mapping[str, int]

    def load(
        self, batches: Iterable[Sequence[Draw]], augment: Augment | None
    ) -> Generator[Loaded, None, None]:
        """(batch, width); see `Intake.load`. There is nothing left to augment."""
        del augment
        for batch in batches:
            yield self.table[[self.rows[one.image] for one in batch]]

    def tensor(self, loaded: Loaded, device: torch.device) -> torch.Tensor:
        """(n, width)."""
        return torch.from_numpy(loaded).to(device)

    def module(self, model: Headed) -> torch.nn.Module:
        """The model from its features on."""
        return OnFeatures(model)


class OnFeatures(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A model whose tower's part is done."""

    def __init__(self, model: Headed) -> None:
        """Share the model's parameters."""
        super().__init__()
        self.model = model

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(n, dim) of (n, width)."""
        return self.model.vectors(features)
