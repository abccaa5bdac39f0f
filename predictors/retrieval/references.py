"""The reference set: the images that are searched, as features, targets and folds, in one file.

A .safetensors file of `features` (rows, dim) float16, `targets` (rows, d) float32, `fold` (rows,)
int64 and `image_sha256` (rows, 32) uint8. Its metadata hold `references`, a JSON object of the
rows' `ids` and of `features_sha256`, the digest of the predictor that made the features.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import PredictorError, first_few
from ensembler.files import atomic_write
from ensembler.store.reader import Samples
from predictors.shared.weights import load_weights

SUFFIX: Final = ".safetensors"
METADATA: Final = "references"
REMAKE: Final = "Remove the file, and `ensembler dump` makes it again"
TENSORS: Final = {
    "features": ("float16", 2),
    "targets": ("float32", 2),
    "fold": ("int64", 1),
    "image_sha256": ("uint8", 2),
}


class ImageFeatures(NamedTuple):
    """An image's features and the digest of its file.

    Attributes:
        vector: (dim,) float16, of unit length.
        sha256: 32 bytes, of its file.
    """

    vector: NDArray[np.float16]
    sha256: bytes


@dataclass(frozen=True, kw_only=True)
class References:
    """Images whose targets are known.

    Attributes:
        path: the file, for messages.
        ids: (rows,) text.
        fold: (rows,) int64, -1 where a row is in none.
        features: (rows, dim) float16, of unit length.
        targets: (rows, d) float32, of unit length.
        image_sha256: (rows, 32) uint8, the digests of the images' files.
        features_sha256: of the predictor that the features were made with.
    """

    path: Path
    ids: NDArray[np.str_]
    fold: NDArray[np.int64]
    features: NDArray[np.float16]
    targets: NDArray[np.float32]
    image_sha256: NDArray[np.uint8]
    features_sha256: str

    def without_fold(self, fold: int) -> References:
        """References of the other folds; whole groups share a fold, so that twins go together."""
        kept = self.fold != fold
        return replace(
            self,
            ids=self.ids[kept],
            fold=self.fold[kept],
            features=self.features[kept],
            targets=self.targets[kept],
            image_sha256=self.image_sha256[kept],
        )


def make_references(
    path: Path,
    samples: Samples,
    targets: NDArray[np.float32],
    features: Mapping[str, ImageFeatures],
    features_sha256: str,
) -> References:
    """A reference set of a store's samples.

    Args:
        path: where it is to be saved.
        samples: of the store.
        targets: (samples, d) float32, theirs.
        features: sample id → its image's features, at least one; samples without are left out.
        features_sha256: of the predictor that made them.
    """
    rows = np.flatnonzero(np.isin(samples.id, list(features)))
    ids = samples.id[rows]
    of_rows = [features[id_] for id_ in ids.tolist()]
    return References(
        path=path,
        ids=ids,
        fold=samples.fold[rows],
        features=np.stack([image.vector for image in of_rows]),
        targets=np.asarray(targets[rows]),
        image_sha256=np.array([list(image.sha256) for image in of_rows], np.uint8),
        features_sha256=features_sha256,
    )


def save_references(references: References) -> None:
    """Write a reference set to its path; the file appears whole or not at all.

    Raises:
        PredictorError: its name has another suffix, or it cannot be written.
    """
    from safetensors.numpy import save

    path = check_suffix(references.path)
    about = {"features_sha256": references.features_sha256, "ids": references.ids.tolist()}
    content = save(
        {name: np.ascontiguousarray(getattr(references, name)) for name in TENSORS},
        {METADATA: json.dumps(about)},  # one key: safetensors writes several in any order
    )
    try:
        with atomic_write(path) as file:
            file.write(content)
    except OSError as error:
        raise PredictorError(f"{path} cannot be written: {error}") from error


def load_references(path: Path) -> References:
    """Read a reference set.

    Raises:
        PredictorError: the file is not a reference set, or was damaged.
    """
    state = load_weights(check_suffix(path))
    faults = [
        f"{first_few(sorted(names))} {what}"
        for what, names in (
            ("missing", TENSORS.keys() - state),
            ("unexpected", state.keys() - TENSORS),
        )
        if names
    ]
    if faults:
        raise PredictorError(
            f"{path} is not a reference set of this version: {' and '.join(faults)}. {REMAKE}"
        )
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    for name, (dtype, dimensions) in TENSORS.items():
        array = arrays[name]
        if array.dtype != dtype or array.ndim != dimensions or len(array) != len(arrays["fold"]):
            raise PredictorError(
                f"{path}: {name} is {array.dtype}{array.shape} beside {len(arrays['fold'])} folds;"
                f" a reference set has {dtype} of {dimensions} dimensions there. {REMAKE}"
            )
    ids, digest = _metadata(path)
    if len(ids) != len(arrays["fold"]):
        raise PredictorError(f"{path} has {len(ids)} ids for another number of rows. {REMAKE}")
    return References(path=path, ids=np.array(ids, np.str_), features_sha256=digest, **arrays)


def check_suffix(path: Path) -> Path:
    """Refuse a name that says another format.

    Raises:
        PredictorError: with the name to give.
    """
    if path.suffix != SUFFIX:
        raise PredictorError(f"{path} cannot be a reference set: name it {path.stem}{SUFFIX}")
    return path


def _metadata(path: Path) -> tuple[list[str], str]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as opened:
        metadata = opened.metadata() or {}
    try:
        about = json.loads(metadata[METADATA])
        return list(map(str, about["ids"])), str(about["features_sha256"])
    except (KeyError, ValueError, TypeError) as error:
        raise PredictorError(f"{path} does not say whose rows it holds. {REMAKE}") from error
