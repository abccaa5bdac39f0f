"""The predictor whose vectors are compared, and what it makes of many images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import PredictorError
from ensembler.images.stream import stream_images
from ensembler.metrics import unit_rows
from ensembler.predicting.batches import BatchLimit, embed_batch
from ensembler.predicting.checkpoints import load_predictor
from ensembler.predicting.contract import Predictor
from ensembler.predicting.definition import load_definition

DEFINITION: Final = "predictor.toml"
BATCH: Final = 16  # images at once
WORKERS: Final = 4  # threads that decode


def load_features(folder: Path, device: str) -> Predictor:
    """Load a predictor from a folder that holds its definition and all of its files.

    Args:
        folder: with predictor.toml, whose paths are relative to it.
        device: as torch names it.

    Raises:
        PredictorError: there is no definition in it, it has a checkpoint for each fold, or the
            predictor cannot be loaded.
    """
    definition = load_definition(folder / DEFINITION)
    if definition.checkpoints:
        raise PredictorError(
            f"{folder / DEFINITION} has checkpoints of folds, and features of different models"
            " cannot be compared: name one model's files under [files]"
        )
    files = {role: folder / path for role, path in definition.files.items()}
    return load_predictor(definition.adapter, definition.config, files, device)


def image_features(
    features: Predictor,
    images: Mapping[str, Path],
    device: str,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, NDArray[np.float16]]:
    """The features of images by id; images that cannot be read are left out.

    Args:
        features: what makes them.
        images: id → file.
        device: that `features` is on.
        progress: called with (images done, images in all) after every batch.

    Returns:
        Id → (dim,) float16, of unit length.
    """
    ids, limit = list(images), BatchLimit()
    found: dict[str, NDArray[np.float16]] = {}
    paths = list(images.values())
    stream = stream_images(paths, features.preprocess, batch=BATCH, workers=WORKERS)
    done = 0
    with closing(stream) as batches:
        for batch in batches:
            embedded = embed_batch(features, batch.images, device=device, limit=limit)
            unit = unit_rows(embedded.vectors[embedded.finite]).astype(np.float16)
            positions = batch.positions[embedded.finite].tolist()
            found |= {ids[position]: row for position, row in zip(positions, unit, strict=True)}
            done += len(batch.positions) + len(batch.failures)
            if progress is not None:
                progress(done, len(ids))
    return found
