"""The reference set: the images that are searched, as features, targets and folds, in one file.

A .safetensors file of `features` (rows, dim) float16, `targets` (rows, d) float32 and `fold`
(rows,) int64. Its metadata hold `references`, a JSON object of the rows' `ids` and of
`features_sha256`, the digest of the folder whose predictor made the features.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import PredictorError, first_few
from ensembler.files import atomic_write
from ensembler.predicting.checkpoints import file_digest
from ensembler.store.reader import Samples, Store
from predictors.shared.weights import check_names, load_state

SUFFIX: Final = ".safetensors"
METADATA: Final = "references"
REMAKE: Final = "Remove the file, and `ensembler dump` makes it again"
TENSORS: Final = {"features": ("float16", 2), "targets": ("float32", 2), "fold": ("int64", 1)}


@dataclass(frozen=True, kw_only=True)
class References:
    """Images whose targets are known.

    Attributes:
        path: the file, for messages.
        ids: (rows,) text.
        fold: (rows,) int64, -1 where a row is in none.
        features: (rows, dim) float16, of unit length.
        targets: (rows, d) float32, of unit length.
        features_sha256: of the folder that the features were made with.
    """

    path: Path
    ids: NDArray[np.str_]
    fold: NDArray[np.int64]
    features: NDArray[np.float16]
    targets: NDArray[np.float32]
    features_sha256: str

    def without_fold(self, fold: int) -> References:
        """Those of the other folds; whole groups share a fold, so that twins go together."""
        kept = self.fold != fold
        return replace(
            self,
            ids=self.ids[kept],
            fold=self.fold[kept],
            features=self.features[kept],
            targets=self.targets[kept],
        )


def make_references(
    path: Path,
    samples: Samples,
    targets: NDArray[np.float32],
    features: Mapping[str, NDArray[np.float16]],
    made_with: Path,
) -> References:
    """A reference set of a store's samples.

    Args:
        path: where it is to be saved.
        samples: of the store.
        targets: (samples, d) float32, theirs.
        features: sample id → (dim,) float16; samples without are left out.
        made_with: the features' folder.

    Raises:
        PredictorError: no sample has features.
    """
    rows = np.flatnonzero(np.isin(samples.id, list(features)))
    if not len(rows):
        raise PredictorError(f"{path} cannot be made: not a single image could be read")
    ids = samples.id[rows]
    return References(
        path=path,
        ids=ids,
        fold=samples.fold[rows],
        features=np.stack([features[id_] for id_ in ids.tolist()]),
        targets=np.asarray(targets[rows]),
        features_sha256=file_digest(made_with),
    )


def save_references(references: References) -> None:
    """Write a reference set to its path; the file appears whole or not at all.

    Raises:
        PredictorError: its name has another suffix, or it cannot be written.
    """
    from safetensors.numpy import save

    path = _check_suffix(references.path)
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
        PredictorError: the file is no reference set, or was damaged.
    """
    state = load_state(_check_suffix(path))
    check_names(TENSORS, state, path)
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    for name, (dtype, dimensions) in TENSORS.items():
        found = arrays[name]
        if found.dtype != dtype or found.ndim != dimensions or len(found) != len(arrays["fold"]):
            raise PredictorError(
                f"{path}: {name} is {found.dtype}{found.shape} beside {len(arrays['fold'])} folds;"
                f" a reference set has {dtype} of {dimensions} dimensions there. {REMAKE}"
            )
    ids, digest = _metadata(path)
    if len(ids) != len(arrays["fold"]):
        raise PredictorError(f"{path} has {len(ids)} ids and other numbers of rows. {REMAKE}")
    return References(path=path, ids=np.array(ids, np.str_), features_sha256=digest, **arrays)


def check_features(references: References, folder: Path) -> None:
    """Refuse references whose features another predictor made: distances would mean nothing.

    Args:
        references: to be searched.
        folder: of the predictor that makes the images' features.

    Raises:
        PredictorError: with both digests.
    """
    digest = file_digest(folder)
    if digest != references.features_sha256:
        raise PredictorError(
            f"{references.path} was made with features of the digest"
            f" {references.features_sha256[:12]}, and {folder} has {digest[:12]}. {REMAKE}"
        )


def check_folds(references: References, store: Store) -> None:
    """Refuse references that hold a store's samples in other folds: targets would leak.

    Args:
        references: to be searched for the store's samples, fold by fold.
        store: its samples may be among the references, and others beside them.

    Raises:
        PredictorError: naming the first few ids.
    """
    samples = store.samples
    dealt = dict(zip(samples.id.tolist(), samples.fold.tolist(), strict=True))
    moved = [
        f"{id_} ({fold}, in the store {dealt[id_]})"
        for id_, fold in zip(references.ids.tolist(), references.fold.tolist(), strict=True)
        if dealt.get(id_, fold) != fold
    ]
    if moved:
        raise PredictorError(
            f"{references.path} holds {len(moved)} of the store's samples in other folds:"
            f" {first_few(moved)}; a row would find its own target. {REMAKE}"
        )


def _check_suffix(path: Path) -> Path:
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
