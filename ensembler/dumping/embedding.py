"""The passes of a dump: every checkpoint over its images, each batch kept as it is finished."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ensembler.dumping.job import DumpJob
from ensembler.dumping.plan import Plan
from ensembler.errors import InputError, PredictorError
from ensembler.images.cache import ImageCache
from ensembler.images.sharing import SharedImages
from ensembler.images.stream import stream_images
from ensembler.predicting.batches import BatchLimit, embed_batch
from ensembler.predicting.checkpoints import find_file, load_predictor
from ensembler.predicting.contract import EncodingCaptioner, FoldAware, Predictor, Recalling
from ensembler.work.entry import Entry
from ensembler.work.notes import Note

MADE: Final = "made"  # under which an entry records what its predictors say of themselves
LIMIT: Final = "limit"  # likewise how many images the device took at once, where it refused more


def embed_all(
    plan: Plan,
    job: DumpJob,
    begun: Entry | None,
    make_entry: Callable[[int], Entry],
    *,
    dim: int | None,
    shared: SharedImages,
    progress: Callable[[int, int], None] | None,
) -> Entry:
    """Embed all that an entry does not hold yet.

    Args:
        plan: which checkpoint embeds what.
        job: with what.
        begun: what an earlier run left; None where there is nothing.
        make_entry: makes one for vectors of so many numbers.
        dim: numbers in the store's vectors; None where the store has none yet.
        shared: where passes share resized images.
        progress: called with (images done, images in all) after every batch.

    Returns:
        The entry, with nothing left to embed.

    Raises:
        PredictorError: a checkpoint cannot be loaded, or gives vectors of another space.
        InputError: two checkpoints make different things, or the entry cannot be written.
    """
    entry = begun
    loaded: tuple[int, Predictor] | None = None
    for number, one in enumerate(plan.passes):
        if entry is not None and not len(entry.pending(job.batch, plan.rows(one))):
            continue
        if loaded is None or loaded[0] != one.checkpoint:
            loaded = None  # gone before the next one comes
            loaded = (one.checkpoint, _load(job, one.checkpoint, dim))
        predictor = loaded[1]
        entry = make_entry(predictor.dim) if entry is None else entry
        _check_made(entry, predictor)
        if isinstance(predictor, FoldAware):
            predictor = predictor.without_fold(one.fold)
        place = shared.place(
            predictor.preprocess,
            images=plan.images,
            passes=sum(later.fold == one.fold for later in plan.passes[number:]),
        )
        cache = None if place is None else ImageCache(place)
        for _ in _embed(job, entry, plan.rows(one), predictor, cache, first=number == 0):
            if progress is not None:
                progress(plan.done(entry), plan.total)
        shared.note(None if cache is None else cache.fault)
    assert entry is not None  # noqa: S101 - a plan has a pass, and a pass an image
    return entry


def _load(job: DumpJob, checkpoint: int, dim: int | None) -> Predictor:
    named = job.checkpoints[checkpoint].files
    files = {file.role: find_file(file.path, job.folders) for file in named}
    predictor = load_predictor(job.adapter, job.config, files, job.device)
    if dim is not None and predictor.dim != dim:
        raise PredictorError(
            f"{job.adapter} gives vectors of {predictor.dim} numbers, the store's have {dim}; give"
            " a predictor of the store's space"
        )
    return predictor


def _check_made(entry: Entry, predictor: Predictor) -> None:
    """Record what the first predictor says of itself; compare the others with it."""
    encoder = predictor.encoder_record if isinstance(predictor, EncodingCaptioner) else None
    made: dict[str, Any] = {
        "dim": predictor.dim,
        "preprocessing": predictor.preprocess.model_dump(mode="json"),
        "encoder": encoder and encoder.model_dump(mode="json"),
    }
    before = entry.recorded(MADE)
    if before is None:
        entry.record(**{MADE: made})
    elif before != made:
        raise InputError(
            f"checkpoints of one member must agree, and one gives {made}, another {before}; make"
            " two members of them"
        )


def _embed(
    job: DumpJob,
    entry: Entry,
    rows: NDArray[np.int64],
    predictor: Predictor,
    cache: ImageCache | None,
    *,
    first: bool,
) -> Iterator[None]:
    """Embed what an entry lacks of a pass, first or later; yields after every batch."""
    if isinstance(predictor, Recalling):
        # A first batch is embedded: what an image takes is part of the member's record.
        rows = rows[~_recall(job, entry, rows, predictor, job.batch if first else 0)]
        yield
    pending = entry.pending(job.batch, rows) if len(rows) else rows
    limit = BatchLimit(entry.recorded(LIMIT))
    stream = stream_images(
        [job.images.files.paths[row % len(job.images.files)] for row in pending.tolist()],
        predictor.preprocess,
        batch=job.batch,
        workers=job.workers,
        cache=cache,
    )
    begun = time.monotonic()
    with closing(stream) as batches:
        for batch in batches:
            refused = limit.images
            embedded = embed_batch(predictor, batch.images, job.precision, job.device, limit)
            if limit.images != refused:
                entry.record(**{LIMIT: limit.images})
            there, finite = pending[batch.positions], embedded.finite
            texts = zip(there.tolist(), embedded.captions or (), strict=False)  # of a captioner
            entry.write(
                there[finite],
                embedded.vectors[finite],
                not_finite=there[~finite].tolist(),
                note=Note(
                    captions=dict(texts),
                    unreadable={int(pending[at]): reason for at, reason in batch.failures},
                    images=len(batch.positions) + len(batch.failures),
                    seconds=time.monotonic() - begun,
                ),
            )
            yield
            begun = time.monotonic()


def _recall(
    job: DumpJob, entry: Entry, rows: NDArray[np.int64], predictor: Recalling, spared: int
) -> NDArray[np.bool_]:
    """Keep the vectors that a predictor knows without the images.

    Returns:
        (rows,) bool, of which it did; never of the first `spared`.
    """
    images = rows % len(job.images.files)
    recalled = predictor.recall(job.images.files.ids[images].tolist())
    vectors = np.full((len(rows), entry.dim), np.nan, dtype=np.float32)
    vectors[recalled.known] = recalled.vectors
    vectors[:spared] = np.nan
    known = np.asarray(np.isfinite(vectors).all(axis=1))
    entry.write(rows[known], vectors[known])
    return known
