"""Making a reference set: features are kept batch by batch, so that a killed run goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from ensembler.errors import InputError, PredictorError
from ensembler.images.identity import file_identities
from ensembler.images.stream import stream_images
from ensembler.metrics import unit_rows
from ensembler.predicting.batches import BatchLimit, embed_batch
from ensembler.predicting.checkpoints import file_digest
from ensembler.predicting.contract import Predictor
from ensembler.store.reader import Store
from ensembler.work.disk import WorkError, remedy
from ensembler.work.entry import EMBEDDED, Entry
from ensembler.work.notes import Note
from ensembler.work.store import WorkStore, open_work
from predictors.retrieval.features import features_key, load_features
from predictors.retrieval.references import ImageFeatures, make_references, save_references

BATCH: Final = 16  # images at once
WORKERS: Final = 4  # threads that decode or hash
BLOCK: Final = 1 << 12  # vectors brought to unit length at once; bounds memory
LIMIT: Final = "limit"  # recorded: how many images the device took at once, where it refused more


def learn_references(
    place: Path,
    definition: Path,
    store: Store,
    images: Mapping[str, Path],
    device: str,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Make a reference set of a store's samples.

    Args:
        place: where it is to be; it does not exist.
        definition: of the predictor that makes the features.
        store: the samples, with their targets and folds.
        images: sample id → image, of the samples that have one.
        device: of the features.
        progress: called with (images done, images in all) after every batch.

    Raises:
        PredictorError: the features cannot be loaded, no image could be read, another run makes
            the set, or it cannot be written.
        StoreError: the store has no targets.
    """
    targets = store.targets()  # first: a store may have none
    if not place.parent.is_dir():
        raise PredictorError(f"{place} cannot be made: there is no folder {place.parent}")
    features, key = load_features(definition, device), features_key(definition, device)
    with _working_for(place) as work:
        entry = _embed(features, images, work, key, device, progress)
        reference_images = _image_features(entry, images)
        if reference_images:
            digest = key["features"]
            save_references(
                make_references(place, store.samples, targets, reference_images, digest)
            )
        shutil.rmtree(work.path)  # with what other features have left there
    if not reference_images:
        raise PredictorError(f"{place} cannot be made: not a single image could be read")


def image_digests(images: Mapping[str, Path]) -> dict[str, bytes]:
    """Id → the 32 bytes of the sha256 of its image's file.

    Raises:
        PredictorError: one cannot be read.
    """
    with ThreadPoolExecutor(WORKERS) as threads:
        hashed = threads.map(file_digest, images.values())
        return {id_: bytes.fromhex(digest) for id_, digest in zip(images, hashed, strict=True)}


@contextmanager
def _working_for(place: Path) -> Iterator[WorkStore]:
    """Hold the folder where a reference set's features are kept until it is written.

    It is hidden beside the set, not in the work of one dump: whichever dump asks for the set next
    goes on.
    """
    folder = place.with_name(f".{place.name}.work")
    try:
        with ExitStack() as stack:
            yield _hold(folder, stack)
    except WorkError as error:
        cause = error.__cause__
        assert isinstance(cause, OSError)  # noqa: S101 - what a WorkError is made of
        raise PredictorError(
            f"{place} cannot be made: {folder} cannot be written ({cause.strerror or cause}); what"
            f" is embedded so far is kept: {remedy(cause)} and run the same command again"
        ) from error


def _hold(folder: Path, stack: ExitStack) -> WorkStore:
    try:
        return stack.enter_context(open_work(folder))
    except WorkError:
        raise
    except InputError as error:
        raise PredictorError(
            f"{folder} is another run's: wait for its end, or delete the folder if there is none"
        ) from error


def _embed(
    features: Predictor,
    images: Mapping[str, Path],
    work: WorkStore,
    key: Mapping[str, Any],
    device: str,
    progress: Callable[[int, int], None] | None,
) -> Entry:
    """Embed the images that no earlier run of the same key has embedded."""
    paths = list(images.values())
    entry = work.entry(key, file_identities(paths), features.dim)
    pending, limit = entry.pending(BATCH), BatchLimit(entry.recorded(LIMIT))
    wanted = [paths[position] for position in pending.tolist()]
    stream = stream_images(wanted, features.preprocess, batch=BATCH, workers=WORKERS)
    done = len(paths) - len(pending)
    with closing(stream) as batches:
        for batch in batches:
            embedded = embed_batch(features, batch.images, device=device, limit=limit)
            if limit.images != entry.recorded(LIMIT):
                entry.record(**{LIMIT: limit.images})
            rows = pending[batch.positions]
            reasons = {int(pending[lost.position]): lost.reason for lost in batch.failures}
            entry.write(
                rows[embedded.finite],
                embedded.vectors[embedded.finite],
                not_finite=rows[~embedded.finite].tolist(),
                note=Note(unreadable=reasons),
            )
            done += len(rows) + len(reasons)
            if progress is not None:
                progress(done, len(paths))
    return entry


def _image_features(entry: Entry, images: Mapping[str, Path]) -> dict[str, ImageFeatures]:
    """The features of images by id, without those that have no vector."""
    ids, rows = list(images), np.flatnonzero(entry.state() == EMBEDDED)
    digests = image_digests({ids[row]: images[ids[row]] for row in rows.tolist()})
    by_id: dict[str, ImageFeatures] = {}
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        vectors = unit_rows(entry.vectors[block]).astype(np.float16)
        for row, vector in zip(block.tolist(), vectors, strict=True):
            by_id[ids[row]] = ImageFeatures(vector, digests[ids[row]])
    return by_id
