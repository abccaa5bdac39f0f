"""The passes of a dump: every checkpoint over its images, each batch kept as it is finished."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensembler.dumping.job import Job
from ensembler.dumping.plan import Plan
from ensembler.dumping.record import Batch, Made
from ensembler.dumping.work import Work
from ensembler.errors import PredictorError
from ensembler.images.stream import ImageBatch, stream_images
from ensembler.predicting.batches import BatchLimit, Embedded, embed_batch
from ensembler.predicting.checkpoints import load_predictor
from ensembler.predicting.contract import EncodingCaptioner, FoldAware, Predictor

NOT_FINITE: Final = "its vector is NaN or infinite"


def embed_all(
    plan: Plan,
    job: Job,
    work: Work,
    *,
    dim: int | None,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Embed all that the work does not hold yet.

    Args:
        plan: which checkpoint embeds what.
        job: with what.
        work: where it is kept.
        dim: numbers in the store's vectors; None where the store has none yet.
        workers: threads that decode.
        progress: called with (images done, images in all) after every batch.

    Raises:
        PredictorError: a checkpoint cannot be loaded, or gives vectors of another space.
        InputError: the work cannot be written.
    """
    limit = BatchLimit(work.done.limit)
    loaded: tuple[int, Predictor] | None = None
    for number, one in enumerate(plan.passes):
        stop = work.done.settled(number)
        wanted = one.positions[stop:]
        if not len(wanted):
            continue
        if loaded is None or loaded[0] != one.checkpoint:
            loaded = None  # gone before the next one comes
            loaded = (one.checkpoint, _load(job, one.checkpoint, work, dim))
        predictor = loaded[1]
        if isinstance(predictor, FoldAware):
            predictor = predictor.without_fold(one.fold)
        paths = job.images.paths(wanted)
        stream = stream_images(paths, predictor.preprocess, batch=job.batch, workers=workers)
        begun = time.monotonic()
        with closing(stream) as batches:
            for images in batches:
                embedded = embed_batch(predictor, images.images, job.precision, job.device, limit)
                stop += len(images.positions) + len(images.failures)
                rows = wanted[images.positions]
                batch = Batch(
                    number=number,
                    stop=stop,
                    failures=_failures(wanted, images, embedded),
                    captions=_captions(rows, embedded),
                    seconds=time.monotonic() - begun,
                    limit=limit.images,
                )
                work.record(one, rows[embedded.finite], embedded.vectors[embedded.finite], batch)
                begun = time.monotonic()
                if progress is not None:
                    progress(work.done.images, plan.images)


def _load(job: Job, checkpoint: int, work: Work, dim: int | None) -> Predictor:
    files = {file.role: job.root / file.path for file in job.checkpoints[checkpoint].files}
    predictor = load_predictor(job.adapter, job.config, files, job.device)
    if dim is not None and predictor.dim != dim:
        raise PredictorError(
            f"{job.adapter} gives vectors of {predictor.dim} numbers, the store's have {dim}; give"
            " a predictor of the store's space"
        )
    preprocessing = predictor.preprocess.model_dump(mode="json")
    encoder = predictor.encoder_record if isinstance(predictor, EncodingCaptioner) else None
    work.made(Made(dim=predictor.dim, preprocessing=preprocessing, encoder=encoder))
    return predictor


def _failures(wanted: NDArray[np.int64], images: ImageBatch, embedded: Embedded) -> dict[int, str]:
    """Positions of samples → why they have no vector."""
    unread = {int(wanted[failure.position]): failure.reason for failure in images.failures}
    broken = wanted[images.positions[~embedded.finite]]
    return unread | dict.fromkeys(broken.tolist(), NOT_FINITE)


def _captions(rows: NDArray[np.int64], embedded: Embedded) -> dict[int, str]:
    if embedded.captions is None:
        return {}
    texts = dict(zip(rows.tolist(), embedded.captions, strict=True))
    return {row: texts[row] for row in rows[embedded.finite].tolist()}
