"""The predictor whose vectors are compared, and what it makes of many images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import PredictorError
from ensembler.files import sha256_json
from ensembler.images.stream import stream_images
from ensembler.metrics import unit_rows
from ensembler.predicting.batches import BatchLimit, embed_batch
from ensembler.predicting.checkpoints import file_digest, load_predictor
from ensembler.predicting.contract import Predictor
from ensembler.predicting.definition import load_definition

DEFINITION: Final = "predictor.toml"
BATCH: Final = 16  # images at once
WORKERS: Final = 4  # threads that decode or hash


class ImageFeatures(NamedTuple):
    """What is kept of an image.

    Attributes:
        vector: (dim,) float16, of unit length.
        sha256: 32 bytes, of its file.
    """

    vector: NDArray[np.float16]
    sha256: bytes


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


def features_digest(folder: Path) -> str:
    """The sha256 of a predictor: its definition and the files it names, whatever lies beside them.

    Args:
        folder: with predictor.toml.

    Raises:
        PredictorError: one of the files cannot be read.
    """
    paths = [DEFINITION, *load_definition(folder / DEFINITION).files.values()]
    return sha256_json({path: file_digest(folder / path) for path in paths})


def image_digests(images: Mapping[str, Path]) -> dict[str, bytes]:
    """Id → the 32 bytes of the sha256 of its image's file.

    Raises:
        PredictorError: one cannot be read.
    """
    with ThreadPoolExecutor(WORKERS) as threads:
        hashed = threads.map(file_digest, images.values())
        return {id_: bytes.fromhex(digest) for id_, digest in zip(images, hashed, strict=True)}


def image_features(
    features: Predictor,
    images: Mapping[str, Path],
    device: str,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, ImageFeatures]:
    """The features of images by id; images that cannot be read are left out.

    Args:
        features: what makes them.
        images: id → file.
        device: that `features` is on.
        progress: called with (images done, images in all) after every batch.

    Returns:
        Id → features.
    """
    ids, limit = list(images), BatchLimit()
    vectors: dict[str, NDArray[np.float16]] = {}
    paths = list(images.values())
    stream = stream_images(paths, features.preprocess, batch=BATCH, workers=WORKERS)
    done = 0
    with closing(stream) as batches:
        for batch in batches:
            embedded = embed_batch(features, batch.images, device=device, limit=limit)
            unit = unit_rows(embedded.vectors[embedded.finite]).astype(np.float16)
            positions = batch.positions[embedded.finite].tolist()
            vectors |= {ids[position]: row for position, row in zip(positions, unit, strict=True)}
            done += len(batch.positions) + len(batch.failures)
            if progress is not None:
                progress(done, len(ids))
    digests = image_digests({id_: images[id_] for id_ in vectors})
    return {id_: ImageFeatures(row, digests[id_]) for id_, row in vectors.items()}
