"""Checks that existing references match the features and the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from ensembler.errors import PredictorError, first_few
from ensembler.store.reader import Store
from predictors.retrieval.features import features_digest
from predictors.retrieval.learning import image_digests
from predictors.retrieval.references import REMAKE, References

SAME: Final = 1e-6  # between two targets' numbers: a store rebuilt elsewhere rounds otherwise


def check_features(references: References, features: Path) -> None:
    """Refuse references whose features another predictor made: distances would mean nothing.

    Args:
        references: to be searched.
        features: the definition of the predictor that makes the images' features.

    Raises:
        PredictorError: with both digests.
    """
    digest = features_digest(features)
    if digest != references.features_sha256:
        raise PredictorError(
            f"{references.path} was made with features of the digest"
            f" {references.features_sha256[:12]}, and {features} with the files that it names has"
            f" {digest[:12]}: give those it was made with; or remove it, and `ensembler dump` makes"
            " it again with these"
        )


def check_store(references: References, store: Store, images: Mapping[str, Path]) -> None:
    """Refuse references that say of a store's samples what the store no longer says.

    In another fold a row would find its own target; another target or image is a stale one. The
    references may hold images beside the store's: those say nothing about it. Every image that both
    know is read whole.

    Args:
        references: to be searched for the store's samples, fold by fold.
        store: its samples may be among the references.
        images: sample id → image, of the samples that have one.

    Raises:
        PredictorError: naming the first few ids.
    """
    place = {id_: at for at, id_ in enumerate(store.samples.id.tolist())}
    ids = references.ids.tolist()
    rows = [row for row, id_ in enumerate(ids) if id_ in place]
    both = _Common(rows, [place[ids[row]] for row in rows], [ids[row] for row in rows])
    if both.ids:
        _check_folds(references, store, both)
        _check_targets(references, store, both)
        _check_images(references, images, both)


class _Common(NamedTuple):
    """Rows that references and store have in common, by position in each and by id."""

    rows: list[int]
    samples: list[int]
    ids: list[str]


def _check_folds(references: References, store: Store, both: _Common) -> None:
    ours, theirs = references.fold[both.rows].tolist(), store.samples.fold[both.samples].tolist()
    moved = [
        f"{id_} ({ours[at]}, in the store {theirs[at]})"
        for at, id_ in enumerate(both.ids)
        if ours[at] != theirs[at]
    ]
    what = "of the store's samples in other folds"
    _refuse(references, moved, what, "; a row would find its own target")


def _check_targets(references: References, store: Store, both: _Common) -> None:
    if store.manifest.targets is None:
        return
    ours, theirs = references.targets[both.rows], store.targets()[both.samples]
    others = both.ids
    if ours.shape == theirs.shape:
        apart = np.abs(ours - theirs).max(axis=1) > SAME
        others = [both.ids[at] for at in np.flatnonzero(apart).tolist()]
    _refuse(references, others, "of the store's samples with other targets")


def _check_images(references: References, images: Mapping[str, Path], both: _Common) -> None:
    digests = image_digests({id_: images[id_] for id_ in both.ids if id_ in images})
    changed = [
        id_
        for row, id_ in zip(both.rows, both.ids, strict=True)
        if id_ in digests and digests[id_] != references.image_sha256[row].tobytes()
    ]
    _refuse(references, changed, "features of images that have changed since")


def _refuse(references: References, ids: Sequence[str], what: str, why: str = "") -> None:
    if ids:
        raise PredictorError(
            f"{references.path} holds {len(ids)} {what}: {first_few(ids)}{why}. {REMAKE}"
        )
